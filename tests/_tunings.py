"""Tunings made by hand: trials of one hyperparameter, and both tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import pandas as pd
from _change_tables import Counts, sweep_of

from bench.analysis import compare_sweeps
from bench.analysis.results.tuning import TunedOptimizer, Tuning
from bench.analysis.tuning import select_settings
from bench.spec.ranges import SearchRange

#: Accuracy of each trial by learning rate, or the status of one without a result.
Trials = Mapping[float, Sequence[float | str]]
LR = SearchRange(name="lr", low=0.001, high=1.0)
#: Four learning rates with three seeds; the best is 0.1, and 0.01 is within one point of it.
TRIALS: Trials = {
    0.001: (0.90, 0.91, 0.92),
    0.01: (0.969, 0.971, 0.970),
    0.1: (0.975, 0.976, 0.974),
    1.0: (0.80, 0.30, "diverged"),
}


def tuned_of(
    trials: Trials,
    *,
    optimizer: str = "sgd",
    metric: str = "accuracy",
    ranges: Sequence[SearchRange] = (LR,),
    n_repeats: int = 1,
) -> TunedOptimizer:
    """Select the setting of one optimizer; its trials have the loss 1 - accuracy."""
    rows = [
        {
            **{"optimizer": f"{optimizer}[lr={lr:g}]", "seed": seed},
            **{"status": "ok" if isinstance(trial, float) else trial},
            **{"test_accuracy": trial if isinstance(trial, float) else 0.1},
            **{"test_loss": 1 - trial if isinstance(trial, float) else 9.0, "train_seconds": 2.0},
        }
        for lr, runs in trials.items()
        for seed, trial in enumerate(runs)
    ]
    table = pd.DataFrame(rows)
    n_seeds = table["seed"].nunique() // n_repeats
    return select_settings(
        [part for _, part in table.groupby(table["seed"] // n_seeds)],
        optimizer=optimizer,
        settings={f"{optimizer}[lr={lr:g}]": (("lr", lr),) for lr in trials},
        ranges=ranges,
        default=(("lr", 0.05),),
        metric=metric,
    )


def tuning_of(
    default: Counts,
    tuned: Counts,
    trials: Mapping[str, Trials] = MappingProxyType({}),
    *,
    metric: str = "accuracy",
    n_repeats: int = 1,
) -> Tuning:
    """Compare both tracks, given as correct images of 10,000; `TRIALS` are those of each."""
    change = compare_sweeps(
        *(sweep_of(counts, test_loss=1.0) for counts in (default, tuned)),
        names=("defaults", "tuned"),
        same_settings=False,
    )
    means = {found.optimizer: found.mean_after for found in change.changes}
    optimizers = [
        tuned_of(
            (trials or {}).get(name, TRIALS), optimizer=name, metric=metric, n_repeats=n_repeats
        )
        for name in default
    ]
    return Tuning(
        name="x",
        metric=metric,
        n_validation=10_000,
        target=None,
        n_seeds=3 // n_repeats,
        n_repeats=n_repeats,
        split="fixed",
        optimizers=tuple(
            replace(
                of,
                tuned_accuracy=means[of.optimizer],
                repeat_accuracies=_repeated(tuned[of.optimizer], n_repeats),
            )
            for of in optimizers
        ),
        change=change,
    )


def _repeated(counts: Sequence[int], n_repeats: int) -> tuple[float, ...]:
    """Accuracies of the repeats; few counts are used again."""
    if n_repeats == 1:
        return ()
    return tuple(counts[repeat % len(counts)] / 10_000 for repeat in range(n_repeats))
