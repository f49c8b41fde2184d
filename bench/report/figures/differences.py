"""Draw mean differences with their intervals around zero, between treatments or between sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes

from bench.analysis.results import Change, Pair
from bench.report.figures.canvas import Range, draw_interval, draw_marker, edge_note, row_text
from bench.report.figures.styles import Style
from bench.report.figures.svg import GRID, INK, MUTED, optimizer_gid
from bench.report.text.format import Metric, within
from bench.report.text.pairs import flip, seen_from

#: Differences larger than this many times the median difference are written at the edge.
_FAR = 10.0


def differences_to(pairs: Sequence[Pair], reference: str) -> tuple[Pair, ...]:
    """Return the pairs of every other treatment minus `reference`, in the order of `pairs`."""
    return tuple(flip(pair) for pair in seen_from(tuple(pairs), reference))


def range_of(
    pairs: Sequence[Pair | Change], margin: float | None, largest: float | None = None
) -> Range:
    """Choose a range with zero, the margin and all intervals but those of far differences.

    `largest` is the largest possible difference, where there is one.
    """
    sizes = [abs(p.mean_difference) for p in pairs if p.mean_difference]
    far = _FAR * max(median(sizes), margin or 0.0) if sizes else 0.0
    ends = [0.0, -(margin or 0.0), margin or 0.0]
    for p in pairs:
        if p.mean_difference is None or abs(p.mean_difference) > far > 0:
            continue
        for end in (p.mean_difference, p.simultaneous_ci_low, p.simultaneous_ci_high):
            ends += [] if end is None else [end]
    ends = [within(end, None if largest is None else -largest, largest) or 0.0 for end in ends]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 1.0
    return Range(low - room, high + room)


def mark_zero(axes: Axes, margin: float | None) -> None:
    """Draw a line at zero and shade the equivalence margin."""
    if margin is not None:
        axes.axvspan(-margin, margin, color=GRID, alpha=0.55, linewidth=0, zorder=0.5)
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1.5)


def draw_difference(
    axes: Axes, y: float, pair: Pair | Change, style: Style, shown: Range, metric: Metric
) -> None:
    """Draw a mean difference with its t interval (thick) and its simultaneous interval (thin)."""
    mean = pair.mean_difference
    if mean is None:
        axes.text(0.5, y, "not known", color=MUTED, va="center", transform=row_text(axes))
        return
    if not shown.holds(mean):
        edge_note(axes, y, metric.difference(mean), left=mean < shown.low)
        return
    gid = optimizer_gid(style.index, "interval")
    for ends, width in (
        ((pair.simultaneous_ci_low, pair.simultaneous_ci_high), 1.2),
        ((pair.ci_low, pair.ci_high), 4.0),
    ):
        draw_interval(axes, y, ends, shown, color=style.colour, linewidth=width, zorder=3, gid=gid)
    gid = optimizer_gid(style.index, "difference")
    draw_marker(axes, mean, y, style, 11.0, markeredgewidth=1.2, zorder=4, gid=gid)
