"""Collapse rates: shares of runs that end far below the other runs of their treatment.

A run has collapsed if it diverged, or if its result is worse than the upper quartile of its
treatment (the quartile on the better side) by more than :data:`LIMIT` standard deviations and by
more than the margin. The standard deviation is estimated from the better half of the runs, so that
collapsed runs hardly change it; it is at least the median of these estimates over all treatments.
The rule needs :data:`MIN_RUNS` runs, and notices collapses in up to half of them. It is fixed, so
it does not depend on the results.

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

from bench.analysis.results import CollapsePair, CollapseRate, Collapses, Parameters
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.rounding import FloatArray, significant
from bench.analysis.table import PairedTable

#: Standard deviations below the upper quartile of its treatment from which a run has collapsed.
LIMIT = 10.0
#: Least number of runs that did not diverge.
MIN_RUNS = 5
#: Ratio of the standard deviation of normal values to the upper quartile of the distances of their
#: better half from its median.
_OF_HALF = 1.638


def collapses(paired: PairedTable, order: Sequence[str], parameters: Parameters) -> Collapses:
    """Return the collapse rates of the treatments in this order; intervals at 1 - alpha.

    Rates are compared only where independent blocks pair the runs, and runs of folds, which are not
    independent, have no interval.
    """
    columns = [paired.treatments.index(name) for name in order]
    ran = ~np.isnan(paired.values[:, columns])
    collapsed = collapsed_runs(paired, parameters.margin)[:, columns]
    is_tested = collapsed.any() and parameters.test == "sign-flip"
    both = list(combinations(range(len(order)), 2)) if is_tested else []
    alpha = None if parameters.test == "corrected-t" else parameters.interval_alpha
    outcomes = np.where(ran, collapsed, np.nan)
    # McNemar's exact test is the sign-flip test of differences of -1, 0 and 1
    differences = (outcomes[:, i] - outcomes[:, j] for i, j in both)
    pvalues = [sign_flip_pvalue(d[~np.isnan(d)]) for d in differences]
    return Collapses(
        limit=LIMIT,
        treatments=tuple(
            _rate(name, int(ran[:, i].sum()), int(collapsed[:, i].sum()), alpha)
            for i, name in enumerate(order)
        ),
        pairs=tuple(
            CollapsePair(a=order[i], b=order[j], pvalue=pvalue, pvalue_holm=adjusted)
            for (i, j), pvalue, adjusted in zip(both, pvalues, holm(pvalues), strict=True)
        ),
    )


def collapsed_runs(paired: PairedTable, margin: float | None) -> NDArray[np.bool_]:
    """Return which runs have collapsed, shape (n, k)."""
    values = np.where(paired.diverged, np.nan, paired.sign * paired.values)
    quartiles, scales = np.array([_upper_quartile_and_scale(column) for column in values.T]).T
    least = np.nanmedian(scales) if np.isfinite(scales).any() else np.nan
    limits = np.maximum(LIMIT * np.maximum(scales, least), margin or 0.0)
    if margin is None:
        limits[limits == 0] = np.inf  # most values are tied, and nothing says what is far
    with np.errstate(invalid="ignore"):
        return np.asarray(paired.diverged | (significant(quartiles - values) > limits))


def _upper_quartile_and_scale(values: FloatArray) -> tuple[float, float]:
    """Return both for values of which higher ones are better; NaN for too few."""
    known = np.sort(values[~np.isnan(values)])
    if len(known) < MIN_RUNS:
        return np.nan, np.nan
    half = known[len(known) // 2 :]
    deviations = np.abs(half - np.median(half))
    return float(np.quantile(known, 0.75)), _OF_HALF * float(np.quantile(deviations, 0.75))


def _rate(name: str, n: int, collapsed: int, alpha: float | None) -> CollapseRate:
    """Return Clopper and Pearson's interval, and the upper limit of a one-sided interval.

    Without `alpha` there are none.
    """
    if not n or alpha is None:
        return CollapseRate(name=name, n=n, collapsed=collapsed, rate=collapsed / n if n else None)

    def upper(tail: float) -> float:
        return float(special.betaincinv(collapsed + 1, n - collapsed, 1 - tail))

    low = float(special.betaincinv(collapsed, n - collapsed + 1, alpha / 2)) if collapsed else 0.0
    return CollapseRate(
        name=name,
        n=n,
        collapsed=collapsed,
        rate=collapsed / n,
        ci_low=low,
        ci_high=upper(alpha / 2) if collapsed < n else 1.0,
        at_most=upper(alpha) if collapsed < n else 1.0,
    )
