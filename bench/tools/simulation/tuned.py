"""Scenarios of tuned optimizers: one tuning for all seeds, and one for each block of seeds."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.analysis.stats.rounding import FloatArray
from bench.tools.simulation.study import N_SEEDS, K, Study, not_required
from bench.tools.simulation.sweeps import (
    DIFFERENCE,
    FALSE_DIFFERENCE,
    SIMULTANEOUS,
    Sweep,
    World,
    sweep_study,
)

#: Settings of a grid over four decades, as in the default tuning.
_N_SETTINGS = 12
#: Loss of accuracy, in points, one decade from the best setting, and standard deviation over seeds.
_CURVATURE, _NOISE = 2.0, 0.15
_AS_GIVEN = "settings taken as given"


def _accuracies() -> FloatArray:
    """Return the mean accuracy of each setting, in points, up to a constant."""
    decades = np.linspace(-2, 2, _N_SETTINGS) - 0.05  # the best setting is not in the grid
    return np.asarray(-_CURVATURE * decades**2)


def _tuned(rng: np.random.Generator, *, n_repeats: int, n_tuning_seeds: int) -> FloatArray:
    """Draw the accuracies of K equal optimizers, each at a setting that was chosen by its trials.

    The result has shape (N_SEEDS, K) with one tuning, else (n_repeats, K): means over the seeds of
    each repeat.
    """
    means = _accuracies()
    scale = _NOISE / np.sqrt(n_tuning_seeds)
    trials = means + scale * rng.normal(size=(n_repeats, K, _N_SETTINGS))
    chosen = means[trials.argmax(axis=-1)]
    n_seeds = N_SEEDS // n_repeats
    results = chosen + _NOISE * rng.normal(size=(n_seeds, n_repeats, K))
    return np.asarray(results[:, 0] if n_repeats == 1 else results.mean(axis=0))


def tuned_studies() -> tuple[Study[Sweep], ...]:
    """Return the scenarios of tuned optimizers that are equal by construction."""
    measures = (FALSE_DIFFERENCE, DIFFERENCE, SIMULTANEOUS)

    def world(n_repeats: int, n_tuning_seeds: int) -> World:
        draw = partial(_tuned, n_repeats=n_repeats, n_tuning_seeds=n_tuning_seeds)
        return World(draw=draw)

    return (
        sweep_study("tuned once, 3 seeds", world(1, 3), *not_required(_AS_GIVEN, *measures)),
        sweep_study("tuned 20 times, 1 seed each", world(N_SEEDS, 1), *measures),
        sweep_study("tuned 10 times, 3 seeds each", world(10, 3), *measures),
    )
