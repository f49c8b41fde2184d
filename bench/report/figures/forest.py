"""Everybody's mean difference to one reference, with intervals: a forest plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import Pair, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    canvas_of,
    draw_marker,
    edge_note,
    new_figure,
    round_ticks,
    row_name,
    row_text,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import GRID, INK, MUTED, PAPER, figure_style, optimizer_gid
from bench.report.html.pairs import flip, mark_of, seen_from
from bench.report.text.format import Metric
from bench.report.text.metrics import metric_of
from bench.report.text.sanitize import clean, elide, isolated

_ROW, _NARROW_ROW = 40.0, 62.0
_TOP, _BOTTOM = 46.0, 58.0
#: Beyond this many times the middle size, a difference is written at the edge.
_FAR = 10.0


def forest_figure(
    analysis: SweepAnalysis,
    layout: Layout = WIDE,
    styles: Mapping[str, Style] | None = None,
    *,
    reference: str | None = None,
) -> Figure:
    """The mean difference of every other treatment to `reference`, by default the leader.

    Thick: the t interval; thin: the simultaneous interval. The equivalence margin is shaded where
    one was declared.

    Raises
    ------
    ValueError
        If `reference` is not one of the treatments, or there is no other.
    """
    comparison = analysis.comparison
    reference = comparison.treatments[0].name if reference is None else reference
    pairs = differences_to(comparison.pairs, reference)
    if not pairs:
        known = ", ".join(t.name for t in comparison.treatments)
        raise ValueError(f"reference must be one of several treatments ({known}), got {reference}")
    styles = styles or styles_of(analysis)
    row = _NARROW_ROW if layout.narrow else _ROW
    bottom = _TOP + row * len(pairs)
    with figure_style():
        figure = new_figure(layout.width, bottom + _BOTTOM)
        left, right = (8.0, 12.0) if layout.narrow else (_names_width(pairs), 210.0)
        axes = add_axes(figure, left, _TOP, layout.width - right, bottom)
        shown = _shown(pairs, comparison.parameters.margin)
        _prepare(axes, analysis, shown, len(pairs), 4 if layout.narrow else 8)
        middle = 0.22 if layout.narrow else 0.0
        for place, pair in enumerate(pairs):
            style = styles[pair.a]
            _draw_difference(axes, place + middle, pair, style, shown, metric_of(comparison))
            top = _TOP + row * place + (14.0 if layout.narrow else row / 2)
            _label(figure, layout, top, pair, style)
            _numbers(figure, layout, top, pair, analysis)
        _key(figure, layout, reference)
    return figure


def differences_to(pairs: Sequence[Pair], reference: str) -> tuple[Pair, ...]:
    """Every other treatment against `reference`, in the order of the pairs."""
    return tuple(flip(pair) for pair in seen_from(tuple(pairs), reference))


def _names_width(pairs: Sequence[Pair]) -> float:
    return 40.0 + 7.8 * max(len(row_name(p.a)) for p in pairs)


def _shown(pairs: Sequence[Pair], margin: float | None) -> Range:
    """Zero, the margin, and every interval but those of differences far larger than most."""
    sizes = [abs(p.mean_difference) for p in pairs if p.mean_difference]
    far = _FAR * max(median(sizes), margin or 0.0) if sizes else 0.0
    ends = [0.0, -(margin or 0.0), margin or 0.0]
    for p in pairs:
        if p.mean_difference is None or abs(p.mean_difference) > far > 0:
            continue
        for end in (p.mean_difference, p.simultaneous_ci_low, p.simultaneous_ci_high):
            ends += [] if end is None else [end]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 1.0
    return Range(low - room, high + room)


def _prepare(axes: Axes, analysis: SweepAnalysis, shown: Range, rows: int, ticks: int) -> None:
    metric, margin = metric_of(analysis.comparison), analysis.comparison.parameters.margin
    axes.set_xlim(shown.low, shown.high)
    axes.set_ylim(rows - 0.5, -0.5)
    places = round_ticks(shown.low, shown.high, ticks, metric.factor)
    axes.set_xticks(list(places), [text.replace("-", "−") for text in places.values()])
    axes.set_yticks([])
    axes.tick_params(length=0, pad=8)
    unit = f", {metric.difference_unit}" if metric.difference_unit else ""
    axes.set_xlabel(f"mean difference{unit}", labelpad=8)
    axes.xaxis.grid(True)
    axes.yaxis.grid(False)
    if margin is not None:
        axes.axvspan(-margin, margin, color=GRID, alpha=0.55, linewidth=0, zorder=0.5)
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1.5)


def _draw_difference(
    axes: Axes, y: float, pair: Pair, style: Style, shown: Range, metric: Metric
) -> None:
    mean = pair.mean_difference
    if mean is None:
        axes.text(0.5, y, "not known", color=MUTED, va="center", transform=row_text(axes))
        return
    if not shown.holds(mean):
        edge_note(axes, y, metric.difference(mean), left=mean < shown.low)
        return
    for low, high, width in (
        (pair.simultaneous_ci_low, pair.simultaneous_ci_high, 1.2),
        (pair.ci_low, pair.ci_high, 4.0),
    ):
        if low is not None and high is not None:
            axes.plot(
                [max(low, shown.low), min(high, shown.high)],
                [y, y],
                color=style.colour,
                linewidth=width,
                solid_capstyle="butt",
                zorder=3,
                gid=optimizer_gid(style.index, "interval"),
            )
    gid = optimizer_gid(style.index, "difference")
    draw_marker(axes, mean, y, style, 11.0, markeredgewidth=1.2, zorder=4, gid=gid)


def _label(figure: Figure, layout: Layout, y: float, pair: Pair, style: Style) -> None:
    canvas = canvas_of(figure)
    draw_marker(canvas, 12.0, y, style, 9.5, gid=optimizer_gid(style.index, "name"))
    gid = optimizer_gid(style.index, "label")
    name = elide(clean(pair.a), 20) if layout.narrow else row_name(pair.a)
    canvas.text(26.0, y, name, va="center_baseline", fontweight="bold", gid=gid)


def _numbers(figure: Figure, layout: Layout, y: float, pair: Pair, analysis: SweepAnalysis) -> None:
    metric, margin = metric_of(analysis.comparison), analysis.comparison.parameters.margin
    mark = mark_of(pair, margin)
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


def _key(figure: Figure, layout: Layout, reference: str) -> None:
    canvas = canvas_of(figure)
    x, y = 10.0, 18.0
    canvas.plot([x, x + 30], [y, y], color=MUTED, linewidth=1.2)
    canvas.plot([x + 6, x + 24], [y, y], color=MUTED, linewidth=4.0, solid_capstyle="butt")
    name = isolated(elide(clean(reference), 14 if layout.narrow else 26))
    text = (
        f"minus {name}; thin: simultaneous"
        if layout.narrow
        else f"difference to {name}; thick: interval of one pair, thin: of all pairs together"
    )
    canvas.text(x + 40, y, text, va="center_baseline", color=MUTED)
