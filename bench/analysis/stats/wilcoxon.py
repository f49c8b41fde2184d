"""Exact Wilcoxon signed-rank test with ties, for a sensitivity analysis only.

References
----------
.. [1] Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.
.. [2] Streitberg, B. & Roehmel, J. (1986). Exact distributions for permutation and rank tests: an
   introduction to some recently published algorithms. Statistical Software Newsletter 12, 10-17.
   (The shift algorithm. scipy's ``wilcoxon`` uses a normal approximation if there are ties.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.stats.permutation import flip_test


def wilcoxon_pvalue(differences: ArrayLike) -> float | None:
    """Return the two-sided p-value of the signed-rank test, in (0, 1]; None below two differences.

    Zeros are dropped, ties get midranks, and the null distribution is that of these midranks.
    Equal differences must be tied after rounding; they may be infinite. The p-value is 1 where all
    are zero.

    >>> wilcoxon_pvalue([1, 2, 3, 4, 5, 6])
    0.03125
    """
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        return None
    d = d[d != 0]
    sizes = np.abs(d)
    ascending = np.sort(sizes)
    smaller, not_larger = (ascending.searchsorted(sizes, side) for side in ("left", "right"))
    doubled_midranks = smaller + not_larger + 1
    return flip_test(np.sign(d) * doubled_midranks).pvalue
