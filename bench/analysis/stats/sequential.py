r"""Levels of repeated looks at the results while seeds are added.

Testing after 5, 10, 15 and 20 seeds and stopping at the first significant result inflates the error
rate: the sign-flip test at level 5 % then has a type I error rate of about 10 % (simulated in
:mod:`bench.tools.simulation`). The level alpha is therefore divided among the looks: the sum of
their levels bounds the error rate. A look with too few seeds for a significant difference also uses
its share, because it may still find an equivalence.

A sequential sweep declares the numbers of seeds of its K looks and gives more seeds only to
treatments of pairs that are not decided (:mod:`bench.analysis.sequential`). Each pair then has one
p-value that is adjusted for the looks, and a stopped pair keeps it. Let :math:`p_j` be the exact
sign-flip p-value at look j, and :math:`M_k = K \min_{j \le k} p_j`. The adjusted p-value is

.. math:: q_k = \Pr\{\min_{j \le k} K p_j \le M_k\} + \frac{K - k}{K} M_k,

where the probability is over the signs of the differences, given their sizes. It cannot increase
from look to look: :math:`M_k` does not, and with the next look the first term grows by at most
:math:`M_k / K`, which the second term loses. After the last look, it is the permutation p-value of
the smallest p-value. So :math:`\Pr\{q_k \le \gamma\} \le \gamma` under symmetry, at whichever
look the pair was stopped and for whatever reason [3]_ [4]_ [5]_.

References
----------
.. [1] Dunn, O. J. (1961). Multiple comparisons among means. JASA 56, 52-64. (The bound.)
.. [2] Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals
   of Mathematical Statistics 41, 1397-1409. (Infinite sequences of tests.)
.. [3] Liu, Q. & Anderson, K. M. (2008). On adaptive extensions of group sequential trials for
   clinical investigations. JASA 103, 1621-1630. (p-values of a sequential design.)
.. [4] Maurer, W. & Bretz, F. (2013). Multiple testing in group sequential trials using graphical
   approaches. Statistics in Biopharmaceutical Research 5, 311-320. (With Holm's method.)
.. [5] Mehta, C. R., Patel, N., Senchaudhuri, P. & Tsiatis, A. (1994). Exact permutational tests for
   group sequential clinical trials. Biometrics 50, 1042-1053.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from bench.analysis.results import Look
from bench.analysis.stats.power import seeds_to_reject
from bench.analysis.stats.rounding import FloatArray

#: Largest table of weights, and number of cell updates (0.3 seconds), of the joint distribution.
MAX_TABLE = 5_000_000
MAX_CELLS = 200_000_000
#: Relative rounding error of probabilities.
_ROUNDING = 1e-9
#: In the default looks, the last doubling has at most this share of the largest number of seeds.
LAST_DOUBLING = 0.8


def look_level(look: int, alpha: float, planned: int | None) -> float:
    """Return the family-wise level of a look.

    Parameters
    ----------
    look
        Number of the look, from 1.
    alpha
        Declared family-wise level.
    planned
        Number of looks that were declared before the first look. Each planned look has the level
        alpha / planned. Other looks, and all looks if `planned` is None (any number), have the
        level alpha / (look (look + 1)); the sum of these levels over all looks is at most alpha.

    Examples
    --------
    >>> look_level(1, 0.05, planned=1), look_level(2, 0.05, planned=2)
    (0.05, 0.025)
    >>> [round(look_level(j, 0.05, planned=None), 4) for j in (1, 2, 3)]
    [0.025, 0.0083, 0.0042]
    """
    if planned is not None and look <= planned:
        return alpha / planned
    return alpha / (look * (look + 1))


def look_levels(
    taken: Sequence[tuple[int, datetime | None]], alpha: float, planned: int | None
) -> tuple[Look, ...]:
    """Return the looks with their levels.

    Parameters
    ----------
    taken
        (number of blocks, time) of each look, the first look first.
    alpha, planned
        See :func:`look_level`.
    """
    looks: list[Look] = []
    spent = 0.0
    for number, (n_blocks, at) in enumerate(taken, start=1):
        level = look_level(number, alpha, planned)
        spent += level
        looks.append(Look(look=number, n_blocks=n_blocks, level=level, spent=spent, at=at))
    return tuple(looks)


def doubling_looks(n_pairs: int, alpha: float, most: int) -> tuple[int, ...]:
    """Return numbers of seeds that double from look to look, up to `most`.

    The first is the smallest number with which Holm's method over `n_pairs` can reject a hypothesis
    at the first look. The result has one number if `most` is not larger than that.

    >>> doubling_looks(28, 0.05, most=160), doubling_looks(1, 0.05, most=36)
    ((13, 26, 52, 104, 160), (8, 16, 36))
    """
    planned = 1
    while len(looks := _doubled(seeds_to_reject(n_pairs * planned, alpha), most)) > planned:
        planned += 1
    return looks


def _doubled(first: int, most: int) -> tuple[int, ...]:
    looks = []
    while first <= LAST_DOUBLING * most:
        looks.append(first)
        first *= 2
    return (*looks, most)


def sequential_pvalue(
    pvalues: Sequence[float | None],
    n_looks: int,
    parts: Sequence[FloatArray] | None = None,
) -> float | None:
    """Return the p-value of the looks so far, adjusted for all `n_looks` declared looks.

    Without `parts`, and where the differences have too many sums to count, it is the smallest
    p-value times the number of looks (Bonferroni), which is never smaller. None without a p-value.

    Parameters
    ----------
    pvalues
        p-value of the differences up to each look; None where there are too few.
    n_looks
        Declared number of looks.
    parts
        Differences that each look so far added, each of shape (n_added,), as whole numbers, for the
        exact p-values of the sign-flip test.

    Examples
    --------
    With the sizes 1 to 7, 28 of the 128 patterns of signs have p <= 2/16 at the first look with 4
    seeds, or at the second. The sum over the looks is 32/128.

    >>> parts = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([5.0, -6.0, 7.0])]
    >>> sequential_pvalue([0.125, 0.21875], 2, parts), sequential_pvalue([0.125, 0.21875], 2)
    (0.21875, 0.25)
    """
    known = [p for p in pvalues if p is not None]
    if not known:
        return None
    smallest, taken = min(known), len(pvalues)
    if smallest >= 1:  # the sum is 0 at each look: all patterns are as extreme
        return 1.0
    crossed = None
    if parts is not None and taken > 1:  # at the first look, the bound is exact
        crossed = _crossing_probability(parts, smallest)
    if crossed is None:
        crossed = taken * smallest
    return min(1.0, crossed + (n_looks - taken) * smallest)


def _crossing_probability(parts: Sequence[FloatArray], level: float) -> float | None:
    """Return the probability that a p-value of any look is at most `level`, given the sizes.

    None if the table is too large. The weight of a pattern of signs is the sum of the sizes with a
    negative sign, as in :mod:`bench.analysis.stats.permutation`; the table holds the probability of
    each weight, in the second row without the patterns that crossed at an earlier look.
    """
    sizes = [np.abs(part[part != 0]).astype(np.int64) for part in parts]
    unit = max(1, int(np.gcd.reduce(np.concatenate(sizes), initial=0)))
    sizes = [part // unit for part in sizes]
    top = sum(int(part.sum()) for part in sizes)
    if top > MAX_TABLE or top * sum(map(len, sizes)) > MAX_CELLS:
        return None
    table = np.zeros((2, top + 1))
    table[:, 0] = 1.0
    top, crossed = 0, 0.0
    for part in sizes:
        for size in part.tolist():
            table[:, size : top + size + 1] += table[:, : top + 1].copy()
            table[:, : top + size + 1] *= 0.5
            top += size
        n_light = _n_rejected(table[0, : (top + 1) // 2], level)
        for tail in (table[1, :n_light], table[1, top + 1 - n_light : top + 1]):
            crossed += float(tail.sum())
            tail[:] = 0.0
    return crossed


def _n_rejected(light: FloatArray, level: float) -> int:
    """Return how many of the smallest weights have a two-sided p-value of at most `level`.

    `light` holds the probabilities of the weights below half of the largest one.
    """
    pvalues = 2 * np.cumsum(light)
    return int(np.searchsorted(pvalues, level * (1 + _ROUNDING), side="right"))
