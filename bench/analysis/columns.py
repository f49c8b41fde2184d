"""Validation of the columns of a table of runs: names, cells and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from numbers import Integral, Real

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.stats.rounding import FloatArray
from bench.errors import TableError
from bench.storage.records import FILE_COLUMN, ROW_COLUMN

#: Largest accepted number: sums of squares of larger numbers could overflow.
LARGEST = 1e150

#: Text that marks a missing number, in lower case.
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "null", "none"})
#: Texts of numbers that are not finite, and of the others.
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def prepared(table: object) -> pd.DataFrame:
    """Return a copy of a table with rows numbered from 0 and column names as text.

    Raise TableError if it is not a DataFrame, or its columns have several levels.
    """
    if not isinstance(table, pd.DataFrame):
        raise TableError(f"the table must be a pandas DataFrame, got {type(table).__name__}")
    if isinstance(table.columns, pd.MultiIndex):
        raise TableError(
            "the table must have one level of column names, got "
            f"{table.columns.nlevels} such as {brief(table.columns[-1])}: flatten them with "
            "table.columns = ['_'.join(map(str, c)).strip('_') for c in table.columns]"
        )
    copied = table.copy()  # in one block: pandas warns of insertions into fragmented tables
    copied.index = pd.RangeIndex(len(copied))
    copied.columns = pd.Index([str(name) for name in copied.columns], dtype=object)
    sparse = copied.dtypes[[isinstance(kind, pd.SparseDtype) for kind in copied.dtypes]]
    if sparse.empty:
        return copied
    # much of pandas cannot compare or sort sparse columns
    return copied.astype({name: kind.subtype for name, kind in sparse.items()}).copy()


def column_name(role: str, name: object) -> str:
    """Return the name of a column as text; `role` is the parameter, for messages.

    Raise TableError if the name is neither text nor a whole number.
    """
    if isinstance(name, str) or (isinstance(name, Integral) and not isinstance(name, bool)):
        return str(name)
    raise TableError(f"{role} must be the name of a column, got {brief(name)}")


def brief(value: object) -> str:
    """Return the representation of a value on one line of at most 80 characters."""
    return " ".join(repr(value).split())[:80]


def require_columns(table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise TableError for the first of `columns` that is missing or occurs more than once."""
    for column in columns:
        if list(table.columns).count(column) > 1:
            raise TableError(f"the table has more than one column {column!r}")
        if column not in table.columns:
            raise TableError(
                f"the table has no column {column!r}: its columns are "
                f"{', '.join(map(str, table.columns)) or 'none'}"
            )


def where(table: pd.DataFrame, row: int) -> str:
    """Return the location of a row for messages: file, row number counted from 1, or both."""
    if FILE_COLUMN not in table.columns:
        return f"row {row + 1}"
    files = table[FILE_COLUMN].map(str)
    own = np.flatnonzero(files == files.iloc[row])
    if ROW_COLUMN in table.columns and not pd.isna(table[ROW_COLUMN].iloc[row]):
        return f"row {int(table[ROW_COLUMN].iloc[row])} of {files.iloc[row]}"
    if len(own) == 1:
        return str(files.iloc[row])
    return f"row {np.searchsorted(own, row) + 1} of {files.iloc[row]}"


def is_list(cell: object) -> bool:
    """Return whether a cell holds several values, one for each evaluation."""
    return isinstance(cell, list | tuple | np.ndarray)


def refuse_nested_and_bytes(table: pd.DataFrame, column: str) -> None:
    """Raise TableError for the first cell with several values, bytes, or a lone surrogate.

    Text with a lone surrogate cannot be written in UTF-8.
    """
    if pd.api.types.is_numeric_dtype(table[column].dtype):
        return
    if all(type(cell) is str and cell.isascii() for cell in _distinct(table[column])):
        return
    for row, cell in enumerate(table[column].tolist()):
        if isinstance(cell, bytes | bytearray | memoryview) or _is_half(cell):
            kind = "text that is not UTF-8" if isinstance(cell, str) else "bytes"
            raise TableError(
                f"column {column!r} must hold text or numbers, got {kind} {brief(cell)} in "
                f"{where(table, row)}"
            )
        if pd.api.types.is_list_like(cell):
            raise TableError(
                f"column {column!r} must hold one value per run, got "
                f"{' '.join(str(cell).split())[:80]!r} in {where(table, row)}"
            )


def _distinct(cells: pd.Series) -> Collection[object]:
    """Return the distinct cells of a column, or all if some cannot be hashed."""
    try:
        return set(cells.tolist())
    except TypeError:
        return cells.tolist()  # type: ignore[no-any-return]


def _is_half(cell: object) -> bool:
    return isinstance(cell, str) and any("\ud800" <= c <= "\udfff" for c in cell)


def filled(table: pd.DataFrame, column: str, advice: str = "") -> list[object]:
    """Return the cells of a column, one value per run; `advice` ends the message of an error.

    Raise TableError if a cell is empty, or holds several values or bytes.
    """
    refuse_nested_and_bytes(table, column)
    cells: list[object] = table[column].tolist()
    if all(type(cell) is str and cell for cell in _distinct(table[column])):
        return cells
    for row, cell in enumerate(cells):
        if cell == "" if isinstance(cell, str) else pd.isna(cell):
            raise TableError(f"column {column!r} has an empty cell in {where(table, row)}{advice}")
    return cells


def refuse_odd_lists(table: pd.DataFrame, column: str, *, has_gaps: bool) -> None:
    """Raise TableError for the first list with an item that is not a number.

    With `has_gaps`, missing items are allowed.
    """
    for row, cell in enumerate(table[column].tolist()):
        for item in cell if is_list(cell) else ():
            is_gap = item is None or (isinstance(item, Real) and not _is_finite(item))
            if not (has_gaps if is_gap else isinstance(item, Real)):
                raise TableError(
                    f"column {column!r} must hold lists of numbers, got {brief(item)} in one in "
                    f"{where(table, row)}"
                )


def _is_finite(number: Real) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def numbers_of(table: pd.DataFrame, value: str) -> FloatArray:
    """Return a column as floats, shape (n,), with NaN for empty cells.

    Text of a number is converted; text in :data:`MISSING` is an empty cell. Raise TableError if a
    cell holds anything else.
    """
    cells = table[value]
    kind = cells.dtype
    if kind.kind in "bcmM" or isinstance(kind, pd.PeriodDtype | pd.IntervalDtype):
        raise TableError(f"column {value!r} must hold numbers, got {kind}")
    if pd.api.types.is_numeric_dtype(kind):
        return np.array(cells.to_numpy(dtype=np.float64, na_value=np.nan))
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells.astype(object).tolist()):
        try:
            numbers[row] = _number(cell)
        except (OverflowError, TypeError, ValueError) as error:
            limit = " that a float can hold" if isinstance(error, OverflowError) else ""
            raise TableError(
                f"column {value!r} must hold numbers{limit}, got {brief(cell)} in "
                f"{where(table, row)}"
            ) from None
    return numbers


def _number(cell: object) -> float:
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in MISSING:
            return math.nan
        if not (NOT_FINITE.fullmatch(text) or NUMERAL.fullmatch(text)):
            raise ValueError
        number = float(text)
        if math.isinf(number) and not NOT_FINITE.fullmatch(text):
            raise OverflowError
        return number
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return math.nan
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, Real | Decimal):
        raise TypeError
    return float(cell)


def spelled_not_finite(cells: pd.Series) -> NDArray[np.bool_]:
    """Return a mask, shape (n,), of infinite numbers and of the texts nan and inf.

    A float NaN is not included, because pandas uses it for missing numbers.
    """
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return np.array(np.isinf(cells.to_numpy(dtype=np.float64, na_value=np.nan)))
    return np.array([_is_not_finite(cell) for cell in cells.astype(object).tolist()], dtype=bool)


def _is_not_finite(cell: object) -> bool:
    if isinstance(cell, str):
        return NOT_FINITE.fullmatch(cell.strip()) is not None
    return isinstance(cell, Decimal | float | np.floating) and math.isinf(cell)
