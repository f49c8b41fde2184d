"""Stored rows for tests of the commands: parts of the committed example, which need no training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import bench
from bench.spec.model import SweepSpec
from bench.storage.rows import write_rows
from bench.storage.store import Store

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
