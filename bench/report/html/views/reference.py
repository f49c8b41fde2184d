"""Differences to one reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from bench.analysis.results import Pair, SweepAnalysis
from bench.report.figures.canvas import Layout
from bench.report.figures.forest import differences_to, forest_figure
from bench.report.figures.styles import Style
from bench.report.html.pairs import Mark, mark_of
from bench.report.html.parts import Choice, FigureView, Name, Parts, Variants
from bench.report.text import wording
from bench.report.text.lines import PairLine, pair_line
from bench.report.text.sanitize import clean


@dataclass(frozen=True)
class ReferenceRow:
    """One optimizer's difference to the reference."""

    name: Name
    mark: Mark
    cells: PairLine


@dataclass(frozen=True, kw_only=True)
class ReferenceView:
    """Differences to a chosen reference; the rows are those to the leader."""

    leader: Name
    drawings: Variants
    rows: tuple[ReferenceRow, ...]


def reference_view(parts: Parts) -> ReferenceView | None:
    """Differences to the leader or any other treatment; None where there is no other."""
    comparison = parts.analysis.comparison
    if not comparison.pairs:
        return None
    treatments = comparison.treatments

    def figure(place: int, reference: str) -> FigureView:
        def draw(analysis: SweepAnalysis, layout: Layout, styles: Mapping[str, Style]) -> Figure:
            return forest_figure(analysis, layout, styles, reference=reference)

        return parts.figure(
            draw,
            f"forest-{place}",
            title=f"Mean differences to {reference}",
            description=_differences_in_words(parts, reference),
        )

    return ReferenceView(
        leader=parts.name(treatments[0].name),
        drawings=Variants(
            name="forest",
            choices=(
                Choice(
                    name="reference",
                    label="Differences to",
                    options=tuple((str(i), clean(t.name)) for i, t in enumerate(treatments)),
                ),
            ),
            figures=tuple((str(i), figure(i, t.name)) for i, t in enumerate(treatments)),
        ),
        rows=tuple(
            _reference_row(parts, pair)
            for pair in differences_to(comparison.pairs, treatments[0].name)
        ),
    )


def _differences_in_words(parts: Parts, reference: str) -> str:
    pairs = differences_to(parts.analysis.comparison.pairs, reference)[: wording.MANY]
    said = (f"{p.a} {parts.metric.difference(p.mean_difference)}, {p.verdict}" for p in pairs)
    return f"{'; '.join(said)}."


def _reference_row(parts: Parts, pair: Pair) -> ReferenceRow:
    comparison = parts.analysis.comparison
    return ReferenceRow(
        name=parts.name(pair.a),
        mark=mark_of(pair, comparison.parameters.margin),
        cells=pair_line(pair, comparison),
    )
