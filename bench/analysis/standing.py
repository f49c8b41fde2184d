"""Verdicts of earlier looks that stand.

The levels of all looks share alpha, and the sum of the levels bounds the probability that any look
finds a false difference. A difference that an earlier look found therefore stands, whatever the
current look finds on its own. Only a significant difference in the other direction at a later look
replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.results import Look, Pair, Verdict


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
    found = _standing(pair, earlier)
    if found is None:
        return pair
    number, verdict = found
    return replace(
        pair,
        verdict=verdict,
        verdict_of_look=pair.verdict,
        earlier_look=number,
        seeds_needed=None,
        seeds_needed_equivalence=None,
    )


def _standing(pair: Pair, earlier: Sequence[Look]) -> tuple[int, Verdict] | None:
    """Return the verdict of the latest look that found one, and the look since which it stands."""
    since: tuple[int, Verdict] | None = None
    directions: dict[Verdict, tuple[str, str]] = {
        "better": (pair.a, pair.b),
        "worse": (pair.b, pair.a),
    }
    for look in earlier:
        for verdict, direction in directions.items():
            if direction in (look.rejected or ()) and (since is None or since[1] != verdict):
                since = look.look, verdict
    return since
