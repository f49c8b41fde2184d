"""Ratios of the training times of two sweeps, after over before: an exploratory result.

The runs of one sweep are interleaved over its optimizers, but two sweeps run at different times.
The ratio therefore contains changes of the load of the machine, which an interval over seeds does
not account for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.results import SpeedChange
from bench.analysis.stats.student import Moments, t_interval
from bench.analysis.stats.welch import MeanDifference
from bench.analysis.timing import exp_or_none


def speed_change(
    before: pd.DataFrame, after: pd.DataFrame, optimizer: str, *, is_paired: bool, alpha: float
) -> SpeedChange:
    """Compute the change of the training time of one optimizer; the interval has level 1 - `alpha`.

    `before` and `after` hold logarithms of the seconds (:func:`bench.analysis.timing.log_seconds`).
    The ratio is None if a sweep has no run of the optimizer with status ``ok``.
    """
    old, new = (_timed(logs, optimizer) for logs in (before, after))
    return _speed_change(old, new, is_paired=is_paired, alpha=alpha)


def speed_change_of_all(
    before: pd.DataFrame,
    after: pd.DataFrame,
    optimizers: Sequence[str],
    *,
    is_paired: bool,
    alpha: float,
) -> SpeedChange:
    """Compute the change of the training time over all `optimizers`, with the seed as the unit.

    The times of the runs of one seed are not independent. Their logarithms are therefore averaged
    first, over the optimizers with times in both sweeps, on the seeds on which all of these have a
    time.
    """
    timed = [name for name in optimizers if name in before.columns and name in after.columns]
    old, new = (logs[timed].dropna().mean(axis=1) for logs in (before, after))
    return _speed_change(old, new, is_paired=is_paired, alpha=alpha)


def _timed(logs: pd.DataFrame, optimizer: str) -> pd.Series:
    return logs[optimizer].dropna() if optimizer in logs.columns else pd.Series(dtype=np.float64)


def _speed_change(
    before: pd.Series, after: pd.Series, *, is_paired: bool, alpha: float
) -> SpeedChange:
    if is_paired:
        common = before.index.intersection(after.index)
        before, after = before[common], after[common]
        moments = Moments.of((after - before).to_numpy(dtype=np.float64))
        mean, interval = moments.mean, t_interval(moments, alpha)
    else:
        gap = MeanDifference.of(
            *(Moments.of(x.to_numpy(dtype=np.float64)) for x in (after, before))
        )
        mean, interval = gap.difference, gap.interval(alpha)
    return SpeedChange(
        n_before=len(before),
        n_after=len(after),
        ratio=exp_or_none(mean),
        ci_low=exp_or_none(interval.low),
        ci_high=exp_or_none(interval.high),
    )
