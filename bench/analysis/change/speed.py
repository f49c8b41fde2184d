"""Training times of two sweeps as ratios, after over before: exploratory, whatever the interval.

A sweep's runs are interleaved over its optimizers, but two sweeps ran at different times: whatever
else kept the machine busy is in the ratio, and no interval over seeds can know of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.results import SpeedChange
from bench.analysis.stats.student import Interval, Moments, t_interval
from bench.analysis.stats.welch import MeanDifference
from bench.analysis.timing import exp_or_none


def speed_change(
    before: pd.DataFrame, after: pd.DataFrame, optimizer: str, *, is_paired: bool, alpha: float
) -> SpeedChange:
    """How the training time of one optimizer changed.

    Parameters
    ----------
    before, after
        Logarithms of the seconds: see :func:`bench.analysis.timing.log_seconds`.
    optimizer
        Its name; nothing is known where one of the sweeps has no run of it that ended well.
    is_paired
        Whether to compare seed by seed.
    alpha
        The interval has level 1 - `alpha`.
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
    """How training time changed over all `optimizers`: the seed is the unit.

    The runs of a seed are no independent sample of the machine's speed: their logarithms are
    averaged first, over the optimizers that have a time in both sweeps and on the seeds on which
    all of these have one.
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
    return _as_ratio(len(before), len(after), mean, interval)


def _as_ratio(n_before: int, n_after: int, mean: float | None, interval: Interval) -> SpeedChange:
    return SpeedChange(
        n_before=n_before,
        n_after=n_after,
        ratio=exp_or_none(mean),
        ci_low=exp_or_none(interval.low),
        ci_high=exp_or_none(interval.high),
    )
