"""What the template prints: every number of the page as text, in frozen view models.

No statistics: values of the analysis are formatted, ordered, counted and put side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import words
from bench.analysis.reading import is_accuracy
from bench.analysis.results import (
    Band,
    Comparison,
    Incident,
    LearningCurve,
    Omnibus,
    Pair,
    SweepAnalysis,
    Timing,
    Treatment,
    Variant,
)
from bench.report.columns import column_name
from bench.report.figures.styles import marker_name, marker_paths
from bench.report.html.figure_views import (
    RanksView,
    ReferenceView,
    curves_readings,
    curves_view,
    ranks_view,
    reference_view,
    runs_readings,
    runs_view,
)
from bench.report.html.interaction import page_data
from bench.report.html.pairs import MARKS, Mark, flip, mark_of, verdict_words
from bench.report.html.parts import FigureView, Name, Parts, Variants
from bench.report.html.sections import (
    EquivalenceView,
    LooksView,
    RatesView,
    ScopeView,
    SeedView,
    TargetView,
    TimeView,
    equivalence_view,
    looks_view,
    rates_view,
    scope_view,
    seed_view,
    target_view,
    time_view,
)
from bench.report.text import format as fmt
from bench.report.text import wording
from bench.report.text.format import Metric, count
from bench.report.text.metrics import result_label
from bench.report.text.nouns import Noun, Nouns
from bench.report.text.published import luck
from bench.report.text.sanitize import clean

#: More warnings than this are folded, the most important ones first.
_WARNINGS_AT_ONCE = 4
_WORKLOAD_COLUMNS = ("dataset", "network", "batch_size", "iterations", "eval_every")


@dataclass(frozen=True)
class Cell:
    """A printed number and what its column is sorted by (empty: last)."""

    text: str
    sort: str

    @classmethod
    def of(cls, text: str, value: float | None) -> Cell:
        """A cell sorted by `value`."""
        return cls(text, "" if value is None else repr(value))


@dataclass(frozen=True)
class Fact:
    """A term and what there is to say about it."""

    term: str
    text: str
    mixed: bool = False


@dataclass(frozen=True, kw_only=True)
class LeaderRow:
    """One line of the leaderboard."""

    name: Name
    rank: Cell
    mean: Cell
    interval: str
    std: Cell
    median: Cell
    worst: Cell
    mean_rank: Cell
    letters: str
    n: Cell
    diverged: Cell
    failed: Cell
    seconds: Cell


@dataclass(frozen=True, kw_only=True)
class SpreadRow:
    """The numbers behind one row of dots."""

    name: Name
    n: str
    min: str
    q1: str
    median: str
    q3: str
    max: str
    iqm: str
    published: str
    luck: str


@dataclass(frozen=True, kw_only=True)
class CurveRow:
    """The numbers behind one pair of learning curves, one text per evaluation."""

    name: Name
    n: str
    accuracy: tuple[str, ...]
    loss: tuple[str, ...]
    train_loss: tuple[str, ...]


@dataclass(frozen=True)
class MatrixCell:
    """Row against column; `pair` is the place of the two in the table of all pairs."""

    pair: int
    mark: Mark
    difference: str
    p: str
    words: str


@dataclass(frozen=True)
class MatrixRow:
    """A row of the pairwise matrix; None where an optimizer meets itself."""

    name: Name
    cells: tuple[MatrixCell | None, ...]


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """One line of the table of all pairs."""

    a: Name
    b: Name
    mark: Mark
    verdict: str
    n: str
    difference: str
    interval: str
    simultaneous: str
    p_holm: str
    p: str
    p_t: str
    p_wilcoxon: str
    p_equivalence_holm: str
    p_equivalence: str
    dz: str
    gz: str
    win_rate: str
    win_interval: str
    a12: str
    correlation: str
    seeds_needed: str


@dataclass(frozen=True)
class IncidentRow:
    """One run that diverged or failed: the last line of its error, and all of a longer one."""

    name: Name
    seed: str
    status: str
    iteration: str
    error: str
    whole_error: str


@dataclass(frozen=True)
class VariantRow:
    """What a name stands for."""

    name: Name
    algorithm: str
    hyperparameters: str


@dataclass(frozen=True, kw_only=True)
class PageView:
    """Everything that report.html.j2 prints."""

    title: str
    subtitle: tuple[str, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    lesser_warnings: tuple[str, ...]
    metric: Metric
    worst: str
    level: str
    names: tuple[Name, ...]
    markers: tuple[tuple[str, str], ...]
    leaders: tuple[LeaderRow, ...]
    nouns: Nouns
    runs: FigureView
    spreads: tuple[SpreadRow, ...]
    has_published: bool
    seed: SeedView | None
    curves: Variants | None
    iterations: tuple[str, ...]
    curve_rows: tuple[CurveRow, ...]
    rates: RatesView | None
    matrix: tuple[MatrixRow, ...]
    width: str
    marks: tuple[Mark, ...]
    pairs: tuple[PairRow, ...]
    omnibus: str
    power: tuple[str, ...]
    open_pairs: tuple[PairRow, ...]
    equivalence: EquivalenceView | None
    reference: ReferenceView | None
    ranks: RanksView | None
    scope: ScopeView | None
    reaching: TargetView | None
    time: TimeView | None
    looks: LooksView
    incidents: tuple[IncidentRow, ...]
    outcome: str
    variants: tuple[VariantRow, ...]
    declared: tuple[Fact, ...]
    alpha: str
    level_of_tests: str
    margin: str
    n_pairs: int
    n_family: int
    tested_pairs: str
    workload: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    result: str
    is_sweep: bool
    has_times: bool
    is_mixed: bool
    is_exact: bool
    command: str
    data: str
    related: tuple[tuple[str, str], ...] = ()


def page_view(analysis: SweepAnalysis) -> PageView:
    """The analysis as text."""
    return _Builder(analysis).page()


class _Builder:
    """Formats one analysis; holds what every formatting step needs."""

    def __init__(self, analysis: SweepAnalysis) -> None:
        self._analysis = analysis
        self._comparison: Comparison = analysis.comparison
        self._p = analysis.comparison.parameters
        self._parts = Parts(analysis)

    def page(self) -> PageView:
        a, c = self._analysis, self._comparison
        pair_rows = tuple(self._pair_row(p) for p in c.pairs)
        spreads = tuple(self._spread_row(t) for t in c.treatments)
        matrix = self._matrix()
        workload, environment = self._facts()
        treatment = self._parts.nouns.treatment
        runs, curves = runs_view(self._parts), curves_view(self._parts)
        readings = [runs_readings(self._parts, runs)]
        if curves:
            readings.append(curves_readings(self._parts, curves))
        return PageView(
            title=f"{clean(a.name)}: which {treatment}?",
            subtitle=self._subtitle(),
            verdict=tuple(clean(s) for s in wording.verdict(c)),
            warnings=tuple(clean(w) for w in c.warnings[:_WARNINGS_AT_ONCE]),
            lesser_warnings=tuple(clean(w) for w in c.warnings[_WARNINGS_AT_ONCE:]),
            metric=self._parts.metric,
            worst="lowest" if self._p.direction == "higher" else "highest",
            level=fmt.level(1 - self._p.alpha),
            names=tuple(self._parts.name(t.name) for t in c.treatments),
            markers=tuple((marker_name(m), path) for m, path in marker_paths().items()),
            leaders=self._leaders(),
            nouns=self._parts.nouns,
            runs=runs,
            spreads=spreads,
            has_published=any(s.published for s in spreads),
            seed=seed_view(self._parts),
            curves=curves,
            iterations=tuple(f"{i:,}" for i in self._iterations()),
            curve_rows=tuple(self._curve_row(curve) for curve in a.curves),
            rates=rates_view(self._parts),
            matrix=matrix,
            width="dense" if len(c.treatments) > 9 else "even" if len(c.treatments) > 3 else "",
            marks=_marks(matrix),
            pairs=pair_rows,
            omnibus=self._omnibus(c.omnibus),
            power=wording.power_sentences(c.power, c),
            open_pairs=tuple(
                row
                for row, pair in zip(pair_rows, c.pairs, strict=True)
                if pair.verdict == "inconclusive"
            ),
            equivalence=equivalence_view(self._parts),
            reference=reference_view(self._parts),
            ranks=ranks_view(self._parts),
            scope=scope_view(self._parts),
            reaching=target_view(self._parts),
            time=time_view(self._parts),
            looks=looks_view(self._parts),
            incidents=tuple(self._incident_row(i) for i in a.incidents),
            outcome=self._outcome(),
            variants=tuple(self._variant_row(v) for v in a.variants),
            declared=self._declared(),
            alpha=fmt.level(self._p.alpha),
            level_of_tests=fmt.level(c.level),
            margin="" if self._p.margin is None else self._parts.metric.margin(self._p.margin),
            n_pairs=len(c.pairs),
            n_family=c.n_family,
            tested_pairs=words.count(c.n_family, "pair"),
            workload=workload,
            environment=environment,
            is_mixed=any(f.mixed for f in (*workload, *environment)),
            result=result_label(a),
            is_sweep=bool(a.variants),
            has_times=bool(a.timings),
            is_exact=is_exact(dict(a.provenance.facts)),
            command=clean(a.command),
            data=page_data(self._parts, readings),
        )

    # -- head

    def _subtitle(self) -> tuple[str, ...]:
        finished = self._analysis.provenance.finished_at
        parts = [
            self._parts.nouns.treatment.count(self._p.k),
            self._parts.nouns.block.count(self._p.n_blocks),
            count(len(self._analysis.scores), "run"),
        ]
        return (*parts, fmt.moment(finished)) if finished else tuple(parts)

    # -- leaderboard

    def _leaders(self) -> tuple[LeaderRow, ...]:
        timings = {t.treatment: t for t in self._analysis.timings}
        lettered = zip(self._comparison.treatments, self._analysis.letters, strict=True)
        return tuple(
            self._leader(place, treatment, letters, timings.get(treatment.name))
            for place, (treatment, letters) in enumerate(lettered, start=1)
        )

    def _leader(self, place: int, t: Treatment, letters: str, timing: Timing | None) -> LeaderRow:
        score = self._parts.metric.score
        worst = t.min if self._p.direction == "higher" else t.max
        trained = timing.train_seconds if timing else None
        return LeaderRow(
            name=self._parts.name(t.name),
            rank=Cell.of(str(place) if t.n else fmt.MISSING, float(place)),
            mean=Cell.of(score(t.mean), t.mean),
            interval=self._parts.metric.score_interval(t.ci_low, t.ci_high),
            std=Cell.of(score(t.std), t.std),
            median=Cell.of(score(t.median), t.median),
            worst=Cell.of(score(worst), worst),
            mean_rank=Cell.of(fmt.number(t.mean_rank, 2), t.mean_rank),
            letters=letters or fmt.MISSING,
            n=Cell.of(str(t.n), t.n),
            diverged=Cell.of(str(t.n_diverged), t.n_diverged),
            failed=Cell.of(str(t.n_failed), t.n_failed),
            seconds=Cell.of(fmt.seconds(trained), trained),
        )

    # -- figures

    def _spread_row(self, t: Treatment) -> SpreadRow:
        score = self._parts.metric.score
        lucky = luck(self._analysis, t.name)
        return SpreadRow(
            name=self._parts.name(t.name),
            n=str(t.n),
            min=score(t.min),
            q1=score(t.q1),
            median=score(t.median),
            q3=score(t.q3),
            max=score(t.max),
            iqm=score(t.iqm),
            published=score(lucky.value) if lucky else "",
            luck=f"{lucky.below} of {lucky.n}" if lucky else "",
        )

    def _iterations(self) -> tuple[int, ...]:
        return tuple(sorted({i for c in self._analysis.curves for i in c.iterations}))

    def _curve_row(self, curve: LearningCurve) -> CurveRow:
        place = {iteration: at for at, iteration in enumerate(curve.iterations)}
        where = tuple(place.get(i) for i in self._iterations())

        def picked(band: Band) -> tuple[float | None, ...]:
            return tuple(None if at is None else band.mean[at] for at in where)

        return CurveRow(
            name=self._parts.name(curve.treatment),
            n=str(max(curve.test_accuracy.n, default=0)),
            accuracy=tuple(fmt.ACCURACY.score(v) for v in picked(curve.test_accuracy)),
            loss=tuple(fmt.number(v, 4) for v in picked(curve.test_loss)),
            train_loss=tuple(fmt.number(v, 4) for v in picked(curve.train_loss)),
        )

    # -- pairs

    def _matrix(self) -> tuple[MatrixRow, ...]:
        pairs = self._comparison.pairs
        lookup = {(p.a, p.b): (i, p) for i, p in enumerate(pairs)}
        lookup |= {(p.b, p.a): (i, flip(p)) for i, p in enumerate(pairs)}
        names = [t.name for t in self._comparison.treatments]
        return tuple(
            MatrixRow(
                self._parts.name(row), tuple(self._matrix_cell(lookup.get((row, c))) for c in names)
            )
            for row in names
        )

    def _matrix_cell(self, found: tuple[int, Pair] | None) -> MatrixCell | None:
        if found is None:
            return None
        index, pair = found
        return MatrixCell(
            pair=index,
            mark=mark_of(pair, self._p.margin),
            difference=self._parts.metric.difference(pair.mean_difference),
            p=fmt.pvalue(pair.pvalue_holm, self._comparison.level),
            words=verdict_words(pair, self._p.margin, self._parts.metric),
        )

    def _pair_row(self, pair: Pair) -> PairRow:
        alpha, metric = self._comparison.level, self._parts.metric
        return PairRow(
            a=self._parts.name(pair.a),
            b=self._parts.name(pair.b),
            mark=mark_of(pair, self._p.margin),
            verdict=verdict_words(pair, self._p.margin, metric),
            n=str(pair.n),
            difference=metric.difference(pair.mean_difference),
            interval=metric.difference_interval(pair.ci_low, pair.ci_high),
            simultaneous=metric.difference_interval(
                pair.simultaneous_ci_low, pair.simultaneous_ci_high
            ),
            p_holm=fmt.pvalue(pair.pvalue_holm, alpha),
            p=fmt.pvalue(pair.pvalue, alpha),
            p_t=fmt.pvalue(pair.pvalue_t, alpha),
            p_wilcoxon=fmt.pvalue(pair.pvalue_wilcoxon, alpha),
            p_equivalence_holm=fmt.pvalue(pair.pvalue_equivalence_holm, alpha),
            p_equivalence=fmt.pvalue(pair.pvalue_equivalence, alpha),
            dz=fmt.signed_number(pair.dz),
            gz=fmt.signed_number(pair.gz),
            win_rate=fmt.percent(pair.win_rate),
            win_interval=_percents(pair.win_rate_low, pair.win_rate_high),
            a12=fmt.number(pair.a12, 3),
            correlation=fmt.signed_number(pair.correlation),
            seeds_needed=fmt.MISSING if pair.seeds_needed is None else f"{pair.seeds_needed:,}",
        )

    def _omnibus(self, omnibus: Omnibus | None) -> str:
        if omnibus is None or omnibus.chi2 is None:
            return ""
        f_test = (
            f"; Iman and Davenport's F = {fmt.number(omnibus.f_statistic, 1)}, "
            f"{fmt.p_equals(omnibus.f_pvalue, self._p.alpha)}"
            if omnibus.f_statistic is not None
            else ""
        )
        return (
            f"χ²({omnibus.df}) = {fmt.number(omnibus.chi2, 1)}, "
            f"{fmt.p_equals(omnibus.pvalue, self._p.alpha)}{f_test}, "
            f"over {Noun(f'complete {self._parts.nouns.block}').count(omnibus.n_blocks)}"
        )

    # -- the rest

    def _outcome(self) -> str:
        runs = self._analysis.scores
        nouns = self._parts.nouns
        kinds = Counter(s.status for s in runs)
        if not self._analysis.incidents:
            return f"Nothing to report: all {count(len(runs), 'run')} finished with finite losses."
        return (
            f"Of {count(len(runs), 'run')}, {kinds['diverged']} diverged and {kinds['failed']} "
            f"failed. {_diverged_counts(self._p.value)}; a failed run is "
            f"missing, and its pairs use the {nouns.block.plural} that both "
            f"{nouns.treatment.plural} have."
        )

    def _incident_row(self, incident: Incident) -> IncidentRow:
        whole = clean(incident.error).strip()
        last = whole.splitlines()[-1].strip() if whole else fmt.MISSING
        return IncidentRow(
            name=self._parts.name(incident.treatment),
            seed=str(incident.seed),
            status=incident.status,
            iteration=fmt.MISSING if incident.iteration is None else f"{incident.iteration:,}",
            error=last,
            whole_error=whole if len(whole) > len(last) else "",
        )

    def _variant_row(self, variant: Variant) -> VariantRow:
        settings = ", ".join(f"{name}={value}" for name, value in variant.settings)
        return VariantRow(
            name=self._parts.name(variant.treatment),
            algorithm=clean(variant.algorithm),
            hyperparameters=clean(settings) or fmt.MISSING,
        )

    def _declared(self) -> tuple[Fact, ...]:
        p, nouns = self._p, self._parts.nouns
        reaching = self._comparison.time_to_target
        target = (Fact("Target accuracy", fmt.level(reaching.target)),) if reaching else ()
        margin = "none declared" if p.margin is None else f"{self._parts.metric.margin(p.margin)}"
        return (
            Fact("Primary metric", f"{result_label(self._analysis)}, {p.direction} is better"),
            Fact(nouns.block.plural, f"{p.n_blocks:,}"),
            Fact(nouns.treatment.plural, f"{p.k:,}"),
            Fact("Family-wise level α", fmt.level(p.alpha)),
            Fact("Equivalence margin δ", margin),
            *target,
            *(Fact("Values", clean(note)) for note in self._comparison.notes),
        )

    def _facts(self) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
        facts = {
            column: Fact(
                column_name(column),
                clean(", ".join(values)) or fmt.MISSING,
                len(values) > 1,
            )
            for column, values in self._analysis.provenance.facts
        }
        workload = tuple(facts[c] for c in _WORKLOAD_COLUMNS if c in facts)
        rest = tuple(fact for column, fact in facts.items() if column not in _WORKLOAD_COLUMNS)
        if not facts:
            return workload, rest
        origin = self._analysis.provenance
        started = Fact("first run started", fmt.moment(origin.started_at))
        finished = Fact("last run finished", fmt.moment(origin.finished_at))
        return workload, (*rest, started, finished)


def _diverged_counts(column: str) -> str:
    """What a diverged run counts as."""
    if is_accuracy(column):
        return "A diverged run counts with the accuracy that it ended with"
    return "A diverged run without a value ranks worst"


def is_exact(facts: Mapping[str, Sequence[str]]) -> bool:
    """Whether a run is the same to the bit whatever runs beside it: alone, on the processor."""
    return facts.get("device") == ("cpu",) and facts.get("stack", ("1",)) == ("1",)


def _marks(matrix: tuple[MatrixRow, ...]) -> tuple[Mark, ...]:
    """The signs that stand in the matrix, from better to worse."""
    shown = {cell.mark for row in matrix for cell in row.cells if cell}
    return tuple(mark for mark in MARKS if mark in shown)


def _percents(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return fmt.MISSING
    return f"[{low * 100:.0f}, {high * 100:.0f}]"
