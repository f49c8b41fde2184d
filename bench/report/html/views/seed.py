"""Results of single seeds compared with those of all seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import BestShare, RankReversal, SingleSeed
from bench.report.figures.canvas import Range
from bench.report.html.parts import Name, Parts
from bench.report.html.strips import Scale, Strip
from bench.report.text import format as fmt
from bench.report.text.format import listing
from bench.report.text.looks import has_own_numbers
from bench.report.text.published import published_score
from bench.report.text.sanitize import clean

#: Pairs that one seed gets wrong most often are shown at once, up to this many.
_MISLEADING_AT_ONCE = 8


@dataclass(frozen=True)
class MisleadingRow:
    """A pair, its order over all seeds, and how often one seed reverses it."""

    ahead: Name
    behind: Name
    wrong: str
    wrong_share: str
    tied: str


@dataclass(frozen=True)
class BestRow:
    """The share of seeds on which an optimizer is the best of all, with Wilson's interval."""

    name: Name
    share: str
    interval: str
    strip: Strip


@dataclass(frozen=True, kw_only=True)
class SeedView:
    """Results of single seeds; `n_never` optimizers are the best on no seed."""

    summary: str
    lead: str
    sentences: tuple[str, ...]
    best_shares: tuple[BestRow, ...]
    ticks: tuple[tuple[str, str], ...]
    n_never: int
    curve: tuple[tuple[str, str], ...]
    misleading: tuple[MisleadingRow, ...]
    rarely_misleading: tuple[MisleadingRow, ...]
    n_draws: str


def seed_view(parts: Parts) -> SeedView | None:
    """Results of single seeds; None with fewer than two complete seeds."""
    told = parts.shown.comparison.single_seed
    if told is None or told.n_blocks < 2:
        return None
    block = parts.nouns.block
    rows, scale = _misleading_rows(parts, told.pairs), Scale(Range(0.0, 1.0))
    winners = tuple(c for c in told.best_shares if c.share)
    return SeedView(
        summary=f"Two {block.plural} name the same best {parts.nouns.treatment} in "
        f"{fmt.percent(told.curve[0].probability)} of the cases.",
        lead=_lead(parts, told),
        sentences=(_agreement(parts, told), *_tutorial(parts)),
        best_shares=tuple(_best_row(parts, scale, c) for c in winners),
        ticks=tuple((at, f"{text} %") for at, text in scale.ticks(5, 100)),
        n_never=len(told.best_shares) - len(winners),
        curve=tuple((f"{point.n:,}", fmt.percent(point.probability)) for point in told.curve),
        misleading=rows[:_MISLEADING_AT_ONCE],
        rarely_misleading=rows[_MISLEADING_AT_ONCE:],
        n_draws=f"{told.n_draws:,}",
    )


def _lead(parts: Parts, told: SingleSeed) -> str:
    nouns = parts.nouns
    winners = [best_share for best_share in told.best_shares if best_share.share > 0]
    if len(winners) == 1:
        return (
            f"{clean(told.leader)} is the best on each of the {nouns.block.count(told.n_blocks)}"
            f"{_that_all_have(parts)}."
        )
    return (
        f"If every {nouns.treatment} is trained with one {nouns.block} only, the best is "
        f"{_best_shares_in_words(told.best_shares)}."
    )


def _best_row(parts: Parts, scale: Scale, share: BestShare) -> BestRow:
    bar, interval = (
        scale.span("bar", 0.0, share.share),
        scale.span("thin ink", share.share_low, share.share_high),
    )
    name = parts.name(share.treatment)
    return BestRow(name, fmt.percent(share.share), _interval(share), Strip(spans=(*bar, *interval)))


def _interval(share: BestShare) -> str:
    return fmt.percents(share.share_low, share.share_high)


def _best_shares_in_words(best_shares: Sequence[BestShare]) -> str:
    ordered = sorted((c for c in best_shares if c.share > 0), key=lambda c: -c.share)
    named = [
        f"{clean(c.treatment)} in {fmt.percent(c.share)} {_interval(c)}".rstrip(f" {fmt.MISSING}")
        for c in ordered[:5]
    ]
    if len(ordered) > 5:
        rest = sum(c.share for c in ordered[5:])
        named.append(f"one of {len(ordered) - 5} others in {fmt.percent(rest)}")
    return f"{listing(tuple(named))} of the cases"


def _agreement(parts: Parts, told: SingleSeed) -> str:
    block = parts.nouns.block
    chance = {point.n: fmt.percent(point.probability) for point in told.curve}
    largest = told.curve[-1].n
    means = [
        f"the means of two sets of {n} {block.plural} in {chance[n]}"
        for n in dict.fromkeys((5, largest))
        if 1 < n <= largest and n in chance
    ]
    single = f"Two {block.plural} name the same {parts.nouns.treatment} in {chance[1]} of the cases"
    source = (
        f" Both sets are drawn from the same {told.n_blocks} {block.plural}"
        f"{_that_all_have(parts)}, so that the chance "
        "for large sets is uncertain."
    )
    return f"{', '.join((single, *means))}.{source if means else ''}"


def _that_all_have(parts: Parts) -> str:
    """Say that only complete blocks count, where treatments have different numbers after looks."""
    is_part = has_own_numbers(parts.analysis.comparison)
    return f" that every {parts.nouns.treatment} has" if is_part else ""


def _tutorial(parts: Parts) -> tuple[str, ...]:
    """Name the best of the tutorial's runs, if this sweep repeats all of them."""
    treatments = parts.analysis.comparison.treatments
    scores = {t.name: published_score(parts.analysis, t.name) for t in treatments}
    known = {name: score for name, score in scores.items() if score is not None}
    if len(known) < 2 or len(known) < len(treatments):
        return ()
    named = max(known, key=lambda name: known[name])
    return (f"In the tutorial, with one run of each, the best is {clean(named)}.",)


def _misleading_rows(parts: Parts, told: Sequence[RankReversal]) -> tuple[MisleadingRow, ...]:
    """Pairs that at least one seed orders wrongly, the most frequent first."""
    found = [wrong for wrong in told if wrong.wrong_share]
    found.sort(key=lambda wrong: -(wrong.wrong_share or 0.0))
    rows = []
    for wrong in found:
        ahead, behind = (wrong.a, wrong.b) if wrong.ahead == wrong.a else (wrong.b, wrong.a)
        rows.append(
            MisleadingRow(
                parts.name(ahead),
                parts.name(behind),
                f"{round((wrong.wrong_share or 0.0) * wrong.n)} of {wrong.n}",
                fmt.percent(wrong.wrong_share),
                str(round((wrong.tied_share or 0.0) * wrong.n)),
            )
        )
    return tuple(rows)
