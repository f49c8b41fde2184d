"""The ledger of looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import Look
from bench.report.html.parts import Parts
from bench.report.text import format as fmt


@dataclass(frozen=True)
class LookRow:
    """One look at the results."""

    look: str
    seeds: str
    at: str
    level: str
    spent: str
    different: str


@dataclass(frozen=True)
class LooksView:
    """The looks at the results and their levels."""

    sentence: str
    rows: tuple[LookRow, ...]


def looks_view(parts: Parts) -> LooksView:
    """The ledger of looks."""
    looks = parts.analysis.comparison.looks
    return LooksView(
        _looks_sentence(parts, looks),
        tuple(
            LookRow(
                str(look.look),
                f"{look.n_blocks:,}",
                fmt.moment(look.at),
                _level(look.level),
                _level(look.spent),
                fmt.MISSING if look.rejected is None else f"{len(look.rejected):,}",
            )
            for look in looks
        ),
    )


def _looks_sentence(parts: Parts, looks: Sequence[Look]) -> str:
    block, now = parts.nouns.block, looks[-1]
    if now.at is None:
        return (
            "No record of earlier looks is kept for these rows. If verdicts were looked at before "
            f"and {block.plural} added since, the level here is too generous."
        )
    alpha = parts.analysis.comparison.parameters.alpha
    if len(looks) == 1 and now.level == alpha:
        return (
            "Judged once so far, at the whole level. That is right where the number of "
            f"{block.plural} was fixed beforehand: to judge again with more would be a second look."
        )
    return (
        f"This is look {now.look}. Its level is {_level(now.level)}. Over all looks so far, the "
        f"probability of any false “better” or “worse” is at most {_level(now.spent)}."
    )


def _level(value: float) -> str:
    return f"{value * 100:.3g}{fmt.NBSP}%"
