"""Sentences and formatted rows on the tuning of optimizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isinf

from bench.analysis.results import Change, Verdict
from bench.analysis.results.tuning import GoodRange, TunedOptimizer, Tuning, TuningStatistics
from bench.report.text import format as fmt
from bench.report.text.format import ACCURACY, count, listing
from bench.report.text.sanitize import clean
from bench.words import plural

_DIFFERENT: tuple[Verdict, ...] = ("better", "worse")
_ORDER: tuple[Verdict, ...] = (
    *("better", "worse", "equivalent", "identical", "inconclusive", "not testable"),
)
#: Numbers of trials whose expected best accuracy the table shows, besides all of them.
FEW = (1, 2, 4)


@dataclass(frozen=True, kw_only=True)
class TunedRow:
    """One optimizer; every number as text."""

    optimizer: str
    default: str
    chosen: str
    is_edge: bool
    ranges: str
    validation: str
    test: str
    diverged: str
    seconds: str


@dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """Expected best validation accuracy of one optimizer for some numbers of trials, as text.

    `good` and `good_range` are the share and the range of the settings within one point of the
    best.
    """

    optimizer: str
    expected: tuple[str, ...]
    good: str
    good_range: str


@dataclass(frozen=True, kw_only=True)
class SelectionRow:
    """Validation against test accuracy of a chosen setting; every number as text."""

    optimizer: str
    validation: str
    test: str
    gap: str
    interval: str
    left_out: str
    optimism: str


def tuning_verdict(tuning: Tuning) -> tuple[str, ...]:
    """Say what tuning changed, who leads each track, and which choices are at an end of a range."""
    return (
        *_on_changes(tuning),
        *_on_leaders(tuning),
        *_on_edges(tuning),
        *_on_unranked(tuning),
        *_on_trials(tuning),
    )


def _on_changes(tuning: Tuning) -> Iterator[str]:
    """Group the optimizers by the verdict on tuned against default."""
    by_verdict: dict[Verdict, list[Change]] = {}
    for change in tuning.change.changes:
        by_verdict.setdefault(change.verdict, []).append(change)
    words = [
        f"{listing(tuple(clean(c.optimizer) for c in by_verdict[verdict]))} {verdict}"
        f"{_by(by_verdict[verdict]) if verdict in _DIFFERENT else ''}"
        for verdict in _ORDER
        if verdict in by_verdict
    ]
    yield f"Tuned against default: {'; '.join(words)}."
    if "inconclusive" in by_verdict:
        units = plural(tuning.change.parameters.block)
        yield f"Inconclusive does not mean that tuning is useless: these {units} do not decide it."


def _by(changes: Sequence[Change]) -> str:
    sizes = sorted(abs(c.mean_difference) for c in changes if c.mean_difference is not None)
    if not sizes:
        return ""
    low, high = ACCURACY.size(sizes[0]), ACCURACY.size(sizes[-1])
    return f" by {low} points" if low == high else f" by {low} to {high} points"


def _on_leaders(tuning: Tuning) -> Iterator[str]:
    """Name the highest mean of each track, and its rank in the other track."""
    changes, ranks = tuning.change.changes, tuning.change.ranks
    tracks = (
        ("at the defaults", "tuned", {c.optimizer: c.mean_before for c in changes}),
        ("tuned", "at the defaults", {c.optimizer: c.mean_after for c in changes}),
    )
    leaders = []
    for side, (track, other, means) in enumerate(tracks):
        if sum(mean is not None for mean in means.values()) < 2:
            return
        first = [name for name in means if ranks[name][side] == 1]
        rank = ranks[first[0]][1 - side]
        moved = f", rank {rank} {other}" if len(first) == 1 and rank not in (None, 1) else ""
        names = listing(tuple(map(clean, first)))
        leaders.append(f"{track} {names} ({ACCURACY.score_with_unit(means[first[0]])}{moved})")
    yield (
        f"Highest mean: {' and '.join(leaders)}; the reports on the two tracks say which "
        "differences are significant."
    )


def _on_edges(tuning: Tuning) -> Iterator[str]:
    names = tuple(clean(o.optimizer) for o in tuning.optimizers if o.edge)
    if names:
        value = (
            "values are at an end of their ranges"
            if len(names) > 1
            else "value is at an end of its range"
        )
        yield (
            f"The chosen {value} for {listing(names)}: a better one may lie beyond it (see --space "
            "and --tune-extend)."
        )


def _on_unranked(tuning: Tuning) -> Iterator[str]:
    """Name the optimizers whose chosen setting has the worst score, as all of its settings."""
    names = tuple(
        clean(of.optimizer)
        for of in tuning.optimizers
        if any(choice.score is not None and isinf(choice.score) for choice in of.choices)
    )
    if names:
        reason = "had a diverged trial"
        if tuning.target is not None:
            target = ACCURACY.score_with_unit(tuning.target)
            reason = f"diverged or did not reach {target} with some tuning seed"
        where = "" if tuning.n_repeats == 1 else " in a repeat"
        yield f"Every setting of {listing(names)} {reason}{where}: the choice means little."


def _on_trials(tuning: Tuning) -> Iterator[str]:
    best = [(o.expected_best[0], clean(o.optimizer)) for o in tuning.optimizers if o.expected_best]
    if len(best) > 1:
        accuracy, name = max(best)
        yield (
            f"With one of the tried settings drawn at random, {name} has the highest expected "
            f"validation accuracy ({ACCURACY.score_with_unit(accuracy)})."
        )


def tuned_rows(tuning: Tuning) -> tuple[TunedRow, ...]:
    """Return the chosen settings, in the order of the optimizers."""
    return tuple(_row(tuned) for tuned in tuning.optimizers)


def _row(tuned: TunedOptimizer) -> TunedRow:
    validation, test = tuned.validation_accuracy, tuned.tuned_accuracy
    n_diverged = sum(tried.n_diverged for tried in tuned.tried)
    return TunedRow(
        optimizer=tuned.optimizer,
        default=setting_words(tuned.default),
        chosen=choice_words(tuned),
        is_edge=bool(tuned.edge),
        ranges=", ".join(f"{r.name} {r.low:.3g} to {r.high:.3g}" for r in tuned.ranges),
        validation=ACCURACY.score(validation),
        test=ACCURACY.score(test),
        diverged=str(n_diverged),
        seconds=f"{tuned.seconds:,.0f}",
    )


def budgets(tuning: Tuning) -> tuple[int, ...]:
    """Return the numbers of trials that the table of budgets shows."""
    n_trials = max(len(tuned.tried) for tuned in tuning.optimizers)
    return (*(t for t in FEW if t < n_trials), n_trials)


def budget_rows(tuning: Tuning) -> tuple[BudgetRow, ...]:
    """Return the expected best accuracy for few and for all trials, for few with its quantiles."""
    shown = budgets(tuning)
    return tuple(
        BudgetRow(
            optimizer=tuned.optimizer,
            expected=tuple(_expected(tuned, found, t) for t in shown),
            good=fmt.percent(tuned.good_share),
            good_range=_range_words(found.good_range),
        )
        for tuned, found in zip(tuning.optimizers, tuning.statistics, strict=True)
    )


def _expected(tuned: TunedOptimizer, found: TuningStatistics, t: int) -> str:
    if t > len(tuned.expected_best):
        return fmt.MISSING
    mean = ACCURACY.score(tuned.expected_best[t - 1])
    if t == len(tuned.expected_best):
        return mean
    low, high = (ACCURACY.score(ends[t - 1]) for ends in (found.best_low, found.best_high))
    return f"{mean} ({low} to {high})"


def _range_words(found: GoodRange | None) -> str:
    if found is None:
        return fmt.MISSING
    more = " or beyond" if found.is_edge else ""
    low, high = f"{found.low:.2g}", f"{found.high:.2g}"
    if found.low == found.high:
        return f"{found.name} {low}{more or ' only'}"
    width = "" if found.decades is None else f", {_decades(found.decades)}"
    return f"{found.name} {low} to {high}{more}{width}"


def _decades(decades: float) -> str:
    """Return a number of decades as text: ``1.0 decade``, ``1.3 decades``."""
    text = f"{decades:.1f}"
    return f"{text}{fmt.NBSP}decade{'' if text == '1.0' else 's'}"


def ranks_in_words(tuning: Tuning) -> dict[str, str]:
    """Return the rank of each optimizer at the defaults and tuned: ``3 → 1``."""
    return {
        of.optimizer: " → ".join(
            fmt.MISSING if rank is None else str(rank) for rank in (of.rank_default, of.rank_tuned)
        )
        for of in tuning.statistics
    }


def selection_rows(tuning: Tuning) -> tuple[SelectionRow, ...]:
    """Compare validation with test accuracies, in the order of the optimizers."""
    return tuple(
        SelectionRow(
            optimizer=tuned.optimizer,
            validation=ACCURACY.score(tuned.validation_accuracy),
            test=ACCURACY.score(tuned.tuned_accuracy),
            gap=ACCURACY.difference(found.gap),
            interval=ACCURACY.difference_interval(found.gap_ci_low, found.gap_ci_high),
            left_out=ACCURACY.score(found.left_out_accuracy),
            optimism=ACCURACY.difference(found.optimism),
        )
        for tuned, found in zip(tuning.optimizers, tuning.statistics, strict=True)
    )


def selection_gist(tuning: Tuning) -> str:
    """Summarize validation minus test accuracy, and the optimism of the selection."""
    gaps = [of.gap for of in tuning.statistics if of.gap is not None]
    optimism = [of.optimism for of in tuning.statistics if of.optimism is not None]
    parts = []
    if gaps:
        ends = f"{ACCURACY.difference(min(gaps))} to {ACCURACY.difference(max(gaps))}"
        parts.append(f"Validation minus test: {ends} points.")
    if optimism:
        parts.append(f"Optimism: at most {ACCURACY.score(max(optimism))} points.")
    return " ".join(parts)


def selection_note(tuning: Tuning) -> str:
    """Say what validation minus test accuracy and the optimism of the selection contain."""
    has_own_images, is_repeated = tuning.split == "per-seed", tuning.n_repeats > 1
    luck = "the tuning seeds and their held-out images" if has_own_images else "the tuning seeds"
    covered = "other seeds, but not other images"
    if is_repeated:
        covered = "other tunings, but not other test images"
    elif has_own_images:
        covered = "other seeds and held-out images, but not other test images"
    missed = "" if has_own_images else "It does not contain luck with the held-out images. "
    return (
        "Validation minus test is not selection bias alone: it contains the selection (the best of "
        "several settings is partly lucky), other images, and training on one sixth fewer images "
        f"before the selection. Its interval covers {covered}. Optimism estimates the luck with "
        f"{luck}: each seed{' of a repeat' if is_repeated else ''} is left out once, a setting is "
        "chosen with the others, and its accuracy on the seed that was left out counts; optimism "
        "is the validation accuracy of the chosen setting minus the mean of these. It is 0 if the "
        f"same setting is always chosen. {missed}The choice without a seed is a little worse, "
        "because it has less data. With one tuning seed, "
        f"{'optimism is' if is_repeated else 'interval and optimism are'} undefined."
    )


def protocol(tuning: Tuning) -> str:
    """Describe how the settings were chosen."""
    n = max(len(tuned.tried) for tuned in tuning.optimizers)
    images = f"{tuning.n_validation:,} held-out training images"
    others = ", which are others for every tuning seed" if tuning.split == "per-seed" else ""
    return (
        f"Every optimizer had {count(n, 'setting')}, each with the same "
        f"{count(tuning.n_seeds, 'tuning seed')}. The setting with {_best(tuning)} on {images}"
        f"{others} was chosen; the test images were not used. The chosen setting was then trained "
        f"on all training images with the evaluation seeds. {_scope(tuning)}"
    )


def _best(tuning: Tuning) -> str:
    if tuning.target is not None:
        target = ACCURACY.score_with_unit(tuning.target)
        return f"the fewest updates, in the mean, until an evaluation reached {target}"
    return "the lowest mean loss" if tuning.metric == "loss" else "the best mean accuracy"


def _scope(tuning: Tuning) -> str:
    """Say what the intervals cover."""
    if tuning.n_repeats == 1:
        return (
            "Intervals and p-values take the chosen settings as given: they do not cover other "
            "tuning seeds or other held-out images."
        )
    return (
        f"All of this was done {tuning.n_repeats} times with other tuning seeds and other held-out "
        "images, and the evaluation seeds were divided among these repeats. The unit of every test "
        "is the repeat, so that intervals and p-values cover the tuning too."
    )


def choice_words(tuned: TunedOptimizer) -> str:
    """Return the chosen setting as text, or those of the repeats, the most frequent first."""
    settings = Counter(choice.setting for choice in tuned.choices)
    if len(settings) == 1:
        return setting_words(next(iter(settings)))
    n = len(tuned.choices)
    return ", ".join(f"{setting_words(s)} ({k} of {n})" for s, k in settings.most_common())


def setting_words(setting: Sequence[tuple[str, float]]) -> str:
    """Return a setting as text, such as lr 0.003."""
    return ", ".join(f"{name} {value:g}" for name, value in setting) or fmt.MISSING
