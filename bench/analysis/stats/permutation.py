r"""Exact paired sign-flip permutation test.

Under the null hypothesis that the distribution of each difference is symmetric around 0, all
:math:`2^n` sign patterns are equally likely. The p-value is the share of the patterns with a sum at
least as far from zero as the observed sum.

Let :math:`A = \sum |d_i|` be the largest possible sum, and :math:`w` the sum of the :math:`|d_i|`
with a negative sign, called the weight of this subset. The sum of a pattern is :math:`A - 2w`, and

.. math:: p = 2 \Pr\{w \le (A - |\textstyle\sum d_i|) / 2\}.

All methods here count the subsets of the :math:`|d_i|` up to this limit of the weight ("light"
subsets). The exact Wilcoxon signed-rank test is the same count on ranks.

Enumeration does not list all patterns. It sorts the weights of the :math:`2^{n/2}` subsets of
either half of the differences. For each subset of one half, a binary search counts the subsets of
the other half that fit below the limit ("meet in the middle") [4]_.

References
----------
.. [1] Fisher, R. A. (1935). The Design of Experiments, section 21.
.. [2] Pagano, M. & Tritchler, D. (1983). On obtaining permutation distributions in polynomial
   time. JASA 78, 435-440. (The convolution. Counts are floats here: exact up to 2**53, and with at
   most n rounding errors beyond.)
.. [3] Phipson, B. & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical
   Applications in Genetics and Molecular Biology 9, 39. (The +1 of the Monte Carlo p-value.)
.. [4] Horowitz, E. & Sahni, S. (1974). Computing partitions with applications to the knapsack
   problem. Journal of the ACM 21, 277-292.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.stats.rounding import FloatArray

#: Largest number of differences with enumeration of all sign patterns (0.1 seconds).
MAX_ENUMERATED = 40
#: Largest number of cell updates of the convolution (about 2 seconds), and of its cells (80 MB).
MAX_CELLS = 1_000_000_000
MAX_TABLE = 10_000_000
#: Limits of both methods for all tests of a family together: subsets of a half that are enumerated,
#: and cell updates.
FAMILY_SUBSETS = 400_000_000
FAMILY_CELLS = 30_000_000_000
#: Costs of one subset of a half, which is sorted and searched, in cell updates of the convolution.
_COST_OF_SUBSET = 16
#: Number of random sign patterns where both exact methods are too expensive, and their seed. With
#: more than 50,000 differences there are fewer patterns, so that at most MAX_FLIPS signs are drawn
#: (a few seconds), but not fewer than MIN_DRAWS.
MONTE_CARLO_DRAWS = 99_999
MIN_DRAWS = 9_999
MAX_FLIPS = 5_000_000_000
MONTE_CARLO_SEED = 20_060_101
#: Tests, signs and patterns of a product of matrices: 100 MB of sums, and tables that fit into a
#: cache.
_SUMS_AT_ONCE, _SIGNS_AT_ONCE, _PATTERNS_AT_ONCE = 128, 256, 2048
#: Smallest p-value: the smallest normal float.
TINY = sys.float_info.min


@dataclass(frozen=True, kw_only=True)
class PermutationPvalue:
    """Two-sided p-value in (0, 1], and its method.

    `draws` is the number of random sign patterns that it was estimated from; None where it is the
    exact share of all patterns.
    """

    pvalue: float
    draws: int | None = None

    @property
    def standard_error(self) -> float | None:
        """Monte Carlo standard error of the p-value; None where it is exact."""
        return None if self.draws is None else monte_carlo_error(self.pvalue, self.draws)


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The differences of one test, and its family: what :func:`flip_test` takes."""

    signed: FloatArray
    slack: float = 0.0
    n_tests: int = 1


def monte_carlo_error(pvalue: float, draws: int) -> float:
    """Return the standard error of a p-value that was estimated from random patterns."""
    return math.sqrt(pvalue * (1 - pvalue) / draws)


def max_enumerated(n_tests: int) -> int:
    """Return the largest number of differences with enumeration, in a family of `n_tests` tests.

    >>> max_enumerated(28), max_enumerated(44850)
    (40, 26)
    """
    return max(0, min(MAX_ENUMERATED, math.floor(2 * math.log2(FAMILY_SUBSETS / n_tests))))


def sign_flip_test(
    differences: ArrayLike, slack: float = 0.0, n_tests: int = 1
) -> PermutationPvalue | None:
    """Test that the mean of paired differences is 0, two-sided.

    None for fewer than two differences: one seed cannot be tested. Zero differences need no special
    case: flipping their sign does not change the sum.

    Parameters
    ----------
    differences
        Shape (n,), whole numbers (see :class:`bench.analysis.stats.differences.Differences`).
    slack
        Sums that differ by no more than this count as equal.
    n_tests
        Number of tests in the family: with many, fewer patterns of each are counted.

    Examples
    --------
    Darwin's maize data from Fisher's book: 1726 of 32768 patterns are as extreme.

    >>> darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    >>> sign_flip_test(darwin).pvalue == 1726 / 32768
    True
    """
    d = np.asarray(differences, dtype=np.float64)
    return sign_flip_tests([Flips(signed=d, slack=slack, n_tests=n_tests)])[0]


def sign_flip_tests(tests: Sequence[Flips]) -> list[PermutationPvalue | None]:
    """Return :func:`sign_flip_test` of each; those with random patterns draw them only once."""
    found = iter(flip_tests([test for test in tests if len(test.signed) > 1]))
    return [next(found) if len(test.signed) > 1 else None for test in tests]


def sign_flip_pvalue(differences: ArrayLike, slack: float = 0.0) -> float | None:
    """Return the p-value of :func:`sign_flip_test`."""
    test = sign_flip_test(differences, slack)
    return None if test is None else test.pvalue


def flip_test(signed: FloatArray, slack: float = 0.0, n_tests: int = 1) -> PermutationPvalue:
    """Return the share of sign patterns with a sum as far from zero as that of `signed`.

    The share is exact if enumeration or convolution is possible within the limits above (the
    cheaper one is used). Otherwise it is estimated from random patterns with a fixed seed.
    `signed`, shape (n,), holds whole numbers; sums that differ by no more than `slack` count as
    equal. `n_tests` is the number of tests in the family, which share the limits.
    """
    return flip_tests([Flips(signed=signed, slack=slack, n_tests=n_tests)])[0]


def flip_tests(tests: Sequence[Flips]) -> list[PermutationPvalue]:
    """Return :func:`flip_test` of each; those with random patterns draw them only once."""
    subsets = [_Subsets.of(test) for test in tests]
    exact = [of.exact(test.n_tests) for of, test in zip(subsets, tests, strict=True)]
    drawn = [of for of, found in zip(subsets, exact, strict=True) if found is None]
    estimates = iter(_monte_carlo(drawn) if drawn else ())
    return [next(estimates) if found is None else found for found in exact]


@dataclass(frozen=True)
class _Subsets:
    """Weights in ascending order, and the largest weight of a light subset."""

    weights: FloatArray
    limit: int

    @classmethod
    def of(cls, test: Flips) -> _Subsets:
        signed = test.signed[test.signed != 0]
        unit = max(1, int(np.gcd.reduce(signed.astype(np.int64), initial=0)))
        weights = np.sort(np.abs(signed)) / unit
        limit = (weights.sum() - (abs(signed.sum()) - test.slack) / unit) / 2
        return cls(weights, math.floor(limit))

    @property
    def draws(self) -> int:
        """Number of random patterns, where they are needed."""
        return max(MIN_DRAWS, min(MONTE_CARLO_DRAWS, MAX_FLIPS // len(self.weights)))

    def exact(self, n_tests: int) -> PermutationPvalue | None:
        """Return the exact p-value; None where it is too expensive in a family of `n_tests`."""
        weights, limit = self.weights, self.limit
        light = weights[weights <= limit]  # larger weights are in no light subset
        cells = np.minimum(np.cumsum(light), limit).sum()
        table = min(limit, light.sum())
        can_convolve = cells <= min(MAX_CELLS, FAMILY_CELLS / n_tests) and table <= MAX_TABLE
        longest = max_enumerated(n_tests)
        costs = _COST_OF_SUBSET * 2.0 ** (min(len(light), longest) / 2)
        if len(light) <= longest and (costs <= cells or not can_convolve):
            share = _light_share_by_enumeration(light, limit)
        elif can_convolve:
            share = _light_share_by_convolution(light, limit)
        else:
            return None
        return PermutationPvalue(
            pvalue=min(1.0, max(TINY, math.ldexp(share, 1 + len(light) - len(weights))))
        )


def _light_share_by_enumeration(weights: FloatArray, limit: int) -> float:
    """Return the share of subsets of weight at most `limit`, from the subsets of two halves."""
    left, right = np.sort(_subset_sums(weights[::2])), np.sort(_subset_sums(weights[1::2]))
    # ascending keys: the searches are faster, because neighbours end at neighbouring places
    count = int(np.searchsorted(right, limit - left[::-1], side="right").sum())
    return math.ldexp(count, -len(weights))


def _subset_sums(weights: FloatArray) -> FloatArray:
    """Return the weight of every subset, shape (2**n,)."""
    sums = np.zeros(1)
    for weight in weights:
        sums = np.concatenate([sums, sums + weight])
    return sums


def _light_share_by_convolution(weights: FloatArray, limit: int) -> float:
    """Return the share of subsets of weight at most `limit`, from the counts per weight.

    `weights` are in ascending order, so that the used part of the table grows slowly.
    """
    ways = np.zeros(min(limit, int(weights.sum())) + 1)
    following = np.zeros_like(ways)  # two tables, because an in-place sum would copy the overlap
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


def _monte_carlo(tests: Sequence[_Subsets]) -> list[PermutationPvalue]:
    """Return (b + 1) / (B + 1) of each test, where b of B random sign patterns are as extreme."""
    found: dict[int, PermutationPvalue] = {}
    for draws in sorted({test.draws for test in tests}):
        places = [i for i, test in enumerate(tests) if test.draws == draws]
        for start in range(0, len(places), _SUMS_AT_ONCE):
            some = places[start : start + _SUMS_AT_ONCE]
            sums = _random_sums([tests[i].weights for i in some], draws)
            for i, flipped in zip(some, sums, strict=True):
                largest, limit = tests[i].weights.sum(), tests[i].limit
                extreme = np.count_nonzero((flipped <= limit) | (flipped >= largest - limit))
                pvalue = (int(extreme) + 1) / (draws + 1)
                found[i] = PermutationPvalue(pvalue=pvalue, draws=draws)
    return [found[i] for i in range(len(tests))]


def _random_sums(weights: Sequence[FloatArray], draws: int) -> Sequence[FloatArray]:
    """Return the weights of the same `draws` random subsets of each test, shape (draws,) each.

    They are sums of whole numbers, and therefore exact up to 2**53.
    """
    are_tied = [_are_tied(own) for own in weights]
    sums = {
        is_tied: iter(
            sums_of([w for w, own in zip(weights, are_tied, strict=True) if own is is_tied], draws)
        )
        for is_tied, sums_of in ((True, _sums_of_tied), (False, _sums_of_others))
    }
    return [next(sums[is_tied]) for is_tied in are_tied]


def _are_tied(weights: FloatArray) -> bool:
    """Return whether few weights differ, so that :func:`_sums_of_tied` is faster, and exact."""
    n_distinct = np.count_nonzero(np.diff(weights)) + 1
    return bool(8 * n_distinct <= len(weights) and len(weights) * weights[-1] < 2**53)


def _sums_of_tied(weights: Sequence[FloatArray], draws: int) -> FloatArray:
    """Count the members of each subset so far, and add them up where the next weight differs."""
    changes: dict[int, list[tuple[int, float]]] = {}
    for test, own in enumerate(weights):
        steps = -np.diff(own, append=0.0)
        for place in np.flatnonzero(steps):
            changes.setdefault(int(place), []).append((test, float(steps[place])))
    rng = np.random.default_rng(MONTE_CARLO_SEED)
    sums, counts = np.zeros((len(weights), draws)), np.zeros(draws, np.uint32)
    for start in range(0, max(map(len, weights), default=0), 8):
        octets = np.frombuffer(rng.bytes(draws), np.uint8)
        for bit in range(8):
            counts += (octets >> (7 - bit)) & 1
            for test, step in changes.get(start + bit, ()):
                sums[test] += step * counts
    return sums


def _sums_of_others(weights: Sequence[FloatArray], draws: int) -> FloatArray:
    """Multiply the signs of the patterns with the weights."""
    longest = max(map(len, weights), default=0)
    columns = np.zeros((-(-longest // 8) * 8, len(weights)))
    for column, own in zip(columns.T, weights, strict=True):
        column[: len(own)] = own
    rng = np.random.default_rng(MONTE_CARLO_SEED)
    sums = np.zeros((draws, len(weights)))
    for start in range(0, len(columns), _SIGNS_AT_ONCE):
        part = columns[start : start + _SIGNS_AT_ONCE]
        # eight signs of every pattern at a time
        octets = [np.frombuffer(rng.bytes(draws), np.uint8) for _ in range(len(part) // 8)]
        members = np.stack(octets, axis=1)
        for first in range(0, draws, _PATTERNS_AT_ONCE):
            some = slice(first, first + _PATTERNS_AT_ONCE)
            sums[some] += np.unpackbits(members[some], axis=1).astype(np.float64) @ part
    return sums.T
