"""Power at a given number of seeds, and number of seeds needed for a given power.

References
----------
.. [1] Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 2.
.. [2] Colas, C., Sigaud, O. & Oudeyer, P.-Y. (2018). How many random seeds? arXiv:1806.08295.
.. [3] Phillips, K. F. (1990). Power of the two one-sided tests procedure in bioequivalence. Journal
   of Pharmacokinetics and Biopharmaceutics 18, 137-144.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.analysis.results import Power
from bench.analysis.stats.distributions import (
    least,
    noncentral_t_tails,
    normal_quantile,
    t_quantiles,
    two_sided_t_power,
)
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray

#: Required power: the probability of detecting a true effect.
POWER = 0.8
#: Largest number of seeds that is reported as needed.
MAX_SEEDS = 1_000_000


def smallest_pvalue(n: int) -> float | None:
    """Return the smallest attainable p-value of the sign-flip test with `n` seeds; None below two.

    >>> smallest_pvalue(5)
    0.0625
    """
    return max(TINY, math.ldexp(1, 1 - n)) if n > 1 else None


def seeds_to_reject(n_pairs: int, alpha: float) -> int:
    """Return the smallest number of seeds with which Holm's method can reject any of `n_pairs`.

    >>> seeds_to_reject(28, 0.05), seeds_to_reject(1, 0.05)
    (11, 6)
    """
    n = 2
    while math.ldexp(max(n_pairs, 1), 1 - n) > alpha:
        n += 1
    return n


def t_test_power(dz: float, n: int, level: float) -> float:
    """Return the power of the two-sided one-sample t test, close to that of the sign-flip test.

    `dz` is the true mean difference in standard deviations of the differences, `n` the number of
    seeds (at least 2), `level` the level of the single test.
    """
    return float(_powers(dz, n, level))


def _powers(dz: ArrayLike, n: ArrayLike, level: float) -> FloatArray:
    """Return :func:`t_test_power` elementwise."""
    return two_sided_t_power(np.abs(dz) * np.sqrt(n), np.asarray(n) - 1, level)


def minimum_detectable_dz(n: int, level: float) -> float | None:
    """Return the effect that `n` seeds detect with power 0.8 at `level`; None below two seeds."""
    if n < 2:
        return None
    return least(lambda dz: t_test_power(dz, n, level) >= POWER)


def seeds_needed(dz: float | None, level: float, more_than: int) -> int | None:
    """Return the number of seeds that detect `dz` with power 0.8 at `level`.

    It is larger than `more_than`, the number of seeds of the inconclusive result, and large enough
    for the smallest attainable p-value of the sign-flip test to be at most `level`. None for an
    effect that is 0 or undefined, or for more than :data:`MAX_SEEDS` seeds.
    """
    return seeds_needed_each([dz], level, [more_than])[0]


def seeds_needed_each(
    effects: Sequence[float | None],
    level: float,
    more_than: Sequence[int],
    fewest: int | None = None,
) -> list[int | None]:
    """Return :func:`seeds_needed` of each effect, with one search for all of them.

    `fewest` is the number of seeds from which the test can reject: by default, that of the
    sign-flip test at `level`.
    """
    fewest = seeds_to_reject(1, level) if fewest is None else fewest
    # start of the search: the normal approximation is a few seeds too small
    scale = (normal_quantile(level / 2) + normal_quantile(1 - POWER)) ** 2
    needed: list[int | None] = [None] * len(effects)
    for i, (dz, n) in enumerate(zip(effects, more_than, strict=True)):
        normal = scale / dz**2 if dz else math.inf
        if normal <= MAX_SEEDS:
            needed[i] = max(math.floor(normal), n + 1, fewest)
    places = np.array([i for i, n in enumerate(needed) if n is not None], dtype=np.intp)
    sizes = np.array([effects[i] for i in places], dtype=np.float64)
    seeds = np.array([needed[i] for i in places], dtype=np.int64)
    searched = np.arange(len(places))
    while len(searched):
        searched = searched[_powers(sizes[searched], seeds[searched], level) < POWER]
        seeds[searched] += 1
    for i, n in zip(places.tolist(), seeds.tolist(), strict=True):
        needed[i] = n
    return needed


def equivalence_power(
    means: ArrayLike, stds: ArrayLike, n: ArrayLike, margin: float, level: float
) -> FloatArray:
    """Return the power of two one-sided paired t tests against +-`margin`, elementwise.

    `means` and `stds` are those of the differences, `n` holds numbers of seeds (at least 2), and
    `level` is that of each one-sided test. The result is the sum of both powers minus 1. That is a
    lower bound, and exact unless both tests can fail at once, which is rare at a high power [3]_.
    """
    sizes, df = np.abs(np.asarray(means, dtype=np.float64)), np.asarray(n) - 1
    root = np.sqrt(df + 1) / np.asarray(stds, dtype=np.float64)
    critical = t_quantiles(level, df)
    powers = [
        noncentral_t_tails(critical, df, (margin + shift) * root) for shift in (-sizes, sizes)
    ]
    near, far = (np.where(np.isnan(power), 1.0, power) for power in powers)  # NaN in the far tails
    return np.asarray(np.maximum(0.0, near + far - 1))


def seeds_for_equivalence(
    means: Sequence[float | None],
    stds: Sequence[float | None],
    margin: float,
    level: float,
    more_than: Sequence[int],
) -> list[int | None]:
    """Return the numbers of seeds that show equivalence with power 0.8, for each pair.

    `means` and `stds` are those of the paired differences; see :func:`equivalence_power`. None
    where the mean is not within the margin, or for more than :data:`MAX_SEEDS` seeds.
    """
    scale = (normal_quantile(level) + normal_quantile(1 - POWER)) ** 2
    starts: dict[int, int] = {}
    for i, (mean, std, n) in enumerate(zip(means, stds, more_than, strict=True)):
        if mean is None or not std or abs(mean) >= margin:
            continue
        normal = scale * (std / (margin - abs(mean))) ** 2  # never too large
        if normal <= MAX_SEEDS:
            starts[i] = max(math.floor(normal), n + 1, 2)
    x, s = (np.array([some[i] for i in starts], dtype=np.float64) for some in (means, stds))
    found = _least(
        lambda n, at: equivalence_power(x[at], s[at], n, margin, level) >= POWER,
        np.array([*starts.values()], dtype=np.int64),
    )
    needed = dict(zip(starts, found.tolist(), strict=True))
    return [
        needed[i] if needed.get(i, MAX_SEEDS + 1) <= MAX_SEEDS else None for i in range(len(means))
    ]


def _least(
    is_enough: Callable[[NDArray[np.int64], NDArray[np.intp]], NDArray[np.bool_]],
    starts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the smallest numbers from `starts` on that are enough, by bisection.

    `is_enough` takes numbers and the places in `starts` that they belong to.
    """
    low, high = starts - 1, starts.copy()
    open_ends = np.arange(len(starts))
    while len(open_ends):
        open_ends = open_ends[~is_enough(high[open_ends], open_ends)]
        low[open_ends], high[open_ends] = high[open_ends], 2 * high[open_ends]
    while len(at := np.flatnonzero(high - low > 1)):
        middle = (low[at] + high[at]) // 2
        enough = is_enough(middle, at)
        high[at[enough]], low[at[~enough]] = middle[enough], middle[~enough]
    return high


def seed_sufficiency(n: int, n_pairs: int, alpha: float) -> Power:
    """Compute the power of `n` seeds for `n_pairs` pairs (or 0) at family-wise level `alpha`."""
    return Power(
        smallest_pvalue=smallest_pvalue(n),
        seeds_to_reject=seeds_to_reject(n_pairs, alpha) if n_pairs else None,
        minimum_detectable_dz=minimum_detectable_dz(n, alpha / max(n_pairs, 1)),
    )
