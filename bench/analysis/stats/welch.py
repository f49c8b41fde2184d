"""Welch's t test of the difference of the means of two independent samples.

References
----------
.. [1] Welch, B. L. (1947). The generalization of "Student's" problem when several different
   population variances are involved. Biometrika 34, 28-35.
.. [2] Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance components.
   Biometrics Bulletin 2, 110-114.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.analysis.stats.distributions import t_quantile, t_tail
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.student import Interval, Moments


@dataclass(frozen=True, kw_only=True)
class MeanDifference:
    """Difference of the means of two samples; None where a mean is undefined.

    `error` is its standard error: None where a sample has fewer than two values, exactly 0 where
    both samples are constant. `df` are Satterthwaite's degrees of freedom; None without a positive
    error.
    """

    difference: float | None
    error: float | None
    df: float | None

    @classmethod
    def of(cls, a: Moments, b: Moments) -> MeanDifference:
        """Compute the difference of the means of samples a and b, a minus b."""
        if a.mean is None or b.mean is None:
            return cls(difference=None, error=None, df=None)
        difference = a.mean - b.mean
        if a.std is None or b.std is None:
            return cls(difference=difference, error=None, df=None)
        errors = a.std / math.sqrt(a.n), b.std / math.sqrt(b.n)
        error = math.hypot(*errors)
        if not error:
            return cls(difference=difference, error=0.0, df=None)
        shares = [(e / error) ** 2 for e in errors]
        df = 1 / (shares[0] ** 2 / (a.n - 1) + shares[1] ** 2 / (b.n - 1))
        return cls(difference=difference, error=error, df=df)

    def interval(self, alpha: float) -> Interval:
        """Return the interval of the difference at level 1 - `alpha`; width 0 if error is 0."""
        if self.difference is None or self.error is None:
            return Interval()
        quantile = 0.0 if self.df is None else t_quantile(alpha / 2, self.df)
        half_width = quantile * self.error
        return Interval(low=self.difference - half_width, high=self.difference + half_width)

    def pvalue(self) -> float | None:
        """Return the two-sided p-value of "the means are equal"; None where t is undefined."""
        if self.difference is None:
            return None
        tail = self._upper_tail(abs(self.difference))
        return None if tail is None else min(1.0, 2 * tail)

    def equivalence_pvalue(self, low: float, high: float) -> float | None:
        """Return the p-value of two one-sided tests: "difference <= low" and "difference >= high".

        It is the larger of both p-values. A small value is evidence that the difference lies
        between `low` and `high`. None where t is undefined.
        """
        if self.difference is None:
            return None
        above, below = (
            self._upper_tail(self.difference - low),
            self._upper_tail(high - self.difference),
        )
        return None if above is None or below is None else max(above, below)

    def _upper_tail(self, distance: float) -> float | None:
        """Return P(T >= distance / error), at least the smallest normal float."""
        if not self.error or self.df is None:
            return None
        return max(TINY, t_tail(distance / self.error, self.df))
