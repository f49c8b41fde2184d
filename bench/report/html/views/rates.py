"""Learning rates of optimizers with a schedule."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import RateCurve
from bench.report.figures.rates import rates_figure
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.text.sanitize import clean
from bench.report.text.top_group import MANY


@dataclass(frozen=True, kw_only=True)
class RateRow:
    """The learning rates of one optimizer."""

    name: Name
    schedule: str
    updates: str
    first: str
    lowest: str
    highest: str
    last: str


@dataclass(frozen=True)
class RatesView:
    """The learning rates, where any optimizer has a schedule."""

    summary: str
    figure: FigureView
    rows: tuple[RateRow, ...]


def rates_view(parts: Parts) -> RatesView | None:
    """The learning rates; None where no optimizer has a schedule."""
    curves = parts.shown.rates
    if not curves:
        return None
    said = (
        f"{c.treatment} from {_rate(c.rates[0])} to {_rate(c.rates[-1])}, at most "
        f"{_rate(max(c.rates))}"
        for c in curves[:MANY]
    )
    n = sum(bool(curve.schedule) for curve in curves)
    return RatesView(
        summary=f"{parts.nouns.treatment.count(n)} with a schedule.",
        figure=parts.figure(
            rates_figure,
            "rates",
            title=f"Learning rate over the share of the updates, by {parts.nouns.treatment}",
            description=f"{'; '.join(said)}.",
        ),
        rows=tuple(_rate_row(parts, curve) for curve in curves),
    )


def _rate_row(parts: Parts, curve: RateCurve) -> RateRow:
    return RateRow(
        name=parts.name(curve.treatment),
        schedule=clean(curve.schedule or "").replace(",", ", "),
        updates=f"{curve.iterations[-1]:,}",
        first=_rate(curve.rates[0]),
        lowest=_rate(min(curve.rates)),
        highest=_rate(max(curve.rates)),
        last=_rate(curve.rates[-1]),
    )


def _rate(rate: float) -> str:
    """Four digits, however small: ``0.05``, ``2.742e-08``."""
    return f"{rate:.4g}"
