"""Leaderboard and pairs as printed lines, for the formats without figures.

Names stand as they were given: each format escapes in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Comparison, Pair, SweepAnalysis, Treatment
from bench.report.html.pairs import verdict_words
from bench.report.text import format as fmt
from bench.report.text.metrics import metric_of


@dataclass(frozen=True, kw_only=True)
class LeaderLine:
    """One treatment; a dash for what is not known. `letters` are those of its groups."""

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
    """`a` against `b`: differences are a minus b, `p` is adjusted."""

    a: str
    b: str
    difference: str
    interval: str
    simultaneous: str
    p: str
    dz: str
    win_rate: str
    verdict: str


def leader_lines(analysis: SweepAnalysis) -> tuple[LeaderLine, ...]:
    """All treatments, best mean first."""
    comparison = analysis.comparison
    named = zip(comparison.treatments, analysis.letters, strict=True)
    return tuple(
        _leader_line(str(rank) if t.n else fmt.MISSING, t, letters, comparison)
        for rank, (t, letters) in enumerate(named, start=1)
    )


def pair_line(pair: Pair, comparison: Comparison) -> PairLine:
    """One pair of a comparison, seen from either side."""
    metric = metric_of(comparison)
    return PairLine(
        a=pair.a,
        b=pair.b,
        difference=metric.difference(pair.mean_difference),
        interval=metric.difference_interval(pair.ci_low, pair.ci_high),
        simultaneous=metric.difference_interval(
            pair.simultaneous_ci_low, pair.simultaneous_ci_high
        ),
        p=fmt.pvalue(pair.pvalue_holm, comparison.level),
        dz=fmt.signed_number(pair.dz),
        win_rate=fmt.percent(pair.win_rate),
        verdict=verdict_words(pair, comparison.parameters.margin, metric),
    )


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
