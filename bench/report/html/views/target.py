"""Time to the target accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from bench.analysis.results import SurvivalStep, TargetTreatment, TimeToTarget
from bench.analysis.target import FINER
from bench.report.figures.canvas import Range
from bench.report.html.parts import Name, Parts
from bench.report.html.strips import Scale, Span, Strip, column
from bench.report.text import format as fmt
from bench.report.text.format import Metric, count
from bench.report.text.lines import PairLine, pair_line
from bench.report.text.metrics import UPDATES
from bench.report.text.pairs import Mark, mark_of
from bench.report.text.sanitize import clean

#: Height of the column of a bracket in which every run passes the target, in per cent of its row.
_TALLEST = 62.0


@dataclass(frozen=True)
class TargetRow:
    """When the runs of one optimizer reached the target.

    `reached` and `mean` are texts; `counts` says how many runs passed it in which bracket.
    """

    name: Name
    reached: str
    mean: str
    interval: str
    counts: str
    strip: Strip


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
    """Times to the target; there are no rows and pairs where no run reached it."""

    summary: str
    target: str
    budget: str
    unit: str
    data: str
    finer: str
    rows: tuple[TargetRow, ...]
    ticks: tuple[tuple[str, str], ...]
    pairs: tuple[TargetPairRow, ...]


@dataclass(frozen=True)
class _Bracket:
    """Runs that passed the target after `low` and not after `high`."""

    low: int
    high: int
    runs: int


def target_view(parts: Parts) -> TargetView | None:
    """Times to the target; None where there are no evaluations."""
    found = parts.shown.comparison.time_to_target
    if found is None:
        return None
    counted = replace(UPDATES, unit=found.unit, difference_unit=found.unit)
    scale = Scale(Range(0.0, float(found.budget)))
    is_reached = any(t.n_reached for t in found.treatments)
    return TargetView(
        summary=_summary(found, counted),
        target=fmt.level(found.target),
        budget=f"{found.budget:,}",
        unit=found.unit,
        data=found.data,
        finer=_finer(parts, found),
        rows=tuple(_row(parts, t, counted, scale) for t in found.treatments if is_reached),
        ticks=tuple((at, f"{float(text):,g}") for at, text in scale.ticks(6)),
        pairs=_pairs(parts, found, counted) if is_reached else (),
    )


def _summary(found: TimeToTarget, counted: Metric) -> str:
    target, n = fmt.level(found.target), sum(t.n for t in found.treatments)
    reached = sum(t.n_reached for t in found.treatments)
    if not reached:
        within = f"{found.budget:,}{fmt.NBSP}{found.unit}"
        return f"No run reached {target} within {within}."
    soonest = found.treatments[0]
    mean = _between(counted.score(soonest.lower_mean), counted.score(soonest.restricted_mean))
    return (
        f"{reached:,} of {count(n, 'run')} reached {target}; {clean(soonest.name)} has the "
        f"shortest mean, {mean}{fmt.NBSP}{found.unit}."
    )


def _row(parts: Parts, t: TargetTreatment, counted: Metric, scale: Scale) -> TargetRow:
    name = parts.name(t.name)
    if not t.n_reached:
        none = "no run reached it" if t.n else "no result"
        return TargetRow(name, none, fmt.MISSING, fmt.MISSING, fmt.MISSING, Strip(spans=()))
    brackets = _brackets(t)
    columns = tuple(
        column("reached", scale.place(b.low), scale.place(b.high), _TALLEST * b.runs / t.n)
        for b in brackets
    )
    mean = _mean_spans(t, scale)
    return TargetRow(
        name,
        f"{t.n_reached} of {t.n}",
        _between(counted.score(t.lower_mean), counted.score(t.restricted_mean)),
        counted.score_interval(t.ci_low, t.ci_high),
        "; ".join(f"{b.low:,} to {b.high:,}: {b.runs}" for b in brackets),
        Strip(spans=(*columns, *mean)),
    )


def _mean_spans(t: TargetTreatment, scale: Scale) -> tuple[Span, ...]:
    low = t.restricted_mean if t.lower_mean is None else t.lower_mean
    thin = scale.span("thin ink", t.ci_low, t.ci_high)
    return (*thin, *scale.span("mean", low, t.restricted_mean))


def _brackets(t: TargetTreatment) -> tuple[_Bracket, ...]:
    """Brackets of the runs that reached the target; lower and upper ends are in the same order."""
    highs = _passed(t.steps, t.n)
    lows = _passed(t.early_steps or t.steps, t.n)
    ends = [(low, high) for low, high in zip(_each(lows), _each(highs), strict=False)]
    return tuple(_Bracket(*pair, ends.count(pair)) for pair in dict.fromkeys(ends))


def _passed(steps: Sequence[SurvivalStep], n: int) -> list[tuple[int, int]]:
    """Iterations at which runs passed, and how many."""
    shares = [SurvivalStep(iteration=0, waiting_share=1.0), *steps]
    drops = [(b.iteration, a.waiting_share - b.waiting_share) for a, b in pairwise(shares)]
    return [(at, round(share * n)) for at, share in drops if round(share * n)]


def _each(passed: Sequence[tuple[int, int]]) -> list[int]:
    return [at for at, runs in passed for _ in range(runs)]


def _pairs(parts: Parts, found: TimeToTarget, counted: Metric) -> tuple[TargetPairRow, ...]:
    comparison = parts.shown.comparison
    reached = {t.name: t.n_reached for t in found.treatments}
    return tuple(
        TargetPairRow(
            parts.name(p.a),
            parts.name(p.b),
            mark_of(p, None),
            _sooner(p.verdict) if reached[p.a] or reached[p.b] else "neither reached it",
            pair_line(p, comparison, counted),
            fmt.pvalue(footnote.pvalue, comparison.secondary_level),
        )
        for p, footnote in zip(found.pairs, found.logrank, strict=True)
    )


def _between(low: str, high: str) -> str:
    return high if low in (high, fmt.MISSING) else f"{low} – {high}"


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
