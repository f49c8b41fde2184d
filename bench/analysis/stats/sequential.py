"""More seeds later: at what level may results be judged that were looked at before?

Whoever looks after 5 seeds, adds 5, looks again, and stops as soon as something is significant,
finds something too often: with four looks at 5, 10, 15 and 20 seeds the sign-flip test at 5 % errs
in about 10 % of the cases (:mod:`bench.tools.simulation` simulates it). So the level is shared out
among the looks: the sum of what each may err bounds the whole. A look with too few seeds to call
anything different spends its share all the same, since it may still call something equivalent.

References
----------
.. [1] Dunn, O. J. (1961). Multiple comparisons among means. JASA 56, 52-64. (The bound.)
.. [2] Robbins, H. (1970). Statistical methods related to the law of the iterated logarithm. Annals
   of Mathematical Statistics 41, 1397-1409. (Sequences of tests without an end.)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bench.analysis.results import Look


def look_level(look: int, alpha: float, planned: int | None) -> float:
    """The family-wise level at which look number `look`, counted from 1, may judge.

    Parameters
    ----------
    look
        Its number.
    alpha
        The family-wise level that was declared.
    planned
        How many looks were declared before the first: each of these has alpha / planned. One that
        was not planned, and every one where `planned` is None (any number), has
        alpha / (look (look + 1)): these sum to alpha, however many there are.

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
    """The looks with their levels, from (number of blocks, time) of each in turn."""
    looks: list[Look] = []
    spent = 0.0
    for number, (n_blocks, at) in enumerate(taken, start=1):
        level = look_level(number, alpha, planned)
        spent += level
        looks.append(Look(look=number, n_blocks=n_blocks, level=level, spent=spent, at=at))
    return tuple(looks)
