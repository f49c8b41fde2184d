"""Plot the change of each optimizer: mean of after minus before, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import Change, SweepChange
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    RowFrame,
    add_rows,
    canvas_of,
    draw_interval,
    draw_marker,
    draw_row_name,
    edge_note,
    mark_zero,
    new_figure,
    round_ticks,
    row_text,
)
from bench.report.figures.styles import Style, assign_styles
from bench.report.figures.svg import GRID, INK, MUTED, PAPER, figure_style, optimizer_gid
from bench.report.text.change import METRIC
from bench.report.text.format import MINUS, NBSP

#: Within this many times the reach of the optimizer in the middle, or this many margins, a change
#: is on the scale; what lies beyond is written at the edge.
_REACH, _MARGINS = 6.0, 5.0
#: The scale of a comparison without a margin and without a change, a fraction of the test images.
_SMALLEST = 0.0005


def change_figure(
    found: SweepChange, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot one row per optimizer: mean difference, t interval, and simultaneous interval.

    `styles` are those of the optimizers' names where none are given.
    """
    styles = styles or assign_styles(c.optimizer for c in found.changes)
    row, top = (62.0, 92.0) if layout.narrow else (44.0, 48.0)
    frame = RowFrame.of([c.optimizer for c in found.changes], layout, top=top, row=row)
    limit, drop = _limit(found), 0.2 if layout.narrow else 0.0
    with figure_style():
        figure = new_figure(layout.width, frame.height)
        axes = add_rows(figure, frame)
        _prepare(axes, found, limit, 5 if layout.narrow else 9)
        for row, change in enumerate(found.changes):
            style = styles[change.optimizer]
            _draw_row(axes, row + drop, change, style, Range(-limit, limit))
            draw_row_name(figure, frame, layout, row, change.optimizer, style)
        _draw_key(figure, found, layout)
    return figure


def _limit(found: SweepChange) -> float:
    """The scale reaches from minus this to plus this."""
    reaches = sorted(r for c in found.changes if (r := _reach(c)) is not None)
    margin = found.parameters.margin or 0.0
    longest = max(_REACH * median(reaches or [0.0]), _MARGINS * margin)
    kept = [reach for reach in reaches if reach <= longest]
    return 1.12 * max([1.25 * margin, _SMALLEST, *kept])


def _reach(change: Change) -> float | None:
    """Largest distance of a row's drawing from zero."""
    ends = (
        change.mean_difference,
        *(change.ci_low, change.ci_high),
        *(change.simultaneous_ci_low, change.simultaneous_ci_high),
    )
    return max((abs(end) for end in ends if end is not None), default=None)


def _prepare(axes: Axes, found: SweepChange, limit: float, ticks: int) -> None:
    axes.set_xlim(-limit, limit)
    places = round_ticks(-limit, limit, ticks, METRIC.factor)
    axes.set_xticks(list(places), [text.replace("-", MINUS) for text in places.values()])
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_xlabel("test accuracy after minus before, points", labelpad=8)
    mark_zero(axes, found.parameters.margin)


def _draw_row(axes: Axes, y: float, change: Change, style: Style, shown: Range) -> None:
    if change.mean_difference is None:
        axes.text(0.008, y, "no result", color=MUTED, va="center", transform=row_text(axes))
        return
    if not shown.holds(change.mean_difference):
        _note_outside(axes, y, change)
        return
    for ends, width in (
        ((change.simultaneous_ci_low, change.simultaneous_ci_high), 1.0),
        ((change.ci_low, change.ci_high), 3.0),
    ):
        draw_interval(axes, y, ends, shown, color=INK, linewidth=width, zorder=4)
    gid = optimizer_gid(style.index, "change")
    draw_marker(
        axes, change.mean_difference, y, style, 11.0, markeredgewidth=1.2, zorder=5, gid=gid
    )


def _note_outside(axes: Axes, y: float, change: Change) -> None:
    """Write a change beyond the scale at the edge on its side."""
    mean = change.mean_difference
    left = mean is not None and mean < 0
    interval = METRIC.difference_interval(change.ci_low, change.ci_high)
    edge_note(axes, y, f"{METRIC.difference(mean)} {interval}", left=left)


def _draw_key(figure: Figure, found: SweepChange, layout: Layout) -> None:
    level = f"{(1 - found.parameters.alpha) * 100:.6g}{NBSP}%"
    entries = [f"mean with {level} t interval", "the same for all together (Bonferroni)"]
    if found.parameters.margin is not None:
        entries.append(f"margin, {METRIC.margin(found.parameters.margin)}")
    canvas = canvas_of(figure)
    for (x, y), text, draw in zip(_places(layout), entries, _KEYS, strict=False):
        draw(canvas, x, y)
        canvas.text(x + 36, y, text, va="center_baseline", color=MUTED)


def _places(layout: Layout) -> Sequence[tuple[float, float]]:
    if layout.narrow:
        return [(10.0, 18.0), (10.0, 42.0), (10.0, 66.0)]
    return [(10.0, 18.0), (270.0, 18.0), (610.0, 18.0)]


def _key_mean(canvas: Axes, x: float, y: float) -> None:
    canvas.plot([x - 4, x + 26], [y, y], color=INK, linewidth=3.0, solid_capstyle="butt")
    canvas.plot([x + 11], [y], marker="o", markersize=9, color=MUTED, markeredgecolor=PAPER)


def _key_simultaneous(canvas: Axes, x: float, y: float) -> None:
    canvas.plot([x - 4, x + 26], [y, y], color=INK, linewidth=1.0, solid_capstyle="butt")


def _key_margin(canvas: Axes, x: float, y: float) -> None:
    canvas.fill_between([x - 4, x + 26], y - 8, y + 8, color=GRID, alpha=0.55, linewidth=0)


_KEYS = (_key_mean, _key_simultaneous, _key_margin)
