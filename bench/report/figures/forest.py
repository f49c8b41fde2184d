"""A forest plot: the mean difference of every treatment to one reference, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import Comparison, Pair, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    canvas_of,
    draw_marker,
    new_figure,
    round_ticks,
    short_names,
)
from bench.report.figures.differences import (
    differences_to,
    draw_difference,
    mark_zero,
    range_of,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import MUTED, PAPER, figure_style, optimizer_gid
from bench.report.text.format import MINUS, Metric
from bench.report.text.metrics import metric_of
from bench.report.text.pairs import mark_of
from bench.report.text.sanitize import isolated


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a layout puts the parts of the plot, in pixels from its upper left corner.

    Attributes
    ----------
    width
        Width of the plot.
    left, right, top
        Edges of the area of the intervals.
    row, foot
        Height of a row, and of the labels below the last one.
    shift
        How far the interval of a row lies below the middle of the row.
    head
        Distance of the name from the upper edge of the row.
    names
        The headings of the rows by the names that they shorten.
    """

    width: int
    left: float
    right: float
    top: float
    row: float
    foot: float
    shift: float
    head: float
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class ForestData:
    """The differences to one reference and the scale on which they are drawn."""

    reference: str
    pairs: tuple[Pair, ...]
    shown: Range


def forest_figure(
    analysis: SweepAnalysis,
    layout: Layout = WIDE,
    styles: Mapping[str, Style] | None = None,
    *,
    reference: str | None = None,
) -> Figure:
    """Draw the mean difference of every other treatment to `reference`, by default the leader.

    Thick lines are t intervals and thin lines simultaneous intervals. The equivalence margin is
    shaded if one was declared.

    Raises
    ------
    ValueError
        If `reference` is not one of the treatments, or there is no other treatment.
    """
    comparison = analysis.comparison
    data = forest_data(comparison, reference or comparison.treatments[0].name)
    styles, frame = styles or styles_of(analysis), frame_of(comparison, layout)
    bottom = frame.top + frame.row * len(data.pairs)
    with figure_style():
        figure = new_figure(layout.width, bottom + frame.foot)
        axes = add_axes(figure, frame.left, frame.top, frame.right, bottom)
        _prepare(axes, comparison, data, layout)
        for place, pair in enumerate(data.pairs):
            style = styles[pair.a]
            y = place + frame.shift / frame.row
            draw_difference(axes, y, pair, style, data.shown, metric_of(comparison))
            top = frame.top + frame.row * place + frame.head
            _label(figure, top, frame.names[pair.a], style)
            _numbers(figure, layout, top, pair, comparison)
        _key(figure, layout, comparison, data.reference)
    return figure


def forest_data(comparison: Comparison, reference: str) -> ForestData:
    """Collect the differences to `reference` and choose the scale.

    Raises
    ------
    ValueError
        If `reference` is not one of the treatments, or there is no other treatment.
    """
    pairs = differences_to(comparison.pairs, reference)
    if not pairs:
        known = ", ".join(t.name for t in comparison.treatments)
        raise ValueError(f"reference must be one of several treatments ({known}), got {reference}")
    shown = range_of(pairs, comparison.parameters.margin, metric_of(comparison).largest)
    return ForestData(reference=reference, pairs=pairs, shown=shown)


def frame_of(comparison: Comparison, layout: Layout) -> Frame:
    """Lay the plot out; the frame is the same for every reference."""
    names = short_names((t.name for t in comparison.treatments), 20 if layout.narrow else 26)
    if layout.narrow:
        left, right, row, shift, head = 8.0, layout.width - 12.0, 62.0, 0.22 * 62.0, 14.0
    else:
        longest = max(map(len, names.values()))
        left, right, row, shift, head = 40.0 + 7.8 * longest, layout.width - 210.0, 40.0, 0.0, 20.0
    return Frame(
        width=layout.width,
        left=left,
        right=right,
        top=46.0,
        row=row,
        foot=58.0,
        shift=shift,
        head=head,
        names=names,
    )


def forest_ticks(comparison: Comparison, shown: Range, layout: Layout) -> dict[float, str]:
    """Choose the places of ticks within `shown` and their texts."""
    factor = metric_of(comparison).factor
    places = round_ticks(shown.low, shown.high, 4 if layout.narrow else 8, factor)
    return {place: text.replace("-", MINUS) for place, text in places.items()}


def axis_label(metric: Metric) -> str:
    """The label of the axis, with the unit if there is one."""
    unit = f", {metric.difference_unit}" if metric.difference_unit else ""
    return f"mean difference{unit}"


def key_text(reference: str, layout: Layout) -> str:
    """Explain the lines of the plot; `reference` is the shortened name."""
    name = isolated(reference)
    if layout.narrow:
        return f"minus {name}; thin: simultaneous"
    return f"difference to {name}; thick: interval of one pair, thin: of all pairs together"


def _prepare(axes: Axes, comparison: Comparison, data: ForestData, layout: Layout) -> None:
    axes.set_xlim(data.shown.low, data.shown.high)
    axes.set_ylim(len(data.pairs) - 0.5, -0.5)
    ticks = forest_ticks(comparison, data.shown, layout)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_yticks([])
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel(axis_label(metric_of(comparison)), labelpad=8)
    axes.xaxis.grid(True)
    axes.yaxis.grid(False)
    mark_zero(axes, comparison.parameters.margin)


def _label(figure: Figure, y: float, name: str, style: Style) -> None:
    canvas = canvas_of(figure)
    draw_marker(canvas, 12.0, y, style, 9.5, gid=optimizer_gid(style.index, "name"))
    gid = optimizer_gid(style.index, "label")
    canvas.text(26.0, y, name, va="center_baseline", fontweight="bold", gid=gid)


def _numbers(figure: Figure, layout: Layout, y: float, pair: Pair, comparison: Comparison) -> None:
    metric, mark = metric_of(comparison), mark_of(pair, comparison.parameters.margin)
    words = pair.verdict if layout.narrow else f"{mark.sign} {pair.verdict}"
    x = layout.width - 12.0
    difference = metric.difference(pair.mean_difference)
    canvas = canvas_of(figure)
    if layout.narrow:
        canvas.text(
            x,
            y,
            f"{difference}  {words}",
            ha="right",
            va="center_baseline",
            color=MUTED,
            fontsize=12,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2.0},
        )
        return
    canvas.text(x - 118, y, difference, ha="right", va="center_baseline", fontweight="bold")
    canvas.text(x - 104, y, words, va="center_baseline", color=MUTED)


def _key(figure: Figure, layout: Layout, comparison: Comparison, reference: str) -> None:
    canvas = canvas_of(figure)
    names = short_names((t.name for t in comparison.treatments), 14 if layout.narrow else 26)
    x, y = 10.0, 18.0
    canvas.plot([x, x + 30], [y, y], color=MUTED, linewidth=1.2)
    canvas.plot([x + 6, x + 24], [y, y], color=MUTED, linewidth=4.0, solid_capstyle="butt")
    canvas.text(x + 40, y, key_text(names[reference], layout), va="center_baseline", color=MUTED)
