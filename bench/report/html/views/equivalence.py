"""Pairs that were tested for equivalence."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.pairs import at_most
from bench.analysis.results import Pair
from bench.report.html.parts import Parts
from bench.report.html.views.pairs import PairRow, pair_row
from bench.report.text import format as fmt
from bench.report.text.format import count
from bench.report.text.nouns import Noun


@dataclass(frozen=True)
class EquivalenceRow:
    """A pair whose mean difference lies inside the margin.

    `p_images` and `conclusion_images` are those of the tests over new seeds and new images.
    """

    pair: PairRow
    conclusion: str
    p_images: str
    conclusion_images: str


@dataclass(frozen=True)
class EquivalenceView:
    """Pairs with a small mean difference and the result of their equivalence tests."""

    summary: str
    margin: str
    rows: tuple[EquivalenceRow, ...]
    has_images: bool


def equivalence_view(parts: Parts) -> EquivalenceView | None:
    """Pairs whose mean difference lies inside the margin; None where no margin was declared."""
    comparison = parts.shown.comparison
    margin = comparison.parameters.margin
    if margin is None or not comparison.pairs:
        return None
    crossed = comparison.scope.pairs if comparison.scope else ()
    with_images = {(c.a, c.b): c.pvalue_equivalence_holm for c in crossed}
    rows = tuple(
        EquivalenceRow(
            pair_row(parts, p),
            _shown_to_be_small(p, comparison.level, parts.nouns.block),
            fmt.pvalue(with_images.get((p.a, p.b)), comparison.secondary_level),
            "shown"
            if at_most(with_images.get((p.a, p.b)), comparison.secondary_level)
            else "not shown",
        )
        for p in comparison.pairs
        if p.mean_difference is not None and abs(p.mean_difference) < margin
    )
    n_shown = sum(pair.verdict == "equivalent" for pair in comparison.pairs)
    verb = "is" if n_shown == 1 else "are"
    within = parts.metric.margin(margin)
    return EquivalenceView(
        summary=f"{n_shown} of {count(len(comparison.pairs), 'pair')} {verb} equivalent "
        f"within {within}.",
        margin=within,
        rows=rows,
        has_images=bool(with_images),
    )


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
