"""Tests of the step-down max-T correction against brute force over all sign patterns."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis import compare
from bench.analysis.correction import blocks_to_reject
from bench.analysis.results import Correction
from bench.analysis.stats import max_t as module
from bench.analysis.stats.max_t import max_t
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.sequential import look_level
from bench.errors import SpecError
from bench.report.text.wording import power_sentences

long = partial(long_table, total=10_000)


def brute_force(d: np.ndarray) -> list[float]:
    """Return step-down adjusted p-values, pair by pair and pattern by pattern."""
    n, m = d.shape

    def statistic(column: int, signs: tuple[int, ...]) -> float:
        total = abs(sum(s * int(x) for s, x in zip(signs, d[:, column], strict=True)))
        squares = sum(int(x) ** 2 for x in d[:, column])
        return round(total / math.sqrt(squares), 9) if squares else 0.0

    patterns = list(itertools.product([-1, 1], repeat=n))
    observed = [statistic(j, (1,) * n) for j in range(m)]
    flipped = [[statistic(j, signs) for j in range(m)] for signs in patterns]
    order = sorted(range(m), key=lambda j: -observed[j])
    adjusted, largest = [0.0] * m, 0.0
    for place, j in enumerate(order):
        rest = order[place:]
        extreme = sum(max(row[i] for i in rest) >= observed[j] for row in flipped)
        largest = max(largest, extreme / len(patterns))
        adjusted[j] = largest
    return adjusted


def sweep_of(n: int, k: int = 4, seed: int = 0, shift: float = 25.0) -> dict[str, list[int]]:
    rng = np.random.default_rng([seed, n, k])
    return {f"o{i}": rng.normal(9700 + shift * i, 10, n).round().astype(int) for i in range(k)}


tables = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(-9, 12), min_size=n, max_size=n), min_size=1, max_size=4
    )
)


@settings(max_examples=60)
@given(tables)
def test_max_t_equals_brute_force(columns: list[list[int]]) -> None:
    d = np.array(columns, dtype=float).T
    assert max_t(d, np.zeros(d.shape[1])).pvalues.tolist() == brute_force(d)


def test_eight_optimizers_equal_brute_force() -> None:
    x = np.column_stack([*sweep_of(8, 8, shift=4.0).values()]).astype(float)
    first, second = np.triu_indices(8, 1)
    d = x[:, first] - x[:, second]
    found = max_t(d, np.zeros(28))
    assert found.draws is None
    assert found.pvalues.tolist() == brute_force(d)


@settings(max_examples=30)
@given(st.lists(st.integers(-60, 60), min_size=2, max_size=10))
def test_one_pair_is_the_sign_flip_test(d: list[int]) -> None:
    alone = max_t(np.array(d, dtype=float)[:, np.newaxis], np.zeros(1))
    assert alone.pvalues.tolist() == [sign_flip_pvalue(d)]


def test_blocks_in_memory_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(1).integers(-9, 12, (9, 5)).astype(float)
    whole = max_t(d, np.zeros(5)).pvalues
    monkeypatch.setattr(module, "_AT_ONCE", 70)
    assert max_t(d, np.zeros(5)).pvalues.tolist() == whole.tolist()


def test_random_patterns_are_close_fixed_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(2).normal(0.4, 1, (16, 6))
    exact = max_t(d, np.zeros(6)).pvalues
    monkeypatch.setattr(module, "MAX_BLOCKS", 0)
    drawn = max_t(d, np.zeros(6))
    assert drawn.draws == 99_999
    assert drawn.pvalues == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 99_999))
    assert drawn.pvalues.tolist() == max_t(-d, np.zeros(6)).pvalues.tolist()
    certain = max_t(np.full((60, 2), 3.0), np.zeros(2))
    assert certain.pvalues.tolist() == [1 / 100_000] * 2


def test_the_number_of_random_patterns_is_bounded_by_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STATISTICS", 100_000)
    assert max_t(np.ones((40, 10)), np.zeros(10)).draws == 5_000
    assert max_t(np.ones((40, 1000)), np.zeros(1000)).draws == module.MIN_DRAWS


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_a_pair_of_rounding_errors_does_not_change_the_others(noise: float) -> None:
    d = np.random.default_rng(3).normal(1.5e9, 1e9, (8, 3)).round()
    alone = max_t(d, np.full(3, 8.0)).pvalues.tolist()
    assert alone == brute_force(d)
    assert min(alone) < 0.1
    zeros = noise * np.array([[1.0, -1, 1, 1, -1, 1, 1, 1]]).T
    beside = max_t(np.hstack([zeros, d]), np.full(4, 8.0)).pvalues.tolist()
    assert beside == [1.0, *alone]


# --- in a comparison -----------------------------------------------------------------------------


def test_six_seeds_are_enough_for_max_t() -> None:
    """Holm's method over 28 pairs can reject nothing below 11 seeds."""
    columns = sweep_of(6, 8)
    by_holm, by_max_t = compare(long(columns)), compare(long(columns), correction="max-t")
    assert {p.verdict for p in by_holm.pairs} <= {"inconclusive", "equivalent"}
    different = [p for p in by_max_t.pairs if p.verdict == "better"]
    assert len(different) > 15
    assert all(p.pvalue_adjusted == p.pvalue_max_t <= 0.05 for p in different)
    assert (by_holm.power.seeds_to_reject, by_max_t.power.seeds_to_reject) == (11, 6)
    assert (by_holm.parameters.correction, by_max_t.parameters.correction) == ("holm", "max-t")
    assert not any("can be significant" in warning for warning in by_max_t.warnings)
    assert {p.pvalue_max_t for p in by_holm.pairs} == {None}
    assert [p.pvalue_holm for p in by_max_t.pairs] == list(holm([p.pvalue for p in by_max_t.pairs]))


def test_the_seeds_that_a_large_effect_needs_are_not_those_of_holm() -> None:
    columns = sweep_of(5, 4, shift=80.0)
    by_holm, by_max_t = compare(long(columns)), compare(long(columns), correction="max-t")
    assert {p.verdict for p in (*by_holm.pairs, *by_max_t.pairs)} == {"inconclusive"}
    needed = {p.seeds_needed for p in by_max_t.pairs if abs(p.dz or 0) > 5}
    assert needed == {next_look_needs("max-t")}
    assert {p.seeds_needed for p in by_holm.pairs if abs(p.dz or 0) > 5} == {
        next_look_needs("holm")
    }
    (dz, *_) = (s for s in power_sentences(by_max_t.power, by_max_t) if "80 %" in s)
    assert dz.endswith("Under max-T, smaller effects can be found.")


def next_look_needs(correction: Correction) -> int:
    """Return the fewest seeds of six pairs at the second of one planned look."""
    return blocks_to_reject(correction, 6, look_level(2, 0.05, 1))


def test_pairs_of_a_comparison_equal_brute_force() -> None:
    columns = sweep_of(7, 4, shift=5.0)
    pairs = compare(long(columns), correction="max-t").pairs
    d = np.column_stack([np.array(columns[p.a]) - columns[p.b] for p in pairs])
    assert [p.pvalue_max_t for p in pairs] == brute_force(d)


def test_missing_runs_count_as_no_difference() -> None:
    table = long(sweep_of(7, 3, shift=6.0)).drop(index=[2, 10])
    pairs = compare(table, correction="max-t").pairs
    assert sorted(p.n for p in pairs) == [5, 6, 6]
    values = table.pivot(index="seed", columns="optimizer", values="test_correct")
    d = np.column_stack([(values[p.a] - values[p.b]).fillna(0) for p in pairs])
    assert [p.pvalue_max_t for p in pairs] == brute_force(d)


def test_one_tested_pair_keeps_its_p_value() -> None:
    table = long({"x": [9810, 9820, 9815, 9830, 9812, 9819], "y": [9700] * 6})
    (pair,) = compare(table, correction="max-t").pairs
    assert pair.pvalue == pair.pvalue_holm == pair.pvalue_max_t == 2 / 2**6


def test_equal_runs_and_one_seed() -> None:
    same = compare(long({"x": [9800] * 6, "y": [9800] * 6, "z": [9700] * 6}), correction="max-t")
    assert {(p.a, p.b): p.verdict for p in same.pairs}["x", "y"] == "identical"
    alone = compare(long({"x": [9800], "y": [9700], "z": [9600]}), correction="max-t")
    assert {(p.pvalue_max_t, p.verdict) for p in alone.pairs} == {(None, "not testable")}


def losses_with_a_copy() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    columns = {f"o{i}": rng.normal(0.1 + 0.02 * i, 0.003, 8) for i in range(3)}
    columns["copy"] = columns["o0"]
    runs = [(name, seed, x) for name, of in columns.items() for seed, x in enumerate(of)]
    return pd.DataFrame(runs, columns=["optimizer", "seed", "test_loss"])


def test_equal_losses_do_not_hide_other_differences() -> None:
    table = losses_with_a_copy()
    pairs = compare(table, value="test_loss", correction="max-t").pairs
    distinct = table[table.optimizer != "copy"]
    alone = compare(distinct, value="test_loss", correction="max-t").pairs
    assert {p.pvalue_max_t for p in alone} == {2 / 2**8}
    found = {frozenset((p.a, p.b)): p for p in pairs}
    same = found.pop(frozenset(("o0", "copy")))
    assert (same.verdict, same.pvalue_max_t) == ("identical", 1.0)
    assert {(p.verdict, p.pvalue_max_t) for p in found.values()} == {("better", 2 / 2**8)}


def test_equal_times_to_target_do_not_hide_other_differences() -> None:
    """Two optimizers pass the target in the same bracket in all runs."""
    ends = {"x": 100, "y": 100, "z": 300}
    table = pd.DataFrame(
        [
            {
                "optimizer": name,
                "seed": seed,
                "test_accuracy": 0.97,
                "iterations": 400,
                "eval_iterations": [100, 200, 300, 400],
                "eval_test_accuracy": [0.96 if i >= end else 0.5 for i in (100, 200, 300, 400)],
            }
            for name, end in ends.items()
            for seed in range(8)
        ]
    )
    times = compare(table, correction="max-t").time_to_target
    assert times is not None
    found = {frozenset((p.a, p.b)): p for p in times.pairs}
    assert found[frozenset("xy")].verdict == "identical"
    assert {found[frozenset(other)].pvalue_max_t for other in ("xz", "yz")} == {2 / 2**8}


@pytest.mark.parametrize("given", ["bonferroni", None, 1, ("holm",)])
def test_other_corrections_are_refused(given: object) -> None:
    with pytest.raises(SpecError, match="correction must be holm or max-t, got"):
        compare(long(sweep_of(6)), correction=given)
