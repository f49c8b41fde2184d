"""Sentences and formatted rows on the tuning of optimizers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.results import Change, Verdict
from bench.analysis.results.tuning import TunedOptimizer, Tuning
from bench.report.text import format as fmt
from bench.report.text.format import ACCURACY, count, listing
from bench.report.text.sanitize import clean

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
    """Expected best validation accuracy of one optimizer for some numbers of trials, as text."""

    optimizer: str
    expected: tuple[str, ...]
    good: str


def tuning_verdict(tuning: Tuning) -> tuple[str, ...]:
    """Say what tuning changed, who leads each track, and which choices are at an end of a range."""
    return (
        *_on_changes(tuning),
        *_on_leaders(tuning),
        *_on_edges(tuning),
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
        yield "Inconclusive does not mean that tuning is useless: these seeds do not decide it."


def _by(changes: Sequence[Change]) -> str:
    sizes = sorted(abs(c.mean_difference) for c in changes if c.mean_difference is not None)
    if not sizes:
        return ""
    low, high = ACCURACY.size(sizes[0]), ACCURACY.size(sizes[-1])
    return f" by {low} points" if low == high else f" by {low} to {high} points"


def _on_leaders(tuning: Tuning) -> Iterator[str]:
    tracks = {
        "at their defaults": [(c.mean_before, c.optimizer) for c in tuning.change.changes],
        "tuned": [(c.mean_after, c.optimizer) for c in tuning.change.changes],
    }
    leaders = []
    for track, means in tracks.items():
        known = [(mean, name) for mean, name in means if mean is not None]
        if len(known) < 2:
            return
        mean, name = max(known)
        leaders.append(f"{track} {clean(name)} ({ACCURACY.score_with_unit(mean)})")
    yield (
        f"The highest mean has {' and '.join(leaders)}; the reports on the two tracks say which "
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
            f"The chosen {value} for {listing(names)}: a better one may lie beyond it (--space)."
        )


def _on_trials(tuning: Tuning) -> Iterator[str]:
    best = [(o.expected_best[0], clean(o.optimizer)) for o in tuning.optimizers if o.expected_best]
    if len(best) > 1:
        accuracy, name = max(best)
        yield (
            f"With one setting drawn at random from its range, {name} has the highest expected "
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
    """Return the expected best accuracy for few and for all trials."""
    shown = budgets(tuning)
    return tuple(
        BudgetRow(
            optimizer=tuned.optimizer,
            expected=tuple(
                ACCURACY.score(tuned.expected_best[t - 1]) if tuned.expected_best else fmt.MISSING
                for t in shown
            ),
            good=fmt.percent(tuned.good_share),
        )
        for tuned in tuning.optimizers
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
