"""Intervals for new seeds, and for new seeds and new test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import CrossedInterval, Pair, Provenance
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.format import count
from bench.report.text.lines import PairLine, pair_line


@dataclass(frozen=True)
class ScopeRow:
    """A pair with its interval over new seeds, and over new seeds and new images."""

    a: Name
    b: Name
    cells: PairLine
    crossed: str
    df: str


@dataclass(frozen=True, kw_only=True)
class ScopeView:
    """Intervals of the leader's pairs and of all others."""

    sentence: str
    n_examples: str
    training_sets: str
    leader: tuple[ScopeRow, ...]
    others: tuple[ScopeRow, ...]


def scope_view(parts: Parts) -> ScopeView | None:
    """Intervals over new seeds, and over new seeds and images; None where images are unknown."""
    comparison = parts.analysis.comparison
    found = comparison.scope
    if found is None or not comparison.pairs:
        return None
    leader, shown = comparison.treatments[0].name, parts.shown.comparison
    rows = [
        (pair.a, _scope_row(parts, pair, crossed))
        for pair, crossed in zip(shown.pairs, shown.scope.pairs if shown.scope else (), strict=True)
    ]
    return ScopeView(
        sentence=_reach(comparison.pairs, found.pairs),
        n_examples=f"{found.n_examples:,}",
        training_sets=_training_sets(parts.analysis.provenance),
        leader=tuple(row for a, row in rows if a == leader),
        others=tuple(row for a, row in rows if a != leader),
    )


def _scope_row(parts: Parts, pair: Pair, crossed: CrossedInterval) -> ScopeRow:
    return ScopeRow(
        parts.name(pair.a),
        parts.name(pair.b),
        pair_line(pair, parts.analysis.comparison),
        parts.metric.difference_interval(crossed.crossed_ci_low, crossed.crossed_ci_high),
        _degrees(crossed.df),
    )


def _degrees(df: float | None) -> str:
    """Degrees of freedom; the fraction matters for few."""
    return fmt.number(df, 1 if df is not None and df < 100 else 0)


def _training_sets(provenance: Provenance) -> str:
    """Whether the intervals cover new training sets."""
    drawn = dict(provenance.facts).get("resample_train")
    if drawn is None:
        return "Neither interval covers other training sets, networks, budgets or hyperparameters."
    return (
        f"The training set of each seed was drawn anew from the training images ({drawn[0]}), so "
        "the verdicts and both intervals cover other draws from these images, but no new training "
        "images. Neither covers other networks, budgets or hyperparameters."
    )


def _reach(pairs: Sequence[Pair], crossed: Sequence[CrossedInterval]) -> str:
    kept = known = 0
    for pair, wide in zip(pairs, crossed, strict=True):
        if _excludes_zero(pair.simultaneous_ci_low, pair.simultaneous_ci_high):
            known += 1
            kept += _excludes_zero(wide.simultaneous_ci_low, wide.simultaneous_ci_high)
    if not known:
        return (
            "No pair has a simultaneous interval that leaves out zero, with or without new images."
        )
    has = "has" if known == 1 else "have"
    return (
        f"{count(known, 'pair')} out of {len(pairs)} {has} a simultaneous interval over new seeds "
        f"that leaves out zero; with new images, {kept} {'does' if kept == 1 else 'do'}."
    )


def _excludes_zero(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and (low > 0 or high < 0)
