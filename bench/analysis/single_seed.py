"""Conclusions from a single seed, and from a few seeds, compared with those from all seeds.

References
----------
.. [1] Efron, B. (1979). Bootstrap methods: another look at the jackknife. Annals of Statistics 7,
   1-26. (The resampling of whole blocks, so that the pairing is kept.)
.. [2] Colas, C., Sigaud, O. & Oudeyer, P.-Y. (2018). How many random seeds? arXiv:1806.08295.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.results import BestShare, Pair, RankReversal, SelectionPoint, SingleSeed
from bench.analysis.stats.rounding import FloatArray, decimals, in_units
from bench.analysis.table import PairedTable

#: Number of resamples of a point of the curve; largest number of drawn values, which limits the
#: resamples of a large table; seed of the generator.
DRAWS, MAX_NUMBERS, DRAWS_SEED = 10_000, 50_000_000, 20_181_106
#: Number of values in memory at once; largest number of points of the curve.
_CHUNK, _POINTS = 4_000_000, 30


def single_seed(
    paired: PairedTable, order: Sequence[str], pairs: Sequence[Pair]
) -> SingleSeed | None:
    """Compute how often a single block is misleading, and how often n blocks find the leader.

    `order` holds the names of the treatments, best first. None for fewer than two treatments or no
    complete block.
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
    shares = shares_of_the_best(scores).mean(axis=0)
    return SingleSeed(
        leader=order[leader],
        n_blocks=len(scores),
        best_shares=tuple(
            BestShare(treatment=name, share=float(share))
            for name, share in zip(order, shares, strict=True)
        ),
        pairs=tuple(_rank_reversal(pair, paired, column) for pair in pairs),
        curve=(
            SelectionPoint(n=1, probability=float(shares[leader])),
            *_resampled_curve(scores, leader, n_draws, unit),
        ),
        n_draws=n_draws,
    )


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


def _resampled_curve(
    scores: FloatArray, leader: int, n_draws: int, unit: float
) -> list[SelectionPoint]:
    """Return the points from 2 blocks on; the first n blocks of each draw belong to point n."""
    n_blocks = len(scores)
    sizes = _sizes(n_blocks)
    if not len(sizes):
        return []
    rng = np.random.default_rng(DRAWS_SEED)
    named = np.zeros(len(sizes))
    at_once = max(1, _CHUNK // scores.size)
    for start in range(0, n_draws, at_once):
        drawn = rng.integers(n_blocks, size=(min(at_once, n_draws - start), n_blocks))
        sums = np.cumsum(scores[drawn], axis=1)[:, sizes - 1]
        named += shares_of_the_best(sums, unit * sizes[:, None])[:, :, leader].sum(axis=0)
    return [
        SelectionPoint(n=int(n), probability=float(total / n_draws))
        for n, total in zip(sizes, named, strict=True)
    ]


def _sizes(n_blocks: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the sizes from 2 to `n_blocks`: all, or `_POINTS` of them on a logarithmic scale."""
    if n_blocks <= _POINTS:
        return np.arange(2, n_blocks + 1)
    return np.unique(np.rint(np.geomspace(2, n_blocks, _POINTS)).astype(np.int64))


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
