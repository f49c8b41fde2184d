"""Levels of repeated looks at the results while seeds are added.

Testing after 5, 10, 15 and 20 seeds and stopping at the first significant result inflates the error
rate: the sign-flip test at level 5 % then has a type I error rate of about 10 % (simulated in
:mod:`bench.tools.simulation`). The level alpha is therefore divided among the looks: the sum of
their levels bounds the error rate. A look with too few seeds for a significant difference also uses
its share, because it may still find an equivalence.

References
----------
.. [1] Dunn, O. J. (1961). Multiple comparisons among means. JASA 56, 52-64. (The bound.)
.. [2] Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals
   of Mathematical Statistics 41, 1397-1409. (Infinite sequences of tests.)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bench.analysis.results import Look


def look_level(look: int, alpha: float, planned: int | None) -> float:
    """Return the family-wise level of a look.

    Parameters
    ----------
    look
        Number of the look, from 1.
    alpha
        Declared family-wise level.
    planned
        Number of looks that were declared before the first look. Each planned look has the level
        alpha / planned. Other looks, and all looks if `planned` is None (any number), have the
        level alpha / (look (look + 1)); the sum of these levels over all looks is at most alpha.

    Examples
    --------
    >>> look_level(1, 0.05, planned=1), look_level(2, 0.05, planned=2)
    (0.05, 0.025)
    >>> [round(look_level(j, 0.05, planned=None), 4) for j in (1, 2, 3)]
    [0.025, 0.0083, 0.0042]
    """
    if planned is not None and look <= planned:
        return alpha / planned
    return alpha / (look * (look + 1))


def look_levels(
    taken: Sequence[tuple[int, datetime | None]], alpha: float, planned: int | None
) -> tuple[Look, ...]:
    """Return the looks with their levels.

    Parameters
    ----------
    taken
        (number of blocks, time) of each look, the first look first.
    alpha, planned
        See :func:`look_level`.
    """
    looks: list[Look] = []
    spent = 0.0
    for number, (n_blocks, at) in enumerate(taken, start=1):
        level = look_level(number, alpha, planned)
        spent += level
        looks.append(Look(look=number, n_blocks=n_blocks, level=level, spent=spent, at=at))
    return tuple(looks)
