"""Select the best setting of each optimizer by the results of its trials.

The expected best result of t trials is the exact mean over all subsets of t settings [1]_.

.. [1] Dodge et al. (2019). Show your work: improved reporting of experimental results. EMNLP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.results.tuning import TriedSetting, TunedOptimizer
from bench.analysis.stats.rounding import FloatArray
from bench.errors import TrainingError
from bench.spec.ranges import METRICS, SearchRange, Setting
from bench.storage.records import DIVERGED, FAILED, OK

#: A setting is good if its accuracy is at most this much below that of the best one.
GOOD = 0.01
#: Columns of the metrics that are stored.
_COLUMNS: Mapping[str, str] = {"accuracy": "test_accuracy", "loss": "test_loss"}
#: Columns of a trial that are read here.
_READ = frozenset(
    (
        *("optimizer", "seed", "status", "train_seconds", "eval_iterations", "eval_test_accuracy"),
        *_COLUMNS.values(),
    )
)
_Row = dict[str, Any]


def select_settings(
    repeats: Sequence[pd.DataFrame],
    *,
    optimizer: str,
    settings: Mapping[str, Setting],
    ranges: Sequence[SearchRange],
    default: Setting,
    metric: str,
    target: float = 0.95,
) -> TunedOptimizer:
    """Select the setting of one optimizer with the best mean over the tuning seeds of each repeat.

    Parameters
    ----------
    repeats
        The trials of each repeat, one row each, on its validation images.
    settings
        By the name of the trial in the rows, in the order of the plan. Of settings with equal
        means the one with the higher accuracy is chosen, then the first.
    metric
        One of :data:`bench.spec.ranges.METRICS`.
    target
        Validation accuracy whose time is selected by, for the metric ``"time-to-target"``.

    Raises
    ------
    TrainingError
        If every setting of a repeat has a failed trial.
    """

    def tried(rows: pd.DataFrame) -> tuple[TriedSetting, ...]:
        by_name = _by_name(rows)
        return tuple(_tried(name, s, by_name[name], metric, target) for name, s in settings.items())

    choices = tuple(_best(tried(rows), optimizer, metric) for rows in repeats)
    pooled = tried(pd.concat(repeats))
    ends = {found.name: found.ends for found in ranges}
    at_end = {n for chosen in choices for n, value in chosen.setting if value in ends.get(n, ())}
    accuracies = np.array([t.accuracy or 0.0 for t in pooled])
    has_all, best = all(t.score is not None for t in pooled), accuracies.max()
    return TunedOptimizer(
        optimizer=optimizer,
        ranges=tuple(ranges),
        default=default,
        choices=choices,
        edge=tuple(found.name for found in ranges if found.name in at_end),
        tried=pooled,
        expected_best=tuple(expected_best(accuracies)) if has_all else (),
        good_share=float(np.mean(accuracies >= best - GOOD)) if has_all and best > 0 else None,
    )


def _best(tried: Sequence[TriedSetting], optimizer: str, metric: str) -> TriedSetting:
    able = [t for t in tried if t.score is not None]
    if not able:
        raise TrainingError(
            f"no setting of {optimizer} can be chosen: each has a failed trial; the same command "
            "repeats failed trials"
        )
    sign = -1 if METRICS[metric] else 1
    return max(able, key=lambda t: (sign * (t.score or 0.0), t.accuracy or 0.0))


def _by_name(rows: pd.DataFrame) -> dict[str, list[_Row]]:
    """Return the trials of each setting, by seed; parts of a wide table take long to make."""
    columns = [name for name in rows if name in _READ]
    records = rows[columns].sort_values(["optimizer", "seed"]).to_dict("records")
    return {name: list(own) for name, own in groupby(records, itemgetter("optimizer"))}


def _tried(
    name: str, setting: Setting, rows: Sequence[_Row], metric: str, target: float
) -> TriedSetting:
    status = [row["status"] for row in rows]
    special = {FAILED: None, DIVERGED: math.inf if METRICS[metric] else -math.inf}
    scores = tuple(
        special[row["status"]] if row["status"] in special else _result(row, metric, target)
        for row in rows
    )
    known = [x for x in scores if x is not None]
    return TriedSetting(
        name=name,
        setting=setting,
        accuracies=tuple(
            None if row["status"] in special else float(row["test_accuracy"]) for row in rows
        ),
        scores=scores,
        score=math.fsum(known) / len(known) if len(known) == len(scores) else None,
        n_diverged=status.count(DIVERGED),
        n_failed=status.count(FAILED),
        seconds=float(np.nansum(np.array([row["train_seconds"] for row in rows], dtype=float))),
    )


def _result(row: _Row, metric: str, target: float) -> float:
    """Return the result of a run by which settings are selected."""
    if metric in _COLUMNS:
        return float(row[_COLUMNS[metric]])
    evaluations = zip(row["eval_iterations"], row["eval_test_accuracy"], strict=True)
    return next((float(n) for n, accuracy in evaluations if accuracy >= target), math.inf)


def means_by_repeat(runs: pd.DataFrame, seeds: Sequence[Sequence[int]]) -> pd.DataFrame:
    """Replace the runs of an optimizer in each repeat by one with their mean accuracy.

    Parameters
    ----------
    runs
        One row per run, as stored.
    seeds
        The evaluation seeds of each repeat.

    Returns
    -------
    pandas.DataFrame
        One row for each optimizer and repeat. `seed` is the number of the repeat from 1;
        `test_accuracy` and `train_seconds` are means. A failed run makes the repeat ``failed``, a
        diverged one ``diverged``; one that lacks a run has no row. The other columns are those of
        the run with the first seed.
    """
    numbers = {seed: number for number, own in enumerate(seeds, 1) for seed in own}
    sizes = {number: len(own) for number, own in enumerate(seeds, 1)}
    runs = runs.sort_values(["optimizer", "seed"]).assign(repeat=runs["seed"].map(numbers))
    n_runs = runs.groupby(["optimizer", "repeat"])["seed"].transform("size")
    runs = runs[n_runs == runs["repeat"].map(sizes)].astype({"repeat": int})
    groups = runs.groupby(["optimizer", "repeat"], sort=True)
    rows = groups.head(1).set_index(["optimizer", "repeat"], drop=False)
    statuses = groups["status"].agg(set)
    worst = [next((w for w in (FAILED, DIVERGED) if w in found), OK) for found in statuses]
    means = groups[["test_accuracy", "train_seconds"]].agg(lambda x: x.mean(skipna=False))
    accuracy = means["test_accuracy"].where([status != FAILED for status in worst])
    return rows.assign(
        status=pd.Series(worst, index=means.index),
        test_accuracy=accuracy,
        train_seconds=means["train_seconds"],
        seed=rows["repeat"],
    ).reset_index(drop=True)


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
