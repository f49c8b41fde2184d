"""Conversion of the cells of text files to numbers, lists and text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.analysis.columns import MISSING, NOT_FINITE, NUMERAL
from bench.storage.records import SCHEMA

#: Columns of a sweep that hold a list, which is JSON in a text file.
LISTS = tuple(f.name for f in SCHEMA if pa.types.is_list(f.type))
_PER_CENT = re.compile(r"([+-]?(\d+\.?\d*|\.\d+))\s*%")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?\s*%?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


def typed(name: str, cells: pd.Series, *, is_outcome: bool) -> pd.Series:
    """Convert a column of text to numbers if all its cells are numbers.

    A missing cell is None. In a column of outcomes (results and statuses) the words nan and inf
    stay text. Columns of lists hold lists.
    """
    if (plain := _plain_numbers(cells)) is not None:
        return plain
    nothing = MISSING if is_outcome else {*MISSING, "nan"}
    cells = cells.mask(cells.str.lower().isin(nothing), None)
    numbers = pd.to_numeric(cells, errors="coerce")
    is_text = numbers.isna() & cells.notna()
    if is_outcome:
        is_text |= numbers.abs() == math.inf
    cells = cells if is_text.any() else numbers
    return cells.map(_as_list) if name in LISTS else cells


def is_numeric(cells: pd.Series) -> bool:
    """Return whether a column holds results: numbers, per cent, missing cells, nan and inf."""
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return bool(cells.dtype.kind != "b")
    found = [cell.strip() for cell in cells if isinstance(cell, str)]
    if len(found) < cells.notna().sum():
        return False
    results = [cell for cell in found if cell.lower() not in MISSING]
    return bool(results) and all(_is_result(cell) for cell in results)


def without_decimal_commas(cells: Sequence[str]) -> Sequence[str] | None:
    """Return the cells with decimal points; None unless they are numbers with decimal commas.

    Numbers that may have commas between thousands are left as they are.
    """
    with_comma = [cell for cell in cells if "," in cell]
    if not with_comma or not all(map(_DECIMAL_COMMA.fullmatch, with_comma)):
        return None
    if all(map(_THOUSANDS.fullmatch, with_comma)):
        return None
    others = (cell for cell in cells if "," not in cell and cell.lower() not in MISSING)
    if any("." in cell or not _is_result(cell) for cell in others):
        return None
    return [cell.replace(",", ".") for cell in cells]


def without_per_cent(cells: pd.Series, divisor: int) -> pd.Series | None:
    """Return text such as 97.5 % over `divisor`; None unless all results have a per cent sign."""
    if cells.dtype != object or not any(isinstance(cell, str) and "%" in cell for cell in cells):
        return None
    read = [_number_of(cell, divisor) for cell in cells]
    return None if None in read else pd.Series(read, dtype=object, index=cells.index)


def _number_of(cell: object, divisor: int) -> str | None:
    if not isinstance(cell, str):
        return None
    if found := _PER_CENT.fullmatch(cell.strip()):
        return str(Decimal(found[1]) / divisor)
    return cell if cell.lower() in MISSING or NOT_FINITE.fullmatch(cell) else None


def _is_result(cell: str) -> bool:
    return any(kind.fullmatch(cell) for kind in (NUMERAL, _PER_CENT, NOT_FINITE))


def _plain_numbers(cells: pd.Series) -> pd.Series | None:
    """Convert text to numbers; None unless every cell is a finite number."""
    try:
        numbers = pd.to_numeric(cells)
    except (ValueError, TypeError):
        return None
    is_plain = numbers.dtype.kind in "iuf" and np.isfinite(numbers).all()
    return numbers if is_plain else None


def _as_list(cell: Any) -> Any:
    """Parse a JSON list of numbers, with NaN for null; return any other cell unchanged."""
    try:
        items = json.loads(cell)
        return [_number(item) for item in items] if isinstance(items, list) else cell
    except (TypeError, ValueError, RecursionError):
        return cell


def _number(item: Any) -> int | float:
    if item is None:
        return math.nan
    # JSON has no infinity: it is written as text
    return item if isinstance(item, int | float) else float(item)
