"""Rows of the leaderboard and of pairs as formatted text, the same in every output format.

Names are unchanged: each format escapes them itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Comparison, Pair, SweepAnalysis, Treatment
from bench.report.text import format as fmt
from bench.report.text.format import Metric
from bench.report.text.metrics import metric_of
from bench.report.text.pairs import deciding_pvalue, flip, seen_from, verdict_words


@dataclass(frozen=True, kw_only=True)
class LeaderLine:
    """One treatment of the leaderboard; unknown values are dashes.

    `letters` are those of the groups that it belongs to.
    """

    rank: str
    name: str
    mean: str
    interval: str
    std: str
    median: str
    worst: str
    mean_rank: str
    letters: str
    runs: str
    diverged: str
    failed: str


@dataclass(frozen=True, kw_only=True)
class PairLine:
    """Treatment `a` against treatment `b`; unknown values are dashes.

    Attributes
    ----------
    n
        Number of blocks that both have; the runs of both where they are not paired.
    difference, interval, simultaneous
        Mean difference, a minus b, its t interval and its simultaneous interval.
    p_adjusted, p_equivalence_holm
        Adjusted p-values of the sign-flip test and of the equivalence tests.
    p_label, p_deciding
        The adjusted p-value that the verdict rests on: ``p diff`` or ``p equiv``, and its value.
    p, p_t, p_wilcoxon, p_equivalence
        Unadjusted p-values.
    dz, gz, win_rate, win_interval, a12, correlation
        Effect sizes, as in :class:`bench.analysis.results.Pair`.
    a12_interval, posterior, p_wins_holm
        Interval of `a12`; posterior probabilities of a difference below, within and above the
        margin; adjusted p-value of the test of the declared share of wins.
    seeds_needed, seeds_needed_equivalence
        Number of blocks at which the observed effect is found, or shown to lie within the margin,
        with a probability of 80 %.
    verdict, word
        In words, with the margin where it matters; and without it.
    decided, p_looks, p_equivalence_looks
        For a sequential comparison, the look that decided the pair, and the p-values that are
        adjusted for the looks but not for the pairs.
    """

    a: str
    b: str
    n: str
    difference: str
    interval: str
    simultaneous: str
    p_adjusted: str
    p_equivalence_holm: str
    p_label: str
    p_deciding: str
    p: str
    p_t: str
    p_wilcoxon: str
    p_equivalence: str
    dz: str
    gz: str
    win_rate: str
    win_interval: str
    a12: str
    a12_interval: str
    posterior: str
    p_wins_holm: str
    correlation: str
    seeds_needed: str
    seeds_needed_equivalence: str
    verdict: str
    word: str
    decided: str
    p_looks: str
    p_equivalence_looks: str

    @property
    def p_labelled(self) -> str:
        """The adjusted p-value that the verdict rests on, after its label."""
        return f"{self.p_label} {self.p_deciding}"


def leader_lines(analysis: SweepAnalysis) -> tuple[LeaderLine, ...]:
    """Format all treatments, best mean first."""
    comparison = analysis.comparison
    lettered = zip(comparison.treatments, analysis.letters, strict=True)
    return tuple(
        _leader_line(str(rank) if t.n else fmt.MISSING, t, letters, comparison)
        for rank, (t, letters) in enumerate(lettered, start=1)
    )


def pair_line(pair: Pair, comparison: Comparison, metric: Metric | None = None) -> PairLine:
    """Format one pair of a comparison, seen from either side; `metric` is for other values."""
    level = comparison.level if metric is None else comparison.secondary_level
    metric = metric or metric_of(comparison)
    deciding = deciding_pvalue(pair)
    return PairLine(
        a=pair.a,
        b=pair.b,
        n=str(pair.n) if pair.n_a is None else f"{pair.n_a} + {pair.n_b}",
        difference=metric.difference(pair.mean_difference),
        interval=metric.difference_interval(pair.ci_low, pair.ci_high),
        simultaneous=metric.difference_interval(
            pair.simultaneous_ci_low, pair.simultaneous_ci_high
        ),
        p_adjusted=fmt.pvalue(pair.pvalue_adjusted, level),
        p_equivalence_holm=fmt.pvalue(pair.pvalue_equivalence_holm, level),
        p_label=deciding.label,
        p_deciding=fmt.pvalue(deciding.value, level),
        p=fmt.pvalue(pair.pvalue, level),
        p_t=fmt.pvalue(pair.pvalue_t, level),
        p_wilcoxon=fmt.pvalue(pair.pvalue_wilcoxon, level),
        p_equivalence=fmt.pvalue(pair.pvalue_equivalence, level),
        dz=fmt.signed_number(pair.dz),
        gz=fmt.signed_number(pair.gz),
        win_rate=fmt.percent(pair.win_rate),
        win_interval=fmt.percents(pair.win_rate_low, pair.win_rate_high),
        a12=fmt.number(pair.a12, 3),
        a12_interval=fmt.bracket(fmt.number(pair.a12_low), fmt.number(pair.a12_high)),
        posterior=_posterior(pair),
        p_wins_holm=fmt.pvalue(pair.pvalue_wins_holm, comparison.secondary_level),
        correlation=fmt.signed_number(pair.correlation),
        seeds_needed=_whole(pair.seeds_needed),
        seeds_needed_equivalence=_whole(pair.seeds_needed_equivalence),
        verdict=verdict_words(pair, comparison.parameters.margin, metric),
        word=pair.verdict,
        decided=_decided(pair),
        p_looks=fmt.pvalue(pair.pvalue_sequential, level),
        p_equivalence_looks=fmt.pvalue(pair.pvalue_equivalence_sequential, level),
    )


def _decided(pair: Pair) -> str:
    if pair.decided_at is not None:
        return f"decided at look {pair.decided_at}"
    return "open" if pair.verdict == "inconclusive" else "not open"


def _whole(number: int | None) -> str:
    return fmt.MISSING if number is None else f"{number:,}"


def _posterior(pair: Pair) -> str:
    shares = (pair.posterior_below, pair.posterior_within, pair.posterior_above)
    known = [fmt.probability(share) for share in shares if share is not None]
    return " / ".join(known) or fmt.MISSING


def lines_against_leader(comparison: Comparison) -> dict[str, PairLine]:
    """Format every other treatment minus the leader, by the name of the other treatment."""
    pairs = seen_from(comparison.pairs, comparison.treatments[0].name)
    return {pair.b: pair_line(flip(pair), comparison) for pair in pairs}


def _leader_line(rank: str, t: Treatment, letters: str, comparison: Comparison) -> LeaderLine:
    metric = metric_of(comparison)
    worst = t.min if comparison.parameters.direction == "higher" else t.max
    return LeaderLine(
        rank=rank,
        name=t.name,
        mean=metric.score(t.mean),
        interval=metric.score_interval(t.ci_low, t.ci_high),
        std=metric.score(t.std),
        median=metric.score(t.median),
        worst=metric.score(worst),
        mean_rank=fmt.number(t.mean_rank),
        letters=letters or fmt.MISSING,
        runs=str(t.n),
        diverged=str(t.n_diverged),
        failed=str(t.n_failed),
    )
