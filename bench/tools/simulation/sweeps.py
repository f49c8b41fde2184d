"""Scenarios of whole sweeps: family-wise error rates and coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from bench.analysis.pairs import at_most, compare_pairs
from bench.analysis.results import Correction, Pair
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Moments, t_interval
from bench.analysis.table import PairedTable
from bench.tools.simulation.study import (
    ALPHA,
    ANY_MARGIN,
    N_PAIRS,
    N_SEEDS,
    OUTSIDE,
    K,
    Measure,
    Study,
    coverage,
    covers,
    error_rate,
    not_required,
    parameters,
    share,
)

TREATMENTS = tuple("abcdefgh")
EQUAL = (0.0,) * K
#: Four equal means and four clearly different ones: Holm's method rejects all pairs but the six
#: with equal means.
PARTLY_EQUAL = (0.0, 0.0, 0.0, 0.0, 3.0, 6.0, 9.0, 12.0)
#: True difference of sixteen pairs, and their equivalence margin; twelve pairs have equal means.
MARGIN = 1.0
AT_THE_MARGIN = (0.0, 0.0, 0.0, 0.0, MARGIN, MARGIN, MARGIN, MARGIN)
#: Number of test images in the scenario with tied accuracies.
TOTAL = 10_000
_FIRST, _SECOND = np.triu_indices(K, 1)  # the pairs in the order of `compare_pairs`


@dataclass(frozen=True, kw_only=True)
class World:
    """Distribution of the scores of a sweep, and its true parameters.

    Attributes
    ----------
    draw
        Function that draws scores of shape (n_seeds, K); higher is better.
    means
        True mean of each treatment, shape (K,), up to a constant that is common to all.
    win_rate
        Where all means are equal, the probability that a treatment of the first half is better than
        one of the second half on the same seed. Within a half it is 1/2.
    margin
        Margin of the equivalence tests, in the unit of the scores.
    total
        Where the scores are counts of test images divided by their number, that number.
    correction
        Declared correction. With max-T, the p-values of Holm's method are computed too.
    """

    draw: Callable[[np.random.Generator], FloatArray]
    means: tuple[float, ...] = EQUAL
    win_rate: float = 0.5
    margin: float = ANY_MARGIN
    total: int | None = None
    correction: Correction = "holm"

    @property
    def differences(self) -> FloatArray:
        """True mean differences, shape (N_PAIRS,)."""
        means = np.array(self.means)
        return np.asarray(means[_FIRST] - means[_SECOND])

    @property
    def win_rates(self) -> FloatArray:
        """True win rates, shape (N_PAIRS,)."""
        between = (_FIRST < K // 2) & (_SECOND >= K // 2)
        return np.where(between, self.win_rate, 0.5)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Simulated sweep: its scores, shape (N_SEEDS, K), and the compared pairs."""

    world: World
    values: FloatArray
    pairs: tuple[Pair, ...]


def _sweep(rng: np.random.Generator, world: World) -> Sweep:
    values = world.draw(rng)
    nothing_happened = np.zeros(values.shape, dtype=np.bool_)
    paired = PairedTable(
        treatments=TREATMENTS,
        blocks=tuple(range(len(values))),
        values=values,
        cells=np.arange(values.size).reshape(values.shape),
        diverged=nothing_happened,
        failed=nothing_happened,
        total=world.total,
        direction="higher",
    )
    declared = parameters(K, world.margin, n_seeds=len(values), correction=world.correction)
    pairs = compare_pairs(paired, TREATMENTS, declared, ALPHA)
    return Sweep(world=world, values=values, pairs=pairs)


def _false_difference(sweep: Sweep) -> bool:
    """Return whether any pair has a false verdict `better` or `worse`."""
    return any(
        (pair.verdict == "better" and truth <= 0) or (pair.verdict == "worse" and truth >= 0)
        for pair, truth in zip(sweep.pairs, sweep.world.differences, strict=True)
    )


def _false_difference_by_holm(sweep: Sweep) -> bool:
    """Return whether Holm's method rejects any pair, where all pairs have equal means."""
    return any(at_most(pair.pvalue_holm, ALPHA) for pair in sweep.pairs)


def _false_equivalence(sweep: Sweep) -> bool:
    """Return whether any pair with a true difference of at least the margin is `equivalent`."""
    return any(
        pair.verdict == "equivalent"
        for pair, truth in zip(sweep.pairs, sweep.world.differences, strict=True)
        if abs(truth) >= sweep.world.margin
    )


def _false_verdict(sweep: Sweep) -> bool:
    return _false_difference(sweep) or _false_equivalence(sweep)


def _mean_coverage(sweep: Sweep) -> float:
    """Return the share of treatments with a t interval that covers the true mean."""
    intervals = [t_interval(Moments.of(column), ALPHA) for column in sweep.values.T]
    truths = sweep.world.means
    return share(covers(i.low, i.high, m) for i, m in zip(intervals, truths, strict=True))


def _difference_coverage(sweep: Sweep) -> float:
    """Return the share of pairs with a t interval that covers the true mean difference."""
    truths = zip(sweep.pairs, sweep.world.differences, strict=True)
    return share(covers(pair.ci_low, pair.ci_high, d) for pair, d in truths)


def _simultaneous_coverage(sweep: Sweep) -> bool:
    """Return whether the simultaneous intervals cover the true mean differences of all pairs."""
    truths = zip(sweep.pairs, sweep.world.differences, strict=True)
    return all(covers(pair.simultaneous_ci_low, pair.simultaneous_ci_high, d) for pair, d in truths)


def _win_rate_coverage(sweep: Sweep) -> float:
    """Return the share of pairs with a Wilson interval that covers the true win rate."""
    truths = zip(sweep.pairs, sweep.world.win_rates, strict=True)
    return share(covers(pair.win_rate_low, pair.win_rate_high, rate) for pair, rate in truths)


def _normal(
    rng: np.random.Generator,
    means: tuple[float, ...] = EQUAL,
    scale: float = 1.0,
    n_seeds: int = N_SEEDS,
) -> FloatArray:
    """Draw scores with a seed effect common to all treatments, and normal noise."""
    shared = rng.normal(size=(n_seeds, 1))
    return np.asarray(means + shared + scale * rng.normal(size=(n_seeds, K)))


def _skewed(rng: np.random.Generator, n_seeds: int = N_SEEDS) -> FloatArray:
    """Draw from one exponential distribution for all treatments: differences are symmetric."""
    return rng.exponential(size=(n_seeds, K)) - 1


def _heavy_tailed(rng: np.random.Generator) -> FloatArray:
    """Draw from Student's t with two degrees of freedom, which has no finite variance."""
    return rng.standard_t(2, size=(N_SEEDS, K))


def _tied(rng: np.random.Generator) -> FloatArray:
    """Draw accuracies with three possible values: three differences in eight are 0."""
    return np.asarray((9_700 + rng.binomial(2, 0.5, size=(N_SEEDS, K))) / TOTAL)


def _correlated(rng: np.random.Generator) -> FloatArray:
    """Draw scores with a strong common seed effect, and noise with a scale per seed."""
    shared, scale = 10 * rng.normal(size=(N_SEEDS, 1)), rng.lognormal(size=(N_SEEDS, 1))
    return np.asarray(shared + scale * rng.normal(size=(N_SEEDS, K)))


def _steady_and_skewed(rng: np.random.Generator) -> FloatArray:
    """Draw four treatments with little noise, and four of the same mean with a tail of bad runs."""
    steady = _STEADY * rng.normal(size=(N_SEEDS, K // 2))
    return np.hstack([steady, 1 - rng.exponential(size=(N_SEEDS, K // 2))])


def _mirrored(rng: np.random.Generator, n_seeds: int = N_SEEDS) -> FloatArray:
    """Draw four treatments with a tail of good runs and four with one of bad runs; equal means."""
    good, bad = rng.exponential(size=(2, n_seeds, K // 2))
    return np.hstack([good - 1, 1 - bad])


def _collapsing(
    rng: np.random.Generator,
    rate: float,
    depth: float,
    means: tuple[float, ...] = EQUAL,
    scale: float = 1.0,
) -> FloatArray:
    """Draw normal scores; runs of the first four treatments collapse at this rate, by `depth`.

    The means are true means: without a collapse, these treatments are better than their mean.
    """
    scores = _normal(rng, means, scale)
    collapsed = rng.random((N_SEEDS, K // 2)) < rate
    scores[:, : K // 2] += depth * (rate - collapsed)
    return scores


def _wins_despite_collapses(rate: float, depth: float) -> float:
    """Return the probability that a run that may collapse is better than one that does not."""
    ahead, behind = (stats.norm.cdf(x / np.sqrt(2)) for x in (rate * depth, (rate - 1) * depth))
    return float((1 - rate) * ahead + rate * behind)


_STEADY = 0.1
#: Probability that normal noise of scale `_STEADY` exceeds 1 minus an exponential variable.
_STEADY_WINS = float(stats.exponnorm.sf(1, 1 / _STEADY, scale=_STEADY))
#: Probability that the sum of two exponential variables exceeds the sum of their means.
_GOOD_WINS = float(stats.gamma.sf(2, 2))
FALSE_DIFFERENCE = error_rate("family-wise error: any false 'better' or 'worse'", _false_difference)
FALSE_EQUIVALENCE = error_rate("family-wise error: any false 'equivalent'", _false_equivalence)
MEAN = coverage("the t interval of a mean", _mean_coverage)
DIFFERENCE = coverage("the t interval of a mean difference", _difference_coverage)
SIMULTANEOUS = coverage(
    f"the simultaneous intervals, all {N_PAIRS} pairs at once", _simultaneous_coverage
)
#: Numbers of seeds in the scenarios of max-T: it can reject from 6 on, Holm's method from 11 on.
FEW, ELEVEN = 6, 11
_ERROR = "family-wise error with few seeds"
BY_MAX_T = error_rate(f"{_ERROR}, max-T", _false_difference)
BY_HOLM = error_rate(f"{_ERROR}, Holm's method", _false_difference_by_holm)
WIN_RATE = coverage("Wilson's interval of the win rate", _win_rate_coverage)


def sweep_studies() -> tuple[Study[Sweep], ...]:
    """Return the scenarios of whole sweeps.

    In all but the last two, differences of mean 0 are symmetric, as the sign-flip test assumes.
    """
    all_t = (MEAN, DIFFERENCE, SIMULTANEOUS)
    outside = (
        *not_required(OUTSIDE, FALSE_DIFFERENCE, DIFFERENCE, SIMULTANEOUS),
        *not_required("approximate unless it is 1/2", WIN_RATE),
    )
    either = error_rate(
        "any false verdict of either family", _false_verdict, "two families, each at level alpha"
    )
    return (
        sweep_study("normal", World(draw=_normal), FALSE_DIFFERENCE, *all_t, WIN_RATE),
        sweep_study(
            "skewed, all alike",
            World(draw=_skewed),
            *(FALSE_DIFFERENCE, WIN_RATE),
            *not_required("t intervals assume normal data", *all_t),
        ),
        sweep_study("heavy-tailed", World(draw=_heavy_tailed), FALSE_DIFFERENCE),
        sweep_study("tied counts", World(draw=_tied, total=TOTAL), FALSE_DIFFERENCE),
        sweep_study("correlated, unequal scales", World(draw=_correlated), FALSE_DIFFERENCE),
        sweep_study(
            "partial null: 4 equal, 4 apart",
            World(draw=partial(_normal, means=PARTLY_EQUAL), means=PARTLY_EQUAL),
            FALSE_DIFFERENCE,
        ),
        sweep_study(
            "16 pairs at the margin, 12 equal",
            World(
                # with little noise equal pairs are often equivalent: a hard case for Holm's method
                draw=partial(_normal, means=AT_THE_MARGIN, scale=0.7 * MARGIN),
                means=AT_THE_MARGIN,
                margin=MARGIN,
            ),
            *(FALSE_DIFFERENCE, FALSE_EQUIVALENCE, either),
        ),
        sweep_study(
            "skewed differences: steady or tailed",
            World(draw=_steady_and_skewed, win_rate=_STEADY_WINS),
            *outside,
        ),
        sweep_study(
            "skewed differences: mirrored tails",
            World(draw=_mirrored, win_rate=_GOOD_WINS),
            *outside,
        ),
    )


def collapse_studies() -> tuple[Study[Sweep], ...]:
    """Return the scenarios with collapsed runs, outside the assumptions of the tests."""
    differences = (FALSE_DIFFERENCE, DIFFERENCE, SIMULTANEOUS)
    # without their collapses, the first four would equal the others
    apart, rate = (-MARGIN,) * (K // 2) + (0.0,) * (K // 2), 0.03
    at_margin = partial(_collapsing, rate=rate, depth=MARGIN / rate, means=apart, scale=0.3)
    return (
        *(
            sweep_study(
                f"5 % of runs of four collapse by {depth:g} s.d.",
                World(
                    draw=partial(_collapsing, rate=0.05, depth=depth),
                    win_rate=_wins_despite_collapses(0.05, depth),
                ),
                *not_required(OUTSIDE, *differences),
            )
            for depth in (10.0, 100.0)
        ),
        sweep_study(
            "3 % of runs of four collapse, to the margin",
            World(draw=at_margin, means=apart, margin=MARGIN),
            *not_required(OUTSIDE, FALSE_EQUIVALENCE),
        ),
    )


def max_t_studies() -> tuple[Study[Sweep], ...]:
    """Return the scenarios of max-T with few seeds, beside Holm's method on the same samples.

    Skewed scores are not jointly symmetric, as max-T assumes, even where all treatments are alike.
    """
    return (
        *(
            sweep_study(
                f"normal, {n} seeds",
                World(draw=partial(_normal, n_seeds=n), correction="max-t"),
                *(BY_MAX_T, BY_HOLM),
            )
            for n in (FEW, ELEVEN)
        ),
        *(
            sweep_study(
                f"mirrored tails, {n} seeds",
                World(
                    draw=partial(_mirrored, n_seeds=n),
                    win_rate=_GOOD_WINS,
                    correction="max-t",
                ),
                *not_required("not jointly symmetric", BY_MAX_T),
                *not_required(OUTSIDE, BY_HOLM),
            )
            for n in (FEW, ELEVEN)
        ),
        sweep_study(
            "skewed, all alike, 11 seeds",
            World(draw=partial(_skewed, n_seeds=ELEVEN), correction="max-t"),
            *not_required("not jointly symmetric", BY_MAX_T),
            BY_HOLM,
        ),
        sweep_study(
            "partial null, 11 seeds",
            World(
                draw=partial(_normal, means=PARTLY_EQUAL, n_seeds=ELEVEN),
                means=PARTLY_EQUAL,
                correction="max-t",
            ),
            BY_MAX_T,
        ),
    )


def sweep_study(scenario: str, world: World, *measures: Measure[Sweep]) -> Study[Sweep]:
    """Return the scenario of sweeps whose scores are drawn by `world`."""
    return Study(scenario=scenario, draw=partial(_sweep, world=world), measures=measures)
