"""The ledger of looks, or what each look of a sequential comparison found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import Look, PairAtLook, Sequential
from bench.report.figures.looks import MOST_PAIRS, looks_figure
from bench.report.html.parts import FigureView, Name, Parts
from bench.report.text import format as fmt
from bench.report.text.format import count, listing
from bench.report.text.looks import (
    Followed,
    LookLine,
    followed_pairs,
    look_lines,
    looks_sentences,
    looks_summary,
)
from bench.report.text.sanitize import clean


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
class PairAtLookRow:
    """A pair at a look."""

    a: Name
    b: Name
    look: str
    n: str
    difference: str
    interval: str
    p_adjusted: str
    p_equivalence_holm: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class SequentialView:
    """The looks of a sequential comparison.

    Attributes
    ----------
    sentences
        The runs that the looks needed, the open pairs and what comes next.
    rows
        The looks that were taken.
    figure, pairs
        The pairs that needed more than one look, and the numbers behind it; None without any.
    caption
        Which pairs are drawn.
    n_looks, planned
        Number of declared looks, and their numbers of seeds in words.
    level, secondary_level
        Level at which all intervals hold together, and level of the tests of secondary metrics.
    """

    sentences: tuple[str, ...]
    rows: tuple[LookLine, ...]
    figure: FigureView | None
    pairs: tuple[PairAtLookRow, ...]
    caption: str
    n_looks: int
    planned: str
    level: str
    secondary_level: str


@dataclass(frozen=True)
class LooksView:
    """The looks at the results and their levels, or those of a sequential comparison."""

    sentence: str
    rows: tuple[LookRow, ...]
    sequential: SequentialView | None


def looks_view(parts: Parts) -> LooksView:
    """The ledger of looks, or the looks of a sequential comparison."""
    comparison = parts.analysis.comparison
    if comparison.sequential is not None:
        summary = clean(looks_summary(comparison, comparison.sequential))
        return LooksView(summary, (), _sequential_view(parts, comparison.sequential))
    looks = comparison.looks
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
        None,
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


def _sequential_view(parts: Parts, sequential: Sequential) -> SequentialView:
    comparison, pairs = parts.analysis.comparison, followed_pairs(sequential)
    return SequentialView(
        sentences=tuple(map(clean, looks_sentences(comparison, sequential))),
        rows=look_lines(sequential),
        figure=_figure(parts, pairs) if pairs else None,
        pairs=tuple(_pair_row(parts, look, p) for pair in pairs for look, p in pair.points),
        caption=_which(len(pairs), len(comparison.pairs)),
        n_looks=len(sequential.planned),
        planned=listing(tuple(f"{n:,}" for n in sequential.planned)),
        level=fmt.level(1 - comparison.parameters.alpha),
        secondary_level=fmt.level(comparison.secondary_level),
    )


def _figure(parts: Parts, pairs: Sequence[Followed]) -> FigureView:
    block = parts.nouns.block.plural
    told = "; ".join(_told(parts, pair) for pair in pairs[:MOST_PAIRS])
    return parts.figure(
        looks_figure,
        "looks",
        title=f"Mean difference of each pair over the looks, by number of {block}",
        description=f"{told}.",
    )


def _told(parts: Parts, pair: Followed) -> str:
    """Say how the difference of a pair changed from look to look."""
    means = (
        f"{parts.metric.difference(p.mean_difference)} after {parts.nouns.block.count(p.n)}"
        for _, p in pair.points
    )
    last = pair.points[-1][1]
    state = "open" if last.is_open else f"{pair.verdict} at look {pair.last_look}"
    return f"{pair.a} minus {pair.b}: {', '.join(means)}, {state}"


def _which(n_followed: int, n_pairs: int) -> str:
    """Say which pairs are drawn, and how many are not."""
    drawn, others = min(n_followed, MOST_PAIRS), n_pairs - n_followed
    sentences = []
    if drawn < n_followed:
        sentences.append(
            f"The {drawn} of {count(n_followed, 'pair')} that needed the most looks are drawn; the "
            "table has all of them."
        )
    if not n_followed:
        sentences.append("No pair needed a second look.")
    elif others:
        which = "other pair" if others == 1 else count(others, "other pair")
        sentences.append(f"The {which} needed no second look.")
    return " ".join(sentences)


def _pair_row(parts: Parts, look: int, pair: PairAtLook) -> PairAtLookRow:
    alpha = parts.analysis.comparison.level
    return PairAtLookRow(
        a=parts.name(pair.a),
        b=parts.name(pair.b),
        look=str(look),
        n=f"{pair.n:,}",
        difference=parts.metric.difference(pair.mean_difference),
        interval=parts.metric.difference_interval(pair.ci_low, pair.ci_high),
        p_adjusted=fmt.pvalue(pair.pvalue_holm, alpha),
        p_equivalence_holm=fmt.pvalue(pair.pvalue_equivalence_holm, alpha),
        verdict="open" if pair.is_open else pair.verdict,
    )
