"""Conclusions from a single seed, and from a few seeds, compared with those from all seeds.

How often the mean of n seeds names the best treatment of all seeds says little: the best of all
seeds was named by the same seeds, so that the share is too high (1/2 for eight equal treatments
instead of 1/8). The chance that two disjoint sets of n seeds name the same treatment has an
unbiased estimate, the share of all such pairs of sets in which they do: a U-statistic.

References
----------
.. [1] Hoeffding, W. (1948). A class of statistics with asymptotically normal distribution. Annals
   of Mathematical Statistics 19, 293-325.
.. [2] Colas, C., Sigaud, O. & Oudeyer, P.-Y. (2018). How many random seeds? arXiv:1806.08295.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.results import BestShare, Pair, RankReversal, SelectionPoint, SingleSeed
from bench.analysis.stats.effects import wilson_interval
from bench.analysis.stats.rounding import FloatArray, decimals, in_units
from bench.analysis.table import PairedTable

#: Number of random pairs of sets of blocks; largest number of drawn values, which limits the pairs
#: of a large table; seed of the generator.
DRAWS, MAX_NUMBERS, DRAWS_SEED = 10_000, 50_000_000, 20_181_106
#: Number of values in memory at once; largest number of points of the curve.
_CHUNK, _POINTS = 4_000_000, 30


def single_seed(
    paired: PairedTable, order: Sequence[str], pairs: Sequence[Pair], alpha: float
) -> SingleSeed | None:
    """Compute how often a single block is misleading, and how often two sets of n blocks agree.

    `order` holds the names of the treatments, best first; intervals have level 1 - `alpha`. None
    for fewer than two treatments or no complete block.
    """
    column = {name: i for i, name in enumerate(paired.treatments)}
    scores = _in_whole_units(paired, [column[name] for name in order])
    if len(order) < 2 or not len(scores):
        return None
    # sums that differ by rounding errors only count as equal; sums of counts are exact
    unit = 0.0 if paired.total is not None else 1.0
    totals = scores.sum(axis=0)
    leader = int(np.argmax(totals >= totals.max() - unit * len(scores)))
    n_draws = max(1, min(DRAWS, MAX_NUMBERS // scores.size))
    best = shares_of_the_best(scores)
    return SingleSeed(
        leader=order[leader],
        n_blocks=len(scores),
        best_shares=tuple(
            _best_share(name, float(share), len(scores), alpha)
            for name, share in zip(order, best.mean(axis=0), strict=True)
        ),
        pairs=tuple(_rank_reversal(pair, paired, column) for pair in pairs),
        curve=(*_agreement_of_single_blocks(best), *_agreement(scores, n_draws, unit)),
        n_draws=n_draws,
    )


def _best_share(name: str, share: float, n: int, alpha: float) -> BestShare:
    interval = wilson_interval(share, n, alpha)
    return BestShare(treatment=name, share=share, share_low=interval.low, share_high=interval.high)


def _in_whole_units(paired: PairedTable, columns: Sequence[int]) -> FloatArray:
    """Return complete blocks as whole numbers, shape (n, k), where higher is better.

    Sums of whole numbers are exact. The blocks are sorted by their values, because resamples must
    not depend on the names of the blocks.
    """
    values = paired.sign * paired.complete[:, columns]
    if paired.total is not None:
        units = np.rint(values * paired.total)
    else:
        finite = np.abs(values[np.isfinite(values)])
        units = in_units(values, float(decimals(np.array(finite.max(initial=0.0)))))
    return np.asarray(units[np.lexsort(units.T[::-1])])


def shares_of_the_best(scores: FloatArray, slack: ArrayLike = 0.0) -> FloatArray:
    """Return 1 where a treatment is best, 1/m where m treatments tie; treatments are the last axis.

    Scores that differ by no more than `slack` count as equal.
    """
    best = scores >= scores.max(axis=-1, keepdims=True) - np.asarray(slack)
    return np.asarray(best / best.sum(axis=-1, keepdims=True))


def _agreement_of_single_blocks(best: FloatArray) -> list[SelectionPoint]:
    """Return the share of all pairs of blocks that name the same treatment, as point 1.

    `best` holds the shares of the treatments in each block, shape (n, k); each of two tied
    treatments is named with probability 1/2.
    """
    n = len(best)
    if n < 2:
        return []
    same = float((best.sum(axis=0) ** 2).sum() - (best**2).sum())
    return [SelectionPoint(n=1, probability=same / (n * (n - 1)))]


def _agreement(scores: FloatArray, n_draws: int, unit: float) -> list[SelectionPoint]:
    """Return the points from 2 blocks on: the first and the last n blocks of random orders."""
    n_blocks = len(scores)
    sizes = _sizes(n_blocks // 2)
    if not len(sizes):
        return []
    rng = np.random.default_rng(DRAWS_SEED)
    same = np.zeros(len(sizes))
    at_once = max(1, _CHUNK // scores.size)
    for start in range(0, n_draws, at_once):
        blocks = np.tile(np.arange(n_blocks), (min(at_once, n_draws - start), 1))
        drawn = scores[rng.permuted(blocks, axis=1)]
        first, last = (
            shares_of_the_best(
                np.cumsum(some[:, : sizes[-1]], axis=1)[:, sizes - 1], unit * sizes[:, None]
            )
            for some in (drawn, drawn[:, ::-1])
        )
        same += (first * last).sum(axis=(0, 2))
    return [
        SelectionPoint(n=int(n), probability=float(total / n_draws))
        for n, total in zip(sizes, same, strict=True)
    ]


def _sizes(largest: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the sizes from 2 to `largest`: all, or `_POINTS` of them on a logarithmic scale."""
    if largest <= _POINTS:
        return np.arange(2, largest + 1)
    return np.unique(np.rint(np.geomspace(2, largest, _POINTS)).astype(np.int64))


def _rank_reversal(pair: Pair, paired: PairedTable, column: dict[str, int]) -> RankReversal:
    d = paired.differences(column[pair.a], column[pair.b])
    ahead = d.sign
    return RankReversal(
        a=pair.a,
        b=pair.b,
        n=d.n,
        ahead=None if not ahead else pair.a if ahead == paired.sign else pair.b,
        wrong_share=float((np.sign(d.values) == -ahead).mean()) if ahead else None,
        tied_share=float((d.values == 0).mean()) if ahead else None,
    )
