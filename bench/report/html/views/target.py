"""Time to the target accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

from bench.analysis.results import TimeToTarget
from bench.analysis.target import FINER
from bench.report.figures.target import target_figure
from bench.report.html.parts import FigureView, Name, Parts, Row
from bench.report.text import format as fmt
from bench.report.text.format import count
from bench.report.text.lines import PairLine, pair_line
from bench.report.text.metrics import UPDATES
from bench.report.text.pairs import Mark, mark_of
from bench.report.text.sanitize import clean


@dataclass(frozen=True)
class TargetPairRow:
    """Two optimizers' restricted times compared."""

    a: Name
    b: Name
    mark: Mark
    verdict: str
    cells: PairLine
    logrank: str


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """Times to the target."""

    target: str
    budget: str
    unit: str
    data: str
    finer: str
    figure: FigureView
    rows: tuple[Row, ...]
    pairs: tuple[TargetPairRow, ...]
    steps: tuple[tuple[Name, tuple[tuple[str, str], ...]], ...]


def target_view(parts: Parts) -> TargetView | None:
    """Times to the target; None where there are no evaluations."""
    comparison = parts.shown.comparison
    found = comparison.time_to_target
    if found is None:
        return None
    target = fmt.level(found.target)
    counted = replace(UPDATES, unit=found.unit, difference_unit=found.unit)
    pairs = zip(found.pairs, found.logrank, strict=True)
    return TargetView(
        target=target,
        budget=f"{found.budget:,}",
        unit=found.unit,
        data=found.data,
        finer=_finer(parts, found),
        figure=parts.figure(
            target_figure,
            "target",
            title=f"Share of runs that have reached {target}, over the {found.unit}",
            description="; ".join(
                f"{clean(t.name)}: {t.n_reached} of {count(t.n, 'run')}, on average between "
                f"{counted.score(t.lower_mean)} and {counted.score_with_unit(t.restricted_mean)}"
                for t in found.treatments
            )
            + ".",
        ),
        rows=tuple(
            Row(
                parts.name(t.name),
                (
                    *(f"{t.n_reached} of {t.n}", fmt.percent(t.reach_rate)),
                    _between(counted.score(t.lower_mean), counted.score(t.restricted_mean)),
                    counted.score_interval(t.ci_low, t.ci_high),
                ),
            )
            for t in found.treatments
        ),
        pairs=tuple(
            TargetPairRow(
                parts.name(p.a),
                parts.name(p.b),
                mark_of(p, None),
                _sooner(p.verdict),
                pair_line(p, comparison, counted),
                fmt.pvalue(footnote.pvalue, comparison.level),
            )
            for p, footnote in pairs
        ),
        steps=tuple(
            (
                parts.name(t.name),
                tuple((f"{s.iteration:,}", fmt.percent(1 - s.waiting_share)) for s in t.steps),
            )
            for t in found.treatments
        ),
    )


def _between(low: str, high: str) -> str:
    return high if low == high else f"{low} – {high}"


def _finer(parts: Parts, found: TimeToTarget) -> str:
    """What more frequent evaluations would cost and gain; empty where they are frequent enough."""
    every, curves = found.resolution, parts.analysis.curves
    if found.unit != "updates" or not every or every <= FINER or not curves:
        return ""
    n, more = len(curves[0].iterations), -(-found.budget // FINER)
    known = [t.eval_seconds for t in parts.analysis.timings if t.eval_seconds is not None]
    cost = f", about {fmt.seconds(median(known) / n * (more - n))} per run" if known else ""
    return (
        f"Evaluations are up to {every:,} updates apart. With --eval-every {FINER}, brackets would "
        f"be {FINER} updates wide, for {more - n} more evaluations{cost} (in a new sweep)."
    )


def _sooner(verdict: str) -> str:
    return {"better": "sooner", "worse": "later"}.get(verdict, verdict)
