"""Scenarios of times to a target that are known between two evaluations: coverage of the mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.analysis.stats.brackets import bracketed_mean_interval
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Moments, t_interval
from bench.tools.simulation.study import ALPHA, N_SEEDS, Study, coverage, covers

#: Number of updates between two evaluations, and of a run.
STEP, BUDGET = 500.0, 3_000.0
GRID = np.arange(0.0, BUDGET + 1, STEP)
#: Mean and standard deviation of the time of a run that reaches the target.
MEAN, STD = 980.0, 40.0


@dataclass(frozen=True, kw_only=True)
class Times:
    """Brackets of the times of one treatment, shape (N_SEEDS,), and the true restricted mean."""

    lower: FloatArray
    upper: FloatArray
    truth: float


def _bracketed(
    rng: np.random.Generator, draw: Callable[[np.random.Generator], FloatArray], truth: float
) -> Times:
    times = draw(rng)
    upper = np.minimum(np.ceil(times / STEP) * STEP, BUDGET)
    lower = np.where(times > BUDGET, BUDGET, upper - STEP)
    return Times(lower=lower, upper=upper, truth=truth)


def _normal(rng: np.random.Generator) -> FloatArray:
    """Draw times on both sides of an evaluation."""
    return rng.normal(MEAN, STD, size=N_SEEDS)


def _never(rng: np.random.Generator, rate: float) -> FloatArray:
    """Draw times of which a share is never reached."""
    return np.where(rng.random(N_SEEDS) < rate, np.inf, _normal(rng))


def _last_moment(rng: np.random.Generator, late: float) -> FloatArray:
    """Draw times at the very end of a bracket, of which a share lies in the next one."""
    return np.where(rng.random(N_SEEDS) < late, 1_500.0, 1_000.0)


def _covers(times: Times) -> bool:
    interval = bracketed_mean_interval(times.lower, times.upper, GRID, ALPHA)
    return covers(interval.low, interval.high, times.truth)


def _rounded_covers(times: Times) -> bool:
    interval = t_interval(Moments.of(times.upper), ALPHA)
    return covers(interval.low, interval.high, times.truth)


def times_studies() -> tuple[Study[Times], ...]:
    """Return the scenarios of grid-censored times."""
    name = "the mean time to the target"
    rounded = coverage(
        f"{name}, t interval of rounded times", _rounded_covers, "why it is not used"
    )
    bracketed = coverage(f"{name}, bracketed", _covers)
    return tuple(
        Study(
            scenario=f"grid-censored times, {kind}",
            draw=partial(_bracketed, draw=draw, truth=truth),
            measures=(bracketed, rounded),
        )
        for kind, draw, truth in (
            ("normal", _normal, MEAN),
            ("5 % late", partial(_last_moment, late=0.05), 1_025.0),
            ("20 % never", partial(_never, rate=0.2), 0.8 * MEAN + 0.2 * BUDGET),
        )
    )
