"""Stored rows for tests of the commands: parts of the committed example, which need no training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import bench
from bench.analysis import SweepAnalysis, analyse_sweep
from bench.spec.model import SweepSpec
from bench.storage.compatibility import run_spec_of
from bench.storage.consistency import RESULTS
from bench.storage.records import FAILED, SCHEMA
from bench.storage.rows import write_rows
from bench.storage.store import Store, load_runs

Row = dict[str, Any]
Edit = Callable[[Row], None]
EXAMPLE = Path(bench.__file__).parents[1] / "results" / "example"


def copy_example(directory: Path) -> Path:
    """The example's directory, whose ledger may be written to."""
    return Path(shutil.copytree(EXAMPLE, directory / "results" / "example"))


def three_seeds(directory: Path, optimizers: tuple[str, ...] = ()) -> Path:
    """The directory of a sweep of the example's first seeds, declared, and not yet looked at.

    It has all of the example's optimizers unless some are named.
    """
    example, store = Store(EXAMPLE), Store(directory / "results" / "three")
    spec = SweepSpec.from_json(example.spec_file.read_text())
    kept = tuple(o for o in spec.optimizers if o.name in optimizers or not optimizers)
    store.create()
    declared = replace(spec, name="three", seeds=(0, 1, 2), optimizers=kept)
    store.spec_file.write_text(declared.to_json())
    rows = example.read_rows()
    is_first = pc.less(rows["seed"], 3)
    is_kept = pc.is_in(rows["optimizer"], pa.array([o.name for o in kept]))
    write_rows(rows.filter(pc.and_(is_first, is_kept)), store.rows_file)
    return store.directory


def few_rows(directory: Path, optimizers: tuple[str, ...] = ("momentum", "adam", "sgd")) -> Path:
    """A file of some optimizers' rows: small, and without a declaration or a ledger."""
    rows = pq.read_table(EXAMPLE / "runs.parquet")
    file = directory / "few.parquet"
    write_rows(rows.filter(pc.is_in(rows["optimizer"], pa.array(optimizers))), file)
    return file


@cache
def sequential_example(seeds: int = 20, margin: float = 0.0025) -> SweepAnalysis:
    """Four of the example's optimizers at looks after 8, 12 and 20 seeds.

    The first look has too few seeds for a difference, and the second decides all pairs but momentum
    and nesterov. At the third they are equivalent within a quarter of a point, and they stay open
    with a smaller margin.
    """
    rows = load_runs(EXAMPLE)
    names = ("momentum", "nesterov", "sgd", "adagrad")
    kept = rows[rows["optimizer"].isin(names) & (rows["seed"] < seeds)].reset_index(drop=True)
    return analyse_sweep(kept, name="example", margin=margin, until_decided=(8, 12, 20))


def edited(sweep: Path, file: Path | str, *edits: Edit, only: str | None = None) -> Path:
    """Write rows of a sweep, or of one optimizer, that all `edits` changed, with another date."""
    rows = [r for r in Store(sweep).read_rows().to_pylist() if only in (None, r["optimizer"])]
    for row in rows:
        row["started_at"] = row["started_at"].replace(year=2030)
        for edit in edits:
            edit(row)
        row["run_key"] = run_spec_of(row).key
    write_rows(pa.Table.from_pylist(rows, schema=SCHEMA), Path(file))
    return Path(file)


def columns(**values: object) -> Edit:
    return lambda row: row.update(values)


def failed(error: str) -> Edit:
    """Turn rows into those of failed runs, which have no results."""
    return columns(status=FAILED, error=error, **dict.fromkeys(RESULTS))
