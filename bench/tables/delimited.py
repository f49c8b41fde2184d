"""Split text with separators such as CSV: a header, and rows with the same number of cells.

Blank lines and comments, which begin with ``#``, are skipped. Two kinds of lines with ``#`` are not
comments: a header whose first name follows the ``#``, and rows whose first column holds values such
as ``#1``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock

import numpy as np

from bench.errors import TableError

COMMENT = "#"
#: Largest cell: a list of evaluations can exceed the default of Python, 131,072 characters.
_LONGEST_CELL = 2**31 - 1
_LIMIT_LOCK = Lock()


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """The cells of a file as text: names of the columns, and the cells of each column.

    `comments` are the line numbers of the comments that were skipped, from 1. `header_line` is the
    line of a header that begins with ``#``, None for any other header.
    """

    header: tuple[str, ...]
    columns: tuple[Sequence[str], ...]
    comments: tuple[int, ...]
    header_line: int | None


@dataclass(frozen=True)
class _Record:
    """A row: the number of its first line, its text, and its cells without outer spaces."""

    line: int
    text: str
    cells: tuple[str, ...]

    @property
    def is_marked(self) -> bool:
        """Whether it begins with ``#`` outside quotes."""
        return self.text.lstrip(" ").startswith(COMMENT)

    @property
    def unmarked(self) -> tuple[str, ...]:
        """The cells without ``#``."""
        return (self.cells[0].lstrip(COMMENT).strip(), *self.cells[1:])

    @property
    def place(self) -> str:
        return f"line {self.line}"

    @property
    def shown(self) -> str:
        text = self.text.rstrip("\r\n")
        return repr(text if len(text) <= 80 else f"{text[:77]}...")


def read_delimited(
    file: Path,
    text: str,
    separator: str,
    *,
    has_roles: Callable[[Sequence[str]], bool],
    value_of: Callable[[Sequence[str]], int | None],
) -> TextTable:
    """Split the text of `file` into cells.

    `has_roles` returns whether names contain all columns of the comparison; it distinguishes a
    header that begins with ``#`` from a comment. `value_of` returns the position of the column of
    results; it distinguishes a row that begins with ``#`` from a comment.

    Raise TableError if the file is empty, a quoted cell does not end, a row has too few or too many
    cells, or a line that begins with ``#`` may be a row as well as a comment.
    """
    plain = _read_plain(text, separator)
    if plain is not None:
        return plain
    with _LIMIT_LOCK:
        limit = csv.field_size_limit(_LONGEST_CELL)
        try:
            records = [r for r in _records(file, text, separator) if any(r.cells)]
        finally:
            csv.field_size_limit(limit)
    place = _place_of_header(file, records, has_roles)
    header, comments = records[place], records[:place]
    is_whole = has_roles(header.cells) or not header.is_marked
    columns = header.cells if is_whole else header.unmarked
    value = value_of(columns)
    rows, more = _split_comments(file, records[place + 1 :], len(columns), value)
    for row in rows:
        _refuse_ragged(file, row, len(columns))
    return TextTable(
        header=columns,
        columns=tuple(zip(*(row.cells for row in rows), strict=True)) or ((),) * len(columns),
        comments=tuple(comment.line for comment in [*comments, *more]),
        header_line=header.line if header.is_marked else None,
    )


def _read_plain(text: str, separator: str) -> TextTable | None:
    """Split a file without quotes, comments, blank lines and ragged rows, column by column.

    Return None for any other file: it is read row by row, which finds the line of an error.
    """
    text = text.replace("\r\n", "\n").strip("\n")
    if '"' in text or COMMENT in text or "\r" in text:
        return None
    header = tuple(cell.strip() for cell in text.partition("\n")[0].split(separator))
    if not text or not _is_rectangular(text, separator, len(header)):
        return None
    cells = text.replace("\n", separator).split(separator)
    n = len(header)
    columns = tuple([*map(str.strip, cells[n + place :: n])] for place in range(n))
    if not all(columns[0]):  # the row may be blank
        return None
    return TextTable(header=header, columns=columns, comments=(), header_line=None)


def _is_rectangular(text: str, separator: str, n_columns: int) -> bool:
    """Return whether every line has the separators of `n_columns` cells."""
    content = np.frombuffer(f"{text}\n".encode(), dtype=np.uint8)
    ends = np.flatnonzero(content == ord("\n"))
    separators = np.flatnonzero(content == ord(separator))
    counts = np.diff(np.searchsorted(separators, ends), prepend=0)
    return bool((counts == n_columns - 1).all())


def _records(file: Path, text: str, separator: str) -> Iterator[_Record]:
    """Yield all rows, comments and blank lines; a quoted cell may span several lines."""
    lines = iter(io.StringIO(text, newline=""))
    number = 1
    for first in lines:
        taken = [first]
        # a quote in a comment does not open a cell
        more = () if first.lstrip(" ").startswith(COMMENT) else _noted(lines, taken)
        reader = csv.reader(chain([first], more), delimiter=separator, skipinitialspace=True)
        cells = tuple(cell.strip() for cell in next(reader, ()))
        record = _Record(number, "".join(taken), cells)
        if not record.is_marked and _has_open_quote(taken, separator):
            raise TableError(f"{file}, {record.place}: a quoted cell does not end: {record.shown}")
        yield record
        number += len(taken)


def _noted(lines: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Yield lines, and append them to `taken`."""
    for line in lines:
        taken.append(line)
        yield line


def _has_open_quote(lines: Sequence[str], separator: str) -> bool:
    if sum(line.count('"') for line in lines) % 2 == 0:
        return False
    try:
        list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def _place_of_header(
    file: Path, records: Sequence[_Record], has_roles: Callable[[Sequence[str]], bool]
) -> int:
    """Return the index of the header: the first line that is not a comment.

    If that line lacks a column and a comment above it has all of them, the comment is the header.
    """
    first = next((i for i, record in enumerate(records) if not record.is_marked), len(records))
    if first == len(records) or not has_roles(records[first].cells):
        for place in range(first - 1, -1, -1):
            if has_roles(records[place].cells) or has_roles(records[place].unmarked):
                return place
    if first == len(records):
        raise TableError(f"{file} is empty: it needs a line of column names, then rows")
    return first


def _split_comments(
    file: Path, records: Sequence[_Record], n_columns: int, value: int | None
) -> tuple[list[_Record], list[_Record]]:
    """Return the rows and the comments.

    A line that begins with ``#`` can be a row if it has all cells, and a number in the column at
    position `value`. It is a row if all rows of the file begin with ``#``. It is a comment, a
    disabled row, if its first cell without ``#`` is that of another row.
    """
    plain = [record for record in records if not record.is_marked]
    marked = [record for record in records if record.is_marked]
    like_rows = [
        r
        for r in marked
        if len(r.cells) == n_columns and (value is None or _is_number(r.cells[value]))
    ]
    if not plain:
        return like_rows, [record for record in marked if record not in like_rows]
    known = {record.cells[0] for record in plain}
    for record in like_rows:
        if record.unmarked[0] not in known:
            raise TableError(
                f"{file}, {record.place} begins with {COMMENT!r} and has the cells of a row: put "
                "its first cell in quotes if it is a row, or remove the line if it is a comment: "
                f"{record.shown}"
            )
    return plain, marked


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _refuse_ragged(file: Path, row: _Record, n_columns: int) -> None:
    if len(row.cells) != n_columns:
        problem = "few" if len(row.cells) < n_columns else "many"
        raise TableError(
            f"{file}, {row.place} has too {problem} cells, {len(row.cells)} for {n_columns} "
            f"columns: {row.shown}"
        )
