from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _rows import RUN, SGD, outcome, record

from bench.errors import MixedRunsError, SpecError, StoreError, UsageError
from bench.execution.timeouts import time_limit
from bench.spec.model import SweepSpec
from bench.storage.compatibility import UNIFORM_COLUMNS, check_uniform
from bench.storage.files import require_output, write_atomically, write_stored
from bench.storage.looks import Ledger, TakenLook
from bench.storage.records import FAILED, SCHEMA, RunRecord
from bench.storage.rows import read_rows
from bench.storage.run_files import file_stem
from bench.storage.store import Store, finished_keys, load_runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "sweep")
    store.create()
    return store


def test_a_row_is_read_as_written(store: Store) -> None:
    store.write_run(RUN, record())
    assert store.run_file(RUN).name == "sgd-seed0007.parquet"
    (row,) = store.read_rows().to_pylist()
    assert RunRecord(**row) == record()


def test_a_parquet_file_describes_its_columns(store: Store) -> None:
    store.write_run(RUN, record())
    schema = pq.read_schema(store.run_file(RUN))
    assert schema.field("test_loss").metadata[b"description"].endswith(b"nats")
    assert not schema.field("seed").nullable
    assert schema.names == SCHEMA.names


def test_writing_leaves_no_temporary_file(store: Store) -> None:
    store.write_run(RUN, record())
    assert os.listdir(store.runs_directory) == ["sgd-seed0007.parquet"]


def test_a_failed_write_names_the_path_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.bin"
    write_atomically(b"old", file)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot write .*x\.bin: No space left on device"):
        write_atomically(b"new", file)
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


def test_a_file_of_many_rows_and_files_of_one_are_read_together(store: Store) -> None:
    other = replace(RUN, seed=8)
    rows = [vars(record(**outcome(1000))), vars(record(other))]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), store.directory / "runs.parquet")
    store.write_run(RUN, record())
    found = {r["seed"]: r["test_accuracy"] for r in store.read_rows().to_pylist()}
    assert found == {7: 0.9578, 8: 0.9578}


@pytest.mark.parametrize(
    "content", [b"", b"PAR1 and then nothing", None], ids=["empty", "damaged", "wrong columns"]
)
def test_an_unreadable_row_is_named(store: Store, content: bytes | None) -> None:
    file = store.runs_directory / "bad-seed0000.parquet"
    if content is None:
        pq.write_table(pa.table({"x": [1]}), file)
    else:
        file.write_bytes(content)
    with pytest.raises(
        StoreError,
        match=r"cannot read the runs in .*bad-seed0000\.parquet:.* moves damaged files to ",
    ):
        store.read_rows()


def test_failed_runs_are_not_finished() -> None:
    rows = pa.Table.from_pylist(
        [vars(record()), vars(record(replace(RUN, seed=8), status=FAILED))], schema=SCHEMA
    )
    assert finished_keys(rows) == {RUN.key}


@pytest.mark.parametrize("column", UNIFORM_COLUMNS)
def test_mixed_runs_are_an_error(column: str) -> None:
    rows = pa.Table.from_pylist([vars(record())], schema=SCHEMA)
    expected = vars(record())
    check_uniform(rows, expected, Path("results/x"), "do this")
    other = {**expected, column: "something else"}
    message = f"results/x holds runs with {column}=.* has {column}=something else: do this"
    with pytest.raises(MixedRunsError, match=message):
        check_uniform(rows, other, Path("results/x"), "do this")


@pytest.mark.parametrize(
    ("stored", "own", "is_refused"),
    [
        ((None, "a"), "a", False),
        ((None, None), "a", False),
        ((None, "a"), None, False),
        ((None, "a"), "b", True),
        ((None, "a", "b"), None, True),
    ],
)
def test_rows_of_other_data_are_an_error(
    stored: tuple[str | None, ...], own: str | None, is_refused: bool
) -> None:
    """Older rows have no hash of the data, and may be in one sweep with rows that have one."""
    rows = [vars(record(data_hash=data_hash)) for data_hash in stored]
    table, expected = pa.Table.from_pylist(rows, schema=SCHEMA), vars(record(data_hash=own))
    message = r"data_hash=[ab], .* data_hash=[ab]: do this"
    with pytest.raises(MixedRunsError, match=message) if is_refused else nullcontext():
        check_uniform(table, expected, Path("results/x"), "do this")


def test_the_declaration_is_stored(store: Store) -> None:
    assert store.read_spec() is None
    spec = SweepSpec(name="x", optimizers=(SGD,), seeds=(1, 2))
    store.write_spec(spec)
    assert store.read_spec() == spec
    for damaged in (b"{", b"\xff\xfe", b'{"name": 1}'):
        store.spec_file.write_bytes(damaged)
        with pytest.raises(SpecError, match=r"spec\.json: "):
            store.read_spec()


def test_a_renamed_file_is_an_error(store: Store) -> None:
    store.write_run(RUN, record())
    store.run_file(RUN).rename(store.runs_directory / "sgd-seed0003.parquet")
    with pytest.raises(StoreError, match=r"sgd-seed0003\.parquet holds the run of sgd-seed0007"):
        store.read_rows()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 7}, "the key of sgd seed 7 does not match its specification"),
        ({"optimizer": "adam"}, "the key of adam seed 7 does not match"),
        ({"schema_version": 99}, "schema version 99, this program reads 1"),
        ({"hyperparameters": "[1]"}, "not the hyperparameters of 'sgd'"),
        ({"hyperparameters": "{"}, "not the hyperparameters of 'sgd'"),
        ({"hyperparameters": '{"lr": NaN}'}, "not the hyperparameters of 'sgd'"),
    ],
)
def test_an_altered_row_is_an_error(store: Store, changes: dict[str, object], message: str) -> None:
    store.write_run(RUN, record(**changes))
    with pytest.raises(StoreError, match=message):
        store.read_rows()


def test_text_that_is_not_utf8_is_an_error(store: Store) -> None:
    rows = pa.Table.from_pylist([vars(record())], schema=SCHEMA)
    cell = pa.array([b"\xff\xfe"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 1, cell.buffers())
    place = SCHEMA.get_field_index("device_name")
    for column in (broken, cell):
        pq.write_table(rows.set_column(place, "device_name", column), store.run_file(RUN))
        with pytest.raises(StoreError, match=r"cannot read the runs in .*-seed0007\.parquet: "):
            store.read_rows()


def test_links_in_a_results_directory_are_replaced(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    spec = SweepSpec(name="x", optimizers=(SGD,), seeds=(1, 2))
    ledger = Ledger(store.looks_file)
    files = (store.spec_file, store.options_file, store.looks_file, store.run_file(RUN))
    for file in files:
        file.symlink_to(target)
    store.write_spec(spec)
    store.write_options("text")
    target.write_text('{"looks": []}')
    ledger.record(ledger.with_look(TakenLook(seeds=(1, 2), missing=0, at=datetime.now(UTC))))
    store.write_run(RUN, record())
    assert target.read_text() == '{"looks": []}'
    assert not any(file.is_symlink() for file in files)
    assert (store.read_spec(), len(ledger.read()), len(store.read_rows())) == (spec, 1, 1)


@pytest.mark.parametrize("write", [write_atomically, write_stored])
def test_a_link_in_place_of_the_temporary_file_is_not_followed(
    tmp_path: Path, write: Callable[[bytes, Path], None]
) -> None:
    target, file = tmp_path / "precious", tmp_path / "x"
    target.write_text("mine")
    number = f"{os.getpid()}-{threading.get_ident()}"
    (tmp_path / f".x.{number}.tmp").symlink_to(target)
    write(b"new", file)
    assert (file.read_bytes(), target.read_text()) == (b"new", "mine")
    assert {path.name for path in tmp_path.iterdir()} == {"precious", "x"}


def test_a_removed_directory_is_not_made_again(store: Store) -> None:
    shutil.rmtree(store.directory)
    spec = SweepSpec(name="x", optimizers=(SGD,), seeds=(1, 2))
    look = TakenLook(seeds=(1, 2), missing=0, at=datetime.now(UTC))
    for write in (
        lambda: store.write_run(RUN, record()),
        lambda: store.write_spec(spec),
        lambda: Ledger(store.looks_file).record([look]),
    ):
        with pytest.raises(StoreError, match=r"cannot write .*: No such file or directory$"):
            write()
    assert not store.directory.exists()


def test_a_link_in_place_of_the_marks_of_runs_is_removed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    store.in_flight_directory.symlink_to(tmp_path / "other")
    store.tidy()
    assert not os.path.lexists(store.in_flight_directory)
    assert (tmp_path / "other" / "file").exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda file: file.symlink_to("/dev/zero")])
def test_a_pipe_or_device_in_place_of_a_file_is_an_error_at_once(
    store: Store, make: Callable[[Path], object]
) -> None:
    for file, read in (
        (store.spec_file, store.read_spec),
        (store.looks_file, Ledger(store.looks_file).read),
    ):
        make(file)
        with (
            time_limit(20, "it waits"),
            pytest.raises(StoreError, match=f"cannot read {file}: it is not a regular file"),
        ):
            read()


def test_writing_to_links_and_devices(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_atomically(b"new", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", tmp_path, Path("/")):
        with pytest.raises(StoreError, match="it is not a regular file"):
            write_atomically(b"new", file)


def test_a_copied_file_is_an_error_that_names_both(store: Store) -> None:
    store.write_run(RUN, record())
    copy = store.runs_directory / "zzz.parquet"
    copy.write_bytes(store.run_file(RUN).read_bytes())
    with pytest.raises(MixedRunsError, match=r"sgd-seed0007\.parquet and .*zzz\.parquet hold the"):
        store.read_rows()


def test_a_directory_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write results to .*file/sweep/runs: Not a direc"):
        Store(tmp_path / "file" / "sweep").create()


CONTRADICTIONS = {
    "status": ({"status": "great"}, "status must be ok, diverged, failed, got 'great'"),
    "accuracy": ({"test_accuracy": 0.99}, "test_accuracy is 0.99, though 9578 of 10000"),
    "no accuracy": ({"test_accuracy": None}, "test_accuracy is null, though the status is ok"),
    "nan": ({"test_accuracy": float("nan")}, "test_accuracy is nan"),
    "count": ({"test_correct": 10_001}, "test_correct is 10001 of 10000"),
    "no total": ({"test_total": 0}, "test_correct is 9578 of 0"),
    "bits": ({"correct_bits": b"\xff\x00"}, "correct_bits do not have 9578 of 10000 bits set"),
    "one bit": (
        {"correct_bits": np.packbits(np.arange(10_000) < 9579).tobytes()},
        "correct_bits do not have 9578 of 10000 bits set",
    ),
    "lengths": ({"eval_test_loss": [0.5]}, "eval_test_loss has 1 entries, eval_iterations 2"),
    "order": ({"eval_iterations": [3000, 500]}, "eval_iterations must ascend"),
    "budget": ({"eval_iterations": [500, 9999]}, "must ascend from 1 to at most 3000"),
    "early end": ({"eval_iterations": [500, 1000]}, "last evaluation is at 1000 of 3000"),
    "last": ({"eval_test_accuracy": [0.9, 0.8]}, "last of eval_test_accuracy is not"),
    "test loss": ({"test_loss": 0.4}, "last of eval_test_loss is None, though test_loss is 0.4"),
    "train loss": ({"train_loss": 0.5}, "last of eval_train_loss is 0.25, though train_loss is"),
    "negative loss": (
        {"eval_test_loss": [-0.5, None]},
        "test_loss must be null or finite and at least 0, got -0.5",
    ),
    "loss is nan": (
        {"eval_train_loss": [float("nan"), 0.25]},
        "train_loss must be null or finite and at least 0, got nan",
    ),
    "falling times": (
        {"eval_train_seconds": [2.5, 0.5]},
        "eval_train_seconds must not decrease and end at most at train_seconds 2.5, got [2.5, 0.5]",
    ),
    "negative times": ({"eval_train_seconds": [-0.5, 2.5]}, "eval_train_seconds must not decrease"),
    "late times": ({"eval_train_seconds": [0.5, 2.6]}, "end at most at train_seconds 2.5"),
    "no times": ({"eval_train_seconds": [None, 2.5]}, "eval_train_seconds must not decrease"),
    "endless": ({"train_seconds": 1e300}, "train_seconds is 1e+300"),
    "infinite": ({"eval_seconds": float("inf")}, "eval_seconds is inf"),
    "past": ({"started_at": datetime(1, 1, 1, tzinfo=UTC)}, "started_at lies in the year 1"),
    "future": ({"started_at": datetime(9999, 1, 1, tzinfo=UTC)}, "in the year 9999"),
    "result of a failed run": (
        {"status": FAILED, "error": "x"},
        "test_correct is not null, though the status is failed",
    ),
    "loss of a failed run": (
        {"status": FAILED, "error": "x", **dict.fromkeys(outcome(0)), "train_loss": 0.5},
        "train_loss is not null, though the status is failed",
    ),
    "divergence": ({"diverged_at": 12}, "diverged_at is 12, though the status is ok"),
    "no divergence": ({"status": "diverged"}, "diverged_at is None, though the status is div"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_an_inconsistent_row_is_an_error(store: Store, name: str) -> None:
    changes, message = CONTRADICTIONS[name]
    store.write_run(RUN, record(**changes))
    with pytest.raises(StoreError) as caught:
        store.read_rows()
    assert f"{store.run_file(RUN)}: the row of sgd seed 7 is inconsistent" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nulls_of_a_failed_run_are_consistent(store: Store) -> None:
    store.write_run(RUN, record(status=FAILED, error="x", **dict.fromkeys(outcome(0))))
    assert len(store.read_rows()) == 1


def test_two_rows_of_a_run_in_one_file_are_an_error(store: Store) -> None:
    rows = pa.Table.from_pylist([vars(record())] * 2, schema=SCHEMA)
    pq.write_table(rows, store.run_file(RUN))
    with pytest.raises(StoreError, match=r"there are two rows of sgd seed 7"):
        store.read_rows()


@pytest.mark.parametrize(
    "name", ["spec.json", "sweep.yaml", "looks.json", "runs.parquet", "runs/x.csv"]
)
def test_output_must_not_overwrite_results(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match=r"belongs to the results in "):
        require_output(store.directory / name, "the report", store.directory)
    require_output(store.directory / "report.html", "the report", store.directory)
    with pytest.raises(UsageError, match=r"the JSON to .*mine\.csv: that belongs"):
        require_output(store.directory / "mine.csv", "the JSON", store.directory / "mine.csv")


def test_no_rows_is_an_error(store: Store) -> None:
    with pytest.raises(UsageError, match="holds no runs"):
        load_runs(store.directory)
    store.write_run(RUN, record())
    for path in (store.directory, str(store.run_file(RUN))):
        runs = load_runs(path)
        assert runs["run_file"].tolist() == [str(store.run_file(RUN))]
        assert runs["test_correct"].tolist() == [9578]
    assert read_rows(store.run_file(RUN)).schema.equals(SCHEMA)


@pytest.mark.parametrize(
    "variant",
    ["adam[lr=0.003]", "a/../../b", "x" * 300, "naïve", "a b", 'quo"te', ".hidden", "adam-"],
)
def test_file_names_are_valid_and_unique(variant: str) -> None:
    stem = file_stem(variant)
    assert stem.isascii()
    assert not set(stem) & set('/\\[]()"* ')
    assert 0 < len(stem) < 80
    assert not stem.startswith(".")
    assert stem != file_stem(variant + "'")
    assert file_stem("rmsprop") == "rmsprop"


#: Variants whose names begin alike, and whose SHA-256 has the same first 24 bits.
SAME_24_BITS = [f"sgd[lr=0.{'1' * 60}{end}]" for end in (2983, 7489)]


def test_variants_whose_hashes_agree_in_24_bits_have_files_of_their_own(store: Store) -> None:
    runs = [replace(RUN, optimizer=replace(SGD, name=name)) for name in SAME_24_BITS]
    for run in runs:
        store.write_run(run, record(run))
    assert sorted(store.read_rows()["optimizer"].to_pylist()) == sorted(SAME_24_BITS)


def test_files_with_short_hashes_are_read_and_renamed(store: Store) -> None:
    run = replace(RUN, optimizer=replace(SGD, name="sgd[lr=0.1]"))
    store.write_run(run, record(run))
    current = store.run_file(run)
    old = current.with_name("sgd-lr=0.1-1a0428-seed0007.parquet")
    assert old.name == f"{file_stem('sgd[lr=0.1]', 6)}-seed0007.parquet"
    current.rename(old)
    assert store.read_rows()["optimizer"].to_pylist() == ["sgd[lr=0.1]"]
    assert list(store.repair().files) == [current]
    assert list(store.runs_directory.iterdir()) == [current]
