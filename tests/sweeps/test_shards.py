"""Shards of a sweep, trained in different places and merged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from _stored import Row, columns, edited, failed
from conftest import CommandCall
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.errors import BenchError, MixedRunsError, SpecError, UsageError
from bench.spec.model import SweepSpec
from bench.spec.shards import Shard, parse_shard
from bench.storage.records import SCHEMA
from bench.storage.rows import write_rows
from bench.storage.store import Store

TIMES = ("started_at", "train_seconds", "eval_seconds", "eval_train_seconds")
N_SHARDS = 3


@given(st.integers(0, 200), st.integers(1, 50))
def test_every_run_is_in_one_shard(n_runs: int, total: int) -> None:
    parts = [Shard(number=n, total=total).of(range(n_runs)) for n in range(1, total + 1)]
    assert [run for part in parts for run in part] == [*range(n_runs)]
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "text", ["", "3", 3, "0/3", "4/3", "1/0", "-1/3", "1/10001", "1/2/3", "a/b"]
)
def test_wrong_shards(text: Any) -> None:
    with pytest.raises(SpecError, match="a shard must be"):
        parse_shard(text)


def declared(**changes: Any) -> SweepSpec:
    settings = {"dataset": "digits", "optimizers": "sgd,adam", "seeds": 4, "iterations": 10}
    return bench.specify(**{**settings, "name": "x", **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shards")
    for number in range(1, N_SHARDS + 1):
        bench.sweep(declared(), results=directory, in_process=True, shard=f"{number}/{N_SHARDS}")
    return directory


@pytest.fixture
def copies(shards: Path, tmp_path: Path) -> list[Path]:
    """The directories of the shards, which a test may change."""
    return [Path(shutil.copytree(d, tmp_path / d.name)) for d in sorted(shards.iterdir())]


def rows_of(directory: Path) -> list[Row]:
    return Store(directory).read_rows().drop_columns(list(TIMES)).to_pylist()  # type: ignore[no-any-return]


def test_merged_shards_are_the_whole_sweep(copies: list[Path], tmp_path: Path) -> None:
    """Rows are the same, times aside, and in the same order."""
    bench.sweep(declared(), results=tmp_path / "whole", in_process=True)
    assert [len(Store(d).read_rows()) for d in copies] == [2, 3, 3]
    merged = bench.merge(copies, results=tmp_path / "merged")
    assert (merged.n_planned, merged.n_missing, merged.n_failed) == (8, 0, 0)
    assert rows_of(merged.directory) == rows_of(tmp_path / "whole" / "x")
    assert Store(merged.directory).read_spec() == declared()
    before = (merged.directory / "runs.parquet").read_bytes()
    again = bench.merge([merged.directory, *copies[::-1]], results=tmp_path / "merged")
    assert again == merged
    assert (merged.directory / "runs.parquet").read_bytes() == before
    bench.sweep(declared(), results=tmp_path / "merged", in_process=True)  # nothing is missing
    assert (merged.directory / "runs.parquet").read_bytes() == before


def test_shards_are_merged_as_they_arrive(copies: list[Path], tmp_path: Path) -> None:
    found = [bench.merge([copy], results=tmp_path / "merged") for copy in copies]
    assert [merged.n_missing for merged in found] == [6, 3, 0]
    assert len(rows_of(tmp_path / "merged" / "x")) == 8


def test_a_failed_run_is_replaced(copies: list[Path], tmp_path: Path) -> None:
    broken = Path(shutil.copytree(copies[0], tmp_path / "broken"))
    edited(broken, broken / "runs.parquet", failed("no step"))
    for sources in ([broken, copies[0]], [copies[0], broken]):
        merged = bench.merge(sources, results=tmp_path / f"in{sources[0].name}")
        assert (merged.n_missing, merged.n_failed) == (6, 0)
    alone = bench.merge([broken], results=tmp_path / "alone")
    assert (alone.n_missing, alone.n_failed) == (8, 2)


def test_an_interrupted_target_is_merged_too(copies: list[Path], tmp_path: Path) -> None:
    """Separate files of its runs do not replace merged rows."""
    target = Store(tmp_path / "merged" / "x")
    bench.sweep(declared(), results=tmp_path / "merged", in_process=True)
    target.runs_directory.mkdir()
    rows = target.read_rows().to_pylist()
    for run in declared().plan()[:2]:
        row = [r for r in rows if r["run_key"] == run.key]
        failed("no step")(row[0])
        write_rows(pa.Table.from_pylist(row, schema=SCHEMA), target.run_file(run))
    merged = bench.merge(copies, results=tmp_path / "merged")
    assert (merged.n_missing, merged.n_failed) == (0, 0)
    assert {row["status"] for row in rows_of(target.directory)} == {"ok"}


def test_a_target_without_a_declaration_is_left_alone(copies: list[Path], tmp_path: Path) -> None:
    target = Path(shutil.copytree(copies[0], tmp_path / "merged" / "x"))
    (target / "spec.json").unlink()
    before = (target / "runs.parquet").read_bytes()
    with pytest.raises(MixedRunsError, match="holds runs without a declaration"):
        bench.merge(copies, results=tmp_path / "merged")
    assert (target / "runs.parquet").read_bytes() == before


def test_looks_at_a_source_are_kept(copies: list[Path], tmp_path: Path) -> None:
    ledger = '{"looks": []}'
    (copies[0] / "looks.json").write_text(ledger)
    merged = bench.merge(copies, results=tmp_path / "merged")
    assert (merged.directory / "looks.json").read_text() == ledger
    (copies[1] / "looks.json").write_text('{"looks": [] }')
    for results in ("merged", "other"):
        with pytest.raises(UsageError, match=r"lists of looks \(looks.json\) must be the same"):
            bench.merge(copies, results=tmp_path / results)


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        (5, {}, "sources must be directories of a sweep, got 5"),
        ([None], {}, "sources must be directories"),
        ([], {}, "there is nothing to merge"),
        (["x"], {"results": None}, "results must be a directory, got None"),
        (["x"], {"mix_devices": "x"}, "mix_devices must be True or False, got 'x'"),
        (__file__, {}, "expected the directory of a sweep"),
    ],
)
def test_arguments_of_other_types(sources: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bench.merge(sources, **options)


def test_devices_can_be_mixed(copies: list[Path], tmp_path: Path) -> None:
    edited(copies[0], copies[0] / "runs.parquet", columns(device="cuda"))
    with pytest.raises(MixedRunsError, match="mix devices on purpose with --mix-devices"):
        bench.merge(copies, results=tmp_path / "merged")
    assert bench.merge(copies, results=tmp_path / "merged", mix_devices=True).n_missing == 0


def test_watching_a_shard(call_command: CommandCall, copies: list[Path]) -> None:
    assert "sweep x: 2/2 runs, 0 failed, finished" in call_command("watch", copies[0]).out


def other_loss(row: Row) -> None:
    row["test_loss"] += 1e-9
    row["eval_test_loss"][-1] = row["test_loss"]


CONFLICTS: list[tuple[Callable[[Path], object], type[BenchError], str]] = [
    (
        lambda d: edited(d, d / "runs.parquet", other_loss),
        MixedRunsError,
        "hold different results of adam seed 0, in the column eval_test_loss: remove one of them",
    ),
    (
        lambda d: edited(d, d / "runs.parquet", columns(torch_version="9.9.9")),
        MixedRunsError,
        "torch_version=9.9.9",
    ),
    (
        lambda d: Store(d).write_spec(declared(alpha=0.01)),
        MixedRunsError,
        "are of different sweeps: alpha is 0.01 and 0.05",
    ),
    (
        lambda d: Store(d).write_spec(declared(optimizers="adam,sgd")),
        MixedRunsError,
        "optimizers is adam, sgd and sgd, adam",
    ),
    (
        lambda d: Store(d).write_spec(declared(seeds=5)),
        MixedRunsError,
        "are of different sweeps: seeds is 0-4 and 0-3",
    ),
    (lambda d: Store(d).spec_file.unlink(), UsageError, "no sweep at .*: expected the directory"),
    (
        lambda d: Store(d).rows_file.write_bytes(b"PAR1"),
        BenchError,
        "runs.parquet",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), CONFLICTS)
def test_what_does_not_fit_is_refused(
    change: Callable[[Path], object],
    error: type[BenchError],
    message: str,
    copies: list[Path],
    tmp_path: Path,
) -> None:
    other = Path(shutil.copytree(copies[0], tmp_path / "other"))
    change(other)
    with pytest.raises(error, match=message):
        bench.merge([*copies, other], results=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_runs_outside_the_plan_are_refused(copies: list[Path], tmp_path: Path) -> None:
    for copy in copies:
        spec = Store(copy).read_spec()
        assert spec is not None
        Store(copy).write_spec(replace(spec, seeds=(0, 1, 2)))
    with pytest.raises(MixedRunsError, match="holds 2 runs that are not in the plan"):
        bench.merge(copies, results=tmp_path / "merged")


@pytest.mark.usefixtures("undrawn", "digits")
def test_the_commands(call_command: CommandCall) -> None:
    words = ("--dataset", "digits", "--optimizers", "sgd,adam", "--seeds", "3", "--iterations", "9")
    for number in (1, 2):
        shard = ("--shard", f"{number}/2", "--in-process")
        found = call_command("sweep", *words, "--name", "x", *shard)
        assert (found.code, found.err) == (0, "")
        assert f"shard {number}/2: 3 runs in results/x-shard{number}of2; when" in found.out
    again = call_command("sweep", *words, "--name", "x", *shard)
    assert "nothing to do: 3 runs are stored" in again.out
    assert not (call_command.directory / "reports").exists()
    merged = call_command("merge", "results/x-shard1of2", "results/x-shard2of2")
    assert merged.code == 0
    assert merged.out.startswith("merged: 6 of 6 runs in results/x, 0 failed\n")
    assert call_command("report", "results/x", "--format", "markdown", "--output", "-").code == 0


def test_looks_cannot_be_divided(tmp_path: Path) -> None:
    spec = declared(seeds=None, until_decided=(8, 12))
    with pytest.raises(SpecError, match="cannot be divided into shards"):
        bench.sweep(spec, results=tmp_path, shard="1/2")
    assert not any(tmp_path.iterdir())
