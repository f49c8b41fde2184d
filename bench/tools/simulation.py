"""Does the analysis keep its word? Simulated sweeps whose truth is known, judged by its own code.

Error rates, coverage and power are counted over many simulated sweeps of eight treatments and
twenty seeds. What is promised is held against the count: it may miss by two Monte Carlo standard
errors. What is not promised, because an assumption does not hold, is counted all the same.

References
----------
.. [1] Morris, T. P., White, I. R. & Crowther, M. J. (2019). Using simulation studies to evaluate
   statistical methods. Statistics in Medicine 38, 2074-2102. (Monte Carlo standard errors.)
.. [2] Romano, J. P. (1990). On the behavior of randomization tests without a group invariance
   assumption. JASA 85, 686-692. (Why sign flips may err too often where differences are skewed.)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from threadpoolctl import threadpool_limits

from bench.analysis.pairs import compare_pairs
from bench.analysis.results import CrossedInterval, Pair, Parameters
from bench.analysis.scope import scope
from bench.analysis.stats.differences import Differences, paired_differences
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.power import t_test_power
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.sequential import look_level
from bench.analysis.stats.student import Moments, t_interval, t_pvalue
from bench.analysis.stats.wilcoxon import wilcoxon_pvalue
from bench.analysis.table import PairedTable, pair_up
from bench.errors import SpecError, WorkerError
from bench.execution._joblib import joblib, workers
from bench.execution.environment import available_cores

S = TypeVar("S")

#: The sweep that is simulated: treatments, seeds, family-wise level.
K, N_SEEDS, ALPHA = 8, 20, 0.05
N_PAIRS = math.comb(K, 2)
TREATMENTS = tuple("abcdefgh")
#: Repetitions that share a stream of random numbers, and are one job for a worker.
BLOCK = 50
#: A simulated rate may miss its requirement by this many standard errors.
STANDARD_ERRORS = 2.0
#: As near as this the power of the sign-flip test has to be to the t test's, which stands for it.
POWER_TOLERANCE = 0.03
#: True effects in standard deviations of the differences; at 1.019 the power is to be 0.8.
EFFECTS = (0.5, 0.75, 1.019, 1.25, 1.5)
#: Seeds at which results are looked at while more are added.
LOOKS = (5, 10, 15, 20)
#: With a margin as wide as this every pair is truly equivalent, and is called so unless it is
#: called different. No other verdict depends on it, and `compare_pairs` is spared the question,
#: half of its time, of how many seeds an inconclusive pair would need.
ANY_MARGIN = 1e9

OUTSIDE = "outside the assumptions"


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """How a measured rate must lie to its nominal value, give or take `tolerance`.

    Beyond the tolerance it may miss by :data:`STANDARD_ERRORS` Monte Carlo standard errors.
    """

    rule: Literal["at most", "at least", "near"]
    tolerance: float = 0.0

    def is_met(self, excess: float, standard_error: float) -> bool:
        """Whether a rate may exceed its nominal value by this much, which may be negative."""
        allowed = self.tolerance + STANDARD_ERRORS * standard_error
        too_high = excess > allowed and self.rule != "at least"
        too_low = excess < -allowed and self.rule != "at most"
        return not (too_high or too_low)


AT_MOST = Requirement(rule="at most")
AT_LEAST = Requirement(rule="at least")
NEAR = Requirement(rule="near", tolerance=POWER_TOLERANCE)


@dataclass(frozen=True, kw_only=True)
class Measure(Generic[S]):
    """A rate to be measured.

    Attributes
    ----------
    what
        Its name; rows of the same name are shown together.
    of
        Its contribution from one simulated sample: 0 or 1, or the share of what was tried.
    nominal
        What it is meant to be.
    requirement
        None where nothing is promised; `note` then says why.
    """

    what: str
    of: Callable[[S], float]
    nominal: float
    requirement: Requirement | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Study(Generic[S]):
    """One scenario: how a sample is drawn, and what is measured on each.

    `scenario` seeds its random numbers, so no two studies may share it.
    """

    scenario: str
    draw: Callable[[np.random.Generator], S]
    measures: tuple[Measure[S], ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One rate, measured in one scenario.

    Attributes
    ----------
    scenario, what, nominal, requirement, note
        See :class:`Study` and :class:`Measure`.
    measured
        Mean over the repetitions.
    standard_error
        Monte Carlo standard error of `measured`: standard deviation (ddof=1) over the repetitions,
        divided by the root of their number.
    repetitions
        Their number.
    met
        Whether the requirement is met, None where there is none.
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
    """All rows, and what they depend on: never on the number of workers.

    `n_treatments`, `n_seeds` and `alpha` describe the simulated sweep, `rng` the random numbers.
    """

    n_treatments: int
    n_seeds: int
    alpha: float
    repetitions: int
    rng: int
    rows: tuple[Row, ...]

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows whose requirement is not met."""
        return tuple(row for row in self.rows if row.met is False)


def validate(
    repetitions: int,
    rng: int,
    *,
    n_jobs: int = -1,
    studies: Sequence[Study[Any]] | None = None,
    tell: Callable[[str], object] | None = None,
) -> Validation:
    """Simulate, count, and hold every rate against its requirement.

    Parameters
    ----------
    repetitions
        Samples drawn in each scenario, at least 2.
    rng
        A whole number that seeds them: the same one gives the same rows, whatever `n_jobs`.
    n_jobs
        Worker processes of one thread each; -1 for every core, 1 for none but this process.
    studies
        By default those of :func:`make_studies`.
    tell
        Called with the name of each scenario when it is done.

    Raises
    ------
    SpecError
        If `repetitions`, `rng` or `n_jobs` is not allowed, or two studies have the same name.
    WorkerError
        If a worker process dies.
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
        raise SpecError(f"n_jobs must be at least 1, or -1 for every core, got {n_jobs}")
    for scenario in scenarios:
        if scenarios.count(scenario) > 1:
            raise SpecError(f"every scenario must have a name of its own, got {scenario!r} twice")


def _outcomes(
    repetitions: int, rng: int, n_jobs: int, studies: Iterable[Study[Any]]
) -> Iterator[FloatArray]:
    """The outcomes of every block of every study, in this order."""
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
            "a worker process died or did not start, which usually means that memory ran out: try "
            f"fewer --n-jobs ({type(error).__name__})"
        ) from error


def _block(study: Study[S], rng: int, start: int, repetitions: int) -> FloatArray:
    """Outcomes of the repetitions from number `start` on, shape (repetitions, n_measures)."""
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


def _error(what: str, of: Callable[[S], float], note: str = "") -> Measure[S]:
    """An error rate, which may not exceed alpha unless a note says why it may."""
    requirement = None if note else AT_MOST
    return Measure(what=what, of=of, nominal=ALPHA, requirement=requirement, note=note)


def _coverage(what: str, of: Callable[[S], float], note: str = "") -> Measure[S]:
    """A coverage, which is at least 1 - alpha unless a note says why it need not be."""
    requirement = None if note else AT_LEAST
    return Measure(
        what=f"coverage of {what}", of=of, nominal=1 - ALPHA, requirement=requirement, note=note
    )


def _not_required(note: str, *measures: Measure[S]) -> tuple[Measure[S], ...]:
    return tuple(replace(measure, requirement=None, note=note) for measure in measures)


def make_studies() -> tuple[Study[Any], ...]:
    """Every scenario in which the analysis is tried."""
    return (
        *_sweep_studies(),
        _skewed_pair_study(),
        _new_images_study(),
        *(_power_study(dz) for dz in EFFECTS),
        _looks_study(),
    )


# --- whole sweeps -------------------------------------------------------------------------------

EQUAL = (0.0,) * K
#: Four alike, four clearly apart: Holm soon rejects all pairs but the six that are truly alike.
PARTLY_EQUAL = (0.0, 0.0, 0.0, 0.0, 3.0, 6.0, 9.0, 12.0)
#: Sixteen pairs lie apart by exactly this, twelve not at all.
MARGIN = 1.0
AT_THE_MARGIN = (0.0, 0.0, 0.0, 0.0, MARGIN, MARGIN, MARGIN, MARGIN)
#: Test images of the tied accuracies.
TOTAL = 10_000

_FIRST, _SECOND = np.triu_indices(K, 1)  # the pairs in the order of `compare_pairs`


@dataclass(frozen=True, kw_only=True)
class World:
    """Where the runs of a sweep come from, and what is true there.

    Attributes
    ----------
    draw
        Gives scores of shape (N_SEEDS, K); higher is better.
    means
        True mean of each treatment, shape (K,), up to a constant that is common to all.
    win_rate
        Where all means are equal, the chance that one of the first half of the treatments beats
        one of the second on the same seed. Within a half it is one half.
    margin
        That of the equivalence tests, in the unit of the scores.
    total
        Where the scores are counts of this many test images, their number.
    """

    draw: Callable[[np.random.Generator], FloatArray]
    means: tuple[float, ...] = EQUAL
    win_rate: float = 0.5
    margin: float = ANY_MARGIN
    total: int | None = None

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
    """A simulated sweep: its scores, shape (N_SEEDS, K), and what the analysis made of them."""

    world: World
    values: FloatArray
    pairs: tuple[Pair, ...]


def _sweep(rng: np.random.Generator, world: World) -> Sweep:
    values = world.draw(rng)
    nothing_happened = np.zeros(values.shape, dtype=np.bool_)
    paired = PairedTable(
        treatments=TREATMENTS,
        blocks=tuple(range(N_SEEDS)),
        values=values,
        cells=np.arange(values.size).reshape(values.shape),
        diverged=nothing_happened,
        failed=nothing_happened,
        total=world.total,
        direction="higher",
    )
    pairs = compare_pairs(paired, TREATMENTS, _parameters(K, world.margin), ALPHA)
    return Sweep(world=world, values=values, pairs=pairs)


def _parameters(k: int, margin: float) -> Parameters:
    return Parameters(
        alpha=ALPHA,
        margin=margin,
        direction="higher",
        value="test_accuracy",
        treatment="optimizer",
        block="seed",
        n_blocks=N_SEEDS,
        k=k,
    )


def _false_difference(sweep: Sweep) -> bool:
    """Whether any pair is called better that is not, or worse that is not."""
    return any(
        (pair.verdict == "better" and truth <= 0) or (pair.verdict == "worse" and truth >= 0)
        for pair, truth in zip(sweep.pairs, sweep.world.differences, strict=True)
    )


def _false_equivalence(sweep: Sweep) -> bool:
    """Whether any pair whose true difference reaches the margin is called equivalent."""
    return any(
        pair.verdict == "equivalent"
        for pair, truth in zip(sweep.pairs, sweep.world.differences, strict=True)
        if abs(truth) >= sweep.world.margin
    )


def _false_verdict(sweep: Sweep) -> bool:
    return _false_difference(sweep) or _false_equivalence(sweep)


def _mean_coverage(sweep: Sweep) -> float:
    """Share of the treatments whose t interval covers their true mean."""
    intervals = [t_interval(Moments.of(column), ALPHA) for column in sweep.values.T]
    truths = sweep.world.means
    return _share(_covers(i.low, i.high, m) for i, m in zip(intervals, truths, strict=True))


def _difference_coverage(sweep: Sweep) -> float:
    """Share of the pairs whose t interval covers their true mean difference."""
    truths = zip(sweep.pairs, sweep.world.differences, strict=True)
    return _share(_covers(pair.ci_low, pair.ci_high, d) for pair, d in truths)


def _simultaneous_coverage(sweep: Sweep) -> bool:
    """Whether the simultaneous intervals cover the true mean differences of all pairs at once."""
    truths = zip(sweep.pairs, sweep.world.differences, strict=True)
    return all(
        _covers(pair.simultaneous_ci_low, pair.simultaneous_ci_high, d) for pair, d in truths
    )


def _win_rate_coverage(sweep: Sweep) -> float:
    """Share of the pairs whose Wilson interval covers their true win rate."""
    truths = zip(sweep.pairs, sweep.world.win_rates, strict=True)
    return _share(_covers(pair.win_rate_low, pair.win_rate_high, rate) for pair, rate in truths)


def _covers(low: float | None, high: float | None, truth: float) -> bool:
    return low is not None and high is not None and low <= truth <= high


def _share(outcomes: Iterable[bool]) -> float:
    return float(np.mean(list(outcomes)))


def _at_most(pvalue: float | None, level: float) -> bool:
    return pvalue is not None and pvalue <= level


def _normal(
    rng: np.random.Generator, means: tuple[float, ...] = EQUAL, scale: float = 1.0
) -> FloatArray:
    """A seed effect that all share, and normal noise."""
    shared = rng.normal(size=(N_SEEDS, 1))
    return np.asarray(means + shared + scale * rng.normal(size=(N_SEEDS, K)))


def _skewed(rng: np.random.Generator) -> FloatArray:
    """The same exponential distribution for all, so that differences are symmetric."""
    return rng.exponential(size=(N_SEEDS, K)) - 1


def _heavy_tailed(rng: np.random.Generator) -> FloatArray:
    """Student's t with two degrees of freedom: without a variance."""
    return rng.standard_t(2, size=(N_SEEDS, K))


def _tied(rng: np.random.Generator) -> FloatArray:
    """Counts of correct test images that take three values: three differences in eight are 0."""
    return np.asarray((9_700 + rng.binomial(2, 0.5, size=(N_SEEDS, K))) / TOTAL)


def _correlated(rng: np.random.Generator) -> FloatArray:
    """A strong shared seed effect, and noise whose scale depends on the seed."""
    shared, scale = 10 * rng.normal(size=(N_SEEDS, 1)), rng.lognormal(size=(N_SEEDS, 1))
    return np.asarray(shared + scale * rng.normal(size=(N_SEEDS, K)))


def _steady_and_skewed(rng: np.random.Generator) -> FloatArray:
    """Four steady treatments, and four of the same mean with a long tail of bad runs."""
    steady = _STEADY * rng.normal(size=(N_SEEDS, K // 2))
    return np.hstack([steady, 1 - rng.exponential(size=(N_SEEDS, K // 2))])


def _mirrored(rng: np.random.Generator) -> FloatArray:
    """Four treatments with a long tail of good runs, and four of bad ones; all means are equal."""
    good, bad = rng.exponential(size=(2, N_SEEDS, K // 2))
    return np.hstack([good - 1, 1 - bad])


_STEADY = 0.1
#: The chance that steady normal noise exceeds 1 minus an exponential variable.
_STEADY_WINS = float(stats.exponnorm.sf(1, 1 / _STEADY, scale=_STEADY))
#: The chance that two exponential variables add up to more than their means do.
_GOOD_WINS = float(stats.gamma.sf(2, 2))

FALSE_DIFFERENCE = _error("family-wise error: any false 'better' or 'worse'", _false_difference)
FALSE_EQUIVALENCE = _error("family-wise error: any false 'equivalent'", _false_equivalence)
MEAN = _coverage("the t interval of a mean", _mean_coverage)
DIFFERENCE = _coverage("the t interval of a mean difference", _difference_coverage)
SIMULTANEOUS = _coverage(
    f"the simultaneous intervals, all {N_PAIRS} pairs at once", _simultaneous_coverage
)
WIN_RATE = _coverage("Wilson's interval of the win rate", _win_rate_coverage)


def _sweep_studies() -> tuple[Study[Sweep], ...]:
    """In all but the last two, differences whose mean is 0 are symmetric: the null hypothesis."""
    all_t = (MEAN, DIFFERENCE, SIMULTANEOUS)
    outside = (
        *_not_required(OUTSIDE, FALSE_DIFFERENCE, DIFFERENCE, SIMULTANEOUS),
        *_not_required("approximate unless it is 1/2", WIN_RATE),
    )
    either = _error(
        "any false verdict of either family", _false_verdict, "two families, an alpha each"
    )
    return (
        _sweep_study("normal", World(draw=_normal), FALSE_DIFFERENCE, *all_t, WIN_RATE),
        _sweep_study(
            "skewed, all alike",
            World(draw=_skewed),
            *(FALSE_DIFFERENCE, WIN_RATE),
            *_not_required("t intervals assume normal data", *all_t),
        ),
        _sweep_study("heavy-tailed", World(draw=_heavy_tailed), FALSE_DIFFERENCE),
        _sweep_study("tied counts", World(draw=_tied, total=TOTAL), FALSE_DIFFERENCE),
        _sweep_study("correlated, unequal scales", World(draw=_correlated), FALSE_DIFFERENCE),
        _sweep_study(
            "partial null: 4 equal, 4 apart",
            World(draw=partial(_normal, means=PARTLY_EQUAL), means=PARTLY_EQUAL),
            FALSE_DIFFERENCE,
        ),
        _sweep_study(
            "16 pairs at the margin, 12 equal",
            World(
                # so little noise that equal pairs are often found equivalent, which strains Holm
                draw=partial(_normal, means=AT_THE_MARGIN, scale=0.7 * MARGIN),
                means=AT_THE_MARGIN,
                margin=MARGIN,
            ),
            *(FALSE_DIFFERENCE, FALSE_EQUIVALENCE, either),
        ),
        _sweep_study(
            "skewed differences: steady or tailed",
            World(draw=_steady_and_skewed, win_rate=_STEADY_WINS),
            *outside,
        ),
        _sweep_study(
            "skewed differences: mirrored tails",
            World(draw=_mirrored, win_rate=_GOOD_WINS),
            *outside,
        ),
    )


def _sweep_study(scenario: str, world: World, *measures: Measure[Sweep]) -> Study[Sweep]:
    return Study(scenario=scenario, draw=partial(_sweep, world=world), measures=measures)


# --- one pair -----------------------------------------------------------------------------------


def _differences(x: FloatArray) -> Differences:
    return paired_differences(x, np.zeros(len(x)))


def _skewed_differences(rng: np.random.Generator) -> Differences:
    return _differences(rng.exponential(size=N_SEEDS) - 1)


def _sign_flip_rejects(d: Differences, level: float = ALPHA) -> bool:
    return _at_most(sign_flip_pvalue(d.units, d.slack), level)


def _t_rejects(d: Differences) -> bool:
    return _at_most(t_pvalue(d.moments), ALPHA)


def _wilcoxon_rejects(d: Differences) -> bool:
    return _at_most(wilcoxon_pvalue(d.values), ALPHA)


def _skewed_pair_study() -> Study[Differences]:
    name = "type I error of one pair"
    return Study(
        scenario="exponential differences of mean 0",
        draw=_skewed_differences,
        measures=(
            _error(f"{name}, sign-flip test", _sign_flip_rejects, OUTSIDE),
            _error(f"{name}, paired t test", _t_rejects, OUTSIDE),
            _error(f"{name}, Wilcoxon's test", _wilcoxon_rejects, OUTSIDE),
        ),
    )


def _normal_differences(rng: np.random.Generator, dz: float) -> Differences:
    return _differences(rng.normal(dz, size=N_SEEDS))


def _power_study(dz: float) -> Study[Differences]:
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


@dataclass(frozen=True, kw_only=True)
class LooksTaken:
    """Sign-flip p-values of one pair, one for each number of seeds in :data:`LOOKS`."""

    pvalues: tuple[float | None, ...]


def _look(rng: np.random.Generator) -> LooksTaken:
    values = rng.normal(size=max(LOOKS))
    seen = [_differences(values[:n]) for n in LOOKS]
    return LooksTaken(pvalues=tuple(sign_flip_pvalue(d.units, d.slack) for d in seen))


def _errs_at_a_look(taken: LooksTaken, levels: tuple[float, ...]) -> bool:
    return any(map(_at_most, taken.pvalues, levels))


def _looks_study() -> Study[LooksTaken]:
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
            _error(f"{name} at alpha each", naive, "what sharing alpha is for"),
            _error(f"{name} at alpha/{n_looks}, as planned", planned),
            _error(f"{name} at alpha/(j (j + 1)), any number", any_number),
        ),
    )


# --- new test images ----------------------------------------------------------------------------

N_IMAGES = 2_000
#: True accuracies of two treatments.
ACCURACIES = (0.975, 0.971)
#: Standard deviations of what makes an answer right: the seed, with one treatment; the image, with
#: one treatment; and the single answer. That of an image's difficulty is 1. Chosen so that the
#: mean squares resemble those of adadelta against adam in results/example.
SEED_EFFECT, TASTE, CHANCE = 0.02, 0.1, 0.2


@dataclass(frozen=True, kw_only=True)
class Scoped:
    """Two treatments on the same seeds and images, compared in both scopes."""

    pair: Pair
    crossed: CrossedInterval


def _answers(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which images are classified correctly, shape (2, N_SEEDS, N_IMAGES).

    An answer is right where ability, difficulty of the image, and chance add up to more than 0.
    Seeds and images are drawn anew, so that the expected accuracies are :data:`ACCURACIES`.
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
    (pair,) = compare_pairs(paired, paired.treatments, _parameters(2, ANY_MARGIN), ALPHA)
    found = scope(table, paired, [pair], ALPHA)
    (crossed,) = found.pairs if found else ()
    return Scoped(pair=pair, crossed=crossed)


def _seed_only_coverage(scoped: Scoped) -> bool:
    pair = scoped.pair
    return _covers(pair.ci_low, pair.ci_high, ACCURACIES[0] - ACCURACIES[1])


def _crossed_coverage(scoped: Scoped) -> bool:
    crossed = scoped.crossed
    return _covers(crossed.crossed_ci_low, crossed.crossed_ci_high, ACCURACIES[0] - ACCURACIES[1])


def _new_images_study() -> Study[Scoped]:
    name = "the mean difference over new seeds and images"
    return Study(
        scenario=f"{N_IMAGES:,} new test images each time",
        draw=_compare_in_both_scopes,
        measures=(
            _coverage(f"{name}, seed-only", _seed_only_coverage, "it speaks of these images only"),
            _coverage(f"{name}, crossed", _crossed_coverage),
        ),
    )
