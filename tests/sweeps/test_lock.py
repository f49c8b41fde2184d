"""One sweep at a time writes to a directory, and none to a directory that it has not locked."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DIGITS, CommandLine
from filelock import FileLock

from bench.errors import StoreError, UsageError
from bench.execution.jobs import RunEvent
from bench.execution.resources import resolve_execution
from bench.execution.timeouts import time_limit
from bench.spec.options import ExecutionOptions
from bench.storage.store import Store
from bench.sweeps import lock as locks
from bench.sweeps.lock import locked
from bench.sweeps.run import SweepEvent, run_sweep
from bench.sweeps.specify import specify

LOST = "was moved, removed or replaced while this sweep was writing to it"


def _move(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


def _replace(directory: Path) -> None:
    _move(directory)
    Store(directory).create()


def _replace_and_lock(directory: Path) -> None:
    _replace(directory)
    (directory / ".lock").touch()


LOSSES: dict[str, Callable[[Path], None]] = {
    "moved": _move,
    "removed": shutil.rmtree,
    "results removed": lambda directory: shutil.rmtree(directory.parent),
    "replaced": _replace,
    "replaced by a locked one": _replace_and_lock,
    "lock removed": lambda directory: (directory / ".lock").unlink(),
}


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("after", [1, 2], ids=["first run", "last run"])
def test_a_sweep_ends_if_its_directory_is_moved_or_removed(
    kind: str, after: int, tmp_path: Path, digits: Path
) -> None:
    spec = specify(
        optimizers="sgd", seeds=2, iterations=2, eval_every=1, name="x", dataset="digits"
    )
    store, n_ended = Store(tmp_path / "results" / "x"), 0

    def on_event(event: SweepEvent) -> None:
        nonlocal n_ended
        n_ended += isinstance(event, RunEvent)
        if isinstance(event, RunEvent) and n_ended == after:
            LOSSES[kind](store.directory)

    execution = ExecutionOptions(device="cpu", n_jobs=1, in_process=True)
    with pytest.raises(StoreError, match=f"x {LOST}"):
        run_sweep(
            spec,
            store,
            resolve_execution(execution),
            data_dir=digits.parent,
            on_event=on_event,
            on_damage=lambda _: None,
        )
    moved = Store(store.directory.with_name("moved"))
    if moved.directory.exists():
        assert moved.read_spec() == spec
        assert len(moved.read_rows()) == after
    assert not store.rows_file.exists()
    if kind in ("moved", "removed", "results removed"):
        assert not store.directory.exists()


@pytest.mark.long
def test_the_command_ends_with_one_line_if_the_results_are_moved(run_command: CommandLine) -> None:
    results = run_command.directory / "results"
    process = run_command.start(
        *("sweep", "--name", "x", "--iterations", "20", "--optimizers", "sgd", "--quiet"),
        *("--seeds", "5000", "--n-jobs", "2", "--no-report", *DIGITS),
    )
    deadline = time.monotonic() + 120
    while not any(results.glob("x/runs/*.parquet")) and process.poll() is None:
        assert time.monotonic() < deadline, "no run ended"
        time.sleep(0.05)
    results.rename(run_command.directory / "moved")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert err == (
        f"optimizer-bench: error: results/x {LOST}: move it back and give the same command again\n"
    )
    assert not results.exists()
    moved = Store(run_command.directory / "moved" / "x")
    assert moved.read_spec() is not None
    assert len(moved.read_rows()) > 0


def test_a_path_that_is_replaced_while_it_is_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that is locked is no longer at the path, where another sweep may lock its own."""
    directory = tmp_path / "x"
    directory.mkdir()

    class Slow(FileLock):
        def acquire(self, *arguments: object, **options: object) -> object:
            found = super().acquire(*arguments, **options)  # type: ignore[arg-type]
            _move(directory)
            directory.mkdir()
            (directory / ".lock").touch()
            return found

    monkeypatch.setattr(locks, "FileLock", Slow)
    with pytest.raises(StoreError, match=f"x {LOST}"), locked(directory):
        pytest.fail("the directory is not locked")


def test_the_file_of_another_owner_stays(tmp_path: Path) -> None:
    directory = tmp_path / "x"
    directory.mkdir()

    def replace_by_another() -> None:
        with locked(directory):
            _replace(directory)
            (directory / ".lock.pid").write_text("another")

    with pytest.raises(StoreError, match=LOST):
        replace_by_another()
    assert (directory / ".lock.pid").read_text() == "another"


def test_the_lock_is_free_after_the_block(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert (tmp_path / ".lock.pid").read_text() == f"{os.getpid()}\n"
        message = f"another sweep \\(process {os.getpid()}\\) is writing to"
        with pytest.raises(UsageError, match=message), locked(tmp_path):
            pytest.fail("it was locked twice")
    with locked(tmp_path):
        pass
    assert not (tmp_path / ".lock.pid").exists()


def test_links_in_place_of_the_files_of_the_lock_are_not_followed(tmp_path: Path) -> None:
    target, directory = tmp_path / "precious", tmp_path / "x"
    directory.mkdir()
    target.write_text("mine")
    (directory / ".lock.pid").symlink_to(target)
    with locked(directory):
        assert target.read_text() == "mine"
    (directory / ".lock").unlink()
    (directory / ".lock").symlink_to(target)
    with pytest.raises(UsageError, match=r"cannot lock .*x: "), locked(directory):
        pytest.fail("a link was locked")
    assert target.read_text() == "mine"


def test_a_pipe_in_place_of_the_lock_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    message = r"cannot lock .*: \.lock is not a regular file"
    with time_limit(20, "it waits"), pytest.raises(UsageError, match=message), locked(tmp_path):
        pytest.fail("a pipe was locked")


def test_a_pipe_in_place_of_the_owner_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock.pid")
    with (
        time_limit(20, "it waits"),
        FileLock(tmp_path / ".lock"),
        pytest.raises(UsageError, match="another sweep is writing to"),
        locked(tmp_path),
    ):
        pytest.fail("it was locked twice")
