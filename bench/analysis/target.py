"""Time to the target accuracy: a secondary metric with censored runs.

The time of a run is the number of iterations at its first evaluation at or above the target. A run
that does not reach the target is censored at the budget and not dropped, because dropping it would
favour an optimizer with many such runs. All runs have the same budget. The restricted mean survival
time, which is the area under the Kaplan-Meier curve up to the budget, is then the plain mean of
min(time, budget), and runs stay paired by seed.

References
----------
.. [1] Kaplan, E. L. & Meier, P. (1958). Nonparametric estimation from incomplete observations.
   JASA 53, 457-481.
.. [2] Royston, P. & Parmar, M. (2013). Restricted mean survival time: an alternative to the hazard
   ratio. BMC Medical Research Methodology 13, 152.
.. [3] Mantel, N. (1966). Evaluation of survival data and two new rank order statistics. Cancer
   Chemotherapy Reports 50, 163-170. (The log-rank test.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

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
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.errors import TableError

#: Columns of lists: number of iterations at each evaluation, and test accuracy.
AT, ACCURACY = "eval_iterations", "eval_test_accuracy"
BUDGET = "iterations"
BATCH_SIZE = "batch_size"
#: Largest ratio of the numbers of images of two runs that count as the same budget.
_SAME_BUDGET = 1.1


def time_to_target(
    table: pd.DataFrame,
    paired: PairedTable,
    parameters: Parameters,
    *,
    target: float,
    level: float,
) -> TimeToTarget | None:
    """Compare the times to the `target`, a fraction; None where the table has no evaluations.

    `paired` and `parameters` are those of the primary comparison, whose alpha is that of the
    intervals; `level` is the family-wise level of the verdicts. Raise TableError if runs have
    different budgets, or lists of evaluations are invalid.
    """
    if not {AT, ACCURACY} <= set(table.columns):
        return None
    counted = _counted(table)
    if counted is None:
        return None
    table, unit = counted
    times = _arrival_times(table, paired, target)
    if times is None:
        return None
    budget = _budget(table, paired, times)
    if unit == "images":  # the last update of some runs is a few images above the common budget
        times = np.where(np.isfinite(times), np.minimum(times, budget), times)
    restricted = replace(
        paired,
        values=np.minimum(times, budget),
        diverged=np.zeros_like(paired.diverged),
        total=None,
        direction="lower",
        error=0.0,
    )
    secondary = replace(
        parameters,
        value="iterations_to_target",
        direction="lower",
        margin=None,
        win_threshold=None,
    )
    treatments = leaderboard(restricted, parameters.alpha)
    samples = {
        name: _Sample.of(times[:, i], budget) for i, name in enumerate(restricted.treatments)
    }
    pairs = compare_pairs(restricted, [t.name for t in treatments], secondary, level)
    return TimeToTarget(
        target=target,
        data="test",
        budget=budget,
        treatments=tuple(_treatment(t, samples[t.name]) for t in treatments),
        pairs=pairs,
        logrank=tuple(_logrank(pair, samples) for pair in pairs),
        unit=unit,
    )


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
    """Runs of one treatment: times to the target, and number of runs censored at the budget."""

    arrived: FloatArray
    n_censored: int
    budget: int

    @classmethod
    def of(cls, times: FloatArray, budget: int) -> _Sample:
        known = times[~np.isnan(times)]
        arrived = known[known <= budget]
        return cls(arrived=arrived, n_censored=len(known) - len(arrived), budget=budget)

    @property
    def censored(self) -> Any:
        """The sample as ``scipy.stats.CensoredData``."""
        return stats.CensoredData(
            uncensored=self.arrived, right=np.full(self.n_censored, float(self.budget))
        )

    @property
    def steps(self) -> tuple[SurvivalStep, ...]:
        """Kaplan-Meier curve, starting with 1 at iteration 0."""
        start = SurvivalStep(iteration=0, waiting_share=1.0)
        if not len(self.arrived):
            return (start,)
        curve = stats.ecdf(self.censored).sf
        n = len(self.arrived) + self.n_censored
        # no run is censored before the budget, so every share is a whole number of runs over n
        shares = np.rint(curve.probabilities * n) / n
        falls = [
            SurvivalStep(iteration=int(iteration), waiting_share=float(share))
            for iteration, share in zip(curve.quantiles, shares, strict=True)
        ]
        steps = tuple(step for step in falls if step.iteration in self.arrived)
        return steps if steps[0].iteration == 0 else (start, *steps)


def _arrival_times(table: pd.DataFrame, paired: PairedTable, target: float) -> FloatArray | None:
    """Return iterations to the target, (n, k): infinite where not reached, NaN without a run.

    A run that diverged before its first evaluation has not reached the target. None where no run
    has an evaluation.
    """
    times = np.full(paired.cells.shape, np.nan)
    times[paired.diverged] = np.inf
    cells = list(zip(*np.nonzero((paired.cells >= 0) & ~paired.failed), strict=True))
    curves = {cell: _curve(table, int(paired.cells[cell])) for cell in cells}
    known = {cell: curve for cell, curve in curves.items() if curve is not None}
    if not known:
        return None
    together = np.concatenate([curve.accuracy for curve in known.values()])
    scale = scale_of(ACCURACY, together) or 100.0
    accuracies = recover(together, (scale,)).values
    ends = np.cumsum([len(curve.at) for curve in known.values()])
    for (cell, curve), accuracy in zip(known.items(), np.split(accuracies, ends), strict=False):
        reached = curve.at[accuracy >= scale * target]  # False for a missing accuracy (NaN)
        times[cell] = reached[0] if len(reached) else np.inf
    return times


@dataclass(frozen=True)
class _Curve:
    """Iterations and accuracies of one run's evaluations, each of shape (n_evaluations,)."""

    at: FloatArray
    accuracy: FloatArray


def _curve(table: pd.DataFrame, row: int) -> _Curve | None:
    """Return the evaluations of one run; None where it has none."""
    at, accuracy = table[AT].iloc[row], table[ACCURACY].iloc[row]
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


def _treatment(t: Treatment, sample: _Sample) -> TargetTreatment:
    return TargetTreatment(
        name=t.name,
        n=t.n,
        n_reached=len(sample.arrived),
        reach_rate=len(sample.arrived) / t.n if t.n else None,
        restricted_mean=t.mean,
        ci_low=t.ci_low,
        ci_high=t.ci_high,
        steps=sample.steps,
    )


def _logrank(pair: Pair, samples: dict[str, _Sample]) -> LogRank:
    x, y = samples[pair.a], samples[pair.b]
    pvalue = None
    if len(x.arrived) or len(y.arrived):
        with np.errstate(invalid="ignore", divide="ignore"):
            found = float(stats.logrank(x.censored, y.censored).pvalue)
        pvalue = max(TINY, found) if math.isfinite(found) else None
    return LogRank(a=pair.a, b=pair.b, pvalue=pvalue)
