"""Files of many rows in the directory of a sweep.

The rows of a small sweep are in ``runs.parquet``. A larger one has ``runs-0001.parquet`` and so on
beside it, each with at most :data:`MOST_ROWS` rows, so that adding rows needs the memory of one
file. The row of a run stays in the file that it was first written to: no row is ever moved from
one file to another, and a reader finds every row at any time.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import SpecError, StoreError
from bench.storage.files import require_regular, write_stored
from bench.storage.records import FAILED, SCHEMA
from bench.storage.rows import (
    as_parquet,
    count_rows,
    in_schema,
    read_columns,
    read_keys,
    read_rows,
    refuse_altered,
)

#: Largest number of rows in one file: about 40 MB with 10,000 test images.
MOST_ROWS = 20_000
FIRST = "runs.parquet"
_NAME = re.compile(r"runs(?:-([0-9]{4,9}))?\.parquet", re.ASCII)
#: Order of the rows in a file.
ORDER = [("optimizer", "ascending"), ("seed", "ascending")]


def holds_many_rows(name: str) -> bool:
    """Return whether this is the name of a file of many rows."""
    return _NAME.fullmatch(name) is not None


def rows_files(directory: Path) -> tuple[Path, ...]:
    """Return the files of many rows in `directory`, in the order of their numbers.

    Raise StoreError if the directory cannot be read.
    """
    try:
        found = [match for name in os.listdir(directory) if (match := _NAME.fullmatch(name))]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise StoreError(f"cannot read {directory}: {error.strerror}") from error
    found.sort(key=lambda match: (int(match[1] or 0), match[0]))
    return tuple(directory / match[0] for match in found)


def finished_runs(directory: Path) -> set[str]:
    """Return the keys of the runs with a row that has not failed, in the files of many rows.

    Raise StoreError if a file cannot be read.
    """
    found: set[str] = set()
    for file in rows_files(directory):
        rows = read_columns(file, ["run_key", "status"])
        found |= {*rows.filter(pc.not_equal(rows["status"], FAILED))["run_key"].to_pylist()}
    return found


def add_rows(rows: pa.Table, directory: Path) -> None:
    """Add rows to the files of `directory`; a row replaces that of the same run.

    Every file is written atomically, compared before and read back after it. An interruption loses
    no stored row. Raise StoreError if a file cannot be read or written.
    """
    files = rows_files(directory)
    for file in files:
        rows = _replace_in(file, rows)
    has_room = bool(files) and count_rows(files[-1]) < MOST_ROWS
    file = files[-1] if has_room else _following(files, directory)
    while len(rows):
        rows = _fill(file, rows)
        file = _following(rows_files(directory), directory)


def _replace_in(file: Path, rows: pa.Table) -> pa.Table:
    """Replace the rows of runs that are in `file`, and return the others."""
    is_in = pc.is_in(rows["run_key"], read_keys(file))
    newer = rows.filter(is_in)
    if not len(newer):
        return rows
    before = read_rows(file)
    kept = without_runs(before, newer["run_key"])
    changed = pa.concat_tables([kept, newer]).sort_by(ORDER)
    if not changed.equals(before):
        _write(changed, file)
    return rows.filter(pc.invert(is_in))


def _fill(file: Path, rows: pa.Table) -> pa.Table:
    """Add rows of new runs to `file`, which has room, until it is full; return the others."""
    before = read_rows(file) if os.path.lexists(file) else SCHEMA.empty_table()
    room = MOST_ROWS - len(before)
    _write(pa.concat_tables([before, rows.slice(0, room)]).sort_by(ORDER), file)
    return rows.slice(room)


def without_runs(rows: pa.Table, keys: pa.ChunkedArray) -> pa.Table:
    """Return the rows of all other runs than those with these keys."""
    return rows.filter(pc.invert(pc.is_in(rows["run_key"], keys)))


def valid_rows(file: Path) -> pa.Table:
    """Return the rows of a damaged file that can be read and are consistent."""
    valid: dict[str, pa.Table] = {}
    try:
        require_regular(file)
        source = pq.ParquetFile(file, page_checksum_verification=True)
        groups = source.num_row_groups
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (OSError, pa.ArrowException):
        return SCHEMA.empty_table()
    for number in range(groups):
        try:
            group = in_schema(source.read_row_group(number))
        except MemoryError:
            raise
        except (OSError, pa.ArrowException, KeyError, ValueError):
            continue
        for place in range(len(group)):
            row = group.slice(place, 1)
            with suppress(ValueError, SpecError):
                refuse_altered(row)
                valid.setdefault(row["run_key"][0].as_py(), row)
    return pa.concat_tables([SCHEMA.empty_table(), *valid.values()])


def _write(rows: pa.Table, file: Path) -> None:
    """Write rows if they can be read from the content; read them back from the file."""
    content = as_parquet(rows)
    if not read_rows(file, check=False, content=content).equals(rows):
        raise StoreError(f"cannot write {file}: its content would not be the rows")
    write_stored(content, file)
    if not read_rows(file, check=False).equals(rows):
        raise StoreError(f"{file} does not hold what was written to it")


def _following(files: tuple[Path, ...], directory: Path) -> Path:
    """Return the path of the file after the last of `files`."""
    if not files:
        return directory / FIRST
    match = _NAME.fullmatch(files[-1].name)
    number = int(match[1] or 0) if match else 0
    return directory / f"runs-{number + 1:04d}.parquet"
