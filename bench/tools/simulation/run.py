"""Run a simulation in worker processes and compare the measured rates with the requirements."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.analysis.stats.rounding import FloatArray
from bench.errors import SpecError, WorkerError
from bench.execution._joblib import joblib, workers
from bench.execution.environment import available_cores
from bench.tools.simulation.new_images import new_images_study
from bench.tools.simulation.pairs import EFFECTS, looks_study, power_study, skewed_pair_study
from bench.tools.simulation.sequential import sequential_studies
from bench.tools.simulation.study import ALPHA, N_SEEDS, K, Measure, Requirement, S, Study
from bench.tools.simulation.sweeps import collapse_studies, max_t_studies, sweep_studies
from bench.tools.simulation.times import times_studies
from bench.tools.simulation.tuned import tuned_studies

#: Number of repetitions that share a random generator and form one job of a worker.
BLOCK = 50


@dataclass(frozen=True, kw_only=True)
class Row:
    """Rate measured in one scenario; see :class:`Study` and :class:`Measure` for the other fields.

    `measured` is the mean over the repetitions, and `standard_error` its Monte Carlo standard error
    (ddof=1). `met` says whether the requirement is met; None without a requirement.
    """

    scenario: str
    what: str
    nominal: float
    measured: float
    standard_error: float
    repetitions: int
    requirement: Requirement | None
    met: bool | None
    note: str


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Results of a simulation and the settings that determine them.

    `n_treatments`, `n_seeds` and `alpha` describe the simulated sweep; `rng` seeds the random
    generators. The results do not depend on the number of workers.
    """

    n_treatments: int
    n_seeds: int
    alpha: float
    repetitions: int
    rng: int
    rows: tuple[Row, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """Rows that do not meet their requirement."""
        return tuple(row for row in self.rows if row.met is False)


def make_studies() -> tuple[Study[Any], ...]:
    """Return all scenarios in which the analysis is validated."""
    return (
        *sweep_studies(),
        *collapse_studies(),
        *max_t_studies(),
        *tuned_studies(),
        skewed_pair_study(),
        new_images_study(),
        *(power_study(dz) for dz in EFFECTS),
        looks_study(),
        *sequential_studies(),
        *times_studies(),
    )


def validate(
    repetitions: int,
    rng: int,
    *,
    n_jobs: int = -1,
    studies: Sequence[Study[Any]] | None = None,
    tell: Callable[[str], object] | None = None,
) -> Validation:
    """Simulate all scenarios, and compare every measured rate with its requirement.

    Each scenario (by default those of :func:`make_studies`) has `repetitions` samples, at least 2.
    `rng` is a non-negative integer that seeds the random generators; equal values give equal rows
    for any number `n_jobs` of worker processes (-1: one per core; 1: this process). `tell` gets the
    name of each finished scenario. Raise SpecError if `repetitions`, `rng` or `n_jobs` is
    out of range, or two studies have the same name, and WorkerError if a worker process dies.
    """
    studies = make_studies() if studies is None else studies
    _check(repetitions, rng, n_jobs, [study.scenario for study in studies])
    rows: list[Row] = []
    blocks = _outcomes(repetitions, rng, n_jobs, studies)
    for study in studies:
        outcomes = np.concatenate(list(islice(blocks, -(-repetitions // BLOCK))))
        rows += [_row(study, m, x) for m, x in zip(study.measures, outcomes.T, strict=True)]
        if tell:
            tell(study.scenario)
    return Validation(
        n_treatments=K,
        n_seeds=N_SEEDS,
        alpha=ALPHA,
        repetitions=repetitions,
        rng=rng,
        rows=tuple(rows),
    )


def _check(repetitions: int, rng: int, n_jobs: int, scenarios: Sequence[str]) -> None:
    if repetitions < 2:
        raise SpecError(f"repetitions must be at least 2, got {repetitions}")
    if rng < 0:
        raise SpecError(f"rng must be a whole number of at least 0, got {rng}")
    if n_jobs != -1 and n_jobs < 1:
        raise SpecError(f"n_jobs must be at least 1, or -1 for all cores, got {n_jobs}")
    for scenario in scenarios:
        if scenarios.count(scenario) > 1:
            raise SpecError(f"scenario names must be unique, got {scenario!r} twice")


def _outcomes(
    repetitions: int, rng: int, n_jobs: int, studies: Iterable[Study[Any]]
) -> Iterator[FloatArray]:
    """Yield the outcomes of each block of repetitions, study by study."""
    n_jobs = workers(available_cores() if n_jobs == -1 else n_jobs)
    parallel = joblib.Parallel(
        n_jobs=n_jobs,
        backend="loky" if n_jobs > 1 else "sequential",
        return_as="generator",
        batch_size=1,
    )
    jobs = (
        joblib.delayed(_block)(study, rng, start, min(BLOCK, repetitions - start))
        for study in studies
        for start in range(0, repetitions, BLOCK)
    )
    try:
        yield from parallel(jobs)
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process died or did not start, probably because memory ran out: use fewer "
            f"--n-jobs ({type(error).__name__})"
        ) from error


def _block(study: Study[S], rng: int, start: int, repetitions: int) -> FloatArray:
    """Return the outcomes of repetitions `start`, `start` + 1, ...: (repetitions, n_measures)."""
    name = int.from_bytes(hashlib.sha256(study.scenario.encode()).digest()[:8])
    generator = np.random.default_rng(np.random.SeedSequence([rng, name, start]))
    with threadpool_limits(1):
        samples = (study.draw(generator) for _ in range(repetitions))
        return np.array([[measure.of(sample) for measure in study.measures] for sample in samples])


def _row(study: Study[Any], measure: Measure[Any], outcomes: FloatArray) -> Row:
    measured = float(outcomes.mean())
    standard_error = float(outcomes.std(ddof=1)) / math.sqrt(len(outcomes))
    requirement = measure.requirement
    excess = measured - measure.nominal
    return Row(
        scenario=study.scenario,
        what=measure.what,
        nominal=measure.nominal,
        measured=measured,
        standard_error=standard_error,
        repetitions=len(outcomes),
        requirement=requirement,
        met=None if requirement is None else requirement.is_met(excess, standard_error),
        note=measure.note,
    )
