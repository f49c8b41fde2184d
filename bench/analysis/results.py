"""What an analysis returns: named, frozen results with a stated type, shape and unit.

Undefined is ``None``, never 0 and never NaN. Scores carry the unit of the compared column
(``test_accuracy``: a fraction between 0 and 1); differences are always "a minus b" in that unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from bench.analysis.notebook import NotebookRepr, table
from bench.analysis.stats.multiplicity import family_size

#: Metadata of fields that JSON leaves out where they are empty.
OMIT_EMPTY = {"omit_empty": True}
Direction = Literal["higher", "lower"]
#: What names a block: a seed as a rule, a number or text in somebody else's table.
Block = int | float | str
Verdict = Literal["better", "worse", "equivalent", "inconclusive", "identical", "not testable"]


@dataclass(frozen=True, kw_only=True)
class Parameters(NotebookRepr):
    """What was declared before the comparison.

    Attributes
    ----------
    alpha
        Family-wise error rate.
    margin
        Equivalence margin in the unit of `value`, or None where none was declared.
    direction
        Whether a higher or a lower value is better.
    value, treatment, block
        The columns that were compared, that name the treatment, and that pair the runs.
    n_blocks
        Number of different blocks (seeds) in the table.
    k
        Number of treatments (optimizers).
    """

    alpha: float
    margin: float | None
    direction: Direction
    value: str
    treatment: str
    block: str
    n_blocks: int
    k: int


@dataclass(frozen=True, kw_only=True)
class Treatment(NotebookRepr):
    """One treatment described over its own runs.

    `n` counts the runs that have a value: diverged ones do, failed ones do not. `std` uses
    ddof=1; quartiles interpolate linearly (type 7); `iqm` is the mean of the middle half; the
    interval is Student's t interval of the mean at level 1 - alpha. `mean_rank` is the mean of
    the ranks within complete blocks, 1 for the best.
    """

    name: str
    n: int
    n_diverged: int
    n_failed: int
    mean: float | None
    std: float | None
    median: float | None
    q1: float | None
    q3: float | None
    iqm: float | None
    min: float | None
    max: float | None
    ci_low: float | None
    ci_high: float | None
    mean_rank: float | None


@dataclass(frozen=True, kw_only=True)
class Omnibus(NotebookRepr):
    """Friedman's test over complete blocks: context only, it gates nothing.

    `chi2` is corrected for ties and has `df` degrees of freedom; `f_statistic` is Iman and
    Davenport's F with (df, df * (n_blocks - 1)) degrees of freedom.
    """

    chi2: float | None
    df: int
    pvalue: float | None
    f_statistic: float | None
    f_pvalue: float | None
    n_blocks: int


@dataclass(frozen=True, kw_only=True)
class Pair(NotebookRepr):
    """Treatment `a` against treatment `b` over the blocks that both have.

    Attributes
    ----------
    n
        Number of common blocks.
    mean_difference, ci_low, ci_high
        Mean of a minus b and its t interval at level 1 - alpha.
    simultaneous_ci_low, simultaneous_ci_high
        The t interval at Bonferroni's level 1 - level / (number of tested pairs), where level is
        that of the look: alpha, unless the results were looked at before.
    statistic, pvalue, pvalue_holm
        Sum of the differences, the exact paired sign-flip p-value, and Holm's adjustment of it
        over the family of all testable pairs. Only `pvalue_holm` decides.
    pvalue_t, pvalue_wilcoxon
        Paired t test and exact Wilcoxon signed-rank test: sensitivity columns, unadjusted.
    pvalue_equivalence, pvalue_equivalence_holm
        Two one-sided paired t tests against +-margin (the larger p), and Holm's adjustment in a
        family of their own.
    dz, gz
        Mean difference in standard deviations of the differences; the same with Hedges'
        small-sample correction.
    win_rate, win_rate_low, win_rate_high
        Share of blocks where a is better (ties count half), with Wilson's interval.
    a12
        Probability that a run of a is better than an unpaired run of b (ties count half).
    correlation
        Pearson's correlation of the paired values.
    verdict
        Of a against b.
    seeds_needed
        For an inconclusive pair, how many blocks the observed effect would need (power 0.8).
    """

    a: str
    b: str
    n: int
    mean_difference: float | None
    ci_low: float | None
    ci_high: float | None
    simultaneous_ci_low: float | None
    simultaneous_ci_high: float | None
    statistic: float | None
    pvalue: float | None
    pvalue_holm: float | None
    pvalue_t: float | None
    pvalue_wilcoxon: float | None
    pvalue_equivalence: float | None
    pvalue_equivalence_holm: float | None
    dz: float | None
    gz: float | None
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    a12: float | None
    correlation: float | None
    verdict: Verdict
    seeds_needed: int | None


@dataclass(frozen=True, kw_only=True)
class Power(NotebookRepr):
    """What this number of seeds can show at all.

    This number is the largest that a pair has in common, and pairs are those that are tested.
    `smallest_pvalue` is the least p-value that the sign-flip test can give with this number of
    seeds, None below two; `seeds_to_reject` the number of seeds from which Holm can reject
    anything, None where there is no pair to test; `minimum_detectable_dz` the effect that this
    number of seeds finds with power 0.8 at level alpha / pairs, None below two seeds.
    """

    smallest_pvalue: float | None
    seeds_to_reject: int | None
    minimum_detectable_dz: float | None


@dataclass(frozen=True, kw_only=True)
class RankReversal(NotebookRepr):
    """How often a single block misleads about one pair.

    `ahead` is the one that is better over all of their `n` common blocks, None where neither is;
    `wrong_share` the share of blocks on which the other one is better, `tied_share` the share
    without a difference, both None where neither is ahead.
    """

    a: str
    b: str
    n: int
    ahead: str | None
    wrong_share: float | None
    tied_share: float | None


@dataclass(frozen=True, kw_only=True)
class BestShare(NotebookRepr):
    """Share of the complete blocks in which a treatment scores best; ties share the block."""

    treatment: str
    share: float


@dataclass(frozen=True, kw_only=True)
class SelectionPoint(NotebookRepr):
    """Probability that the mean over `n` blocks names the leader."""

    n: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class SingleSeed(NotebookRepr):
    """What one block, or a few, would have told.

    Attributes
    ----------
    leader
        The treatment with the best mean over the complete blocks.
    n_blocks
        Number of complete blocks: those in which every treatment has a value.
    best_shares
        Which treatment a single block names, in the order of the treatments.
    pairs
        In the order of the comparison's pairs.
    curve
        From one block to all of them: blocks are drawn with replacement, ties count as a share.
        For n = 1 it is exact. It takes the leader of these blocks for the true one.
    n_draws
        Resamples behind every point of the curve but the first.
    """

    leader: str
    n_blocks: int
    best_shares: tuple[BestShare, ...]
    pairs: tuple[RankReversal, ...]
    curve: tuple[SelectionPoint, ...]
    n_draws: int


@dataclass(frozen=True, kw_only=True)
class SurvivalStep(NotebookRepr):
    """From this iteration on, the Kaplan-Meier share of runs that have not reached the target."""

    iteration: int
    waiting_share: float


@dataclass(frozen=True, kw_only=True)
class TargetTreatment(NotebookRepr):
    """How soon the runs of one treatment reach the target.

    `restricted_mean` is the mean of min(iterations to the target, budget), with its t interval at
    level 1 - alpha: a run that never arrives counts with the whole budget, never as missing.
    """

    name: str
    n: int
    n_reached: int
    reach_rate: float | None
    restricted_mean: float | None
    ci_low: float | None
    ci_high: float | None
    steps: tuple[SurvivalStep, ...]


@dataclass(frozen=True, kw_only=True)
class LogRank(NotebookRepr):
    """The log-rank test of one pair: it ignores the pairing, and is a footnote."""

    a: str
    b: str
    pvalue: float | None


@dataclass(frozen=True, kw_only=True)
class TimeToTarget(NotebookRepr):
    """Iterations to the first evaluation at or above the target: a secondary metric.

    Attributes
    ----------
    target
        The accuracy to reach, as a fraction.
    data
        On which images it was measured: ``"test"``.
    budget
        Iterations after which a run ends; a run that has not arrived is censored there.
    treatments
        Soonest first.
    pairs
        The restricted times compared like the primary metric, in a Holm family of their own; a
        difference counts iterations, and ``better`` means sooner.
    logrank
        In the order of `pairs`.
    unit
        What is counted: ``"updates"``, or ``"images"`` where variants with batch sizes of their own
        do another number of updates; then `budget` and all times are images seen.
    """

    target: float
    data: str
    budget: int
    treatments: tuple[TargetTreatment, ...]
    pairs: tuple[Pair, ...]
    logrank: tuple[LogRank, ...]
    unit: str = "updates"


@dataclass(frozen=True, kw_only=True)
class CrossedInterval(NotebookRepr):
    """An interval of the mean difference over new seeds and new test examples alike.

    At level 1 - alpha, with `df` degrees of freedom (Satterthwaite); None below three common
    blocks, which no verdict could rest on. Never narrower than the interval over new seeds alone.
    """

    a: str
    b: str
    n: int
    crossed_ci_low: float | None
    crossed_ci_high: float | None
    df: float | None


@dataclass(frozen=True, kw_only=True)
class Scope(NotebookRepr):
    """How far the differences carry: intervals that cover other test examples too.

    `pairs` are in the order of the comparison's pairs; `n_examples` counts the test examples.
    """

    n_examples: int
    pairs: tuple[CrossedInterval, ...]


@dataclass(frozen=True, kw_only=True)
class Look(NotebookRepr):
    """One time at which the results were judged.

    Attributes
    ----------
    look
        Its number, from 1.
    n_blocks
        The blocks it saw.
    level
        The family-wise level at which it judges.
    spent
        The sum of the levels up to this look: a bound on the chance of any false `better` or
        `worse` in them. Equivalence, and each secondary metric, has as much again.
    at
        When it was taken, None where that is not known.
    """

    look: int
    n_blocks: int
    level: float
    spent: float
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Comparison(NotebookRepr, first=("warnings", "treatments", "pairs")):
    """The answer of :func:`bench.analysis.compare`.

    Attributes
    ----------
    treatments
        From best to worst mean; those whose mean is undefined come after these, and those without a
        run last.
    omnibus
        None for fewer than three treatments.
    pairs
        Every unordered pair once, `a` ahead of `b` in the order of `treatments`.
    single_seed
        None where no block is complete or there is one treatment.
    time_to_target
        None where the table has no evaluations.
    scope
        None where the table has no correctness of single examples.
    looks
        All looks so far; the last one is this, and its level is that of the verdicts.
    warnings
        Sentences for the reader, the most important first.
    notes
        Sentences on how the values were read: their unit, and what they were rounded from. JSON
        leaves them out where there are none.
    """

    parameters: Parameters
    treatments: tuple[Treatment, ...]
    omnibus: Omnibus | None
    pairs: tuple[Pair, ...]
    power: Power
    single_seed: SingleSeed | None
    time_to_target: TimeToTarget | None
    scope: Scope | None
    looks: tuple[Look, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), metadata=OMIT_EMPTY)

    @property
    def level(self) -> float:
        """The family-wise level of the verdicts: alpha, unless results were looked at before."""
        return self.looks[-1].level

    @property
    def n_present(self) -> int:
        """Number of treatments that have results."""
        return sum(t.n > 0 for t in self.treatments)

    @property
    def n_family(self) -> int:
        """Number of pairs in Holm's family: those with a p-value."""
        return family_size([pair.pvalue for pair in self.pairs], self.n_present)

    @property
    def n_common(self) -> int:
        """The largest number of blocks that a pair has in common; 0 without a pair."""
        return max((pair.n for pair in self.pairs), default=0)


@dataclass(frozen=True, kw_only=True)
class RunScore(NotebookRepr):
    """One dot of the report: the score of one run, None where it failed or was never measured."""

    treatment: str
    seed: Block
    value: float | None
    status: str


@dataclass(frozen=True, kw_only=True)
class Band(NotebookRepr):
    """A mean over seeds at each evaluation, with its pointwise t interval.

    All tuples have one entry per evaluation. `n` counts the runs with a finite value, and the
    mean is over these: None where there are none, as the interval is below two.
    """

    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LearningCurve(NotebookRepr):
    """How one treatment learned: bands over the updates at which it was evaluated.

    Accuracies are fractions, losses are nats. `seconds` is the time of training before each
    evaluation, the median over the runs that have one, None where none has; it holds no time of
    evaluations. `batch_size` is the number of images per update, None where it is not known.
    """

    treatment: str
    iterations: tuple[int, ...]
    seconds: tuple[float | None, ...]
    test_accuracy: Band
    test_loss: Band
    train_loss: Band
    batch_size: int | None = None

    @property
    def images(self) -> tuple[int | None, ...]:
        """Training images seen before each evaluation, those of all epochs counted."""
        return tuple(self.batch_size and self.batch_size * i for i in self.iterations)


@dataclass(frozen=True, kw_only=True)
class Timing(NotebookRepr):
    """Seconds that a run of one treatment took: medians over the `n` runs that ended well.

    None where there are none: a run that diverged or failed stopped early.
    """

    treatment: str
    n: int
    train_seconds: float | None
    eval_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class TimeRatio(NotebookRepr):
    """Training time of a over that of b: exploratory, since it depends on what else ran.

    `ratio` is the geometric mean over the `n` seeds on which both ended well, with its t interval
    (of the logarithm) at level 1 - alpha.
    """

    a: str
    b: str
    n: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class Incident(NotebookRepr):
    """A run that diverged or failed.

    `iteration` is the first update whose loss was not finite, None for a failed run; `error` what
    went wrong, for a failed run as a rule a whole traceback.
    """

    treatment: str
    seed: Block
    status: str
    iteration: int | None
    error: str


@dataclass(frozen=True, kw_only=True)
class Provenance(NotebookRepr):
    """Where the rows come from.

    `facts` holds (column, distinct values as text) for the columns that describe the workload
    and the machine; more than one value in an environment column means a mixed sweep. `started_at`
    and `finished_at` span the runs, None where no row says when it started.
    """

    facts: tuple[tuple[str, tuple[str, ...]], ...]
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Variant(NotebookRepr):
    """What one treatment stands for.

    `algorithm` is the import path of the optimizer's class; `hyperparameters` holds (name, value
    as text) of all its hyperparameters, defaults included; `schedule` says how its learning rate
    changes, None where it does not.
    """

    treatment: str
    algorithm: str
    hyperparameters: tuple[tuple[str, str], ...]
    schedule: str | None = None

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """(name, value as text) of its hyperparameters, and of its schedule where it has one."""
        schedule = (("schedule", self.schedule),) if self.schedule else ()
        return (*self.hyperparameters, *schedule)


@dataclass(frozen=True, kw_only=True)
class RateCurve(NotebookRepr):
    """The learning rate of one treatment: `rates` at `iterations`, counted from 1.

    They are those of the run that got furthest in the `budget` of updates. `schedule` is None where
    the rate is constant.
    """

    treatment: str
    schedule: str | None
    budget: int
    iterations: tuple[int, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RankDiagram(NotebookRepr):
    """Mean ranks and Nemenyi's test of them: a picture only, it decides nothing.

    Whether it calls two treatments different depends on which others are in the pool (Benavoli et
    al. 2016).

    Attributes
    ----------
    n_blocks
        Number of complete blocks that the ranks are over, at least two.
    critical_difference
        The difference of mean ranks from which the test calls two treatments different, at the
        family-wise level alpha.
    ranked
        The treatments that have a mean rank, best first.
    groups
        The largest groups of at least two treatments whose mean ranks differ by less, best first;
        each in the order of its ranks.
    """

    n_blocks: int
    critical_difference: float
    ranked: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class RunTable(NotebookRepr):
    """The rows that were analysed: what every number of a report can be recomputed from.

    Lists stand as JSON, times as ISO 8601; columns of bytes, and the files that rows were read
    from, are left out. `rows` are in the order of the scores.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]

    def _html(self, caption: str) -> str:
        return table(caption, self.columns, self.rows)


@dataclass(frozen=True, kw_only=True)
class SweepAnalysis(NotebookRepr, first=("name", "comparison")):
    """Everything that the report of a sweep shows, computed from its stored rows.

    `variants`, `curves` and `timings` follow the order of `comparison.treatments`, and so do
    `scores` and `incidents`, then that of the seeds; `time_ratios` follow that of its pairs.
    `target` is a test accuracy as a fraction.

    Attributes
    ----------
    letters
        For each treatment, in the order of `comparison.treatments`: two share a letter where they
        were not shown to differ.
    ranks
        None for fewer than three treatments or two complete blocks.
    rates
        Empty where no variant has a schedule; else one for each whose learning rate is known.
    runs
        The rows themselves.
    """

    name: str
    command: str
    target: float
    comparison: Comparison
    letters: tuple[str, ...]
    ranks: RankDiagram | None
    variants: tuple[Variant, ...]
    scores: tuple[RunScore, ...]
    curves: tuple[LearningCurve, ...]
    rates: tuple[RateCurve, ...]
    timings: tuple[Timing, ...]
    time_ratios: tuple[TimeRatio, ...]
    incidents: tuple[Incident, ...]
    provenance: Provenance
    runs: RunTable
    is_source_workload: bool


#: Why runs of one seed of two sweeps are not paired: other workloads, no seed in common, or a seed
#: that fixes other initial weights or another order of the data.
Obstacle = Literal["workload", "seeds", "initial weights", "order of the data"]


@dataclass(frozen=True, kw_only=True)
class ChangedFact(NotebookRepr):
    """What is not the same in two sweeps.

    `column` is a column of :class:`bench.storage.records.RunRecord`, or ``algorithm`` or the name
    of a hyperparameter of `optimizer`, which is None for what concerns all runs. `before` and
    `after` are the distinct values as text, none where nothing is recorded.
    """

    column: str
    optimizer: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedChange(NotebookRepr):
    """Training time after over that before: exploratory, since it depends on what else ran.

    `ratio` is a geometric mean with its interval (of the logarithm, at level 1 - alpha), over
    `n_before` and `n_after` runs that ended well; or, for all optimizers together, over that many
    seeds on which every one of them did. Where runs are paired both numbers are those of the common
    seeds, and the interval is Student's; else it is Welch's.
    """

    n_before: int
    n_after: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class Change(NotebookRepr):
    """One optimizer in two sweeps, "after minus before" in final test accuracy (a fraction).

    Attributes
    ----------
    is_paired
        Whether the two runs of a seed are paired; else these are two independent samples.
    n_before, n_after
        Number of runs with a result in either sweep: diverged ones have one, failed ones do not.
    n
        Number of seeds with a result in both.
    n_same
        How many of these `n` ended in exactly the same status, number of correct test images and
        test loss; None where runs are not paired.
    n_newly_failed
        Number of seeds with a result before whose run failed after.
    n_diverged_before, n_diverged_after
        Number of diverged runs in either sweep.
    mean_before, mean_after
        Over the `n` common seeds where runs are paired, else over all runs of either sweep.
    mean_difference, ci_low, ci_high
        After minus before and its t interval at level 1 - alpha; Welch's where not paired.
    simultaneous_ci_low, simultaneous_ci_high
        The same at Bonferroni's level 1 - alpha / (number of optimizers).
    pvalue, pvalue_holm
        The exact paired sign-flip test, or Welch's t test where not paired; and Holm's adjustment
        over all optimizers. Only `pvalue_holm` decides.
    pvalue_equivalence, pvalue_equivalence_holm
        Two one-sided t tests (paired, or Welch's) against +-margin, and Holm's adjustment in a
        family of their own.
    verdict
        Of after against before.
    time
        How training time changed.
    """

    optimizer: str
    is_paired: bool
    n_before: int
    n_after: int
    n: int
    n_same: int | None
    n_newly_failed: int
    n_diverged_before: int
    n_diverged_after: int
    mean_before: float | None
    mean_after: float | None
    mean_difference: float | None
    ci_low: float | None
    ci_high: float | None
    simultaneous_ci_low: float | None
    simultaneous_ci_high: float | None
    pvalue: float | None
    pvalue_holm: float | None
    pvalue_equivalence: float | None
    pvalue_equivalence_holm: float | None
    verdict: Verdict
    time: SpeedChange

    @property
    def is_alike(self) -> bool:
        """Whether there are common runs, however few, and all of them ended exactly alike."""
        return self.n > 0 and self.n_same == self.n

    @property
    def is_unchanged(self) -> bool:
        """Whether it is shown to be as before, and no run newly fails."""
        is_shown = self.verdict in ("identical", "equivalent") or self.is_alike
        return is_shown and not self.n_newly_failed


@dataclass(frozen=True, kw_only=True)
class SweepChange(NotebookRepr):
    """The answer of :func:`bench.analysis.compare_sweeps`.

    Attributes
    ----------
    before, after
        What the two sweeps are called.
    command
        The command line that compares them again.
    parameters
        `k` counts the optimizers of both sweeps, `n_blocks` the seeds of both.
    obstacle
        Why runs of one seed are not paired; None where they are.
    changes
        One for each optimizer of both sweeps, in alphabetical order: one family of tests.
    only_before, only_after
        Optimizers that the other sweep does not have, in alphabetical order.
    facts
        What else is not the same in both, the workload first.
    time
        How training time changed over all optimizers together.
    warnings
        Sentences for the reader, the most important first.
    """

    before: str
    after: str
    command: str
    parameters: Parameters
    obstacle: Obstacle | None
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    facts: tuple[ChangedFact, ...]
    time: SpeedChange
    warnings: tuple[str, ...]

    @property
    def is_paired(self) -> bool:
        """Whether runs of one seed are paired."""
        return self.obstacle is None

    @property
    def is_unchanged(self) -> bool:
        """Whether every optimizer is shown to be as before."""
        return all(change.is_unchanged for change in self.changes)
