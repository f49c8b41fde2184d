"""Conversion of a long table of runs to a block x treatment matrix, with checks of the input."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import (
    LARGEST,
    brief,
    column_name,
    filled,
    numbers_of,
    prepared,
    require_columns,
    where,
)
from bench.analysis.outcomes import STATUS, read_outcomes
from bench.analysis.reading import (
    COUNTED,
    Reading,
    is_accuracy,
    mixed_scales,
    read_values,
    scale_of,
)
from bench.analysis.results import Block, Direction
from bench.analysis.stats.differences import Differences, paired_differences
from bench.analysis.stats.rounding import FloatArray
from bench.errors import SpecError, TableError
from bench.storage.records import DIVERGED, FAILED, FILE_COLUMN, OK, ROW_COLUMN, SCHEMA

_Key = TypeVar("_Key", str, Block)

#: Columns of losses: a diverged run has no loss, even where a number is stored.
LOSSES = ("test_loss", "train_loss")

#: The equivalence margin of an accuracy: 0.2 percentage points.
ACCURACY_MARGIN = 0.002


@dataclass(frozen=True, kw_only=True)
class PairedTable:
    """Matrix with one number per (block, treatment).

    Attributes
    ----------
    treatments
        The k names, in alphabetical order.
    blocks
        The n blocks, ascending.
    values
        Shape (n, k), in the unit of the compared column. NaN where a run is missing or failed.
        Where a diverged run has no value: -inf if higher is better, else inf.
    cells
        Shape (n, k): position of the run's row in the table, -1 where there is none.
    diverged, failed
        Shape (n, k), True where a run has that status.
    total
        Where the values are counts divided by a number of test images, that number; else None.
    direction
        Whether higher or lower values are better.
    error
        Relative rounding error of the values; 0 where they are exact.
    notes
        Sentences on how the values were read.
    is_paired
        Whether a row is a block. Else the runs of a treatment are an independent sample, numbered
        from 1, and runs of one row have nothing in common.
    """

    treatments: tuple[str, ...]
    blocks: tuple[Block, ...]
    values: FloatArray
    cells: NDArray[np.intp]
    diverged: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    total: int | None
    direction: Direction
    error: float = 0.0
    notes: tuple[str, ...] = ()
    is_paired: bool = True
    _differences: dict[tuple[int, int], Differences] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is."""
        return sign_of(self.direction)

    @property
    def complete(self) -> FloatArray:
        """Blocks in which no treatment is missing, shape (n_complete, k); none without blocks."""
        return self.values[~np.isnan(self.values).any(axis=1) & self.is_paired]

    def common(self, a: int, b: int) -> tuple[FloatArray, FloatArray]:
        """Return the values of two treatments over their common blocks, each (n_common,)."""
        x, y = self.values[:, a], self.values[:, b]
        both = ~np.isnan(x) & ~np.isnan(y) & self.is_paired
        return x[both], y[both]

    def differences(self, a: int, b: int) -> Differences:
        """Return the differences of two treatments over their common blocks; computed once."""
        if (a, b) not in self._differences:
            found = paired_differences(*self.common(a, b), self.total, self.error)
            self._differences[a, b] = found
        return self._differences[a, b]

    def units_of_blocks(self, a: int, b: int) -> FloatArray:
        """Return the differences of two treatments in units, shape (n,); 0 where one is missing."""
        units = np.zeros(len(self.blocks))
        units[~np.isnan(self.values[:, [a, b]]).any(axis=1)] = self.differences(a, b).units
        return units

    def first_blocks(self, n: int) -> PairedTable:
        """Return the table of the first `n` blocks."""
        matrices = ("values", "cells", "diverged", "failed")
        return replace(
            self, blocks=self.blocks[:n], **{name: getattr(self, name)[:n] for name in matrices}
        )

    def runs_of(self, column: int) -> FloatArray:
        """Return the values of one treatment over its own blocks, shape (n_own,)."""
        values = self.values[:, column]
        return values[~np.isnan(values)]


def sign_of(direction: Direction) -> int:
    """Return +1 where higher is better, -1 where lower is."""
    return 1 if direction == "higher" else -1


def pair_up(
    table: pd.DataFrame,
    *,
    treatment: str = "optimizer",
    block: str = "seed",
    value: str = "test_accuracy",
    direction: Direction | None = None,
    is_paired: bool = True,
) -> PairedTable:
    """Pivot a long table (one row per run) to block x treatment.

    Runs are paired by the value of the block, never by the order of the rows. A row with status
    ``failed`` has no value. A row with status ``diverged`` keeps its measured accuracy; without a
    finite accuracy, and for every loss, it ranks worst. Status words of other tools, and results
    that are nan or inf, are read by :mod:`bench.analysis.outcomes`. The parameters are those of
    :func:`bench.analysis.compare`. Columns `status`, `test_correct`, `test_total` and
    :data:`bench.storage.records.FILE_COLUMN` are used where present. With `is_paired` False the
    runs of each treatment are an independent sample; the column of blocks is not used.

    Raise TableError if a column is missing or has invalid cells, a (treatment, block) occurs twice,
    or there is nothing to compare, and SpecError if `direction` is not allowed.
    """
    table = prepared(table)
    roles = {"treatment": treatment, "block": block, "value": value}
    treatment, block, value = (column_name(role, name) for role, name in roles.items())
    if len({treatment, block, value}) < 3:
        raise TableError(
            "treatment, block and value must be three different columns, got "
            f"{treatment!r}, {block!r} and {value!r}"
        )
    require_columns(table, [treatment, *((block,) if is_paired else ()), value])
    if table.empty:
        raise TableError("the table has no rows: it needs one row per run")
    direction = _direction(value, direction)
    names = [str(name) for name in filled(table, treatment)]
    keys = block_keys(table, block) if is_paired else run_numbers(names)
    treatments, columns = _positions(names, sorted(set(names)))
    blocks, rows = _positions(keys, sort_blocks(keys))
    if len(np.unique(rows * len(treatments) + columns)) < len(table):
        _refuse_duplicates(table, (treatment, block, value), names, keys)
    table = read_outcomes(table, value).table
    status = _status(table)
    numbers = _numbers(table, value, status, sign_of(direction))
    _refuse_mixed_scales(table, value, np.where(status == DIVERGED, np.nan, numbers))

    def pivot(x: NDArray[np.generic], empty: object) -> NDArray[np.generic]:
        matrix = np.full((len(blocks), len(treatments)), empty, dtype=x.dtype)
        matrix[rows, columns] = x
        return matrix

    read = reading_of(table, value, numbers)
    return PairedTable(
        treatments=treatments,
        blocks=blocks,
        values=pivot(read.values, np.nan).astype(np.float64),
        cells=pivot(np.arange(len(table)), -1).astype(np.intp),
        diverged=pivot(status == DIVERGED, False).astype(np.bool_),
        failed=pivot(status == FAILED, False).astype(np.bool_),
        total=read.total,
        direction=direction,
        error=read.error,
        notes=read.notes,
        is_paired=is_paired,
    )


def run_numbers(names: Sequence[str]) -> list[Block]:
    """Number the runs of each treatment from 1; `names` holds the treatment of every row."""
    counts: Counter[str] = Counter()
    numbers: list[Block] = []
    for name in names:
        counts[name] += 1
        numbers.append(counts[name])
    return numbers


def default_margin(value: str, values: FloatArray) -> float | None:
    """Return the default margin: 0.2 percentage points for an accuracy, else None."""
    scale = scale_of(value, values)
    return None if scale is None else scale * ACCURACY_MARGIN


def _direction(value: str, direction: Direction | None) -> Direction:
    if isinstance(direction, str) and direction in ("higher", "lower"):
        return direction
    if direction is not None:
        raise SpecError(f"direction must be 'higher' or 'lower', got {brief(direction)}")
    if is_accuracy(value):
        return "higher"
    if value in LOSSES or value.endswith("_seconds"):
        return "lower"
    raise TableError(
        f"direction must be given for column {value!r}: 'higher' or 'lower' values are better "
        "(known without it: accuracies, losses and seconds of a sweep)"
    )


def _plain(key: object) -> Block:
    """Normalise a block: a whole number as int, another number unchanged, anything else as text.

    A whole number may be stored as an integer, as a float (in a column with gaps), or as text.
    """
    if isinstance(key, bool | np.bool_):
        return str(key)
    if isinstance(key, int | np.integer):
        return int(key)
    if isinstance(key, float | np.floating):
        return int(key) if float(key).is_integer() else float(key)
    text = str(key)
    if re.fullmatch(r"-?[0-9]{1,300}", text):
        return int(text)
    if re.fullmatch(r"-?[0-9]{1,300}\.[0-9]{1,300}", text):
        return _plain(float(text))
    return text


def sort_blocks(keys: Iterable[Block]) -> tuple[Block, ...]:
    """Return the distinct blocks, ascending, numbers before text."""
    return tuple(sorted(set(keys), key=lambda key: (isinstance(key, str), key)))


def block_keys(table: pd.DataFrame, block: str) -> list[Block]:
    """Return the block of every row; raise TableError if a row has no block."""
    cells = filled(table, block)
    texts = {cell: _plain(cell) for cell in set(cells) if type(cell) is str}
    return [texts[cell] if type(cell) is str else _plain(cell) for cell in cells]


def _positions(
    keys: Sequence[_Key], distinct: Iterable[_Key]
) -> tuple[tuple[_Key, ...], NDArray[np.intp]]:
    """Return the distinct keys, and the position of the key of each row in them."""
    ordered = tuple(distinct)
    position = {key: i for i, key in enumerate(ordered)}
    return ordered, np.array([position[key] for key in keys], dtype=np.intp)


def _refuse_duplicates(
    table: pd.DataFrame, roles: tuple[str, str, str], names: list[str], keys: list[Block]
) -> None:
    treatment, block, _ = roles
    first: dict[tuple[str, Block], int] = {}
    for row, run in enumerate(zip(names, keys, strict=True)):
        if run in first:
            raise TableError(
                f"{treatment} {run[0]!r} has more than one run for {block} {run[1]!r}: "
                f"{where(table, first[run])} and {where(table, row)}"
                f"{_on_differences(table, roles, first[run], row)}"
            )
        first[run] = row


def _on_differences(table: pd.DataFrame, roles: tuple[str, str, str], row: int, other: int) -> str:
    """Return the columns in which two rows of one run differ, with the way out."""
    known = (*roles, FILE_COLUMN, ROW_COLUMN, *SCHEMA.names)
    columns = [column for column in table.columns if column not in known]
    rows = (table[columns].iloc[place].astype(str) for place in (row, other))
    names = [c for c, one, two in zip(columns, *rows, strict=True) if one != two]
    if not names:
        return ""
    option = f"--treatment {roles[0]},{names[0]}"
    return f"; they differ in {', '.join(names[:3])}: {option} compares the combinations"


def _status(table: pd.DataFrame) -> NDArray[np.object_]:
    """Return the status of each row, ``ok`` where the table has no such column."""
    if STATUS not in table.columns:
        return np.full(len(table), OK, dtype=object)
    return np.array(table[STATUS].to_numpy(dtype=object))


def _numbers(table: pd.DataFrame, value: str, status: NDArray[np.object_], sign: int) -> FloatArray:
    """Return one float per row: NaN without a value, infinite where a diverged run ranks worst."""
    numbers = numbers_of(table, value)
    numbers[status == FAILED] = np.nan
    diverged = status == DIVERGED
    worst = diverged if value in LOSSES else diverged & ~np.isfinite(numbers)
    _refuse_infinite(table, numbers, worst, value)
    numbers[worst] = -sign * np.inf
    if np.isnan(numbers).all():
        raise TableError(f"column {value!r} has no value in any of the {len(table)} rows")
    return numbers


def _refuse_infinite(
    table: pd.DataFrame, numbers: FloatArray, worst: NDArray[np.bool_], value: str
) -> None:
    infinite = np.flatnonzero((np.abs(numbers) > LARGEST) & ~worst)
    if len(infinite):
        row = infinite[0]
        raise TableError(
            f"column {value!r} must hold finite numbers (up to {LARGEST:g}), got {numbers[row]} in "
            f"{where(table, row)} (column 'status' marks diverged runs)"
        )


def reading_of(table: pd.DataFrame, value: str, numbers: FloatArray) -> Reading:
    """Interpret a column, with the counts of test images where the table has them."""
    counted = {"test_correct", "test_total"} & set(table.columns if value in COUNTED else ())
    require_columns(table, counted)
    counts = {
        column: numbers_of(table, column)
        for column in counted
        # in tables of other tools, text in these columns may have another meaning
        if value == "test_accuracy" or pd.api.types.is_numeric_dtype(table[column])
    }
    return read_values(value, numbers, counts.get("test_correct"), counts.get("test_total"))


def _refuse_mixed_scales(table: pd.DataFrame, value: str, numbers: FloatArray) -> None:
    found = mixed_scales(value, numbers)
    if found is not None:
        fraction, per_cent = found
        raise TableError(
            f"column {value!r} must be in one unit, got {numbers[fraction]:g} in "
            f"{where(table, fraction)}, which looks like a fraction, and {numbers[per_cent]:g} in "
            f"{where(table, per_cent)}, which is in per cent (if both are, give all as fractions)"
        )
