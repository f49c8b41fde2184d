"""Restriction of the figures and pairs of a page to the best treatments.

The matrix of pairs grows with the square of the number of treatments: with all of them, a page of
120 treatments had up to 77 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from bench.analysis.results import Comparison, RankDiagram, SingleSeed, SweepAnalysis, TimeToTarget

#: Largest number of treatments in the figures and the matrix of a page.
MOST_SHOWN = 40


class _OfTwo(Protocol):
    @property
    def a(self) -> str: ...

    @property
    def b(self) -> str: ...


_Pair = TypeVar("_Pair", bound=_OfTwo)


def best_of(analysis: SweepAnalysis, most: int = MOST_SHOWN) -> SweepAnalysis:
    """Restrict an analysis to its `most` best treatments; return it unchanged if it has no more.

    No number is computed again: p-values stay adjusted over all pairs, and ranks and the shares of
    single seeds refer to all treatments. Variants, times and incidents of all treatments are kept.
    """
    comparison = analysis.comparison
    if len(comparison.treatments) <= most:
        return analysis
    names = frozenset(t.name for t in comparison.treatments[:most])
    return replace(
        analysis,
        comparison=_comparison(comparison, names, most),
        letters=analysis.letters[:most],
        ranks=None if analysis.ranks is None else _ranks(analysis.ranks, names),
        scores=tuple(s for s in analysis.scores if s.treatment in names),
        curves=tuple(c for c in analysis.curves if c.treatment in names),
        rates=tuple(r for r in analysis.rates if r.treatment in names),
        time_ratios=_among(analysis.time_ratios, names),
    )


def _comparison(comparison: Comparison, names: frozenset[str], most: int) -> Comparison:
    told, reaching, scope = comparison.single_seed, comparison.time_to_target, comparison.scope
    return replace(
        comparison,
        treatments=comparison.treatments[:most],
        pairs=_among(comparison.pairs, names),
        single_seed=None if told is None else _single_seed(told, names),
        time_to_target=None if reaching is None else _time_to_target(reaching, names),
        scope=None if scope is None else replace(scope, pairs=_among(scope.pairs, names)),
    )


def _single_seed(told: SingleSeed, names: frozenset[str]) -> SingleSeed:
    return replace(told, pairs=_among(told.pairs, names))


def _time_to_target(reaching: TimeToTarget, names: frozenset[str]) -> TimeToTarget:
    return replace(
        reaching,
        treatments=tuple(t for t in reaching.treatments if t.name in names),
        pairs=_among(reaching.pairs, names),
        logrank=_among(reaching.logrank, names),
    )


def _ranks(ranks: RankDiagram, names: frozenset[str]) -> RankDiagram:
    """Keep what is left of each group, unless it is part of the group before it."""
    groups: list[tuple[str, ...]] = []
    for group in ranks.groups:
        rest = tuple(name for name in group if name in names)
        if len(rest) > 1 and not (groups and set(rest) <= set(groups[-1])):
            groups.append(rest)
    ranked = tuple(name for name in ranks.ranked if name in names)
    return replace(ranks, ranked=ranked, groups=tuple(groups))


def _among(pairs: Sequence[_Pair], names: frozenset[str]) -> tuple[_Pair, ...]:
    return tuple(pair for pair in pairs if pair.a in names and pair.b in names)
