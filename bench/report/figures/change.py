"""Plot the change of each optimizer: mean of after minus before, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import SweepChange
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    RowFrame,
    add_rows,
    canvas_of,
    draw_row_name,
    new_figure,
    round_ticks,
)
from bench.report.figures.differences import draw_difference, mark_zero, range_of
from bench.report.figures.styles import Style, assign_styles
from bench.report.figures.svg import GRID, MUTED, PAPER, figure_style
from bench.report.text import format as fmt
from bench.report.text.change import METRIC
from bench.report.text.format import MINUS


def change_figure(
    found: SweepChange, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot one row per optimizer: mean difference, t interval, and simultaneous interval.

    `styles` are those of the optimizers' names where none are given.
    """
    styles = styles or assign_styles(c.optimizer for c in found.changes)
    row, top = (62.0, 92.0) if layout.narrow else (44.0, 48.0)
    frame = RowFrame.of([c.optimizer for c in found.changes], layout, top=top, row=row)
    shown, drop = (
        range_of(found.changes, found.parameters.margin, METRIC.largest),
        0.2 if layout.narrow else 0.0,
    )
    with figure_style():
        figure = new_figure(layout.width, frame.height)
        axes = add_rows(figure, frame)
        _prepare(axes, found, shown, 5 if layout.narrow else 9)
        for row, change in enumerate(found.changes):
            style = styles[change.optimizer]
            draw_difference(axes, row + drop, change, style, shown, METRIC)
            draw_row_name(figure, frame, layout, row, change.optimizer, style)
        _draw_key(figure, found, layout)
    return figure


def _prepare(axes: Axes, found: SweepChange, shown: Range, ticks: int) -> None:
    axes.set_xlim(shown.low, shown.high)
    places = round_ticks(shown.low, shown.high, ticks, METRIC.factor)
    axes.set_xticks(list(places), [text.replace("-", MINUS) for text in places.values()])
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_xlabel("test accuracy after minus before, points", labelpad=8)
    mark_zero(axes, found.parameters.margin)


def _draw_key(figure: Figure, found: SweepChange, layout: Layout) -> None:
    margin, canvas = found.parameters.margin, canvas_of(figure)
    level = fmt.level(1 - found.parameters.alpha)
    wide, narrow = ((10.0, 18.0), (270.0, 18.0), (610.0, 18.0)), ((10.0, y) for y in (18, 42, 66))
    entries = [f"mean with {level} t interval", "the same for all together (Bonferroni)"]
    entries += [] if margin is None else [f"margin, {METRIC.margin(margin)}"]
    styles = ((4.0, MUTED), (1.2, MUTED), (16.0, GRID))
    places = narrow if layout.narrow else wide
    for (x, y), text, (width, colour) in zip(places, entries, styles, strict=False):
        ends = [x - 4, x + 26]
        canvas.plot(ends, [y, y], color=colour, linewidth=width, solid_capstyle="butt")
        canvas.text(x + 36, y, text, va="center_baseline", color=MUTED)
    canvas.plot([21.0], [18.0], marker="o", markersize=9, color=MUTED, markeredgecolor=PAPER)
