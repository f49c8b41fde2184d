"""Rows of a large sweep in several files: none is lost, and every file is bounded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _cases import some
from _rows import RUN, record
from _stored import three_seeds

import bench
from bench.cli import main
from bench.errors import MixedRunsError, StoreError
from bench.spec.model import RunSpec, SweepSpec
from bench.storage import row_files, store
from bench.storage.records import SCHEMA
from bench.storage.row_files import ORDER, add_rows, rows_files
from bench.storage.rows import as_parquet, read_rows, write_rows
from bench.storage.run_files import sound_rows
from bench.storage.store import Store
from bench.tables.read import is_sweep

MOST = 10


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty sweep whose files have at most ten rows."""
    for module in (row_files, store):
        monkeypatch.setattr(module, "MOST_ROWS", MOST)
    sweep = Store(tmp_path / "sweep")
    sweep.create()
    return sweep


def table(seeds: range, **changes: object) -> pa.Table:
    rows = [vars(record(run_of(seed), **changes)) for seed in seeds]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def run_of(seed: int) -> RunSpec:
    return replace(RUN, seed=seed)


def write_singles(sweep: Store, seeds: range, **changes: object) -> None:
    sweep.create()
    for seed in seeds:
        sweep.write_run(run_of(seed), record(run_of(seed), **changes))


def sizes(sweep: Store) -> dict[str, int]:
    return {file.name: len(read_rows(file)) for file in sweep.rows_files()}


def seeds_of(sweep: Store) -> list[int]:
    return sorted(sweep.read_rows()["seed"].to_pylist())


def test_few_rows_are_one_file_in_the_order_of_the_plan(sweep: Store) -> None:
    write_singles(sweep, range(MOST))
    sweep.compact()
    assert sizes(sweep) == {"runs.parquet": MOST}
    assert sweep.rows_file.read_bytes() == as_parquet(table(range(MOST)).sort_by(ORDER))
    assert not sweep.runs_directory.exists()


def test_more_rows_are_more_files_and_full_ones_stay_as_they_are(sweep: Store) -> None:
    write_singles(sweep, range(24))
    sweep.compact()
    names = ["runs.parquet", "runs-0001.parquet", "runs-0002.parquet"]
    assert sizes(sweep) == dict(zip(names, (10, 10, 4), strict=True))
    before = [file.stat().st_mtime_ns for file in sweep.rows_files()[:2]]
    write_singles(sweep, range(24, 33))
    write_singles(sweep, range(22, 23), train_seconds=3.5)
    sweep.compact()
    assert sizes(sweep) == dict(zip([*names, "runs-0003.parquet"], (10, 10, 10, 3), strict=True))
    assert [file.stat().st_mtime_ns for file in sweep.rows_files()[:2]] == before
    times = {row["seed"]: row["train_seconds"] for row in sweep.read_rows().to_pylist()}
    assert times == {seed: 3.5 if seed == 22 else 2.5 for seed in range(33)}


def test_a_run_that_is_done_again_stays_in_its_file(sweep: Store) -> None:
    add_rows(table(range(24)), sweep.directory)
    places = {file: set(read_rows(file)["seed"].to_pylist()) for file in sweep.rows_files()}
    write_singles(sweep, range(5, 15), train_seconds=3.5)
    sweep.compact()
    assert {file: {*read_rows(file)["seed"].to_pylist()} for file in sweep.rows_files()} == places
    times = {row["seed"]: row["train_seconds"] for row in sweep.read_rows().to_pylist()}
    assert times == {seed: 3.5 if 5 <= seed < 15 else 2.5 for seed in range(24)}


def test_a_file_of_an_earlier_version_with_more_rows_stays(sweep: Store) -> None:
    write_rows(table(range(15)), sweep.rows_file)
    add_rows(table(range(14, 17)), sweep.directory)
    assert sizes(sweep) == {"runs.parquet": 15, "runs-0001.parquet": 2}


#: Calls after which a compaction of 24 rows into three files, the first of which is there already,
#: is interrupted: the function, and how often it is called before.
STEPS = [
    *(("write_stored", n) for n in range(4)),
    *(("read_rows", n) for n in range(10)),
    *(("unlink", n) for n in (0, 5, 9, 10, 17)),
]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rows in a file of many, and nineteen in files of their own, one of them done again."""
    sweep = Store(tmp_path_factory.mktemp("begun") / "sweep")
    write_singles(sweep, range(5, 24), train_seconds=3.5)
    add_rows(table(range(6)), sweep.directory)
    return sweep.directory


@pytest.mark.parametrize(("name", "n_before"), some(STEPS, 8))
@pytest.mark.parametrize("error", [KeyboardInterrupt, StoreError])
def test_an_interruption_loses_no_row(
    begun: Path,
    sweep: Store,
    name: str,
    n_before: int,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(begun, sweep.directory, dirs_exist_ok=True)
    before = sweep.read_rows().sort_by("seed")
    with monkeypatch.context() as patch:
        target = Path if name == "unlink" else row_files
        patch.setattr(target, name, _failing(getattr(target, name), n_before, error))
        with pytest.raises(error):
            sweep.compact()
    assert sweep.read_rows().sort_by("seed").equals(before)
    sweep.tidy()
    assert sweep.repair().damage == ()
    sweep.compact()
    assert sweep.read_rows().sort_by("seed").equals(before)
    assert [*sizes(sweep).values()] == [10, 10, 4]


def _failing(
    function: Callable[..., object], n_before: int, error: type[BaseException]
) -> Callable[..., object]:
    left = n_before

    def call(*arguments: object, **options: object) -> object:
        nonlocal left
        is_counted = function.__name__ != "unlink" or str(arguments[0]).endswith(".parquet")
        left -= is_counted
        if is_counted and left < 0:
            raise error("interrupted")
        return function(*arguments, **options)

    return call


def test_only_the_runs_of_a_damaged_file_are_repeated(sweep: Store) -> None:
    add_rows(table(range(24)), sweep.directory)
    damaged = sweep.rows_files()[1]
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"cannot read the runs in .*runs-0001\.parquet"):
        sweep.read_rows()
    (found,) = sweep.repair(SweepSpec(name="x", optimizers=(RUN.optimizer,), seeds=(1,))).damage
    assert (found.file, found.target) == (damaged, sweep.quarantine_directory / damaged.name)
    assert seeds_of(sweep) == [*range(10), *range(20, 24)]
    write_singles(sweep, range(10, 20))
    sweep.compact()
    assert seeds_of(sweep) == [*range(24)]
    assert [*sizes(sweep).values()] == [10, 10, 4]


def test_valid_rows_of_a_damaged_file_are_kept(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.storage.rows._ROWS_IN_GROUP", 5)
    add_rows(table(range(24)), sweep.directory)
    damaged = sweep.rows_files()[1]
    content = bytearray(damaged.read_bytes())
    group = pq.ParquetFile(damaged).metadata.row_group(1)
    content[group.column(0).data_page_offset + 200] ^= 1
    damaged.write_bytes(content)
    assert [found.file for found in sweep.repair().damage] == [damaged]
    assert seeds_of(sweep) == [*range(15), *range(20, 24)]


def test_a_run_in_two_files_is_an_error_that_names_both(sweep: Store) -> None:
    add_rows(table(range(24)), sweep.directory)
    other = sweep.directory / "runs-0007.parquet"
    write_rows(table(range(12, 13), train_seconds=9.0), other)
    for read in (sweep.read_rows, sweep.repair):
        with pytest.raises(
            MixedRunsError, match=r"runs-0001\.parquet and .*runs-0007\.parquet hold the same run"
        ):
            read()


def test_a_reader_finds_every_row_while_files_are_put_together(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_singles(sweep, range(24))
    monkeypatch.setattr(store, "_AT_A_TIME", 4)
    batches = iter(range(100))

    def overtaken(files: Sequence[Path]) -> pa.Table | None:
        if next(batches) == 3:
            monkeypatch.setattr(store, "sound_rows", sound_rows)
            sweep.compact()
        return sound_rows(files)

    monkeypatch.setattr(store, "sound_rows", overtaken)
    assert seeds_of(sweep) == [*range(24)]


def test_sound_files_are_checked_together_and_others_one_by_one(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_singles(sweep, range(8))
    monkeypatch.setattr(store, "_AT_A_TIME", 4)
    alone = []
    read = Store._read_run

    def counted(self: Store, file: Path) -> pa.Table:
        alone.append(file.name)
        return read(self, file)

    monkeypatch.setattr(Store, "_read_run", counted)
    assert (len(sweep.read_rows()), alone) == (8, [])
    damaged = sweep.run_file(run_of(6))
    write_rows(table(range(6, 7), test_correct=9577), damaged)
    with pytest.raises(StoreError, match=f"{damaged.name}: the row of sgd seed 6 is inconsistent"):
        sweep.read_rows()
    assert alone == [sweep.run_file(run_of(seed)).name for seed in (4, 5, 6)]
    assert [found.file for found in sweep.repair().damage] == [damaged]
    assert seeds_of(sweep) == [0, 1, 2, 3, 4, 5, 7]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["runs-0002.parquet", "runs.parquet"], ["runs.parquet", "runs-0002.parquet"]),
        (
            ["runs-10000.parquet", "runs-9999.parquet", "runs-1.parquet", "runs-0001.parquet.bak"],
            ["runs-9999.parquet", "runs-10000.parquet"],
        ),
    ],
)
def test_files_are_listed_by_their_numbers(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [file.name for file in rows_files(tmp_path)] == expected


def test_an_older_name_of_a_run_in_another_batch_is_an_error(sweep: Store) -> None:
    """Of two files of one run, the later one would replace the row of the earlier."""
    runs = [
        replace(run_of(seed), optimizer=replace(RUN.optimizer, name="sgd[lr=0.1]"))
        for seed in range(12)
    ]
    for run in runs:
        sweep.write_run(run, record(run))
    current = sweep.run_file(runs[11])
    older = current.with_name("sgd-lr=0.1-1a0428-seed0011.parquet")
    os.link(current, older)
    with pytest.raises(MixedRunsError, match=f"{older.name} and .*{current.name} hold the same"):
        sweep.compact()


def test_content_that_does_not_hold_the_rows_replaces_no_file(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(table(range(6)), sweep.directory)
    before = sweep.rows_file.read_bytes()
    monkeypatch.setattr(row_files, "as_parquet", lambda rows: as_parquet(rows.slice(1)))
    with pytest.raises(StoreError, match=r"cannot write .*runs\.parquet: its content would not"):
        add_rows(table(range(4, 8)), sweep.directory)
    assert sweep.rows_file.read_bytes() == before


@pytest.mark.long
def test_putting_rows_together_needs_the_memory_of_few_files(
    sweep: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 500
    for module in (row_files, store):
        monkeypatch.setattr(module, "MOST_ROWS", most)
    pool = pa.default_memory_pool()
    peaks = []
    for n in (2, 12):
        target = Store(sweep.directory / str(n))
        write_singles(target, range(n * most))
        with monkeypatch.context() as patch:
            patch.setattr(Store, "read_files", lambda _: {})
            before = pool.bytes_allocated()
            target.compact()
            peaks.append(pool.max_memory() - before)
        assert len(target.rows_files()) == n
    assert peaks[1] < 1.5 * peaks[0]


def test_commands_read_several_files_as_they_read_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(row_files, "MOST_ROWS", 5)
    printed = []
    for name in ("one", "several"):
        directory = three_seeds(tmp_path / name, ("adam", "momentum", "sgd"))
        rows = Store(directory).read_rows()
        if name == "several":
            Store(directory).rows_file.unlink()
            add_rows(rows, directory)
            assert [*sizes(Store(directory)).values()] == [5, 4]
        assert main(["analyze", str(directory), "--json", "-"]) == 0
        document = json.loads(capsys.readouterr().out)
        printed.append({**document, "looks": None})
        Store(directory).looks_file.unlink()
    assert printed[0] == printed[1]
    merged = bench.merge([tmp_path / "one/results/three", directory], results=tmp_path / "merged")
    assert (merged.n_missing, [*sizes(Store(merged.directory)).values()]) == (0, [5, 4])
    assert Store(merged.directory).read_rows().equals(rows.sort_by(ORDER))
    Store(directory).rows_file.unlink()
    Store(directory).spec_file.unlink()
    assert is_sweep(directory)
