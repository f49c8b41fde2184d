"""Read parquet and feather files: the columns of the file itself, without pandas' metadata."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import feather

from bench.errors import TableError
from bench.storage.records import SCHEMA

#: Columns of a sweep that hold bytes.
BYTES = tuple(f.name for f in SCHEMA if pa.types.is_binary(f.type))
#: First bytes of parquet files, and of feather files of both versions.
PARQUET, FEATHER = b"PAR1", (b"ARROW1", b"FEA1")


def read_arrow(
    file: Path, keeps: Callable[[str], bool]
) -> tuple[tuple[str, ...], pd.DataFrame, dict[str, int]]:
    """Return all names, a table of the columns that `keeps` accepts, and their numbers of NaNs.

    Binary columns of text are converted. Text that is not UTF-8 stays bytes.

    Raise TableError if a name is not text, or two columns have the same name.
    """
    with _names_in_utf8(file):
        table = _parquet(file) if begins_with(file, PARQUET) else feather.read_table(file)
        names = tuple(table.column_names)
    kept = [name for name in names if keeps(name)]
    for name in kept:
        if kept.count(name) > 1:
            raise TableError(f"{file} has more than one column {name!r}")
    columns = {}
    for name in kept:
        if re.fullmatch(r"__index_level_\d+__", name):
            continue
        column = table[name].to_pandas() if name in BYTES else _as_pandas(table[name])
        if column is not None:
            columns[name] = column
        elif name in SCHEMA.names:
            raise TableError(f"column {name!r} of {file} holds text that is not UTF-8")
    floats = [name for name in columns if pa.types.is_floating(table[name].type)]
    nans = {name: pc.sum(pc.is_nan(table[name])).as_py() or 0 for name in floats}
    return names, pd.DataFrame(columns, index=range(len(table))), nans


def begins_with(file: Path, *marks: bytes) -> bool:
    """Return whether the file begins with one of `marks`."""
    with file.open("rb") as opened:
        return opened.read(max(map(len, marks))).startswith(marks)


def _parquet(file: Path) -> pa.Table:
    # not read_table, which adds columns for directories named key=value
    with pq.ParquetFile(file) as opened:
        return opened.read()


@contextmanager
def _names_in_utf8(file: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise TableError(f"{file} has a column whose name is not text in UTF-8") from None


def _is_binary(kind: pa.DataType) -> bool:
    t = pa.types
    checks = (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
    return any(check(kind) for check in checks)


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return any(check(kind) for check in (t.is_string, t.is_large_string, t.is_string_view))


def _as_pandas(column: pa.ChunkedArray) -> pd.Series | None:
    """Convert a column to pandas, and binary columns to text if they are UTF-8.

    Text that is not UTF-8 stays bytes. Return None if such text is within lists or
    dictionaries.
    """
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if _is_binary(kind):
            column = column.cast(pa.string())
        column.validate(full=True)  # pandas decodes text only when it is used
        return column.to_pandas()
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (pa.ArrowException, ValueError):
        is_flat = _is_binary(kind) or _is_text(kind)
        return column.cast(pa.binary()).to_pandas() if is_flat else None
