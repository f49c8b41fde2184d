"""Sentences on the looks of a sequential comparison, and the pairs that needed several of them."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.results import Comparison, Pair, PairAtLook, Sequential, Verdict
from bench.report.text import format as fmt
from bench.report.text.format import count, listing
from bench.report.text.nouns import Nouns

#: More open pairs than this are counted in a sentence, and not named.
_MANY_PAIRS = 4


@dataclass(frozen=True)
class Followed:
    """A pair that was open after some look, with the number of each look at it."""

    a: str
    b: str
    points: tuple[tuple[int, PairAtLook], ...]

    @property
    def verdict(self) -> Verdict:
        """Verdict of its last look, on a relative to b."""
        return self.points[-1][1].verdict

    @property
    def last_look(self) -> int:
        """Number of the last look at it: the one that decided it, if it is not open."""
        return self.points[-1][0]


@dataclass(frozen=True, kw_only=True)
class LookLine:
    """A look as text: numbers of blocks, treatments with runs, runs added, and pairs."""

    look: str
    blocks: str
    treatments: str
    runs: str
    decided: str
    open: str


def look_lines(sequential: Sequential) -> tuple[LookLine, ...]:
    """Format the looks that were taken."""
    before = (0, *(look.n_blocks for look in sequential.looks))
    return tuple(
        LookLine(
            look=str(look.look),
            blocks=f"{look.n_blocks:,}",
            treatments=f"{len(look.treatments):,}",
            runs=f"{(look.n_blocks - earlier) * len(look.treatments):,}",
            decided=f"{len(look.pairs) - len(look.open_pairs):,}",
            open=f"{len(look.open_pairs):,}",
        )
        for look, earlier in zip(sequential.looks, before, strict=False)
    )


def followed_pairs(sequential: Sequential) -> tuple[Followed, ...]:
    """Return the pairs that needed more than one look, the hardest ones first.

    These are the open ones, then those with more looks, then those with a smaller difference.
    """
    points: dict[tuple[str, str], list[tuple[int, PairAtLook]]] = {}
    for look in sequential.looks:
        for pair in look.pairs:
            points.setdefault((pair.a, pair.b), []).append((look.look, pair))
    followed = [
        Followed(*names, tuple(found))
        for names, found in points.items()
        if any(pair.is_open for _, pair in found)
    ]
    return tuple(sorted(followed, key=_order))


def _order(pair: Followed) -> tuple[bool, int, float]:
    last = pair.points[-1][1]
    return (not last.is_open, -pair.last_look, abs(last.mean_difference or 0.0))


def has_own_numbers(comparison: Comparison) -> bool:
    """Whether treatments have different numbers of blocks, because pairs were decided."""
    return comparison.sequential is not None and len({t.n for t in comparison.treatments}) > 1


def blocks_of_each(comparison: Comparison) -> str:
    """``20 seeds``; ``13 to 52 seeds`` where treatments have different numbers after looks."""
    p = comparison.parameters
    most = Nouns.of(p).block.count(p.n_blocks)
    if not has_own_numbers(comparison):
        return most
    return f"{min(t.n for t in comparison.treatments):,} to {most}"


def own_blocks_sentence(comparison: Comparison) -> str:
    """Say over which blocks means are; empty where all treatments have the same number."""
    if not has_own_numbers(comparison):
        return ""
    nouns = Nouns.of(comparison.parameters)
    return (
        f"The mean of each {nouns.treatment} is over its own {nouns.block.plural}, as many as it "
        f"has runs. A pair is compared over the {nouns.block.plural} that both have."
    )


def at_secondary_level(comparison: Comparison) -> str:
    """``, at level 1 % instead of an adjustment for the looks``; empty without looks."""
    if comparison.sequential is None:
        return ""
    level = fmt.level(comparison.secondary_level)
    return f", at level {level} instead of an adjustment for the looks"


def looks_summary(comparison: Comparison, sequential: Sequential) -> str:
    """Say in one sentence how far a sequential comparison is."""
    n_open, pairs = len(sequential.looks[-1].open_pairs), count(len(comparison.pairs), "pair")
    now, last = sequential.looks[-1], len(sequential.planned)
    look = f"look {now.look} of {last}"
    if not n_open:
        return f"No pair is open after {look}: the comparison is finished."
    is_open = f"{n_open:,} of {pairs} {'is' if n_open == 1 else 'are'} open"
    if sequential.is_finished:
        return f"The comparison is finished: {is_open} after {look}, the last one."
    return f"The comparison is not finished: {is_open} after {look}."


def looks_sentences(comparison: Comparison, sequential: Sequential) -> tuple[str, ...]:
    """Describe the runs that the looks needed, the open pairs and what comes next."""
    now, is_open = sequential.looks[-1], bool(sequential.looks[-1].open_pairs)
    nouns = Nouns.of(comparison.parameters)
    sentences = [_runs(sequential, nouns)]
    if is_open and sequential.is_finished:
        sentences.append(f"Still open: {_open_pairs(comparison)}.")
    elif is_open:
        following = nouns.block.count(sequential.planned[now.look])
        treatments = nouns.treatment.count(len(now.open_treatments))
        sentences.append(
            f"Open: {_open_pairs(comparison)}. The next look is at {following}, and {treatments} "
            f"{'needs' if len(now.open_treatments) == 1 else 'need'} more runs for it: "
            f"{listing(now.open_treatments)}."
        )
    if sequential.n_later:
        belongs = "belongs" if sequential.n_later == 1 else "belong"
        sentences.append(
            f"{count(sequential.n_later, 'run')} that {belongs} to no look that was taken "
            f"{'is' if sequential.n_later == 1 else 'are'} left out."
        )
    return tuple(sentences)


def _runs(sequential: Sequential, nouns: Nouns) -> str:
    n, fixed = count(sequential.n_runs, "run"), count(sequential.n_runs_fixed, "run")
    most = f"{nouns.block.count(sequential.planned[-1])} of every {nouns.treatment}"
    if not sequential.is_finished:
        return f"It took {n} so far; {most} are {fixed}."
    if not sequential.saved:
        return f"It took all {fixed}: {most}."
    return f"It took {n}, {fmt.percent(sequential.saved)} fewer than the {fixed} of {most}."


def _open_pairs(comparison: Comparison) -> str:
    """Name the open pairs, and how many blocks would decide them if these are few."""
    pairs = [pair for pair in comparison.pairs if pair.verdict == "inconclusive"]
    if len(pairs) <= _MANY_PAIRS:
        return "; ".join(f"{p.a} and {p.b}{_needed(p, comparison)}" for p in pairs)
    named = "; ".join(f"{p.a} and {p.b}" for p in pairs[:_MANY_PAIRS])
    return f"{named}; and {len(pairs) - _MANY_PAIRS} more"


def _needed(pair: Pair, comparison: Comparison) -> str:
    block = Nouns.of(comparison.parameters).block
    known = (
        ("show equivalence", pair.seeds_needed_equivalence),
        ("find a difference", pair.seeds_needed),
    )
    parts = [f"{n:,} {block.plural} to {purpose}" for purpose, n in known if n is not None]
    return f" (about {' or '.join(parts)})" if parts else ""
