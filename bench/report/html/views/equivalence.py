"""Pairs that were tested for equivalence."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Pair
from bench.report.html.parts import Parts
from bench.report.html.views.pairs import PairRow, pair_row
from bench.report.text.nouns import Noun


@dataclass(frozen=True)
class EquivalenceRow:
    """A pair whose mean difference lies inside the margin."""

    pair: PairRow
    conclusion: str


@dataclass(frozen=True)
class EquivalenceView:
    """Pairs with a small mean difference and the result of their equivalence tests."""

    margin: str
    rows: tuple[EquivalenceRow, ...]


def equivalence_view(parts: Parts) -> EquivalenceView | None:
    """Pairs whose mean difference lies inside the margin; None where no margin was declared."""
    comparison = parts.shown.comparison
    margin = comparison.parameters.margin
    if margin is None or not comparison.pairs:
        return None
    rows = tuple(
        EquivalenceRow(
            pair_row(parts, p),
            _shown_to_be_small(p, comparison.level, parts.nouns.block),
        )
        for p in comparison.pairs
        if p.mean_difference is not None and abs(p.mean_difference) < margin
    )
    return EquivalenceView(margin=parts.metric.margin(margin), rows=rows)


def _shown_to_be_small(pair: Pair, level: float, block: Noun) -> str:
    if pair.verdict == "identical":
        return f"identical on every {block}"
    p = pair.pvalue_equivalence_holm
    small = p is not None and p <= level
    if pair.verdict in ("better", "worse"):
        return f"different, {'and' if small else 'not'} shown to be small"
    return {"equivalent": "shown to be small", "not testable": "not testable"}.get(
        pair.verdict, "not shown"
    )
