"""Paired differences in whole units: equal differences are tied, and sums are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.analysis.stats.rounding import FloatArray, decimals, in_units, rounded
from bench.analysis.stats.student import Moments


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Differences a minus b, block by block.

    Attributes
    ----------
    values
        Shape (n,), in the unit of the compared column. Plus or minus infinity where one of the two
        runs diverged and has no value, 0 where both did.
    units
        Shape (n,), the same as whole numbers (stored as floats): counts of test images, or
        multiples of 1e-12 of the largest value. An infinite difference is replaced by a number
        larger than the sum of all finite ones.
    units_per_one
        Number of units that equal 1 in the compared column.
    slack
        Largest difference of two sums of units that count as equal: 0 for counts.
    """

    values: FloatArray
    units: FloatArray
    units_per_one: float
    slack: float

    @property
    def n(self) -> int:
        """Number of differences."""
        return len(self.values)

    @property
    def total(self) -> float:
        """Sum of the units; exactly 0 where it is 0 up to rounding errors."""
        total = math.fsum(self.units)
        return 0.0 if abs(total) <= self.slack / 2 else total

    @property
    def all_zero(self) -> bool:
        """Whether all differences are 0."""
        return not self.values.any()

    @cached_property
    def moments(self) -> Moments:
        """Mean and standard deviation; the mean of differences that cancel is exactly 0."""
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
        """Sign of the sum: +1 where a is higher."""
        return int(np.sign(self.total))


def paired_differences(
    a: FloatArray, b: FloatArray, total: int | None = None, error: float = 0.0
) -> Differences:
    """Compute a minus b over their common blocks, shape (n,) without NaN, paired by position.

    Where both are counts divided by `total`, differences are exact counts. Otherwise they are
    rounded to 1e-12 of the larger of the two values. With a relative rounding error `error` of the
    values, sums that differ by at most the resulting error count as equal.
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
    # each of the two compared sums is off by at most half a unit per difference, plus the errors
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
