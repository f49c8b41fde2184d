"""Effect sizes of paired differences.

References
----------
.. [1] Hedges, L. V. (1981). Distribution theory for Glass's estimator of effect size and related
   estimators. Journal of Educational Statistics 6, 107-128. (Used here: the exact correction by
   gamma functions, not the approximation 1 - 3/(4 df - 1).)
.. [2] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
   JASA 22, 209-212.
.. [3] Vargha, A. & Delaney, H. D. (2000). A critique and improvement of the CL common language
   effect size statistics of McGraw and Wong. Journal of Educational and Behavioral Statistics 25,
   101-132. (A12; Agarwal et al., 2021, call it probability of improvement.)
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from bench.analysis.stats.distributions import normal_quantile
from bench.analysis.stats.rounding import FloatArray, significant
from bench.analysis.stats.student import Interval, Moments


def cohen_dz(differences: Moments) -> float | None:
    """Return Cohen's d_z: the mean difference in standard deviations of the differences.

    None for fewer than two differences or where all are equal.
    """
    if differences.mean is None or not differences.std:
        return None
    return differences.mean / differences.std


def hedges_gz(differences: Moments) -> float | None:
    """Return Hedges' g_z, d_z without its small-sample bias; None below three differences."""
    dz, df = cohen_dz(differences), differences.n - 1
    if dz is None or df < 2:
        return None
    log_correction = special.gammaln(df / 2) - special.gammaln((df - 1) / 2) - math.log(df / 2) / 2
    return float(dz * math.exp(log_correction))


def win_rate(differences: FloatArray, sign: int) -> float | None:
    """Return the share of blocks in which a is better; ties count half. None without a block."""
    if not len(differences):
        return None
    return float((1 + np.sign(sign * differences)).mean() / 2)


def wilson_interval(rate: float | None, n: int, alpha: float) -> Interval:
    """Return Wilson's interval of a share of `n` at level 1 - `alpha`; undefined below two blocks.

    scipy's ``binomtest`` is not used because it needs whole counts, and ties count half here.
    """
    if rate is None or n < 2:
        return Interval()
    z2 = normal_quantile(alpha / 2) ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half_width = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(low=max(0.0, centre - half_width), high=min(1.0, centre + half_width))


def a12(a: FloatArray, b: FloatArray, sign: int) -> float | None:
    """Return the probability that a run of a is better than an unpaired run of b; ties count half.

    The shapes are (n,) and (m,), without NaN; values may be infinite. `sign` is +1 where higher is
    better, -1 where lower is.
    """
    if not len(a) or not len(b):
        return None
    both = sign * significant(np.concatenate([a, b]))
    x, y = both[: len(a)], np.sort(both[len(a) :])
    # Mann and Whitney's U: for each x, the number of y that are smaller, and half of the ties
    mann_whitney_u = sum(int(y.searchsorted(x, side).sum()) for side in ("left", "right")) / 2
    return float(mann_whitney_u / (len(a) * len(b)))


def correlation(a: FloatArray, b: FloatArray) -> float | None:
    """Return Pearson's correlation of paired values.

    None for fewer than three pairs (two always lie on a line), where one side is constant, or
    where a value is infinite.
    """
    x, y = Moments.of(a), Moments.of(b)
    if len(a) < 3 or x.mean is None or y.mean is None or not x.std or not y.std:
        return None
    products = ((a - x.mean) / x.std) * ((b - y.mean) / y.std)
    return max(-1.0, min(1.0, math.fsum(products) / (len(a) - 1)))
