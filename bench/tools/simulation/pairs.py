"""Scenarios of one pair: type I error, power, and repeated looks."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.analysis.pairs import at_most
from bench.analysis.stats.differences import Differences, paired_differences
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.power import t_test_power
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.sequential import look_level
from bench.analysis.stats.student import t_pvalue
from bench.analysis.stats.wilcoxon import wilcoxon_pvalue
from bench.tools.simulation.study import (
    ALPHA,
    N_PAIRS,
    N_SEEDS,
    NEAR,
    OUTSIDE,
    Measure,
    Study,
    error_rate,
)

#: True effects in standard deviations of the differences; the nominal power at 1.019 is 0.8.
EFFECTS = (0.5, 0.75, 1.019, 1.25, 1.5)
#: Numbers of seeds at which the results are analysed.
LOOKS = (5, 10, 15, 20)
Pvalues = tuple[float | None, ...]


def _differences(x: FloatArray) -> Differences:
    return paired_differences(x, np.zeros(len(x)))


def _skewed_differences(rng: np.random.Generator) -> Differences:
    return _differences(rng.exponential(size=N_SEEDS) - 1)


def _sign_flip_rejects(d: Differences, level: float = ALPHA) -> bool:
    return at_most(sign_flip_pvalue(d.units, d.slack), level)


def _t_rejects(d: Differences) -> bool:
    return at_most(t_pvalue(d.moments), ALPHA)


def _wilcoxon_rejects(d: Differences) -> bool:
    return at_most(wilcoxon_pvalue(d.values), ALPHA)


def skewed_pair_study() -> Study[Differences]:
    """Return the scenario of one pair with skewed differences."""
    name = "type I error of one pair"
    return Study(
        scenario="exponential differences of mean 0",
        draw=_skewed_differences,
        measures=(
            error_rate(f"{name}, sign-flip test", _sign_flip_rejects, OUTSIDE),
            error_rate(f"{name}, paired t test", _t_rejects, OUTSIDE),
            error_rate(f"{name}, Wilcoxon's test", _wilcoxon_rejects, OUTSIDE),
        ),
    )


def _normal_differences(rng: np.random.Generator, dz: float) -> Differences:
    return _differences(rng.normal(dz, size=N_SEEDS))


def power_study(dz: float) -> Study[Differences]:
    """Return the scenario that measures the power at the true effect `dz`."""
    level = ALPHA / N_PAIRS
    power = Measure[Differences](
        what=f"power of the sign-flip test at level {ALPHA:g}/{N_PAIRS}; nominal: the t test's",
        of=partial(_sign_flip_rejects, level=level),
        nominal=t_test_power(dz, N_SEEDS, level),
        requirement=NEAR,
    )
    return Study(
        scenario=f"true d_z {dz:.3f}", draw=partial(_normal_differences, dz=dz), measures=(power,)
    )


def _look(rng: np.random.Generator) -> Pvalues:
    """Return the p-values of the sign-flip test, one for each number of seeds in :data:`LOOKS`."""
    values = rng.normal(size=max(LOOKS))
    seen = [_differences(values[:n]) for n in LOOKS]
    return tuple(sign_flip_pvalue(d.units, d.slack) for d in seen)


def _errs_at_a_look(pvalues: Pvalues, levels: tuple[float, ...]) -> bool:
    return any(map(at_most, pvalues, levels))


def looks_study() -> Study[Pvalues]:
    """Return the scenario of several looks at a growing number of seeds."""
    n_looks = len(LOOKS)
    naive, planned, any_number = (
        partial(_errs_at_a_look, levels=levels)
        for levels in (
            (ALPHA,) * n_looks,
            tuple(look_level(look, ALPHA, n_looks) for look in range(1, n_looks + 1)),
            tuple(look_level(look, ALPHA, None) for look in range(1, n_looks + 1)),
        )
    )
    name = "type I error of one pair, looks"
    return Study(
        scenario=f"normal, looks at {', '.join(map(str, LOOKS))} seeds",
        draw=_look,
        measures=(
            error_rate(f"{name} at alpha each", naive, "why alpha is divided among looks"),
            error_rate(f"{name} at alpha/{n_looks}, as planned", planned),
            error_rate(f"{name} at alpha/(j (j + 1)), any number", any_number),
        ),
    )
