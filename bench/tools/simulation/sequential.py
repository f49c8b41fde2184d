"""Scenarios of sequential sweeps: error rates, intervals, expected runs and bias of stopping.

Treatments get seeds until every pair is decided (:mod:`bench.analysis.sequential`). Each simulated
sweep is also judged by Holm's method with all seeds, as without looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from bench.analysis.results import PairAtLook
from bench.analysis.sequential import Names, Replay, replay
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.tools.simulation.study import (
    ANY_MARGIN,
    OUTSIDE,
    Measure,
    Study,
    coverage,
    covers,
    error_rate,
    not_required,
    parameters,
    share,
)

#: Number of test images. Scores are counts; the base and the margin are 97 % and 0.2 points.
TOTAL, BASE, MARGIN = 10_000, 9_700, 20
#: Declared looks: doubling from the least number of seeds with which the first look can reject.
LOOKS = (10, 20, 40, 80)
LOOKS_OF_EIGHT = (13, 26, 52, 104, 160)
#: Standard deviation of the noise, and of the seed effect that all treatments share, in images.
NOISE, SHARED = 12.0, 8.0
EQUAL = (0, 0, 0, 0)
#: Means (less 9,700) and covariances of the optimizers of results/example, in images.
EXAMPLE = (51, -154, 7, -59, 54, 47, -50, -133)
COVARIANCES = (
    (259, -35, -2, -20, 31, 35, 156, -5),
    (-35, 246, 65, 55, -28, 55, 86, 58),
    (-2, 65, 132, 102, -24, 48, 19, 46),
    (-20, 55, 102, 153, -76, -17, -11, 64),
    (31, -28, -24, -76, 394, 30, -146, 21),
    (35, 55, 48, -17, 30, 350, 421, 20),
    (156, 86, 19, -11, -146, 421, 1284, -2),
    (-5, 58, 46, 64, 21, 20, -2, 147),
)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Distribution of the scores of a sequential sweep, and its declared looks and margin.

    Attributes
    ----------
    draw
        Function of the generator and the number of seeds that draws scores less :data:`BASE`, shape
        (n_seeds, k). They are rounded to whole images.
    means
        True mean of each treatment, shape (k,), up to a constant.
    looks
        Declared looks.
    margin
        Equivalence margin, in images. Without one, equal pairs stay open up to the last look.
    """

    draw: Callable[[np.random.Generator, int], FloatArray]
    means: tuple[int, ...] = EQUAL
    looks: tuple[int, ...] = LOOKS
    margin: int | None = MARGIN


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """Simulated sequential sweep.

    Attributes
    ----------
    population
        Its distribution.
    paired
        The scores of all seeds.
    found
        The looks up to the one that ended the sweep.
    last, fixed
        Each pair at its last look, and at the only look of the sweep with all seeds.
    """

    population: Population
    paired: PairedTable
    found: Replay
    last: Mapping[Names, PairAtLook]
    fixed: Mapping[Names, PairAtLook]

    @cached_property
    def truths(self) -> Mapping[Names, float]:
        """True mean differences, in images."""
        means = dict(zip(self.paired.treatments, self.population.means, strict=True))
        return {(a, b): means[a] - means[b] for a, b in self.fixed}


def _stopped(rng: np.random.Generator, population: Population) -> Stopped:
    n_seeds = population.looks[-1]
    values = (BASE + np.rint(population.draw(rng, n_seeds))) / TOTAL
    nothing_happened = np.zeros(values.shape, dtype=np.bool_)
    k = len(population.means)
    paired = PairedTable(
        treatments=tuple("abcdefgh"[:k]),
        blocks=tuple(range(n_seeds)),
        values=values,
        cells=np.arange(values.size).reshape(values.shape),
        diverged=nothing_happened,
        failed=nothing_happened,
        total=TOTAL,
        direction="higher",
    )
    margin = None if population.margin is None else population.margin / TOTAL
    declared = replace(
        parameters(k, ANY_MARGIN, n_seeds=n_seeds), margin=margin, looks=population.looks
    )
    found = replay(paired, declared)
    fixed = replay(paired, replace(declared, looks=(n_seeds,)))
    return Stopped(
        population=population,
        paired=paired,
        found=found,
        last=_last(found),
        fixed=_last(fixed),
    )


def _last(found: Replay) -> Mapping[Names, PairAtLook]:
    return {(pair.a, pair.b): pair for look in found.looks for pair in look.pairs}


# --- measures --------------------------------------------------------------------------------


def _false_difference(sweep: Stopped, fixed: bool = False) -> bool:
    """Return whether any pair has a false verdict `better` or `worse`."""
    pairs = sweep.fixed if fixed else sweep.last
    return any(
        (pairs[names].verdict == "better" and truth <= 0)
        or (pairs[names].verdict == "worse" and truth >= 0)
        for names, truth in sweep.truths.items()
    )


def _false_equivalence(sweep: Stopped, fixed: bool = False) -> bool:
    """Return whether any pair with a true difference of at least the margin is `equivalent`."""
    pairs = sweep.fixed if fixed else sweep.last
    return any(
        pairs[names].verdict == "equivalent"
        for names, truth in sweep.truths.items()
        if abs(truth) >= MARGIN
    )


def _runs(sweep: Stopped) -> float:
    """Return the number of runs over that with all seeds."""
    return sum(sweep.found.n_blocks.values()) / sweep.paired.values.size


def _all_decided(sweep: Stopped) -> bool:
    return not sweep.found.looks[-1].open_pairs


def _agreement(sweep: Stopped) -> float:
    """Return the share of pairs with the verdict that they have with all seeds."""
    return share(pair.verdict == sweep.fixed[names].verdict for names, pair in sweep.last.items())


def _coverage(sweep: Stopped) -> bool:
    """Return whether the intervals of all pairs at all looks cover the true mean differences."""
    return all(
        covers(pair.ci_low, pair.ci_high, sweep.truths[pair.a, pair.b] / TOTAL)
        for look in sweep.found.looks
        for pair in look.pairs
    )


def _bias(sweep: Stopped, is_small: bool) -> float:
    """Return the bias away from 0 of mean differences at the look that decided the pair.

    It is in standard deviations of the differences, and the mean over the pairs with a true
    difference of at least the margin, or else below it and not 0.
    """
    errors = []
    for names, truth in sweep.truths.items():
        if truth and (abs(truth) < MARGIN) == is_small:
            a, b = (sweep.paired.treatments.index(name) for name in names)
            d = np.sign(truth) * (sweep.paired.values[:, a] - sweep.paired.values[:, b]) * TOTAL
            errors.append((d[: sweep.last[names].n].mean() - abs(truth)) / d.std(ddof=1))
    return float(np.mean(errors))


_NAME, _WITH_ALL = "until decided", "with all seeds at once"
DIFFERENCE = error_rate(f"{_NAME}: any false 'better' or 'worse' at any look", _false_difference)
EQUIVALENCE = error_rate(f"{_NAME}: any false 'equivalent' at any look", _false_equivalence)
FIXED_DIFFERENCE = error_rate(
    f"{_WITH_ALL}: any false 'better' or 'worse'", partial(_false_difference, fixed=True)
)
FIXED_EQUIVALENCE = error_rate(
    f"{_WITH_ALL}: any false 'equivalent'", partial(_false_equivalence, fixed=True)
)
INTERVALS = coverage("the repeated intervals, all pairs and looks at once", _coverage)


def _described(what: str, of: Callable[[Stopped], float], nominal: float) -> Measure[Stopped]:
    return Measure(what=f"{_NAME}: {what}", of=of, nominal=nominal, note="not guaranteed")


RUNS = _described("runs, as a share of those with all seeds", _runs, 1.0)
DECIDED = _described("all pairs are decided", _all_decided, 1.0)
AGREEMENT = _described("share of verdicts that are those with all seeds", _agreement, 1.0)
DESCRIPTION = (RUNS, DECIDED, AGREEMENT)
BIAS, BIAS_OF_SMALL = (
    _described(
        f"bias of mean differences in s.d., true ones {size} the margin",
        partial(_bias, is_small=is_small),
        0.0,
    )
    for size, is_small in (("of at least", False), ("below", True))
)


# --- distributions ---------------------------------------------------------------------------


def _normal(
    rng: np.random.Generator, n: int, means: tuple[float, ...] = EQUAL, noise: float = NOISE
) -> FloatArray:
    shared = SHARED * rng.normal(size=(n, 1))
    return np.asarray(means + shared + noise * rng.normal(size=(n, len(means))))


def _heavy_tailed(rng: np.random.Generator, n: int) -> FloatArray:
    """Draw from Student's t with three degrees of freedom."""
    return SHARED * rng.standard_t(3, size=(n, len(EQUAL)))


def _mostly_tied(rng: np.random.Generator, n: int) -> FloatArray:
    """Draw scores of which one in five is not the usual one."""
    return rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=(n, len(EQUAL)))


def _like_the_example(rng: np.random.Generator, n: int) -> FloatArray:
    return rng.multivariate_normal(EXAMPLE, COVARIANCES, size=n)


def _mirrored(rng: np.random.Generator, n: int) -> FloatArray:
    """Draw two treatments with a tail of good runs and two with one of bad runs; equal means."""
    good, bad = NOISE * rng.exponential(size=(2, n, 2))
    return np.hstack([good - NOISE, NOISE - bad])


def _collapsing(
    rng: np.random.Generator, n: int, rate: float, depth: float, means: tuple[float, ...] = EQUAL
) -> FloatArray:
    """Draw normal scores; runs of the first two treatments collapse at this rate, by `depth`.

    The means are true means: without a collapse, these treatments are better than their mean.
    """
    scores = _normal(rng, n, means)
    scores[:, :2] += depth * (rate - (rng.random((n, 2)) < rate))
    return scores


def sequential_studies() -> tuple[Study[Stopped], ...]:
    """Return the scenarios of sequential sweeps; the last four are outside the assumptions."""
    return (*_without_margin(), *_with_margin(), *_outside())


def _without_margin() -> tuple[Study[Stopped], ...]:
    """Return scenarios in which pairs without a true difference stay open up to the last look."""
    one = (0, 0, 0, MARGIN)
    null = (DIFFERENCE, *not_required("they assume normal data", INTERVALS))
    return (
        sequential_study(
            "equal, no margin", Population(draw=_normal, margin=None), DIFFERENCE, INTERVALS
        ),
        sequential_study(
            "heavy-tailed, no margin", Population(draw=_heavy_tailed, margin=None), *null
        ),
        sequential_study(
            "mostly tied, no margin", Population(draw=_mostly_tied, margin=None), *null
        ),
        sequential_study(
            "one of four differs, no margin",
            Population(draw=partial(_normal, means=one), means=one, margin=None),
            *(DIFFERENCE, INTERVALS, BIAS),
        ),
    )


def _with_margin() -> tuple[Study[Stopped], ...]:
    all_, at_margin = (0, 5, 20, 40), (0, 0, MARGIN, MARGIN)
    measures = (DIFFERENCE, EQUIVALENCE, INTERVALS, BIAS)
    return (
        sequential_study("equal", Population(draw=_normal), DIFFERENCE, INTERVALS, *DESCRIPTION),
        sequential_study(
            "all four differ",
            Population(draw=partial(_normal, means=all_), means=all_),
            *(*measures, BIAS_OF_SMALL, *DESCRIPTION),
        ),
        sequential_study(
            "4 pairs at the margin, 2 equal",
            # with much noise, pairs at the margin stay open for long
            Population(draw=partial(_normal, means=at_margin, noise=20.0), means=at_margin),
            *(*measures, *DESCRIPTION),
        ),
        sequential_study(
            "8 like results/example, up to 160 seeds",
            Population(draw=_like_the_example, means=EXAMPLE, looks=LOOKS_OF_EIGHT),
            *(*measures, BIAS_OF_SMALL, *DESCRIPTION),
        ),
    )


def _outside() -> tuple[Study[Stopped], ...]:
    differences = not_required(OUTSIDE, DIFFERENCE, FIXED_DIFFERENCE, INTERVALS)
    equivalences = not_required(OUTSIDE, EQUIVALENCE, FIXED_EQUIVALENCE, INTERVALS)
    apart = (-MARGIN, -MARGIN, 0, 0)  # without their collapses, all four would be equal
    to_margin = partial(_collapsing, rate=0.03, depth=MARGIN / 0.03, means=apart)
    return (
        sequential_study(
            "mirrored tails, no margin", Population(draw=_mirrored, margin=None), *differences
        ),
        *(
            sequential_study(
                f"5 % of runs of two collapse by {depth:g} s.d.",
                Population(draw=partial(_collapsing, rate=0.05, depth=depth * NOISE)),
                *(*differences, *DESCRIPTION),
            )
            for depth in (10, 100)
        ),
        sequential_study(
            "3 % of runs of two collapse, to the margin",
            Population(draw=to_margin, means=apart),
            *(*equivalences, *DESCRIPTION),
        ),
    )


def sequential_study(
    scenario: str, population: Population, *measures: Measure[Stopped]
) -> Study[Stopped]:
    """Return the scenario of sequential sweeps whose scores are drawn from `population`."""
    return Study(
        scenario=scenario, draw=partial(_stopped, population=population), measures=measures
    )
