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
.. [4] Bouthillier, X. et al. (2021). Accounting for variance in machine learning benchmarks. MLSys.
   (P(A > B) and its threshold. They ask whether the interval of P reaches above the threshold; here
   P is tested to be above it, which is stricter.)
.. [5] Munzel, U. & Brunner, E. (2002). An exact paired rank test. Biometrical Journal 44, 584-593.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from bench.analysis.stats.distributions import normal_quantile, t_quantile
from bench.analysis.stats.permutation import TINY
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
    return _wilson(rate, n, normal_quantile(alpha / 2) ** 2)


def _wilson(rate: float, n: float, z2: float) -> Interval:
    """Return Wilson's interval for a squared quantile and a number of trials, whole or not."""
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half_width = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return Interval(low=max(0.0, centre - half_width), high=min(1.0, centre + half_width))


def win_pvalue(differences: FloatArray, threshold: float) -> float | None:
    """Return the exact p-value of "neither side wins more than `threshold` of the blocks".

    `threshold` is a probability of at least 1/2. Ties count for neither side. Under the hypothesis,
    the larger number of wins is most often this large where one side wins with exactly this
    probability and the other side wins the rest [4]_. None below two blocks.
    """
    n = len(differences)
    if n < 2:
        return None
    wins = max(np.count_nonzero(differences > 0), np.count_nonzero(differences < 0))
    if not wins:
        return 1.0
    tails = (float(special.bdtrc(wins - 1, n, rate)) for rate in (threshold, 1 - threshold))
    return min(1.0, max(TINY, sum(tails)))


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


def a12_interval(a: FloatArray, b: FloatArray, sign: int, alpha: float) -> Interval:
    """Return an interval of A12 of paired runs at level 1 - `alpha`; undefined below two blocks.

    It is Wilson's interval with Student's quantile, and with the number of trials at which a share
    would have the variance of A12. The variance is that of the sum of both placements (the share of
    the other side's runs that a run is better than) of each block, so it accounts for the
    pairing [5]_. The number of trials is at most 1.5 n, that of two independent normal samples with
    one mean: few blocks may show no variance by chance.
    """
    n = len(a)
    rate = a12(a, b, sign)
    if rate is None or n < 2:
        return Interval()
    both = sign * significant(np.concatenate([a, b]))
    x, y = both[:n], both[n:]
    variance = (Moments.of(_placements(x, y) - _placements(y, x)).std or 0.0) ** 2 / n
    own, most = rate * (1 - rate), 1.5 * n
    trials = max(1.0, own / variance) if own > 0 and variance > own / most else most
    return _wilson(rate, trials, t_quantile(alpha / 2, n - 1) ** 2)


def _placements(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return for each of `x` the share of `y` that is smaller; ties count half."""
    ordered = np.sort(y)
    counts = ordered.searchsorted(x, "left") + ordered.searchsorted(x, "right")
    return np.asarray(counts / (2 * len(y)))


def pairing_gain(a: FloatArray, b: FloatArray, differences: Moments) -> float | None:
    """Return the variance of the paired differences over that of unpaired differences.

    It is below 1 where the pairing made the comparison more precise. None where a standard
    deviation is undefined or both sides are constant.
    """
    x, y = Moments.of(a), Moments.of(b)
    if differences.std is None or x.std is None or y.std is None or not (x.std or y.std):
        return None
    return differences.std**2 / (x.std**2 + y.std**2)


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
