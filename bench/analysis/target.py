"""Time to the target accuracy: a secondary metric with censored runs.

A run passes the target between its last evaluation below it and its first evaluation at or above
it: its time is interval-censored. A run that does not reach the target is censored at the budget
and not dropped, because dropping it would favour an optimizer with many such runs. All runs have
the same budget. The restricted mean survival time, which is the area under the Kaplan-Meier curve
up to the budget, is then the plain mean of min(time, budget), and runs stay paired by seed. It is
given for both ends of the brackets. The tests use what is known: the upper ends.

References
----------
.. [1] Kaplan, E. L. & Meier, P. (1958). Nonparametric estimation from incomplete observations.
   JASA 53, 457-481.
.. [2] Royston, P. & Parmar, M. (2013). Restricted mean survival time: an alternative to the hazard
   ratio. BMC Medical Research Methodology 13, 152.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import is_list, where
from bench.analysis.leaderboard import leaderboard
from bench.analysis.pairs import compare_pairs
from bench.analysis.precision import recover
from bench.analysis.reading import scale_of
from bench.analysis.results import (
    LogRank,
    Pair,
    Parameters,
    SurvivalStep,
    TargetTreatment,
    TimeToTarget,
    Treatment,
)
from bench.analysis.stats.brackets import bracketed_mean_interval
from bench.analysis.stats.logrank import logrank_pvalue
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.errors import TableError

#: Columns of lists: number of iterations at each evaluation, and test accuracy.
AT, ACCURACY = "eval_iterations", "eval_test_accuracy"
BUDGET = "iterations"
BATCH_SIZE = "batch_size"
#: Largest ratio of the numbers of images of two runs that count as the same budget.
_SAME_BUDGET = 1.1
#: Number of updates between evaluations that reports compare with longer ones.
FINER = 100
#: Intervals of differences of upper ends would not cover those of the times themselves.
_NO_INTERVALS: Mapping[str, Any] = dict.fromkeys(
    ("ci_low", "ci_high", "simultaneous_ci_low", "simultaneous_ci_high")
)


def time_to_target(
    table: pd.DataFrame,
    paired: PairedTable,
    parameters: Parameters,
    *,
    target: float,
    level: float,
    next_level: float | None = None,
) -> TimeToTarget | None:
    """Compare the times to the `target`, a fraction; None where the table has no evaluations.

    `paired` and `parameters` are those of the primary comparison, whose alpha is that of the
    intervals; `level` is the family-wise level of the verdicts, and `next_level` that of the next
    look. None for folds too, because their intervals would need a correction. Raise TableError if
    runs have different budgets, or lists of evaluations are invalid.
    """
    if not {AT, ACCURACY} <= set(table.columns) or parameters.test == "corrected-t":
        return None
    counted = _counted(table)
    if counted is None:
        return None
    table, unit = counted
    arrivals = _arrivals(table, paired, target)
    if arrivals is None:
        return None
    budget = _budget(table, paired, arrivals.upper)
    if unit == "images":  # the last update of some runs is a few images above the common budget
        arrivals = arrivals.up_to(budget)
    times = arrivals.upper
    restricted = replace(
        paired,
        values=np.minimum(times, budget),
        diverged=np.zeros_like(paired.diverged),
        total=None,
        direction="lower",
        error=0.0,
    )
    treatments = leaderboard(restricted, parameters.interval_alpha)
    samples = {
        name: _Sample.of(times[:, i], budget) for i, name in enumerate(restricted.treatments)
    }
    column = {name: i for i, name in enumerate(restricted.treatments)}
    pairs = _compare(restricted, treatments, parameters, (level, next_level))
    return TimeToTarget(
        target=target,
        data="test",
        budget=budget,
        treatments=tuple(
            _treatment(
                t, samples[t.name], arrivals.of(column[t.name], budget), parameters.interval_alpha
            )
            for t in treatments
        ),
        pairs=pairs,
        logrank=tuple(_logrank(pair, samples) for pair in pairs),
        unit=unit,
        resolution=arrivals.resolution,
    )


def _compare(
    restricted: PairedTable,
    treatments: Sequence[Treatment],
    parameters: Parameters,
    levels: tuple[float, float | None],
) -> tuple[Pair, ...]:
    """Compare the upper ends of the brackets at the levels of this look and of the next one."""
    secondary = replace(
        parameters,
        value="iterations_to_target",
        direction="lower",
        margin=None,
        win_threshold=None,
    )
    order = [t.name for t in treatments]
    pairs = compare_pairs(restricted, order, secondary, *levels)
    return tuple(replace(pair, **_NO_INTERVALS) for pair in pairs)


def _counted(table: pd.DataFrame) -> tuple[pd.DataFrame, str] | None:
    """Return the table and the unit of its budgets.

    Where variants differ in batch size and number of updates, images are counted instead of
    updates. None where the variants also differ in the number of images by more than 10 %.
    """
    if not {BUDGET, BATCH_SIZE} <= set(table.columns):
        return table, "updates"
    numbers = table[[BUDGET, BATCH_SIZE]].apply(pd.to_numeric, errors="coerce")
    budgets = numbers.dropna()
    if budgets[BUDGET].nunique() <= 1 or budgets[BATCH_SIZE].nunique() <= 1:
        return table, "updates"
    images = budgets[BUDGET] * budgets[BATCH_SIZE]
    is_counted = len(budgets) == len(table) and (budgets % 1 == 0).all(axis=None)
    if not is_counted or images.min() < 1 or images.max() > _SAME_BUDGET * images.min():
        return None
    scaled = [
        [i * int(batch) if isinstance(i, int | np.integer) else i for i in run]
        if is_list(run)
        else run
        for run, batch in zip(table[AT], numbers[BATCH_SIZE], strict=True)
    ]
    at = pd.Series(scaled, index=table.index, dtype=object)
    # batch sizes do not divide the same number of images: the smallest number is the budget
    return table.assign(**{AT: at, BUDGET: images.min()}), "images"


@dataclass(frozen=True)
class _Sample:
    """The `n` runs of one treatment: times to the target, of those that reached it."""

    arrived: FloatArray
    n: int

    @classmethod
    def of(cls, times: FloatArray, budget: int) -> _Sample:
        known = times[~np.isnan(times)]
        return cls(arrived=known[known <= budget], n=len(known))

    @property
    def steps(self) -> tuple[SurvivalStep, ...]:
        """Kaplan-Meier curve, starting with 1 at iteration 0."""
        iterations, counts = np.unique(self.arrived, return_counts=True)
        # no run is censored before the budget, so every share is a whole number of runs over n
        shares = (self.n - np.cumsum(counts)) / max(self.n, 1)
        start = SurvivalStep(iteration=0, waiting_share=1.0)
        steps = tuple(
            SurvivalStep(iteration=int(iteration), waiting_share=float(share))
            for iteration, share in zip(iterations, shares, strict=True)
        )
        return steps if steps and steps[0].iteration == 0 else (start, *steps)


@dataclass(frozen=True)
class _Arrivals:
    """Ends of the brackets in which runs passed the target, each of shape (n, k).

    Both are infinite where a run did not reach the target, and NaN without a run. `grids` holds the
    iterations with an evaluation of each treatment, ascending.
    """

    lower: FloatArray
    upper: FloatArray
    grids: tuple[FloatArray, ...]

    @property
    def resolution(self) -> int | None:
        """Largest number of iterations between two evaluations; None without an evaluation."""
        gaps = [np.diff(grid, prepend=0.0).max() for grid in self.grids if len(grid)]
        return int(max(gaps)) if gaps else None

    def up_to(self, budget: int) -> _Arrivals:
        """Return the same with finite ends above the budget set to it."""
        lower, upper = (
            np.where(np.isfinite(ends), np.minimum(ends, budget), ends)
            for ends in (self.lower, self.upper)
        )
        return replace(self, lower=lower, upper=upper)

    def of(self, column: int, budget: int) -> _Arrivals:
        """Return one treatment's runs, shape (n,), restricted to the budget."""
        is_run = ~np.isnan(self.upper[:, column])
        late = self.upper[is_run, column] > budget
        lower, upper = (
            np.where(late, budget, ends[is_run, column]) for ends in (self.lower, self.upper)
        )
        grid = self.grids[column]
        ends = np.unique(np.concatenate([[0.0], grid[grid < budget], [float(budget)]]))
        return _Arrivals(lower=lower, upper=upper, grids=(ends,))


def _arrivals(table: pd.DataFrame, paired: PairedTable, target: float) -> _Arrivals | None:
    """Return the brackets in which runs passed the target; None where no run has an evaluation.

    A run that diverged before its first evaluation has not reached the target.
    """
    upper = np.full(paired.cells.shape, np.nan)
    upper[paired.diverged] = np.inf
    lower = upper.copy()
    cells = list(zip(*np.nonzero((paired.cells >= 0) & ~paired.failed), strict=True))
    lists = table[AT].tolist(), table[ACCURACY].tolist()
    curves = {cell: _curve(table, lists, int(paired.cells[cell])) for cell in cells}
    known = {cell: curve for cell, curve in curves.items() if curve is not None}
    if not known:
        return None
    together = np.concatenate([curve.accuracy for curve in known.values()])
    scale = scale_of(ACCURACY, together) or 100.0
    accuracies = recover(together, (scale,)).values
    ends = np.cumsum([len(curve.at) for curve in known.values()])
    for (cell, curve), accuracy in zip(known.items(), np.split(accuracies, ends), strict=False):
        reached = np.flatnonzero(accuracy >= scale * target)  # not where it is missing (NaN)
        if not len(reached):
            lower[cell] = upper[cell] = np.inf
            continue
        before = slice(reached[0])
        lower[cell] = curve.at[before][np.isfinite(accuracy[before])].max(initial=0.0)
        upper[cell] = curve.at[reached[0]]
    return _Arrivals(lower=lower, upper=upper, grids=_grids(curves, paired.cells.shape[1]))


def _grids(curves: Mapping[tuple[int, ...], _Curve | None], k: int) -> tuple[FloatArray, ...]:
    """Return the iterations with an evaluation of each treatment, ascending."""
    at: list[list[FloatArray]] = [[] for _ in range(k)]
    for (_, column), curve in curves.items():
        if curve is not None:
            at[column].append(curve.at)
    return tuple(np.unique(np.concatenate(found)) if found else np.empty(0) for found in at)


@dataclass(frozen=True)
class _Curve:
    """Iterations and accuracies of one run's evaluations, each of shape (n_evaluations,)."""

    at: FloatArray
    accuracy: FloatArray


def _curve(
    table: pd.DataFrame, lists: tuple[Sequence[Any], Sequence[Any]], row: int
) -> _Curve | None:
    """Return the evaluations of one run, of the two columns in `lists`; None where it has none."""
    at, accuracy = (column[row] for column in lists)
    if not (is_list(at) and is_list(accuracy)) or len(at) == len(accuracy) == 0:
        return None
    try:
        curve = _Curve(np.asarray(at, dtype=np.float64), np.asarray(accuracy, dtype=np.float64))
    except (TypeError, ValueError):
        curve = None
    if curve is None or not _is_well_formed(curve):
        raise TableError(
            f"columns {AT!r} and {ACCURACY!r} must hold lists of numbers of one length, the first "
            f"ascending: they do not in {where(table, row)}"
        )
    return curve


def _is_well_formed(curve: _Curve) -> bool:
    return bool(
        curve.at.ndim == 1
        and curve.at.shape == curve.accuracy.shape
        and np.isfinite(curve.at).all()
        and curve.at[0] >= 0
        and (np.diff(curve.at) > 0).all()
    )


def _budget(table: pd.DataFrame, paired: PairedTable, times: NDArray[np.float64]) -> int:
    used = paired.cells[~np.isnan(times) & (paired.cells >= 0)]
    if BUDGET in table.columns:
        budgets = pd.unique(table[BUDGET].iloc[used].dropna())
        if len(budgets) > 1:
            raise TableError(
                f"runs must have one budget for the time to the target, got {budgets[0]} and "
                f"{budgets[1]} in column {BUDGET!r}"
            )
        if len(budgets):
            return _whole_budget(budgets[0])
    return int(max(max(run, default=0) for run in table[AT].iloc[used] if is_list(run)))


def _whole_budget(found: Any) -> int:
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (1 <= number < math.inf and number.is_integer()):
        raise TableError(
            f"column {BUDGET!r} must hold whole numbers of at least 1, got {str(found)[:40]!r}"
        )
    return int(number)


def _treatment(t: Treatment, sample: _Sample, arrivals: _Arrivals, alpha: float) -> TargetTreatment:
    interval = bracketed_mean_interval(arrivals.lower, arrivals.upper, arrivals.grids[0], alpha)
    return TargetTreatment(
        name=t.name,
        n=t.n,
        n_reached=len(sample.arrived),
        reach_rate=len(sample.arrived) / t.n if t.n else None,
        restricted_mean=t.mean,
        ci_low=interval.low,
        ci_high=interval.high,
        steps=sample.steps,
        lower_mean=float(arrivals.lower.mean()) if len(arrivals.lower) else None,
        early_steps=_early_steps(arrivals, sample),
    )


def _early_steps(arrivals: _Arrivals, sample: _Sample) -> tuple[SurvivalStep, ...]:
    """Return the Kaplan-Meier curve of the lower ends of the brackets."""
    arrived = np.sort(arrivals.lower)[: len(sample.arrived)]
    return replace(sample, arrived=arrived).steps


def _logrank(pair: Pair, samples: dict[str, _Sample]) -> LogRank:
    x, y = samples[pair.a], samples[pair.b]
    pvalue = logrank_pvalue(x.arrived, x.n, y.arrived, y.n)
    return LogRank(a=pair.a, b=pair.b, pvalue=pvalue)
