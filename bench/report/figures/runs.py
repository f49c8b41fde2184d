"""Plot every run as a dot, with mean and interval of each optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.results import Block, RunScore, SweepAnalysis, Treatment
from bench.analysis.table import sort_blocks
from bench.report.figures.canvas import (
    WIDE,
    Layout,
    Range,
    RowFrame,
    add_rows,
    canvas_of,
    draw_interval,
    draw_line,
    draw_marker,
    draw_row_name,
    edge_note,
    new_figure,
    place_of,
    round_ticks,
    row_text,
)
from bench.report.figures.styles import Style, styles_of
from bench.report.figures.svg import INK, MUTED, PAPER, figure_style, optimizer_gid
from bench.report.text.format import Metric, count, level, within
from bench.report.text.metrics import metric_of, result_label
from bench.report.text.nouns import Nouns
from bench.report.text.published import published_score

#: A run is on the scale where its error is at most this many times that of the best mean ...
_ERROR_RATIO = 5.0
#: ... or at most this (a fraction of the test images), for a near-perfect best mean.
_ERROR_FLOOR = 0.05
#: Losses are on a logarithmic scale, so more of them fit.
_LOSS_RATIO = 10.0
_GOLDEN = 0.6180339887498949
#: Largest number of dots. Of more runs, those of evenly spaced seeds are drawn.
MOST_DOTS = 4000


def runs_figure(
    analysis: SweepAnalysis, layout: Layout = WIDE, styles: Mapping[str, Style] | None = None
) -> Figure:
    """Plot every run as a dot, with mean and t interval of each optimizer, best mean first.

    Dots of one seed lie equally high in every row. Of many runs, only those of :func:`drawn_blocks`
    have a dot; everything else is that of all runs. Where the sweep repeats the source's workload,
    its single run is marked. `styles` are those of the analysis where none are given.
    """
    treatments = analysis.comparison.treatments
    metric = metric_of(analysis.comparison)
    styles = styles or styles_of(analysis)
    place, frame = _NARROW_ROW if layout.narrow else _WIDE_ROW, _frame(analysis, layout)
    with figure_style():
        figure = new_figure(layout.width, frame.height)
        axes = add_rows(figure, frame)
        shown = _shown_scores(analysis)
        _score_axis(axes, metric, shown, 4 if layout.narrow else 7)
        unit = f", {metric.unit}" if metric.unit else ""
        axes.set_xlabel(f"{result_label(analysis)}{unit}", labelpad=8)
        dots = drawn_runs(analysis)
        height = _seed_heights(dots, place)
        for row, treatment in enumerate(treatments):
            style = styles[treatment.name]
            scores = [s for s in analysis.scores if s.treatment == treatment.name]
            _draw_row(axes, row, treatment, style, analysis, scores, shown, place)
            _draw_dots(
                axes,
                style,
                [
                    (s.value, row + place.runs + height(s.seed))
                    for s in dots
                    if s.treatment == treatment.name
                    and s.value is not None
                    and shown.holds(s.value)
                ],
            )
            draw_row_name(figure, frame, layout, row, treatment.name, style)
        _runs_key(figure, layout, analysis)
    return figure


def runs_points(
    analysis: SweepAnalysis, figure: Figure, layout: Layout
) -> tuple[tuple[float, float] | None, ...]:
    """Return the place of each of :func:`drawn_runs` in `figure` in pixels.

    None for a run beyond the scale.
    """
    axes, row = figure.axes[1], _NARROW_ROW if layout.narrow else _WIDE_ROW
    shown = Range(*axes.get_xlim())
    rows = {t.name: i for i, t in enumerate(analysis.comparison.treatments)}
    dots = drawn_runs(analysis)
    height = _seed_heights(dots, row)
    return tuple(
        place_of(axes, s.value, rows[s.treatment] + row.runs + height(s.seed))
        if s.value is not None and shown.holds(s.value)
        else None
        for s in dots
    )


def has_too_many(analysis: SweepAnalysis) -> bool:
    """Return whether there are more runs than :data:`MOST_DOTS`."""
    return len(analysis.scores) > MOST_DOTS


def drawn_blocks(analysis: SweepAnalysis) -> Sequence[Block]:
    """Return the blocks whose runs are drawn: all, or evenly spaced ones of too many."""
    blocks = sort_blocks(s.seed for s in analysis.scores)
    return blocks[:: -(-len(analysis.scores) // MOST_DOTS) if has_too_many(analysis) else 1]


def drawn_runs(analysis: SweepAnalysis) -> tuple[RunScore, ...]:
    """Return the runs of :func:`drawn_blocks`."""
    blocks = frozenset(drawn_blocks(analysis))
    return tuple(s for s in analysis.scores if s.seed in blocks)


@dataclass(frozen=True)
class _Row:
    """Where things lie within a row, as shares of its height from its middle."""

    runs: float
    spread: float
    mean: float
    line: tuple[float, float]


_WIDE_ROW = _Row(runs=-0.13, spread=0.36, mean=0.3, line=(-0.42, 0.42))
#: On a phone the upper third of a row holds the optimizer's name.
_NARROW_ROW = _Row(runs=0.05, spread=0.28, mean=0.36, line=(-0.18, 0.46))


def _frame(analysis: SweepAnalysis, layout: Layout) -> RowFrame:
    names = [t.name for t in analysis.comparison.treatments]
    if layout.narrow:
        return RowFrame.of(names, layout, top=78.0, row=86.0)
    return RowFrame.of(names, layout, top=50.0, row=54.0 if len(names) <= 12 else 40.0)


def _score_axis(axes: Axes, metric: Metric, shown: Range, ticks: int) -> None:
    axes.set_xlim(shown.low, shown.high)
    low, high = (within(x, 0.0, metric.largest) or 0.0 for x in (shown.low, shown.high))
    places = round_ticks(low, high, ticks, metric.factor)
    axes.set_xticks(list(places), list(places.values()))
    axes.tick_params(axis="x", length=0, pad=8)


def _draw_row(
    axes: Axes,
    row: int,
    treatment: Treatment,
    style: Style,
    analysis: SweepAnalysis,
    scores: Sequence[RunScore],
    shown: Range,
    place: _Row,
) -> None:
    metric = metric_of(analysis.comparison)
    scores = [s for s in scores if s.value is not None]
    centre = row + place.runs
    if not scores:
        words = "all runs diverged" if treatment.n else "no result"
        axes.text(0.008, centre, words, color=MUTED, va="center", transform=row_text(axes))
        return
    if treatment.mean is not None and shown.holds(treatment.mean):
        _draw_mean(axes, row + place.mean, treatment.mean, treatment, style, shown)
    elif treatment.mean is not None:
        words = _mean_in_words(treatment, metric)
        edge_note(axes, row + place.mean, words, left=treatment.mean < shown.low)
    top, bottom = (row + end for end in place.line)
    published = published_score(analysis, treatment.name)
    if published is not None and shown.holds(published):
        _published_mark(axes, published, top, bottom, optimizer_gid(style.index, "published"))
    _note_outside(axes, centre, scores, shown, metric)


def _draw_dots(axes: Axes, style: Style, places: Sequence[tuple[float, float]]) -> None:
    """Draw the runs of one optimizer as one collection."""
    if not places:
        return
    axes.scatter(
        [x for x, _ in places],
        [y for _, y in places],
        color=style.colour,
        marker=style.marker,
        s=style.size(7.0 if len(places) <= 30 else 5.0) ** 2,
        alpha=0.7,
        edgecolor=PAPER,
        linewidth=0.7,
        zorder=3,
        gid=optimizer_gid(style.index, "runs"),
    )


def _draw_mean(
    axes: Axes, y: float, mean: float, treatment: Treatment, style: Style, shown: Range
) -> None:
    gid = optimizer_gid(style.index, "interval")
    ends = (treatment.ci_low, treatment.ci_high)
    draw_interval(axes, y, ends, shown, color=INK, linewidth=2.2, zorder=4, gid=gid)
    gid = optimizer_gid(style.index, "mean")
    draw_marker(axes, mean, y, style, 10.5, markeredgewidth=1.2, zorder=5, gid=gid)


def _mean_in_words(treatment: Treatment, metric: Metric) -> str:
    interval = metric.score_interval(treatment.ci_low, treatment.ci_high)
    return f"mean {metric.score(treatment.mean)} {interval}"


def _published_mark(
    axes: Axes, x: float, top: float, bottom: float, gid: str | None = None
) -> None:
    draw_line(axes, [x, x], [top, bottom], color=INK, linewidth=1.2, zorder=6, gid=gid)
    draw_line(
        axes,
        [x],
        [top],
        marker="v",
        markersize=8,
        color=PAPER,
        markeredgecolor=INK,
        markeredgewidth=1.5,
        clip_on=False,
        zorder=7,
        gid=gid,
    )


def _note_outside(
    axes: Axes, y: float, scores: Sequence[RunScore], shown: Range, metric: Metric
) -> None:
    values = [s.value for s in scores if s.value is not None]
    below = sorted(v for v in values if v < shown.low)
    above = sorted(v for v in values if v > shown.high)
    for beyond in (below, above):
        if beyond:
            low, high = metric.score(beyond[0]), metric.score(beyond[-1])
            where = low if low == high else f"{low} to {high}"
            note = f"{count(len(beyond), 'run')} at {where}"
            edge_note(axes, y, note, left=beyond is below)


def _runs_key(figure: Figure, layout: Layout, analysis: SweepAnalysis) -> None:
    canvas = canvas_of(figure)
    interval = f"mean with {level(1 - analysis.comparison.parameters.interval_alpha)} t interval"
    marked = any(published_score(analysis, t.name) for t in analysis.comparison.treatments)
    x, y = 10.0, 18.0
    canvas.scatter([x + 2, x + 12, x + 7], [y - 3, y - 1, y + 5], s=30, color=MUTED, alpha=0.7)
    block = Nouns.of(analysis.comparison.parameters).block
    dots = f"one dot for each {block}"
    if has_too_many(analysis):
        n = len({s.seed for s in analysis.scores})
        dots = f"dots: {len(drawn_blocks(analysis)):,} of {n:,} {block.plural}"
    canvas.text(x + 26, y, dots, va="center_baseline", color=MUTED)
    x, y = (10.0, 42.0) if layout.narrow else (210.0, y)
    draw_line(canvas, [x - 4, x + 24], [y, y], color=INK, linewidth=2.2)
    draw_line(canvas, [x + 10], [y], marker="o", markersize=9, color=MUTED, markeredgecolor=PAPER)
    canvas.text(x + 34, y, interval, va="center_baseline", color=MUTED)
    if not marked:
        return
    x, y = (10.0, 64.0) if layout.narrow else (440.0, y)
    _published_mark(canvas, x + 8, top=y - 7, bottom=y + 9)
    text = "the tutorial's own single run"
    canvas.text(x + 26, y, text, va="center_baseline", color=MUTED)


def _shown_scores(analysis: SweepAnalysis) -> Range:
    """Choose the range of the score axis: all runs except those far worse than the best mean."""
    comparison = analysis.comparison
    values = [s.value for s in analysis.scores if s.value is not None]
    if not values:
        return Range(0.0, 1.0)
    best = next((t.mean for t in comparison.treatments if t.mean is not None), values[0])
    kept = [v for v in values if _is_on_scale(v, best, comparison.parameters.value)] or values
    published = [published_score(analysis, t.name) for t in comparison.treatments]
    largest = metric_of(comparison).largest
    ends = [
        end
        for t in comparison.treatments
        for interval in [[within(end, 0.0, largest) for end in (t.ci_low, t.ci_high)]]
        if all(
            e is not None and _is_on_scale(e, best, comparison.parameters.value) for e in interval
        )
        for end in interval
        if end is not None
    ]
    everything = kept + [p for p in published if p is not None] + ends
    low, high = min(everything), max(everything)
    room = 0.04 * (high - low) or 0.005
    gutter = 0.22 * (high - low) if any(v < low for v in values) else room
    gutter_right = 0.22 * (high - low) if any(v > high for v in values) else room
    return Range(low - gutter, high + gutter_right)


def _is_on_scale(value: float, best: float, column: str) -> bool:
    if column == "test_accuracy":
        return 1 - value <= max(_ERROR_RATIO * (1 - best), _ERROR_FLOOR)
    return abs(value) <= _LOSS_RATIO * abs(best) or best == 0


def _seed_heights(scores: Sequence[RunScore], row: _Row) -> Callable[[Block], float]:
    """Heights of the dots of each seed within a row: evenly spaced, the same for all optimizers."""
    seeds = sort_blocks(s.seed for s in scores)
    if len(seeds) == 1:
        return lambda _: 0.0
    place = {seed: row.spread * ((i * _GOLDEN) % 1 - 0.5) for i, seed in enumerate(seeds)}
    return place.__getitem__
