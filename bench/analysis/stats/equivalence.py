"""Equivalence: is the mean difference shown to be small, rather than not shown to be large?

References
----------
.. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power
   approach for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics
   and Biopharmaceutics 15, 657-680.
"""

from __future__ import annotations

from bench.analysis.stats.student import Moments, t_statistic, upper_tail


def tost_pvalue(differences: Moments, low: float, high: float) -> float | None:
    """Two one-sided paired t tests: the larger p-value of "mean <= low" and "mean >= high".

    A small one says that the mean lies between `low` and `high`. None where t is undefined:
    fewer than two differences, or all of them equal.
    """
    above, below = t_statistic(differences, low), t_statistic(differences, high)
    if above is None or below is None:
        return None
    return max(upper_tail(above, differences.n), upper_tail(-below, differences.n))
