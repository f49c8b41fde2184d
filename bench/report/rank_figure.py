"""Mean ranks on a line, with Nemenyi's groups: a critical-difference diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import RankDiagram, SweepAnalysis
from bench.report.canvas import WIDE, Layout, canvas_of, draw_marker, new_figure
from bench.report.format import clean, elide, number
from bench.report.styles import Style, styles_of
from bench.report.svg import INK, MUTED, figure_style, optimizer_gid

_ROW = 25.0
#: Above the line of ranks: the critical difference, then the numbers of the ranks.
_LINE = 74.0
_GROUP_GAP = 10.0


def rank_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Every treatment at its mean rank, 1 for the best; bars join Nemenyi's groups.

    Raises
    ------
    ValueError
        If the analysis has no `ranks`.
    """
    diagram = analysis.ranks
    if diagram is None:
        raise ValueError("ranks must not be None: it takes three treatments and two blocks")
    styles = styles or styles_of(analysis)
    ranked = sorted(
        (t.mean_rank, t.name) for t in analysis.comparison.treatments if t.mean_rank is not None
    )
    levels = _levels(diagram.groups, {name: rank for rank, name in ranked})
    rows_top = _LINE + _GROUP_GAP * (max(levels, default=0) + 1) + 20
    half = (len(ranked) + 1) // 2
    names = 118.0 if layout.narrow else 250.0
    with figure_style():
        figure = new_figure(layout.width, rows_top + _ROW * half)
        scale = _Scale(names, layout.width - names, len(ranked))
        canvas = canvas_of(figure)
        _draw_line(canvas, scale, diagram, len(ranked))
        for place, (rank, name) in enumerate(ranked):
            row = min(place, len(ranked) - 1 - place)
            edge = names - 14 if place < half else layout.width - names + 14
            at = (scale(rank), rows_top + _ROW * row)
            _draw_name(canvas, layout, at, rank, name, styles[name], edge)
        for level, group in zip(levels, diagram.groups, strict=True):
            inside = [rank for rank, name in ranked if name in group]
            y = _LINE + _GROUP_GAP * (level + 1)
            canvas.plot(
                [scale(min(inside)) - 4, scale(max(inside)) + 4],
                [y, y],
                color=INK,
                linewidth=4.5,
                solid_capstyle="round",
                zorder=4,
            )
    return figure


class _Scale:
    """From a rank to a pixel."""

    def __init__(self, left: float, right: float, k: int) -> None:
        self.left, self.step = left, (right - left) / (k - 1)

    def __call__(self, rank: float) -> float:
        return self.left + (rank - 1) * self.step


def _levels(groups: Sequence[Sequence[str]], ranks: Mapping[str, float]) -> list[int]:
    """On which line each group is drawn, so that none touches another."""
    ends: list[float] = []
    levels = []
    for group in groups:
        low, high = (f(ranks[name] for name in group) for f in (min, max))
        level = next((i for i, end in enumerate(ends) if end < low), len(ends))
        ends[level : level + 1] = [high]
        levels.append(level)
    return levels


def _draw_line(canvas: Axes, scale: _Scale, diagram: RankDiagram, k: int) -> None:
    canvas.plot([scale(1), scale(k)], [_LINE, _LINE], color=INK, linewidth=1.2)
    labelled = max(1, -(-k // 15))
    for rank in range(1, k + 1):
        canvas.plot([scale(rank)] * 2, [_LINE - 6, _LINE], color=INK, linewidth=1.2)
        if (rank - 1) % labelled == 0:
            canvas.text(
                scale(rank), _LINE - 14, str(rank), ha="center", va="center_baseline", color=MUTED
            )
    y, start = 36.0, scale(1)
    end = min(start + diagram.critical_difference * scale.step, canvas.get_xlim()[1] - 3)
    text = f"critical difference {number(diagram.critical_difference, 2)}"
    canvas.text(start, y - 20, text, va="center_baseline", color=MUTED)
    canvas.plot([start, end], [y, y], color=INK, linewidth=2.0)
    for x in (start, end):
        canvas.plot([x, x], [y - 5, y + 5], color=INK, linewidth=2.0)


def _draw_name(
    canvas: Axes,
    layout: Layout,
    place: tuple[float, float],
    rank: float,
    name: str,
    style: Style,
    edge: float,
) -> None:
    """An elbow from the rank on the line to the name at its side, which ends at `edge`."""
    x, y = place
    is_left = edge < layout.width / 2
    away = -1 if is_left else 1
    canvas.plot([x, x, edge], [_LINE, y, y], color=MUTED, linewidth=0.8, zorder=2)
    gid = optimizer_gid(style.index, "rank")
    draw_marker(canvas, x, _LINE, style, 9.0, zorder=5, gid=gid)
    gid = optimizer_gid(style.index, "name")
    draw_marker(canvas, edge + 9 * away, y, style, 8.0, gid=gid)
    text = elide(clean(name), 12 if layout.narrow else 24)
    canvas.text(
        edge + 19 * away,
        y,
        text if layout.narrow else f"{text}  {number(rank, 2)}",
        ha="right" if is_left else "left",
        va="center_baseline",
        fontsize=12 if layout.narrow else 13,
        gid=optimizer_gid(style.index, "label"),
    )
