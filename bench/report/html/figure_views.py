"""The sections that are a figure with choices or readings: runs, curves, references, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.figure import Figure

from bench.analysis.results import Band, LearningCurve, Pair, SweepAnalysis
from bench.report.figures.canvas import Layout
from bench.report.figures.curves import OVER, Over, Spacing, curves_figure, curves_points
from bench.report.figures.forest import differences_to, forest_figure
from bench.report.figures.rank import rank_figure
from bench.report.figures.runs import runs_figure, runs_points
from bench.report.figures.styles import Style
from bench.report.html.pairs import Mark, mark_of, verdict_words
from bench.report.html.parts import Choice, FigureView, Name, Parts, Variants
from bench.report.text import format as fmt
from bench.report.text import wording
from bench.report.text.format import Metric, count
from bench.report.text.metrics import result_label
from bench.report.text.sanitize import clean


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value of a figure that can be read by pointing at it.

    Attributes
    ----------
    name
        Of its optimizer.
    series, place
        The line of readings that it is on, and its place on it: what arrow keys move along.
    group
        Readings that are lit together, such as those of one seed.
    text
        What there is to read.
    """

    name: Name
    series: int
    place: int
    group: int
    text: str


@dataclass(frozen=True, kw_only=True)
class ReadingsView:
    """The readings of one or several drawings; a drawing's points are in the same order."""

    readings: tuple[Reading, ...]
    figures: tuple[FigureView, ...]


@dataclass(frozen=True)
class ReferenceRow:
    """One optimizer's difference to the reference."""

    name: Name
    mark: Mark
    verdict: str
    difference: str
    interval: str
    simultaneous: str
    p_holm: str


@dataclass(frozen=True, kw_only=True)
class ReferenceView:
    """Differences to a chosen reference; the rows are those to the leader."""

    leader: Name
    drawings: Variants
    rows: tuple[ReferenceRow, ...]


@dataclass(frozen=True, kw_only=True)
class RanksView:
    """The critical-difference diagram, with its groups in words."""

    figure: FigureView
    critical_difference: str
    n_blocks: str
    rows: tuple[tuple[Name, str], ...]
    groups: tuple[str, ...]


# ---------------------------------------------------------------- every run


def runs_view(parts: Parts) -> FigureView:
    """Every run as a dot."""
    label = result_label(parts.analysis)
    return parts.figure(
        runs_figure,
        "runs",
        title=f"{label[:1].upper()}{label[1:]} of every run, by {parts.nouns.treatment}",
        description=wording.runs_description(parts.analysis),
        locate=lambda figure, layout: runs_points(parts.analysis, figure, layout),
    )


def runs_readings(parts: Parts, figure: FigureView) -> ReadingsView:
    """What each dot says; the dots of one seed are lit together."""
    analysis = parts.analysis
    rows = {t.name: i for i, t in enumerate(analysis.comparison.treatments)}
    blocks = {block: i for i, block in enumerate(parts.blocks)}
    return ReadingsView(
        figures=(figure,),
        readings=tuple(
            Reading(
                name=parts.name(s.treatment),
                series=rows[s.treatment],
                place=blocks[s.seed],
                group=blocks[s.seed],
                text=f"{parts.nouns.block} {clean(str(s.seed))}: "
                f"{parts.metric.score_with_unit(s.value)}"
                f"{'' if s.status == 'ok' else f' ({s.status})'}",
            )
            for s in analysis.scores
        ),
    )


# ---------------------------------------------------------------- learning curves


def curves_view(parts: Parts) -> Variants | None:
    """Learning curves over updates and seconds, logarithmic and linear; None without any."""
    analysis = parts.analysis
    if not analysis.curves:
        return None
    timed = any(x for curve in analysis.curves for x in curve.seconds)
    overs = _overs(analysis.curves, timed=timed)
    chosen = len(overs) > 1
    spacings: tuple[Spacing, ...] = ("log", "linear")
    description = wording.curves_description(analysis)

    def figure(over: Over, spacing: Spacing) -> FigureView:
        return parts.figure(
            partial(curves_figure, over=over, spacing=spacing),
            f"curves-{over}-{spacing}",
            title=f"Test accuracy and test loss over the {OVER[over]}, by {parts.nouns.treatment}",
            description=description,
            locate=lambda drawn, _layout: curves_points(
                analysis, drawn, over=over, spacing=spacing
            ),
        )

    over_choice = Choice(name="over", label="Over", options=tuple((o, OVER[o]) for o in overs))
    spaced = (("log", "logarithmic"), ("linear", "linear"))
    spacing_choice = Choice(name="spacing", label="Scale", options=spaced)
    return Variants(
        name="curves",
        choices=(*((over_choice,) if chosen else ()), spacing_choice),
        figures=tuple(
            (f"{over}-{spacing}" if chosen else spacing, figure(over, spacing))
            for over in overs
            for spacing in spacings
        ),
    )


def _overs(curves: Sequence[LearningCurve], *, timed: bool) -> tuple[Over, ...]:
    """What the curves can be drawn over; images only where updates do not say the same."""
    sizes = {curve.batch_size for curve in curves}
    images: tuple[Over, ...] = ("images",) if len(sizes) > 1 and None not in sizes else ()
    seconds: tuple[Over, ...] = ("seconds",) if timed else ()
    return (*images, "updates", *seconds)


def curves_readings(parts: Parts, curves: Variants) -> ReadingsView:
    """What each mean on a curve says, in the order of :func:`curves_points`."""
    found = parts.analysis.curves
    nats = Metric(noun="loss", label="loss", unit="nats")
    panels = (("test_accuracy", fmt.ACCURACY), ("test_loss", nats))
    readings = [
        Reading(
            name=parts.name(curve.treatment),
            series=panel * len(found) + row,
            place=place,
            group=-1,
            text=_curve_text(curve, getattr(curve, column), place, metric),
        )
        for panel, (column, metric) in enumerate(panels)
        for row, curve in enumerate(found)
        for place in range(len(curve.iterations))
    ]
    return ReadingsView(
        readings=tuple(readings), figures=tuple(figure for _, figure in curves.figures)
    )


def _curve_text(curve: LearningCurve, band: Band, place: int, metric: Metric) -> str:
    seconds = curve.seconds[place]
    after = "" if seconds is None else f" ({fmt.seconds(seconds)})"
    interval = metric.score_interval(band.low[place], band.high[place])
    return (
        f"{count(curve.iterations[place], 'update')}{after}: "
        f"{metric.score_with_unit(band.mean[place])} {interval}, {count(band.n[place], 'run')}"
    )


# ---------------------------------------------------------------- one reference


def reference_view(parts: Parts) -> ReferenceView | None:
    """Differences to the leader or any other treatment; None where there is no other."""
    comparison = parts.analysis.comparison
    if not comparison.pairs:
        return None
    treatments = comparison.treatments

    def figure(place: int, reference: str) -> FigureView:
        def draw(analysis: SweepAnalysis, layout: Layout, styles: Mapping[str, Style]) -> Figure:
            return forest_figure(analysis, layout, styles, reference=reference)

        return parts.figure(
            draw,
            f"forest-{place}",
            title=f"Mean differences to {reference}",
            description=_differences_in_words(parts, reference),
        )

    return ReferenceView(
        leader=parts.name(treatments[0].name),
        drawings=Variants(
            name="forest",
            choices=(
                Choice(
                    name="reference",
                    label="Differences to",
                    options=tuple((str(i), clean(t.name)) for i, t in enumerate(treatments)),
                ),
            ),
            figures=tuple((str(i), figure(i, t.name)) for i, t in enumerate(treatments)),
        ),
        rows=tuple(
            _reference_row(parts, pair)
            for pair in differences_to(comparison.pairs, treatments[0].name)
        ),
    )


def _differences_in_words(parts: Parts, reference: str) -> str:
    pairs = differences_to(parts.analysis.comparison.pairs, reference)[: wording.MANY]
    said = (f"{p.a} {parts.metric.difference(p.mean_difference)}, {p.verdict}" for p in pairs)
    return f"{'; '.join(said)}."


def _reference_row(parts: Parts, pair: Pair) -> ReferenceRow:
    metric, p = parts.metric, parts.analysis.comparison.parameters
    return ReferenceRow(
        name=parts.name(pair.a),
        mark=mark_of(pair, p.margin),
        verdict=verdict_words(pair, p.margin, metric),
        difference=metric.difference(pair.mean_difference),
        interval=metric.difference_interval(pair.ci_low, pair.ci_high),
        simultaneous=metric.difference_interval(
            pair.simultaneous_ci_low, pair.simultaneous_ci_high
        ),
        p_holm=fmt.pvalue(pair.pvalue_holm, parts.analysis.comparison.level),
    )


# ---------------------------------------------------------------- mean ranks


def ranks_view(parts: Parts) -> RanksView | None:
    """The critical-difference diagram; None where the analysis has none."""
    diagram = parts.analysis.ranks
    if diagram is None:
        return None
    ranks = {t.name: fmt.number(t.mean_rank, 2) for t in parts.analysis.comparison.treatments}
    groups = tuple(fmt.listing(tuple(map(clean, group))) for group in diagram.groups)
    width = fmt.number(diagram.critical_difference, 2)
    return RanksView(
        figure=parts.figure(
            rank_figure,
            "ranks",
            title=f"Mean ranks, and groups within a critical difference of {width}",
            description="; ".join(f"{name} {ranks[name]}" for name in diagram.ranked)
            + f". Groups: {'; '.join(groups) or 'none'}.",
        ),
        critical_difference=width,
        n_blocks=parts.nouns.block.count(diagram.n_blocks),
        rows=tuple((parts.name(name), ranks[name]) for name in diagram.ranked),
        groups=groups,
    )
