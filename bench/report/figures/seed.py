"""Plot the best optimizer of single seeds, and how often two sets of n seeds agree on it."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.results import SingleSeed, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    add_axes,
    add_title,
    draw_marker,
    new_figure,
    row_text,
    share_ticks,
    short_names,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import GRID, INK, MUTED, figure_style, optimizer_gid
from bench.report.text.format import percent
from bench.report.text.nouns import Nouns

#: Treatments that win no seed at all are counted in one line from this many on.
_MOST_ROWS = 10
_ROW = 38.0


def seed_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot the share of seeds on which each optimizer is best, and how often two sets agree.

    Raises
    ------
    ValueError
        If the comparison has no `single_seed`.
    """
    told = analysis.comparison.single_seed
    if told is None:
        raise ValueError("comparison.single_seed must not be None: no block is complete")
    styles = styles or styles_of(analysis)
    nouns = Nouns.of(analysis.comparison.parameters)
    rows = min(len(told.best_shares), _MOST_ROWS + 1)
    bars, curve = 44 + _ROW * rows + 58, 380.0
    height = bars + curve if layout.narrow else max(bars, curve)
    half = layout.width / 2
    with figure_style():
        figure = new_figure(layout.width, height)
        add_title(figure, 0, 0, f"Best of all on a single {nouns.block}")
        right = layout.width - 12.0 if layout.narrow else half - 34
        axes = add_axes(figure, 150, 44, right, bars - 58)
        _draw_best_shares(axes, told, styles, nouns)
        left, top = (0.0, bars) if layout.narrow else (half + 10, 0.0)
        add_title(figure, left, top, f"Chance that two sets of {nouns.block.plural} agree")
        axes = add_axes(figure, left + 52, top + 44, layout.width - 22, top + curve - 58)
        _draw_curve(axes, told, nouns)
    return figure


def _draw_best_shares(
    axes: Axes, told: SingleSeed, styles: Mapping[str, Style], nouns: Nouns
) -> None:
    shown = told.best_shares
    if len(shown) > _MOST_ROWS + 1:
        shown = shown[:_MOST_ROWS]
    rest = told.best_shares[len(shown) :]
    rows = len(shown) + bool(rest)
    names = short_names((best_share.treatment for best_share in shown), 15)
    largest = max(best_share.share for best_share in told.best_shares)
    axes.set_xlim(0, max(largest, 0.2) * 1.25)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    places = [p for p in MaxNLocator(4).tick_values(0, largest) if 0 <= p <= axes.get_xlim()[1]]
    axes.set_xticks(places, [f"{p:.0%}" for p in places])
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel(f"share of {told.n_blocks} {nouns.block.plural}", labelpad=6)
    axes.xaxis.grid(True)
    axes.yaxis.grid(False)
    for row, best_share in enumerate(shown):
        style = styles[best_share.treatment]
        axes.barh(
            row,
            best_share.share,
            height=0.52,
            color=style.colour,
            linewidth=0,
            gid=optimizer_gid(style.index, "best"),
        )
        _row_label(axes, row, names[best_share.treatment], style)
        _row_value(axes, row, best_share.share)
    if rest:
        share = sum(best_share.share for best_share in rest)
        axes.barh(len(shown), share, height=0.52, color=MUTED, linewidth=0)
        axes.text(
            -0.03, len(shown), f"{len(rest)} others", ha="right", va="center_baseline",
            color=MUTED, transform=row_text(axes),
        )  # fmt: skip
        _row_value(axes, len(shown), share)


def _row_label(axes: Axes, row: int, name: str, style: Style) -> None:
    gid = optimizer_gid(style.index, "name")
    draw_marker(axes, -0.05, row, style, 9.0, clip_on=False, transform=row_text(axes), gid=gid)
    axes.text(
        -0.09,
        row,
        name,
        ha="right",
        va="center_baseline",
        transform=row_text(axes),
        gid=optimizer_gid(style.index, "label"),
    )


def _row_value(axes: Axes, row: int, share: float) -> None:
    room = axes.get_xlim()[1] * 0.02
    axes.text(share + room, row, percent(share), va="center_baseline", color=INK, fontsize=12.5)


def _draw_curve(axes: Axes, told: SingleSeed, nouns: Nouns) -> None:
    sizes = [point.n for point in told.curve] or [1]
    axes.set_xlim(*((0.5, 1.5) if len(sizes) == 1 else (1, sizes[-1])))
    axes.set_ylim(0, 1.02)
    wide = sizes[-1] > 100
    if wide:
        axes.set_xscale("log")
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if t <= sizes[-1]]
    else:
        inner = MaxNLocator(6, integer=True).tick_values(1, sizes[-1])
        ticks = [1, *(int(t) for t in inner if 1 < t <= sizes[-1])]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axes.set_xticks([], minor=True)
    share_ticks(axes.yaxis)
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel(f"number of {nouns.block.plural} in each set", labelpad=6)
    axes.axhline(1 / len(told.best_shares), color=GRID, linewidth=1.4, zorder=1.4)
    axes.text(
        0.985, 1 / len(told.best_shares) - 0.015, "blind guess", ha="right", va="top", color=MUTED,
        fontsize=12, transform=row_text(axes),
    )  # fmt: skip
    axes.plot(
        [point.n for point in told.curve],
        [point.probability for point in told.curve],
        color=INK,
        linewidth=2.2,
        marker="o",
        markersize=5,
        clip_on=False,
        zorder=3,
    )
