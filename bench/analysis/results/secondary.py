"""Secondary results of a comparison: single seeds, time to the target, new test images."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.pairs import Pair


@dataclass(frozen=True, kw_only=True)
class RankReversal(NotebookRepr):
    """How often a single block ranks a pair differently than all of its blocks.

    `ahead` is the treatment with the better mean over the `n` common blocks, None where the means
    are equal. `wrong_share` is the share of blocks on which the other treatment is better,
    `tied_share` the share of blocks without a difference; both are None where `ahead` is.
    """

    a: str
    b: str
    n: int
    ahead: str | None
    wrong_share: float | None
    tied_share: float | None


@dataclass(frozen=True, kw_only=True)
class BestShare(NotebookRepr):
    """Share of the complete blocks in which a treatment is best; tied treatments share a block.

    `share_low` and `share_high` are the ends of Wilson's interval at level 1 - alpha; None below
    two blocks.
    """

    treatment: str
    share: float
    share_low: float | None = None
    share_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class SelectionPoint(NotebookRepr):
    """Probability that two disjoint sets of `n` blocks have the same treatment as the best."""

    n: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class SingleSeed(NotebookRepr):
    """Conclusions that one block, or a few blocks, would have led to.

    Attributes
    ----------
    leader
        The treatment with the best mean over the complete blocks.
    n_blocks
        Number of complete blocks: those in which every treatment has a value.
    best_shares
        How often each treatment is best in a single block, in the order of the treatments.
    pairs
        In the order of the comparison's pairs.
    curve
        Points from one block to half of the blocks; empty below two blocks. They are unbiased
        estimates; ties are broken at random. The point for n = 1 is over all pairs of blocks.
    n_draws
        Number of random pairs of sets behind each point of the curve but the first.
    """

    leader: str
    n_blocks: int
    best_shares: tuple[BestShare, ...]
    pairs: tuple[RankReversal, ...]
    curve: tuple[SelectionPoint, ...]
    n_draws: int


@dataclass(frozen=True, kw_only=True)
class CollapseRate(NotebookRepr):
    """Share of the `n` runs of a treatment that collapsed, with its exact interval.

    `at_most` is the upper limit of a one-sided interval at the same level. All are None without a
    run.
    """

    name: str
    n: int
    collapsed: int
    rate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, kw_only=True)
class CollapsePair(NotebookRepr):
    """McNemar's exact test of equal collapse rates, and Holm's adjusted p-value.

    Both are None below two common blocks.
    """

    a: str
    b: str
    pvalue: float | None
    pvalue_holm: float | None


@dataclass(frozen=True, kw_only=True)
class Collapses(NotebookRepr):
    """Secondary metric: runs that end far below the others (:mod:`bench.analysis.collapses`).

    `limit` is the number of standard deviations. The treatments are in the order of the
    comparison; without a collapse there are no pairs.
    """

    limit: float
    treatments: tuple[CollapseRate, ...]
    pairs: tuple[CollapsePair, ...]

    def of(self, name: str) -> CollapseRate:
        """Return the rate of one treatment."""
        return next(rate for rate in self.treatments if rate.name == name)


@dataclass(frozen=True, kw_only=True)
class SurvivalStep(NotebookRepr):
    """Step of a Kaplan-Meier curve.

    `waiting_share` is the share of runs that have not reached the target, from `iteration` on.
    """

    iteration: int
    waiting_share: float


@dataclass(frozen=True, kw_only=True)
class TargetTreatment(NotebookRepr):
    """Time to the target of the runs of one treatment.

    A run passes the target in a bracket: after the last evaluation below the target, and not after
    the first evaluation at or above it. `lower_mean` and `restricted_mean` are the restricted mean
    survival times of the lower and the upper ends: means of min(iterations, budget). A run that
    does not reach the target is censored: it counts with the whole budget and is not missing. The
    interval of the mean time covers both ends (:mod:`bench.analysis.stats.brackets`). `steps` and
    `early_steps` are the Kaplan-Meier curves of the upper and the lower ends.
    """

    name: str
    n: int
    n_reached: int
    reach_rate: float | None
    restricted_mean: float | None
    ci_low: float | None
    ci_high: float | None
    steps: tuple[SurvivalStep, ...]
    lower_mean: float | None = None
    early_steps: tuple[SurvivalStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LogRank(NotebookRepr):
    """Log-rank test of one pair, for information: it ignores the pairing of runs by seed."""

    a: str
    b: str
    pvalue: float | None


@dataclass(frozen=True, kw_only=True)
class TimeToTarget(NotebookRepr):
    """Secondary metric: iterations to the first evaluation at or above the target.

    Attributes
    ----------
    target
        The accuracy to reach, as a fraction.
    data
        Images on which the accuracy was measured: ``"test"``.
    budget
        Iterations after which a run ends. A run that has not reached the target is censored there.
    treatments
        Shortest restricted mean first.
    pairs
        Comparisons of the restricted times, made like those of the primary metric and adjusted in
        a separate Holm family. A difference counts iterations, and ``better`` means sooner. They
        compare the upper ends of the brackets and have no intervals.
    logrank
        In the order of `pairs`.
    unit
        Unit of `budget` and of all times: ``"updates"``, or ``"images"`` where variants differ in
        batch size and number of updates.
    resolution
        Largest number of iterations between two evaluations.
    """

    target: float
    data: str
    budget: int
    treatments: tuple[TargetTreatment, ...]
    pairs: tuple[Pair, ...]
    logrank: tuple[LogRank, ...]
    unit: str = "updates"
    resolution: int | None = None


@dataclass(frozen=True, kw_only=True)
class CrossedInterval(NotebookRepr):
    """Interval of the mean difference of a pair over new seeds and new test examples.

    The level is 1 - alpha, with `df` degrees of freedom (Satterthwaite). The ends are None below
    three common blocks, the smallest number for a verdict. The interval is never narrower than the
    one over new seeds alone. The simultaneous interval has Bonferroni's level
    1 - level / (number of tested pairs). `pvalue_equivalence` is that of two one-sided tests
    against +-margin with the variance of this interval, and `pvalue_equivalence_holm` is adjusted
    in a separate family; both are None without a margin.
    """

    a: str
    b: str
    n: int
    crossed_ci_low: float | None
    crossed_ci_high: float | None
    df: float | None
    simultaneous_ci_low: float | None = None
    simultaneous_ci_high: float | None = None
    pvalue_equivalence: float | None = None
    pvalue_equivalence_holm: float | None = None


@dataclass(frozen=True, kw_only=True)
class Scope(NotebookRepr):
    """Intervals of the differences that also generalise to other test examples.

    `pairs` are in the order of the comparison's pairs; `n_examples` counts the test examples.
    """

    n_examples: int
    pairs: tuple[CrossedInterval, ...]
