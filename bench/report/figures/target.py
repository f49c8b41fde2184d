"""Plot the time to the target as Kaplan-Meier curves, drawn upwards."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import SweepAnalysis, TargetTreatment, TimeToTarget
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
    at = [step.iteration for step in treatment.steps]
    reached = [1 - step.waiting_share for step in treatment.steps]
    axes.step(
        [*at, budget],
        [*reached, reached[-1]],
        where="post",
        color=style.colour,
        linewidth=2.0,
        gid=optimizer_gid(style.index, "waiting"),
        zorder=3,
    )
    axes.plot(
        at[1:],
        reached[1:],
        linestyle="none",
        **marked(style, 7.5),
        clip_on=False,
        gid=optimizer_gid(style.index, "arrival"),
        zorder=4,
    )
