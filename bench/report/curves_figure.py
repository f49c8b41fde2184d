"""How accuracy and loss develop over the updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.results import Band, LearningCurve, SweepAnalysis
from bench.report.canvas import WIDE, Layout, Range, add_axes, add_title, new_figure, to_axes
from bench.report.format import clean, elide
from bench.report.styles import Style, styles_of
from bench.report.svg import INK, MUTED, PAPER, figure_style, optimizer_gid

#: A curve is on the scale where it ends with at most this many times the error of the best ...
_ERROR_RATIO = 5.0
#: ... or with at most this, as a fraction of the test images; of losses, this many times the best.
_ERROR_FLOOR = 0.05
_LOSS_RATIO = 10.0
#: Half an image in 10,000: where "no error at all" is drawn on a logarithmic scale.
_LEAST_ERROR = 5e-5
_ERROR_TICKS = (
    *(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1),
    *(0.07, 0.05, 0.04, 0.03, 0.025, 0.02, 0.015, 0.01),
    *(0.007, 0.005, 0.003, 0.002, 0.001, 0.0005, 0.0002, 0.0001),
)
#: Beyond this many optimizers names at the line ends would hide each other.
_MOST_END_LABELS = 12


@dataclass(frozen=True)
class _Panel:
    """One quantity over the updates: how it is placed on the axis and how the axis is labelled."""

    title: str
    band: Callable[[LearningCurve], Band]
    place: Callable[[float], float]
    ticks: Sequence[float]
    tick_label: Callable[[float], str]
    ratio: float
    floor: float
    better_up: bool
    line: float | None = None
    part: str = "curve"


def curves_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Test accuracy and test loss over the updates: mean over seeds with a pointwise band.

    Accuracy is drawn as its error on a logarithmic scale, best on top, and labelled as accuracy:
    the step from 97 to 98 % is as visible as the one from 94 to 96 %. `styles` are those of the
    analysis where none are given.
    """
    styles = styles or styles_of(analysis)
    labelled = not layout.narrow and len(analysis.curves) <= _MOST_END_LABELS
    panels = _panels(analysis)
    margin = 124.0 if labelled else 22.0
    with figure_style():
        height = 440.0
        figure = new_figure(layout.width, 2 * height if layout.narrow else height)
        for place, panel in enumerate(panels):
            left, top = (0.0, place * height) if layout.narrow else (place * layout.width / 2, 0.0)
            right = left + (layout.width if layout.narrow else layout.width / 2)
            axes = add_axes(figure, left + 52, top + 44, right - margin, top + height - 58)
            _draw_panel(axes, panel, analysis, styles, labelled)
            add_title(figure, left, top, panel.title)
    return figure


def _panels(analysis: SweepAnalysis) -> tuple[_Panel, _Panel]:
    accuracy = _Panel(
        title="Test accuracy, %",
        band=lambda curve: curve.test_accuracy,
        place=lambda value: max(1 - value, _LEAST_ERROR),
        ticks=_ERROR_TICKS,
        tick_label=lambda error: f"{(1 - error) * 100:.6g}",
        ratio=_ERROR_RATIO,
        floor=_ERROR_FLOOR,
        better_up=True,
        line=1 - analysis.target,
        part="accuracy",
    )
    loss = _Panel(
        title="Test loss, nats",
        band=lambda curve: curve.test_loss,
        place=lambda value: max(value, 1e-9),
        ticks=[m * 10.0**e for e in range(-6, 7) for m in (1, 1.5, 2, 3, 5, 7)],
        tick_label=lambda loss: f"{loss:.6g}",
        ratio=_LOSS_RATIO,
        floor=0.0,
        better_up=False,
        part="loss",
    )
    return accuracy, loss


def _draw_panel(
    axes: Axes,
    panel: _Panel,
    analysis: SweepAnalysis,
    styles: Mapping[str, Style],
    labelled: bool,
) -> None:
    shown = _shown_curves(panel, analysis.curves)
    last = max((c.iterations[-1] for c in analysis.curves if c.iterations), default=1)
    axes.set_yscale("log")
    axes.set_xlim(0, last)
    low, high = shown.low, shown.high
    axes.set_ylim(*((high, low) if panel.better_up else (low, high)))
    _curve_ticks(axes, panel, shown, last)
    ends: list[tuple[str, Style, float]] = []
    for curve in reversed(analysis.curves):
        style = styles[curve.treatment]
        end = _last_value(panel.band(curve))
        on_scale = end is not None and shown.holds(panel.place(end))
        _draw_curve(axes, curve, panel, style, banded=on_scale)
        if end is not None:
            ends.append((curve.treatment, style, panel.place(end)))
    if panel.line is not None and shown.holds(panel.line):
        axes.axhline(panel.line, color=INK, linewidth=1, dashes=(2, 3), zorder=1.5)
        axes.text(last * 0.012, panel.line, "target", va="bottom", color=MUTED, fontsize=12)
    if labelled:
        _label_ends(axes, ends)
    if not ends:
        axes.text(0.5, 0.5, "no finite value", color=MUTED, ha="center", transform=axes.transAxes)


def _draw_curve(
    axes: Axes, curve: LearningCurve, panel: _Panel, style: Style, *, banded: bool
) -> None:
    band = panel.band(curve)
    mean = [_placed(v, panel) for v in band.mean]
    pairs = zip(band.low, band.high, strict=True)
    known = [low is not None and high is not None for low, high in pairs]
    # A band that covers the panel on behalf of a curve outside it would only hide the others.
    if banded and any(known):
        axes.fill_between(
            curve.iterations,
            [_placed(v, panel) for v in band.low],
            [_placed(v, panel) for v in band.high],
            where=known,
            color=style.colour,
            alpha=0.18,
            linewidth=0,
            gid=optimizer_gid(style.index, f"{panel.part}band"),
        )
    axes.plot(
        curve.iterations,
        mean,
        color=style.colour,
        linewidth=1.8,
        marker=style.marker,
        markersize=style.size(6.5),
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        markevery=max(1, len(mean) // 12),
        solid_capstyle="round",
        gid=optimizer_gid(style.index, panel.part),
        zorder=3,
    )


def _curve_ticks(axes: Axes, panel: _Panel, shown: Range, last: int) -> None:
    ticks = _apart([t for t in panel.ticks if shown.holds(t)], shown)
    axes.set_yticks(ticks, [panel.tick_label(t) for t in ticks])
    axes.set_yticks([], minor=True)
    places = [
        p
        for p in MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]).tick_values(0, last)
        if 0 <= p <= last
    ]
    axes.set_xticks(places, [f"{int(p):,}" for p in places])
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel("updates", labelpad=6)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, Style, float]]) -> None:
    """Names beside the line ends, pushed apart so that none hides another.

    `ends` are (name, style, place on the axis).
    """
    box = axes.get_window_extent()
    visible = sorted(ends, key=lambda end: (-axes.transData.transform((1, end[2]))[1], end[0]))
    wanted = [
        min(max(float(axes.transData.transform((1, end[2]))[1]), box.y0), box.y1) for end in visible
    ]
    for (name, style, _), natural, y in zip(visible, wanted, spread(wanted, 17.0), strict=True):
        edge = box.x1
        axes.plot(
            *to_axes(axes, [edge + 6, edge + 13], [natural, y]),
            color=MUTED,
            linewidth=0.7,
            clip_on=False,
            transform=axes.transAxes,
        )
        axes.plot(
            *to_axes(axes, [edge + 20], [y]),
            marker=style.marker,
            markersize=style.size(7.5),
            color=style.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            clip_on=False,
            transform=axes.transAxes,
            gid=optimizer_gid(style.index, "end"),
        )
        x, height = (v[0] for v in to_axes(axes, [edge + 29], [y]))
        axes.text(
            x,
            height,
            elide(clean(name), 13),
            va="center_baseline",
            fontsize=12.5,
            transform=axes.transAxes,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Descending places at least `gap` apart, as close as may be to the `wanted` ones.

    Overlapping places are pooled into blocks that keep the mean of what their members wanted
    (pool adjacent violators).
    """
    blocks: list[list[float]] = []  # [sum of wanted places of the block's first member, members]
    for index, place in enumerate(wanted):
        blocks.append([place + gap * index, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] < blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    level = [total / members for total, members in blocks for _ in range(int(members))]
    return [place - gap * index for index, place in enumerate(level)]


def _shown_curves(panel: _Panel, curves: Sequence[LearningCurve]) -> Range:
    """What the axis shows: every mean of the curves that end near the best one."""
    ends = {c.treatment: _last_value(panel.band(c)) for c in curves}
    placed = {name: panel.place(end) for name, end in ends.items() if end is not None}
    if not placed:
        return Range(0.01, 1.0)
    limit = max(panel.ratio * min(placed.values()), panel.floor)
    values = [
        panel.place(value)
        for curve in curves
        if placed.get(curve.treatment, np.inf) <= limit
        for value in panel.band(curve).mean
        if value is not None
    ]
    low, high = min(values), max(values)
    room = max((high / low) ** 0.05, 1.03)
    return Range(low / room, high * room)


def _apart(ticks: Sequence[float], shown: Range) -> list[float]:
    """The ticks without those that would crowd their neighbours on the logarithmic axis."""
    least = np.log(shown.high / shown.low) / 11
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or np.log(tick / kept[-1]) >= least:
            kept.append(tick)
    return kept


def _placed(value: float | None, panel: _Panel) -> float:
    return float("nan") if value is None else panel.place(value)


def _last_value(band: Band) -> float | None:
    return band.mean[-1] if band.mean else None
