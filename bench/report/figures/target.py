"""Plot the time to the target as bands between Kaplan-Meier curves, drawn upwards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import SurvivalStep, SweepAnalysis, TargetTreatment, TimeToTarget
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    add_axes,
    add_title,
    marked,
    new_figure,
    share_ticks,
    whole_ticks,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import figure_style, optimizer_gid
from bench.report.text.format import level

_HEIGHT = 420.0


def target_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot the share of runs that have reached the target, over the updates.

    The band of an optimizer lies between the share that may have passed the target (at the
    evaluation before) and the share that certainly has.

    Raises
    ------
    ValueError
        If the comparison has no `time_to_target`.
    """
    found = analysis.comparison.time_to_target
    if found is None:
        raise ValueError("comparison.time_to_target must not be None: there are no evaluations")
    styles = styles or styles_of(analysis)
    with figure_style():
        figure = new_figure(layout.width, _HEIGHT)
        add_title(figure, 0, 0, f"Runs that have reached {level(found.target)}")
        axes = add_axes(figure, 56, 44, layout.width - 22, _HEIGHT - 58)
        _prepare(axes, found)
        for treatment in reversed(found.treatments):
            _draw_steps(axes, treatment, styles[treatment.name], found.budget)
    return figure


def _prepare(axes: Axes, found: TimeToTarget) -> None:
    axes.set_ylim(-0.015, 1.03)
    share_ticks(axes.yaxis)
    whole_ticks(axes, found.budget, 6)
    axes.set_xlabel(found.unit, labelpad=6)


def _draw_steps(axes: Axes, treatment: TargetTreatment, style: Style, budget: int) -> None:
    if not treatment.n:
        return
    at, reached = _shares(treatment.steps, budget)
    _draw_band(axes, treatment, style, budget)
    axes.step(
        at,
        reached,
        where="post",
        color=style.colour,
        linewidth=2.0,
        gid=optimizer_gid(style.index, "waiting"),
        zorder=3,
    )
    axes.plot(
        at[1:-1],
        reached[1:-1],
        linestyle="none",
        **marked(style, 7.5),
        clip_on=False,
        gid=optimizer_gid(style.index, "arrival"),
        zorder=4,
    )


def _shares(steps: Sequence[SurvivalStep], budget: int) -> tuple[list[int], list[float]]:
    """Return the iterations of the steps, then the budget; and the share of runs from there on."""
    shares = [1 - step.waiting_share for step in steps]
    return [*(step.iteration for step in steps), budget], [*shares, *shares[-1:]]


def _draw_band(axes: Axes, treatment: TargetTreatment, style: Style, budget: int) -> None:
    if not treatment.early_steps:
        return
    (at, reached), (early_at, early) = (
        _shares(steps, budget) for steps in (treatment.steps, treatment.early_steps)
    )
    ends = sorted({*at, *early_at})
    low, high = (
        [shares[bisect_right(places, end) - 1] for end in ends]
        for places, shares in ((at, reached), (early_at, early))
    )
    axes.fill_between(
        ends,
        low,
        high,
        step="post",
        color=style.colour,
        alpha=0.12,
        linewidth=0,
        gid=optimizer_gid(style.index, "waitingband"),
    )
