"""Simulated scenarios, the rates that are measured in them, and the requirements on the rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import numpy as np

from bench.analysis.results import Correction, Parameters

S = TypeVar("S")
#: Simulated sweep: number of treatments, number of seeds, family-wise level.
K, N_SEEDS, ALPHA = 8, 20, 0.05
N_PAIRS = math.comb(K, 2)
#: A simulated rate may miss its requirement by this many standard errors.
STANDARD_ERRORS = 2.0
#: Largest allowed difference between the power of the sign-flip test and that of the t test, which
#: the analysis uses as an approximation.
POWER_TOLERANCE = 0.03
#: With this wide margin every pair is equivalent unless it is different. The other verdicts do not
#: depend on the margin. Without inconclusive pairs `compare_pairs` takes half of the time, because
#: it does not compute the number of seeds that an inconclusive pair would need.
ANY_MARGIN = 1e9
#: Note on rates without a requirement.
OUTSIDE = "outside the assumptions"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Rule that compares a measured rate with its nominal value, up to `tolerance`.

    Beyond the tolerance, a rate may miss its nominal value by :data:`STANDARD_ERRORS` Monte Carlo
    standard errors.
    """

    rule: Literal["at most", "at least", "near"]
    tolerance: float = 0.0

    def is_met(self, excess: float, standard_error: float) -> bool:
        """Return whether a rate may exceed its nominal value by `excess`, which may be negative."""
        allowed = self.tolerance + STANDARD_ERRORS * standard_error
        too_high = excess > allowed and self.rule != "at least"
        too_low = excess < -allowed and self.rule != "at most"
        return not (too_high or too_low)


AT_MOST = Requirement(rule="at most")
AT_LEAST = Requirement(rule="at least")
NEAR = Requirement(rule="near", tolerance=POWER_TOLERANCE)


@dataclass(frozen=True, kw_only=True)
class Measure(Generic[S]):
    """Definition of a rate that is measured in a scenario.

    `what` is its name; rows of the same name are printed together. `of` returns the contribution of
    one simulated sample: 0, 1, or a number. `requirement` is None where the analysis guarantees
    nothing; `note` then gives the reason.
    """

    what: str
    of: Callable[[S], float]
    nominal: float
    requirement: Requirement | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Study(Generic[S]):
    """Simulated scenario: a function that draws a sample, and the rates measured on each sample.

    The random generator is seeded from `scenario`, so each study needs a unique name.
    """

    scenario: str
    draw: Callable[[np.random.Generator], S]
    measures: tuple[Measure[S], ...]


def error_rate(what: str, of: Callable[[S], float], note: str = "") -> Measure[S]:
    """Return an error rate that must be at most alpha, unless `note` says why it may be higher."""
    return _measure(what, of, ALPHA, AT_MOST, note)


def coverage(what: str, of: Callable[[S], float], note: str = "") -> Measure[S]:
    """Return a coverage that must be at least 1 - alpha, unless `note` says why it may be lower."""
    return _measure(f"coverage of {what}", of, 1 - ALPHA, AT_LEAST, note)


def _measure(
    what: str, of: Callable[[S], float], nominal: float, requirement: Requirement, note: str
) -> Measure[S]:
    required = None if note else requirement
    return Measure(what=what, of=of, nominal=nominal, requirement=required, note=note)


def not_required(note: str, *measures: Measure[S]) -> tuple[Measure[S], ...]:
    """Return the measures without their requirements, for the reason given in `note`."""
    return tuple(replace(measure, requirement=None, note=note) for measure in measures)


def parameters(
    k: int, margin: float, *, n_seeds: int = N_SEEDS, correction: Correction = "holm"
) -> Parameters:
    """Return the declared settings of a simulated sweep with `k` treatments."""
    return Parameters(
        alpha=ALPHA,
        margin=margin,
        direction="higher",
        value="test_accuracy",
        treatment="optimizer",
        block="seed",
        n_blocks=n_seeds,
        k=k,
        correction=correction,
    )


def covers(low: float | None, high: float | None, truth: float) -> bool:
    """Return whether an interval is defined and contains the true value."""
    return low is not None and high is not None and low <= truth <= high


def share(outcomes: Iterable[bool]) -> float:
    """Return the share of outcomes that are true."""
    return float(np.mean(list(outcomes)))
