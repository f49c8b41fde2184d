"""Learning curves: the mean over seeds at every evaluation, with a pointwise interval.

A diverged run ends early. It counts up to its last evaluation and not after it, so that later
points may be means over fewer runs. The number of runs is stored for every point.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis.columns import is_list, require_columns
from bench.analysis.results import Band, LearningCurve
from bench.analysis.stats.resampled import resampled
from bench.analysis.stats.student import Moments, t_interval

CURVE_COLUMNS = ("eval_iterations", "eval_test_accuracy", "eval_test_loss", "eval_train_loss")
SECONDS_COLUMN = "eval_train_seconds"
BATCH_SIZE_COLUMN = "batch_size"


def learning_curves(
    table: pd.DataFrame,
    treatments: Sequence[str],
    *,
    alpha: float = 0.05,
    resampling_ratio: float | None = None,
) -> tuple[LearningCurve, ...]:
    """Return one curve per treatment that has evaluations, in the order of `treatments`.

    `table` has one row per run with `optimizer` and the list columns :data:`CURVE_COLUMNS`, null
    for a run without evaluations. Without :data:`SECONDS_COLUMN`, curves have no seconds. The
    pointwise t intervals have level 1 - `alpha`, and are corrected for folds with
    `resampling_ratio` (:mod:`bench.analysis.stats.resampled`). Raise TableError if a column is
    missing.
    """
    require_columns(table, ("optimizer", *CURVE_COLUMNS))
    used = ("optimizer", *CURVE_COLUMNS, SECONDS_COLUMN, BATCH_SIZE_COLUMN)
    evaluated = table.loc[table["eval_iterations"].map(is_list), table.columns.isin(used)]
    names = evaluated["optimizer"].astype(str)
    return tuple(
        _learning_curve(name, evaluated[names == name], alpha, resampling_ratio)
        for name in treatments
        if (names == name).any()
    )


def _learning_curve(
    name: str, evaluated: pd.DataFrame, alpha: float, ratio: float | None
) -> LearningCurve:
    iterations = sorted({int(i) for run in evaluated["eval_iterations"] for i in run})
    accuracy, test_loss, train_loss = (
        _band(evaluated["eval_iterations"], evaluated[column], iterations, (alpha, ratio))
        for column in CURVE_COLUMNS[1:]
    )
    return LearningCurve(
        treatment=name,
        iterations=tuple(iterations),
        seconds=_seconds(evaluated, iterations),
        test_accuracy=accuracy,
        test_loss=test_loss,
        train_loss=train_loss,
        batch_size=_batch_size(evaluated),
    )


def _batch_size(evaluated: pd.DataFrame) -> int | None:
    """Return the batch size of the runs; None where it is not stored or differs between runs."""
    if BATCH_SIZE_COLUMN not in evaluated.columns:
        return None
    found = pd.to_numeric(evaluated[BATCH_SIZE_COLUMN], errors="coerce").unique()
    return int(found[0]) if len(found) == 1 and found[0] >= 1 and found[0] % 1 == 0 else None


def _seconds(evaluated: pd.DataFrame, iterations: Sequence[int]) -> tuple[float | None, ...]:
    if SECONDS_COLUMN not in evaluated.columns:
        return (None,) * len(iterations)
    values = _at_evaluations(evaluated["eval_iterations"], evaluated[SECONDS_COLUMN])
    return tuple(float(np.median(values[i])) if len(values[i]) else None for i in iterations)


def _band(
    at: pd.Series,
    series: pd.Series,
    iterations: Sequence[int],
    of_interval: tuple[float, float | None],
) -> Band:
    """Return means with t intervals; `of_interval` holds alpha and the ratio of folds."""
    alpha, ratio = of_interval
    values = _at_evaluations(at, series)
    moments = [Moments.of(np.array(values[iteration])) for iteration in iterations]
    intervals = [t_interval(resampled(m, ratio), alpha) for m in moments]
    return Band(
        mean=tuple(m.mean for m in moments),
        low=tuple(interval.low for interval in intervals),
        high=tuple(interval.high for interval in intervals),
        n=tuple(m.n for m in moments),
    )


def _at_evaluations(at: pd.Series, series: pd.Series) -> Mapping[int, Sequence[float]]:
    """Return the finite values of all runs, by the number of updates before the evaluation."""
    both = at.tolist(), series.tolist()
    if all(isinstance(run, np.ndarray) and run.dtype.kind in "if" for runs in both for run in runs):
        lengths = [np.minimum(len(x), len(y)) for x, y in zip(*both, strict=True)]
        iterations, numbers = (
            np.concatenate([run[:n] for run, n in zip(runs, lengths, strict=True)] or [[]])
            for runs in both
        )
        is_known, places = np.isfinite(numbers), iterations.astype(np.int64)
        return defaultdict(
            list,
            {
                int(i): numbers[is_known & (places == i)].astype(np.float64)
                for i in np.unique(places)
            },
        )
    values: defaultdict[int, list[float]] = defaultdict(list)
    for run_at, run in zip(*both, strict=True):
        for iteration, value in zip(run_at, run if is_list(run) else (), strict=False):
            if value is not None and math.isfinite(value):
                values[int(iteration)].append(float(value))
    return values
