"""Plot what the trials of a tuning found: sensitivity to a hyperparameter, and value of trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results.tuning import GoodRange, TunedOptimizer, Tuning
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    add_axes,
    add_title,
    marked,
    new_figure,
    round_ticks,
    short_names,
    whole_ticks,
)
from bench.report.figures.styles import Style, assign_styles
from bench.report.figures.svg import GRID, INK, figure_style, optimizer_gid
from bench.report.text.format import ACCURACY

_TOGETHER = 380.0
#: Accuracies below this share of the best mean are outside the scale.
_FLOOR = 0.85


@dataclass(frozen=True)
class _Panel:
    """Height of a panel in pixels, and the number of columns in the wide layout."""

    height: float
    columns: int


_PANEL, _BAND = _Panel(190.0, 2), _Panel(170.0, 4)


def sensitivity_figure(
    tuning: Tuning, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot mean validation accuracy over the first tuned hyperparameter, all optimizers at once.

    A ring marks the chosen value, a vertical stroke on the curve the default.
    """
    styles = styles or _styles(tuning)
    with figure_style():
        figure = new_figure(layout.width, _TOGETHER)
        add_title(figure, 0, 0, "Validation accuracy, %")
        axes = add_axes(figure, 64, 44, layout.width - 22, _TOGETHER - 58)
        _prepare(axes, tuning.optimizers, _shown(tuning.optimizers))
        axes.set_xlabel(searched_name(tuning), labelpad=6)
        for tuned in reversed(tuning.optimizers):
            _draw_mean(axes, tuned, styles[tuned.optimizer])
    return figure


def trials_figure(
    tuning: Tuning, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot every trial of each optimizer in a panel of its own, with the mean of each setting.

    A light band marks the range of good values.
    """
    styles, shown = styles or _styles(tuning), _shown(tuning.optimizers)
    good = {of.optimizer: of.good_range for of in tuning.statistics}
    with figure_style():
        figure = new_figure(layout.width, _height(tuning, layout, _PANEL))
        for axes, tuned in _panels(figure, tuning, layout, _PANEL):
            _prepare(axes, [tuned], shown)
            style = styles[tuned.optimizer]
            _draw_good_range(axes, good.get(tuned.optimizer), style)
            _draw_trials(axes, tuned, style)
            _draw_mean(axes, tuned, style)
    return figure


def trials_worth_figure(
    tuning: Tuning, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot the expected best validation accuracy over the number of trials."""
    styles = styles or _styles(tuning)
    known = [tuned for tuned in tuning.optimizers if tuned.expected_best]
    with figure_style():
        figure = new_figure(layout.width, _TOGETHER)
        add_title(figure, 0, 0, "Expected best validation accuracy, %")
        axes = add_axes(figure, 64, 44, layout.width - 22, _TOGETHER - 58)
        _prepare_worth(axes, known, 12)
        axes.set_xlabel("settings tried", labelpad=6)
        for tuned in reversed(known):
            _draw_worth(axes, tuned, styles[tuned.optimizer])
    return figure


def best_bands_figure(
    tuning: Tuning, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot the expected best of each optimizer in a panel of its own, with its quantiles."""
    styles = styles or _styles(tuning)
    known = [tuned for tuned in tuning.optimizers if tuned.expected_best]
    ends = {of.optimizer: (of.best_low, of.best_high) for of in tuning.statistics}
    with figure_style():
        figure = new_figure(layout.width, _height(tuning, layout, _BAND))
        for axes, tuned in _panels(figure, tuning, layout, _BAND):
            style = styles[tuned.optimizer]
            _prepare_worth(axes, known, 6)
            low, high = ends.get(tuned.optimizer, ((), ()))
            axes.fill_between(
                range(1, len(low) + 1),
                low,
                high,
                color=style.colour,
                alpha=0.18,
                linewidth=0,
                gid=optimizer_gid(style.index, "worthband"),
            )
            _draw_worth(axes, tuned, style)
    return figure


def _columns(layout: Layout, panel: _Panel) -> int:
    return 1 if layout.narrow else panel.columns


def _height(tuning: Tuning, layout: Layout, panel: _Panel) -> float:
    return math.ceil(len(tuning.optimizers) / _columns(layout, panel)) * panel.height + 10


def _panels(
    figure: Figure, tuning: Tuning, layout: Layout, panel: _Panel
) -> Iterator[tuple[Axes, TunedOptimizer]]:
    """Add axes with a title for each optimizer."""
    n_columns = _columns(layout, panel)
    width = layout.width / n_columns
    names = short_names(tuned.optimizer for tuned in tuning.optimizers)
    for place, tuned in enumerate(tuning.optimizers):
        row, column = divmod(place, n_columns)
        left, top = column * width, row * panel.height
        add_title(figure, left, top, names[tuned.optimizer])
        bottom = top + panel.height - 28
        yield add_axes(figure, left + 56, top + 38, left + width - 24, bottom), tuned


def _prepare_worth(axes: Axes, known: Sequence[TunedOptimizer], most_ticks: int) -> None:
    values = [value for tuned in known for value in tuned.expected_best]
    _set_accuracies(axes, _visible(values, _FLOOR / 1.4))
    whole_ticks(axes, max((len(t.expected_best) for t in known), default=1) + 0.5, most_ticks)
    axes.set_xlim(0.5, None)


def _draw_worth(axes: Axes, tuned: TunedOptimizer, style: Style) -> None:
    axes.plot(
        range(1, len(tuned.expected_best) + 1),
        tuned.expected_best,
        linewidth=1.8,
        **marked(style, 6.5),
        gid=optimizer_gid(style.index, "worth"),
        zorder=3,
    )


def _styles(tuning: Tuning) -> dict[str, Style]:
    return assign_styles(tuned.optimizer for tuned in tuning.optimizers)


def searched_name(tuning: Tuning) -> str:
    """Return the first hyperparameter of each optimizer in words, which the sensitivity is over."""
    names = dict.fromkeys(tuned.ranges[0].name for tuned in tuning.optimizers)
    return " or ".join("learning rate" if name == "lr" else name for name in names)


def _points(tuned: TunedOptimizer) -> list[tuple[float, float]]:
    """Return the first hyperparameter and the mean accuracy of each setting, in its order."""
    pairs = [(t.setting[0][1], t.accuracy) for t in tuned.tried]
    return sorted((x, y if y is not None else math.nan) for x, y in pairs)


def _shown(optimizers: Sequence[TunedOptimizer]) -> Range:
    means = [y for tuned in optimizers for _, y in _points(tuned) if not math.isnan(y)]
    return _visible(means, _FLOOR)


def _visible(values: Sequence[float], floor: float) -> Range:
    if not values:
        return Range(0.0, 1.0)
    best = max(values)
    low = max(min(values), best * floor)
    room = max(0.06 * (best - low), 0.002)
    return Range(low - room, best + room)


def _prepare(axes: Axes, optimizers: Sequence[TunedOptimizer], shown: Range) -> None:
    ranges = [tuned.ranges[0] for tuned in optimizers]
    low, high = min(r.low for r in ranges), max(r.high for r in ranges)
    if all(r.is_log for r in ranges):
        axes.set_xscale("log")
        axes.set_xlim(low / 1.4, high * 1.4)
        decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        step = max(1, math.ceil(len(decades) / 6))
        ticks = [10.0**decade for decade in decades[::step]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
    else:
        room = 0.03 * (high - low)
        axes.set_xlim(low - room, high + room)
    axes.tick_params(length=0, pad=6)
    _set_accuracies(axes, shown)


def _set_accuracies(axes: Axes, shown: Range) -> None:
    axes.set_ylim(shown.low, shown.high)
    places = round_ticks(shown.low, shown.high, 6, ACCURACY.factor)
    axes.set_yticks(list(places), list(places.values()))
    axes.tick_params(length=0, pad=8)
    axes.grid(visible=True, color=GRID)


def _draw_mean(axes: Axes, tuned: TunedOptimizer, style: Style) -> None:
    points = _points(tuned)
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        linewidth=1.8,
        **marked(style, 6.0),
        gid=optimizer_gid(style.index, "sensitivity"),
        zorder=3,
    )
    chosen = {choice.setting for choice in tuned.choices}
    rings = [t for t in tuned.tried if t.setting in chosen and t.accuracy is not None]
    if rings:
        axes.plot(
            [tried.setting[0][1] for tried in rings],
            [tried.accuracy or 0.0 for tried in rings],
            linestyle="none",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=1.4,
            zorder=5,
        )
    default = dict(tuned.default).get(tuned.ranges[0].name)
    if default is not None and (height := _between(points, default, axes)) is not None:
        axes.plot([default], [height], "|", markersize=15, color=INK, zorder=5)


def _between(points: Sequence[tuple[float, float]], x: float, axes: Axes) -> float | None:
    """Return the height of the curve at x on the scale of the axes; None where it is not known."""
    is_log = axes.get_xscale() == "log"
    for (left, low), (right, high) in pairwise(points):
        if left <= x <= right:
            part, whole = (math.log(v / left) if is_log else v - left for v in (x, right))
            height = low + part / whole * (high - low) if whole else low
            return None if math.isnan(height) else height
    return None


def _draw_good_range(axes: Axes, found: GoodRange | None, style: Style) -> None:
    """Draw the range a little wider, so that a single value is visible."""
    if found is None:
        return
    if found.decades is None:
        room = 0.015 * abs(axes.get_xlim()[1] - axes.get_xlim()[0])
        ends = found.low - room, found.high + room
    else:
        ends = found.low / 1.12, found.high * 1.12
    gid = optimizer_gid(style.index, "good")
    axes.axvspan(*ends, color=style.colour, alpha=0.13, linewidth=0, gid=gid)


def _draw_trials(axes: Axes, tuned: TunedOptimizer, style: Style) -> None:
    places = [
        (tried.setting[0][1], accuracy)
        for tried in tuned.tried
        for accuracy in tried.accuracies
        if accuracy is not None
    ]
    axes.plot(
        [x for x, _ in places],
        [y for _, y in places],
        linestyle="none",
        marker=".",
        markersize=6,
        color=style.colour,
        alpha=0.5,
        zorder=2,
    )
