"""Damaged files are detected, named and moved to quarantine; merging files loses no rows."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _rows import RUN, record

from bench.errors import StoreError
from bench.execution.timeouts import time_limit
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.storage import files, row_files, store
from bench.storage.files import write_atomically
from bench.storage.records import SCHEMA
from bench.storage.rows import read_rows, write_rows
from bench.storage.store import Store

FIXTURES = Path(__file__).parents[1] / "data"
OTHER = replace(RUN, seed=8)

DECLARED = SweepSpec(name="x", optimizers=(RUN.optimizer,), seeds=(7, 8))


@pytest.fixture
def sweep(tmp_path: Path) -> Store:
    """Two valid rows."""
    sweep = Store(tmp_path / "sweep")
    sweep.create()
    for run in (RUN, OTHER):
        sweep.write_run(run, record(run))
    return sweep


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    in_its_page = [match.start() for match in re.finditer(b"torch.optim", content)][2]
    content[in_its_page] ^= 4  # after the minimum and maximum in the header of the page
    file.write_bytes(content)


def _other_columns(file: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), file)


def _newer(file: Path) -> None:
    write_rows(pa.Table.from_pylist([vars(record(schema_version=2))], schema=SCHEMA), file)


def _other_sweep(file: Path) -> None:
    run = replace(RUN, workload=Workload(iterations=60))
    row = record(run, eval_iterations=[30, 60])
    write_rows(pa.Table.from_pylist([vars(row)], schema=SCHEMA), file)


def _other_name(file: Path) -> None:
    shutil.copy(file.with_name("sgd-seed0008.parquet"), file)


def _directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _nowhere(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (_truncate, "cannot read the runs in"),
    "empty": (lambda file: file.write_bytes(b""), "file size is 0 bytes"),
    "flipped bit": (_flip, "cannot read the runs in"),
    "text": (lambda file: file.write_text("hello"), "cannot read the runs in"),
    "other columns": (_other_columns, "cannot read the runs in"),
    "newer version": (_newer, "schema version 2, this program reads 1"),
    "another sweep's": (_other_sweep, "iterations=60, where this sweep has 3000"),
    "another run's": (_other_name, "holds the run of sgd-seed0008.parquet"),
    "directory": (_directory, "cannot read the runs in"),
    "pipe": (_pipe, "it is not a regular file"),
    "device": (_device, "it is not a regular file"),
    "symlink loop": (_loop, "cannot read the runs in"),
    "link to nowhere": (_nowhere, "cannot read the runs in"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named_and_set_aside(sweep: Store, kind: str) -> None:
    damage, reason = DAMAGES[kind]
    file = sweep.run_file(RUN)
    damage(file)
    if kind != "another sweep's":  # found by its workload, not on reading
        with (
            time_limit(20, "it waits"),
            pytest.raises((StoreError, store.MixedRunsError), match=f"{file.name}|hold the same"),
        ):
            sweep.read_rows()
    with time_limit(20, "it waits"):
        (found,) = sweep.repair(DECLARED).damage
    assert found.file == file
    assert found.target == sweep.quarantine_directory / file.name
    assert reason in found.reason
    assert os.path.lexists(found.target)
    assert sweep.read_rows()["seed"].to_pylist() == [8]
    assert sweep.repair(DECLARED).damage == ()


@pytest.mark.parametrize("damage", [_pipe, _device, _directory, _nowhere])
def test_rows_that_are_not_in_a_regular_file_are_named_and_set_aside(
    sweep: Store, damage: Callable[[Path], None]
) -> None:
    sweep.compact()
    damage(sweep.rows_file)
    with time_limit(20, "it waits"), pytest.raises(StoreError, match="cannot read the runs in"):
        sweep.read_rows()
    with time_limit(20, "it waits"):
        (found,) = sweep.repair(DECLARED).damage
    assert os.path.lexists(sweep.quarantine_directory / "runs.parquet")
    assert found.file == sweep.rows_file
    assert len(sweep.read_rows()) == 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("compacted", [False, True], ids=["one run", "all rows"])
def test_a_file_that_cannot_be_opened_is_not_damaged(
    sweep: Store, number: int, compacted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compacted:
        sweep.compact()
    before = sorted(sweep.directory.rglob("*"))

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", refuse)
        with pytest.raises(StoreError, match=f"cannot read the runs in .*{os.strerror(number)}$"):
            sweep.repair(DECLARED)
    assert sorted(sweep.directory.rglob("*")) == before
    assert len(sweep.read_rows()) == 2


def test_a_directory_that_cannot_be_listed_is_an_error(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_directory: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(store.os, "listdir", refuse)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(StoreError, match=r"cannot read .*/runs: Permission denied"):
        sweep.read_rows()


def test_quarantined_files_do_not_replace_each_other(sweep: Store) -> None:
    for expected in ("sgd-seed0007.parquet", "sgd-seed0007-2.parquet", "sgd-seed0007-3.parquet"):
        sweep.run_file(RUN).write_text(expected)
        (found,) = sweep.repair().damage
        assert (found.target.name, found.target.read_text()) == (expected, expected)


def test_any_flipped_bit_is_detected_or_harmless(sweep: Store) -> None:
    """Half of a file is redundant or unused metadata; the rest has checksums."""
    file = sweep.run_file(RUN)
    content, rows = file.read_bytes(), read_rows(file)
    flips = random.Random(0).sample(range(8 * len(content)), 400)
    noticed = 0
    for flip in flips:
        damaged = bytearray(content)
        damaged[flip // 8] ^= 1 << flip % 8
        file.write_bytes(damaged)
        try:
            assert read_rows(file).equals(rows), f"bit {flip % 8} of byte {flip // 8}"
        except StoreError:
            noticed += 1
    assert 100 < noticed < 400


def many(n: int) -> tuple[RunSpec, ...]:
    return tuple(replace(RUN, seed=seed) for seed in range(n))


def test_merging_files_does_not_change_rows(sweep: Store) -> None:
    sweep.compact()
    assert not sweep.runs_directory.exists()
    assert sweep.read_rows()["seed"].to_pylist() == [7, 8]
    before = sweep.rows_file.stat().st_mtime_ns
    sweep.compact()
    assert sweep.rows_file.stat().st_mtime_ns == before, "there was nothing to do"
    newer = record(RUN, train_seconds=3.5)
    sweep.create()
    sweep.write_run(RUN, newer)
    sweep.compact()
    rows = {row["seed"]: row["train_seconds"] for row in sweep.read_rows().to_pylist()}
    assert rows == {7: 3.5, 8: 2.5}, "a run that was done again replaces the old row"


@pytest.mark.parametrize("at", ["write", "check", "first", "second"])
def test_an_interrupted_merge_loses_no_rows(
    sweep: Store, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sweep.read_rows()
    calls = {"first": 1, "second": 2}
    removed = 0

    def unlink(file: Path, **_options: bool) -> None:
        nonlocal removed
        removed += file.suffix == ".parquet"
        if removed == calls.get(at):
            raise KeyboardInterrupt
        os.unlink(file)

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        if at == "write":
            patch.setattr(row_files, "write_stored", interrupt)
        if at == "check":
            patch.setattr(row_files, "read_rows", _only_once(interrupt, after=1))
        with pytest.raises(KeyboardInterrupt):
            sweep.compact()
    assert sweep.read_rows().sort_by("seed").equals(rows.sort_by("seed"))
    sweep.compact()
    assert sweep.read_rows().sort_by("seed").equals(rows.sort_by("seed"))


def _only_once(interrupt: Callable[..., None], after: int) -> Callable[..., pa.Table]:
    left = after

    def read(file: Path, **options: Any) -> pa.Table:
        nonlocal left
        left -= 1
        if left < 0:
            interrupt()
        return read_rows(file, **options)

    return read


def test_valid_rows_of_a_damaged_file_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.storage.rows._ROWS_IN_GROUP", 10)
    sweep = Store(tmp_path)
    runs = many(40)
    rows = pa.Table.from_pylist([vars(record(run)) for run in runs], schema=SCHEMA)
    write_rows(rows, sweep.rows_file)
    content = bytearray(sweep.rows_file.read_bytes())
    group = pq.ParquetFile(sweep.rows_file).metadata.row_group(1)
    content[group.column(0).data_page_offset + 200] ^= 1
    sweep.rows_file.write_bytes(content)
    with pytest.raises(StoreError):
        sweep.read_rows()
    (found,) = sweep.repair().damage
    assert found.target == sweep.quarantine_directory / "runs.parquet"
    kept = sweep.read_rows()["seed"].to_pylist()
    assert kept == [*range(10), *range(20, 40)], "a group of ten rows is done again"


def test_files_of_a_killed_sweep_are_removed(sweep: Store) -> None:
    left = [sweep.directory / ".spec.json.77.tmp", sweep.runs_directory / ".x.parquet.1.tmp"]
    left.append(sweep.directory / ".looks.json.77-140213.tmp")
    own = sweep.directory / ".notes.tmp"
    for file in (*left, own):
        file.write_text("half")
    sweep.in_flight_directory.mkdir()
    (sweep.in_flight_directory / "abc").touch()
    sweep.tidy()
    assert not any(file.exists() for file in (*left, sweep.in_flight_directory))
    assert own.exists(), "no file of ours has such a name"
    assert len(sweep.read_rows()) == 2


@pytest.mark.parametrize("kind", ["EINVAL", "ENOTSUP", "ENOSYS"])
def test_a_file_system_without_fsync(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", _refusing(getattr(errno, kind)))
    write_atomically(b"new", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_failed_fsync_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(files.os, "fsync", _refusing(errno.EIO))
    with pytest.raises(StoreError, match=r"cannot write .*/x: Input/output error"):
        write_atomically(b"new", tmp_path / "x")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_two_threads_can_write_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog of a run may write its row when the run ends."""
    file = tmp_path / "x"
    fsync, others = os.fsync, [threading.Thread(target=write_atomically, args=(b"other", file))]

    def overtake(descriptor: int) -> None:
        if others:
            other = others.pop()
            other.start()
            other.join()
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", overtake)
    write_atomically(b"one", file)
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def _refusing(number: int) -> Callable[[int], None]:
    def fsync(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    return fsync


def test_rows_since_a_time_are_set_aside(sweep: Store) -> None:
    before, since = record(RUN).started_at, record(RUN).started_at + timedelta(seconds=1)
    assert sweep.set_aside_since(since, "why") == ()
    sweep.write_run(OTHER, record(OTHER, started_at=since))
    (moved,) = sweep.set_aside_since(since, "why")
    assert (moved.file, moved.reason) == (sweep.run_file(OTHER), "why")
    assert moved.target.exists()
    assert sweep.read_rows()["started_at"].to_pylist() == [before]


def test_rows_of_the_first_version_can_be_read() -> None:
    rows = read_rows(FIXTURES / "runs-v1.parquet").to_pylist()
    assert [(r["optimizer"], r["seed"], r["status"]) for r in rows] == [
        ("adam", 0, "ok"),
        ("sgd", 1, "ok"),
        ("sgd[lr=1000000000.0]", 0, "diverged"),
    ]
    assert {r["schema_version"] for r in rows} == {1}
    assert [r["test_correct"] for r in rows] == [8620, 8362, 980]
    assert {r["data_hash"] for r in rows} == {None}
