"""Sentences and formatted rows on the differences between two sweeps.

As in :mod:`bench.report.text.wording`, `inconclusive` means that neither a change nor equivalence
was shown, never that nothing changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import Change, ChangedFact, SpeedChange, SweepChange, Verdict
from bench.report.columns import column_name
from bench.report.text import format as fmt
from bench.report.text.format import ACCURACY, count, listing
from bench.report.text.pairs import Mark, deciding_pvalue, mark_of, verdict_words, within_margin
from bench.report.text.sanitize import clean

#: The compared column is always an accuracy.
METRIC = ACCURACY
#: This many optimizers of one verdict are named, more are counted.
_NAMED = 2
#: This many changed optimizers are named in one sentence.
_MANY = 8

_UNCHANGED: tuple[Verdict, ...] = ("identical", "equivalent", "inconclusive", "not testable")


@dataclass(frozen=True, kw_only=True)
class ChangeRow:
    """One optimizer by its stored name; every number as text, a dash where it is not known.

    `p_labelled` is the adjusted p-value that the verdict rests on, after its label.
    """

    optimizer: str
    mark: Mark
    verdict: str
    n: str
    n_before: str
    n_after: str
    same: str
    before: str
    after: str
    difference: str
    interval: str
    simultaneous: str
    p: str
    p_holm: str
    p_equivalence: str
    p_equivalence_holm: str
    p_labelled: str
    diverged: str
    newly_failed: str
    time: str


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """Training time after over before, of one optimizer or, where that is None, of all together."""

    optimizer: str | None
    ratio: str
    interval: str
    n: str


@dataclass(frozen=True, kw_only=True)
class FactRow:
    """What differs, of one optimizer or, where that is None, of all runs."""

    optimizer: str | None
    term: str
    before: str
    after: str

    @property
    def label(self) -> str:
        """The term, after the optimizer where there is one."""
        return self.term if self.optimizer is None else f"{self.optimizer}: {self.term}"


def change_verdict(found: SweepChange) -> tuple[str, ...]:
    """Summarise the comparison in a few sentences, the most important first."""
    if all(change.is_alike for change in found.changes):
        return (*_alike(found), *_failed(found), *_time(found.time))
    return (*_lead(found), *_open(found), *_failed(found), *_same(found), *_time(found.time))


def change_rows(found: SweepChange) -> tuple[ChangeRow, ...]:
    """One row per optimizer, in the order of the changes."""
    return tuple(_row(change, found) for change in found.changes)


def speed_rows(found: SweepChange) -> tuple[SpeedRow, ...]:
    """All optimizers together, then each; none where no time is known."""
    each: list[tuple[str | None, SpeedChange]] = [(c.optimizer, c.time) for c in found.changes]
    rows = [(None, found.time), *each] if len(each) > 1 else each
    return tuple(_speed_row(name, time) for name, time in rows if time.ratio is not None)


def fact_rows(found: SweepChange) -> tuple[FactRow, ...]:
    """What differs between the sweeps, the workload first."""
    return tuple(_fact_row(fact) for fact in found.facts)


def seeds_in_words(change: Change) -> str:
    """How many runs a comparison rests on: ``20``, or ``20 and 18`` where they are not paired."""
    return str(change.n) if change.is_paired else f"{change.n_before} and {change.n_after}"


def change_description(found: SweepChange) -> str:
    """Alternative text of the figure of all changes."""
    parts = [
        f"{c.optimizer}: {METRIC.difference(c.mean_difference)} points, interval "
        f"{METRIC.difference_interval(c.ci_low, c.ci_high)}, {c.verdict}"
        for c in found.changes[:_MANY]
    ]
    more = len(found.changes) - _MANY
    rest = f"; and {more} more in the table below" if more > 0 else ""
    return f"Mean test accuracy after minus before. {'; '.join(parts)}{rest}."


def _alike(found: SweepChange) -> tuple[str, ...]:
    n = sum(change.n for change in found.changes)
    runs = "The one common run" if n == 1 else f"All {n:,} common runs"
    return (
        f"{runs} ended exactly alike.",
        "They have the same number of correct test images and, to the last bit, the same test "
        "loss as before."
        if n > 1
        else "It has the same number of correct test images and, to the last bit, the same test "
        "loss as before.",
    )


def _lead(found: SweepChange) -> tuple[str, ...]:
    """Name the optimizers that changed, and give the verdicts of the others."""
    changed = [c for c in found.changes if c.verdict in ("better", "worse")]
    rest = [c for c in found.changes if c not in changed]
    if len(found.changes) == 1:
        (only,) = found.changes
        clause = _moves(changed, found) or f"{only.optimizer} {_state([only], found)}"
        return (f"{clause}.",)
    if not changed:
        return (_none_changed(rest, found),)
    opening = f"Of {count(len(found.changes), 'optimizer')}, {_moves(changed, found)}"
    if len({c.verdict for c in rest}) > 1:
        return f"{opening}.", f"Of the others, {_groups(rest, found)}."
    return (f"{opening}; {_rest(rest, found)}." if rest else f"{opening}.",)


def _moves(changed: Sequence[Change], found: SweepChange) -> str:
    """Name the optimizers that got worse and better, and by how much."""
    clauses = []
    for verdict in ("worse", "better"):
        if who := [c for c in changed if c.verdict == verdict]:
            first, *others = (f"by {_size(c, found)}" for c in who[:_MANY])
            named = [f"{who[0].optimizer} got {verdict} {first}"]
            named += [f"{c.optimizer} {by}" for c, by in zip(who[1:], others, strict=False)]
            more = len(who) - _MANY
            clauses.append(listing((*named, f"{more} more") if more > 0 else tuple(named)))
    return "; ".join(clauses)


def _size(change: Change, found: SweepChange) -> str:
    if change.mean_difference is None:
        return "an unknown amount"
    size, margin = METRIC.size_with_unit(change.mean_difference), found.parameters.margin
    slight = margin is not None and within_margin(change, margin)
    return f"{size} (less than the margin)" if slight else size


def _none_changed(rest: Sequence[Change], found: SweepChange) -> str:
    k = len(rest)
    verdicts = {c.verdict for c in rest}
    if len(verdicts) == 1:
        return f"{'Both' if k == 2 else f'All {k}'} optimizers {_state(rest, found)}."
    return f"Of {count(k, 'optimizer')}, none changed significantly: {_groups(rest, found)}."


def _rest(rest: Sequence[Change], found: SweepChange) -> str:
    if len(rest) <= _NAMED:
        return f"{listing(tuple(c.optimizer for c in rest))} {_state(rest, found)}"
    return f"the other {len(rest)} {_state(rest, found)}"


def _groups(changes: Sequence[Change], found: SweepChange) -> str:
    """Every verdict with those that have it: named if they are few, else counted."""
    clauses = []
    for verdict in _UNCHANGED:
        if group := [c for c in changes if c.verdict == verdict]:
            few = len(group) <= _NAMED
            who = listing(tuple(c.optimizer for c in group)) if few else str(len(group))
            clauses.append(f"{who} {_state(group, found)}")
    return listing(tuple(clauses))


def _state(group: Sequence[Change], found: SweepChange) -> str:
    """What a group of one verdict is or did, as the end of a clause."""
    verdict, margin = group[0].verdict, found.parameters.margin
    be = "is" if len(group) == 1 else "are"
    if verdict == "identical":
        where = "on every common seed" if found.is_paired else "in every run"
        return f"scored exactly as before {where}"
    if verdict == "not testable":
        return "could not be tested"
    within = f" within {METRIC.margin(margin)}" if verdict == "equivalent" and margin else ""
    return f"{be} {verdict}{within}"


def _open(found: SweepChange) -> tuple[str, ...]:
    if not any(change.verdict == "inconclusive" for change in found.changes):
        return ()
    return (
        "Inconclusive does not mean unchanged: neither a change nor equivalence could be shown "
        "with this number of seeds.",
    )


def _failed(found: SweepChange) -> tuple[str, ...]:
    n = sum(change.n_newly_failed for change in found.changes)
    if not n:
        return ()
    return (f"{count(n, 'run')} failed after of seeds that have a result before.",)


def _same(found: SweepChange) -> tuple[str, ...]:
    """How many common runs ended alike, where that is known."""
    n = sum(change.n for change in found.changes)
    same = [change.n_same for change in found.changes if change.n_same is not None]
    if not same or not n:
        return ()
    share = f"{sum(same):,}" if any(same) else "none"
    return (f"Of {count(n, 'common run')}, {share} ended exactly alike.",)


def _time(time: SpeedChange) -> tuple[str, ...]:
    if time.ratio is None:
        return ()
    interval = fmt.bracket(fmt.number(time.ci_low), fmt.number(time.ci_high))
    known = f"{interval}; " if time.ci_low is not None else ""
    return (f"Training took {fmt.number(time.ratio)} times as long ({known}exploratory).",)


def _row(change: Change, found: SweepChange) -> ChangeRow:
    alpha, margin = found.parameters.alpha, found.parameters.margin
    deciding = deciding_pvalue(change)
    same = fmt.MISSING if change.n_same is None else f"{change.n_same} of {change.n}"
    return ChangeRow(
        optimizer=change.optimizer,
        mark=mark_of(change, margin),
        verdict=verdict_words(change, margin, METRIC),
        n=seeds_in_words(change),
        n_before=str(change.n_before),
        n_after=str(change.n_after),
        same=same,
        before=METRIC.score(change.mean_before),
        after=METRIC.score(change.mean_after),
        difference=METRIC.difference(change.mean_difference),
        interval=METRIC.difference_interval(change.ci_low, change.ci_high),
        simultaneous=METRIC.difference_interval(
            change.simultaneous_ci_low, change.simultaneous_ci_high
        ),
        p=fmt.pvalue(change.pvalue, alpha),
        p_holm=fmt.pvalue(change.pvalue_holm, alpha),
        p_equivalence=fmt.pvalue(change.pvalue_equivalence, alpha),
        p_equivalence_holm=fmt.pvalue(change.pvalue_equivalence_holm, alpha),
        p_labelled=f"{deciding.label} {fmt.pvalue(deciding.value, alpha)}",
        diverged=f"{change.n_diverged_before} and {change.n_diverged_after}",
        newly_failed=str(change.n_newly_failed),
        time=fmt.number(change.time.ratio),
    )


def _speed_row(name: str | None, time: SpeedChange) -> SpeedRow:
    alike = time.n_before == time.n_after
    return SpeedRow(
        optimizer=name,
        ratio=fmt.number(time.ratio),
        interval=fmt.bracket(fmt.number(time.ci_low), fmt.number(time.ci_high)),
        n=str(time.n_before) if alike else f"{time.n_before} and {time.n_after}",
    )


def _fact_row(fact: ChangedFact) -> FactRow:
    return FactRow(
        optimizer=fact.optimizer,
        term=column_name(fact.column) if fact.optimizer is None else clean(fact.column),
        before=clean(", ".join(fact.before)) or fmt.MISSING,
        after=clean(", ".join(fact.after)) or fmt.MISSING,
    )
