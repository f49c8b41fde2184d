"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.analysis.results import Band, LearningCurve
from bench.report.figures.curves import OVER, Over, curves_figure, curves_points
from bench.report.html.parts import Choice, FigureView, Name, Parts, Variants
from bench.report.html.views.readings import Reading, ReadingsView
from bench.report.text import format as fmt
from bench.report.text import wording
from bench.report.text.format import Metric, count


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The numbers behind one pair of learning curves, one text per evaluation."""

    name: Name
    n: str
    accuracy: tuple[str, ...]
    loss: tuple[str, ...]
    train_loss: tuple[str, ...]


@dataclass(frozen=True)
class CurvesView:
    """The drawings of the learning curves and the numbers behind them.

    `iterations` are the updates at which any curve has an evaluation.
    """

    drawings: Variants
    iterations: tuple[str, ...]
    rows: tuple[CurveRow, ...]


def curves_view(parts: Parts) -> CurvesView | None:
    """Learning curves as drawings and as numbers; None without any."""
    curves = parts.shown.curves
    if not curves:
        return None
    iterations = tuple(sorted({i for curve in curves for i in curve.iterations}))
    return CurvesView(
        drawings=_drawings(parts),
        iterations=tuple(f"{i:,}" for i in iterations),
        rows=tuple(_curve_row(parts, curve, iterations) for curve in curves),
    )


def _curve_row(parts: Parts, curve: LearningCurve, iterations: Sequence[int]) -> CurveRow:
    index = {iteration: i for i, iteration in enumerate(curve.iterations)}

    def means(band: Band) -> tuple[float | None, ...]:
        return tuple(band.mean[index[i]] if i in index else None for i in iterations)

    return CurveRow(
        name=parts.name(curve.treatment),
        n=str(max(curve.test_accuracy.n, default=0)),
        accuracy=tuple(map(fmt.ACCURACY.score, means(curve.test_accuracy))),
        loss=tuple(fmt.number(v, 4) for v in means(curve.test_loss)),
        train_loss=tuple(fmt.number(v, 4) for v in means(curve.train_loss)),
    )


def _drawings(parts: Parts) -> Variants:
    """Curves over updates and seconds."""
    analysis = parts.shown
    timed = any(x for curve in analysis.curves for x in curve.seconds)
    overs = _overs(analysis.curves, timed=timed)
    description = wording.curves_description(analysis)

    def figure(over: Over) -> FigureView:
        return parts.figure(
            partial(curves_figure, over=over),
            f"curves-{over}",
            title=f"Test accuracy and test loss over the {OVER[over]}, by {parts.nouns.treatment}",
            description=description,
            locate=lambda drawn, _layout: curves_points(analysis, drawn, over=over, spacing="log"),
        )

    choice = Choice(name="over", label="Over", options=tuple((o, OVER[o]) for o in overs))
    return Variants(
        name="curves",
        choices=(choice,) if len(overs) > 1 else (),
        figures=tuple((over, figure(over)) for over in overs),
    )


def _overs(curves: Sequence[LearningCurve], *, timed: bool) -> tuple[Over, ...]:
    """Choose the horizontal axes; images only where batch sizes differ."""
    sizes = {curve.batch_size for curve in curves}
    images: tuple[Over, ...] = ("images",) if len(sizes) > 1 and None not in sizes else ()
    seconds: tuple[Over, ...] = ("seconds",) if timed else ()
    return (*images, "updates", *seconds)


def curves_readings(parts: Parts, curves: Variants) -> ReadingsView:
    """Readings of the means of the curves, in the order of :func:`curves_points`."""
    found = parts.shown.curves
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
