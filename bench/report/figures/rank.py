"""Plot a critical-difference diagram: mean ranks on a line, with Nemenyi's groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import RankDiagram, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    canvas_of,
    draw_marker,
    new_figure,
    short_names,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import INK, MUTED, figure_style, optimizer_gid
from bench.report.text.format import number
from bench.report.text.sanitize import isolated

_ROW = 25.0
#: Above the line of ranks: the critical difference, then the numbers of the ranks.
_LINE = 74.0
_GROUP_GAP = 10.0
#: Between the ends of two bars, which are drawn a little longer, with round caps.
_LEAST_GAP = 24.0


def rank_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot every treatment at its mean rank, 1 for the best; bars join Nemenyi's groups.

    Raises
    ------
    ValueError
        If the analysis has no `ranks`.
    """
    diagram = analysis.ranks
    if diagram is None:
        raise ValueError("ranks must not be None: it takes three treatments and two blocks")
    styles = styles or styles_of(analysis)
    ranks = {t.name: t.mean_rank for t in analysis.comparison.treatments if t.mean_rank is not None}
    short = short_names(diagram.ranked, 12 if layout.narrow else 24)
    k = len(diagram.ranked)
    names = 118.0 if layout.narrow else 250.0
    step = (layout.width - 2 * names) / (k - 1)

    def scale(rank: float) -> float:
        return names + (rank - 1) * step

    bars = [(scale(ranks[group[0]]), scale(ranks[group[-1]])) for group in diagram.groups]
    levels = levels_of(bars)
    rows_top = _LINE + _GROUP_GAP * (max(levels, default=0) + 1) + 20
    with figure_style():
        figure = new_figure(layout.width, rows_top + _ROW * ((k + 1) // 2))
        canvas = canvas_of(figure)
        _draw_line(canvas, scale, step, diagram, k)
        for place, name in enumerate(diagram.ranked):
            edge = names - 14 if 2 * place < k else layout.width - names + 14
            at = (scale(ranks[name]), rows_top + _ROW * min(place, k - 1 - place))
            _draw_name(canvas, layout, at, ranks[name], short[name], styles[name], edge)
        for level, (left, right) in zip(levels, bars, strict=True):
            y = _LINE + _GROUP_GAP * (level + 1)
            canvas.plot(
                [left - 4, right + 4],
                [y, y],
                color=INK,
                linewidth=4.5,
                solid_capstyle="round",
                zorder=4,
            )
    return figure


def levels_of(bars: Sequence[tuple[float, float]]) -> list[int]:
    """Choose the line of each bar, with a gap between bars on the same line.

    `bars` are (left, right) in pixels, from left to right.
    """
    ends: list[float] = []
    levels = []
    for left, right in bars:
        level = next((i for i, end in enumerate(ends) if end + _LEAST_GAP < left), len(ends))
        ends[level : level + 1] = [right]
        levels.append(level)
    return levels


def _draw_line(
    canvas: Axes, scale: Callable[[float], float], step: float, diagram: RankDiagram, k: int
) -> None:
    canvas.plot([scale(1), scale(k)], [_LINE, _LINE], color=INK, linewidth=1.2)
    labelled = max(1, -(-k // 15))
    for rank in range(1, k + 1):
        canvas.plot([scale(rank)] * 2, [_LINE - 6, _LINE], color=INK, linewidth=1.2)
        if (rank - 1) % labelled == 0:
            canvas.text(
                scale(rank), _LINE - 14, str(rank), ha="center", va="center_baseline", color=MUTED
            )
    y, start = 36.0, scale(1)
    end = start + diagram.critical_difference * step
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
    text = isolated(name)
    canvas.text(
        edge + 19 * away,
        y,
        text if layout.narrow else f"{text}  {number(rank, 2)}",
        ha="right" if is_left else "left",
        va="center_baseline",
        fontsize=12 if layout.narrow else 13,
        gid=optimizer_gid(style.index, "label"),
    )
