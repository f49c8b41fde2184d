"""Paired differences, held so that equal gaps tie and sums of them are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.analysis.stats.rounding import FloatArray, decimals, in_units, rounded
from bench.analysis.stats.student import Moments


@dataclass(frozen=True, kw_only=True)
class Differences:
    """What a has more than b, block by block.

    Attributes
    ----------
    values
        Shape (n,), in the unit of the compared column; plus or minus infinity where only one of
        the two runs diverged and so has no value, 0 where both did.
    units
        Shape (n,), the same as whole numbers (held as floats): counts of test images, or multiples
        of 1e-12 of the largest value. An infinite difference becomes a number that outweighs all
        finite ones together, so that a run without a value loses, whatever number stands for it.
    units_per_one
        How many units make 1 in the compared column.
    slack
        By how much two sums of units may differ and still count as equal: 0 for counts.
    """

    values: FloatArray
    units: FloatArray
    units_per_one: float
    slack: float

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def total(self) -> float:
        """Sum of the units: exactly 0 where rounding alone keeps it from that."""
        total = math.fsum(self.units)
        return 0.0 if abs(total) <= self.slack / 2 else total

    @property
    def all_zero(self) -> bool:
        return not self.values.any()

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation: differences that cancel have mean 0, not almost 0."""
        if not np.isfinite(self.values).all():
            return Moments.of(self.values)
        whole = Moments.of(self.units)
        return Moments(
            n=whole.n,
            mean=None if whole.mean is None else self.total / whole.n / self.units_per_one,
            std=None if whole.std is None else whole.std / self.units_per_one,
        )

    @property
    def sign(self) -> int:
        """The sign of the sum: +1 where a is higher."""
        return int(np.sign(self.total))


def paired_differences(
    a: FloatArray, b: FloatArray, total: int | None = None, error: float = 0.0
) -> Differences:
    """a minus b over their common blocks.

    Parameters
    ----------
    a, b
        Shape (n,), paired by position, without NaN.
    total
        Where both hold counts divided by `total`, that number: the differences are then counts,
        exactly. Else differences are rounded to 1e-12 of the larger of the two values.
    error
        Relative rounding error of the values: sums that differ by no more than it allows count as
        equal.
    """
    with np.errstate(invalid="ignore"):
        raw = np.where(a == b, 0.0, a - b)
    if total is not None:
        counts = np.rint(raw * total)
        units = _finite(counts, 0.0)
        return Differences(values=counts / total, units=units, units_per_one=total, slack=0.0)
    places = decimals(np.maximum(np.abs(a), np.abs(b)))
    values = rounded(raw, places)
    coarsest = float(places[np.isfinite(raw)].min(initial=290))
    sizes = np.abs(a) + np.abs(b)
    errors = error * float(sizes[np.isfinite(sizes)].sum()) * 10.0**coarsest
    # half a unit from each difference, and its error, in both sums that are compared
    slack = len(raw) + 2 * errors
    return Differences(
        values=values,
        units=_finite(in_units(values, coarsest), slack),
        units_per_one=10.0**coarsest,
        slack=slack,
    )


def _finite(units: FloatArray, slack: float) -> FloatArray:
    finite = np.isfinite(units)
    dominant = np.abs(units[finite]).sum() + slack + 1
    return np.where(finite, units, np.sign(units) * dominant)
