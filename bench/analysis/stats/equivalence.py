"""Equivalence test of a mean difference: two one-sided tests (TOST).

References
----------
.. [1] Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power
   approach for assessing the equivalence of average bioavailability. Journal of Pharmacokinetics
   and Biopharmaceutics 15, 657-680.
"""

from __future__ import annotations

from bench.analysis.stats.student import Moments, t_statistic, upper_tail


def tost_pvalue(differences: Moments, low: float, high: float) -> float | None:
    """Return the p-value of two one-sided paired t tests of "mean <= low" and "mean >= high".

    It is the larger of both p-values. A small value is evidence that the mean lies between `low`
    and `high`. None where t is undefined: for fewer than two differences, or where all are equal.
    """
    above, below = t_statistic(differences, low), t_statistic(differences, high)
    if above is None or below is None:
        return None
    return max(upper_tail(above, differences.n), upper_tail(-below, differences.n))
