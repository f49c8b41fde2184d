"""Plot the pairs of a sequential comparison that needed more than one look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import PairAtLook, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    canvas_of,
    draw_line,
    draw_marker,
    new_figure,
    round_ticks,
    short_names,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import GRID, INK, MUTED, PAPER, figure_style, optimizer_gid
from bench.report.text.format import MINUS, Metric
from bench.report.text.looks import Followed, followed_pairs
from bench.report.text.metrics import metric_of
from bench.report.text.nouns import Nouns
from bench.report.text.pairs import sign_of_verdict

#: Number of pairs that are drawn.
MOST_PAIRS = 12
#: Heights in pixels: the heading of a panel, the panel, and the ticks and the space below it.
_HEAD, _PLOT, _FOOT = 70.0, 156.0, 48.0
#: Room for the ticks on the left, and between two panels.
_LEFT, _BETWEEN = 52.0, 26.0
#: A unit of at most this many letters has room at the left.
_BRIEF = 6
#: An interval is drawn up to this many times the median end of all intervals.
_FAR = 4.0


def looks_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot a panel for each pair that needed more than one look, with its interval at every look.

    The hardest pairs come first, and at most :data:`MOST_PAIRS` are drawn. The panels of a row have
    the same scale; the numbers of blocks are on a logarithmic one.

    Raises
    ------
    ValueError
        If the comparison is not sequential.
    """
    comparison = analysis.comparison
    if comparison.sequential is None:
        raise ValueError("comparison.sequential must not be None: no looks were declared")
    pairs = followed_pairs(comparison.sequential)[:MOST_PAIRS]
    panels = _Panels(
        looks=comparison.sequential.planned,
        margin=comparison.parameters.margin,
        metric=metric_of(comparison),
        block=Nouns.of(comparison.parameters).block.plural,
        styles=styles or styles_of(analysis),
        names=short_names(
            (name for p in pairs for name in (p.a, p.b)), 13 if layout.narrow else 16
        ),
    )
    n_rows = max(1, math.ceil(len(pairs) / (2 if layout.narrow else 4)))
    n_columns = max(1, math.ceil(len(pairs) / n_rows))
    width = min((layout.width - _LEFT) / n_columns, 340.0)
    row = _HEAD + _PLOT + _FOOT
    with figure_style():
        figure = new_figure(layout.width, n_rows * row)
        for i in range(n_rows):
            pairs_of_row = pairs[i * n_columns : (i + 1) * n_columns]
            panels.draw_row(figure, i * row, width, pairs_of_row)
    return figure


def _range_of(pairs: Sequence[Followed], margin: float | None) -> Range:
    """Choose a range with zero, the margin, and the means and intervals that are not far."""
    points = [
        (point, point.mean_difference)
        for pair in pairs
        for _, point in pair.points
        if point.mean_difference is not None
    ]
    sizes = [abs(end) for p, _ in points for end in (p.ci_low, p.ci_high) if end is not None]
    far = _FAR * max(median(sizes or [abs(mean) for _, mean in points] or [0.0]), margin or 0.0)
    known = [0.0, -(margin or 0.0), margin or 0.0]
    for point, mean in points:
        ends = [end for end in (point.ci_low, mean, point.ci_high) if end is not None]
        known += [min(max(end, -far), far) for end in ends] if abs(mean) <= far else []
    room = 0.06 * (max(known) - min(known)) or 1.0
    return Range(min(known) - room, max(known) + room)


@dataclass(frozen=True, kw_only=True)
class _Panels:
    """What all panels have in common."""

    looks: tuple[int, ...]
    margin: float | None
    metric: Metric
    block: str
    styles: Mapping[str, Style]
    names: Mapping[str, str]

    def draw_row(self, figure: Figure, top: float, width: float, pairs: Sequence[Followed]) -> None:
        """Draw panels of this width beside each other, with one scale."""
        shown, canvas = _range_of(pairs, self.margin), canvas_of(figure)
        for column, pair in enumerate(pairs):
            left = _LEFT + column * width
            axes = add_axes(figure, left, top + _HEAD, left + width - _BETWEEN, top + _HEAD + _PLOT)
            self._prepare(axes, shown, is_first=column == 0)
            self._write_heading(canvas, left, top, pair)
            self._draw(axes, shown, pair)
        self._write_units(canvas, _LEFT - 7.0, top)

    def _prepare(self, axes: Axes, shown: Range, *, is_first: bool) -> None:
        """Set the scales, and draw zero and the margin."""
        places = [math.log(n) for n in self.looks]
        room = 0.06 * (places[-1] - places[0])
        axes.set_xlim(places[0] - room, places[-1] + room)
        axes.set_ylim(shown.low, shown.high)
        axes.grid(visible=False)
        if self.margin is not None:
            axes.axhspan(-self.margin, self.margin, color=GRID, alpha=0.55, linewidth=0, zorder=0.5)
        axes.axhline(0, color=INK, linewidth=1.2, zorder=1.5)
        ticks = round_ticks(shown.low, shown.high, 5, self.metric.factor)
        axes.set_yticks(list(ticks), [_signed(text) for text in ticks.values()] if is_first else [])
        axes.set_xticks(places, _without_overlap(self.looks, places, axes))
        axes.tick_params(length=0, pad=9, labelsize=12)

    def _write_heading(self, canvas: Axes, left: float, top: float, pair: Followed) -> None:
        """Write both names with their markers, and the verdict."""
        for i, name in enumerate((pair.a, pair.b)):
            y, style = top + 14.0 + 19.0 * i, self.styles[name]
            if i:
                canvas.text(left, y, MINUS, va="center_baseline", fontweight="bold")
            gid = optimizer_gid(style.index, "name")
            draw_marker(canvas, left + 20.0, y, style, 9.0, gid=gid)
            gid = optimizer_gid(style.index, "label")
            text = self.names[name]
            canvas.text(left + 31.0, y, text, va="center_baseline", fontweight="bold", gid=gid)
        state = "open" if pair.points[-1][1].is_open else f"{pair.verdict}, look {pair.last_look}"
        text = f"{sign_of_verdict(pair.verdict)} {state}"
        canvas.text(left, top + 53.0, text, va="center_baseline", color=MUTED, fontsize=12)

    def _write_units(self, canvas: Axes, right: float, top: float) -> None:
        """Write the units of both scales at the left of a row; a long one below its scale."""
        text: Mapping[str, Any] = {"va": "center_baseline", "color": MUTED, "fontsize": 12}
        bottom = top + _HEAD + _PLOT
        canvas.text(right, top + 53.0, self.metric.difference_unit, ha="right", **text)
        if len(self.block) <= _BRIEF:
            canvas.text(right, bottom + 13.0, self.block, ha="right", **text)
        else:
            canvas.text(_LEFT, bottom + 33.0, self.block, ha="left", **text)

    def _draw(self, axes: Axes, shown: Range, pair: Followed) -> None:
        """Draw the mean difference and its interval at each look at the pair."""
        known = [
            (math.log(self.looks[look - 1]), point, point.mean_difference)
            for look, point in pair.points
            if point.mean_difference is not None
        ]
        if not known:
            axes.text(0.5, 0.5, "not known", color=MUTED, ha="center", transform=axes.transAxes)
        near = [(x, point, mean) for x, point, mean in known if shown.holds(mean)]
        ends = [
            (x, p.ci_low, p.ci_high)
            for x, p, _ in near
            if p.ci_low is not None and p.ci_high is not None
        ]
        if ends:
            xs, low, high = zip(*ends, strict=True)
            axes.fill_between(xs, low, high, color=MUTED, alpha=0.13, linewidth=0)
        line = {"color": MUTED, "linewidth": 1.2, "zorder": 2}
        draw_line(axes, [x for x, *_ in near], [mean for *_, mean in near], **line)
        for x, point, mean in known:
            self._draw_look(axes, shown, x, point, mean)

    def _draw_look(
        self, axes: Axes, shown: Range, x: float, point: PairAtLook, mean: float
    ) -> None:
        """Draw one look: hollow while the pair is open, filled where it was decided.

        A mean beyond the scale is drawn at the edge on its side, and written.
        """
        winner = self._winner(point)
        colour = winner.colour if winner else MUTED if point.is_open else INK
        if not shown.holds(mean):
            side, arrow, edge = (1, "▴", shown.high)
            if mean < shown.low:
                side, arrow, edge = (-1, "▾", shown.low)
            span = shown.high - shown.low
            text = f"{arrow} {self.metric.difference(mean)}"
            axes.text(x, edge - 0.16 * side * span, text, ha="center", va="center", fontsize=12)
            mean = edge - 0.05 * side * span
        elif point.ci_low is not None and point.ci_high is not None:
            ends = [max(point.ci_low, shown.low), min(point.ci_high, shown.high)]
            width = 2.2 if point.is_open else 4.0
            line = {"color": colour, "linewidth": width, "solid_capstyle": "butt"}
            draw_line(axes, [x, x], ends, **line, zorder=3)
        if winner:
            draw_marker(axes, x, mean, winner, 12.0, markeredgewidth=1.2, zorder=4)
            return
        face, size = (PAPER, 7.0) if point.is_open else (INK, 9.0)
        dot = {"marker": "o", "markersize": size, "markerfacecolor": face}
        edges = {"markeredgecolor": colour, "markeredgewidth": 1.6}
        draw_line(axes, [x], [mean], **dot, **edges, linestyle="none", zorder=4)

    def _winner(self, point: PairAtLook) -> Style | None:
        better = {"better": point.a, "worse": point.b}.get(point.verdict)
        return self.styles[better] if better else None


def _signed(text: str) -> str:
    """Write a tick as a difference: ``+0.2``, ``−0.2``, ``0``."""
    value = float(text)
    return f"+{text}" if value > 0 else text.replace("-", MINUS) if value < 0 else "0"


def _without_overlap(looks: Sequence[int], places: Sequence[float], axes: Axes) -> list[str]:
    """Return the ticks of the looks; the last is always written, others where there is room."""
    pixels = [float(axes.transData.transform((place, 0.0))[0]) for place in places]
    texts, free = [f"{n:,}" for n in looks], math.inf
    for i in reversed(range(len(texts))):
        half = 4.2 * len(texts[i])
        if pixels[i] + half > free:
            texts[i] = ""
        else:
            free = pixels[i] - half - 5.0
    return texts
