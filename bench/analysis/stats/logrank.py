"""Log-rank test of two samples of times, some of them censored.

References
----------
.. [1] Mantel, N. (1966). Evaluation of survival data and two new rank order statistics. Cancer
   Chemotherapy Reports 50, 163-170.
"""

from __future__ import annotations

import math

import numpy as np

from bench.analysis.stats.distributions import normal_tail
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray


def logrank_pvalue(a: FloatArray, n_a: int, b: FloatArray, n_b: int) -> float | None:
    """Return the two-sided p-value of "the times of both samples have one distribution" [1]_.

    `a` and `b` are the times of the `n_a` and `n_b` runs that are not censored. All others are
    censored at or after the last of these times. None where the statistic is undefined: where no
    time is known, or there is never a choice between runs of both samples.
    """
    times, counts = np.unique(np.concatenate([a, b]), return_counts=True)
    events = counts.astype(np.float64)
    waiting_a = n_a - np.searchsorted(np.sort(a), times).astype(np.float64)
    waiting_b = n_b - np.searchsorted(np.sort(b), times).astype(np.float64)
    waiting = waiting_a + waiting_b
    several = waiting > 1
    products = waiting_a * waiting_b * events * (waiting - events)
    variance = np.sum(products[several] / (waiting**2 * (waiting - 1))[several])
    if not variance:
        return None
    expected = np.sum(waiting_a * (events / waiting))
    return max(TINY, 2 * normal_tail(abs(len(a) - expected) / math.sqrt(variance)))
