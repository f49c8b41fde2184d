"""Figures of an analysis: what the results hold is drawn, nothing is computed.

Every function returns a matplotlib Figure made without pyplot, so no global state is left behind;
:func:`bench.report.svg.inline_svg` makes the page's SVG of it. Positions are pixels at the
figure's own width: a figure comes once for a desk and once for a phone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.results import Band, Block, LearningCurve, RunScore, SweepAnalysis, Treatment
from bench.analysis.table import sort_blocks
from bench.report.canvas import (
    WIDE,
    Layout,
    add_axes,
    add_title,
    canvas_of,
    new_figure,
    row_text,
    to_axes,
)
from bench.report.format import NBSP, Metric, clean, count, elide
from bench.report.looks import Look, looks_of
from bench.report.metrics import metric_of, result_label
from bench.report.nouns import Nouns
from bench.report.published import published_score
from bench.report.svg import GRID, INK, MUTED, PAPER, figure_style, optimizer_gid

#: A run is on the scale where its error is at most this many times that of the best mean ...
_ERROR_RATIO = 5.0
#: ... or at most this (a fraction of the test images), so that a near-perfect best is no trap.
_ERROR_FLOOR = 0.05
#: Losses are on a logarithmic scale, which bears more.
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
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class _Range:
    """The part of an axis that is shown, and what of the data lies beyond."""

    low: float
    high: float

    def holds(self, value: float | None) -> bool:
        return value is not None and self.low <= value <= self.high


# ---------------------------------------------------------------- every run


def runs_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, looks: Mapping[str, Look] | None = None
) -> Figure:
    """Every run as a dot, with mean and t interval of each optimizer, best mean first.

    Dots of one seed lie equally high in every row. Where the sweep repeats the source's workload,
    its single run is marked. `looks` are those of the analysis where none are given.
    """
    treatments = analysis.comparison.treatments
    metric = metric_of(analysis.comparison)
    looks = looks or looks_of(analysis)
    frame = _RunsFrame.of(analysis, layout)
    with figure_style():
        figure = new_figure(layout.width, frame.height)
        axes = add_axes(figure, frame.left, frame.top, frame.right, frame.bottom)
        shown = _shown_scores(analysis)
        _score_axis(axes, metric, shown, len(treatments), 4 if layout.narrow else 9)
        unit = f", {metric.unit}" if metric.unit else ""
        axes.set_xlabel(f"{result_label(analysis)}{unit}", labelpad=8)
        height = _seed_heights(analysis.scores, frame.row)
        for row, treatment in enumerate(treatments):
            _draw_row(
                axes, row, treatment, looks[treatment.name], analysis, shown, height, frame.row
            )
            _row_name(figure, frame, row, treatment.name, looks[treatment.name], layout)
        _runs_key(figure, layout, analysis)
    return figure


@dataclass(frozen=True)
class _Row:
    """Where things lie within a row, as shares of its height from its middle."""

    runs: float
    spread: float
    mean: float
    line: tuple[float, float]


_WIDE_ROW = _Row(runs=-0.13, spread=0.36, mean=0.3, line=(-0.42, 0.42))
#: On a phone the upper third of a row holds the optimizer's name.
_NARROW_ROW = _Row(runs=0.05, spread=0.28, mean=0.36, line=(-0.18, 0.46))


@dataclass(frozen=True)
class _RunsFrame:
    left: float
    right: float
    top: float
    bottom: float
    height: float
    row_height: float
    row: _Row

    @classmethod
    def of(cls, analysis: SweepAnalysis, layout: Layout) -> _RunsFrame:
        k = max(len(analysis.comparison.treatments), 1)
        longest = max((len(_name(t.name)) for t in analysis.comparison.treatments), default=0)
        row_height = 86.0 if layout.narrow else (58.0 if k <= 12 else 46.0)
        top = 78.0 if layout.narrow else 50.0
        row = _NARROW_ROW if layout.narrow else _WIDE_ROW
        left = 8.0 if layout.narrow else 64.0 + 7.8 * longest
        bottom = top + row_height * k
        return cls(left, layout.width - 10.0, top, bottom, bottom + 54.0, row_height, row)


def _score_axis(axes: Axes, metric: Metric, shown: _Range, k: int, ticks: int) -> None:
    axes.set_xlim(shown.low, shown.high)
    axes.set_ylim(k - 0.5, -0.5)
    places = MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]).tick_values(
        shown.low * metric.factor, shown.high * metric.factor
    )
    places = [p for p in places if shown.low * metric.factor <= p <= shown.high * metric.factor]
    digits = _digits_apart(places)
    axes.set_xticks([p / metric.factor for p in places], [f"{p:.{digits}f}" for p in places])
    axes.tick_params(axis="x", length=0, pad=8)
    axes.set_yticks([])
    axes.xaxis.grid(True)
    axes.yaxis.grid(False)
    for row in range(1, k):
        axes.axhline(row - 0.5, color=GRID, linewidth=1)


def _draw_row(
    axes: Axes,
    row: int,
    treatment: Treatment,
    look: Look,
    analysis: SweepAnalysis,
    shown: _Range,
    height: Callable[[Block], float],
    place: _Row,
) -> None:
    metric = metric_of(analysis.comparison)
    scores = [s for s in analysis.scores if s.treatment == treatment.name and s.value is not None]
    centre = row + place.runs
    if not scores:
        axes.text(0.008, centre, "no result", color=MUTED, va="center", transform=row_text(axes))
        return
    inside = [s for s in scores if shown.holds(s.value)]
    if inside:
        sns.scatterplot(
            x=[s.value for s in inside],
            y=[centre + height(s.seed) for s in inside],
            ax=axes,
            color=look.colour,
            marker=look.marker,
            s=look.size(7.0 if len(inside) <= 30 else 5.0) ** 2,
            alpha=0.7,
            edgecolor=PAPER,
            linewidth=0.7,
            legend=False,
            zorder=3,
            gid=optimizer_gid(look.index, "runs"),
        )
    if treatment.mean is not None and shown.holds(treatment.mean):
        _draw_mean(axes, row + place.mean, treatment.mean, treatment, look, shown)
    else:
        _note(axes, row + place.mean, _mean_in_words(treatment, metric), treatment.mean, shown)
    top, bottom = (row + end for end in place.line)
    _draw_published(axes, top, bottom, published_score(analysis, treatment.name), shown)
    _note_outside(axes, centre, scores, shown, metric)


def _draw_mean(
    axes: Axes, y: float, mean: float, treatment: Treatment, look: Look, shown: _Range
) -> None:
    if treatment.ci_low is not None and treatment.ci_high is not None:
        low, high = max(treatment.ci_low, shown.low), min(treatment.ci_high, shown.high)
        if low < high:
            axes.plot(
                [low, high], [y, y], color=INK, linewidth=2.2, solid_capstyle="butt", zorder=4
            )
    axes.plot(
        [mean],
        [y],
        marker=look.marker,
        markersize=look.size(10.5),
        color=look.colour,
        markeredgecolor=PAPER,
        markeredgewidth=1.2,
        zorder=5,
        gid=optimizer_gid(look.index, "mean"),
    )


def _mean_in_words(treatment: Treatment, metric: Metric) -> str:
    interval = metric.score_interval(treatment.ci_low, treatment.ci_high)
    return f"mean {metric.score(treatment.mean)} {interval}"


def _draw_published(
    axes: Axes, top: float, bottom: float, value: float | None, shown: _Range
) -> None:
    if value is None or not shown.holds(value):
        return
    _published_mark(axes, value, top, bottom)


def _published_mark(axes: Axes, x: float, top: float, bottom: float) -> None:
    axes.plot([x, x], [top, bottom], color=INK, linewidth=1.2, zorder=6)
    axes.plot(
        [x],
        [top],
        marker="v",
        markersize=8,
        color=PAPER,
        markeredgecolor=INK,
        markeredgewidth=1.5,
        clip_on=False,
        zorder=7,
    )


def _note_outside(
    axes: Axes, y: float, scores: Sequence[RunScore], shown: _Range, metric: Metric
) -> None:
    values = [s.value for s in scores if s.value is not None]
    below = sorted(v for v in values if v < shown.low)
    above = sorted(v for v in values if v > shown.high)
    for beyond in (below, above):
        if beyond:
            low, high = metric.score(beyond[0]), metric.score(beyond[-1])
            where = low if low == high else f"{low} to {high}"
            _note(axes, y, f"{count(len(beyond), 'run')} at {where}", beyond[0], shown)


def _note(axes: Axes, y: float, text: str, value: float | None, shown: _Range) -> None:
    """What lies beyond the scale, in words, at the end at which it lies."""
    if value is None:
        return
    left = value < shown.low
    axes.text(
        0.008 if left else 0.992,
        y,
        f"◂ {text}" if left else f"{text} ▸",
        ha="left" if left else "right",
        va="center",
        fontsize=12,
        color=INK,
        transform=row_text(axes),
    )


def _row_name(
    figure: Figure, frame: _RunsFrame, row: int, name: str, look: Look, layout: Layout
) -> None:
    """The marker and name of a row: left of it, or on a phone above it."""
    top = frame.top + row * frame.row_height
    y = top + (13.0 if layout.narrow else frame.row_height / 2)
    canvas = canvas_of(figure)
    canvas.plot(
        [frame.left + 8.0 if layout.narrow else 14.0],
        [y],
        marker=look.marker,
        markersize=look.size(9.5),
        color=look.colour,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
        gid=optimizer_gid(look.index, "name"),
    )
    x = frame.left + 20.0 if layout.narrow else 28.0
    canvas.text(x, y, _name(name), va="center_baseline", fontweight="bold")


def _runs_key(figure: Figure, layout: Layout, analysis: SweepAnalysis) -> None:
    canvas = canvas_of(figure)
    level = f"{(1 - analysis.comparison.parameters.alpha) * 100:.6g}"
    marked = any(published_score(analysis, t.name) for t in analysis.comparison.treatments)
    x, y = 10.0, 18.0
    canvas.scatter([x + 2, x + 12, x + 7], [y - 3, y - 1, y + 5], s=30, color=MUTED, alpha=0.7)
    block = Nouns.of(analysis.comparison.parameters).block
    canvas.text(x + 26, y, f"one run, one {block} each", va="center_baseline", color=MUTED)
    x, y = (10.0, 42.0) if layout.narrow else (220.0, y)
    canvas.plot([x - 4, x + 24], [y, y], color=INK, linewidth=2.2)
    canvas.plot([x + 10], [y], marker="o", markersize=9, color=MUTED, markeredgecolor=PAPER)
    canvas.text(
        x + 34, y, f"mean with {level}{NBSP}% t interval", va="center_baseline", color=MUTED
    )
    if not marked:
        return
    x, y = (10.0, 64.0) if layout.narrow else (470.0, y)
    _published_mark(canvas, x + 8, top=y - 7, bottom=y + 9)
    text = "the tutorial's own single run"
    canvas.text(x + 26, y, text, va="center_baseline", color=MUTED)


def _shown_scores(analysis: SweepAnalysis) -> _Range:
    """The interesting part of the score axis: all runs but those far worse than the best mean."""
    comparison = analysis.comparison
    values = [s.value for s in analysis.scores if s.value is not None]
    if not values:
        return _Range(0.0, 1.0)
    best = next((t.mean for t in comparison.treatments if t.mean is not None), values[0])
    kept = [v for v in values if _is_on_scale(v, best, comparison.parameters.value)] or values
    published = [published_score(analysis, t.name) for t in comparison.treatments]
    ends = [
        end
        for t in comparison.treatments
        if t.ci_low is not None and t.ci_high is not None
        for end in (t.ci_low, t.ci_high)
        if _is_on_scale(t.ci_low, best, comparison.parameters.value)
        and _is_on_scale(t.ci_high, best, comparison.parameters.value)
    ]
    everything = kept + [p for p in published if p is not None] + ends
    low, high = min(everything), max(everything)
    room = 0.04 * (high - low) or 0.005
    gutter = 0.22 * (high - low) if any(v < low for v in values) else room
    gutter_right = 0.22 * (high - low) if any(v > high for v in values) else room
    return _Range(low - gutter, high + gutter_right)


def _is_on_scale(value: float, best: float, column: str) -> bool:
    if column == "test_accuracy":
        return 1 - value <= max(_ERROR_RATIO * (1 - best), _ERROR_FLOOR)
    return abs(value) <= _LOSS_RATIO * abs(best) or best == 0


def _seed_heights(scores: Sequence[RunScore], row: _Row) -> Callable[[Block], float]:
    """Where a seed's dots lie within their rows: spread evenly, the same for every optimizer."""
    seeds = sort_blocks(s.seed for s in scores)
    if len(seeds) == 1:
        return lambda _: 0.0
    place = {seed: row.spread * ((i * _GOLDEN) % 1 - 0.5) for i, seed in enumerate(seeds)}
    return place.__getitem__


# ---------------------------------------------------------------- learning curves


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
    analysis: SweepAnalysis, layout: Layout = WIDE, looks: Mapping[str, Look] | None = None
) -> Figure:
    """Test accuracy and test loss over the updates: mean over seeds with a pointwise band.

    Accuracy is drawn as its error on a logarithmic scale, best on top, and labelled as accuracy:
    the step from 97 to 98 % is as visible as the one from 94 to 96 %. `looks` are those of the
    analysis where none are given.
    """
    looks = looks or looks_of(analysis)
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
            _draw_panel(axes, panel, analysis, looks, labelled)
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
    looks: Mapping[str, Look],
    labelled: bool,
) -> None:
    shown = _shown_curves(panel, analysis.curves)
    last = max((c.iterations[-1] for c in analysis.curves if c.iterations), default=1)
    axes.set_yscale("log")
    axes.set_xlim(0, last)
    low, high = shown.low, shown.high
    axes.set_ylim(*((high, low) if panel.better_up else (low, high)))
    _curve_ticks(axes, panel, shown, last)
    ends: list[tuple[str, Look, float]] = []
    for curve in reversed(analysis.curves):
        look = looks[curve.treatment]
        end = _last_value(panel.band(curve))
        on_scale = end is not None and shown.holds(panel.place(end))
        _draw_curve(axes, curve, panel, look, banded=on_scale)
        if end is not None:
            ends.append((curve.treatment, look, panel.place(end)))
    if panel.line is not None and shown.holds(panel.line):
        axes.axhline(panel.line, color=INK, linewidth=1, dashes=(2, 3), zorder=1.5)
        axes.text(last * 0.012, panel.line, "target", va="bottom", color=MUTED, fontsize=12)
    if labelled:
        _label_ends(axes, ends)
    if not ends:
        axes.text(0.5, 0.5, "no finite value", color=MUTED, ha="center", transform=axes.transAxes)


def _draw_curve(
    axes: Axes, curve: LearningCurve, panel: _Panel, look: Look, *, banded: bool
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
            color=look.colour,
            alpha=0.18,
            linewidth=0,
            gid=optimizer_gid(look.index, f"{panel.part}band"),
        )
    axes.plot(
        curve.iterations,
        mean,
        color=look.colour,
        linewidth=1.8,
        marker=look.marker,
        markersize=look.size(6.5),
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        markevery=max(1, len(mean) // 12),
        solid_capstyle="round",
        gid=optimizer_gid(look.index, panel.part),
        zorder=3,
    )


def _curve_ticks(axes: Axes, panel: _Panel, shown: _Range, last: int) -> None:
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


def _label_ends(axes: Axes, ends: Sequence[tuple[str, Look, float]]) -> None:
    """Names beside the line ends, pushed apart so that none hides another.

    `ends` are (name, look, place on the axis).
    """
    box = axes.get_window_extent()
    visible = sorted(ends, key=lambda end: (-axes.transData.transform((1, end[2]))[1], end[0]))
    wanted = [
        min(max(float(axes.transData.transform((1, end[2]))[1]), box.y0), box.y1) for end in visible
    ]
    for (name, look, _), natural, y in zip(visible, wanted, spread(wanted, 17.0), strict=True):
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
            marker=look.marker,
            markersize=look.size(7.5),
            color=look.colour,
            markeredgecolor=PAPER,
            markeredgewidth=0.5,
            clip_on=False,
            transform=axes.transAxes,
            gid=optimizer_gid(look.index, "end"),
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


def _shown_curves(panel: _Panel, curves: Sequence[LearningCurve]) -> _Range:
    """What the axis shows: every mean of the curves that end near the best one."""
    ends = {c.treatment: _last_value(panel.band(c)) for c in curves}
    placed = {name: panel.place(end) for name, end in ends.items() if end is not None}
    if not placed:
        return _Range(0.01, 1.0)
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
    return _Range(low / room, high * room)


def _apart(ticks: Sequence[float], shown: _Range) -> list[float]:
    """The ticks without those that would crowd their neighbours on the logarithmic axis."""
    least = np.log(shown.high / shown.low) / 11
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or np.log(tick / kept[-1]) >= least:
            kept.append(tick)
    return kept


def _name(name: str) -> str:
    return elide(clean(name), 26)


def _placed(value: float | None, panel: _Panel) -> float:
    return float("nan") if value is None else panel.place(value)


def _last_value(band: Band) -> float | None:
    return band.mean[-1] if band.mean else None


def _digits_apart(places: Sequence[float]) -> int:
    """How many decimals tell neighbouring ticks apart."""
    for digits in range(5):
        if all(abs(round(p, digits) - p) < 1e-6 for p in places):
            return digits
    return 5
