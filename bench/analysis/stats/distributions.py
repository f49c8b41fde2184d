"""Tails and quantiles of distributions.

They are the functions of scipy.special that scipy.stats calls: importing scipy.stats takes longer
than a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from bench.analysis.stats.rounding import FloatArray


def normal_tail(z: float) -> float:
    """Return P(Z >= z) of a standard normal variable."""
    return float(special.ndtr(-z))


def normal_quantile(upper: float) -> float:
    """Return the point that a standard normal variable exceeds with probability `upper`."""
    return -float(special.ndtri(upper))


def t_tail(t: float, df: float) -> float:
    """Return P(T >= t) of Student's t."""
    return float(special.stdtr(df, -t))


def t_quantile(upper: float, df: float) -> float:
    """Return the point that Student's t exceeds with probability `upper`."""
    return float(t_quantiles(upper, df))


def t_quantiles(upper: ArrayLike, df: ArrayLike) -> FloatArray:
    """Return :func:`t_quantile` elementwise."""
    return np.asarray(np.negative(special.stdtrit(df, upper)))


def chi2_tail(x: float, df: float) -> float:
    """Return P(X >= x) of chi-square."""
    return float(special.chdtrc(df, x))


def f_tail(x: float, df: float, df_of_error: float) -> float:
    """Return P(X >= x) of Fisher's F."""
    return float(special.fdtrc(df, df_of_error, x))


def noncentral_t_tails(t: ArrayLike, df: ArrayLike, shift: ArrayLike) -> FloatArray:
    """Return P(T >= t) of noncentral t, elementwise; NaN in the far tails.

    `shift` is the noncentrality.
    """
    return np.asarray(special.nctdtr(df, np.negative(shift), np.negative(t)))  # by symmetry


def two_sided_t_power(shift: ArrayLike, df: ArrayLike, level: float) -> FloatArray:
    """Return the probability that noncentral t is beyond the quantiles of `level`, elementwise.

    `shift`, at least 0, is the noncentrality.
    """
    critical = special.stdtrit(df, level / 2)
    near = special.nctdtr(df, np.negative(shift), critical)  # the upper tail, by symmetry
    far = special.nctdtr(df, shift, critical)
    # NaN in the far tails: probability 1 for `near`, 0 for `far`
    return np.asarray(np.where(np.isnan(near), 1.0, near) + np.where(np.isnan(far), 0.0, far))


def range_quantile(upper: float, k: int) -> float:
    """Return the point that the range of `k` standard normal variables exceeds with `upper`."""
    # the trapezoid rule converges exponentially, because the integrand vanishes at both ends
    step = 1 / 16
    z = np.arange(-10, 10, step)
    density, below = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), special.ndtr(z)

    def tail(q: float) -> float:
        within = k * density @ (special.ndtr(z + q) - below) ** (k - 1) * step
        return 1 - float(within)

    return least(lambda q: tail(q) <= upper)


def least(holds: Callable[[float], bool]) -> float:
    """Return the least positive float for which `holds`; it must hold for all larger ones."""
    low, high = 0.0, 1.0
    while not holds(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
