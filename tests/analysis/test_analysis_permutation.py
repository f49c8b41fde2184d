"""Tests of the sign-flip and signed-rank tests against scipy and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis import compare
from bench.analysis.stats import permutation
from bench.analysis.stats.differences import paired_differences
from bench.analysis.stats.permutation import (
    MONTE_CARLO_DRAWS,
    Flips,
    flip_test,
    flip_tests,
    sign_flip_pvalue,
    sign_flip_test,
)
from bench.analysis.stats.wilcoxon import wilcoxon_pvalue, wilcoxon_pvalues

whole_differences = st.lists(st.integers(-60, 60), min_size=2, max_size=10)


def brute_force(d: np.ndarray) -> float:
    """Return the share of sign patterns with a sum at least as far from zero as that of `d`."""
    patterns = np.array(list(itertools.product([-1, 1], repeat=len(d))))
    return float(np.mean(np.abs(patterns @ np.abs(d)) >= abs(d.sum())))


def brute_force_of_floats(d: np.ndarray, slack: float) -> float:
    """Return the same share for many values, where sums within `slack` count as equal.

    Half of the patterns are added to the other half, in blocks: nothing is sorted or searched.
    """
    left, right = d[: len(d) // 2], d[len(d) // 2 :]
    halves = [
        np.array(list(itertools.product([-1.0, 1.0], repeat=len(h)))) @ h for h in (left, right)
    ]
    least = abs(d.sum()) - slack
    extreme = sum(
        np.count_nonzero(np.abs(block[:, np.newaxis] + halves[1]) >= least)
        for block in np.array_split(halves[0], max(1, len(halves[0]) // 64))
    )
    return extreme / 2 ** len(d)


def flip_pvalue(d: np.ndarray) -> float:
    return flip_test(d).pvalue


def losses(n: int, seed: int = 38) -> np.ndarray:
    """Return differences of test losses: floats without ties."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.1, 0.01, n) - rng.normal(0.1044, 0.01, n)


def brute_force_wilcoxon(d: np.ndarray) -> float:
    d = d[d != 0]
    return brute_force(np.sign(d) * 2 * stats.rankdata(np.abs(d))) if len(d) else 1.0


@given(whole_differences)
def test_sign_flip_equals_brute_force(d: list[int]) -> None:
    assert sign_flip_pvalue(d) == brute_force(np.array(d))


@given(whole_differences)
def test_wilcoxon_with_ties_and_zeros_equals_brute_force(d: list[int]) -> None:
    assert wilcoxon_pvalue(np.array(d) // 20) == brute_force_wilcoxon(np.array(d) // 20)


@pytest.mark.parametrize("n", [2, 5, 11])
def test_sign_flip_equals_scipy(n: int) -> None:
    d = np.random.default_rng(n).normal(0.5, 1, n)
    oracle = stats.permutation_test(
        (d,), np.mean, permutation_type="samples", n_resamples=math.inf, vectorized=True
    )
    held = paired_differences(d, np.zeros(n))
    assert sign_flip_pvalue(held.units, held.slack) == pytest.approx(oracle.pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [2, 7, 20, 45])
def test_wilcoxon_without_ties_equals_scipy(n: int) -> None:
    d = np.random.default_rng(n).normal(0.3, 1, n)
    assert wilcoxon_pvalue(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [3, 10, 17, 22])
def test_enumeration_and_convolution_agree_exactly(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(n).integers(-300, 400, n).astype(float)
    enumerated = flip_pvalue(d)
    monkeypatch.setattr(permutation, "MAX_ENUMERATED", -1)
    assert flip_pvalue(d) == enumerated


def test_convolution_and_enumeration_are_each_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise AssertionError("not this way")

    few, many = np.array([5e9, -3e9, 2e9 + 1, 1, 7]), np.tile([3.0, -2.0, 4.0], 20)
    monkeypatch.setattr(permutation, "_light_share_by_convolution", refuse)
    assert flip_pvalue(few) == brute_force(few)
    monkeypatch.undo()
    monkeypatch.setattr(permutation, "_light_share_by_enumeration", refuse)
    monkeypatch.setattr(permutation, "_monte_carlo", refuse)
    assert 0 < flip_pvalue(many) < 1


def test_monte_carlo_is_close_fixed_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(3).integers(-90, 110, 60).astype(float)
    exact = flip_pvalue(d)
    monkeypatch.setattr(permutation, "MAX_CELLS", -1)
    drawn = flip_pvalue(d)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / MONTE_CARLO_DRAWS))
    assert drawn == flip_pvalue(d) == flip_pvalue(-d[::-1])
    assert flip_pvalue(np.append(np.arange(100.0, 160.0), -500)) == 1 / (MONTE_CARLO_DRAWS + 1)


@pytest.mark.parametrize("n", [23, 25, pytest.param(30, marks=pytest.mark.long)])
def test_floats_are_counted_exactly(n: int) -> None:
    """Thirty differences of losses had a Monte Carlo p-value that was called exact."""
    d = losses(n)
    held = paired_differences(d, np.zeros(n))
    found = sign_flip_test(held.units, held.slack)
    assert (found.draws, found.standard_error) == (None, None)
    assert found.pvalue == brute_force_of_floats(held.units, held.slack)


def test_forty_floats_are_close_to_the_t_test() -> None:
    d = losses(40)
    held = paired_differences(d, np.zeros(40))
    found = sign_flip_test(held.units, held.slack)
    assert found.draws is None
    assert found.pvalue == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.005)


def test_tied_floats_are_counted_as_their_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(4).integers(-30, 40, 34)
    held = paired_differences(counts / 10_000, np.zeros(34))
    monkeypatch.setattr(permutation, "MAX_CELLS", -1)  # enumerate
    found = sign_flip_test(held.units, held.slack)
    assert found.draws is None
    monkeypatch.undo()
    assert found.pvalue == sign_flip_pvalue(counts)


def test_more_floats_are_drawn_and_say_so() -> None:
    d = losses(41)
    held = paired_differences(d, np.zeros(41))
    found = sign_flip_test(held.units, held.slack)
    assert found.draws == MONTE_CARLO_DRAWS
    assert found.pvalue == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    drawn = found.pvalue * (MONTE_CARLO_DRAWS + 1)
    assert drawn == pytest.approx(round(drawn))
    assert found.standard_error == pytest.approx(
        math.sqrt(found.pvalue * (1 - found.pvalue) / MONTE_CARLO_DRAWS)
    )


def test_the_number_of_patterns_is_bounded_by_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation, "MAX_FLIPS", 20_000 * 1_000)
    d = np.rint(np.random.default_rng(0).normal(0.05, 1, 1_000) * 1e12)
    found = sign_flip_test(d, 1_000)
    assert found.draws == 20_000
    assert found.pvalue == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    assert sign_flip_test(np.tile(d, 10), 1_000).draws == permutation.MIN_DRAWS


@pytest.mark.parametrize("n", [2, 10, 500, 1000, 1074, 2500])
def test_the_smallest_pvalue_is_never_zero(n: int) -> None:
    assert sign_flip_pvalue(np.full(n, 2.0)) == max(permutation.TINY, math.ldexp(1, 1 - n))


@pytest.mark.parametrize("n", [1000, 1500, 2100])
def test_many_seeds_neither_overflow_nor_lose_the_centre(n: int) -> None:
    """With differences of size 1 the number of positive signs is binomial."""
    heads = n // 2 + 40
    d = np.repeat([1.0, -1.0], [heads, n - heads])
    assert sign_flip_pvalue(d) == pytest.approx(stats.binomtest(heads, n).pvalue, rel=1e-10)


@pytest.mark.parametrize("d", [[0, 0], [0] * 30, [5, -5], [1, 2, -3]])
def test_sum_of_zero_has_pvalue_one(d: list[int]) -> None:
    assert sign_flip_pvalue(d) == 1.0


@pytest.mark.parametrize("d", [[], [3.0]])
def test_one_seed_has_no_pvalue(d: list[float]) -> None:
    assert sign_flip_pvalue(d) is None
    assert wilcoxon_pvalue(d) is None


@given(whole_differences, st.randoms())
def test_order_and_direction_do_not_matter(d: list[int], random: object) -> None:
    shuffled = list(d)
    random.shuffle(shuffled)
    for pvalue in (sign_flip_pvalue, wilcoxon_pvalue):
        assert pvalue(d) == pvalue(shuffled) == pvalue([-x for x in d])
        assert 0 < pvalue(d) <= 1


@given(whole_differences, st.integers(1, 10**9))
def test_the_unit_does_not_matter(d: list[int], factor: int) -> None:
    assert sign_flip_pvalue([x * factor for x in d]) == sign_flip_pvalue(d)


@given(whole_differences)
def test_zeros_change_nothing(d: list[int]) -> None:
    for pvalue in (sign_flip_pvalue, wilcoxon_pvalue):
        assert pvalue([*d, 0, 0]) == pvalue(d)


@given(
    st.lists(st.integers(-50, 50), min_size=2, max_size=9),
    st.sampled_from([1, 100, 1 / 3, 0.7, 1e-9, 1e12]),
)
def test_fractions_per_cent_and_any_other_unit_give_the_same(d: list[int], unit: float) -> None:
    b = np.linspace(9000, 9100, len(d)).round()
    a = b + np.array(d)
    held = paired_differences(a / 10_000 * unit, b / 10_000 * unit)
    assert sign_flip_pvalue(held.units, held.slack) == brute_force(np.array(d))
    assert wilcoxon_pvalue(held.values) == brute_force_wilcoxon(np.array(d))


@given(whole_differences, st.integers(0, 9))
def test_an_infinite_difference_outweighs_all_others(d: list[int], where: int) -> None:
    assume(where < len(d))
    a = np.array(d, dtype=float)
    a[where] = np.inf
    huge = np.where(np.isinf(a), 10_000, a)
    held = paired_differences(a, np.zeros(len(a)))
    assert np.isinf(held.values[where])
    assert sign_flip_pvalue(held.units, held.slack) == brute_force(huge)


def test_two_runs_without_a_value_tie() -> None:
    held = paired_differences(np.array([np.inf, 1.0]), np.array([np.inf, np.inf]))
    assert held.values.tolist() == [0.0, -np.inf]
    assert held.sign == -1


def test_the_tests_of_a_family_share_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pairs are tested with random patterns, where a few are tested with all."""
    d = np.random.default_rng(5).integers(-(10**10), 10**10, 30).astype(float)
    assert sign_flip_test(d, 0.0, 28).draws is None
    drawn = sign_flip_test(d, 0.0, 44_850)
    assert drawn.draws == permutation.MONTE_CARLO_DRAWS
    assert drawn.standard_error > 0
    counts = np.arange(-12.0, 18)
    assert sign_flip_test(counts, 0.0, 44_850) == sign_flip_test(counts)
    monkeypatch.setattr(permutation, "FAMILY_CELLS", 100)
    assert sign_flip_test(counts, 0.0, 44_850).draws is not None


def test_a_comparison_of_many_treatments_names_random_patterns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(permutation, "FAMILY_SUBSETS", 100)  # 3 pairs: up to 10 differences
    rng = np.random.default_rng(6)
    runs = [(f"o{i}", seed, rng.normal(i, 1)) for i in range(3) for seed in range(14)]
    table = pd.DataFrame(runs, columns=["optimizer", "seed", "test_loss"])
    found = compare(table, value="test_loss")
    assert {pair.pvalue_draws for pair in found.pairs} >= {permutation.MONTE_CARLO_DRAWS}
    assert any("Monte Carlo" in note for note in found.notes)


def test_tests_that_share_their_random_patterns_give_what_each_gives_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where they have other numbers of differences, more patterns than fit, and exact ones."""
    monkeypatch.setattr(permutation, "_SUMS_AT_ONCE", 2)
    monkeypatch.setattr(permutation, "MAX_CELLS", -1)
    rng = np.random.default_rng(7)
    long = [np.rint(rng.normal(0.1, 1, n) * 1e9) for n in (41, 300, 297, 1100, 8)]
    long.insert(2, np.sign(long[3]) * 10.0 ** rng.integers(9, 12, len(long[3])))
    tests = [Flips(signed=d, slack=1.0) for d in long]
    assert flip_tests(tests) == [flip_test(d, 1.0) for d in long]
    assert [found.draws is None for found in flip_tests(tests)] == [False] * 5 + [True]
    ranked = [np.array([])[:1], *long]
    assert wilcoxon_pvalues(ranked) == [wilcoxon_pvalue(d) for d in ranked]


@pytest.mark.parametrize("unit", [1e9, 3.0], ids=["distinct", "tied"])
def test_random_patterns_are_those_of_earlier_versions(
    unit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight signs of every pattern at a time, the weights in ascending order."""
    monkeypatch.setattr(permutation, "MAX_CELLS", -1)
    d = np.rint(np.random.default_rng(8).normal(0.1, 1, 300) * unit)
    weights, rng = np.sort(np.abs(d[d != 0])), np.random.default_rng(permutation.MONTE_CARLO_SEED)
    assert permutation._are_tied(weights) == (unit == 3.0)
    flipped = np.zeros(MONTE_CARLO_DRAWS)
    members = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)
    for eight in np.pad(weights, (0, -len(weights) % 8)).reshape(-1, 8):
        flipped += (members @ eight)[np.frombuffer(rng.bytes(len(flipped)), np.uint8)]
    extreme = np.abs(weights.sum() - 2 * flipped) >= abs(d.sum())
    assert flip_test(d).pvalue == (extreme.sum() + 1) / (MONTE_CARLO_DRAWS + 1)
