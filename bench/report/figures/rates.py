"""Plot the learning rate over a run, if any optimizer has a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import RateCurve, SweepAnalysis
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    add_title,
    marked,
    new_figure,
    share_ticks,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import figure_style, optimizer_gid

_HEIGHT = 340.0
#: Rates below this share of the lowest full rate are outside the scale: a cosine schedule ends
#: near zero.
_FLOOR = 1e-3
_MARKERS = 8


def rates_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot learning rates on a logarithmic scale, over the share of the run's updates.

    A share, since runs with other batch sizes have other numbers of updates.
    """
    styles = styles or styles_of(analysis)
    with figure_style():
        figure = new_figure(layout.width, _HEIGHT)
        add_title(figure, 0, 0, "Learning rate")
        axes = add_axes(figure, 64, 44, layout.width - 22, _HEIGHT - 58)
        _prepare(axes, analysis.rates)
        for curve in reversed(analysis.rates):
            _draw(axes, curve, styles[curve.treatment])
    return figure


def _prepare(axes: Axes, curves: Sequence[RateCurve]) -> None:
    shown = _shown(curves)
    axes.set_yscale("log")
    axes.set_ylim(shown.low, shown.high)
    decades = range(math.ceil(math.log10(shown.low)), math.floor(math.log10(shown.high)) + 1)
    step = max(1, math.ceil(len(decades) / 8))
    ticks = [10.0**decade for decade in decades[::step]]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlim(0, 1)
    share_ticks(axes.xaxis)
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel("share of the updates", labelpad=6)


def _shown(curves: Sequence[RateCurve]) -> Range:
    full = [max(curve.rates) for curve in curves if max(curve.rates) > 0]
    if not full:
        return Range(0.01, 1.0)
    least = min(rate for curve in curves for rate in (*curve.rates, max(full)) if rate > 0)
    low = max(least, min(full) * _FLOOR)
    # a decade at least, so that a constant rate lies within
    return Range(low / 1.6, max(max(full) * 1.6, low * 10))


def _draw(axes: Axes, curve: RateCurve, style: Style) -> None:
    last = max(1, curve.budget - 1)
    axes.plot(
        [(iteration - 1) / last for iteration in curve.iterations],
        [rate if rate > 0 else math.nan for rate in curve.rates],
        linewidth=1.8,
        **marked(style, 6.5),
        markevery=max(1, len(curve.rates) // _MARKERS),
        gid=optimizer_gid(style.index, "rate"),
        zorder=3,
    )
