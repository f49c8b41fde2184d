"""Descriptive statistics of the runs of one treatment."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from bench.analysis.results import Treatment
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Moments, t_interval

#: Quartiles are of R's type 7, which is numpy's default.
QUARTILES = (0.25, 0.5, 0.75)


def describe(
    name: str,
    values: FloatArray,
    *,
    n_diverged: int = 0,
    n_failed: int = 0,
    mean_rank: float | None = None,
    alpha: float = 0.05,
) -> Treatment:
    """Compute descriptive statistics of the runs of one treatment.

    Parameters
    ----------
    name
        Name of the treatment.
    values
        Shape (n,), without NaN. With an infinite value (the loss of a diverged run) the mean, its
        interval and the standard deviation are undefined; finite order statistics are defined.
    n_diverged, n_failed, mean_rank
        Copied to the result.
    alpha
        The interval of the mean has level 1 - `alpha`.
    """
    moments = Moments.of(values)
    interval = t_interval(moments, alpha)
    q1, median, q3 = quartiles(values)
    return Treatment(
        name=name,
        n=moments.n,
        n_diverged=n_diverged,
        n_failed=n_failed,
        mean=moments.mean,
        std=moments.std,
        median=_defined(median),
        q1=_defined(q1),
        q3=_defined(q3),
        iqm=_defined(interquartile_mean(values)),
        min=_defined(values.min(initial=math.inf)),
        max=_defined(values.max(initial=-math.inf)),
        ci_low=interval.low,
        ci_high=interval.high,
        mean_rank=mean_rank,
    )


def quartiles(values: FloatArray) -> FloatArray:
    """Return first quartile, median and third quartile, shape (3,); NaN where undefined."""
    if not len(values):
        return np.full(3, np.nan)
    with np.errstate(invalid="ignore"):  # between a number and infinity
        linear = np.quantile(values, QUARTILES)
    lower, higher = (np.quantile(values, QUARTILES, method=m) for m in ("lower", "higher"))
    return np.asarray(np.where(lower == higher, lower, linear))


def interquartile_mean(values: FloatArray) -> float:
    """Return the mean after a quarter of the runs, rounded down, is cut off at either end."""
    # sorted, because the rounding error of a sum depends on the order
    return float(stats.trim_mean(np.sort(values), 0.25)) if len(values) else math.nan


def count_outliers(values: FloatArray, sign: int) -> int:
    """Count the outliers on the worse side, beyond three interquartile ranges from the quartile.

    With `sign` +1 (higher is better) these are values below Q1 - 3 IQR, such as collapsed runs.
    The median and the interquartile mean hardly depend on them.
    """
    if not len(values):
        return 0
    q1, _, q3 = quartiles(sign * values)
    return int(np.count_nonzero(sign * values < q1 - 3 * (q3 - q1)))


def _defined(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
