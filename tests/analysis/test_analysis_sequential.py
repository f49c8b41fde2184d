"""Tests of repeated looks: their levels, the ledger, and their use in a comparison."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest
from _tables import long_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis import Comparison, Look, compare, look_levels, to_json
from bench.analysis.stats.power import minimum_detectable_dz, seeds_needed
from bench.analysis.stats.sequential import look_level

long = partial(long_table, total=10_000)

alphas = st.floats(1e-6, 0.5)


def levels(looks: tuple[Look, ...]) -> list[float]:
    return [look.level for look in looks]


# --- levels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("look", "planned", "expected"),
    [
        (1, 1, 0.05),
        (2, 1, 0.05 / 6),
        (3, 1, 0.05 / 12),
        (1, 2, 0.025),
        (2, 2, 0.025),
        (3, 2, 0.05 / 12),
        (1, 4, 0.0125),
        (4, 4, 0.0125),
        (5, 4, 0.05 / 30),
        (1, None, 0.025),
        (2, None, 0.05 / 6),
        (3, None, 0.05 / 12),
        (4, None, 0.0025),
        (99, None, 0.05 / 9900),
    ],
)
def test_the_level_of_a_look(look: int, planned: int | None, expected: float) -> None:
    assert look_level(look, 0.05, planned) == pytest.approx(expected, rel=1e-15)


@given(alphas, st.integers(1, 300))
def test_any_number_of_looks_never_spends_alpha(alpha: float, number: int) -> None:
    looks = look_levels([(n, None) for n in range(number)], alpha, planned=None)
    assert looks[-1].spent < alpha
    assert looks[-1].spent == pytest.approx(alpha * number / (number + 1), rel=1e-12)


@given(alphas, st.integers(1, 300))
def test_planned_looks_spend_alpha_and_no_more(alpha: float, planned: int) -> None:
    looks = look_levels([(n, None) for n in range(planned)], alpha, planned=planned)
    assert set(levels(looks)) == {alpha / planned}
    assert looks[-1].spent == pytest.approx(alpha, rel=1e-12)
    if planned > 1:
        assert looks[-2].spent < alpha


@given(alphas, st.integers(1, 20), st.integers(1, 20))
def test_a_look_beyond_the_plan_overspends_and_later_ones_ever_less(
    alpha: float, planned: int, more: int
) -> None:
    looks = look_levels([(n, None) for n in range(planned + more)], alpha, planned=planned)
    assert looks[planned].spent > alpha
    beyond = levels(looks)[planned:]
    assert beyond == sorted(beyond, reverse=True)
    assert looks[-1].spent < 2 * alpha


@pytest.mark.parametrize("planned", [1, 3, None])
def test_the_ledger_keeps_what_it_was_given_and_adds_up(planned: int | None) -> None:
    at = datetime(2025, 3, 1, tzinfo=UTC)
    looks = look_levels([(5, at), (10, None), (20, at)], 0.05, planned=planned)
    assert [(x.look, x.n_blocks, x.at) for x in looks] == [(1, 5, at), (2, 10, None), (3, 20, at)]
    assert [x.spent for x in looks] == pytest.approx(np.cumsum(levels(looks)).tolist())


def test_no_look_is_an_empty_ledger() -> None:
    assert look_levels([], 0.05, planned=1) == ()


# --- what they are for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looked_at", "naive"), [((5, 10, 15, 20), 0.132), (tuple(range(3, 21)), 0.230)]
)
def test_naive_looks_err_and_these_do_not(looked_at: tuple[int, ...], naive: float) -> None:
    """The naive error rates are those of STATISTICS.md, on normal data without a difference."""
    d = np.random.default_rng(20_250_301).normal(size=(20_000, 20))
    pvalues = np.array([stats.ttest_1samp(d[:, :n], 0, axis=1).pvalue for n in looked_at])

    def error(by_look: Any) -> float:
        return float((pvalues <= np.reshape(by_look, (-1, 1))).any(axis=0).mean())

    taken = [(n, None) for n in looked_at]
    assert error([0.05] * len(taken)) == pytest.approx(naive, abs=0.008)
    for planned in (None, len(taken)):
        assert 0.015 < error(levels(look_levels(taken, 0.05, planned=planned))) < 0.042


# --- the comparison ----------------------------------------------------------------------------

#: Six wins of six: p = 1/32, between the level of one of two planned looks and that of the only.
SIX = {"x": [9751, 9722, 9733, 9744, 9725, 9766], "y": [9700] * 6}
TWO = look_levels([(3, None), (6, None)], 0.05, planned=2)


def of_two() -> tuple[Comparison, Comparison]:
    """The same table at its only look, and at the second of two."""
    return compare(long(SIX)), compare(long(SIX), looks=TWO)


def test_a_pair_between_level_and_alpha_is_inconclusive() -> None:
    alone, second = of_two()
    assert alone.pairs[0].pvalue_holm == second.pairs[0].pvalue_holm == 1 / 32
    assert (alone.pairs[0].verdict, second.pairs[0].verdict) == ("better", "inconclusive")
    dz = second.pairs[0].dz
    assert second.pairs[0].seeds_needed == seeds_needed(dz, 0.05 / 12, more_than=6) == 9
    assert alone.pairs[0].seeds_needed is None


@pytest.mark.parametrize(
    ("alpha", "verdict"), [(1 / 16, "better"), (math.nextafter(1 / 16, 0), "inconclusive")]
)
def test_a_p_value_of_just_the_level_is_enough(alpha: float, verdict: str) -> None:
    looks = look_levels([(3, None), (6, None)], alpha, planned=2)
    assert compare(long(SIX), alpha=alpha, looks=looks).pairs[0].verdict == verdict


def test_equivalence_is_judged_at_the_level_too() -> None:
    near = {"x": [9700, 9712, 9705, 9693, 9709, 9699], "y": [9703] * 6}
    pvalue = compare(long(near)).pairs[0].pvalue_equivalence_holm
    assert pvalue is not None
    alpha = 1.5 * pvalue
    assert compare(long(near), alpha=alpha).pairs[0].verdict == "equivalent"
    looks = look_levels([(3, None), (6, None)], alpha, planned=2)
    assert compare(long(near), alpha=alpha, looks=looks).pairs[0].verdict == "inconclusive"


def test_simultaneous_intervals_are_at_the_level_and_plain_ones_at_alpha() -> None:
    columns = SIX | {"z": [9711, 9702, 9690, 9709, 9712, 9703]}
    alone, second = compare(long(columns)), compare(long(columns), looks=TWO)
    at_half_alpha = compare(long(columns), alpha=0.025)
    for p, q, half in zip(alone.pairs, second.pairs, at_half_alpha.pairs, strict=True):
        assert (p.ci_low, p.ci_high) == (q.ci_low, q.ci_high)
        assert (q.simultaneous_ci_low, q.simultaneous_ci_high) == (
            half.simultaneous_ci_low,
            half.simultaneous_ci_high,
        )
        assert q.simultaneous_ci_low < p.simultaneous_ci_low
        assert (p.win_rate_low, p.win_rate_high) == (q.win_rate_low, q.win_rate_high)
    x, y = np.array(columns["x"]) / 10_000, np.array(columns["y"]) / 10_000
    interval = stats.ttest_1samp(x - y, 0).confidence_interval(1 - 0.025 / 3)
    pair = next(p for p in second.pairs if (p.a, p.b) == ("x", "y"))
    assert (pair.simultaneous_ci_low, pair.simultaneous_ci_high) == pytest.approx(
        (interval.low, interval.high)
    )


def test_power_is_at_the_level() -> None:
    alone, second = of_two()
    assert alone.power.seeds_to_reject == 6
    assert second.power.seeds_to_reject == 7
    assert second.power.minimum_detectable_dz == minimum_detectable_dz(6, 0.025)
    assert second.power.minimum_detectable_dz > alone.power.minimum_detectable_dz
    assert second.power.smallest_pvalue == alone.power.smallest_pvalue


def test_too_few_seeds_for_the_level_are_pointed_out() -> None:
    alone, second = of_two()
    assert not any("No difference can be significant" in w for w in alone.warnings)
    assert second.warnings[0] == (
        "No difference can be significant with 6 seeds by Holm's correction of the exact test: the "
        "smallest attainable p-value is 0.0312, and Holm's method over 1 pair needs 7. What would "
        "help: 7 seeds."
    )


def test_everything_that_is_not_judged_stays() -> None:
    alone, second = of_two()
    assert alone.treatments == second.treatments
    assert (alone.omnibus, alone.single_seed) == (second.omnibus, second.single_seed)
    assert alone.parameters == second.parameters
    assert second.parameters.alpha == 0.05


def test_the_last_look_is_the_one_that_judges() -> None:
    alone, second = of_two()
    assert (alone.level, second.level) == (0.05, 0.025)
    (look,) = look_levels([(6, None)], 0.05, planned=1)
    assert alone.looks == (replace(look, rejected=(("x", "y"),)),)
    assert second.looks == (TWO[0], replace(TWO[1], rejected=()))


def test_an_earlier_look_at_another_level_does_not_judge() -> None:
    """p = 1/128 is significant at the first look of an open sequence, but not at the third."""
    eight = {"x": [*SIX["x"], 9731, 9742], "y": [9700] * 8}
    first = compare(long(eight), looks=look_levels([(8, None)], 0.05, planned=None))
    third = compare(
        long(eight), looks=look_levels([(n, None) for n in (4, 6, 8)], 0.05, planned=None)
    )
    assert (first.level, third.level) == (0.025, 0.05 / 12)
    assert first.pairs[0].pvalue_holm == third.pairs[0].pvalue_holm == 1 / 128
    assert (first.pairs[0].verdict, third.pairs[0].verdict) == ("better", "inconclusive")


def test_seeds_needed_are_at_the_level_of_the_next_look() -> None:
    close = {"x": [9712, 9690, 9721, 9704, 9698, 9713], "y": [9700] * 6, "z": [9691, 9711] * 3}
    table = long(close)
    alone = compare(table, margin=None)
    second = compare(table, margin=None, looks=TWO, planned_looks=2)
    for p, q in zip(alone.pairs, second.pairs, strict=True):
        assert p.verdict == q.verdict == "inconclusive"
        assert p.seeds_needed == seeds_needed(p.dz, 0.05 / 6 / 3, more_than=6)
        assert q.seeds_needed == seeds_needed(p.dz, 0.05 / 12 / 3, more_than=6) > p.seeds_needed


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_without_looks_it_is_the_only_one_at_alpha(alpha: float) -> None:
    comparison = compare(long(SIX), alpha=alpha)
    (look,) = comparison.looks
    assert look == Look(
        look=1, n_blocks=6, level=alpha, spent=alpha, at=None, rejected=look.rejected
    )
    assert compare(long(SIX), alpha=alpha, looks=comparison.looks) == comparison


# --- undeclared looks are said -------------------------------------------------------------------


def overspent(looks: tuple[Look, ...], alpha: float = 0.05) -> list[str]:
    warnings = compare(long(SIX), alpha=alpha, looks=looks).warnings
    return [warning for warning in warnings if "was not declared" in warning]


@pytest.mark.parametrize(
    ("taken", "planned", "alpha", "message"),
    [
        (
            2,
            1,
            0.05,
            "Look 2 at these results was not declared: its level is 0.833 % instead of 5 %, and "
            "the probability of any false 'better' or 'worse' over all looks can still reach "
            "5.83 %. To keep it at 5 %, declare the number of looks of a new sweep with --looks.",
        ),
        (
            4,
            2,
            0.01,
            "Look 4 at these results was not declared: its level is 0.05 % instead of 1 %, and "
            "the probability of any false 'better' or 'worse' over all looks can still reach "
            "1.13 %. To keep it at 1 %, declare the number of looks of a new sweep with --looks.",
        ),
    ],
)
def test_undeclared_look_gives_a_warning(
    taken: int, planned: int, alpha: float, message: str
) -> None:
    looks = look_levels([(6, None)] * taken, alpha, planned=planned)
    assert overspent(looks, alpha) == [message]


@pytest.mark.parametrize("planned", [1, 2, 3, 6, 7, 9, 11, 49, 100])
def test_declared_looks_are_no_reason_to_warn(planned: int) -> None:
    """The float sum of seven times 0.05 / 7 is larger than 0.05."""
    assert overspent(look_levels([(6, None)] * planned, 0.05, planned=planned)) == []


@pytest.mark.parametrize("taken", [1, 2, 50])
def test_any_number_declared_is_no_reason_to_warn(taken: int) -> None:
    assert overspent(look_levels([(6, None)] * taken, 0.05, planned=None)) == []


# --- earlier verdicts ------------------------------------------------------------------------


def at_look_two(x: list[int], *rejected: tuple[str, str], **options: Any) -> Comparison:
    """Compare x with 9700 at the second of two looks; the first found `rejected`."""
    first, second = look_levels([(6, None), (len(x), None)], 0.05, planned=2)
    looks = (replace(first, rejected=rejected), second)
    return compare(long({"x": x, "y": [9700] * len(x)}), looks=looks, **options)


CLOSE = [9701, 9699, 9703, 9698, 9702, 9700, 9701, 9697]


@pytest.mark.parametrize(("margin", "now"), [(0.002, "equivalent"), (None, "inconclusive")])
def test_an_earlier_rejection_stands(margin: float | None, now: str) -> None:
    """With more seeds, a pair that was better became equivalent."""
    comparison = at_look_two(CLOSE, ("x", "y"), margin=margin)
    (pair,) = comparison.pairs
    assert (pair.a, pair.verdict, pair.earlier_look, pair.verdict_of_look) == (
        "x",
        "better",
        1,
        now,
    )
    assert pair.seeds_needed is None
    assert pair.remarks == (
        "x was better than y at look 1. This verdict stands, because the looks share alpha. This "
        f"look alone gives: {now}.",
    )
    assert (
        "An earlier look found a difference that this look alone does not for 1 of 1 pair"
        in (comparison.notes[-1])
    )
    assert [look.rejected for look in comparison.looks] == [(("x", "y"),), ()]
    stored = json.loads(to_json(comparison))
    assert stored["looks"][0]["rejected"] == [["x", "y"]]
    assert stored["pairs"][0]["verdict_of_look"] == now


def test_an_earlier_rejection_stands_in_the_direction_that_it_had() -> None:
    (pair,) = at_look_two(CLOSE, ("y", "x")).pairs
    assert (pair.a, pair.verdict, pair.verdict_of_look) == ("x", "worse", "equivalent")


def test_a_difference_at_this_look_needs_no_earlier_one() -> None:
    for rejected in ((), (("x", "y"),), (("y", "x"),)):
        comparison = at_look_two([*range(9710, 9718)], *rejected)
        (pair,) = comparison.pairs
        assert (pair.verdict, pair.earlier_look, pair.verdict_of_look) == ("better", None, None)
        assert comparison.looks[-1].rejected == (("x", "y"),)


def test_without_an_earlier_rejection_nothing_stands() -> None:
    for rejected in ((), (("x", "z"),)):
        (pair,) = at_look_two(CLOSE, *rejected).pairs
        assert (pair.verdict, pair.verdict_of_look) == ("equivalent", None)


@pytest.mark.parametrize(
    ("found", "verdict", "since"),
    [
        (["xy", "yx"], "worse", 2),
        (["xy", "yx", ""], "worse", 2),
        (["xy", "yx", "xy"], "better", 3),
        (["xy", "", "xy"], "better", 1),
        (["yx", "xy", "", "xy"], "better", 2),
    ],
)
def test_a_reversal_replaces_the_earlier_verdict(
    found: list[str], verdict: str, since: int
) -> None:
    *earlier, last = look_levels([(6, None)] * (len(found) + 1), 0.05, planned=None)
    looks = [
        replace(look, rejected=tuple((pair[0], pair[1]) for pair in [names] if pair))
        for look, names in zip(earlier, found, strict=True)
    ]
    comparison = compare(long({"x": CLOSE, "y": [9700] * len(CLOSE)}), looks=[*looks, last])
    (pair,) = comparison.pairs
    assert (pair.a, pair.verdict, pair.earlier_look) == ("x", verdict, since)


def test_a_standing_verdict_needs_no_seeds() -> None:
    """Without the earlier look, the pair is inconclusive and needs seeds for both."""
    close = [9710, 9690, 9712, 9685, 9705, 9714, 9692, 9701]
    alone, standing = (
        at_look_two(close, margin=0.0006),
        at_look_two(close, ("x", "y"), margin=0.0006),
    )
    assert alone.pairs[0].verdict == standing.pairs[0].verdict_of_look == "inconclusive"
    assert alone.pairs[0].seeds_needed is not None
    assert alone.pairs[0].seeds_needed_equivalence is not None
    assert standing.pairs[0].seeds_needed is None
    assert standing.pairs[0].seeds_needed_equivalence is None
