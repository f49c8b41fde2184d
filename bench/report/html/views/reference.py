"""Differences to one reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.report.figures.canvas import NARROW, WIDE
from bench.report.figures.forest import (
    axis_label,
    differences_to,
    forest_data,
    forest_figure,
    forest_ticks,
    frame_of,
    key_text,
    row_label,
)
from bench.report.figures.styles import SYMBOL_EXTENT
from bench.report.figures.svg import GRID, INK, MUTED, PAPER
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.html.views.pairs import PairRow, pair_row
from bench.report.text import wording
from bench.report.text.pairs import mark_of
from bench.report.text.sanitize import clean

_LAYOUTS = (("wide", WIDE), ("narrow", NARROW))


@dataclass(frozen=True, kw_only=True)
class ReferenceView:
    """Differences to the leader as a figure and as rows.

    `options` are the references that the script of the page can choose: (index, name).
    """

    leader: Name
    figure: FigureView
    options: tuple[tuple[str, str], ...]
    rows: tuple[PairRow, ...]


def reference_view(parts: Parts) -> ReferenceView | None:
    """Differences to the leader; None where there is no other treatment."""
    comparison = parts.shown.comparison
    if not comparison.pairs:
        return None
    treatments, leader = comparison.treatments, comparison.treatments[0].name
    return ReferenceView(
        leader=parts.name(leader),
        figure=parts.figure(
            forest_figure, "forest", title=_title(leader), description=_description(parts, leader)
        ),
        options=tuple((str(i), clean(t.name)) for i, t in enumerate(treatments)),
        rows=tuple(pair_row(parts, p) for p in differences_to(comparison.pairs, leader)),
    )


def reference_data(parts: Parts) -> dict[str, Any] | None:
    """Everything that the script needs to redraw the figure for another reference, as JSON.

    Each row holds the index of the treatment, the mean difference, the ends of the t interval and
    of the simultaneous interval, the formatted difference, and the sign and word of the verdict.
    """
    comparison = parts.shown.comparison
    if not comparison.pairs:
        return None
    names = [t.name for t in comparison.treatments]
    styles = [parts.style(name) for name in names]
    return {
        "label": axis_label(parts.metric),
        "colours": {"ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER},
        "markers": [[style.colour, style.extent / SYMBOL_EXTENT] for style in styles],
        "frames": {kind: asdict(frame_of(comparison, layout)) for kind, layout in _LAYOUTS},
        "names": {kind: [row_label(name, layout) for name in names] for kind, layout in _LAYOUTS},
        "references": [_reference(parts, name) for name in names],
    }


def _reference(parts: Parts, reference: str) -> dict[str, Any]:
    comparison = parts.shown.comparison
    data = forest_data(comparison, reference)
    places = {t.name: i for i, t in enumerate(comparison.treatments)}
    margin = comparison.parameters.margin
    return {
        "title": clean(_title(reference)),
        "description": clean(_description(parts, reference)),
        "range": [data.shown.low, data.shown.high],
        "ticks": {
            kind: list(forest_ticks(comparison, data.shown, layout).items())
            for kind, layout in _LAYOUTS
        },
        "keys": {kind: key_text(reference, layout) for kind, layout in _LAYOUTS},
        "rows": [
            [
                *(places[p.a], p.mean_difference, p.ci_low, p.ci_high),
                *(p.simultaneous_ci_low, p.simultaneous_ci_high),
                *(parts.metric.difference(p.mean_difference), mark_of(p, margin).sign, p.verdict),
            ]
            for p in data.pairs
        ],
    }


def _title(reference: str) -> str:
    return f"Mean differences to {reference}"


def _description(parts: Parts, reference: str) -> str:
    pairs = differences_to(parts.shown.comparison.pairs, reference)[: wording.MANY]
    texts = (f"{p.a} {parts.metric.difference(p.mean_difference)}, {p.verdict}" for p in pairs)
    return f"{'; '.join(texts)}."
