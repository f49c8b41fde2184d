"""All treatments, described and put in order."""

from __future__ import annotations

import math

from bench.analysis.descriptives import describe
from bench.analysis.omnibus import block_ranks
from bench.analysis.results import Treatment
from bench.analysis.table import PairedTable


def leaderboard(paired: PairedTable, alpha: float) -> tuple[Treatment, ...]:
    """All treatments, best mean first; those without a mean last, by median.

    Intervals have level 1 - `alpha`; ranks are within the blocks that are complete.
    """
    ranks = block_ranks(paired.complete, paired.sign)
    mean_ranks = ranks.mean(axis=0).tolist() if len(ranks) else [None] * ranks.shape[1]
    treatments = (
        describe(
            name,
            paired.runs_of(i),
            n_diverged=int(paired.diverged[:, i].sum()),
            n_failed=int(paired.failed[:, i].sum()),
            mean_rank=mean_ranks[i],
            alpha=alpha,
        )
        for i, name in enumerate(paired.treatments)
    )

    def badness(t: Treatment) -> tuple[float, float, str]:
        mean, median = (math.inf if x is None else -paired.sign * x for x in (t.mean, t.median))
        return mean, median, t.name

    return tuple(sorted(treatments, key=badness))
