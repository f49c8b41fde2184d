"""Results on single treatments and on pairs of treatments."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.parameters import OMIT_DEFAULT, Verdict


@dataclass(frozen=True, kw_only=True)
class Treatment(NotebookRepr):
    """Descriptive statistics of the runs of one treatment.

    `n` counts the runs that have a value: diverged runs have one, failed runs do not. `std` uses
    ddof=1; quartiles interpolate linearly (type 7); `iqm` is the interquartile mean; the interval
    is Student's t interval of the mean at level 1 - alpha. `mean_rank` is the mean of the ranks
    within complete blocks; rank 1 is the best.
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
    """Friedman's test over complete blocks, for information: no verdict depends on it.

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
    """Comparison of treatment `a` with treatment `b` over their common blocks.

    Attributes
    ----------
    n
        Number of common blocks; of independent samples, the smaller number of runs.
    mean_difference, ci_low, ci_high
        Mean of a minus b, and its t interval at level 1 - alpha.
    simultaneous_ci_low, simultaneous_ci_high
        The t interval at Bonferroni's level 1 - level / (number of tested pairs). Here level is
        that of the look: alpha, unless the results were looked at before.
    statistic, pvalue, pvalue_holm
        Sum of the differences, p-value of the exact paired sign-flip test, and Holm's adjusted
        p-value over the family of all testable pairs. Only `pvalue_holm` determines the verdict,
        unless another correction was declared.
    pvalue_t, pvalue_wilcoxon
        Unadjusted p-values of the paired t test and of the exact Wilcoxon signed-rank test, as a
        sensitivity analysis.
    pvalue_equivalence, pvalue_equivalence_holm
        Two one-sided paired t tests against +-margin (the larger p-value), and Holm's adjusted
        p-value in a separate family.
    dz, gz
        Cohen's d_z: the mean difference in standard deviations of the differences; and Hedges'
        g_z, the same with the small-sample correction.
    win_rate, win_rate_low, win_rate_high
        Share of blocks where a is better (ties count half), with Wilson's interval.
    a12
        Probability that a run of a is better than an unpaired run of b (ties count half).
    correlation
        Pearson's correlation of the paired values.
    verdict
        Verdict on a relative to b. A `better` or `worse` of an earlier look stands, because the
        looks share alpha.
    seeds_needed, seeds_needed_equivalence
        For an inconclusive pair, the number of blocks that finds the observed effect with power
        0.8, and the number that shows equivalence with this power if the observed mean and standard
        deviation are the true ones (None where the mean is not within the margin). Both are at the
        level of the next step of the correction at the next look.
    posterior_below, posterior_within, posterior_above
        Posterior probabilities that the true mean of a minus b lies below, within and above
        +-margin, with a flat prior. They do not decide.
    a12_low, a12_high
        Interval of `a12` at level 1 - alpha.
    pvalue_wins, pvalue_wins_holm
        Exact test of "neither treatment wins more than the declared share of blocks", and Holm's
        adjusted p-value in a separate family. None without a declared share.
    variance_ratio
        Variance of the paired differences over that of unpaired differences.
    pvalue_draws, pvalue_standard_error
        Number of random sign patterns that `pvalue` was estimated from, and its Monte Carlo
        standard error; None where `pvalue` is the exact share of all patterns.
    pvalue_max_t, pvalue_max_t_draws, pvalue_max_t_standard_error
        Adjusted p-value of step-down max-T over the same family, and its Monte Carlo draws and
        error; None where this correction was not declared. If it was, it determines the verdict.
    earlier_look, verdict_of_look
        Number of the first look whose verdict of a difference stands, and the verdict of the
        current look alone. None where `verdict` is that of the current look alone.
    pvalue_sequential, pvalue_equivalence_sequential
        In a sequential comparison, the p-values of all looks at this pair, adjusted for the number
        of looks: these are adjusted by Holm's method. Like `decided_at`, None and left out of JSON
        in any other comparison.
    decided_at
        Number of the look that decided the pair, in a sequential comparison.
    remarks
        Sentences on how to read the numbers of this pair. Left out of JSON where empty.
    n_a, n_b
        Numbers of runs of independent samples; None, and left out of JSON, where runs are paired.

    Notes
    -----
    `statistic`, the p-values and the intervals are those of the declared test
    (:attr:`Parameters.test`). With Welch's t test or the corrected resampled t test, `statistic` is
    t, and everything that needs independent pairs of runs is None.
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
    seeds_needed_equivalence: int | None = None
    posterior_below: float | None = None
    posterior_within: float | None = None
    posterior_above: float | None = None
    a12_low: float | None = None
    a12_high: float | None = None
    pvalue_wins: float | None = None
    pvalue_wins_holm: float | None = None
    variance_ratio: float | None = None
    pvalue_draws: int | None = None
    pvalue_standard_error: float | None = None
    pvalue_max_t: float | None = None
    pvalue_max_t_draws: int | None = None
    pvalue_max_t_standard_error: float | None = None
    earlier_look: int | None = None
    verdict_of_look: Verdict | None = None
    remarks: tuple[str, ...] = field(default=(), metadata=OMIT_DEFAULT)
    n_a: int | None = field(default=None, metadata=OMIT_DEFAULT)
    n_b: int | None = field(default=None, metadata=OMIT_DEFAULT)
    pvalue_sequential: float | None = field(default=None, metadata=OMIT_DEFAULT)
    pvalue_equivalence_sequential: float | None = field(default=None, metadata=OMIT_DEFAULT)
    decided_at: int | None = field(default=None, metadata=OMIT_DEFAULT)

    @property
    def pvalue_of_looks(self) -> float | None:
        """The p-value that is adjusted for the number of pairs."""
        return self.pvalue if self.pvalue_sequential is None else self.pvalue_sequential

    @property
    def pvalue_equivalence_of_looks(self) -> float | None:
        """The p-value of equivalence that is adjusted for the number of pairs."""
        if self.pvalue_equivalence_sequential is None:
            return self.pvalue_equivalence
        return self.pvalue_equivalence_sequential

    @property
    def pvalue_adjusted(self) -> float | None:
        """The adjusted p-value that determines the verdict."""
        return self.pvalue_holm if self.pvalue_max_t is None else self.pvalue_max_t


@dataclass(frozen=True, kw_only=True)
class Power(NotebookRepr):
    """Power of the tests at the given number of seeds.

    The number of seeds is the largest number of common seeds of any pair. All attributes are None
    where the test is not the sign-flip test.

    Attributes
    ----------
    smallest_pvalue
        Smallest attainable p-value of the sign-flip test; None below two seeds.
    seeds_to_reject
        Smallest number of seeds with which the declared correction can reject a hypothesis; None
        without a pair to test.
    minimum_detectable_dz
        Effect that is found with power 0.8 at level alpha / (number of tested pairs); None below
        two seeds.
    next_level
        Family-wise level of the next look, at which the seeds needed by pairs are computed; None
        without a pair.
    variance_ratio
        Median over the pairs of the variance of paired differences over that of unpaired ones.
    """

    smallest_pvalue: float | None
    seeds_to_reject: int | None
    minimum_detectable_dz: float | None
    next_level: float | None = None
    variance_ratio: float | None = None
