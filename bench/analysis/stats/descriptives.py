"""Descriptive statistics of the runs of one treatment."""

from __future__ import annotations

import math

import numpy as np

from bench.analysis.results import Treatment
from bench.analysis.stats.resampled import resampled
from bench.analysis.stats.rounding import FloatArray, significant
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
    resampling_ratio: float | None = None,
) -> Treatment:
    """Compute descriptive statistics of the runs of one treatment.

    `values`, shape (n,), has no NaN. With an infinite value (the loss of a diverged run) the mean,
    its interval and the standard deviation are undefined; finite order statistics are defined. The
    interval of the mean has level 1 - `alpha`, and is corrected for folds with `resampling_ratio`
    (:mod:`bench.analysis.stats.resampled`). The other arguments are copied to the result.
    """
    moments = Moments.of(values)
    interval = t_interval(resampled(moments, resampling_ratio), alpha)
    q1, median, q3 = quartiles(values)
    return Treatment(
        name=name,
        n=moments.n,
        n_diverged=n_diverged,
        n_failed=n_failed,
        mean=moments.mean,
        std=moments.std,
        median=finite_or_none(median),
        q1=finite_or_none(q1),
        q3=finite_or_none(q3),
        iqm=finite_or_none(interquartile_mean(values)),
        min=finite_or_none(values.min(initial=math.inf)),
        max=finite_or_none(values.max(initial=-math.inf)),
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
    if not len(values):
        return math.nan
    cut = len(values) // 4
    # sorted, because the rounding error of a sum depends on the order
    middle = np.partition(np.sort(values), (cut, len(values) - cut - 1))
    return float(middle[cut : len(values) - cut].mean())


def count_outliers(values: FloatArray, sign: int, margin: float | None = None) -> int:
    """Count the outliers on the worse side, beyond three interquartile ranges from the quartile.

    With `sign` +1 (higher is better) these are values below Q1 - 3 IQR, such as collapsed runs.
    The median and the interquartile mean hardly depend on them. An interquartile range of 0 is no
    scale: most values are tied, and the least difference would make an outlier. Outliers are then
    further than `margin` from the quartile; without a margin there is none.
    """
    if not len(values):
        return 0
    q1, _, q3 = quartiles(sign * values)
    if q1 < q3:
        return int(np.count_nonzero(sign * values < q1 - 3 * (q3 - q1)))
    with np.errstate(invalid="ignore"):  # infinite quartiles
        distances = significant(q1 - sign * values)
    return 0 if margin is None else int(np.count_nonzero(distances > margin))


def finite_or_none(x: float) -> float | None:
    """Return a number as a float; None where it is NaN or infinite."""
    return float(x) if math.isfinite(x) else None
