"""Adjustment of p-values for multiple tests.

References
----------
.. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian
   Journal of Statistics 6, 65-70.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def family_size(pvalues: Sequence[float | None], n_treatments: int) -> int:
    """Return the number of tests that Holm's method adjusts for: those with a p-value.

    Without any p-value, it is the number of all pairs of the `n_treatments` that have results.

    >>> family_size([0.03, None, None], 2), family_size([None, None, None], 3)
    (1, 3)
    """
    return sum(p is not None for p in pvalues) or math.comb(n_treatments, 2)


def holm(pvalues: Sequence[float | None], n_tests: int | None = None) -> tuple[float | None, ...]:
    """Return Holm's step-down adjusted p-values, in the given order.

    Rejecting the hypotheses with an adjusted p-value of at most alpha controls the family-wise
    error rate at alpha under any dependence of the tests. An undefined p-value (None) stays None
    and does not belong to the family, unless `n_tests` gives the number of its tests.

    Examples
    --------
    >>> holm([0.01, 0.04, None, 0.03, 0.005])
    (0.03, 0.06, None, 0.06, 0.02)
    """
    tested = sorted((p, i) for i, p in enumerate(pvalues) if p is not None)
    adjusted: list[float | None] = [None] * len(pvalues)
    largest, size = 0.0, n_tests or len(tested)
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, (size - rank) * p))
        adjusted[i] = largest
    return tuple(adjusted)
