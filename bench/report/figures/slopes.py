"""Plot the mean of every optimizer before and after as a line, named at both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import SweepChange
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    canvas_of,
    draw_line,
    draw_marker,
    new_figure,
    short_names,
)
from bench.report.figures.curves import spread
from bench.report.figures.styles import Style, assign_styles
from bench.report.figures.svg import GRID, figure_style, optimizer_gid
from bench.report.text.change import METRIC
from bench.report.text.sanitize import isolated

#: Between two names, and above and below the lines, in pixels.
_GAP = 20.0
_TOP, _BOTTOM = 52.0, 26.0
_LEAST_HEIGHT = 240.0
#: A mean is on the scale if its error is at most this many times that of the best mean, or this.
_ERROR_RATIO, _ERROR_FLOOR = 5.0, 0.05
#: How far a mean beyond the scale lies below it.
_BEYOND = 16.0
#: From the end of a line to the marker beside its name, and to the name; in the narrow layout too.
_TO_NAME = ((92.0, 104.0), (32.0, 42.0))


@dataclass(frozen=True, kw_only=True)
class _Side:
    """One end of the lines: where it is, in which direction the names are, and the means."""

    x: float
    away: int
    title: str
    means: Mapping[str, float]


def slopes_figure(
    found: SweepChange, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot one line per optimizer, from its mean before on the left to its mean after.

    Names and means at both ends are in the order of the means. A mean far below the others is drawn
    below the scale.
    """
    styles = styles or assign_styles(c.optimizer for c in found.changes)
    inset = 148.0 if layout.narrow else 364.0
    sides = (
        _side(found, "before", inset, -1),
        _side(found, "after", layout.width - inset, 1),
    )
    height = max(_LEAST_HEIGHT, _GAP * max(len(side.means) for side in sides))
    scale = _Scale.of([mean for side in sides for mean in side.means.values()], height)
    short = short_names((c.optimizer for c in found.changes), 8 if layout.narrow else 26)
    with figure_style():
        figure = new_figure(layout.width, _TOP + height + _BOTTOM)
        canvas = canvas_of(figure)
        for side in sides:
            canvas.plot([side.x] * 2, [_TOP - 8, _TOP + height], color=GRID, linewidth=1)
            _draw_names(canvas, side, scale, styles, short, layout)
        for change in reversed(found.changes):
            _draw_slope(canvas, change.optimizer, sides, scale, styles[change.optimizer])
    return figure


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Pixels of a mean; those below `low` are beyond the scale."""

    low: float
    high: float
    height: float

    @classmethod
    def of(cls, means: Sequence[float], height: float) -> _Scale:
        high = max(means, default=1.0)
        limit = 1 - max(_ERROR_RATIO * (1 - high), _ERROR_FLOOR)
        low = min((mean for mean in means if mean >= limit), default=high)
        return cls(low=low, high=high, height=height)

    def __call__(self, mean: float) -> float:
        if mean < self.low:
            return _TOP + self.height
        room = self.height - _BEYOND
        span = self.high - self.low
        return _TOP + (room * (self.high - mean) / span if span else room / 2)


def _side(found: SweepChange, side: str, x: float, away: int) -> _Side:
    means = {c.optimizer: getattr(c, f"mean_{side}") for c in found.changes}
    known = {name: mean for name, mean in means.items() if mean is not None}
    return _Side(x=x, away=away, title=getattr(found, side), means=known)


def _draw_slope(
    canvas: Axes, name: str, sides: Sequence[_Side], scale: _Scale, style: Style
) -> None:
    places = [(side.x, scale(side.means[name])) for side in sides if name in side.means]
    xs, ys = [x for x, _ in places], [y for _, y in places]
    gid = optimizer_gid(style.index, "slope")
    draw_line(canvas, xs, ys, color=style.colour, linewidth=2.0, gid=gid, zorder=3)
    for x, y in places:
        gid = optimizer_gid(style.index, "mean")
        draw_marker(canvas, x, y, style, 8.5, gid=gid, zorder=4)


def _draw_names(
    canvas: Axes,
    side: _Side,
    scale: _Scale,
    styles: Mapping[str, Style],
    short: Mapping[str, str],
    layout: Layout,
) -> None:
    """Write title, names and means beside the ends of the lines, joined to them."""
    to_marker, to_name = _TO_NAME[layout.narrow]
    aligned = "right" if side.away < 0 else "left"
    x = side.x + side.away * to_name
    canvas.text(x, 18.0, side.title, ha=aligned, va="center_baseline", fontweight="bold")
    ranked = sorted(side.means, key=lambda name: (-side.means[name], name))
    ends = [scale(side.means[name]) for name in ranked]
    for name, end, place in zip(ranked, ends, _apart(ends, scale.height), strict=True):
        style, text = styles[name], isolated(short[name])
        xs = [side.x, side.x + side.away * to_marker]
        gid = optimizer_gid(style.index, "way")
        colour = {"color": style.colour, "linewidth": 1.0, "dashes": (2, 2)}
        draw_line(canvas, xs, [end, place], gid=gid, zorder=2, **colour)
        gid = optimizer_gid(style.index, "end")
        draw_marker(canvas, side.x + side.away * to_marker, place, style, 7.5, gid=gid)
        mean = METRIC.score(side.means[name])
        mean = f"{mean} ▾" if side.means[name] < scale.low else mean
        canvas.text(
            x,
            place,
            f"{text}  {mean}" if side.away < 0 else f"{mean}  {text}",
            ha=aligned,
            va="center_baseline",
            fontsize=11 if layout.narrow else 13,
            gid=optimizer_gid(style.index, "label"),
        )


def _apart(ends: Sequence[float], height: float) -> list[float]:
    """Choose the place of each name, from top to bottom, near its end and without overlap."""
    # spread() chooses descending places
    places = [-place for place in spread([-end for end in ends], _GAP)]
    lowest = _TOP + height - _GAP * (len(ends) - 1)
    steps = [_GAP * index for index in range(len(ends))]
    return [min(max(p - s, _TOP), lowest) + s for p, s in zip(places, steps, strict=True)]
