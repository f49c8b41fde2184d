"""Comparison of treatments: the procedure from a table of runs to verdicts.

The procedure is fixed before the data are seen; no test is chosen from the data:

1. read the values (:mod:`bench.analysis.reading`), and pair the runs by block
   (:mod:`bench.analysis.table`);
2. compute descriptive statistics of each treatment
   (:mod:`~bench.analysis.stats.descriptives`);
3. rank within blocks and compute Friedman's test, for information
   (:mod:`~bench.analysis.stats.omnibus`);
4. test every pair by the exact sign-flip permutation test
   (:mod:`~bench.analysis.stats.permutation`), or, if declared, by Welch's t test of independent
   samples (:mod:`~bench.analysis.stats.welch`) or the corrected resampled t test of folds
   (:mod:`~bench.analysis.stats.resampled`); these two leave out the steps that need independent
   pairs of runs (3, 8, 9, 10, tests of 12);
5. adjust the p-values of all pairs by Holm's step-down method
   (:mod:`~bench.analysis.stats.multiplicity`), or, if declared, by step-down max-T
   (:mod:`~bench.analysis.stats.max_t`);
6. compute effect sizes (:mod:`~bench.analysis.stats.effects`);
7. test for equivalence by two one-sided tests, in a separate Holm family
   (:mod:`~bench.analysis.stats.student`);
8. compute the power at this number of seeds (:mod:`~bench.analysis.stats.power`);
9. compute how often a single seed is misleading (:mod:`~bench.analysis.single_seed`);
10. compute intervals over new test images (:mod:`~bench.analysis.scope`);
11. compare the times to the target (:mod:`~bench.analysis.target`);
12. count collapsed runs (:mod:`~bench.analysis.collapses`);
13. compare training times, for a sweep (:mod:`~bench.analysis.timing`).

Where the results were looked at before, the verdicts use the level of this look
(:mod:`~bench.analysis.stats.sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from statistics import median
from typing import Literal, TypeGuard

import numpy as np
import pandas as pd

from bench.analysis.cautions import cautions
from bench.analysis.collapses import collapses
from bench.analysis.columns import brief, column_name, prepared
from bench.analysis.correction import blocks_to_reject
from bench.analysis.leaderboard import leaderboard
from bench.analysis.pairs import LookAdjusted, compare_pairs
from bench.analysis.remarks import Needed, note_on_test, notes_on_pairs, with_remarks
from bench.analysis.results import (
    CORRECTIONS,
    TESTS,
    Comparison,
    Correction,
    Direction,
    Look,
    Pair,
    Parameters,
    Power,
    Test,
)
from bench.analysis.scope import scope
from bench.analysis.sequential import describe_looks, replay
from bench.analysis.single_seed import single_seed
from bench.analysis.standing import rejected_pairs, with_standing
from bench.analysis.stats.multiplicity import family_size
from bench.analysis.stats.omnibus import block_ranks, omnibus
from bench.analysis.stats.power import seed_sufficiency
from bench.analysis.stats.sequential import look_level, look_levels
from bench.analysis.table import PairedTable, default_margin, pair_up
from bench.analysis.target import time_to_target
from bench.errors import SpecError
from bench.spec.model import check_numbers_of_looks
from bench.words import count, spoken

#: Smallest level: for smaller ones, quantiles and power cannot be computed.
LEAST_ALPHA = 1e-9


def compare(
    table: pd.DataFrame,
    *,
    treatment: str | int = "optimizer",
    block: str | int = "seed",
    value: str | int = "test_accuracy",
    direction: Direction | None = None,
    alpha: float = 0.05,
    margin: float | Literal["default"] | None = "default",
    target: float = 0.95,
    looks: Sequence[Look] = (),
    planned_looks: int | None = 1,
    until_decided: Sequence[int] = (),
    win_threshold: float | None = None,
    correction: Correction = "holm",
    test: Test = "sign-flip",
    resampling_ratio: float | None = None,
) -> Comparison:
    """Compare treatments that were run on the same blocks, or independently.

    Parameters
    ----------
    table
        One row per run, with the three columns named below. Optional columns: `status` (``ok``,
        ``diverged``, ``failed``, or a word of another tool: see :mod:`bench.analysis.outcomes`);
        for `test_accuracy` also the counts `test_correct` and `test_total`, the bits
        `correct_bits`, and the lists `eval_iterations` and `eval_test_accuracy` with the budget
        `iterations`: see :class:`bench.storage.records.RunRecord`.
    treatment, block, value
        Names of the columns with the treatment, the block that pairs the runs, and the number to
        compare. A missing number (None, NaN) is a run without a result. An infinite number, or the
        text nan, is a diverged run; it ranks worst.
    direction
        Whether ``"higher"`` or ``"lower"`` values are better. Optional for accuracies, losses and
        seconds.
    alpha
        Family-wise error rate over all pairs.
    margin
        Equivalence margin in the unit of `value`: smaller differences do not matter in practice.
        The default is 0.2 percentage points for an accuracy, and None for other columns. None means
        no equivalence tests.
    target
        Accuracy as a fraction: the time to reach it is compared as a secondary metric.
    looks
        All looks at these results, the current one last, from :func:`bench.analysis.look_levels`.
        By default there is only one look, at level `alpha`.
    planned_looks
        Declared number of looks, or None for any number. The level of the next look follows from
        it, and with it the number of seeds that a pair needs.
    until_decided
        Declares a sequential comparison: the numbers of blocks, ascending, at which the pairs are
        judged until all are decided (:mod:`bench.analysis.sequential`). The blocks are whole
        numbers and used in ascending order. It excludes `looks` and `planned_looks`.
    win_threshold
        Share of blocks, from 0.5 to below 1, that a treatment must win more than. An exact binomial
        test of every pair, with Holm's method in a separate family; verdicts do not depend on it.
    correction
        Adjustment of the p-values for the number of pairs, declared before the results are seen:
        ``"holm"``, or ``"max-t"``, which can reject with fewer blocks but assumes more (see
        :mod:`bench.analysis.stats.max_t`).
    test
        Test of every pair. ``"welch"``: the runs are independent samples and not paired, and the
        column `block` is optional. ``"corrected-t"``: the blocks are folds of a cross-validation or
        other splits of one dataset, which share training data. Both go with Holm's method only.
    resampling_ratio
        Number of test examples over that of training examples of a fold, 1 / (k - 1) for k folds;
        only for ``"corrected-t"``, which needs it.

    Returns
    -------
    Comparison
        Treatments from best to worst mean, every pair once, and warnings for the reader.

    Raises
    ------
    TableError
        If the table cannot be compared: see :func:`bench.analysis.table.pair_up`.
    SpecError
        If `alpha`, `margin`, `target`, `win_threshold`, `direction`, `correction`, `test`,
        `resampling_ratio` or `until_decided` is not allowed, or no look of a sequential comparison
        is complete.

    Notes
    -----
    A pair is `better` or `worse` where the adjusted p-value is at most the level of the look, or
    where an earlier look found this (see :mod:`bench.analysis.standing`). Otherwise
    it is `equivalent` where Holm's p-value of the equivalence test is at most the level, and
    `inconclusive` where it is not. A pair with at least two common blocks and only zero differences
    is `identical`; any other pair with fewer than three common blocks is `not testable`. With fewer
    blocks than Holm's method needs, pairs are `inconclusive` and there is a warning. With the t
    tests, a pair whose t is undefined is `not testable`: where a diverged run has no value, and
    where both sides are constant. Independent samples are `identical` where all values are equal.

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
    check_alpha(alpha)
    _check_level("target", target)
    check_win_threshold(win_threshold)
    check_correction(correction)
    check_test(test, resampling_ratio, correction, win_threshold)
    stages = check_until_decided(until_decided, test, correction)
    if stages and (_checked_looks(looks) or planned_looks != 1):
        raise SpecError(
            "until_decided excludes looks and planned_looks, got "
            f"{brief(looks)} and {brief(planned_looks)}"
        )
    table = prepared(table)
    columns = {
        "treatment": column_name("treatment", treatment),
        "block": column_name("block", block),
        "value": column_name("value", value),
    }
    paired = pair_up(table, **columns, direction=direction, is_paired=test != "welch")
    if isinstance(margin, str) and margin == "default":
        margin = default_margin(str(value), paired.values)
    check_margin(margin)
    parameters = Parameters(
        alpha=alpha,
        margin=margin,
        direction=paired.direction,
        value=str(value),
        treatment=str(treatment),
        block=str(block),
        n_blocks=len(paired.blocks),
        k=len(paired.treatments),
        win_threshold=win_threshold,
        correction=correction,
        test=test,
        resampling_ratio=resampling_ratio,
        looks=stages,
    )
    if stages:
        return _compare_sequentially(table, paired, parameters, target)
    taken = _checked_looks(looks) or look_levels([(len(paired.blocks), None)], alpha, planned=1)
    next_level = look_level(len(taken) + 1, alpha, planned_looks)
    return _compare(table, paired, parameters, taken, next_level, target)


def _check_level(name: str, level: object) -> None:
    if not _is_number(level) or not 0 < level < 1:
        raise SpecError(f"{name} must lie between 0 and 1 (exclusive), got {brief(level)}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _checked_looks(looks: object) -> tuple[Look, ...]:
    if isinstance(looks, list | tuple) and all(isinstance(look, Look) for look in looks):
        return tuple(looks)
    raise SpecError(f"looks must be a sequence of Look, got {brief(looks)}")


def check_alpha(alpha: float) -> None:
    """Raise SpecError unless `alpha` is a family-wise level from :data:`LEAST_ALPHA` to below 1."""
    _check_level("alpha", alpha)
    if alpha < LEAST_ALPHA:
        raise SpecError(f"alpha must be at least {LEAST_ALPHA:g}, got {alpha!r}")


def check_margin(margin: float | None) -> None:
    """Raise SpecError unless `margin` is positive and finite, or None."""
    if margin is not None and not (_is_number(margin) and 0 < margin < math.inf):
        raise SpecError(f"margin must be positive and finite, or None, got {brief(margin)}")


def check_win_threshold(threshold: float | None) -> None:
    """Raise SpecError unless `threshold` lies from 0.5 to below 1, or is None."""
    if threshold is not None and not (_is_number(threshold) and 0.5 <= threshold < 1):
        raise SpecError(
            f"win_threshold must lie from 0.5 to below 1, or be None, got {brief(threshold)}"
        )


def check_correction(correction: str) -> None:
    """Raise SpecError unless `correction` is one of :data:`CORRECTIONS`."""
    if not isinstance(correction, str) or correction not in CORRECTIONS:
        raise SpecError(f"correction must be {' or '.join(CORRECTIONS)}, got {brief(correction)}")


def check_test(
    test: str, ratio: float | None, correction: str, win_threshold: float | None
) -> None:
    """Raise SpecError unless `test` is one of :data:`TESTS` and goes with the other settings."""
    if not isinstance(test, str) or test not in TESTS:
        raise SpecError(f"test must be {', '.join(TESTS[:-1])} or {TESTS[-1]}, got {brief(test)}")
    if ratio is not None and not (_is_number(ratio) and 0 < ratio < math.inf):
        raise SpecError(f"resampling_ratio must be positive and finite, got {brief(ratio)}")
    if (ratio is not None) != (test == "corrected-t"):
        raise SpecError(
            f"test 'corrected-t' needs resampling_ratio, and no other test has one, got test "
            f"{test!r} and resampling_ratio {ratio}"
        )
    if test != "sign-flip" and correction != "holm":
        raise SpecError(f"test {test!r} goes with correction 'holm' only, got {correction!r}")
    if test != "sign-flip" and win_threshold is not None:
        raise SpecError(
            f"win_threshold needs test 'sign-flip', got {test!r} and win_threshold {win_threshold}"
        )


def check_until_decided(
    looks: Sequence[int], test: Test = "sign-flip", correction: Correction = "holm"
) -> tuple[int, ...]:
    """Return the declared numbers of blocks of a sequential comparison; empty for any other.

    Raise SpecError unless they ascend, and the test and the correction are the default ones.
    """
    if not isinstance(looks, list | tuple):
        raise SpecError(f"until_decided must be a sequence of whole numbers, got {brief(looks)}")
    check_numbers_of_looks(tuple(looks))
    if looks and (test != "sign-flip" or correction != "holm"):
        raise SpecError(
            "until_decided goes with test 'sign-flip' and correction 'holm', got "
            f"{test!r} and {correction!r}"
        )
    return tuple(looks)


def _compare_sequentially(
    table: pd.DataFrame, paired: PairedTable, parameters: Parameters, target: float
) -> Comparison:
    """Compare the runs of the looks that are complete, each pair at its last look."""
    odd = next((block for block in paired.blocks if not isinstance(block, int)), None)
    if odd is not None:
        raise SpecError(
            "until_decided needs whole numbers as blocks, in whose order they are used, got "
            f"{brief(odd)} in column {parameters.block!r}"
        )
    found = replay(paired, parameters)
    if not found.looks:
        first = parameters.looks[0]
        raise SpecError(
            f"the first look needs {count(first, spoken(parameters.block))} of each "
            f"{spoken(parameters.treatment)}, and some of these runs are missing or failed"
        )
    used = np.sort(paired.cells[found.used_cells(paired) & (paired.cells >= 0)])
    analysed = table.iloc[used].reset_index(drop=True)
    paired = pair_up(
        analysed,
        treatment=parameters.treatment,
        block=parameters.block,
        value=parameters.value,
        direction=parameters.direction,
    )
    parameters = replace(parameters, n_blocks=len(paired.blocks))
    looks = tuple(
        Look(
            look=look.look,
            n_blocks=look.n_blocks,
            level=parameters.alpha,
            spent=parameters.alpha,
            at=None,
        )
        for look in found.looks
    )
    comparison = _compare(
        analysed, paired, parameters, looks, parameters.interval_alpha, target, found.adjusted
    )
    order = [t.name for t in comparison.treatments]
    n_later = len(table) - len(analysed)
    return replace(comparison, sequential=describe_looks(found, parameters, order, n_later))


def _compare(
    table: pd.DataFrame,
    paired: PairedTable,
    parameters: Parameters,
    looks: tuple[Look, ...],
    next_level: float,
    target: float,
    sequential: Mapping[tuple[str, str], LookAdjusted] | None = None,
) -> Comparison:
    level = looks[-1].level if sequential is None else parameters.interval_alpha
    is_exact = parameters.test == "sign-flip"
    treatments = leaderboard(paired, parameters.interval_alpha, parameters.resampling_ratio)
    order = [t.name for t in treatments]
    pairs = compare_pairs(paired, order, parameters, level, next_level, sequential)
    power = _power(pairs, parameters, sum(t.n > 0 for t in treatments), level, next_level)
    looks = (*looks[:-1], replace(looks[-1], rejected=rejected_pairs(pairs)))
    if sequential is None:
        pairs = with_standing(pairs, looks)
    collapsed = collapses(paired, order, parameters)
    n_tests = family_size([pair.pvalue for pair in pairs], sum(t.n > 0 for t in treatments))
    needed = Needed.of(parameters.correction, n_tests, level, next_level)
    pairs = with_remarks(pairs, parameters, needed, collapsed)
    return Comparison(
        parameters=parameters,
        treatments=treatments,
        omnibus=omnibus(block_ranks(paired.complete, paired.sign)) if is_exact else None,
        pairs=pairs,
        power=power,
        single_seed=single_seed(paired, order, pairs, parameters.interval_alpha)
        if is_exact
        else None,
        time_to_target=time_to_target(
            table, paired, parameters, target=target, level=level, next_level=next_level
        ),
        scope=scope(table, paired, pairs, parameters, level) if is_exact else None,
        collapses=collapsed,
        looks=looks,
        warnings=cautions(paired, parameters, treatments, pairs, power, looks, collapsed),
        notes=(
            *note_on_test(parameters),
            *paired.notes,
            *notes_on_pairs(pairs, parameters),
        ),
        table=table,
    )


def _power(
    pairs: Sequence[Pair],
    parameters: Parameters,
    n_treatments: int,
    level: float,
    next_level: float,
) -> Power:
    """Compute what the largest number of common blocks can show by the sign-flip test."""
    if parameters.test != "sign-flip":
        return Power(smallest_pvalue=None, seeds_to_reject=None, minimum_detectable_dz=None)
    n_tests = family_size([pair.pvalue for pair in pairs], n_treatments)
    power = seed_sufficiency(max((pair.n for pair in pairs), default=0), n_tests, level)
    if power.seeds_to_reject is not None:
        needed = blocks_to_reject(parameters.correction, n_tests, level)
        power = replace(power, seeds_to_reject=needed)
    ratios = [pair.variance_ratio for pair in pairs if pair.variance_ratio is not None]
    return replace(
        power,
        next_level=next_level if pairs else None,
        variance_ratio=median(ratios) if ratios else None,
    )
