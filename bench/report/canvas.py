"""Figures laid out in pixels of the page: for whom, how large, and where the axes lie.

Positions are pixels at the figure's own width, from its upper left corner: a figure comes once for
a desk and once for a phone. Figures are made without pyplot, so no global state is left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform


@dataclass(frozen=True)
class Layout:
    """For whom a figure is drawn: its width in pixels and whether that is a phone's."""

    width: int
    narrow: bool


WIDE = Layout(width=1080, narrow=False)
NARROW = Layout(width=400, narrow=True)


@dataclass(frozen=True)
class Range:
    """The part of an axis that is shown."""

    low: float
    high: float

    def holds(self, value: float | None) -> bool:
        """Whether `value` is known and lies within."""
        return value is not None and self.low <= value <= self.high


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in pixels, with a canvas to write on."""
    # 72 dots per inch: a point of the SVG is a pixel of the page.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    canvas = figure.add_axes((0, 0, 1, 1), label="canvas", zorder=5)
    canvas.set_xlim(0, width)
    canvas.set_ylim(height, 0)
    canvas.axis("off")
    return figure


def canvas_of(figure: Figure) -> Axes:
    """The axes that span the figure, in pixels from its upper left corner."""
    return figure.axes[0]


def add_title(figure: Figure, left: float, top: float, text: str) -> None:
    """The title of what is drawn from this corner on."""
    canvas_of(figure).text(left + 4, top + 18, text, fontweight="bold", va="center_baseline")


def share_ticks(axes: Axes) -> None:
    """A vertical axis from none to all, in quarters."""
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])


def add_axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Axes between these pixels."""
    width, height = figure.get_size_inches() * 72
    box = (left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    axes.set_axisbelow(True)
    return axes


def to_axes(
    axes: Axes, xs: Sequence[float], ys: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Pixels as shares of the axes."""
    places = axes.transAxes.inverted().transform(list(zip(xs, ys, strict=True)))
    return [float(p[0]) for p in places], [float(p[1]) for p in places]


def row_text(axes: Axes) -> Transform:
    """x as a share of the axes, y in rows."""
    return axes.get_yaxis_transform()
