"""Every run: the figure and the spread of each treatment."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Treatment
from bench.report.figures.canvas import Layout
from bench.report.figures.runs import drawn_runs, runs_figure, runs_points
from bench.report.html.parts import FigureView, Parts, Row
from bench.report.html.views.readings import Reading, ReadingsView
from bench.report.text import format as fmt
from bench.report.text import wording
from bench.report.text.metrics import result_label
from bench.report.text.published import luck
from bench.report.text.sanitize import clean

#: The figure is beside the verdict.
_BESIDE = Layout(width=820, narrow=False)


@dataclass(frozen=True)
class RunsView:
    """The figure of every run and the numbers behind it.

    `drawn` is the number of blocks with dots and that of all, such as ``334 of 8,000 seeds``; empty
    where every run has a dot.
    """

    figure: FigureView
    rows: tuple[Row, ...]
    has_published: bool
    drawn: str


def runs_view(parts: Parts) -> RunsView:
    """Every run as a dot, and the spread of each treatment."""
    treatments = parts.shown.comparison.treatments
    has_published = any(luck(parts.shown, t.name) for t in treatments)
    rows = tuple(_spread_row(parts, t, has_published=has_published) for t in treatments)
    return RunsView(_figure(parts), rows, has_published, _drawn(parts))


def _drawn(parts: Parts) -> str:
    if not parts.is_thinned:
        return ""
    return f"{len(parts.drawn):,} of {parts.nouns.block.count(len(parts.blocks))}"


def _figure(parts: Parts) -> FigureView:
    label = result_label(parts.analysis)
    return parts.figure(
        runs_figure,
        "runs",
        title=f"{label[:1].upper()}{label[1:]} of every run, by {parts.nouns.treatment}",
        description=wording.runs_description(parts.shown),
        locate=lambda figure, layout: runs_points(parts.shown, figure, layout),
        wide=_BESIDE,
    )


def runs_readings(parts: Parts, figure: FigureView) -> ReadingsView:
    """Readings of the dots; the dots of one seed are marked together if they are paired."""
    analysis = parts.shown
    rows = {t.name: i for i, t in enumerate(analysis.comparison.treatments)}
    blocks = {block: i for i, block in enumerate(parts.drawn)}
    is_paired = analysis.comparison.parameters.is_paired
    return ReadingsView(
        figures=(figure,),
        readings=tuple(
            Reading(
                name=parts.name(s.treatment),
                series=rows[s.treatment],
                place=blocks[s.seed],
                group=blocks[s.seed] if is_paired else place,
                text=f"{parts.nouns.block} {clean(str(s.seed))}: "
                f"{parts.metric.score_with_unit(s.value)}"
                f"{'' if s.status == 'ok' else f' ({s.status})'}",
            )
            for place, s in enumerate(drawn_runs(analysis))
        ),
    )


def _spread_row(parts: Parts, t: Treatment, *, has_published: bool) -> Row:
    values = (t.min, t.q1, t.median, t.q3, t.max, t.iqm)
    cells = (str(t.n), *map(parts.metric.score, values))
    if has_published:
        rank = luck(parts.analysis, t.name)
        published = (parts.metric.score(rank.value), f"{rank.below} of {rank.n}") if rank else None
        cells += published or (fmt.MISSING, fmt.MISSING)
    return Row(parts.name(t.name), cells)
