r"""Step-down max-T adjustment of paired sign-flip tests.

The signs of all differences of a block (a seed) are flipped jointly, so the dependence between the
pairs is kept. The statistic of pair :math:`j` is

.. math:: T_j = |\textstyle\sum_i d_{ij}| / \sqrt{\textstyle\sum_i d_{ij}^2}.

A sign flip changes the sum only, and in one pair :math:`|\sum d|` and :math:`T` order the patterns
alike: with a single pair the p-value is that of :mod:`~bench.analysis.stats.permutation`. The pairs
are sorted by their observed statistics. The adjusted p-value of a pair is the share of patterns in
which the largest :math:`T` among this pair and all with smaller statistics is at least as large as
the observed one. It is not below that of a pair with a larger statistic.

The family-wise error rate is controlled if the differences of all pairs without a true difference
are jointly symmetric around 0: flipping the signs of all of them together does not change their
distribution. Holm's method needs the symmetry of each pair alone.

References
----------
.. [1] Westfall, P. H. & Young, S. S. (1993). Resampling-Based Multiple Testing. Wiley. (Step-down
   max-T, here with sign flips instead of permutations between groups.)
.. [2] Romano, J. P. & Wolf, M. (2005). Exact and approximate stepdown methods for multiple
   hypothesis testing. JASA 100, 94-108.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.analysis.stats.permutation import MONTE_CARLO_DRAWS, MONTE_CARLO_SEED
from bench.analysis.stats.rounding import FloatArray

#: Largest number of statistics that are computed (about 2 seconds), unless MIN_DRAWS patterns have
#: more.
MAX_STATISTICS = 100_000_000
#: Largest number of blocks with enumeration: 2**(MAX_BLOCKS - 1) patterns.
MAX_BLOCKS = 22
MIN_DRAWS = 999
#: Number of signs and statistics in memory at a time.
_AT_ONCE = 2_000_000
#: Relative error of a statistic: equal ones differ by rounding errors.
_ERROR = 1e-12


@dataclass(frozen=True, kw_only=True)
class MaxT:
    """Adjusted p-values, shape (n_pairs,), in (0, 1].

    `draws` is the number of random patterns that they were estimated from; None if they are exact.
    """

    pvalues: FloatArray
    draws: int | None


def max_t(differences: FloatArray, slack: FloatArray) -> MaxT:
    """Compute the step-down max-T adjusted p-values of paired differences.

    Parameters
    ----------
    differences
        Shape (n_blocks, n_pairs), n_pairs at least 1. Whole numbers, 0 where a pair lacks the
        block. The unit may differ between pairs.
    slack
        Shape (n_pairs,): two sums of a pair that differ by no more than this count as equal. A
        statistic is off by at most this divided by the norm of the differences. Differences with a
        norm of at most the slack count as 0: their p-value is 1, and that of no other pair rises.

    Examples
    --------
    >>> max_t(np.array([[1.0, 2.0], [2.0, 1.0], [3.0, -1.0]]), np.zeros(2)).pvalues.tolist()
    [0.5, 0.75]
    """
    norms = np.sqrt((differences**2).sum(axis=0))
    is_zero = norms <= slack
    norms[is_zero] = 1.0
    differences = np.where(is_zero, 0.0, differences)
    errors = np.where(is_zero, 0.0, slack / norms) + _ERROR * np.sqrt(len(differences))
    observed = np.abs(differences.sum(axis=0)) / norms
    ascending = np.argsort(observed, kind="stable")
    scaled = differences[:, ascending] / norms[ascending]
    errors = errors[ascending]
    limits = observed[ascending] - errors
    n_blocks, n_pairs = differences.shape
    draws = _number_of_draws(n_blocks, n_pairs)
    n_patterns, n_extreme = 0, np.zeros(n_pairs, dtype=np.int64)
    for signs in _patterns(n_blocks, n_pairs, draws):
        largest = np.maximum.accumulate(np.abs(signs @ scaled) + errors, axis=1)
        n_extreme += (largest >= limits).sum(axis=0)
        n_patterns += len(signs)
    extra = 0 if draws is None else 1  # the observed pattern is one of all, but not drawn
    shares = (n_extreme + extra) / (n_patterns + extra)
    pvalues = np.empty(len(shares))
    pvalues[ascending] = np.maximum.accumulate(shares[::-1])[::-1]
    return MaxT(pvalues=pvalues, draws=draws)


def _number_of_draws(n_blocks: int, n_pairs: int) -> int | None:
    """Return the number of random patterns; None where all patterns are enumerated."""
    if n_blocks <= MAX_BLOCKS and 2 ** (n_blocks - 1) * n_pairs <= MAX_STATISTICS:
        return None
    affordable = MAX_STATISTICS // n_pairs * 20 // max(20, n_blocks)  # signs cost time too
    return max(MIN_DRAWS, min(MONTE_CARLO_DRAWS, affordable))


def _patterns(n_blocks: int, n_pairs: int, draws: int | None) -> Iterator[FloatArray]:
    """Yield sign patterns, +1 and -1, shape (n, n_blocks): half of all, or `draws` random ones.

    Of a pattern and its negative, which have equal statistics, only one is enumerated: that with a
    positive sign of the last block.
    """
    rng = np.random.default_rng(MONTE_CARLO_SEED)
    total = 2 ** (n_blocks - 1) if draws is None else draws
    at_once = max(1, _AT_ONCE // max(n_blocks, n_pairs))
    for start in range(0, total, at_once):
        n = min(at_once, total - start)
        if draws is None:
            numbers = np.arange(start, start + n, dtype=np.int64)[:, np.newaxis]
            bits = (numbers >> np.arange(n_blocks)) & 1
        else:
            bits = rng.integers(2, size=(n, n_blocks), dtype=np.int8)
        yield 1 - 2 * bits.astype(np.float64)
