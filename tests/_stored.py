"""Stored rows for tests of the commands: parts of the committed example, which need no training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import bench
from bench.store import write_rows

EXAMPLE = Path(bench.__file__).parents[1] / "results" / "example"


def copy_example(directory: Path) -> Path:
    """The example's directory, whose ledger may be written to."""
    return Path(shutil.copytree(EXAMPLE, directory / "results" / "example"))


def few_rows(directory: Path, optimizers: tuple[str, ...] = ("momentum", "adam", "sgd")) -> Path:
    """A file of some optimizers' rows: small, and without a declaration or a ledger."""
    rows = pq.read_table(EXAMPLE / "runs.parquet")
    file = directory / "few.parquet"
    write_rows(rows.filter(pc.is_in(rows["optimizer"], pa.array(optimizers))), file)
    return file
