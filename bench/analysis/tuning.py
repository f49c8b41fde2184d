"""Select the best setting of each optimizer by the results of its trials.

The expected best result of t trials is the exact mean over all subsets of t settings [1]_.

.. [1] Dodge et al. (2019). Show your work: improved reporting of experimental results. EMNLP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis.results.tuning import Setting, TriedSetting, TunedOptimizer
from bench.analysis.stats.rounding import FloatArray
from bench.errors import TrainingError
from bench.spec.ranges import METRICS, SearchRange
from bench.storage.records import DIVERGED, FAILED

#: A setting is good if its accuracy is at most this much below that of the best one.
GOOD = 0.01


def select_setting(
    rows: pd.DataFrame,
    *,
    optimizer: str,
    settings: Mapping[str, Setting],
    ranges: Sequence[SearchRange],
    default: Setting,
    metric: str,
) -> TunedOptimizer:
    """Select the setting of one optimizer with the best mean over the tuning seeds.

    Parameters
    ----------
    rows
        The trials, one row each, on the validation images.
    settings
        By the name of the trial in `rows`, in the order of the plan. The first of equally good
        settings is chosen.
    metric
        One of :data:`bench.spec.ranges.METRICS`.

    Raises
    ------
    TrainingError
        If every setting has a failed trial.
    """
    by_name = dict(tuple(rows.groupby("optimizer")))
    tried = tuple(_tried(name, s, by_name[name], metric) for name, s in settings.items())
    able = [t for t in tried if t.score is not None]
    if not able:
        raise TrainingError(
            f"no setting of {optimizer} can be chosen: each has a failed trial; the same command "
            "repeats failed trials"
        )
    ends = {r.name: r.ends for r in ranges}
    sign = -1 if METRICS[metric][1] else 1
    chosen = max(able, key=lambda t: sign * (t.score or 0.0))
    accuracies = np.array([t.accuracy or 0.0 for t in tried])
    return TunedOptimizer(
        optimizer=optimizer,
        ranges=tuple(ranges),
        default=default,
        chosen=chosen,
        edge=tuple(name for name, value in chosen.setting if value in ends.get(name, ())),
        tried=tried,
        expected_best=tuple(expected_best(accuracies)) if len(able) == len(tried) else (),
        good_share=float(np.mean(accuracies >= accuracies.max() - GOOD)),
    )


def _tried(name: str, setting: Setting, rows: pd.DataFrame, metric: str) -> TriedSetting:
    rows = rows.sort_values("seed")
    column, is_less_better = METRICS[metric]
    status = rows["status"]
    n_failed, n_diverged = int((status == FAILED).sum()), int((status == DIVERGED).sum())
    special = {FAILED: None, DIVERGED: math.inf if is_less_better else -math.inf}
    scores = tuple(
        special.get(s, x) for x, s in zip(rows[column].astype(float), status, strict=True)
    )
    known = [x for x in scores if x is not None]
    results = zip(rows["test_accuracy"].astype(float), status, strict=True)
    return TriedSetting(
        name=name,
        setting=setting,
        accuracies=tuple(None if s in (FAILED, DIVERGED) else a for a, s in results),
        scores=scores,
        score=math.fsum(known) / len(known) if len(known) == len(scores) else None,
        n_diverged=n_diverged,
        n_failed=n_failed,
        seconds=float(rows["train_seconds"].fillna(0).sum()),
    )


def expected_best(scores: FloatArray) -> FloatArray:
    """Return the expected maximum of t of the T scores, without replacement, for t = 1 to T.

    The i-th smallest score, counted from 0, is the maximum of C(i, t - 1) of the C(T, t) subsets.

    >>> expected_best(np.array([0.5, 1.0])).tolist()
    [0.75, 1.0]
    """
    ascending, n = np.sort(scores).tolist(), len(scores)
    return np.array(
        [
            math.fsum(
                math.comb(i, t - 1) / math.comb(n, t) * score for i, score in enumerate(ascending)
            )
            for t in range(1, n + 1)
        ]
    )
