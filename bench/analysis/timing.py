"""Ratios of training times of pairs of optimizers, an exploratory result.

Runs of one seed have the same number of updates and are interleaved over the optimizers, so that
slow periods of the machine affect all optimizers. Times are compared as ratios, which do not depend
on the speed of the machine.
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
    """Return geometric means of paired ratios of training times, with t intervals of the logarithm.

    `table` has one row per run with `optimizer`, `seed`, `status` and :data:`SECONDS`. Only runs
    with status ``ok`` count, because diverged runs stopped early. With a column `stack`, only pairs
    of runs from stacks of equal width count, because the time of a run is a share of the time of
    its stack. Intervals have level 1 - `alpha`.
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
    """Return the number of runs in the stack of each run, by seed and optimizer; 1 if unknown."""
    known = numbers_of(table, "stack") if "stack" in table.columns else np.full(len(table), np.nan)
    widths = table.assign(
        optimizer=table["optimizer"].astype(str), stack=np.nan_to_num(known, nan=1.0)
    )
    return widths.pivot_table(index="seed", columns="optimizer", values="stack", aggfunc="first")


def log_seconds(table: pd.DataFrame) -> pd.DataFrame:
    """Return logarithms of the training times, one row per seed and one column per optimizer.

    NaN where a run is missing or its status is not ``ok``; `table` is as in :func:`time_ratios`.
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
    """Return exp(x); None where `x` is None, or where the result over- or underflows a float."""
    if x is None or abs(x) > _LARGEST_LOG:
        return None
    return math.exp(x)
