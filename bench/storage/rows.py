"""Parquet files of rows."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import SpecError, StoreError
from bench.storage.compatibility import run_spec_of
from bench.storage.consistency import contradiction
from bench.storage.files import write_atomically
from bench.storage.records import LATER_COLUMNS, SCHEMA, SCHEMA_VERSION

_ROWS_IN_GROUP = 64


#: Errors that say nothing about what is in a file.
_UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_unreachable(error: BaseException | None) -> bool:
    """Whether a file could not be read for a reason that lies outside it."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) in _UNREACHABLE


def read_rows(file: Path) -> pa.Table:
    """The rows of one file, in the columns and types of the schema.

    Raises
    ------
    StoreError
        If the file is not a parquet file of this layout.
    """
    try:
        # not read_table, which would look for more in the names of directories, and takes longer
        with pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False) as opened:
            is_large = opened.num_row_groups > 1
            rows = in_schema(opened.read(use_threads=is_large))
        refuse_altered(rows)
        return rows
    except (OSError, pa.ArrowException, KeyError, ValueError, SpecError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = " (the sweep's command sets a damaged file aside and does its runs again)"
        raise StoreError(
            f"cannot read the runs in {file}: {reason}{'' if is_unreachable(error) else advice}"
        ) from error


def in_schema(rows: pa.Table) -> pa.Table:
    """The columns of the schema; rows that were written before a column was there hold null."""
    for name in LATER_COLUMNS.difference(rows.column_names):
        rows = rows.append_column(name, pa.nulls(len(rows), SCHEMA.field(name).type))
    rows = rows.select(SCHEMA.names)
    return rows if rows.schema.equals(SCHEMA) else rows.cast(SCHEMA)


def refuse_altered(rows: pa.Table) -> None:
    """A row's key is the hash of its own specification, and what it says twice agrees; else
    somebody changed it.
    """
    for version in rows["schema_version"].unique().to_pylist():
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
    seen: set[str] = set()
    for row in rows.to_pylist():
        name = f"{row['optimizer']} seed {row['seed']}"
        if run_spec_of(row).key != row["run_key"]:
            raise ValueError(f"the row of {name} is not the run that its key names")
        if row["run_key"] in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(row["run_key"])
        if wrong := contradiction(row):
            raise ValueError(f"the row of {name} contradicts itself: {wrong}")


def write_rows(rows: pa.Table, file: Path) -> None:
    """Write rows as one parquet file, whole or not at all.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    sink = pa.BufferOutputStream()
    # a flipped bit costs a small group of rows, and is noticed
    pq.write_table(
        rows,
        sink,
        row_group_size=_ROWS_IN_GROUP,
        write_page_checksum=True,
        use_dictionary=False,  # pages of dictionaries have checksums that nobody verifies
    )
    write_atomically(sink.getvalue().to_pybytes(), file)
