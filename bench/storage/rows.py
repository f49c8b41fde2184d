"""Read and write parquet files of rows."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import SpecError, StoreError
from bench.storage.compatibility import run_spec_of
from bench.storage.consistency import contradiction
from bench.storage.files import require_regular, write_stored
from bench.storage.intact import are_consistent, have_own_keys
from bench.storage.records import LATER_COLUMNS, SCHEMA, SCHEMA_VERSION

_ROWS_IN_GROUP = 64
#: For no more rows than this, the checks row by row are faster than those of whole columns.
_FEW = 64
#: Errors that do not depend on the content of a file.
_UNREACHABLE = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def is_unreachable(error: BaseException | None) -> bool:
    """Return whether a file could not be read for a reason other than its content."""
    return isinstance(error, MemoryError) or getattr(error, "errno", None) in _UNREACHABLE


def read_rows(file: Path, *, check: bool = True, content: bytes | None = None) -> pa.Table:
    """Read the rows of one file, with the columns and types of the schema.

    Without `check` only the checksums of the pages are verified, not what the rows say. With
    `content` this is read, which will be written to the file. Raise StoreError if the file is not a
    parquet file with this schema, or a row was altered.
    """
    with _opened(file, content) as source:
        is_large = source.num_row_groups > 1
        rows = in_schema(source.read(use_threads=is_large))
        if is_large:  # every group is a chunk, and all that follows would be slow
            rows = rows.combine_chunks()
        if check:
            refuse_altered(rows)
        return rows


def read_together(files: Sequence[Path]) -> pa.Table | None:
    """Read the files of single runs, and check their rows together.

    None if a row is altered, or a file has not one row with the columns of the others: they must be
    read one by one. Raise StoreError if a file is not a parquet file.
    """
    tables = []
    for file in files:
        with _opened(file) as source:
            tables.append(source.read(use_threads=False))
    try:
        rows = in_schema(pa.concat_tables(tables)).combine_chunks()
        refuse_altered(rows)
    except MemoryError:
        raise
    except (pa.ArrowException, KeyError, ValueError, SpecError):
        return None
    return rows if all(len(table) == 1 for table in tables) else None


def read_keys(file: Path) -> pa.ChunkedArray:
    """Read only the keys of the runs in one file; raise StoreError as :func:`read_rows`."""
    return read_columns(file, ["run_key"])["run_key"]


def read_columns(file: Path, names: Sequence[str]) -> pa.Table:
    """Read only some columns of one file, unchecked; raise StoreError as :func:`read_rows`."""
    with _opened(file) as source:
        return source.read(columns=names)


def count_rows(file: Path) -> int:
    """Return the number of rows in one file; raise StoreError as :func:`read_rows`."""
    with _opened(file) as source:
        return int(source.metadata.num_rows)


@contextmanager
def _opened(file: Path, content: bytes | None = None) -> Iterator[pq.ParquetFile]:
    """Open a parquet file; errors of the block become a StoreError that names it."""
    try:
        if content is None:
            require_regular(file)
        place = file if content is None else pa.BufferReader(content)
        # not read_table, which is slower and adds columns for directories named key=value
        with pq.ParquetFile(place, page_checksum_verification=True, pre_buffer=False) as source:
            yield source
    except MemoryError:  # pyarrow's is an ArrowException too, but the file is not damaged
        raise
    except (OSError, pa.ArrowException, KeyError, ValueError, SpecError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = " (the sweep command moves damaged files to quarantine/ and repeats their runs)"
        raise StoreError(
            f"cannot read the runs in {file}: {reason}{'' if is_unreachable(error) else advice}"
        ) from error


def in_schema(rows: pa.Table) -> pa.Table:
    """Convert rows to the schema; add the columns that older rows lack (LATER_COLUMNS)."""
    for name in LATER_COLUMNS.keys() - set(rows.column_names):
        value = pa.scalar(LATER_COLUMNS[name], SCHEMA.field(name).type)
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    rows = rows.select(SCHEMA.names)
    return rows if rows.schema.equals(SCHEMA) else rows.cast(SCHEMA)


def refuse_altered(rows: pa.Table) -> None:
    """Check that the key of each row is the hash of its specification, and that it is consistent.

    Raise ValueError if a row was altered, is present twice, or has another schema version.
    """
    for version in rows["schema_version"].unique().to_pylist():
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
    if len(rows) > _FEW and have_own_keys(rows) and are_consistent(rows):
        return
    seen: set[str] = set()
    for row in rows.to_pylist():
        name = f"{row['optimizer']} seed {row['seed']}"
        if run_spec_of(row).key != row["run_key"]:
            raise ValueError(f"the key of {name} does not match its specification")
        if row["run_key"] in seen:
            raise ValueError(f"there are two rows of {name}")
        seen.add(row["run_key"])
        if wrong := contradiction(row):
            raise ValueError(f"the row of {name} is inconsistent: {wrong}")


def write_rows(rows: pa.Table, file: Path) -> None:
    """Write rows to one parquet file of a results directory atomically.

    Raise StoreError if the file cannot be written.
    """
    write_stored(as_parquet(rows), file)


def as_parquet(rows: pa.Table) -> bytes:
    """Return the content of a parquet file of rows."""
    sink = pa.BufferOutputStream()
    # small row groups with checksums: a flipped bit is detected, and damages one group only
    pq.write_table(
        rows,
        sink,
        row_group_size=_ROWS_IN_GROUP,
        write_page_checksum=True,
        use_dictionary=False,  # Arrow does not verify the checksums of dictionary pages
    )
    return bytes(sink.getvalue().to_pybytes())
