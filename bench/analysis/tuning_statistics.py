"""Statistics of a tuning: ranks in both tracks, optimism of the selection, best of t trials.

They describe the trials. Nothing here is a test, and nothing decides a verdict.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.analysis.results.change import Change
from bench.analysis.results.tuning import (
    GoodRange,
    TriedSetting,
    TunedOptimizer,
    Tuning,
    TuningStatistics,
)
from bench.analysis.stats.student import Interval, Moments, t_interval
from bench.analysis.stats.welch import MeanDifference
from bench.analysis.tuning import GOOD
from bench.spec.ranges import METRICS


def with_statistics(tuning: Tuning) -> Tuning:
    """Return the tuning with the statistics of each of its optimizers."""
    changes = {change.optimizer: change for change in tuning.change.changes}
    ranks, alpha = tuning.change.ranks, tuning.change.parameters.alpha
    statistics = tuple(
        _statistics(tuned, changes[tuned.optimizer], ranks[tuned.optimizer], tuning.metric, alpha)
        for tuned in tuning.optimizers
    )
    return replace(tuning, statistics=statistics)


def _statistics(
    tuned: TunedOptimizer,
    change: Change,
    ranks: tuple[int | None, int | None],
    metric: str,
    alpha: float,
) -> TuningStatistics:
    gap, interval = _selection_gap(tuned, change, alpha)
    best = tuned.validation_accuracy
    left_out = None if best is None else _left_out(tuned, metric)
    failed = any(tried.n_failed for tried in tuned.tried)
    accuracies = [] if failed else [tried.accuracy or 0.0 for tried in tuned.tried]
    return TuningStatistics(
        optimizer=tuned.optimizer,
        rank_default=ranks[0],
        rank_tuned=ranks[1],
        gap=gap,
        gap_ci_low=interval.low,
        gap_ci_high=interval.high,
        left_out_accuracy=left_out,
        optimism=None if left_out is None or best is None else best - left_out,
        best_low=best_quantiles(accuracies, 1),
        best_high=best_quantiles(accuracies, 9),
        good_range=good_range(tuned),
    )


def _selection_gap(
    tuned: TunedOptimizer, change: Change, alpha: float
) -> tuple[float | None, Interval]:
    """Compare the validation accuracies of the chosen settings with their test accuracies.

    Tuning seeds and evaluation seeds of one tuning are independent samples. Both results of a
    repeat have the same setting, and are paired. Undefined if a trial diverged.
    """
    validation = [choice.accuracy for choice in tuned.choices]
    if tuned.repeat_accuracies:
        differences = np.array(validation, dtype=float) - np.array(
            tuned.repeat_accuracies, dtype=float
        )
        moments = Moments.of(differences)
        return moments.mean, t_interval(moments, alpha)
    known = [math.nan if a is None else a for a in tuned.chosen.accuracies]
    n = change.n if change.is_paired else change.n_after
    test = Moments(n=n, mean=change.mean_after, std=change.std_after)
    found = MeanDifference.of(Moments.of(np.array(known)), test)
    return found.difference, found.interval(alpha)


def _left_out(tuned: TunedOptimizer, metric: str) -> float | None:
    """Return the mean left-out accuracy over the repeats; each has its own tuning seeds."""
    n_repeats = len(tuned.choices)
    n_seeds = len(tuned.tried[0].scores) // n_repeats
    found = []
    for first in range(0, n_repeats * n_seeds, n_seeds):
        own = [_part(tried, slice(first, first + n_seeds)) for tried in tuned.tried]
        found.append(left_out_accuracy(own, metric))
    known = [accuracy for accuracy in found if accuracy is not None]
    return math.fsum(known) / len(known) if len(known) == n_repeats else None


def _part(tried: TriedSetting, seeds: slice) -> TriedSetting:
    scores = tried.scores[seeds]
    known = [score for score in scores if score is not None]
    score = math.fsum(known) / len(known) if len(known) == len(scores) else None
    return replace(tried, accuracies=tried.accuracies[seeds], scores=scores, score=score)


def left_out_accuracy(tried: Sequence[TriedSetting], metric: str) -> float | None:
    """Return the mean accuracy of the setting that is chosen without a tuning seed, on this seed.

    Each tuning seed is left out once, and the others choose as in
    :func:`bench.analysis.tuning.select_settings`. Undefined for fewer than two, and without a
    setting that can be chosen.
    """
    able = [setting for setting in tried if setting.score is not None]
    n_seeds = min((len(setting.scores) for setting in able), default=0)
    if n_seeds < 2:
        return None
    found = []
    for left_out in range(n_seeds):
        merits = [_merit_without(setting, left_out, metric) for setting in able]
        best = max(range(len(able)), key=lambda i: merits[i])
        found.append(able[best].accuracies[left_out] or 0.0)
    return math.fsum(found) / n_seeds


def _merit_without(setting: TriedSetting, left_out: int, metric: str) -> tuple[float, float]:
    """By what a setting is chosen without a seed: its score, and the accuracy of equal ones."""
    others = [seed for seed in range(len(setting.scores)) if seed != left_out]
    score = math.fsum(setting.scores[seed] or 0.0 for seed in others)
    accuracies = [setting.accuracies[seed] for seed in others]
    accuracy = 0.0 if None in accuracies else math.fsum(a or 0.0 for a in accuracies)
    return -score if METRICS[metric] else score, accuracy


def best_quantiles(scores: Sequence[float], tenths: int) -> tuple[float, ...]:
    """Return a quantile of the maximum of t of the T scores, without replacement, for t = 1 to T.

    It is the smallest score that the maximum does not exceed in at least `tenths` tenths of the
    C(T, t) subsets: of the i smallest scores, C(i, t) subsets can be drawn. Whole numbers are
    compared, so the result is exact.

    >>> best_quantiles([0.3, 0.1, 0.2], 5)
    (0.2, 0.3, 0.3)
    """
    ascending, n = sorted(scores), len(scores)
    found = []
    for t in range(1, n + 1):
        needed = tenths * math.comb(n, t)
        i = bisect_left(range(n + 1), needed, key=lambda i: 10 * math.comb(i, t))
        found.append(ascending[i - 1])
    return tuple(found)


def good_range(tuned: TunedOptimizer) -> GoodRange | None:
    """Return the range of the good values of the hyperparameter.

    None if several are tuned, a trial failed, every setting diverged, or a setting between two good
    ones is not good.
    """
    failed = any(tried.n_failed for tried in tuned.tried)
    if len(tuned.ranges) != 1 or failed or tuned.chosen.accuracy is None:
        return None
    (searched,) = tuned.ranges
    points = sorted((tried.setting[0][1], tried.accuracy or 0.0) for tried in tuned.tried)
    best = max(accuracy for _, accuracy in points)
    good = [place for place, (_, accuracy) in enumerate(points) if accuracy >= best - GOOD]
    if good[-1] - good[0] >= len(good):
        return None
    low, high = points[good[0]][0], points[good[-1]][0]
    return GoodRange(
        name=searched.name,
        low=low,
        high=high,
        decades=math.log10(high / low) if searched.is_log else None,
        is_edge=low in searched.ends or high in searched.ends,
    )
