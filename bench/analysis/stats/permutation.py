r"""The exact paired sign-flip test: what if each seed's winner had been drawn by coin?

Under the null hypothesis that a difference is as likely as its mirror image, all :math:`2^n`
patterns of signs are equally likely, and the p-value is the share of them whose sum is at least
as far from zero as the observed one.

Flipping a set of signs takes twice its weight :math:`w` from the largest possible sum
:math:`A = \sum |d_i|`. So the sum is :math:`A - 2w`, and

.. math:: p = 2 \Pr\{w \le (A - |\textstyle\sum d_i|) / 2\},

the probability that a random subset of the :math:`|d_i|` is light. Every method here counts light
subsets; the exact Wilcoxon signed-rank test is the same count on ranks.

References
----------
.. [1] Fisher, R. A. (1935). The Design of Experiments, section 21.
.. [2] Pagano, M. & Tritchler, D. (1983). On obtaining permutation distributions in polynomial
   time. JASA 78, 435-440. (The convolution; done here with float counts, which are exact up to
   2**53 and good to n rounding errors beyond.)
.. [3] Phipson, B. & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical
   Applications in Genetics and Molecular Biology 9, 39. (The +1 of the Monte Carlo p-value.)
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.stats.rounding import FloatArray

#: All sign patterns of up to this many differences are enumerated.
MAX_ENUMERATED = 22
#: The convolution may update this many cells (some 2 seconds) of a table this long (80 MB).
MAX_CELLS = 1_000_000_000
MAX_TABLE = 10_000_000
#: Random sign patterns drawn where neither exact way is open, and the seed they are drawn from.
MONTE_CARLO_DRAWS = 99_999
MONTE_CARLO_SEED = 20_060_101
#: No p-value is 0: below this a float is no longer normal.
TINY = sys.float_info.min


def sign_flip_pvalue(differences: ArrayLike, slack: float = 0.0) -> float | None:
    """Two-sided p-value of the mean of paired differences, in (0, 1].

    Zero differences need no special care: flipping their sign changes nothing.

    Parameters
    ----------
    differences
        Shape (n,), whole numbers (see :class:`bench.analysis.stats.differences.Differences`).
    slack
        Sums that differ by no more than this count as equal.

    Returns
    -------
    float or None
        None for fewer than two differences: one seed tests nothing.

    Examples
    --------
    Darwin's maize, the pairs of Fisher's book: 1726 of 32768 patterns are as extreme.

    >>> darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    >>> sign_flip_pvalue(darwin) == 1726 / 32768
    True
    """
    d = np.asarray(differences, dtype=np.float64)
    return None if len(d) < 2 else flip_pvalue(d, slack)


def flip_pvalue(signed: FloatArray, slack: float = 0.0) -> float:
    """Share of sign patterns whose sum is as far from zero as that of `signed`, in (0, 1].

    Exact by enumeration or by convolution, whichever is cheaper, while one of them is cheap;
    else from :data:`MONTE_CARLO_DRAWS` random patterns, the same ones in every call.

    Parameters
    ----------
    signed
        Shape (n,), whole numbers.
    slack
        Sums that differ by no more than this count as equal.
    """
    signed = signed[signed != 0]
    unit = max(1, int(np.gcd.reduce(signed.astype(np.int64), initial=0)))
    weights = np.sort(np.abs(signed)) / unit
    limit = math.floor((weights.sum() - (abs(signed.sum()) - slack) / unit) / 2)
    light = weights[weights <= limit]  # the others are in no light subset
    cells = np.minimum(np.cumsum(light), limit).sum()
    table = min(limit, light.sum())
    if len(light) <= MAX_ENUMERATED and 2.0 ** (len(light) / 2) <= cells:
        share = _light_share_by_enumeration(light, limit)
    elif cells <= MAX_CELLS and table <= MAX_TABLE:
        share = _light_share_by_convolution(light, limit)
    else:
        return _monte_carlo_pvalue(weights, limit)
    return min(1.0, max(TINY, math.ldexp(share, 1 + len(light) - len(weights))))


def _light_share_by_enumeration(weights: FloatArray, limit: int) -> float:
    """Share of all subsets that weigh at most `limit`: the subsets of two halves, matched up."""
    left, right = _subset_sums(weights[::2]), np.sort(_subset_sums(weights[1::2]))
    count = int(np.searchsorted(right, limit - left, side="right").sum())
    return math.ldexp(count, -len(weights))


def _subset_sums(weights: FloatArray) -> FloatArray:
    """The weight of every subset, shape (2**n,): each weight doubles the list."""
    sums = np.zeros(1)
    for weight in weights:
        sums = np.concatenate([sums, sums + weight])
    return sums


def _light_share_by_convolution(weights: FloatArray, limit: int) -> float:
    """Share of all subsets that weigh at most `limit`, from the number of subsets of each weight.

    `weights` ascend, so that the occupied part of the table grows slowly.
    """
    ways = np.zeros(min(limit, int(weights.sum())) + 1)
    following = np.zeros_like(ways)  # two tables take turns: in place, numpy would copy the overlap
    ways[0], top, halvings = 1.0, 0, 0
    for i, weight in enumerate(weights.astype(np.int64), start=1):
        top = min(top + weight, len(ways) - 1)
        following[:weight] = ways[:weight]
        np.add(ways[weight : top + 1], ways[: top + 1 - weight], out=following[weight : top + 1])
        ways, following = following, ways
        if i % 1000 == 0:  # 2**1024 would overflow
            ways = np.ldexp(ways, -1000)
            halvings += 1000
    return math.ldexp(ways.sum(), halvings - len(weights))


def _monte_carlo_pvalue(weights: FloatArray, limit: int) -> float:
    """(b + 1) / (B + 1), where b of B random sign patterns are as extreme."""
    rng = np.random.default_rng(MONTE_CARLO_SEED)
    flipped = np.zeros(MONTE_CARLO_DRAWS)
    for start in range(0, len(weights), 8):  # eight signs at a time, from a table of their sums
        sums = _subset_sums(weights[start : start + 8])
        flipped += sums[rng.integers(len(sums), size=MONTE_CARLO_DRAWS)]
    extreme = (flipped <= limit) | (flipped >= weights.sum() - limit)
    return float((np.count_nonzero(extreme) + 1) / (MONTE_CARLO_DRAWS + 1))
