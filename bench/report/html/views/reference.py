"""Differences to one reference."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Pair
from bench.report.figures.differences import differences_to, range_of
from bench.report.html.parts import Choice, Parts
from bench.report.html.strips import Scale, Span, Strip
from bench.report.html.views.pairs import PairRow, pair_row
from bench.report.text.sanitize import clean

_TICKS = 6


@dataclass(frozen=True)
class DifferenceRow:
    """One treatment minus the reference, with its intervals."""

    pair: PairRow
    strip: Strip


@dataclass(frozen=True, kw_only=True)
class Differences:
    """All other treatments minus one reference; `zero` and `margin` are drawn in every row."""

    reference: str
    rows: tuple[DifferenceRow, ...]
    zero: str
    margin: tuple[Span, ...]
    ticks: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReferenceView:
    """The differences to every reference, that to the leader first."""

    choice: Choice
    references: tuple[tuple[str, Differences], ...]


def reference_view(parts: Parts) -> ReferenceView | None:
    """Differences to each reference; None where there is no other treatment."""
    comparison = parts.shown.comparison
    if not comparison.pairs:
        return None
    names = [t.name for t in comparison.treatments]
    options = tuple((str(i), clean(name)) for i, name in enumerate(names))
    return ReferenceView(
        Choice(name="reference", label="Differences to", options=options),
        tuple((str(i), _differences(parts, name)) for i, name in enumerate(names)),
    )


def _differences(parts: Parts, reference: str) -> Differences:
    comparison = parts.shown.comparison
    pairs, margin = differences_to(comparison.pairs, reference), comparison.parameters.margin
    scale = Scale(range_of(pairs, margin, parts.metric.largest))
    return Differences(
        reference=clean(reference),
        rows=tuple(DifferenceRow(pair_row(parts, pair), _strip(scale, pair)) for pair in pairs),
        zero=f"{scale.place(0):.2f}%",
        margin=() if margin is None else scale.span("margin", -margin, margin),
        ticks=scale.ticks(_TICKS, parts.metric.factor),
    )


def _strip(scale: Scale, pair: Pair) -> Strip:
    thin = scale.span("thin", pair.simultaneous_ci_low, pair.simultaneous_ci_high)
    thick = scale.span("thick", pair.ci_low, pair.ci_high)
    return scale.strip(pair.mean_difference, (*thin, *thick))
