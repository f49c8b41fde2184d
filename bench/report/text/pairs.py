"""Pairs seen from either side, and the signs and words of verdicts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.analysis.results import Change, Pair, Verdict
from bench.report.text.format import Metric

_SEEN_FROM_B: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Sign and style of a verdict; the sign has the same meaning as the colour."""

    sign: str
    css: str
    words: str


MARKS = (
    Mark(sign="▲", css="better", words="better"),
    Mark(sign="△", css="better-slightly", words="better, by less than the margin"),
    Mark(sign="≈", css="equivalent", words="equivalent"),
    Mark(sign="=", css="identical", words="identical"),
    Mark(sign="○", css="inconclusive", words="inconclusive"),
    Mark(sign="×", css="not-testable", words="not testable"),
    Mark(sign="▽", css="worse-slightly", words="worse, by less than the margin"),
    Mark(sign="▼", css="worse", words="worse"),
)
_MARK_OF = {mark.css: mark for mark in MARKS}


@dataclass(frozen=True, kw_only=True)
class DecidingP:
    """The adjusted p-value that a verdict rests on, with its label; None where it is undefined."""

    label: str
    value: float | None


def deciding_pvalue(pair: Pair | Change) -> DecidingP:
    """Choose the p-value to print beside a verdict.

    It is that of the equivalence tests for `equivalent`, where a large p-value of the difference
    would look like evidence, and that of the difference for every other verdict.
    """
    if pair.verdict == "equivalent":
        return DecidingP(label="p equiv", value=pair.pvalue_equivalence_holm)
    adjusted = pair.pvalue_adjusted if isinstance(pair, Pair) else pair.pvalue_holm
    return DecidingP(label="p diff", value=adjusted)


def flip(pair: Pair) -> Pair:
    """The same pair as b against a."""
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        n_a=pair.n_b,
        n_b=pair.n_a,
        mean_difference=_negative(pair.mean_difference),
        ci_low=_negative(pair.ci_high),
        ci_high=_negative(pair.ci_low),
        simultaneous_ci_low=_negative(pair.simultaneous_ci_high),
        simultaneous_ci_high=_negative(pair.simultaneous_ci_low),
        statistic=_negative(pair.statistic),
        dz=_negative(pair.dz),
        gz=_negative(pair.gz),
        win_rate=_complement(pair.win_rate),
        win_rate_low=_complement(pair.win_rate_high),
        win_rate_high=_complement(pair.win_rate_low),
        a12=_complement(pair.a12),
        a12_low=_complement(pair.a12_high),
        a12_high=_complement(pair.a12_low),
        posterior_below=pair.posterior_above,
        posterior_above=pair.posterior_below,
        verdict=_SEEN_FROM_B.get(pair.verdict, pair.verdict),
    )


def seen_from(pairs: tuple[Pair, ...], name: str) -> tuple[Pair, ...]:
    """Every pair that `name` is part of, with `name` as its `a`, in the order given."""
    return tuple(p if p.a == name else flip(p) for p in pairs if name in (p.a, p.b))


def within_margin(pair: Pair | Change, margin: float | None) -> bool:
    """Whether the simultaneous interval lies inside +-margin."""
    low, high = pair.simultaneous_ci_low, pair.simultaneous_ci_high
    if margin is None or low is None or high is None:
        return False
    return -margin < low and high < margin


def mark_of(pair: Pair | Change, margin: float | None) -> Mark:
    """The sign and style of a pair's verdict."""
    css = pair.verdict.replace(" ", "-")
    if pair.verdict in ("better", "worse") and within_margin(pair, margin):
        css += "-slightly"
    return _MARK_OF[css]


def sign_of_verdict(verdict: Verdict) -> str:
    """The sign of a verdict without regard to the margin."""
    return _MARK_OF[verdict.replace(" ", "-")].sign


def verdict_words(pair: Pair | Change, margin: float | None, metric: Metric) -> str:
    """A pair's verdict in words, with the margin where it plays a part.

    Where the verdict of an earlier look stands, that of the current look alone follows.
    """
    if isinstance(pair, Pair) and pair.verdict_of_look is not None:
        return f"{pair.verdict} since look {pair.earlier_look}, now {pair.verdict_of_look}"
    if pair.verdict == "equivalent" and margin is not None:
        return f"equivalent within {metric.margin(margin)}"
    if pair.verdict in ("better", "worse") and margin is not None and within_margin(pair, margin):
        return f"{pair.verdict}, by less than {metric.margin(margin).lstrip('±')}"
    return pair.verdict


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def _complement(value: float | None) -> float | None:
    return None if value is None else 1.0 - value
