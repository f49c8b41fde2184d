"""Which treatments differ: the whole procedure, from a table of runs to verdicts.

The procedure is fixed before the data are seen; no test is chosen by looking at them:

1. pair the runs by block (:mod:`bench.analysis.table`);
2. describe each treatment (:mod:`~bench.analysis.descriptives`);
3. rank within blocks, for Friedman's test as context (:mod:`~bench.analysis.omnibus`);
4. test every pair by the exact sign-flip permutation test (:mod:`~bench.analysis.permutation`);
5. adjust over all pairs by Holm's method (:mod:`~bench.analysis.multiplicity`);
6. measure effects (:mod:`~bench.analysis.effects`);
7. test for equivalence, in a Holm family of its own (:mod:`~bench.analysis.equivalence`);
8. say what this number of seeds can show at all (:mod:`~bench.analysis.power`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis import effects
from bench.analysis.cautions import cautions
from bench.analysis.descriptives import describe
from bench.analysis.differences import Differences, paired_differences
from bench.analysis.equivalence import tost_pvalue
from bench.analysis.multiplicity import holm
from bench.analysis.omnibus import block_ranks, omnibus
from bench.analysis.permutation import sign_flip_pvalue
from bench.analysis.power import seed_sufficiency, seeds_needed
from bench.analysis.results import (
    Comparison,
    Direction,
    Pair,
    Parameters,
    Treatment,
    Verdict,
)
from bench.analysis.rounding import FloatArray
from bench.analysis.student import t_interval, t_pvalue
from bench.analysis.table import PairedTable, default_margin, pair_up, sign_of
from bench.analysis.wilcoxon import wilcoxon_pvalue
from bench.errors import SpecError

#: With two blocks the sign-flip p is 1/2 or 1, whatever the sizes of the differences: it only
#: tells whether both signs agree. From three on, the measurements have a say.
MIN_BLOCKS_FOR_VERDICT = 3


def compare(
    table: pd.DataFrame,
    *,
    treatment: str = "optimizer",
    block: str = "seed",
    value: str = "test_accuracy",
    direction: Direction | None = None,
    alpha: float = 0.05,
    margin: float | Literal["default"] | None = "default",
) -> Comparison:
    """Compare treatments that were measured on the same blocks.

    Parameters
    ----------
    table
        One row per run. Besides the three columns named below, `status` (``ok``, ``diverged``,
        ``failed``) and, for `test_accuracy`, the counts `test_correct` and `test_total` are used
        where present.
    treatment, block, value
        Columns that name the treatment, pair the runs, and hold the number to compare.
    direction
        Whether ``"higher"`` or ``"lower"`` values are better. May be left out for accuracies,
        losses and seconds.
    alpha
        Family-wise error rate over all pairs.
    margin
        Differences inside plus or minus this, in the unit of `value`, do not matter in practice.
        By default 0.2 percentage points for an accuracy; None, and the default for other columns,
        tests no equivalence.

    Returns
    -------
    Comparison
        Treatments from best to worst mean, every pair once, and warnings for the reader.

    Raises
    ------
    TableError
        If the table cannot be compared: see :func:`bench.analysis.table.pair_up`.
    SpecError
        If `alpha`, `margin` or `direction` is not allowed.

    Notes
    -----
    A pair is `better` or `worse` where Holm's p-value is at most `alpha`; else `equivalent` where
    that of the equivalence test is; else `inconclusive`. It is `identical` where at least two
    blocks are common and all differences are zero, and `not testable` where fewer than three are.
    Fewer blocks than Holm needs leave a pair `inconclusive`, with a warning.

    Examples
    --------
    >>> runs = pd.DataFrame({
    ...     "optimizer": ["adam"] * 6 + ["sgd"] * 6,
    ...     "seed": [0, 1, 2, 3, 4, 5] * 2,
    ...     "test_accuracy": [0.972, 0.971, 0.974, 0.970, 0.973, 0.975,
    ...                       0.958, 0.957, 0.956, 0.960, 0.957, 0.958],
    ... })
    >>> pair = compare(runs).pairs[0]
    >>> pair.a, pair.verdict, pair.b, pair.pvalue_holm, round(pair.mean_difference, 4)
    ('adam', 'better', 'sgd', 0.03125, 0.0148)
    """
    _check_level("alpha", alpha)
    paired = pair_up(table, treatment=treatment, block=block, value=value, direction=direction)
    if margin == "default":
        margin = default_margin(value, paired.values)
    _check_margin(margin)
    parameters = Parameters(
        alpha=alpha,
        margin=margin,
        direction=paired.direction,
        value=value,
        treatment=treatment,
        block=block,
        n_blocks=len(paired.blocks),
        k=len(paired.treatments),
    )
    return _compare(paired, parameters)


def _check_level(name: str, level: float) -> None:
    if not 0 < level < 1:
        raise SpecError(f"{name} must lie between 0 and 1 (exclusive), got {level!r}")


def _check_margin(margin: float | None) -> None:
    if margin is not None and not 0 < margin < math.inf:
        raise SpecError(f"margin must be positive and finite, or None, got {margin!r}")


def _compare(paired: PairedTable, parameters: Parameters) -> Comparison:
    ranks = block_ranks(paired.complete, paired.sign)
    treatments = _leaderboard(paired, ranks, parameters.alpha)
    pairs = _pairs(paired, treatments, parameters)
    power = seed_sufficiency(parameters.n_blocks, len(pairs), parameters.alpha)
    return Comparison(
        parameters=parameters,
        treatments=treatments,
        omnibus=omnibus(ranks),
        pairs=pairs,
        power=power,
        warnings=cautions(paired, parameters, treatments, pairs, power),
    )


def _leaderboard(paired: PairedTable, ranks: FloatArray, alpha: float) -> tuple[Treatment, ...]:
    """All treatments, best mean first; those without a mean last, by median."""
    mean_ranks = ranks.mean(axis=0).tolist() if len(ranks) else [None] * ranks.shape[1]
    treatments = (
        describe(
            name,
            paired.runs_of(i),
            n_diverged=int(paired.diverged[:, i].sum()),
            n_failed=int(paired.failed[:, i].sum()),
            mean_rank=mean_ranks[i],
            alpha=alpha,
        )
        for i, name in enumerate(paired.treatments)
    )

    def badness(t: Treatment) -> tuple[float, float, str]:
        mean, median = (math.inf if x is None else -paired.sign * x for x in (t.mean, t.median))
        return mean, median, t.name

    return tuple(sorted(treatments, key=badness))


@dataclass(frozen=True)
class _Column:
    """One treatment's values, shape (n_blocks,), NaN where there is none."""

    name: str
    values: FloatArray


def _pairs(
    paired: PairedTable, treatments: tuple[Treatment, ...], parameters: Parameters
) -> tuple[Pair, ...]:
    column = {name: paired.values[:, i] for i, name in enumerate(paired.treatments)}
    columns = [_Column(t.name, column[t.name]) for t in treatments]
    n_pairs = math.comb(len(columns), 2)
    pairs = [_measure(a, b, paired.total, parameters, n_pairs) for a, b in combinations(columns, 2)]
    difference = holm([pair.pvalue for pair in pairs])
    equivalence = holm([pair.pvalue_equivalence for pair in pairs])
    return tuple(
        _judge(replace(pair, pvalue_holm=p, pvalue_equivalence_holm=q), parameters, n_pairs)
        for pair, p, q in zip(pairs, difference, equivalence, strict=True)
    )


def _measure(
    a: _Column, b: _Column, total: int | None, parameters: Parameters, n_pairs: int
) -> Pair:
    """Everything about a pair that does not depend on the other pairs; not yet judged."""
    common = ~np.isnan(a.values) & ~np.isnan(b.values)
    x, y = a.values[common], b.values[common]
    sign, alpha, margin = sign_of(parameters.direction), parameters.alpha, parameters.margin
    d = paired_differences(x, y, total)
    moments = d.moments
    interval, simultaneous = t_interval(moments, alpha), t_interval(moments, alpha / n_pairs)
    wins = effects.win_rate(d.values, sign)
    wilson = effects.wilson_interval(wins, d.n, alpha)
    return Pair(
        a=a.name,
        b=b.name,
        n=d.n,
        mean_difference=moments.mean,
        ci_low=interval.low,
        ci_high=interval.high,
        simultaneous_ci_low=simultaneous.low,
        simultaneous_ci_high=simultaneous.high,
        statistic=None if moments.mean is None else math.fsum(d.units) / d.units_per_one,
        pvalue=sign_flip_pvalue(d.units, d.slack),
        pvalue_holm=None,
        pvalue_t=t_pvalue(moments),
        pvalue_wilcoxon=wilcoxon_pvalue(d.values),
        pvalue_equivalence=None if margin is None else tost_pvalue(moments, -margin, margin),
        pvalue_equivalence_holm=None,
        dz=effects.cohen_dz(moments),
        gz=effects.hedges_gz(moments),
        win_rate=wins,
        win_rate_low=wilson.low,
        win_rate_high=wilson.high,
        a12=effects.a12(x, y, sign),
        correlation=effects.correlation(x, y),
        verdict=_leaning(d, sign),
        seeds_needed=None,
    )


def _leaning(d: Differences, sign: int) -> Verdict:
    """What a pair would be called if its difference were significant."""
    if d.n < 2:
        return "not testable"
    if d.all_zero:
        return "identical"
    if d.n < MIN_BLOCKS_FOR_VERDICT:
        return "not testable"
    leanings: dict[int, Verdict] = {1: "better", 0: "inconclusive", -1: "worse"}
    return leanings[sign * d.sign]


def _judge(pair: Pair, parameters: Parameters, n_pairs: int) -> Pair:
    """The pair with its verdict, now that both of its adjusted p-values are known."""
    if pair.verdict in ("identical", "not testable"):
        return pair
    if _at_most(pair.pvalue_holm, parameters.alpha):
        return pair
    if _at_most(pair.pvalue_equivalence_holm, parameters.alpha):
        return replace(pair, verdict="equivalent")
    constant = pair.dz is None and bool(pair.mean_difference)
    effect = math.inf if constant else pair.dz
    needed = seeds_needed(effect, parameters.alpha / n_pairs, more_than=pair.n)
    return replace(pair, verdict="inconclusive", seeds_needed=needed)


def _at_most(pvalue: float | None, alpha: float) -> bool:
    return pvalue is not None and pvalue <= alpha
