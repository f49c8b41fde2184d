"""Plot accuracy and loss over updates, images, or seconds of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import Band, LearningCurve, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    add_title,
    draw_line,
    draw_marker,
    marked,
    new_figure,
    place_of,
    round_ticks,
    short_names,
    to_axes,
    whole_ticks,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import INK, MUTED, figure_style, optimizer_gid

Over = Literal["updates", "images", "seconds"]
Spacing = Literal["log", "linear"]

#: What curves are drawn over, in words.
OVER: Mapping[Over, str] = {
    "updates": "updates",
    "images": "images seen",
    "seconds": "seconds of training",
}

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
_LOSS_TICKS = tuple(m * 10.0**e for e in range(-6, 7) for m in (1, 1.5, 2, 3, 5, 7))
#: Beyond this many optimizers names at the line ends would hide each other.
_MOST_END_LABELS = 12
#: Most characters of names at the line ends, and room for them, in the wide and the narrow layout.
_END_LABELS = ((13, 124.0), (9, 106.0))


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """One quantity, and how it is placed on its axis.

    `badness` is the error or the loss; `place` is where a value lies on the axis, whose `ticks`
    are chosen from (place, label), all of them where the spacing is linear.
    """

    title: str
    part: str
    band: Callable[[LearningCurve], Band]
    badness: Callable[[float], float]
    ratio: float
    floor: float
    spacing: Spacing
    place: Callable[[float], float]
    upside_down: bool
    ticks: Callable[[Range], Mapping[float, str]]
    line: float | None = None


def curves_figure(
    analysis: SweepAnalysis,
    layout: Layout = WIDE,
    styles: Mapping[str, Style] | None = None,
    *,
    over: Over = "updates",
    spacing: Spacing = "log",
) -> Figure:
    """Plot test accuracy and test loss during training: mean over seeds with a pointwise band.

    On logarithmic spacing accuracy is placed by its error, best on top, and labelled as accuracy:
    the step from 97 to 98 % is as visible as the one from 94 to 96 %. `styles` are those of the
    analysis where none are given.
    """
    styles = styles or styles_of(analysis)
    labelled, margin = _END_LABELS[layout.narrow]
    if len(analysis.curves) > _MOST_END_LABELS:
        labelled, margin = 0, 22.0
    with figure_style():
        height = 440.0
        figure = new_figure(layout.width, 2 * height if layout.narrow else height)
        for place, panel in enumerate(_panels(analysis, spacing)):
            left, top = (0.0, place * height) if layout.narrow else (place * layout.width / 2, 0.0)
            right = left + (layout.width if layout.narrow else layout.width / 2)
            axes = add_axes(figure, left + 52, top + 44, right - margin, top + height - 58)
            _draw_panel(axes, panel, analysis, styles, over, labelled)
            add_title(figure, left, top, panel.title)
    return figure


def curves_points(
    analysis: SweepAnalysis, figure: Figure, *, over: Over, spacing: Spacing
) -> tuple[tuple[float, float] | None, ...]:
    """Return the place of each mean in `figure` in pixels, by panel, curve and evaluation.

    None where it is not drawn, or beyond the axes.
    """
    points: list[tuple[float, float] | None] = []
    for axes, panel in zip(figure.axes[1:], _panels(analysis, spacing), strict=True):
        shown = Range(*sorted(axes.get_ylim()))
        for curve in analysis.curves:
            for x, value in zip(_along(curve, over), panel.band(curve).mean, strict=True):
                y = None if value is None else panel.place(value)
                known = x is not None and y is not None and shown.holds(y)
                points.append(place_of(axes, x, y) if known else None)  # type: ignore[arg-type]
    return tuple(points)


def _panels(analysis: SweepAnalysis, spacing: Spacing) -> tuple[_Panel, _Panel]:
    is_log = spacing == "log"
    accuracy = _Panel(
        title="Test accuracy, %",
        part="accuracy",
        band=lambda curve: curve.test_accuracy,
        badness=_error,
        ratio=_ERROR_RATIO,
        floor=_ERROR_FLOOR,
        spacing=spacing,
        place=_error if is_log else float,
        upside_down=is_log,
        ticks=_error_ticks if is_log else lambda shown: round_ticks(shown.low, shown.high, 8, 100),
        line=_error(analysis.target) if is_log else analysis.target,
    )
    loss = _Panel(
        title="Test loss, nats",
        part="loss",
        band=lambda curve: curve.test_loss,
        badness=_positive,
        ratio=_LOSS_RATIO,
        floor=0.0,
        spacing=spacing,
        place=_positive if is_log else float,
        upside_down=False,
        ticks=_loss_ticks if is_log else lambda shown: round_ticks(shown.low, shown.high, 8),
    )
    return accuracy, loss


def _error(accuracy: float) -> float:
    return max(1 - accuracy, _LEAST_ERROR)


def _positive(loss: float) -> float:
    return max(loss, 1e-9)


def _error_ticks(shown: Range) -> dict[float, str]:
    return {t: f"{(1 - t) * 100:.6g}" for t in _apart(_ERROR_TICKS, shown)}


def _loss_ticks(shown: Range) -> dict[float, str]:
    return {t: f"{t:.6g}" for t in _apart(_LOSS_TICKS, shown)}


def _along(curve: LearningCurve, over: Over) -> Sequence[float | None]:
    if over == "images":
        return curve.images
    return curve.seconds if over == "seconds" else curve.iterations


def _draw_panel(
    axes: Axes,
    panel: _Panel,
    analysis: SweepAnalysis,
    styles: Mapping[str, Style],
    over: Over,
    labelled: int,
) -> None:
    shown = _shown(panel, analysis.curves)
    last = max((x for c in analysis.curves for x in _along(c, over) if x is not None), default=1)
    axes.set_yscale(panel.spacing)
    axes.set_ylim(*((shown.high, shown.low) if panel.upside_down else (shown.low, shown.high)))
    ticks = panel.ticks(shown)
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_yticks([], minor=True)
    _horizontal_axis(axes, over, last)
    ends: list[tuple[str, Style, float, float]] = []
    for curve in reversed(analysis.curves):
        style = styles[curve.treatment]
        end = _end(curve, panel, over)
        _draw_curve(axes, curve, panel, style, over, banded=end is not None and shown.holds(end[1]))
        if end is not None:
            ends.append((curve.treatment, style, *end))
    if panel.line is not None and shown.holds(panel.line):
        axes.axhline(panel.line, color=INK, linewidth=1, dashes=(2, 3), zorder=1.5)
        axes.text(last * 0.012, panel.line, "target", va="bottom", color=MUTED, fontsize=12)
    if labelled:
        names = short_names((curve.treatment for curve in analysis.curves), labelled)
        _label_ends(axes, ends, names)
    if not ends:
        axes.text(0.5, 0.5, "no finite value", color=MUTED, ha="center", transform=axes.transAxes)


def _horizontal_axis(axes: Axes, over: Over, last: float) -> None:
    axes.set_xlabel(OVER[over], labelpad=6)
    if over != "seconds":
        whole_ticks(axes, last, 4)
        return
    axes.set_xlim(0, last)
    places = round_ticks(0, last, 5)
    axes.set_xticks(list(places), list(places.values()))
    axes.tick_params(length=0, pad=8)


def _draw_curve(
    axes: Axes,
    curve: LearningCurve,
    panel: _Panel,
    style: Style,
    over: Over,
    *,
    banded: bool,
) -> None:
    band = panel.band(curve)
    xs = [float("nan") if x is None else x for x in _along(curve, over)]
    mean = [_placed(v, panel) for v in band.mean]
    ends = zip(band.low, band.high, xs, strict=True)
    known = [low is not None and high is not None and x == x for low, high, x in ends]
    # A band of a curve outside the panel would only hide the other curves.
    if banded and any(known):
        axes.fill_between(
            xs,
            [_placed(v, panel) for v in band.low],
            [_placed(v, panel) for v in band.high],
            where=known,
            color=style.colour,
            alpha=0.18,
            linewidth=0,
            gid=optimizer_gid(style.index, f"{panel.part}band"),
        )
    draw_line(
        axes,
        xs,
        mean,
        linewidth=1.8,
        **marked(style, 6.5),
        markevery=max(1, len(mean) // 12),
        solid_capstyle="round",
        gid=optimizer_gid(style.index, panel.part),
        zorder=3,
    )


def _label_ends(
    axes: Axes, ends: Sequence[tuple[str, Style, float, float]], names: Mapping[str, str]
) -> None:
    """Write shortened names at the ends of the lines, without overlap.

    `ends` are (name, style, x and y of the last value on the axes), `names` the shortened names.
    """
    box = axes.get_window_extent()
    at = {end[0]: axes.transData.transform(end[2:]) for end in ends}
    visible = sorted(ends, key=lambda end: (-at[end[0]][1], end[0]))
    wanted = [min(max(float(at[end[0]][1]), box.y0), box.y1) for end in visible]
    for (name, style, *_), natural, y in zip(visible, wanted, spread(wanted, 17.0), strict=True):
        edge = box.x1
        start = min(float(at[name][0]), edge) + 6
        draw_line(
            axes,
            *to_axes(axes, [start, edge + 6, edge + 13], [natural, natural, y]),
            color=MUTED,
            linewidth=0.7,
            clip_on=False,
            transform=axes.transAxes,
        )
        x, height = (v[0] for v in to_axes(axes, [edge + 20], [y]))
        gid = optimizer_gid(style.index, "end")
        draw_marker(axes, x, height, style, 7.5, clip_on=False, transform=axes.transAxes, gid=gid)
        x, height = (v[0] for v in to_axes(axes, [edge + 29], [y]))
        axes.text(
            x,
            height,
            names[name],
            va="center_baseline",
            fontsize=12.5,
            transform=axes.transAxes,
            gid=optimizer_gid(style.index, "label"),
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Choose descending places at least `gap` apart, as close as possible to `wanted`.

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


def _shown(panel: _Panel, curves: Sequence[LearningCurve]) -> Range:
    """Range of the axis: every mean of the curves that end near the best one."""
    ends = {c.treatment: _last_value(panel.band(c)) for c in curves}
    bad = {name: panel.badness(end) for name, end in ends.items() if end is not None}
    if not bad:
        return Range(0.01, 1.0)
    limit = max(panel.ratio * min(bad.values()), panel.floor)
    values = [
        panel.place(value)
        for curve in curves
        if bad.get(curve.treatment, np.inf) <= limit
        for value in panel.band(curve).mean
        if value is not None
    ]
    low, high = min(values), max(values)
    if panel.spacing == "log":
        room = max((high / low) ** 0.05, 1.03)
        return Range(low / room, high * room)
    room = 0.05 * (high - low) or 0.005
    return Range(low - room, high + room)


def _apart(ticks: Sequence[float], shown: Range) -> list[float]:
    """Ticks of a logarithmic axis without those that are too close to their neighbours."""
    least = np.log(shown.high / shown.low) / 11
    kept: list[float] = []
    for tick in sorted(t for t in ticks if shown.holds(t)):
        if not kept or np.log(tick / kept[-1]) >= least:
            kept.append(tick)
    return kept


def _placed(value: float | None, panel: _Panel) -> float:
    return float("nan") if value is None else panel.place(value)


def _last_value(band: Band) -> float | None:
    """Last known mean: a curve ends before losses that are not finite."""
    return next((value for value in reversed(band.mean) if value is not None), None)


def _end(curve: LearningCurve, panel: _Panel, over: Over) -> tuple[float, float] | None:
    """Where a curve ends on the axes; None where no mean, or not its time, is known."""
    known = (
        (x, panel.place(value))
        for x, value in zip(_along(curve, over), panel.band(curve).mean, strict=True)
        if x is not None and value is not None
    )
    return max(known, default=None, key=lambda point: point[0])
