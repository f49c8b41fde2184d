"""Descriptive statistics of all treatments, in order from best to worst."""

from __future__ import annotations

import math

import numpy as np

from bench.analysis.results import Treatment
from bench.analysis.stats.descriptives import describe
from bench.analysis.stats.omnibus import block_ranks
from bench.analysis.table import PairedTable


def leaderboard(
    paired: PairedTable, alpha: float, resampling_ratio: float | None = None
) -> tuple[Treatment, ...]:
    """Return all treatments: best mean first, then undefined means, treatments without a run last.

    A mean is undefined where a run diverged and has no value. Such treatments are ordered by the
    share of these runs, then by the median.

    Intervals have level 1 - `alpha`; ranks are within complete blocks. With `resampling_ratio` the
    blocks are folds, and intervals are corrected (:mod:`bench.analysis.stats.resampled`).
    """
    ranks = block_ranks(paired.complete, paired.sign)
    mean_ranks = ranks.mean(axis=0).tolist() if len(ranks) else [None] * ranks.shape[1]
    treatments = [
        describe(
            name,
            paired.runs_of(i),
            n_diverged=int(paired.diverged[:, i].sum()),
            n_failed=int(paired.failed[:, i].sum()),
            mean_rank=mean_ranks[i],
            alpha=alpha,
            resampling_ratio=resampling_ratio,
        )
        for i, name in enumerate(paired.treatments)
    ]
    runs = {name: paired.runs_of(i) for i, name in enumerate(paired.treatments)}

    def sort_key(t: Treatment) -> tuple[bool, float, float, float, str]:
        mean, median = (math.inf if x is None else -paired.sign * x for x in (t.mean, t.median))
        without_value = float(np.isinf(runs[t.name]).mean()) if t.n else 0.0
        return t.n == 0, mean, without_value, median, t.name

    return tuple(sorted(treatments, key=sort_key))
