"""Layout of figures in pixels of the page.

Positions are pixels from the upper left corner of the figure. Each figure has a wide layout for
desktops and a narrow one for phones. Figures are created without pyplot and leave no global state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform

from bench.report.figures.styles import Style
from bench.report.figures.svg import GRID, INK, PAPER, optimizer_gid
from bench.report.text.sanitize import abbreviated, clean


@dataclass(frozen=True)
class Layout:
    """Width of a figure in pixels, and whether it is the narrow layout for phones."""

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
    """Create an empty figure of this size in pixels, with axes that span it."""
    # 72 dots per inch: a point of the SVG is a pixel of the page.
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    figure.patch.set_visible(False)
    canvas = figure.add_axes((0, 0, 1, 1), label="canvas", zorder=5)
    canvas.set_xlim(0, width)
    canvas.set_ylim(height, 0)
    canvas.axis("off")
    return figure


def canvas_of(figure: Figure) -> Axes:
    """Return the axes that span the figure, in pixels from its upper left corner."""
    return figure.axes[0]


def add_title(figure: Figure, left: float, top: float, text: str) -> None:
    """Write a title at this upper left corner."""
    canvas_of(figure).text(left + 4, top + 18, text, fontweight="bold", va="center_baseline")


def share_ticks(axis: Axis) -> None:
    """Set ticks from 0 % to 100 % in quarters."""
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])


def whole_ticks(axes: Axes, last: float, most: int) -> None:
    """Set a horizontal axis from 0 to `last` with at most `most` round whole numbers."""
    axes.set_xlim(0, last)
    places = MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]).tick_values(0, last)
    places = [p for p in places if 0 <= p <= last]
    axes.set_xticks(places, [f"{int(p):,}" for p in places])
    axes.tick_params(length=0, pad=8)


def round_ticks(low: float, high: float, most: int, factor: float = 1.0) -> dict[float, str]:
    """Choose round ticks between `low` and `high`; each text is that of `factor` times the tick."""
    found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low * factor, high * factor)
    places = [p for p in found if low * factor <= p <= high * factor]
    digits = _digits_apart(places)
    if digits > _MOST_DIGITS:
        return {p / factor: f"{p:g}" for p in (_rounded(p, places) for p in places)}
    return {p / factor: f"{p + 0.0:.{digits}f}" for p in places}


#: Ticks that need more decimals than this are written as powers of ten.
_MOST_DIGITS = 5


def _digits_apart(places: Sequence[float]) -> int:
    """Number of decimals that distinguish neighbouring ticks."""
    step = min((b - a for a, b in pairwise(places)), default=1.0)
    for digits in range(_MOST_DIGITS + 1):
        if all(abs(round(p, digits) - p) < 1e-3 * step for p in places):
            return digits
    return _MOST_DIGITS + 1


def _rounded(place: float, places: Sequence[float]) -> float:
    """Replace a tick that differs from 0 only by rounding."""
    return 0.0 if abs(place) < 1e-9 * max(map(abs, places)) else place


def add_axes(figure: Figure, left: float, top: float, right: float, bottom: float) -> Axes:
    """Add axes between these pixels."""
    width, height = figure.get_size_inches() * 72
    box = (left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height)
    axes = figure.add_axes(box)
    axes.patch.set_visible(False)
    axes.set_axisbelow(True)
    return axes


def to_axes(
    axes: Axes, xs: Sequence[float], ys: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Convert pixels to shares of the axes."""
    places = axes.transAxes.inverted().transform(list(zip(xs, ys, strict=True)))
    return [float(p[0]) for p in places], [float(p[1]) for p in places]


def place_of(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Convert data coordinates to pixels from the upper left corner of the figure."""
    right, up = axes.transData.transform((x, y))
    return float(right), float(axes.figure.bbox.height - up)


@dataclass(frozen=True)
class RowFrame:
    """Where the rows of a figure lie, in pixels; `row` is the height of one.

    `names` are the headings of the rows by the names that they shorten.
    """

    left: float
    right: float
    top: float
    bottom: float
    height: float
    row: float
    names: Mapping[str, str]

    @classmethod
    def of(cls, names: Sequence[str], layout: Layout, *, top: float, row: float) -> RowFrame:
        """Leave room for the names on the left, in the narrow layout above the rows."""
        short = short_names(names)
        longest = max(map(len, short.values()), default=0)
        left = 8.0 if layout.narrow else 64.0 + 7.8 * longest
        bottom = top + row * max(len(names), 1)
        return cls(left, layout.width - 10.0, top, bottom, bottom + 54.0, row, short)


def add_rows(figure: Figure, frame: RowFrame) -> Axes:
    """Add axes with one unit per row, the first on top, and lines between the rows."""
    axes = add_axes(figure, frame.left, frame.top, frame.right, frame.bottom)
    n_rows = round((frame.bottom - frame.top) / frame.row)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.grid(True)
    axes.yaxis.grid(False)
    between = [row - 0.5 for row in range(1, n_rows)]
    axes.hlines(between, 0, 1, transform=row_text(axes), colors=GRID, linewidth=1)
    return axes


def draw_row_name(
    figure: Figure, frame: RowFrame, layout: Layout, row: int, name: str, style: Style
) -> None:
    """Draw marker and name of a row: on its left, or above it in the narrow layout."""
    y = frame.top + row * frame.row + (13.0 if layout.narrow else frame.row / 2)
    canvas, x = canvas_of(figure), frame.left + 8.0 if layout.narrow else 14.0
    draw_marker(canvas, x, y, style, 9.5, gid=optimizer_gid(style.index, "name"))
    x = frame.left + 20.0 if layout.narrow else 28.0
    gid = optimizer_gid(style.index, "label")
    canvas.text(x, y, frame.names[name], va="center_baseline", fontweight="bold", gid=gid)


def draw_line(axes: Axes, xs: Sequence[float], ys: Sequence[float], **kwargs: Any) -> None:
    """Draw a line or its markers; unlike ``Axes.plot``, the limits of the axes are not touched."""
    axes.add_artist(Line2D(xs, ys, **kwargs))


def draw_interval(
    axes: Axes,
    y: float,
    ends: tuple[float | None, float | None],
    shown: Range,
    **kwargs: Any,
) -> None:
    """Draw the part of an interval that is shown."""
    if ends[0] is None or ends[1] is None:
        return
    low, high = max(ends[0], shown.low), min(ends[1], shown.high)
    if low < high:
        draw_line(axes, [low, high], [y, y], solid_capstyle="butt", **kwargs)


def edge_note(axes: Axes, y: float, text: str, *, left: bool) -> None:
    """Write a value beyond the scale at the edge on its side."""
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


def draw_marker(axes: Axes, x: float, y: float, style: Style, size: float, **kwargs: Any) -> None:
    """Draw an optimizer's marker that looks as large as a circle of `size` pixels."""
    settings = {**marked(style, size), "markeredgewidth": 0.5, **kwargs}
    draw_line(axes, [x], [y], linestyle="none", **settings)


def marked(style: Style, size: float) -> dict[str, Any]:
    """Plot settings of an optimizer; its marker looks as large as a circle of this size."""
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": style.size(size),
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.6,
    }


def short_names(names: Iterable[str], length: int = 26) -> dict[str, str]:
    """Shorten the names of a figure to at most `length` characters; different ones stay so."""
    return {name: clean(short) for name, short in abbreviated(names, length).items()}


def row_text(axes: Axes) -> Transform:
    """x as a share of the axes, y in rows."""
    return axes.get_yaxis_transform()
