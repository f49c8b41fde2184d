"""Verdicts of earlier looks that stand.

The levels of all looks share alpha, and the sum of the levels bounds the probability that any look
finds a false difference. A difference that an earlier look found therefore stands, whatever the
current look finds on its own. Only a significant difference in the other direction replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.results import Look, Pair


def with_standing(pairs: Sequence[Pair], looks: Sequence[Look]) -> tuple[Pair, ...]:
    """Return the pairs with the verdicts of looks before the last that stand."""
    return tuple(_with_standing(pair, looks[:-1]) for pair in pairs)


def rejected_pairs(pairs: Sequence[Pair]) -> tuple[tuple[str, str], ...]:
    """Return the pairs (better, worse) that the current look found different, on its own."""
    found = [
        (pair.a, pair.b) if pair.verdict == "better" else (pair.b, pair.a)
        for pair in pairs
        if pair.verdict in ("better", "worse") and pair.verdict_of_look is None
    ]
    return tuple(sorted(found))


def _with_standing(pair: Pair, earlier: Sequence[Look]) -> Pair:
    if pair.verdict in ("better", "worse"):
        return pair
    for look in earlier:
        rejected = look.rejected or ()
        is_better = (pair.a, pair.b) in rejected
        if is_better or (pair.b, pair.a) in rejected:
            return replace(
                pair,
                verdict="better" if is_better else "worse",
                verdict_of_look=pair.verdict,
                earlier_look=look.look,
                seeds_needed=None,
            )
    return pair
