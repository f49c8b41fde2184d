"""Tests of intervals over new seeds and images against other analyses of variance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from bench.analysis import Comparison, compare, look_levels
from bench.analysis.results import CrossedInterval, Scope
from bench.analysis.scope import MeanSquares
from bench.errors import TableError
from bench.report.html.views.scope import _reach
from bench.report.text.format import NBSP

Bits = np.ndarray[Any, np.dtype[np.uint8]]


def bits_table(columns: Mapping[str, Sequence[Any]], **more: Any) -> pd.DataFrame:
    """One row per run, from the correctness (0 or 1 per example) of each; None is no run."""
    rows = [
        {
            "optimizer": name,
            "seed": seed,
            "test_correct": int(np.sum(right)),
            "test_total": len(right),
            "test_accuracy": float(np.mean(right)),
            "correct_bits": np.packbits(np.asarray(right, dtype=np.uint8)).tobytes(),
        }
        for name, runs in columns.items()
        for seed, right in enumerate(runs)
        if right is not None
    ]
    return pd.DataFrame(rows).assign(**more)


def ask(table: pd.DataFrame, **options: Any) -> Scope:
    answer = compare(table, **options).scope
    assert answer is not None
    return answer


def only(table: pd.DataFrame, **options: Any) -> CrossedInterval:
    (interval,) = ask(table, **options).pairs
    return interval


def random_bits(n: int, n_examples: int, seed: int) -> tuple[Bits, Bits]:
    """Two treatments on `n` seeds: examples differ in difficulty, seeds in luck."""
    rng = np.random.default_rng([n, n_examples, seed])
    ease = rng.normal(0.7, 1.0, n_examples) + rng.normal(0, 0.4, (n, 1))
    return tuple(
        (ease + shift + rng.normal(0, 0.7, (n, n_examples)) > 0).astype(np.uint8)
        for shift in (0.1, 0.0)
    )


def squares_of(d: np.ndarray) -> MeanSquares:
    d = np.asarray(d, dtype=float)
    return MeanSquares.of(d.sum(axis=1), d.sum(axis=0), float((d**2).sum()))


def by_hand(d: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of seeds, examples and the rest, cell by cell from their definitions."""
    n, n_examples = d.shape
    mean = d.mean()
    seed = example = residual = 0.0
    for s in range(n):
        for e in range(n_examples):
            of_seed, of_example = d[s].mean() - mean, d[:, e].mean() - mean
            seed += of_seed**2
            example += of_example**2
            residual += (d[s, e] - mean - of_seed - of_example) ** 2
    return (
        seed / (n - 1),
        example / (n_examples - 1),
        residual / ((n - 1) * (n_examples - 1)),
    )


def interval_by_hand(d: np.ndarray, alpha: float) -> tuple[float, float, float]:
    """The crossed interval and its degrees of freedom, from the formulas of docs/statistics.md."""
    n, n_examples = d.shape
    squares = np.array(by_hand(d))
    df = np.array([n - 1, n_examples - 1, (n - 1) * (n_examples - 1)])
    signs = np.array([1, 1, -1])
    combined = float(signs @ squares)
    largest = int(np.argmax(squares))
    if combined < squares[largest]:
        variance, freedom = float(squares[largest]), float(df[largest])
    else:
        variance, freedom = combined, float(combined**2 / (squares**2 / df).sum())
    half = stats.t.ppf(1 - alpha / 2, freedom) * math.sqrt(variance / d.size)
    over_seeds = stats.sem(d.mean(axis=1)) * stats.t.ppf(1 - alpha / 2, n - 1)
    half = max(half, over_seeds)
    return d.mean() - half, d.mean() + half, freedom


SHAPES = [(3, 8), (4, 5), (6, 20), (10, 37), (20, 64)]


# --- against oracles -------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_examples"), SHAPES)
def test_mean_squares_equal_a_double_loop(n: int, n_examples: int) -> None:
    a, b = random_bits(n, n_examples, 0)
    d = a.astype(int) - b
    squares = squares_of(d)
    assert (squares.seed, squares.example, squares.residual) == pytest.approx(by_hand(d))
    assert squares.mean == pytest.approx(d.mean(), abs=1e-15)


@pytest.mark.parametrize(("n", "n_examples"), SHAPES[:4])
def test_mean_squares_equal_statsmodels(n: int, n_examples: int) -> None:
    a, b = random_bits(n, n_examples, 1)
    d = a.astype(int) - b
    cells = pd.DataFrame(
        {
            "d": d.ravel().astype(float),
            "seed": np.repeat(range(n), n_examples),
            "example": np.tile(range(n_examples), n),
        }
    )
    oracle = anova_lm(ols("d ~ C(seed) + C(example)", cells).fit())
    squares = squares_of(d)
    assert (squares.seed, squares.example, squares.residual) == pytest.approx(
        tuple(oracle["mean_sq"])
    )


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize(("n", "n_examples"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_the_interval_equals_its_definition(
    n: int, n_examples: int, seed: int, alpha: float
) -> None:
    a, b = random_bits(n, n_examples, seed)
    interval = only(bits_table({"a": a, "b": b}), alpha=alpha)
    d = a.astype(int) - b if interval.a == "a" else b.astype(int) - a
    low, high, df = interval_by_hand(d, alpha)
    assert interval.n == n
    assert interval.df == pytest.approx(df)
    assert interval.crossed_ci_low == pytest.approx(low, abs=1e-12)
    assert interval.crossed_ci_high == pytest.approx(high, abs=1e-12)


@given(
    st.tuples(st.integers(2, 5), st.integers(2, 7)).flatmap(
        lambda shape: st.lists(
            st.lists(st.integers(-1, 1), min_size=shape[1], max_size=shape[1]),
            min_size=shape[0],
            max_size=shape[0],
        )
    )
)
def test_any_small_differences_equal_the_double_loop(cells: list[list[int]]) -> None:
    d = np.array(cells)
    squares = squares_of(d)
    seed, example, residual = by_hand(d)
    assert (squares.seed, squares.example, squares.residual) == pytest.approx(
        (seed, example, residual), abs=1e-12
    )
    combined, (second, largest) = seed + example - residual, sorted((seed, example, residual))[1:]
    assert squares.variance_of_mean == pytest.approx(max(combined, largest) / d.size, abs=1e-12)
    if len(np.unique(d)) == 1:
        assert squares.df is None
    elif min(abs(combined - largest), largest - second) > 1e-9:  # else the last bit decides
        assert squares.df == pytest.approx(interval_by_hand(d, 0.05)[2])


def test_more_than_two_treatments_each_pair_by_itself() -> None:
    (a, b), (c, _) = random_bits(5, 21, 0), random_bits(5, 21, 7)
    together = ask(bits_table({"a": a, "b": b, "c": c}))
    comparison = compare(bits_table({"a": a, "b": b, "c": c}))
    assert [(p.a, p.b) for p in together.pairs] == [(p.a, p.b) for p in comparison.pairs]
    assert together.n_examples == 21
    columns = {"a": a, "b": b, "c": c}
    for pair in together.pairs:
        alone = only(bits_table({name: columns[name] for name in (pair.a, pair.b)}))
        # the family of pairs decides on the simultaneous interval and on Holm's p-value
        family = {
            "simultaneous_ci_low": pair.simultaneous_ci_low,
            "simultaneous_ci_high": pair.simultaneous_ci_high,
            "pvalue_equivalence_holm": pair.pvalue_equivalence_holm,
        }
        assert replace(alone, **family) == pair


# --- equivalence and simultaneous intervals ------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("margin", [0.05, 0.1, 0.3])
def test_equivalence_is_where_the_interval_at_twice_the_level_touches_the_margin(
    seed: int, margin: float
) -> None:
    a, b = random_bits(6, 40, seed)
    d = a.astype(int) - b
    p = only(bits_table({"a": a, "b": b}), margin=margin).pvalue_equivalence
    if abs(d.mean()) < margin:
        low, high, _ = interval_by_hand(d, 2 * p)
        assert max(-low, high) == pytest.approx(margin)
    else:
        assert p >= 0.5


def test_equivalence_over_new_images_is_never_easier_than_over_seeds() -> None:
    columns = dict(zip("abcd", (*random_bits(9, 30, 0), *random_bits(9, 30, 1)), strict=True))
    comparison = compare(bits_table(columns), margin=0.2)
    assert comparison.scope is not None
    crossed = comparison.scope.pairs
    for pair, wide in zip(comparison.pairs, crossed, strict=True):
        assert wide.pvalue_equivalence >= pair.pvalue_equivalence * (1 - 1e-9)
        assert wide.simultaneous_ci_low <= pair.simultaneous_ci_low + 1e-12
        assert wide.simultaneous_ci_high >= pair.simultaneous_ci_high - 1e-12
        single = only(bits_table({n: columns[n] for n in (wide.a, wide.b)}), alpha=0.05 / 6)
        assert (wide.simultaneous_ci_low, wide.simultaneous_ci_high) == pytest.approx(
            (single.crossed_ci_low, single.crossed_ci_high)
        )
    adjusted = multipletests([c.pvalue_equivalence for c in crossed], method="holm")[1]
    assert [c.pvalue_equivalence_holm for c in crossed] == pytest.approx(list(adjusted))


def test_without_margin_or_spread_there_is_no_equivalence_test() -> None:
    a, b = random_bits(5, 21, 0)
    assert only(bits_table({"a": a, "b": b}), margin=None).pvalue_equivalence is None
    same = only(bits_table({"a": a, "b": a}))
    assert (same.pvalue_equivalence, same.pvalue_equivalence_holm) == (None, None)


def test_the_page_counts_simultaneous_intervals() -> None:
    """Two single intervals leave out 0, and one simultaneous interval does."""
    (a, b), (c, _) = random_bits(8, 60, 15), random_bits(8, 60, 115)
    comparison = compare(bits_table({"a": a, "b": b, "c": c}))
    assert comparison.scope is not None
    single = [p.ci_low > 0 or p.ci_high < 0 for p in comparison.pairs]
    wide = [p.simultaneous_ci_low > 0 or p.simultaneous_ci_high < 0 for p in comparison.pairs]
    assert (sum(single), sum(wide)) == (2, 1)
    sentence = _reach(comparison.pairs, comparison.scope.pairs).replace(NBSP, " ")
    assert sentence.startswith("1 pair out of 3 has a simultaneous interval over new seeds")


# --- floors ----------------------------------------------------------------------------------

FLOORS = {
    # nothing but the interaction: MS_seed + MS_example - MS_residual is negative
    "residual": ([[1, -1], [-1, 1]], 1),
    "residual, larger": (np.tile([[1, -1, 1, -1], [-1, 1, -1, 1]], (2, 1)), 9),
    "seed": ([[1, 1, 0], [-1, -1, 0], [1, 0, 1]], 2),
    "example": ([[1, -1, 1, 0], [1, -1, 0, 1], [1, -1, 1, 0]], 3),
}


@pytest.mark.parametrize("name", FLOORS)
def test_the_variance_is_never_below_the_largest_mean_square(name: str) -> None:
    cells, df = FLOORS[name]
    d = np.array(cells)
    squares = squares_of(d)
    parts = dict(zip(("seed", "example", "residual"), by_hand(d), strict=True))
    largest = max(parts, key=parts.__getitem__)
    assert largest == name.split(",")[0]
    assert parts["seed"] + parts["example"] - parts["residual"] < parts[largest]
    assert squares.variance_of_mean == pytest.approx(parts[largest] / d.size)
    assert squares.df == df


def test_it_is_not_floored_where_the_estimate_is_the_larger() -> None:
    d = np.array([[1, 1, 1, 0], [1, 0, 0, -1], [0, 0, -1, -1]])
    seed, example, residual = by_hand(d)
    assert residual < min(seed, example)
    squares = squares_of(d)
    assert squares.variance_of_mean == pytest.approx((seed + example - residual) / d.size)
    expected = (seed + example - residual) ** 2 / (seed**2 / 2 + example**2 / 3 + residual**2 / 6)
    assert squares.df == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_never_less_than_that_over_seeds_alone(seed: int) -> None:
    a, b = random_bits(6, 30, seed)
    d = a.astype(int) - b
    over_seeds = d.mean(axis=1).var(ddof=1) / len(d)
    assert squares_of(d).variance_of_mean >= over_seeds * (1 - 1e-12)


# --- special cases ---------------------------------------------------------------------------


def test_where_only_the_seeds_differ_it_is_the_interval_over_seeds() -> None:
    """Every example goes with its seed: nothing is left for the images to vary."""
    a = np.repeat(np.array([[1], [1], [0], [1], [0], [1]], dtype=np.uint8), 16, axis=1)
    b = np.repeat(np.array([[0], [1], [0], [0], [1], [0]], dtype=np.uint8), 16, axis=1)
    comparison = compare(bits_table({"a": a, "b": b}))
    assert comparison.scope is not None
    (pair,), (crossed,) = comparison.pairs, comparison.scope.pairs
    assert crossed.df == pytest.approx(5)
    assert (crossed.crossed_ci_low, crossed.crossed_ci_high) == pytest.approx(
        (pair.ci_low, pair.ci_high)
    )


def test_where_only_the_examples_differ_it_is_the_interval_over_examples() -> None:
    """Without variation over seeds, only the crossed interval has a positive width."""
    a, b = (
        np.tile([1, 1, 0, 1, 1, 1, 1, 1, 1], (4, 1)),
        np.tile([0, 1, 0, 1, 0, 1, 0, 1, 1], (4, 1)),
    )
    comparison = compare(bits_table({"a": a, "b": b}))
    assert comparison.scope is not None
    (pair,), (crossed,) = comparison.pairs, comparison.scope.pairs
    assert pair.ci_low == pair.ci_high == pair.mean_difference
    d = a[0] - b[0]
    half = stats.t.isf(0.025, 8) * math.sqrt(d.var(ddof=1) / len(d))
    assert crossed.df == pytest.approx(8)
    assert crossed.crossed_ci_high == pytest.approx(d.mean() + half)
    assert crossed.crossed_ci_low == pytest.approx(d.mean() - half)


@pytest.mark.parametrize("n", [3, 7])
def test_identical_runs_have_no_width_and_no_degrees_of_freedom(n: int) -> None:
    bits, _ = random_bits(n, 13, 0)
    assert only(bits_table({"a": bits, "b": bits})) == CrossedInterval(
        a="a", b="b", n=n, crossed_ci_low=0.0, crossed_ci_high=0.0, df=None,
        simultaneous_ci_low=0.0, simultaneous_ci_high=0.0,
    )  # fmt: skip


def test_a_difference_that_never_varies_has_no_width_either() -> None:
    right, wrong = np.ones((3, 9), dtype=np.uint8), np.zeros((3, 9), dtype=np.uint8)
    assert only(bits_table({"a": right, "b": wrong})) == CrossedInterval(
        a="a", b="b", n=3, crossed_ci_low=1.0, crossed_ci_high=1.0, df=None,
        simultaneous_ci_low=1.0, simultaneous_ci_high=1.0,
    )  # fmt: skip


def test_equal_accuracies_on_different_images_do_vary() -> None:
    a, b = np.tile([1, 1, 0, 0], (3, 1)), np.tile([0, 0, 1, 1], (3, 1))
    comparison = compare(bits_table({"a": a, "b": b}))
    assert comparison.scope is not None
    (crossed,) = comparison.scope.pairs
    assert comparison.pairs[0].verdict == "identical"
    assert crossed.crossed_ci_low == -crossed.crossed_ci_high < 0
    assert crossed.df == pytest.approx(3)


@pytest.mark.parametrize("n_examples", [2, 7, 8, 9, 15, 16, 17, 63])
def test_any_number_of_examples(n_examples: int) -> None:
    a, b = random_bits(4, n_examples, 3)
    a[0], b[0] = 1, 0  # so that something varies
    interval = only(bits_table({"a": a, "b": b}))
    d = (a.astype(int) - b) * (1 if interval.a == "a" else -1)
    low, high, df = interval_by_hand(d, 0.05)
    assert (interval.crossed_ci_low, interval.crossed_ci_high) == pytest.approx((low, high))
    assert interval.df == pytest.approx(df)


@pytest.mark.parametrize("n", [1, 2])
def test_what_no_verdict_could_rest_on_has_no_interval(n: int) -> None:
    a, b = random_bits(n, 16, 4)
    interval = only(bits_table({"a": a, "b": b}))
    assert interval.n == n
    assert (interval.crossed_ci_low, interval.crossed_ci_high, interval.df) == (None, None, None)


@pytest.mark.parametrize("seed", range(20))
def test_it_is_never_narrower_than_over_seeds_alone(seed: int) -> None:
    a, b = random_bits(3 + seed % 4, 40, seed)
    comparison = compare(bits_table({"a": a, "b": b}))
    (pair,), found = comparison.pairs, comparison.scope
    assert found is not None
    (crossed,) = found.pairs
    assert None not in (pair.ci_low, pair.ci_high)
    assert crossed.crossed_ci_low <= pair.ci_low + 1e-12  # type: ignore[operator]
    assert crossed.crossed_ci_high >= pair.ci_high - 1e-12  # type: ignore[operator]


def test_one_example_is_no_sample_of_examples() -> None:
    table = bits_table({"a": [[1], [1], [0]], "b": [[0], [1], [0]]})
    answer = ask(table)
    assert answer.n_examples == 1
    (pair,) = answer.pairs
    assert (pair.n, pair.crossed_ci_low, pair.crossed_ci_high, pair.df) == (3, None, None, None)


def test_a_and_b_are_mirror_images() -> None:
    a, b = random_bits(6, 21, 5)
    up, down = (only(bits_table({"a": a, "b": b}), direction=d) for d in ("higher", "lower"))
    assert (up.a, up.b) == (down.b, down.a)
    assert (up.crossed_ci_low, up.crossed_ci_high) == (-down.crossed_ci_high, -down.crossed_ci_low)
    assert (up.n, up.df) == (down.n, down.df)


def test_neither_the_order_of_rows_nor_of_examples_matters() -> None:
    a, b = random_bits(5, 19, 6)
    table = bits_table({"a": a, "b": b})
    assert ask(table.sample(frac=1, random_state=1)) == ask(table)
    shuffled = np.random.default_rng(0).permutation(19)
    assert ask(bits_table({"a": a[:, shuffled], "b": b[:, shuffled]})) == ask(table)


def test_examples_are_paired_within_a_seed() -> None:
    """Shuffling the images of one side keeps every accuracy, and is another experiment."""
    a, b = random_bits(5, 40, 6)
    shuffled = np.random.default_rng(0).permutation(40)
    here, there = bits_table({"a": a, "b": b}), bits_table({"a": a, "b": b[:, shuffled]})
    assert compare(here).pairs == compare(there).pairs
    assert only(here) != only(there)


@pytest.mark.parametrize("n", [250, 251, 300, 520])
def test_many_seeds_do_not_overflow_a_byte(n: int) -> None:
    a, b = random_bits(n, 11, 0)
    a[:, 0], b[:, 0], a[:, 1], b[:, 1] = 1, 0, 1, 1
    interval = only(bits_table({"a": a, "b": b}))
    assert interval.a == "a"
    low, high, df = interval_by_hand(a.astype(int) - b, 0.05)
    assert (interval.crossed_ci_low, interval.crossed_ci_high) == pytest.approx((low, high))
    assert interval.df == pytest.approx(df)


def test_the_level_is_alpha_and_not_that_of_the_look() -> None:
    a, b = random_bits(6, 20, 2)
    table = bits_table({"a": a, "b": b})
    looks = look_levels([(3, None), (6, None)], 0.05, planned=2)
    later, alone = only(table, looks=looks), only(table)
    assert (later.crossed_ci_low, later.crossed_ci_high) == (
        alone.crossed_ci_low,
        alone.crossed_ci_high,
    )
    assert later.simultaneous_ci_low < alone.simultaneous_ci_low == alone.crossed_ci_low
    wide, narrow = only(table, alpha=0.01), only(table, alpha=0.2)
    assert wide.crossed_ci_low < narrow.crossed_ci_low < narrow.crossed_ci_high
    assert narrow.crossed_ci_high < wide.crossed_ci_high


def test_it_covers_where_an_interval_over_seeds_does_not() -> None:
    """Images drawn anew for each of 600 sweeps, as in STATISTICS.md but smaller."""
    rng = np.random.default_rng(11)
    n, n_examples, truth = 10, 150, 0.0
    crossed = over_seeds = 0
    for _ in range(600):
        effect = rng.normal(0, 0.5, n_examples) + rng.normal(0, 0.03, (n, 1))
        d = (np.abs(e := rng.normal(effect, 0.9)) > 1) * np.sign(e)
        squares = squares_of(d)
        half = stats.t.isf(0.025, squares.df) * math.sqrt(squares.variance_of_mean)
        crossed += abs(squares.mean - truth) <= half
        seeds = d.mean(axis=1)
        over_seeds += abs(seeds.mean()) <= stats.t.isf(0.025, n - 1) * stats.sem(seeds)
    assert crossed / 600 == pytest.approx(0.955, abs=0.03)
    assert over_seeds / 600 < 0.85


# --- what is missing -------------------------------------------------------------------------


def comparison_without(table: pd.DataFrame, rows: Sequence[int], how: str) -> Comparison:
    table = table.astype({"correct_bits": object})
    if how == "absent":
        return compare(table.drop(index=rows))
    if how == "failed":
        status = np.where(table.index.isin(rows), "failed", "ok")
        return compare(table.assign(status=status))
    table.loc[rows, "correct_bits"] = None if how == "no bits" else np.nan
    return compare(table)


@pytest.mark.parametrize("how", ["absent", "failed", "no bits", "nan"])
def test_a_pair_uses_the_seeds_whose_bits_both_have(how: str) -> None:
    a, b = random_bits(7, 22, 4)
    table = bits_table({"a": a, "b": b})
    scope = comparison_without(table, [2, 7 + 5], how).scope
    assert scope is not None
    (interval,) = scope.pairs
    kept = [0, 1, 3, 4, 6]
    expected = only(bits_table({"a": a[kept], "b": b[kept]}))
    sign = 1 if (interval.a, interval.b) == (expected.a, expected.b) else -1
    assert (interval.n, interval.df) == (5, expected.df)
    ends = sorted([sign * expected.crossed_ci_low, sign * expected.crossed_ci_high])
    assert [interval.crossed_ci_low, interval.crossed_ci_high] == ends


@pytest.mark.parametrize(("kept", "n"), [([0], 1), ([], 0)])
def test_below_two_common_seeds_it_is_undefined(kept: list[int], n: int) -> None:
    a, b = random_bits(3, 9, 0)
    table = bits_table({"a": a, "b": [bits if s in kept else None for s, bits in enumerate(b)]})
    extra = bits_table({"b": [None, None, None, b[0]]})  # a seed that a does not have
    (interval,) = ask(pd.concat([table, extra], ignore_index=True)).pairs
    assert (interval.n, interval.crossed_ci_low, interval.crossed_ci_high) == (n, None, None)
    assert interval.df is None


def test_a_diverged_run_keeps_its_bits() -> None:
    a, b = random_bits(4, 12, 0)
    table = bits_table({"a": a, "b": b}, status="ok")
    diverged = table.assign(status=["diverged"] + ["ok"] * 7)
    assert ask(diverged) == ask(table)


@pytest.mark.parametrize("missing", ["correct_bits", "test_correct", "test_total"])
def test_without_bits_or_counts_there_is_no_scope(missing: str) -> None:
    a, b = random_bits(4, 12, 0)
    assert compare(bits_table({"a": a, "b": b}).drop(columns=missing)).scope is None


def test_without_any_bits_there_is_no_scope() -> None:
    a, b = random_bits(4, 12, 0)
    assert compare(bits_table({"a": a, "b": b}, correct_bits=None)).scope is None


def test_another_column_than_the_accuracy_has_no_scope() -> None:
    a, b = random_bits(4, 12, 0)
    table = bits_table({"a": a, "b": b}, test_loss=0.1)
    assert compare(table, value="test_loss").scope is None


def test_one_treatment_has_no_pairs() -> None:
    a, _ = random_bits(4, 12, 0)
    assert ask(bits_table({"a": a})) == Scope(n_examples=12, pairs=())


# --- bits that cannot be right -----------------------------------------------------------------

FOUR = bytes([0b11110000, 0b00000000])
BAD = {
    "fewer right than the count": (
        bytes([0b11100000, 0]),
        "column 'correct_bits' must agree with the accuracy, got 3 correct of 10 examples "
        "and 4 by the accuracy in ",
    ),
    "more right than the count": (
        bytes([0b11111000, 0]),
        "column 'correct_bits' must agree with the accuracy, got 5 correct of 10 examples "
        "and 4 by the accuracy in ",
    ),
    "a bit behind the last example": (
        bytes([0b11110000, 1]),
        "column 'correct_bits' must have no bit set after example 10, got one in ",
    ),
    "a bit behind the last example instead of a real one": (
        bytes([0b11100000, 1]),
        "column 'correct_bits' must have no bit set after example 10, got one in ",
    ),
    "text": ("1111000000", "column 'correct_bits' must hold bytes, got str in "),
    "too short": (
        bytes([0b11110000]),
        "column 'correct_bits' must hold one bit for each of 10 examples, got 1 bytes in ",
    ),
    "too long": (
        bytes([0b11110000, 0, 0]),
        "column 'correct_bits' must hold one bit for each of 10 examples, got 3 bytes in ",
    ),
    "empty": (
        b"",
        "column 'correct_bits' must hold one bit for each of 10 examples, got 0 bytes in ",
    ),
}


def table_with(bits: bytes) -> pd.DataFrame:
    """Four runs with four of ten right each, the third of them with these bits."""
    return pd.DataFrame(
        {
            "optimizer": ["a", "a", "b", "b"],
            "seed": [0, 1, 0, 1],
            "test_correct": 4,
            "test_total": 10,
            "test_accuracy": 0.4,
            "correct_bits": [FOUR, FOUR, bits, FOUR],
        }
    )


@pytest.mark.parametrize("name", BAD)
def test_bits_that_cannot_be_right_get_one_clear_line(name: str) -> None:
    bits, message = BAD[name]
    with pytest.raises(TableError, match=f"^{re.escape(message + 'row 3')}$"):
        compare(table_with(bits))


@pytest.mark.parametrize("name", BAD)
def test_the_line_names_the_file(name: str) -> None:
    bits, message = BAD[name]
    files = [f"results/mnist/runs/{x}.parquet" for x in "wxyz"]
    with pytest.raises(TableError, match=f"{re.escape(message + files[2])}$"):
        compare(table_with(bits).assign(run_file=files))
    with pytest.raises(TableError, match=f"{re.escape(message + 'row 3 of all.csv')}$"):
        compare(table_with(bits).assign(run_file="all.csv"))


def test_a_failed_runs_bits_are_not_looked_at() -> None:
    table = table_with(b"").assign(status=["ok", "ok", "failed", "ok"])
    (interval,) = ask(table).pairs
    assert interval.n == 1


def test_good_bits_pass() -> None:
    (interval,) = ask(table_with(bytes([0b00000011, 0b11000000]))).pairs
    assert interval.n == 2
