"""Sentences that explain the numbers of pairs, for one pair and for all together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.analysis.results import Pair
from bench.words import count


def with_remarks(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """Return the pairs with the sentences on each of them."""
    return tuple(replace(pair, remarks=tuple(_estimated(pair))) for pair in pairs)


def notes_on_pairs(pairs: tuple[Pair, ...]) -> tuple[str, ...]:
    """Return the sentences on all pairs together."""
    return tuple(_all_estimated(pairs))


def _estimated(pair: Pair) -> Iterator[str]:
    if pair.pvalue_draws is not None and pair.pvalue_standard_error is not None:
        yield (
            f"The sign-flip p-value is a Monte Carlo estimate from {pair.pvalue_draws:,} random "
            f"patterns of signs, with a standard error of {pair.pvalue_standard_error:.1g}: an "
            "exact count of all patterns is too expensive."
        )


def _all_estimated(pairs: tuple[Pair, ...]) -> Iterator[str]:
    errors = [p.pvalue_standard_error for p in pairs if p.pvalue_standard_error is not None]
    if errors:
        draws = min(pair.pvalue_draws for pair in pairs if pair.pvalue_draws is not None)
        yield (
            f"p-values by Monte Carlo: {len(errors)} of {count(len(pairs), 'pair')} have too many "
            f"sign patterns for an exact count. Their p-values are estimated from {draws:,} random "
            f"patterns, (b + 1) / (B + 1), with a standard error of at most {max(errors):.1g}."
        )
