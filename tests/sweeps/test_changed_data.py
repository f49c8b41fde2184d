"""Arrays of a dataset that change: no row that may be wrong stays stored."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CommandCall

from bench.datasets import cache as datasets
from bench.errors import DataError, MixedRunsError, StoreError
from bench.execution.jobs import RunEvent
from bench.execution.resources import resolve_execution
from bench.execution.timeouts import time_limit
from bench.spec.model import SweepSpec
from bench.spec.options import ExecutionOptions
from bench.spec.plugins import load_external
from bench.storage.remote import RemoteDirectory, UnavailableError, results_root
from bench.storage.store import Damage, Store
from bench.sweeps import run as sweeps
from bench.sweeps import writing
from bench.sweeps.run import SweepEvent, SweepStarted, run_sweep
from bench.sweeps.specify import specify

Change = Callable[[], object]


def write_images(path: Path, seed: int = 0) -> None:
    """Write images of three classes that a linear network tells apart."""
    labels = np.arange(300) % 3
    noise = np.random.default_rng(seed).integers(0, 100, (300, 6, 6))
    x = (noise + 70 * labels[:, None, None]).astype(np.uint8)
    parts = {"x_train": x[:200], "y_train": labels[:200], "x_test": x[200:], "y_test": labels[200:]}
    np.savez(path, **parts)


class Place:
    """A directory with a dataset, its cache and the results of its sweep."""

    def __init__(self, directory: Path, dataset: str) -> None:
        self.directory, self.dataset = directory, dataset
        self.cache, self.results = directory / "cache", directory / "results"
        self.damage: list[Damage] = []

    @property
    def store(self) -> Store:
        return Store(self.results / "x")

    def specify(self, seeds: str = "0-2") -> SweepSpec:
        return specify(
            dataset=self.dataset,
            network="logistic",
            optimizers="sgd",
            seeds=seeds,
            batch_size=20,
            iterations=20,
            eval_every=10,
            name="x",
            data_dir=self.cache,
        )

    def sweep(self, seeds: str = "0-2", change: Change = lambda: None, *, after: int = 1) -> int:
        """Return the number of runs that were missing; call `change` after so many runs."""
        missing = ended = 0

        def on_event(event: SweepEvent) -> None:
            nonlocal missing, ended
            if isinstance(event, SweepStarted):
                missing = len(event.status.missing)
            else:
                ended += 1
                if ended == after:
                    change()

        run_sweep(
            self.specify(seeds),
            self.store,
            resolve_execution(ExecutionOptions(device="cpu", in_process=True)),
            data_dir=self.cache,
            force=False,
            quiet=True,
            on_event=on_event,
            on_damage=self.damage.append,
        )
        return missing

    def outcomes(self) -> list[dict[str, Any]]:
        columns = ["seed", "status", "test_accuracy", "correct_bits", "data_hash"]
        return self.store.read_rows().select(columns).sort_by("seed").to_pylist()

    def zero_images(self) -> None:
        """Overwrite the training images in place with zeros, as they are mapped."""
        (file,) = self.cache.glob("*-arrays/train_images.npy")
        with file.open("r+b") as opened:
            opened.seek(128)
            opened.write(bytes(200 * 36))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    write_images(tmp_path / "mine.npz")
    return Place(tmp_path, str(tmp_path / "mine.npz"))


@pytest.fixture
def undisturbed(place: Place) -> list[dict[str, Any]]:
    """The rows of the same sweep without a change, stored elsewhere."""
    place.results = place.directory / "undisturbed"
    place.sweep()
    rows = place.outcomes()
    place.results = place.directory / "results"
    return rows


def test_every_row_has_the_hash_of_its_data(place: Place) -> None:
    place.sweep()
    found = datasets.prepare_verified(place.dataset, place.cache)
    assert {row["data_hash"] for row in place.outcomes()} == {found.content_hash}
    assert not place.store.training_file.exists()


def test_rows_of_images_that_were_zeroed_are_set_aside(
    place: Place, undisturbed: list[dict[str, Any]]
) -> None:
    place.sweep("0")
    with pytest.raises(DataError, match=r"changed during training: .* 2 runs of this command mov"):
        place.sweep(change=place.zero_images)
    assert [row["seed"] for row in place.outcomes()] == [0], "rows of other commands are kept"
    assert len(list(place.store.quarantine_directory.iterdir())) == 2
    assert place.sweep() == 2
    assert place.outcomes() == undisturbed


def test_rows_that_the_storage_still_has_are_set_aside_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage fails while they are moved; otherwise they would count as finished."""
    monkeypatch.setenv("OPTIMIZER_BENCH_CACHE", str(place.directory / "copies"))
    monkeypatch.setattr(writing, "PATIENCE", 0.0)
    place.results = results_root(f"file://{place.directory}/storage")
    stored, put = place.directory / "storage" / "x", RemoteDirectory.put

    def refused(*_: object) -> None:
        raise UnavailableError("the storage does not answer")

    def zero_images_and_fail() -> None:
        while len([*stored.glob("runs/*")]) < 3:
            time.sleep(0.01)
        place.zero_images()
        monkeypatch.setattr(RemoteDirectory, "put", refused)

    with time_limit(60, "not sent"), pytest.raises(StoreError, match="changed during training"):
        place.sweep(change=zero_images_and_fail, after=3)
    with pytest.raises(StoreError, match="not everything could be sent"):
        place.sweep()
    monkeypatch.setattr(RemoteDirectory, "put", put)
    assert place.sweep() == 3
    assert not place.store.training_file.exists()


def test_images_that_another_command_restored_are_detected(place: Place) -> None:
    def zero_and_rebuild() -> None:
        place.zero_images()
        datasets.prepare(place.dataset, place.cache)

    with pytest.raises(DataError, match="3 runs of this command moved"):
        place.sweep(change=zero_and_rebuild)
    assert place.outcomes() == []


@pytest.mark.parametrize("file", ["test_labels.npy", "manifest.json"])
def test_other_files_than_the_images_are_verified(place: Place, file: str) -> None:
    def change() -> None:
        (path,) = place.cache.glob(f"*-arrays/{file}")
        content = path.read_bytes()
        other = content.replace(b'classes": 3', b'classes": 4')
        path.write_bytes(content[:-1] + b"\x07" if other == content else other)

    with pytest.raises(DataError, match="3 runs of this command moved"):
        place.sweep(change=change)


def test_a_cache_that_was_built_again_or_deleted_has_not_changed(
    place: Place, undisturbed: list[dict[str, Any]]
) -> None:
    def rebuild() -> None:
        shutil.rmtree(place.cache)
        datasets.prepare(place.dataset, place.cache)

    place.sweep(change=rebuild)
    assert place.outcomes() == undisturbed
    shutil.rmtree(place.results)
    place.sweep(change=lambda: shutil.rmtree(place.cache))
    assert place.outcomes() == undisturbed


def test_an_interrupted_sweep_is_verified_too(place: Place) -> None:
    def zero_and_interrupt() -> None:
        place.zero_images()
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        pytest.warns(UserWarning, match="2 runs of this command moved"),
    ):
        place.sweep(change=zero_and_interrupt, after=2)
    assert place.outcomes() == []


def killed_after_two_runs(place: Place, change: Change) -> None:
    """Leave the results as a command that was killed after two runs, after `change`."""
    copy = place.directory / "copy"
    place.sweep(change=lambda: shutil.copytree(place.results, copy), after=2)
    shutil.rmtree(place.results)
    copy.rename(place.results)
    assert place.store.training_file.exists()
    change()


def test_a_killed_sweep_is_verified_by_the_next_command(
    place: Place, undisturbed: list[dict[str, Any]]
) -> None:
    killed_after_two_runs(place, place.zero_images)
    assert place.sweep() == 3
    assert len(place.damage) == 2
    assert all("changed during training" in damage.reason for damage in place.damage)
    assert place.outcomes() == undisturbed


@pytest.mark.parametrize("is_deleted", [False, True])
def test_rows_of_a_killed_sweep_are_kept_if_the_data_did_not_change(
    place: Place, is_deleted: bool
) -> None:
    killed_after_two_runs(place, lambda: is_deleted and shutil.rmtree(place.cache))
    assert place.sweep() == 1
    assert place.damage == []
    assert len(place.outcomes()) == 3


def test_the_command_ends_with_one_line(
    place: Place, call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_plan = sweeps.run_plan

    def run_and_change(*arguments: Any) -> Iterator[RunEvent]:
        for event in run_plan(*arguments):
            yield event
            place.zero_images()

    monkeypatch.setattr(sweeps, "run_plan", run_and_change)
    finished = call_command(
        *("sweep", "--dataset", place.dataset, "--network", "logistic", "--optimizers", "sgd"),
        *("--seeds", "2", "--batch-size", "20", "--iterations", "20", "--in-process"),
        *("--name", "x", "--quiet", "--data-dir", place.cache),
    )
    assert finished.code == 1
    assert finished.err.count("\n") == 1
    assert "changed during training: their SHA-256 was" in finished.err
    assert place.outcomes() == []


FUNCTION = """
import numpy as np

def load():
    return dict(np.load("mine.npz"))
"""


@pytest.fixture
def function(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A dataset of a function, which reads the file."""
    monkeypatch.chdir(place.directory)
    monkeypatch.syspath_prepend(place.directory)
    monkeypatch.setattr(datasets, "_declared", {})
    load_external.cache_clear()
    (place.directory / "mine_changed.py").write_text(FUNCTION)
    place.dataset = "mine_changed:load"
    return place


def directories(place: Place) -> Sequence[Path]:
    return sorted(place.cache.glob("*-arrays*"))


def test_other_arrays_of_a_function_are_refused_and_not_kept(function: Place) -> None:
    function.sweep("0")
    before = directories(function)
    write_images(Path("mine.npz"), seed=1)
    with pytest.raises(MixedRunsError, match=r"data_hash=\w{64}, this sweep has data_hash=\w{64}"):
        function.sweep()
    assert directories(function) == before
    write_images(Path("mine.npz"))
    assert function.sweep() == 2
