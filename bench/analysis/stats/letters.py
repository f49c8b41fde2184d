"""Compact letter display of the treatments that were not shown to differ.

Two treatments share a letter if and only if they were not shown to differ. A shared letter does not
mean that they are equal.

References
----------
.. [1] Piepho, H.-P. (2004). An algorithm for a letter-based representation of all-pairwise
   comparisons. Journal of Computational and Graphical Statistics 13, 456-466. (The steps insert and
   absorb. The step "sweep", which removes redundant letters, is left out: each letter then belongs
   to a maximal group, and the letters do not depend on the order of the pairs.)
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

from bench.analysis.results import Pair, Treatment

#: Largest number of groups, including intermediate ones: twice the number of letters of both cases.
MOST_GROUPS = 104


def group_letters(treatments: Sequence[Treatment], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return the letters of each treatment, in the order of `treatments`; none without a run.

    The first letter belongs to the first treatment. With more than :data:`MOST_GROUPS` groups, a
    letter display is not readable, and no treatment has letters.

    Examples
    --------
    The outer treatments differ from each other, but not from the middle one:

    >>> from types import SimpleNamespace as Of
    >>> group_letters([Of(name=n, n=5) for n in "xyz"],
    ...     [Of(a="x", b="y", verdict="inconclusive"), Of(a="x", b="z", verdict="better"),
    ...      Of(a="y", b="z", verdict="equivalent")])
    ('a', 'ab', 'b')
    """
    place = {t.name: i for i, t in enumerate(treatments) if t.n}
    groups = [frozenset(place.values())] if place else []
    for pair in pairs:
        if pair.verdict in ("better", "worse") and {pair.a, pair.b} <= set(place):
            groups = _split(groups, place[pair.a], place[pair.b])
        if len(groups) > MOST_GROUPS:
            return ("",) * len(treatments)
    groups.sort(key=sorted)
    return tuple(
        "".join(_letter(i) for i, group in enumerate(groups) if member in group)
        for member in range(len(treatments))
    )


def _split(groups: Sequence[frozenset[int]], a: int, b: int) -> list[frozenset[int]]:
    """Split the groups that contain both a and b; absorb a group that is inside another."""
    whole = [group for group in groups if not {a, b} <= group]
    parts = {group - {x} for group in groups if {a, b} <= group for x in (a, b)}
    return whole + [
        part
        for part in parts
        if not any(part <= g for g in whole) and not any(part < other for other in parts)
    ]


def _letter(index: int) -> str:
    turn, place = divmod(index, len(ascii_letters))
    return f"{ascii_letters[place]}{turn + 1 if turn else ''}"
