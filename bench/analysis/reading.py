"""Interpretation of the numbers of a column: their unit, and recovery from rounding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.analysis.precision import recover, rounding
from bench.analysis.stats.rounding import FloatArray

#: Largest relative excess over 1 of accuracies that are fractions with a rounding error.
_TOLERANCE = 1e-3
#: Columns that belong to the counts `test_correct` and `test_total`.
COUNTED = ("test_accuracy", "accuracy")
#: Largest difference between an accuracy and its count, as fractions.
_AGREEMENT = 1e-6


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Interpreted values of a column, shape (n,), in its unit; NaN where there is none.

    `total` is the number of test images, where the table has counts of one number for all runs.
    `error` is as in :class:`bench.analysis.precision.Recovered`. `notes` are sentences for the
    reader on the unit and the rounding.
    """

    values: FloatArray
    total: int | None = None
    error: float = 0.0
    notes: tuple[str, ...] = ()


def is_accuracy(column: str) -> bool:
    """Return whether a column holds accuracies, by its name."""
    return re.split(r"[\W_]+", column.lower())[-1] == "accuracy"


def scale_of(column: str, values: FloatArray) -> float | None:
    """Return the value of a perfect accuracy in this column: 1 for fractions, 100 for per cent.

    A column is in per cent where its largest value is above 1 by more than a rounding error. None
    where the column holds no accuracies, or a value above 100.
    """
    largest = values[np.isfinite(values)].max(initial=0.0)
    if not is_accuracy(column) or largest > 100 * (1 + _TOLERANCE):
        return None
    return 1.0 if largest <= 1 + _TOLERANCE else 100.0


def mixed_scales(column: str, values: FloatArray) -> tuple[int, int] | None:
    """Return the positions of a fraction and of a value in per cent; None unless there are both.

    In a column in per cent, a value below 1 is regarded as a fraction where 100 times the value is
    between half of the median and 5/4 of the largest of the values in per cent. The accuracy of a
    collapsed run is usually smaller.
    """
    if scale_of(column, values) != 100:
        return None
    finite = np.isfinite(values)
    in_per_cent = np.flatnonzero(finite & (values > 1 + _TOLERANCE))
    others = values[in_per_cent]
    low, high = np.median(others) / 200, min(1.0, others.max() / 80)
    fractions = np.flatnonzero(finite & (values >= low) & (values < high))
    return (int(fractions[0]), int(in_per_cent[0])) if len(fractions) else None


def read_values(
    column: str,
    numbers: FloatArray,
    correct: FloatArray | None = None,
    totals: FloatArray | None = None,
) -> Reading:
    """Interpret the numbers of a column, shape (n,): unit, counts and rounding.

    `correct` and `totals`, shape (n,), are the numbers of correct and of all test images, where the
    table has them. They are used where they agree with `numbers`; in an edited table they may not.
    """
    scale = scale_of(column, numbers)
    if scale is not None and totals is not None and column in COUNTED:
        counted = _counted(column, numbers, scale, correct, totals)
        if counted is not None:
            return counted
    found = recover(numbers, (1.0, 100.0) if scale is None else (scale,))
    notes = [*_on_the_scale(column, scale)]
    if found.rounded_to is not None:
        read = _counts_in_words(found.total, is_count=scale is not None)
        notes.append(f"{column} holds values rounded to {found.rounded_to}; {read}.")
    return Reading(values=found.values, error=found.error, notes=tuple(notes))


def _counts_in_words(total: int | None, *, is_count: bool) -> str:
    if total is None:
        return "they are read as the shortest decimals that they stand for"
    what = f"counts of {total}" if is_count else f"multiples of 1/{total}"
    return f"they are read as {what}"


def _on_the_scale(column: str, scale: float | None) -> Iterator[str]:
    if not is_accuracy(column):
        return
    if scale is None:
        yield f"{column} has values above 100: it is read neither as fractions nor as per cent."
    else:
        yield f"{column} is read as {'fractions' if scale == 1 else 'per cent'}."


def _counted(
    column: str,
    numbers: FloatArray,
    scale: float,
    correct: FloatArray | None,
    totals: FloatArray,
) -> Reading | None:
    """Return the accuracies as exact shares of their totals; None where these do not agree."""
    used = np.isfinite(numbers)
    n, given = totals[used], numbers[used]
    if not len(n) or not ((n >= 1) & (n == np.rint(n)) & np.isfinite(n)).all():
        return None
    rounded_to, errors = rounding(given)
    errors = np.maximum(errors, _AGREEMENT * scale)
    counts = np.rint(given / scale * n) if correct is None else correct[used]
    is_told_apart = correct is not None or (errors * 1.001 <= scale / n / 2).all()
    exact = counts * scale / n
    if not is_told_apart or not (np.abs(exact - given) <= errors * 1.001).all():
        return None
    values = numbers.copy()
    values[used] = exact
    is_one_total = correct is not None and (n == n[0]).all()
    notes = [] if scale == 1 else [*_on_the_scale(column, scale)]
    if (np.abs(exact - given) > 1e-12 * scale).any():
        source = f"values rounded to {rounded_to}" if rounded_to else "rounded values"
        notes.append(f"{column} holds {source}; they are read as counts of the test total.")
    total = int(n[0]) if scale == 1 and is_one_total else None
    return Reading(values=values, total=total, notes=tuple(notes))
