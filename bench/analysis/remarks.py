"""Sentences that explain the numbers of pairs, for one pair and for all together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bench.analysis.correction import NAMES, blocks_to_reject
from bench.analysis.results import (
    CollapseRate,
    Collapses,
    Correction,
    Pair,
    Parameters,
    Verdict,
)
from bench.words import count, plural, spoken

#: Largest number of pairs that are named in a sentence.
_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Numbers of blocks from which the tests of all pairs can reject, now and at the next look."""

    n_tests: int
    now: int
    next: int

    @classmethod
    def of(cls, correction: Correction, n_tests: int, level: float, next_level: float) -> Needed:
        """Compute the numbers of blocks that the exact test needs; 0 without a test."""
        now, later = (
            blocks_to_reject(correction, n_tests, at) if n_tests else 0
            for at in (level, next_level)
        )
        return cls(n_tests=n_tests, now=now, next=later)


def with_remarks(
    pairs: Sequence[Pair], parameters: Parameters, needed: Needed, collapses: Collapses
) -> tuple[Pair, ...]:
    """Return the pairs with the sentences on each of them."""
    collapsed = {rate.name: rate for rate in collapses.treatments if rate.collapsed}
    return tuple(
        replace(
            pair,
            remarks=(
                *pair.remarks,
                *_remarks(pair, parameters, needed),
                *_on_collapses([collapsed[name] for name in (pair.a, pair.b) if name in collapsed]),
            ),
        )
        for pair in pairs
    )


def _on_collapses(rates: Sequence[CollapseRate]) -> Iterator[str]:
    if rates:
        counts = " and ".join(f"{rate.collapsed} of {rate.n} of {rate.name}" for rate in rates)
        yield (
            f"Some runs of this pair collapsed ({counts}). Means, tests and intervals, and with "
            "them the verdict, depend on how many collapses these seeds happened to have; compare "
            "the collapse rates too."
        )


def note_on_test(parameters: Parameters) -> tuple[str, ...]:
    """Return a sentence on the test, if it is not the sign-flip test."""
    treatment, ratio = spoken(parameters.treatment), parameters.resampling_ratio
    if parameters.test == "welch":
        return (
            f"Unpaired: the runs of each {treatment} are an independent sample, compared by "
            "Welch's t test; nothing pairs them.",
        )
    if ratio is not None:
        block = spoken(parameters.block)
        return (
            f"Each {block} is read as a resampled split of one dataset, with {ratio:.4g} times as "
            "many test as training examples: the corrected resampled t test (Nadeau & Bengio) uses "
            f"the variance (1/n + {ratio:.4g}) s² of a mean over n {plural(block)}.",
        )
    return ()


def notes_on_pairs(pairs: Sequence[Pair], parameters: Parameters) -> tuple[str, ...]:
    """Return the sentences on all pairs together."""
    return (
        *_all_estimated(pairs, parameters.correction),
        *_all_standing(pairs),
        *_all_contradictions(pairs, parameters),
    )


def _too_few(pair: Pair, parameters: Parameters, needed: Needed) -> Iterator[str]:
    """Explain why a difference of the same sign on every block is inconclusive."""
    is_one_sided = pair.win_rate in (0.0, 1.0)
    if not is_one_sided or _verdict_now(pair) != "inconclusive" or pair.n >= needed.now:
        return
    block, least = spoken(parameters.block), "at least " if parameters.correction == "max-t" else ""
    would = f"{least}{needed.now} would"
    if needed.next != needed.now:
        would += f" have, and {least}{needed.next} would at the next look"
    yield (
        f"{pair.a if pair.win_rate else pair.b} is better on every {block}, but "
        f"{count(pair.n, block)} cannot reach significance by {NAMES[parameters.correction]} of "
        f"the exact test over {count(needed.n_tests, 'pair')}; {would}."
    )


def _remarks(pair: Pair, parameters: Parameters, needed: Needed) -> Iterator[str]:
    name = NAMES[parameters.correction]
    if parameters.test == "sign-flip":
        yield from _too_few(pair, parameters, needed)
    if leaves_out_zero(pair):
        few = (
            f" With {count(pair.n, spoken(parameters.block))} it cannot find any difference; it "
            f"needs {needed.now}."
            if pair.n < needed.now and not parameters.looks
            else ""
        )
        yield (
            "The simultaneous interval leaves out 0, but no difference counts as shown. The "
            "interval is Student's, at Bonferroni's level, and assumes normally distributed "
            f"differences. The verdict is by {name} of the exact test, which does not.{few}"
        )
    if pair.verdict_of_look is not None:
        first, second = (pair.a, pair.b) if pair.verdict == "better" else (pair.b, pair.a)
        yield (
            f"{first} was better than {second} at look {pair.earlier_look}. This verdict stands, "
            f"because the looks share alpha. This look alone gives: {pair.verdict_of_look}."
        )
    if contradicts_decision(pair, parameters):
        yield (
            f"The verdict is that of look {pair.decided_at}, which stands. The mean over all seeds "
            "up to now does not agree with it."
        )
    if contains_zero(pair):
        students, of_test = (
            ("Student's, ", " of the exact test") if parameters.test == "sign-flip" else ("", "")
        )
        yield (
            f"The simultaneous interval contains 0, but the verdict is “{pair.verdict}”. The "
            f"interval is {students}at Bonferroni's level for all pairs at once. The verdict is by "
            f"{name}{of_test}, which proceeds step by step and is less strict."
        )
    estimated = (
        ("sign-flip p-value", pair.pvalue_draws, pair.pvalue_standard_error),
        ("max-T p-value", pair.pvalue_max_t_draws, pair.pvalue_max_t_standard_error),
    )
    for what, draws, error in estimated:
        if draws is not None and error is not None:
            yield (
                f"The {what} is a Monte Carlo estimate from {draws:,} random patterns of signs, "
                f"with a standard error of {error:.1g}: there are too many patterns to count."
            )


def contradicts_decision(pair: Pair, parameters: Parameters) -> bool:
    """Return whether the mean does not agree with the verdict of an earlier look.

    This is possible in a sequential comparison: a decided pair gets more seeds as long as other
    pairs of both treatments are open.
    """
    mean, margin = pair.mean_difference, parameters.margin
    if pair.decided_at is None or mean is None:
        return False
    if pair.verdict == "equivalent":
        return margin is not None and abs(mean) >= margin
    is_higher = (pair.verdict == "better") == (parameters.direction == "higher")
    return mean <= 0 if is_higher else mean >= 0


def leaves_out_zero(pair: Pair) -> bool:
    """Return whether the simultaneous interval leaves out 0, and the test found no difference."""
    low, high = pair.simultaneous_ci_low, pair.simultaneous_ci_high
    if low is None or high is None or _verdict_now(pair) not in ("inconclusive", "equivalent"):
        return False
    return low > 0 or high < 0


def contains_zero(pair: Pair) -> bool:
    """Return whether the simultaneous interval contains 0, and the test found a difference."""
    low, high = pair.simultaneous_ci_low, pair.simultaneous_ci_high
    if low is None or high is None or _verdict_now(pair) not in ("better", "worse"):
        return False
    return low <= 0 <= high


def _verdict_now(pair: Pair) -> Verdict:
    return pair.verdict if pair.verdict_of_look is None else pair.verdict_of_look


def _all_estimated(pairs: Sequence[Pair], correction: Correction) -> Iterator[str]:
    drawn = [(p.pvalue_draws, p.pvalue_standard_error) for p in pairs]
    if correction == "max-t":
        drawn = [(p.pvalue_max_t_draws, p.pvalue_max_t_standard_error) for p in pairs]
    errors = [error for _, error in drawn if error is not None]
    if errors:
        least = min(draws for draws, _ in drawn if draws is not None)
        yield (
            f"p-values by Monte Carlo: {len(errors)} of {count(len(pairs), 'pair')} have too many "
            f"patterns of signs to count. Their p-values are estimated from {least:,} random "
            f"patterns, (b + 1) / (B + 1), with a standard error of at most {max(errors):.1g}."
        )


def _all_standing(pairs: Sequence[Pair]) -> Iterator[str]:
    if standing := [pair for pair in pairs if pair.verdict_of_look is not None]:
        now = ", ".join(dict.fromkeys(str(pair.verdict_of_look) for pair in standing))
        yield (
            f"An earlier look found a difference that this look alone does not for "
            f"{_named(standing, pairs)}. The earlier verdicts stand, because the looks share "
            f"alpha; this look alone gives: {now}."
        )


def _all_contradictions(pairs: Sequence[Pair], parameters: Parameters) -> Iterator[str]:
    name = NAMES[parameters.correction]
    reason = (
        "The intervals are Student's, at Bonferroni's level, and assume normally distributed "
        f"differences; verdicts are by {name} of the exact test."
        if parameters.test == "sign-flip"
        else f"The intervals are at Bonferroni's level, which is stricter than {name}."
    )
    if undecided := [pair for pair in pairs if leaves_out_zero(pair)]:
        yield (
            f"The simultaneous interval leaves out 0 without a verdict of a difference for "
            f"{_named(undecided, pairs)}. {reason}"
        )
    if decided := [pair for pair in pairs if contains_zero(pair)]:
        yield (
            f"The simultaneous interval contains 0 beside a verdict of a difference for "
            f"{_named(decided, pairs)}. {reason}"
        )


def _named(some: Sequence[Pair], pairs: Sequence[Pair]) -> str:
    names = [f"{pair.a} against {pair.b}" for pair in some[:_NAMED]]
    more = [f"{len(some) - _NAMED} more"] if len(some) > _NAMED else []
    return f"{len(some)} of {count(len(pairs), 'pair')} ({', '.join([*names, *more])})"
