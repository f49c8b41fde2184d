"""The whole page as formatted text, in frozen view models.

Nothing is computed here: values of the analysis are formatted, ordered and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench import words
from bench.analysis.results import SweepAnalysis
from bench.report.context import NO_CONTEXT, ReportContext
from bench.report.figures.styles import marker_name, marker_paths
from bench.report.html.interaction import page_data
from bench.report.html.parts import Name, Parts
from bench.report.html.views.curves import CurvesView, curves_readings, curves_view
from bench.report.html.views.equivalence import EquivalenceView, equivalence_view
from bench.report.html.views.incidents import IncidentsView, incidents_view
from bench.report.html.views.leaderboard import LeaderRow, leader_rows
from bench.report.html.views.looks import LooksView, looks_view
from bench.report.html.views.methods import MethodsView, methods_view
from bench.report.html.views.pairs import PairsView, pairs_view
from bench.report.html.views.ranks import RanksView, ranks_view
from bench.report.html.views.rates import RatesView, rates_view
from bench.report.html.views.reference import ReferenceView, reference_view
from bench.report.html.views.runs import RunsView, runs_readings, runs_view
from bench.report.html.views.scope import ScopeView, scope_view
from bench.report.html.views.seed import SeedView, seed_view
from bench.report.html.views.target import TargetView, target_view
from bench.report.html.views.time import TimeView, time_view
from bench.report.text import format as fmt
from bench.report.text import wording
from bench.report.text.format import Metric, count
from bench.report.text.looks import blocks_of_each, own_blocks_sentence
from bench.report.text.metrics import result_label
from bench.report.text.nouns import Nouns
from bench.report.text.sanitize import clean

#: More warnings than this are folded, the most important ones first.
_WARNINGS_AT_ONCE = 4


@dataclass(frozen=True)
class Selection:
    """Numbers of treatments in the figures and pairs of the page, and in its leaderboard."""

    shown: int
    total: int


@dataclass(frozen=True, kw_only=True)
class PageView:
    """Everything that report.html.j2 prints; a section is None where it has no results.

    Attributes
    ----------
    warns_of_pvalues
        Whether a warning names p-values, which the page then explains there.
    worst
        The word for the worst value: ``lowest`` or ``highest``.
    level
        Confidence level of single intervals.
    tested_pairs
        Number of pairs in Holm's family, with its noun.
    result
        Name of a run's result, such as ``final test accuracy``.
    data
        JSON for the script of the page.
    power_summary
        One line on the number of blocks.
    is_of_means
        Whether the result of a run is a mean over several datasets.
    own_blocks
        Over which blocks means are, where treatments have different numbers after looks.
    selection
        None if the figures and pairs are those of all treatments.
    """

    title: str
    subtitle: tuple[str, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    lesser_warnings: tuple[str, ...]
    warns_of_pvalues: bool
    metric: Metric
    nouns: Nouns
    result: str
    worst: str
    level: str
    alpha: str
    n_family: int
    tested_pairs: str
    names: tuple[Name, ...]
    markers: tuple[tuple[str, str], ...]
    is_sweep: bool
    has_times: bool
    leaders: tuple[LeaderRow, ...]
    selection: Selection | None
    runs: RunsView
    seed: SeedView | None
    curves: CurvesView | None
    rates: RatesView | None
    pairs: PairsView
    equivalence: EquivalenceView | None
    reference: ReferenceView | None
    scope: ScopeView | None
    reaching: TargetView | None
    time: TimeView | None
    ranks: RanksView | None
    power: tuple[str, ...]
    power_summary: str
    is_of_means: bool
    own_blocks: str
    looks: LooksView
    incidents: IncidentsView
    methods: MethodsView
    context: ReportContext
    data: str


def page_view(analysis: SweepAnalysis, context: ReportContext = NO_CONTEXT) -> PageView:
    """Format an analysis."""
    parts, comparison, p = Parts(analysis), analysis.comparison, analysis.comparison.parameters
    runs, curves, reference = runs_view(parts), curves_view(parts), reference_view(parts)
    readings = [runs_readings(parts, runs.figure)]
    if curves:
        readings.append(curves_readings(parts, curves.drawings))
    warnings = tuple(map(clean, comparison.warnings))
    return PageView(
        title=f"{clean(analysis.name)}: which {parts.nouns.treatment}?",
        subtitle=_subtitle(parts),
        verdict=tuple(map(clean, wording.headline(analysis))),
        warnings=warnings[:_WARNINGS_AT_ONCE],
        lesser_warnings=warnings[_WARNINGS_AT_ONCE:],
        warns_of_pvalues=any("p-value" in warning for warning in warnings),
        metric=parts.metric,
        nouns=parts.nouns,
        result=result_label(analysis),
        worst="lowest" if p.direction == "higher" else "highest",
        level=fmt.level(1 - p.interval_alpha),
        alpha=fmt.level(p.alpha),
        n_family=comparison.n_family,
        tested_pairs=words.count(comparison.n_family, "pair"),
        names=tuple(parts.name(t.name) for t in parts.shown.comparison.treatments),
        markers=tuple((marker_name(m), path) for m, path in marker_paths().items()),
        is_sweep=bool(analysis.variants),
        has_times=bool(analysis.timings),
        leaders=leader_rows(parts),
        selection=_selection(parts),
        runs=runs,
        seed=seed_view(parts),
        curves=curves,
        rates=rates_view(parts),
        pairs=pairs_view(parts),
        equivalence=equivalence_view(parts),
        reference=reference,
        scope=scope_view(parts),
        reaching=target_view(parts),
        time=time_view(parts),
        ranks=ranks_view(parts, is_drawn="cd" in context.diagrams),
        power=wording.power_sentences(comparison.power, comparison),
        power_summary=_power_summary(parts),
        is_of_means=bool(context.related),
        own_blocks=own_blocks_sentence(comparison),
        looks=looks_view(parts),
        incidents=incidents_view(parts),
        methods=methods_view(parts),
        context=replace(context, command=clean(context.command)),
        data=page_data(parts, readings),
    )


def _power_summary(parts: Parts) -> str:
    comparison = parts.analysis.comparison
    needed = comparison.power.seeds_to_reject
    if needed is None:
        return "Nothing was compared."
    unclear = sum(pair.verdict == "inconclusive" for pair in comparison.pairs)
    pairs = f"{count(unclear, 'pair')} {'is' if unclear == 1 else 'are'} inconclusive"
    blocks = parts.nouns.block.count(needed)
    if comparison.sequential is not None:
        return f"{pairs}; a look with {blocks} or more can find a difference."
    return f"{pairs}; a difference can be significant from {blocks} on."


def _selection(parts: Parts) -> Selection | None:
    shown, total = (len(a.comparison.treatments) for a in (parts.shown, parts.analysis))
    return Selection(shown, total) if shown < total else None


def _subtitle(parts: Parts) -> tuple[str, ...]:
    """Numbers of treatments, blocks and runs, and the time of the last run."""
    p, finished = parts.analysis.comparison.parameters, parts.analysis.provenance.finished_at
    counts = (
        parts.nouns.treatment.count(p.k),
        *((blocks_of_each(parts.analysis.comparison),) if p.is_paired else ()),
        count(len(parts.analysis.scores), "run"),
        *(() if p.is_paired else ("unpaired",)),
    )
    return (*counts, fmt.moment(finished)) if finished else counts
