"""Student's t test of the mean of a sample: moments, interval, p-values, equivalence test.

References
----------
.. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power
   approach for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics
   and Biopharmaceutics 15, 657-680.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.analysis.stats.distributions import t_quantile, t_tail
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends of an interval; both are None where the interval is undefined."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Size, mean and standard deviation (ddof=1) of a sample.

    The mean is None for an empty sample and where a value is infinite (a diverged run). The
    standard deviation is None in these cases and for a single value; it is exactly 0 where all
    values are equal.
    """

    n: int
    mean: float | None
    std: float | None

    @classmethod
    def of(cls, x: FloatArray) -> Moments:
        """Compute the moments of `x`, shape (n,), with exact sums that do not depend on order."""
        n = len(x)
        if n == 0 or not np.isfinite(x).all():
            return cls(n=n, mean=None, std=None)
        if (x == x[0]).all():
            return cls(n=n, mean=float(x[0]), std=0.0 if n > 1 else None)
        mean = math.fsum(x) / n
        largest = float(np.abs(x - mean).max())  # scaling avoids overflow of the squares
        squares = math.fsum(((x - mean) / largest) ** 2)
        return cls(n=n, mean=mean, std=largest * math.sqrt(squares / (n - 1)))


def t_interval(moments: Moments, alpha: float) -> Interval:
    """Return the t interval of the mean at level 1 - `alpha`; undefined below two values.

    It has width 0 where all values are equal.
    """
    if moments.mean is None or moments.std is None:
        return Interval()
    half_width = t_quantile(alpha / 2, moments.n - 1) * moments.std / math.sqrt(moments.n)
    return Interval(low=moments.mean - half_width, high=moments.mean + half_width)


def t_pvalue(moments: Moments) -> float | None:
    """Return the two-sided p-value of the one-sample t test of mean 0; None where t is None."""
    t = t_statistic(moments, 0.0)
    return None if t is None else min(1.0, 2 * upper_tail(abs(t), moments.n))


def tost_pvalue(differences: Moments, low: float, high: float) -> float | None:
    """Return the p-value of two one-sided paired t tests of "mean <= low" and "mean >= high" [1]_.

    It is the larger of both p-values. A small value is evidence that the mean lies between `low`
    and `high`. None where t is undefined: for fewer than two differences, or where all are equal.
    """
    above, below = t_statistic(differences, low), t_statistic(differences, high)
    if above is None or below is None:
        return None
    return max(upper_tail(above, differences.n), upper_tail(-below, differences.n))


@dataclass(frozen=True, kw_only=True)
class PosteriorShares:
    """Posterior probabilities that a mean is below, within or above +-margin; None if undefined."""

    below: float | None = None
    within: float | None = None
    above: float | None = None


def posterior_shares(differences: Moments, margin: float | None) -> PosteriorShares:
    """Return the posterior probabilities that the mean lies below, within and above +-`margin`.

    With a flat prior on the mean and the logarithm of the standard deviation of normal data, the
    posterior of the mean is Student's t about the observed mean. Undefined without a margin, and
    where t is.
    """
    if margin is None or differences.mean is None or not differences.std:
        return PosteriorShares()
    error, df = differences.std / math.sqrt(differences.n), differences.n - 1
    to_low, to_high = (-margin - differences.mean) / error, (margin - differences.mean) / error
    below, above = t_tail(-to_low, df), t_tail(to_high, df)
    return PosteriorShares(below=below, within=max(0.0, 1 - below - above), above=above)


def t_statistic(moments: Moments, mean: float) -> float | None:
    """Return the distance of the sample mean from `mean` in standard errors.

    None where all values are equal: t would be infinite and the p-value would be 0.
    """
    if moments.mean is None or not moments.std:
        return None
    return (moments.mean - mean) / (moments.std / math.sqrt(moments.n))


def upper_tail(t: float, n: int) -> float:
    """Return P(T >= t) with n - 1 degrees of freedom, at least the smallest normal float."""
    return max(TINY, t_tail(t, n - 1))
