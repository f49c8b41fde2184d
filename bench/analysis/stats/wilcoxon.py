"""Exact Wilcoxon signed-rank test with ties, for a sensitivity analysis only.

References
----------
.. [1] Wilcoxon, F. (1945). Individual comparisons by ranking methods. Biometrics Bulletin 1, 80-83.
.. [2] Streitberg, B. & Roehmel, J. (1986). Exact distributions for permutation and rank tests: an
   introduction to some recently published algorithms. Statistical Software Newsletter 12, 10-17.
   (The shift algorithm. scipy's ``wilcoxon`` uses a normal approximation if there are ties.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.stats.permutation import Flips, flip_tests
from bench.analysis.stats.rounding import FloatArray


def wilcoxon_pvalue(differences: ArrayLike) -> float | None:
    """Return the two-sided p-value of the signed-rank test, in (0, 1]; None below two differences.

    Zeros are dropped, ties get midranks, and the null distribution is that of these midranks.
    Equal differences must be tied after rounding; they may be infinite. The p-value is 1 where all
    are zero.

    >>> wilcoxon_pvalue([1, 2, 3, 4, 5, 6])
    0.03125
    """
    return wilcoxon_pvalues([np.asarray(differences, dtype=np.float64)])[0]


def wilcoxon_pvalues(samples: Sequence[FloatArray]) -> list[float | None]:
    """Return :func:`wilcoxon_pvalue` of each; those with random patterns draw them only once."""
    tests = [Flips(signed=_signed_midranks(d)) for d in samples if len(d) > 1]
    found = iter(flip_tests(tests))
    return [next(found).pvalue if len(d) > 1 else None for d in samples]


def _signed_midranks(differences: FloatArray) -> FloatArray:
    """Return twice the midrank of each difference that is not 0, with its sign."""
    d = differences[differences != 0]
    sizes = np.abs(d)
    ascending = np.sort(sizes)
    smaller, not_larger = (ascending.searchsorted(sizes, side) for side in ("left", "right"))
    return np.asarray(np.sign(d) * (smaller + not_larger + 1))
