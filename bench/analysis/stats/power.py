"""What a number of seeds can show: before the sweep, and after it for what stayed open.

References
----------
.. [1] Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd ed., chapter 2.
.. [2] Colas, C., Sigaud, O. & Oudeyer, P.-Y. (2018). How many random seeds? arXiv:1806.08295.
"""

from __future__ import annotations

import math

from scipy import optimize, stats

from bench.analysis.results import Power
from bench.analysis.stats.permutation import TINY

#: The chance of finding an effect that is there.
POWER = 0.8
#: Nobody runs more seeds than this.
MAX_SEEDS = 1_000_000


def smallest_pvalue(n: int) -> float | None:
    """The least p-value that the sign-flip test can give with `n` seeds; None below two.

    >>> smallest_pvalue(5)
    0.0625
    """
    return max(TINY, math.ldexp(1, 1 - n)) if n > 1 else None


def seeds_to_reject(n_pairs: int, alpha: float) -> int:
    """The number of seeds from which Holm can reject anything among `n_pairs` pairs.

    >>> seeds_to_reject(28, 0.05), seeds_to_reject(1, 0.05)
    (11, 6)
    """
    n = 2
    while math.ldexp(max(n_pairs, 1), 1 - n) > alpha:
        n += 1
    return n


def t_test_power(dz: float, n: int, level: float) -> float:
    """Power of the two-sided one-sample t test: the sign-flip test's is close to it.

    Parameters
    ----------
    dz
        True mean difference in standard deviations of the differences.
    n
        Number of seeds, at least 2.
    level
        Level of the single test.
    """
    critical = stats.t.isf(level / 2, n - 1)
    shift = abs(dz) * math.sqrt(n)
    near = float(stats.nct.sf(critical, n - 1, shift))
    far = float(stats.nct.cdf(-critical, n - 1, shift))
    # scipy's nct loses its far tails to NaN: those of probability 1, and of probability 0
    return (1.0 if math.isnan(near) else near) + (0.0 if math.isnan(far) else far)


def minimum_detectable_dz(n: int, level: float) -> float | None:
    """The effect that `n` seeds find with power 0.8 at `level`; None below two seeds."""
    if n < 2:
        return None
    high = 1.0
    while t_test_power(high, n, level) < POWER:
        high *= 2
    return float(optimize.brentq(lambda dz: t_test_power(dz, n, level) - POWER, 0.0, high))


def seeds_needed(dz: float | None, level: float, more_than: int) -> int | None:
    """The number of seeds that find `dz` with power 0.8 at `level`.

    At least one more than the `more_than` seeds that did not; and enough for the sign-flip
    test's smallest p-value to reach `level`. None for no effect, or an undefined one, or more than
    :data:`MAX_SEEDS`.
    """
    if not dz:
        return None
    # the normal approximation is a lower bound, a few seeds short
    normal = (stats.norm.isf(level / 2) + stats.norm.ppf(POWER)) ** 2 / dz**2
    if normal > MAX_SEEDS:
        return None
    n: int = max(math.floor(normal), more_than + 1, seeds_to_reject(1, level))
    while t_test_power(dz, n, level) < POWER:
        n += 1
    return n


def seed_sufficiency(n: int, n_pairs: int, alpha: float) -> Power:
    """What `n` seeds can show about `n_pairs` pairs, maybe none, at family-wise level `alpha`."""
    return Power(
        smallest_pvalue=smallest_pvalue(n),
        seeds_to_reject=seeds_to_reject(n_pairs, alpha) if n_pairs else None,
        minimum_detectable_dz=minimum_detectable_dz(n, alpha / max(n_pairs, 1)),
    )
