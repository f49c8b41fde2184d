"""Collapse rates: shares of runs that end far below the other runs of their treatment.

A run has collapsed if it diverged, or if its result is worse than the median of its treatment by
more than :data:`LIMIT` standard deviations and by more than the margin. The standard deviation is
robust: the median absolute deviation from the median, times 1.4826, of the treatment or of all
treatments together, whichever is larger. The rule is fixed, so it does not depend on the results.

Means of runs with collapses, and tests and intervals of their differences, depend on how many
collapses these seeds happened to have (docs/statistics.md gives measured error rates). The rate
itself is therefore a secondary metric: with exact intervals [1]_, and McNemar's exact test [2]_ of
each pair, adjusted by Holm's method.

References
----------
.. [1] Clopper, C. J. & Pearson, E. S. (1934). The use of confidence or fiducial limits illustrated
   in the case of the binomial. Biometrika 26, 404-413.
.. [2] McNemar, Q. (1947). Note on the sampling error of the difference between correlated
   proportions or percentages. Psychometrika 12, 153-157.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from bench.analysis.results import CollapsePair, CollapseRate, Collapses
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray, significant
from bench.analysis.table import PairedTable

#: Robust standard deviations below the median of its treatment from which a run has collapsed.
LIMIT = 10.0
#: Ratio of the standard deviation to the median absolute deviation of normal values.
_NORMAL = 1.4826


def collapses(
    paired: PairedTable, order: Sequence[str], margin: float | None, alpha: float
) -> Collapses:
    """Return the collapse rates of the treatments in this order; intervals at 1 - `alpha`."""
    columns = [paired.treatments.index(name) for name in order]
    ran = ~np.isnan(paired.values[:, columns])
    collapsed = collapsed_runs(paired, margin)[:, columns]
    both = list(combinations(range(len(order)), 2)) if collapsed.any() else []
    tests = [
        _mcnemar(collapsed[ran[:, i] & ran[:, j]][:, [i, j]], order[i], order[j]) for i, j in both
    ]
    adjusted = holm([pvalue for _, pvalue in tests])
    return Collapses(
        limit=LIMIT,
        treatments=tuple(
            _rate(name, int(ran[:, i].sum()), int(collapsed[:, i].sum()), alpha)
            for i, name in enumerate(order)
        ),
        pairs=tuple(
            CollapsePair(a=a, b=b, pvalue=pvalue, pvalue_holm=p)
            for ((a, b), pvalue), p in zip(tests, adjusted, strict=True)
        ),
    )


def collapsed_runs(paired: PairedTable, margin: float | None) -> NDArray[np.bool_]:
    """Return which runs have collapsed, shape (n, k)."""
    values = np.where(paired.diverged, np.nan, paired.sign * paired.values)
    known = ~np.isnan(values)
    medians = [
        np.median(column[is_known]) if is_known.any() else np.nan
        for column, is_known in zip(values.T, known.T, strict=True)
    ]
    below = significant(np.array(medians) - values)
    scales = np.array([_scale(column[~np.isnan(column)]) for column in below.T])
    limits = np.maximum(LIMIT * np.maximum(scales, _scale(below[known])), margin or 0.0)
    if margin is None:
        limits[limits == 0] = np.inf  # most values are tied, and nothing says what is far
    with np.errstate(invalid="ignore"):
        return np.asarray(paired.diverged | (below > limits))


def _scale(deviations: FloatArray) -> float:
    return _NORMAL * float(np.median(np.abs(deviations))) if len(deviations) else 0.0


def _rate(name: str, n: int, collapsed: int, alpha: float) -> CollapseRate:
    """Return Clopper and Pearson's interval; one-sided where all runs collapsed, or none."""
    if not n:
        return CollapseRate(name=name, n=0, collapsed=0, rate=None, ci_low=None, ci_high=None)
    tail = alpha if collapsed in (0, n) else alpha / 2
    low = special.betaincinv(collapsed, n - collapsed + 1, tail) if collapsed else 0.0
    high = special.betaincinv(collapsed + 1, n - collapsed, 1 - tail) if collapsed < n else 1.0
    return CollapseRate(
        name=name,
        n=n,
        collapsed=collapsed,
        rate=collapsed / n,
        ci_low=float(low),
        ci_high=float(high),
    )


def _mcnemar(collapsed: NDArray[np.bool_], a: str, b: str) -> tuple[tuple[str, str], float | None]:
    """Return the names and the exact two-sided p-value, over the common blocks (n, 2)."""
    if len(collapsed) < 2:
        return (a, b), None
    only = sorted(int(n) for n in (collapsed & ~collapsed[:, ::-1]).sum(axis=0))
    tail = float(special.bdtr(only[0], sum(only), 0.5)) if sum(only) else 1.0
    return (a, b), min(1.0, max(TINY, 2 * tail))
