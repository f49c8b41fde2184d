"""Scenario with new test images in each sweep: coverage of the crossed interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.pairs import compare_pairs
from bench.analysis.results import CrossedInterval, Pair
from bench.analysis.scope import scope
from bench.analysis.table import pair_up
from bench.tools.simulation.study import (
    ALPHA,
    ANY_MARGIN,
    N_SEEDS,
    Study,
    coverage,
    covers,
    parameters,
)

N_IMAGES = 2_000
#: True accuracies of two treatments.
ACCURACIES = (0.975, 0.971)
#: Standard deviations of the random effects: treatment x seed, treatment x image, and the single
#: answer. The standard deviation of the difficulty of an image is 1. The values give mean squares
#: like those of adadelta and adam in results/example.
SEED_EFFECT, TASTE, CHANCE = 0.02, 0.1, 0.2


@dataclass(frozen=True, kw_only=True)
class Scoped:
    """Pair of treatments with the interval over new seeds and the crossed interval."""

    pair: Pair
    crossed: CrossedInterval


def _answers(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw which images are classified correctly, shape (2, N_SEEDS, N_IMAGES).

    An answer is correct where the ability of the treatment and the random effects sum to more than
    0. The expected accuracies over new seeds and images are :data:`ACCURACIES`.
    """
    spread = math.sqrt(1 + SEED_EFFECT**2 + TASTE**2 + CHANCE**2)
    ability = spread * stats.norm.ppf(ACCURACIES)[:, None, None]
    seed = SEED_EFFECT * rng.normal(size=(2, N_SEEDS, 1))
    image = rng.normal(size=N_IMAGES) + TASTE * rng.normal(size=(2, 1, N_IMAGES))
    chance = CHANCE * rng.normal(size=(2, N_SEEDS, N_IMAGES))
    return np.asarray(ability + seed + image + chance > 0)


def _compare_in_both_scopes(rng: np.random.Generator) -> Scoped:
    answers = _answers(rng).reshape(2 * N_SEEDS, N_IMAGES)
    correct = answers.sum(axis=1)
    table = pd.DataFrame(
        {
            "optimizer": np.repeat(["a", "b"], N_SEEDS),
            "seed": np.tile(np.arange(N_SEEDS), 2),
            "test_accuracy": correct / N_IMAGES,
            "test_correct": correct,
            "test_total": N_IMAGES,
            "correct_bits": [bits.tobytes() for bits in np.packbits(answers, axis=1)],
        }
    )
    paired = pair_up(table)
    declared = parameters(2, ANY_MARGIN)
    (pair,) = compare_pairs(paired, paired.treatments, declared, ALPHA)
    found = scope(table, paired, [pair], declared, ALPHA)
    (crossed,) = found.pairs if found else ()
    return Scoped(pair=pair, crossed=crossed)


def _seed_only_coverage(scoped: Scoped) -> bool:
    pair = scoped.pair
    return covers(pair.ci_low, pair.ci_high, ACCURACIES[0] - ACCURACIES[1])


def _crossed_coverage(scoped: Scoped) -> bool:
    crossed = scoped.crossed
    return covers(crossed.crossed_ci_low, crossed.crossed_ci_high, ACCURACIES[0] - ACCURACIES[1])


def new_images_study() -> Study[Scoped]:
    """Return the scenario in which each sweep has new test images."""
    name = "the mean difference over new seeds and images"
    return Study(
        scenario=f"{N_IMAGES:,} new test images each time",
        draw=_compare_in_both_scopes,
        measures=(
            coverage(f"{name}, seed-only", _seed_only_coverage, "valid for the same images only"),
            coverage(f"{name}, crossed", _crossed_coverage),
        ),
    )
