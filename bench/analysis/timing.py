"""Training time, pair by pair: exploratory, whatever the interval says.

Runs of one seed did the same number of updates, interleaved over the optimizers, so that a slow
minute of the machine hits all alike. Times are compared as ratios: a machine that is twice as slow
doubles both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.columns import numbers_of
from bench.analysis.results import Pair, TimeRatio
from bench.analysis.stats.student import Moments, t_interval
from bench.storage.records import OK

SECONDS = "train_seconds"
_LARGEST_LOG = 700.0


def time_ratios(
    table: pd.DataFrame, pairs: Sequence[Pair], *, alpha: float
) -> tuple[TimeRatio, ...]:
    """Geometric means of the paired ratios of training times, with t intervals of their logarithms.

    Parameters
    ----------
    table
        One row per run with `optimizer`, `seed`, `status` and :data:`SECONDS`. Only runs that ended
        well count: one that diverged stopped early. Where there is a `stack`, only pairs of runs
        whose stacks were as wide: their times are shares of those of the stacks.
    pairs
        The pairs to report on.
    alpha
        Intervals have level 1 - `alpha`.
    """
    wide = log_seconds(table)
    logs = {str(name): wide[name].to_numpy(dtype=np.float64) for name in wide}
    unknown = np.full(len(wide), np.nan)
    widths = _stack_widths(table).reindex(index=wide.index, columns=wide.columns)
    stacks = {str(name): widths[name].to_numpy(dtype=np.float64) for name in widths}
    return tuple(
        _ratio(
            pair,
            np.where(
                stacks.get(pair.a, unknown) == stacks.get(pair.b, unknown),
                logs.get(pair.a, unknown) - logs.get(pair.b, unknown),
                np.nan,
            ),
            alpha,
        )
        for pair in pairs
    )


def _stack_widths(table: pd.DataFrame) -> pd.DataFrame:
    """How many runs shared the time of each, by seed and optimizer; 1 where that is not known."""
    known = numbers_of(table, "stack") if "stack" in table.columns else np.full(len(table), np.nan)
    widths = table.assign(
        optimizer=table["optimizer"].astype(str), stack=np.nan_to_num(known, nan=1.0)
    )
    return widths.pivot_table(index="seed", columns="optimizer", values="stack", aggfunc="first")


def log_seconds(table: pd.DataFrame) -> pd.DataFrame:
    """Logarithms of the training times, one row per seed and one column per optimizer.

    NaN where a run is missing or did not end well: one that diverged stopped early.

    Parameters
    ----------
    table
        As in :func:`time_ratios`.
    """
    seconds = numbers_of(table, SECONDS)
    timed = table.assign(**{SECONDS: seconds, "optimizer": table["optimizer"].astype(str)})
    ended_well = (table["status"] == OK) & (seconds > 0) & (seconds < np.inf)
    wide = timed[ended_well].pivot(index="seed", columns="optimizer", values=SECONDS)
    return np.log(wide.astype(np.float64))


def _ratio(
    pair: Pair, log_ratios: np.ndarray[tuple[int], np.dtype[np.float64]], alpha: float
) -> TimeRatio:
    moments = Moments.of(log_ratios[~np.isnan(log_ratios)])
    interval = t_interval(moments, alpha)
    return TimeRatio(
        a=pair.a,
        b=pair.b,
        n=moments.n,
        ratio=exp_or_none(moments.mean),
        ci_low=exp_or_none(interval.low),
        ci_high=exp_or_none(interval.high),
    )


def exp_or_none(x: float | None) -> float | None:
    """exp(x); None also where a float cannot hold it: an end of an interval that tells nothing."""
    if x is None or abs(x) > _LARGEST_LOG:
        return None
    return math.exp(x)
