"""Open a table of any format. The format is recognised by the content of the file.

Text can be compressed by gzip, and is in UTF-8, or in UTF-16 with a byte order mark.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bench.errors import StoreError, TableError, first_line
from bench.storage.files import require_regular
from bench.tables.arrow import FEATHER, PARQUET, begins_with, read_arrow
from bench.tables.cells import without_decimal_commas
from bench.tables.delimited import COMMENT, read_delimited
from bench.tables.json_tables import read_json

#: Separators of cells, and their names in messages; the first one wins a tie.
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
#: Endings of files that are read from a directory. Those of `UNSURE` often hold something else:
#: they are read from a directory without the others.
ENDINGS = tuple(
    f"{ending}{gz}"
    for gz in ("", ".gz")
    for ending in (".csv", ".tsv", ".parquet", ".pq", ".feather", ".jsonl", ".ndjson")
)
UNSURE = (".json", ".txt", ".json.gz", ".txt.gz")
_GZIP = b"\x1f\x8b"
#: Largest size of a decompressed file, bytes.
_LARGEST = 2**32
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """The columns of one file.

    Attributes
    ----------
    names
        Names of all columns of the file, also of those that were left out.
    columns
        One column each; cells of a text file are text.
    format
        Name of the format, for messages.
    is_text
        Whether the cells are text that may stand for numbers.
    comments
        Line numbers of the comments that were skipped, from 1.
    header_line
        Line of a header that begins with ``#``; None for any other header.
    nans
        Number of NaNs that are not null, by column.
    """

    names: tuple[str, ...]
    columns: pd.DataFrame
    format: str
    is_text: bool
    comments: tuple[int, ...] = ()
    header_line: int | None = None
    nans: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What is known of a table before it is read.

    `has_roles` returns whether names contain all columns of the comparison; `value_of` returns the
    position of the column of results, None if there is none. They distinguish comments from headers
    and rows. `keeps` returns whether a column is used. `block` names the keys of results in JSON.
    """

    has_roles: Callable[[Sequence[str]], bool]
    value_of: Callable[[Sequence[str]], int | None]
    keeps: Callable[[str], bool]
    block: str


def read_raw(file: Path, expected: Expected) -> RawTable:
    """Read one file.

    Raise TableError if it is not a table, and StoreError if it cannot be read.
    """
    try:
        require_regular(file)
        if begins_with(file, PARQUET, *FEATHER):
            names, columns, nans = read_arrow(file, expected.keeps)
            kind = "parquet" if begins_with(file, PARQUET) else "feather"
            return RawTable(names=names, columns=columns, format=kind, is_text=False, nans=nans)
        return _read_text(file, _decoded(file), expected)
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except TableError:
        raise
    except OSError as error:
        if error.strerror is None:  # raised by pyarrow and gzip for a damaged file
            raise TableError(f"{file} is not a table: {first_line(error)}") from error
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise TableError(f"{file} is not a table: {first_line(error)}") from error


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    if content.startswith(_GZIP):
        with gzip.open(io.BytesIO(content)) as opened:
            content = opened.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise TableError(f"{file} is larger than {_LARGEST:,} bytes without its compression")
    text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    if "\0" in text:
        raise TableError(f"{file} is not a table: it holds bytes that are not text")
    return text


def _read_text(file: Path, text: str, expected: Expected) -> RawTable:
    if _is_json(text):
        cells = read_json(file, text, block=expected.block, has_roles=expected.has_roles)
        kept = {name: column for name, column in cells.items() if expected.keeps(name)}
        return RawTable(names=tuple(cells), columns=_frame(kept), format="JSON", is_text=True)
    separator = _separator(file, text)
    read = read_delimited(
        file, text, separator, has_roles=expected.has_roles, value_of=expected.value_of
    )
    for name in read.header:
        if expected.keeps(name) and read.header.count(name) > 1:
            raise TableError(f"{file} has more than one column {name!r}")
    pairs = zip(read.header, read.columns, strict=True)
    columns = {name: column for name, column in pairs if expected.keeps(name)}
    kind = f"text with {SEPARATORS[separator]}"
    if separator != ",":
        read_columns = {name: without_decimal_commas(column) for name, column in columns.items()}
        with_points = {name: column for name, column in read_columns.items() if column is not None}
        columns.update(with_points)
        _refuse_points(file, columns, with_points, expected)
        kind += " and decimal commas" if with_points else ""
    return RawTable(
        names=read.header,
        columns=_frame(columns),
        format=kind,
        is_text=True,
        comments=read.comments,
        header_line=read.header_line,
    )


def _refuse_points(
    file: Path, columns: Mapping[str, Sequence[str]], read: Collection[str], expected: Expected
) -> None:
    """Raise TableError if results have points in a file with decimal commas: thousands or not?"""
    place = expected.value_of(tuple(columns))
    name = None if place is None else list(columns)[place]
    if not read or name is None or name in read:
        return
    odd = next((cell for cell in columns[name] if "." in cell), None)
    if odd is not None:
        raise TableError(
            f"{file} has decimal commas in column {next(iter(read))!r} and points in column "
            f"{name!r} ({odd}): write all numbers in one way"
        )


def _frame(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(cells, dtype=object) for name, cells in columns.items()}, dtype=object
    )


def _is_json(text: str) -> bool:
    return re.match(r'\s*(\{|\[\s*[\[{"\]])', text) is not None


def _separator(file: Path, text: str) -> str:
    """Return the separator that is most frequent in the first line that is no comment."""
    lines = (line for line in re.split(r"[\r\n]+", text[:100_000]) if line.strip())
    first = next((line for line in lines if not line.lstrip(" ").startswith(COMMENT)), "")
    counts = Counter(re.sub(r'"[^"]*"', "", first))
    preferred = "\t" if file.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    return max(SEPARATORS, key=lambda mark: (counts[mark], mark == preferred))
