"""Pairwise comparison of treatments: tests, adjusted p-values, effect sizes and verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from bench.analysis.correction import blocks_to_reject
from bench.analysis.results import Pair, Parameters, Verdict, reversed_verdict
from bench.analysis.stats import effects
from bench.analysis.stats.differences import Differences
from bench.analysis.stats.max_t import MaxT, max_t
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import (
    Flips,
    PermutationPvalue,
    monte_carlo_error,
    sign_flip_tests,
)
from bench.analysis.stats.power import seeds_for_equivalence, seeds_needed_each
from bench.analysis.stats.resampled import resampled
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import (
    Moments,
    posterior_shares,
    t_interval,
    t_pvalue,
    t_statistic,
    tost_pvalue,
)
from bench.analysis.stats.welch import MeanDifference
from bench.analysis.stats.wilcoxon import wilcoxon_pvalues
from bench.analysis.table import PairedTable, sign_of

#: With two blocks the p-value of the sign-flip test is 1/2 or 1: it depends only on whether both
#: signs agree. With three or more it also depends on the sizes of the differences.
MIN_BLOCKS_FOR_VERDICT = 3
#: Results of a pair that have no meaning for independent samples.
_NOT_PAIRED: Mapping[str, Any] = dict.fromkeys(
    (
        *("pvalue_t", "pvalue_wilcoxon", "dz", "gz", "win_rate", "win_rate_low", "win_rate_high"),
        *("correlation", "seeds_needed"),
    )
)
#: Results of a pair that would be too certain for folds, which share training data.
_NOT_RESAMPLED: Mapping[str, Any] = dict.fromkeys(
    ("pvalue_t", "pvalue_wilcoxon", "win_rate_low", "win_rate_high", "a12_low", "a12_high")
)


@dataclass(frozen=True, kw_only=True)
class LookAdjusted:
    """p-values of a pair that are adjusted for the looks of a sequential comparison.

    `verdict` is that of the look `decided_at`, from 1; both are None where the pair is not decided.
    """

    pvalue: float | None = None
    pvalue_equivalence: float | None = None
    verdict: Verdict | None = None
    decided_at: int | None = None

    @property
    def reversed(self) -> LookAdjusted:
        """The same of b and a instead of a and b."""
        return (
            self if self.verdict is None else replace(self, verdict=reversed_verdict(self.verdict))
        )


def compare_pairs(
    paired: PairedTable,
    order: Sequence[str],
    parameters: Parameters,
    level: float,
    next_level: float | None = None,
    sequential: Mapping[tuple[str, str], LookAdjusted] | None = None,
) -> tuple[Pair, ...]:
    """Compare every unordered pair of treatments once; all pairs form one family of tests.

    `order` holds the names of the treatments, best first: the order of the pairs. Intervals have
    level 1 - `parameters.interval_alpha`; `level` is the family-wise level of the verdicts, and
    `next_level` that of the next look, for the seeds needed (by default the same). `sequential`
    holds the p-values of a sequential comparison, for the names in either order. They are adjusted
    for the looks, so that verdicts have level `parameters.alpha`.
    """
    names = list(combinations(order, 2))
    pairs = _measured(paired, names, parameters, level)
    if sequential is not None:
        pairs = [_with_looks(pair, sequential) for pair in pairs]
    pairs = _adjusted(pairs, paired, parameters)
    # all pairs are tested at the looks to come, also those whose test is undefined until now
    n_tests = None if sequential is None else len(pairs)
    equivalence = holm([pair.pvalue_equivalence_of_looks for pair in pairs], n_tests)
    wins = holm([pair.pvalue_wins for pair in pairs])
    judged_at = level if sequential is None else parameters.alpha
    judged = [
        replace(
            pair,
            pvalue_equivalence_holm=q,
            pvalue_wins_holm=w,
            verdict=(
                decide_verdict(pair.verdict, pair.pvalue_adjusted, q, judged_at)
                if pair.decided_at is None
                else pair.verdict
            ),
        )
        for pair, q, w in zip(pairs, equivalence, wins, strict=True)
    ]
    if parameters.test != "sign-flip":
        return tuple(map(_testable, judged))
    column = {name: i for i, name in enumerate(paired.treatments)}
    stds = [
        paired.differences(column[pair.a], column[pair.b]).moments.std
        if pair.verdict == "inconclusive"
        else None
        for pair in judged
    ]
    return _with_seeds_needed(judged, stds, parameters, judged_at, next_level or level)


def _with_looks(pair: Pair, sequential: Mapping[tuple[str, str], LookAdjusted]) -> Pair:
    """Add the p-values that are adjusted for the looks, and the verdict of a decided pair."""
    names = pair.a, pair.b
    found = sequential[names] if names in sequential else sequential[names[::-1]].reversed
    return replace(
        pair,
        pvalue_sequential=found.pvalue,
        pvalue_equivalence_sequential=found.pvalue_equivalence,
        decided_at=found.decided_at,
        verdict=found.verdict or pair.verdict,
    )


def _measured(
    paired: PairedTable, names: Sequence[tuple[str, str]], parameters: Parameters, level: float
) -> list[Pair]:
    """Measure all pairs by the declared test; their simultaneous intervals hold together."""
    column = {name: i for i, name in enumerate(paired.treatments)}
    columns = [(column[a], column[b]) for a, b in names]
    if not parameters.is_paired:
        samples = [(paired.runs_of(a), paired.runs_of(b)) for a, b in columns]
        n_tested = sum(_gap(*values).pvalue() is not None for values in samples)
        single_level = level / max(1, n_tested)
        return [
            measure_samples(both, values, parameters=parameters, single_level=single_level)
            for both, values in zip(names, samples, strict=True)
        ]
    common = [paired.common(a, b) for a, b in columns]
    is_tested = [len(x) > 1 for x, _ in common]  # no test with one block
    if parameters.test != "sign-flip":
        is_tested = [bool(paired.differences(a, b).moments.std) for a, b in columns]
    n_tested = max(1, sum(is_tested))
    differences = [paired.differences(a, b) for a, b in columns]
    return [
        measure_pair(
            both,
            values,
            differences=d,
            parameters=parameters,
            single_level=level / n_tested,
            tests=tests,
        )
        for both, values, d, tests in zip(
            names,
            common,
            differences,
            flip_tests_of(differences, parameters, n_tested),
            strict=True,
        )
    ]


@dataclass(frozen=True, kw_only=True)
class FlipTests:
    """Tests of a pair by flipped signs: of the differences, where declared, and of their ranks."""

    sign_flip: PermutationPvalue | None
    wilcoxon: float | None


def flip_tests_of(
    differences: Sequence[Differences], parameters: Parameters, n_tests: int = 1
) -> list[FlipTests]:
    """Test the differences of several pairs, of which `n_tests` have a test."""
    is_exact = parameters.test == "sign-flip"
    flips = [Flips(signed=d.units, slack=d.slack, n_tests=n_tests) for d in differences]
    exact = sign_flip_tests(flips) if is_exact else [None] * len(flips)
    ranks = wilcoxon_pvalues([d.values for d in differences])
    return [FlipTests(sign_flip=p, wilcoxon=q) for p, q in zip(exact, ranks, strict=True)]


def _testable(pair: Pair) -> Pair:
    """Return a pair of a t test; it is not testable where t is undefined.

    That is the case where a diverged run has no value, and where all values are constant.
    """
    if pair.pvalue is not None or pair.verdict == "identical":
        return pair
    return replace(pair, verdict="not testable")


def _with_seeds_needed(
    pairs: Sequence[Pair],
    stds: Sequence[float | None],
    parameters: Parameters,
    level: float,
    next_level: float,
) -> tuple[Pair, ...]:
    """Add the seeds that pairs need at the next step of Holm's method.

    Under max-T, the power at this level is too low, but the fewest seeds with which a pair can be
    found are those of max-T. `stds` holds the standard deviation of the differences of each
    inconclusive pair.
    """
    margin = parameters.margin
    sizes = [pair.n for pair in pairs]
    left = _left([pair.pvalue for pair in pairs], [p.pvalue_adjusted for p in pairs], level)
    effects_to_find = [_effect_to_find(pair) for pair in pairs]
    fewest = blocks_to_reject(parameters.correction, left, next_level)
    to_find = seeds_needed_each(effects_to_find, next_level / left, sizes, fewest)
    to_show: list[int | None] = [None] * len(pairs)
    if margin is not None:
        tests = [pair.pvalue_equivalence for pair in pairs]
        to_show = seeds_for_equivalence(
            [pair.mean_difference for pair in pairs],
            stds,
            margin,
            next_level / _left(tests, [p.pvalue_equivalence_holm for p in pairs], level),
            sizes,
        )
    return tuple(
        replace(pair, seeds_needed=n, seeds_needed_equivalence=m)
        for pair, n, m in zip(pairs, to_find, to_show, strict=True)
    )


def _left(pvalues: Sequence[float | None], adjusted: Sequence[float | None], level: float) -> int:
    """Return the number of tests that Holm's method has not rejected, at least 1."""
    return max(1, sum(p is not None for p in pvalues) - sum(at_most(p, level) for p in adjusted))


def _adjusted(pairs: Sequence[Pair], paired: PairedTable, parameters: Parameters) -> list[Pair]:
    """Return the pairs with their adjusted p-values: Holm's, and max-T if it was declared."""
    adjusted = holm([pair.pvalue_of_looks for pair in pairs])
    found = [replace(pair, pvalue_holm=p) for pair, p in zip(pairs, adjusted, strict=True)]
    tested = [i for i, pair in enumerate(found) if pair.pvalue is not None]
    if parameters.correction != "max-t" or not tested:
        return found
    joint = _joint_test([found[i] for i in tested], paired)
    for i, p in zip(tested, joint.pvalues.tolist(), strict=True):
        error = None if joint.draws is None else monte_carlo_error(p, joint.draws)
        found[i] = replace(
            found[i],
            pvalue_max_t=p,
            pvalue_max_t_draws=joint.draws,
            pvalue_max_t_standard_error=error,
        )
    return found


def _joint_test(pairs: Sequence[Pair], paired: PairedTable) -> MaxT:
    if len(pairs) == 1:  # nothing to adjust for, and this p-value is exact more often
        (pair,) = pairs
        return MaxT(pvalues=np.array([pair.pvalue]), draws=pair.pvalue_draws)
    column = {name: i for i, name in enumerate(paired.treatments)}
    columns = [(column[pair.a], column[pair.b]) for pair in pairs]
    return max_t(
        np.column_stack([paired.units_of_blocks(a, b) for a, b in columns]),
        np.array([paired.differences(a, b).slack for a, b in columns]),
    )


def measure_pair(
    names: tuple[str, str],
    values: tuple[FloatArray, FloatArray],
    *,
    differences: Differences,
    parameters: Parameters,
    single_level: float,
    tests: FlipTests,
) -> Pair:
    """Compute all results of a pair that do not depend on the other pairs.

    The verdict of the result is the one for a significant difference, see :func:`decide_verdict`.
    `names` are those of a and b; `values` are theirs over the common blocks, each of shape (n,),
    without NaN, and `differences` is a minus b. The simultaneous interval has level
    1 - `single_level`. `tests` are those of :func:`flip_tests_of`.
    """
    (a, b), (x, y) = names, values
    sign, alpha, margin = (
        sign_of(parameters.direction),
        parameters.interval_alpha,
        parameters.margin,
    )
    d = differences
    moments = d.moments
    spread = resampled(moments, parameters.resampling_ratio)
    interval, simultaneous = t_interval(spread, alpha), t_interval(spread, single_level)
    wins = effects.win_rate(d.values, sign)
    wilson = effects.wilson_interval(wins, d.n, alpha)
    a12_interval = effects.a12_interval(x, y, sign, alpha)
    posterior, threshold = posterior_shares(spread, margin), parameters.win_threshold
    test = tests.sign_flip
    pair = Pair(
        a=a,
        b=b,
        n=d.n,
        mean_difference=moments.mean,
        ci_low=interval.low,
        ci_high=interval.high,
        simultaneous_ci_low=simultaneous.low,
        simultaneous_ci_high=simultaneous.high,
        statistic=None if moments.mean is None else d.total / d.units_per_one,
        pvalue=None if test is None else test.pvalue,
        pvalue_holm=None,
        pvalue_t=t_pvalue(moments),
        pvalue_wilcoxon=tests.wilcoxon,
        pvalue_equivalence=None if margin is None else tost_pvalue(spread, -margin, margin),
        pvalue_equivalence_holm=None,
        dz=effects.cohen_dz(moments),
        gz=effects.hedges_gz(moments),
        win_rate=wins,
        win_rate_low=wilson.low,
        win_rate_high=wilson.high,
        a12=effects.a12(x, y, sign),
        correlation=effects.correlation(x, y),
        verdict=nominal_verdict(d, sign),
        seeds_needed=None,
        posterior_below=posterior.below,
        posterior_within=posterior.within,
        posterior_above=posterior.above,
        a12_low=a12_interval.low,
        a12_high=a12_interval.high,
        pvalue_wins=None if threshold is None else effects.win_pvalue(d.values, threshold),
        variance_ratio=effects.pairing_gain(x, y, moments),
        pvalue_draws=None if test is None else test.draws,
        pvalue_standard_error=None if test is None else test.standard_error,
    )
    if parameters.test == "sign-flip":
        return pair
    return replace(
        pair, statistic=t_statistic(spread, 0.0), pvalue=t_pvalue(spread), **_NOT_RESAMPLED
    )


def measure_samples(
    names: tuple[str, str],
    values: tuple[FloatArray, FloatArray],
    *,
    parameters: Parameters,
    single_level: float,
) -> Pair:
    """Compute :func:`measure_pair` of two independent samples by Welch's t test.

    `values` are the runs of a and of b, of shapes (n_a,) and (n_b,), without NaN.
    """
    (a, b), (x, y) = names, values
    sign, margin, gap = sign_of(parameters.direction), parameters.margin, _gap(x, y)
    interval, simultaneous = gap.interval(parameters.alpha), gap.interval(single_level)
    return Pair(
        a=a,
        b=b,
        n=min(len(x), len(y)),
        n_a=len(x),
        n_b=len(y),
        mean_difference=gap.difference,
        ci_low=interval.low,
        ci_high=interval.high,
        simultaneous_ci_low=simultaneous.low,
        simultaneous_ci_high=simultaneous.high,
        statistic=gap.difference / gap.error if gap.difference is not None and gap.error else None,
        pvalue=gap.pvalue(),
        pvalue_holm=None,
        pvalue_equivalence=None if margin is None else gap.equivalence_pvalue(-margin, margin),
        pvalue_equivalence_holm=None,
        a12=effects.a12(x, y, sign),
        verdict=_nominal_verdict_of_samples(x, y, gap, sign),
        **_NOT_PAIRED,
    )


def _gap(x: FloatArray, y: FloatArray) -> MeanDifference:
    return MeanDifference.of(Moments.of(x), Moments.of(y))


def _nominal_verdict_of_samples(
    x: FloatArray, y: FloatArray, gap: MeanDifference, sign: int
) -> Verdict:
    """Return the verdict of independent samples if their difference were significant."""
    if min(len(x), len(y)) < MIN_BLOCKS_FOR_VERDICT:
        return "not testable"
    if len({*x, *y}) == 1:
        return "identical"
    if not gap.difference:
        return "inconclusive"
    return "better" if sign * gap.difference > 0 else "worse"


def nominal_verdict(d: Differences, sign: int) -> Verdict:
    """Return the verdict of a pair if its difference were significant."""
    if d.n < 2:
        return "not testable"
    if d.all_zero:
        return "identical"
    if d.n < MIN_BLOCKS_FOR_VERDICT:
        return "not testable"
    by_sign: dict[int, Verdict] = {1: "better", 0: "inconclusive", -1: "worse"}
    return by_sign[sign * d.sign]


def _effect_to_find(pair: Pair) -> float | None:
    """Return the effect of an inconclusive pair; None for any other verdict."""
    if pair.verdict != "inconclusive":
        return None
    is_constant = pair.dz is None and bool(pair.mean_difference)
    return math.inf if is_constant else pair.dz


def decide_verdict(
    nominal: Verdict,
    pvalue_adjusted: float | None,
    pvalue_equivalence_holm: float | None,
    level: float,
) -> Verdict:
    """Return the verdict from the adjusted p-values, at the family-wise `level`.

    `nominal` is the verdict if the difference were significant: that of :func:`measure_pair`.
    """
    if nominal in ("identical", "not testable") or at_most(pvalue_adjusted, level):
        return nominal
    return "equivalent" if at_most(pvalue_equivalence_holm, level) else "inconclusive"


def at_most(pvalue: float | None, level: float) -> bool:
    """Return whether a p-value is defined and at most `level`."""
    return pvalue is not None and pvalue <= level
