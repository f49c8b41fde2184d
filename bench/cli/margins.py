"""Equivalence margins as options: a number in the unit of the values, or percentage points."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Literal

from bench.cli.converters import positive
from bench.cli.printing import print_note
from bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

#: Largest margin as a share of the scale of an accuracy.
_LARGEST = 0.5
_ADVICE = "give percentage points such as 0.2pp"


class Points(float):
    """A margin that was given in percentage points, as a fraction; printed as it was given."""

    def __str__(self) -> str:
        return f"{100 * self:.12g}pp"


def margin(text: str) -> float:
    """A margin in the unit of the compared values, or ``0.2pp`` or ``0.2%`` of an accuracy.

    >>> margin("0.01"), float(margin("0.2pp")), float(margin("0.2 %"))
    (0.01, 0.002, 0.002)
    """
    number = re.sub(r"\s*(pp|%)\s*$", "", text)
    return positive(text) if number == text else Points(positive(number) / 100)


def accuracy_margin(text: str) -> float:
    """A margin of accuracies that are fractions, at most half of their scale."""
    found = float(margin(text))
    if found > _LARGEST:
        raise argparse.ArgumentTypeError(
            f"must be at most {_LARGEST}, half of the scale of accuracies, got {text[:40]!r}: "
            f"{_ADVICE}, or a fraction such as 0.002"
        )
    return found


def in_points(margin: float) -> str:
    """A margin of accuracies that are fractions, in both units.

    >>> in_points(0.002)
    'margin: 0.002 = 0.2 percentage points'
    """
    return f"margin: {margin:.6g} = {100 * margin:.6g} percentage points"


def margin_on_scale(
    given: float | None,
    judged: float | Literal["default"],
    table: pd.DataFrame,
    value: str,
) -> float | Literal["default"]:
    """Return the margin in the unit of a column; print one of fractions in points too.

    `given` is the option, None where `judged` is the margin. Raise UsageError if it has a unit and
    the column holds no accuracies, or if it is more than half of their scale.
    """
    if given is None or value not in table.columns:
        return judged
    from bench.analysis.columns import numbers_of
    from bench.analysis.reading import scale_of

    scale = scale_of(value, numbers_of(table, value))
    if scale is None:
        if isinstance(given, Points):
            raise UsageError(
                f"--margin: only accuracies have percentage points, got {given} for {value}: give "
                "a number in its unit"
            )
        return given
    found = given * scale if isinstance(given, Points) else given
    if found > _LARGEST * scale:
        raise UsageError(
            f"--margin must be at most {_LARGEST * scale:g}, half of the scale of {value}, got "
            f"{given}: {_ADVICE}"
        )
    if scale == 1:
        print_note(in_points(found))
    return found
