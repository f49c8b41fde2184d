"""The sections on what the verdicts rest on and how far they carry, as printed text.

What one seed would have told, equivalence, other test images, time to the target, training time,
and the looks. No statistics: values of the analysis are formatted, ordered and counted. A section
without results is None, and the page leaves it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.analysis.results import (
    BestShare,
    CrossedInterval,
    Look,
    Pair,
    RankReversal,
    RateCurve,
    SingleSeed,
    TimeRatio,
)
from bench.report.figures.rates import rates_figure
from bench.report.figures.seed import seed_figure
from bench.report.figures.target import target_figure
from bench.report.html.pairs import Mark, mark_of, verdict_words
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.text import format as fmt
from bench.report.text.format import count, listing
from bench.report.text.metrics import UPDATES
from bench.report.text.nouns import Noun
from bench.report.text.published import published_score
from bench.report.text.sanitize import clean
from bench.report.text.wording import MANY

#: Pairs that one seed gets wrong most often are shown at once, up to this many.
_MISLEADING_AT_ONCE = 8
#: What counts as settled in the curve of naming.
_SETTLED = 0.95


@dataclass(frozen=True)
class ShareRow:
    """A name and a share."""

    name: Name
    share: str


@dataclass(frozen=True)
class MisleadingRow:
    """A pair, who is ahead over all seeds, and how often one seed says otherwise."""

    ahead: Name
    behind: Name
    wrong: str
    wrong_share: str
    tied: str


@dataclass(frozen=True, kw_only=True)
class SeedView:
    """What one seed would have told."""

    lead: str
    sentences: tuple[str, ...]
    figure: FigureView
    best_shares: tuple[ShareRow, ...]
    curve: tuple[tuple[str, str], ...]
    misleading: tuple[MisleadingRow, ...]
    rarely_misleading: tuple[MisleadingRow, ...]
    n_draws: str


@dataclass(frozen=True)
class EquivalenceRow:
    """A pair whose mean difference lies inside the margin."""

    a: Name
    b: Name
    difference: str
    simultaneous: str
    p: str
    p_holm: str
    conclusion: str


@dataclass(frozen=True)
class EquivalenceView:
    """Which small differences were shown to be small."""

    margin: str
    rows: tuple[EquivalenceRow, ...]


@dataclass(frozen=True)
class ScopeRow:
    """A pair with its interval over new seeds, and over new seeds and new images."""

    a: Name
    b: Name
    difference: str
    seeds: str
    crossed: str
    df: str


@dataclass(frozen=True, kw_only=True)
class ScopeView:
    """How far the differences carry."""

    sentence: str
    n_examples: str
    leader: tuple[ScopeRow, ...]
    others: tuple[ScopeRow, ...]


@dataclass(frozen=True)
class TargetRow:
    """How soon one optimizer reaches the target."""

    name: Name
    reached: str
    rate: str
    mean: str
    interval: str


@dataclass(frozen=True)
class TargetPairRow:
    """Two optimizers' restricted times compared."""

    a: Name
    b: Name
    mark: Mark
    verdict: str
    n: str
    difference: str
    interval: str
    p_holm: str
    logrank: str


@dataclass(frozen=True, kw_only=True)
class TargetView:
    """How soon the target is reached."""

    target: str
    budget: str
    unit: str
    data: str
    figure: FigureView
    rows: tuple[TargetRow, ...]
    pairs: tuple[TargetPairRow, ...]
    steps: tuple[tuple[Name, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class TimeRow:
    """Training time of one optimizer over the leader's."""

    name: Name
    ratio: str
    interval: str
    n: str


@dataclass(frozen=True)
class TimeView:
    """Training time relative to the leader."""

    leader: Name
    circumstances: str
    rows: tuple[TimeRow, ...]


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

    figure: FigureView
    rows: tuple[RateRow, ...]


@dataclass(frozen=True)
class LookRow:
    """One look at the results."""

    look: str
    seeds: str
    at: str
    level: str
    spent: str


@dataclass(frozen=True)
class LooksView:
    """How often the results were judged, and at what level."""

    sentence: str
    rows: tuple[LookRow, ...]


# ---------------------------------------------------------------- what one seed would have told


def seed_view(parts: Parts) -> SeedView | None:
    """What one seed would have told; None where nothing can be said."""
    comparison = parts.analysis.comparison
    told = comparison.single_seed
    if told is None or told.n_blocks < 2:
        return None
    block = parts.nouns.block
    rows = _misleading_rows(parts, told.pairs)
    return SeedView(
        lead=_lead(parts, told),
        sentences=(_naming(parts, told), *_tutorial(parts)),
        figure=parts.figure(
            seed_figure,
            "seed",
            title=f"What one {block} would have told",
            description=f"Best of all on a single {block}: "
            f"{_best_shares_in_words(told.best_shares)}. {_naming(parts, told)}",
        ),
        best_shares=tuple(
            ShareRow(parts.name(c.treatment), fmt.percent(c.share)) for c in told.best_shares
        ),
        curve=tuple((f"{point.n:,}", fmt.percent(point.probability)) for point in told.curve),
        misleading=rows[:_MISLEADING_AT_ONCE],
        rarely_misleading=rows[_MISLEADING_AT_ONCE:],
        n_draws=f"{told.n_draws:,}",
    )


def _lead(parts: Parts, told: SingleSeed) -> str:
    nouns = parts.nouns
    winners = [best_share for best_share in told.best_shares if best_share.share > 0]
    if len(winners) == 1:
        return (
            f"Any one of the {nouns.block.count(told.n_blocks)} names {clean(told.leader)} as the "
            "best of all."
        )
    return (
        f"Train every {nouns.treatment} once, with one {nouns.block}, and name the best: you name "
        f"{_best_shares_in_words(told.best_shares)}."
    )


def _best_shares_in_words(best_shares: Sequence[BestShare]) -> str:
    ordered = sorted((c for c in best_shares if c.share > 0), key=lambda c: -c.share)
    named = [f"{clean(c.treatment)} in {fmt.percent(c.share)}" for c in ordered[:5]]
    if len(ordered) > 5:
        rest = sum(c.share for c in ordered[5:])
        named.append(f"one of {len(ordered) - 5} others in {fmt.percent(rest)}")
    return f"{listing(tuple(named))} of the cases"


def _naming(parts: Parts, told: SingleSeed) -> str:
    block, leader = parts.nouns.block, clean(told.leader)
    chance = {point.n: point.probability for point in told.curve}
    if min(chance.values()) == 1:
        return f"One {block} would have done to name the leader, though not to show that it leads."
    some = [n for n in (5, 10, told.n_blocks) if n in chance and n <= told.n_blocks]
    means = ", ".join(
        f"the mean of {n} {block.plural} in {fmt.percent(chance[n])}" for n in dict.fromkeys(some)
    )
    start = (
        f"{leader}, the leader over all {told.n_blocks}, is named by one {block} in "
        f"{fmt.percent(chance[1])} of the cases"
    )
    return f"{start}{', by ' if means else ''}{means}. {_settled(parts, told)}"


def _settled(parts: Parts, told: SingleSeed) -> str:
    block = parts.nouns.block
    unsure = [point.n for point in told.curve if point.probability < _SETTLED]
    if not unsure:
        return f"One {block} would nearly always have named it."
    if unsure[-1] == told.curve[-1].n:
        return f"Even {told.n_blocks} {block.plural} do not settle who leads."
    first = next(point.n for point in told.curve if point.n > unsure[-1])
    return f"From {first} {block.plural} on its chance is at least {fmt.percent(_SETTLED)}."


def _tutorial(parts: Parts) -> tuple[str, ...]:
    """Whom the tutorial's own runs named, where this sweep repeats them all."""
    treatments = parts.analysis.comparison.treatments
    scores = {t.name: published_score(parts.analysis, t.name) for t in treatments}
    known = {name: score for name, score in scores.items() if score is not None}
    if len(known) < 2 or len(known) < len(treatments):
        return ()
    named = max(known, key=lambda name: known[name])
    return (f"The tutorial's own runs, one each, named {clean(named)}.",)


def _misleading_rows(parts: Parts, told: Sequence[RankReversal]) -> tuple[MisleadingRow, ...]:
    """Pairs that one seed gets wrong at least once, the most often first."""
    found = [wrong for wrong in told if wrong.wrong_share]
    found.sort(key=lambda wrong: -(wrong.wrong_share or 0.0))
    rows = []
    for wrong in found:
        ahead, behind = (wrong.a, wrong.b) if wrong.ahead == wrong.a else (wrong.b, wrong.a)
        rows.append(
            MisleadingRow(
                parts.name(ahead),
                parts.name(behind),
                f"{round((wrong.wrong_share or 0.0) * wrong.n)} of {wrong.n}",
                fmt.percent(wrong.wrong_share),
                str(round((wrong.tied_share or 0.0) * wrong.n)),
            )
        )
    return tuple(rows)


# ---------------------------------------------------------------- equivalence


def equivalence_view(parts: Parts) -> EquivalenceView | None:
    """Pairs whose mean difference lies inside the margin; None where no margin was declared."""
    comparison = parts.analysis.comparison
    margin, alpha = comparison.parameters.margin, comparison.parameters.alpha
    if margin is None or not comparison.pairs:
        return None
    rows = tuple(
        EquivalenceRow(
            parts.name(p.a),
            parts.name(p.b),
            parts.metric.difference(p.mean_difference),
            parts.metric.difference_interval(p.simultaneous_ci_low, p.simultaneous_ci_high),
            fmt.pvalue(p.pvalue_equivalence, alpha),
            fmt.pvalue(p.pvalue_equivalence_holm, comparison.level),
            _shown_to_be_small(p, comparison.level, parts.nouns.block),
        )
        for p in comparison.pairs
        if p.mean_difference is not None and abs(p.mean_difference) < margin
    )
    return EquivalenceView(margin=parts.metric.margin(margin), rows=rows)


def _shown_to_be_small(pair: Pair, level: float, block: Noun) -> str:
    if pair.verdict == "identical":
        return f"identical on every {block}"
    p = pair.pvalue_equivalence_holm
    small = p is not None and p <= level
    if pair.verdict in ("better", "worse"):
        return f"different, {'and' if small else 'not'} shown to be small"
    return {"equivalent": "shown to be small", "not testable": "not testable"}.get(
        pair.verdict, "not shown"
    )


# ---------------------------------------------------------------- other test images


def scope_view(parts: Parts) -> ScopeView | None:
    """Intervals over new seeds, and over new seeds and images; None where images are unknown."""
    comparison = parts.analysis.comparison
    found = comparison.scope
    if found is None or not comparison.pairs:
        return None
    leader = comparison.treatments[0].name
    rows = [
        (pair.a, _scope_row(parts, pair, crossed))
        for pair, crossed in zip(comparison.pairs, found.pairs, strict=True)
    ]
    return ScopeView(
        sentence=_reach(comparison.pairs, found.pairs),
        n_examples=f"{found.n_examples:,}",
        leader=tuple(row for a, row in rows if a == leader),
        others=tuple(row for a, row in rows if a != leader),
    )


def _scope_row(parts: Parts, pair: Pair, crossed: CrossedInterval) -> ScopeRow:
    metric = parts.metric
    return ScopeRow(
        parts.name(pair.a),
        parts.name(pair.b),
        metric.difference(pair.mean_difference),
        metric.difference_interval(pair.ci_low, pair.ci_high),
        metric.difference_interval(crossed.crossed_ci_low, crossed.crossed_ci_high),
        fmt.number(crossed.df, 1),
    )


def _reach(pairs: Sequence[Pair], crossed: Sequence[CrossedInterval]) -> str:
    kept = known = 0
    for pair, wide in zip(pairs, crossed, strict=True):
        if _excludes_zero(pair.ci_low, pair.ci_high):
            known += 1
            kept += _excludes_zero(wide.crossed_ci_low, wide.crossed_ci_high)
    if not known:
        return "No pair has an interval that leaves out zero, with or without new images."
    has = "has" if known == 1 else "have"
    return (
        f"{count(known, 'pair')} out of {len(pairs)} {has} an interval over new seeds that leaves "
        f"out zero; with new images, {kept} {'does' if kept == 1 else 'do'}."
    )


def _excludes_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)


# ---------------------------------------------------------------- time to the target


def target_view(parts: Parts) -> TargetView | None:
    """How soon the target is reached; None where there are no evaluations."""
    comparison = parts.analysis.comparison
    found = comparison.time_to_target
    if found is None:
        return None
    target, counted = (
        fmt.level(found.target),
        replace(UPDATES, unit=found.unit, difference_unit=found.unit),
    )
    pairs = zip(found.pairs, found.logrank, strict=True)
    return TargetView(
        target=target,
        budget=f"{found.budget:,}",
        unit=found.unit,
        data=found.data,
        figure=parts.figure(
            target_figure,
            "target",
            title=f"Share of runs that have reached {target}, over the {found.unit}",
            description="; ".join(
                f"{clean(t.name)}: {t.n_reached} of {count(t.n, 'run')}, on average after "
                f"{counted.score_with_unit(t.restricted_mean)}"
                for t in found.treatments
            )
            + ".",
        ),
        rows=tuple(
            TargetRow(
                parts.name(t.name),
                f"{t.n_reached} of {t.n}",
                fmt.percent(t.reach_rate),
                counted.score(t.restricted_mean),
                counted.score_interval(t.ci_low, t.ci_high),
            )
            for t in found.treatments
        ),
        pairs=tuple(
            TargetPairRow(
                parts.name(p.a),
                parts.name(p.b),
                mark_of(p, None),
                _sooner(verdict_words(p, None, counted)),
                str(p.n),
                counted.difference(p.mean_difference),
                counted.difference_interval(p.ci_low, p.ci_high),
                fmt.pvalue(p.pvalue_holm, comparison.level),
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


def _sooner(verdict: str) -> str:
    return {"better": "sooner", "worse": "later"}.get(verdict, verdict)


# ---------------------------------------------------------------- training time


def time_view(parts: Parts) -> TimeView | None:
    """Training time relative to the leader's; None where it is not known."""
    analysis = parts.analysis
    leader = analysis.comparison.treatments[0].name
    ratios = [r for r in analysis.time_ratios if r.a == leader and r.ratio is not None]
    if not ratios:
        return None
    circumstances = _circumstances(dict(analysis.provenance.facts))
    return TimeView(parts.name(leader), circumstances, tuple(_time_row(parts, r) for r in ratios))


def _circumstances(facts: Mapping[str, Sequence[str]]) -> str:
    """How the times were measured."""
    workers, cores, stacks = (facts.get(name, ()) for name in ("n_jobs", "cores", "stack"))
    if not workers or not cores:
        return "what else ran on the machine is not recorded"
    share = f"; a run's time is its share of a stack of {' or '.join(stacks)}"
    said = (
        f"measured with {' or '.join(workers)} workers on {' or '.join(cores)} cores, each with "
        "one thread"
        if facts.get("device", ("cpu",)) == ("cpu",)
        else f"measured with {' or '.join(workers)} stacks side by side on "
        f"{' or '.join(facts.get('device_name', ('a GPU',)))}"
    )
    return said + (share if any(stack != "1" for stack in stacks) else "")


def _time_row(parts: Parts, ratio: TimeRatio) -> TimeRow:
    """The ratio is that of the leader over the other: here it is turned round."""
    inverse = [None if x is None else 1 / x for x in (ratio.ratio, ratio.ci_high, ratio.ci_low)]
    middle, low, high = (fmt.number(x, 2) for x in inverse)
    return TimeRow(parts.name(ratio.b), middle, fmt.bracket(low, high), str(ratio.n))


# ---------------------------------------------------------------- looks


def looks_view(parts: Parts) -> LooksView:
    """The ledger of looks."""
    looks = parts.analysis.comparison.looks
    return LooksView(
        _looks_sentence(parts, looks),
        tuple(
            LookRow(
                str(look.look),
                f"{look.n_blocks:,}",
                fmt.moment(look.at),
                _level(look.level),
                _level(look.spent),
            )
            for look in looks
        ),
    )


def _looks_sentence(parts: Parts, looks: Sequence[Look]) -> str:
    block, now = parts.nouns.block, looks[-1]
    if now.at is None:
        return (
            "No record of earlier looks is kept for these rows. If verdicts were looked at before "
            f"and {block.plural} added since, the level here is too generous."
        )
    alpha = parts.analysis.comparison.parameters.alpha
    if len(looks) == 1 and now.level == alpha:
        return (
            "Judged once so far, at the whole level. That is right where the number of "
            f"{block.plural} was fixed beforehand: to judge again with more would be a second look."
        )
    return (
        f"This is look {now.look}. It judges at {_level(now.level)}, and over all looks so far the "
        f"chance of even one false “better” or “worse” is at most {_level(now.spent)}."
    )


def _level(value: float) -> str:
    return f"{value * 100:.3g}{fmt.NBSP}%"


# ---------------------------------------------------------------- learning rates


def rates_view(parts: Parts) -> RatesView | None:
    """The learning rates; None where no optimizer has a schedule."""
    curves = parts.analysis.rates
    if not curves:
        return None
    said = (
        f"{c.treatment} from {_rate(c.rates[0])} to {_rate(c.rates[-1])}, at most "
        f"{_rate(max(c.rates))}"
        for c in curves[:MANY]
    )
    return RatesView(
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
