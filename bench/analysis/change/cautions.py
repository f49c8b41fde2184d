"""Warnings about the comparison of two sweeps, as sentences for the reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analysis.change.runs import WORKLOAD
from bench.analysis.pairs import MIN_BLOCKS_FOR_VERDICT
from bench.analysis.results import Block, Change, Obstacle, SweepChange
from bench.analysis.stats.multiplicity import family_size
from bench.analysis.stats.power import seeds_to_reject
from bench.spec.expressions import format_seeds
from bench.words import count, plural

#: Largest number of optimizers that are named in a sentence.
_MANY = 4
_REASONS: dict[Obstacle, str] = {
    "workload": "their workloads differ",
    "seeds": "no optimizer has a result for one seed in both",
    "initial weights": "runs of the same seed differ in their initial weights",
    "order of the data": "runs of the same seed differ in the order of the data",
}


def change_cautions(found: SweepChange, *, is_copy: bool, same_settings: bool) -> tuple[str, ...]:
    """Return all warnings about `found`, which has none yet, the most important first.

    Warnings about the whole comparison come first, then those about all verdicts, then those about
    single optimizers. `is_copy` says whether one sweep is a copy of the other, and `same_settings`
    whether the hyperparameters should be the same.
    """
    copied = (
        "All common runs started in the same microsecond before and after: one sweep is a copy of "
        "the other, and there is nothing to compare."
    )
    return (
        *((copied,) if is_copy else ()),
        *_missing(found),
        *_other_workload(found),
        *(_other_hyperparameters(found) if same_settings else ()),
        *_not_paired(found),
        *_too_few_seeds(found),
        *_left_out(found),
        *_newly_failed(found.changes, found.parameters.block),
        *_diverged(found.changes),
    )


def _other_workload(found: SweepChange) -> Iterator[str]:
    if found.obstacle != "workload":
        return
    differing = [
        f"{f.column.replace('_', ' ')} {', '.join(f.before)} and {', '.join(f.after)}"
        for f in found.facts
        if f.optimizer is None and f.column in WORKLOAD
    ]
    yield (
        f"The workloads differ ({'; '.join(differing)}): the effect of the workload cannot be "
        "separated from other effects."
    )


def _other_hyperparameters(found: SweepChange) -> Iterator[str]:
    names = list(dict.fromkeys(f.optimizer for f in found.facts if f.optimizer is not None))
    if names:
        verb = "is not the same optimizer" if len(names) == 1 else "are not the same optimizers"
        yield (
            f"{_listed(names)} {verb} before and after: the class or the hyperparameters differ, "
            "and their effect cannot be separated from other effects."
        )


def _not_paired(found: SweepChange) -> Iterator[str]:
    if found.obstacle is None:
        return
    yield (
        f"The runs are not paired: {_REASONS[found.obstacle]}. The sweeps are compared as "
        "independent samples, which detects only larger changes."
    )


def _too_few_seeds(found: SweepChange) -> Iterator[str]:
    """Warn where no p-value can be small enough; Welch's p-value has no smallest value."""
    if found.obstacle is not None or all(
        c.is_alike or c.verdict == "identical" for c in found.changes
    ):
        return
    most = max(change.n for change in found.changes)
    n_tested = family_size([c.pvalue for c in found.changes], 0) or len(found.changes)
    needed = seeds_to_reject(n_tested, found.parameters.alpha)
    if most < needed:
        blocks = count(most, f"common {found.parameters.block}")
        yield (
            f"With {blocks} no change can be significant: Holm's method over "
            f"{count(n_tested, 'optimizer')} needs {needed}."
        )


def _missing(found: SweepChange) -> Iterator[str]:
    """Name all optimizers and seeds of the sweep before that the sweep after lacks."""
    if found.only_before:
        yield f"Missing after, and not compared: {', '.join(found.only_before)}."
    lacking: dict[tuple[Block, ...], list[str]] = {}
    for change in found.changes:
        if change.missing_seeds:
            lacking.setdefault(change.missing_seeds, []).append(change.optimizer)
    if lacking:
        block = found.parameters.block
        listed = (
            f"{_blocks(seeds, block)} of {', '.join(names)}" for seeds, names in lacking.items()
        )
        yield f"Missing after, and not compared: {'; '.join(listed)}."


def _blocks(seeds: Sequence[Block], noun: str) -> str:
    numbers = [seed for seed in seeds if isinstance(seed, int)]
    text = format_seeds(numbers) if len(numbers) == len(seeds) else ",".join(map(str, seeds))
    return f"{noun if len(seeds) == 1 else plural(noun)} {text}"


def _left_out(found: SweepChange) -> Iterator[str]:
    if found.only_after:
        yield f"Only in the sweep after, and not compared: {', '.join(found.only_after)}."
    few = [
        c.optimizer
        for c in found.changes
        if (c.n if c.is_paired else min(c.n_before, c.n_after)) < MIN_BLOCKS_FOR_VERDICT
    ]
    if few:
        what = (
            f"common {found.parameters.block}s" if found.obstacle is None else "runs in each sweep"
        )
        yield f"Not testable, with fewer than {MIN_BLOCKS_FOR_VERDICT} {what}: {_listed(few)}."


def _newly_failed(changes: Sequence[Change], block: str) -> Iterator[str]:
    for c in changes:
        if c.n_newly_failed:
            yield (
                f"{c.optimizer}: {count(c.n_newly_failed, 'run')} failed after on a {block} with a "
                "result before; failed runs are left out of all numbers."
            )


def _diverged(changes: Sequence[Change]) -> Iterator[str]:
    for c in changes:
        if c.n_diverged_before or c.n_diverged_after:
            yield (
                f"{c.optimizer}: {count(c.n_diverged_before, 'run')} diverged before and "
                f"{c.n_diverged_after} after; they count with their final accuracy."
            )


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MANY:
        return f"{', '.join(names[:_MANY])} and {len(names) - _MANY} more"
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
