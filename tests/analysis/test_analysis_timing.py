"""Tests of the ratios of training times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis import compare, describe_runs
from bench.analysis.results import TimeRatio
from bench.analysis.timing import time_ratios

seconds = st.floats(0.01, 1000)


def timed(
    columns: Mapping[str, Sequence[float | None]], **more: Sequence[object] | str
) -> pd.DataFrame:
    """Return one row per run from its training seconds; None is a missing run."""
    rows = [
        {
            "optimizer": name,
            "seed": seed,
            "status": "ok",
            "test_accuracy": 0.9 - 0.1 * i,
            "train_seconds": value,
        }
        for i, (name, column) in enumerate(columns.items())
        for seed, value in enumerate(column)
        if value is not None
    ]
    return pd.DataFrame(rows).assign(**more)


def ratios(table: pd.DataFrame, alpha: float = 0.05) -> tuple[TimeRatio, ...]:
    return time_ratios(table, compare(table).pairs, alpha=alpha)


def ratio(table: pd.DataFrame, alpha: float = 0.05) -> TimeRatio:
    (only,) = ratios(table, alpha)
    return only


# --- against scipy ---------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_ratio_and_interval_equal_scipy_on_logarithms(n: int, alpha: float) -> None:
    rng = np.random.default_rng(n)
    x, y = np.exp(rng.normal(1.0, 0.2, n)), np.exp(rng.normal(0.8, 0.3, n))
    found = ratio(timed({"x": x, "y": y}), alpha)
    oracle = stats.ttest_1samp(np.log(x / y), 0).confidence_interval(1 - alpha)
    assert (found.a, found.b, found.n) == ("x", "y", n)
    assert found.ratio == pytest.approx(stats.gmean(x / y))
    assert found.ratio == pytest.approx(stats.gmean(x) / stats.gmean(y))
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(np.exp(oracle)))


def test_by_hand() -> None:
    """Ratios 1/2, 1 and 2: their geometric mean is 1, their mean is not."""
    found = ratio(timed({"x": [1, 3, 8], "y": [2, 3, 4]}))
    assert found.ratio == pytest.approx(1.0)
    half = stats.t.isf(0.025, 2) * np.log(2) / np.sqrt(3)
    assert (found.ci_low, found.ci_high) == pytest.approx((np.exp(-half), np.exp(half)))


def test_ratios_follow_the_pairs() -> None:
    table = timed({"x": [1.0, 2.0], "y": [2.0, 4.0], "z": [8.0, 16.0]})
    found = {(r.a, r.b): r.ratio for r in ratios(table)}
    assert list(found) == [(p.a, p.b) for p in compare(table).pairs]
    assert found == pytest.approx({("x", "y"): 1 / 2, ("x", "z"): 1 / 8, ("y", "z"): 1 / 4})


# --- which runs count ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_only_runs_that_ended_well_count(status: str) -> None:
    """Diverged runs do not count, because they stopped early."""
    table = timed({"x": [2.0, 0.001, 4.5, 6.0], "y": [1.0, 2.0, 3.0, 4.0]})
    table.loc[1, "status"] = status
    without = timed({"x": [2.0, None, 4.5, 6.0], "y": [1.0, 2.0, 3.0, 4.0]})
    assert ratio(table) == ratio(without)
    assert ratio(table).n == 3


@pytest.mark.parametrize("value", [None, np.nan, 0.0, -1.0])
def test_a_time_that_is_none_does_not_count(value: float | None) -> None:
    table = timed({"x": [2.0, 3.0, 4.5], "y": [1.0, 2.0, 3.0]})
    table.loc[1, "train_seconds"] = value
    assert ratio(table) == ratio(timed({"x": [2.0, None, 4.5], "y": [1.0, 2.0, 3.0]}))


def test_one_common_seed_has_a_ratio_without_an_interval() -> None:
    found = ratio(timed({"x": [2.0, 5.0, None], "y": [None, 4.0, 3.0]}))
    assert found == TimeRatio(a="x", b="y", n=1, ratio=1.25, ci_low=None, ci_high=None)


@pytest.mark.parametrize(
    "table",
    [
        timed({"x": [2.0, None], "y": [None, 4.0]}),
        timed({"x": [2.0, 3.0], "y": [1.0, 4.0]}, status=["diverged"] * 2 + ["ok"] * 2),
        timed({"x": [2.0, 3.0], "y": [1.0, 4.0]}, status="diverged"),
        timed({"x": [2.0, 3.0], "y": [1.0, 4.0]}, train_seconds=[None] * 4),
    ],
    ids=["no common seed", "one side diverged", "all diverged", "never timed"],
)
def test_nothing_in_common_is_null(table: pd.DataFrame) -> None:
    found = ratio(table)
    assert (found.n, found.ratio, found.ci_low, found.ci_high) == (0, None, None, None)


def test_a_constant_ratio_has_no_width() -> None:
    found = ratio(timed({"x": [3.0, 3.0, 3.0], "y": [2.0, 2.0, 2.0]}))
    assert found.ci_low == found.ci_high == found.ratio == pytest.approx(1.5)


# --- what must not matter --------------------------------------------------------------------


@given(st.lists(st.tuples(seconds, seconds), min_size=3, max_size=8))
def test_a_over_b_is_the_inverse_of_b_over_a(times: list[tuple[float, float]]) -> None:
    x, y = zip(*times, strict=True)
    table = timed({"x": x, "y": y})
    (pair,) = compare(table).pairs
    (here,) = time_ratios(table, [pair], alpha=0.05)
    (there,) = time_ratios(table, [replace(pair, a=pair.b, b=pair.a)], alpha=0.05)
    assert (there.a, there.b, there.n) == (here.b, here.a, here.n)
    assert there.ratio == pytest.approx(1 / here.ratio)
    assert (there.ci_low, there.ci_high) == pytest.approx((1 / here.ci_high, 1 / here.ci_low))


@given(st.lists(seconds, min_size=3, max_size=8), st.floats(0.1, 10))
def test_a_slow_minute_hits_all_alike(slowness: list[float], faster: float) -> None:
    """Ratios within seeds remove the drift of the speed of the machine."""
    drift = np.array(slowness)
    found = ratio(timed({"x": drift, "y": drift * faster}))
    assert found.ratio == pytest.approx(1 / faster)
    assert found.ci_high == pytest.approx(found.ci_low)


def test_a_machine_twice_as_slow_changes_nothing() -> None:
    table = timed({"x": [2.0, 3.0, 4.5], "y": [1.0, 2.0, 3.5]})
    slow = table.assign(train_seconds=2 * table["train_seconds"])
    here, there = ratio(table), ratio(slow)
    assert there.ratio == pytest.approx(here.ratio)
    assert (there.ci_low, there.ci_high) == pytest.approx((here.ci_low, here.ci_high))


def test_pairing_is_by_seed_not_by_row_order() -> None:
    table = timed({"x": [2.0, 30.0, 4.5], "y": [1.0, 20.0, 3.5]})
    assert ratio(table.sample(frac=1, random_state=2)) == ratio(table)
    crossed = table.assign(seed=[0, 1, 2, 1, 0, 2])
    assert ratio(crossed).ratio == pytest.approx(ratio(table).ratio)
    assert ratio(crossed).ci_high > 5 * ratio(table).ci_high


def test_names_may_be_numbers() -> None:
    table = timed({"1": [2.0, 3.0, 4.5], "2": [1.0, 2.0, 3.5]})
    assert ratio(table.assign(optimizer=table["optimizer"].astype(int))) == ratio(table)


# --- in the analysis of a whole table ----------------------------------------------------------


def test_a_table_with_other_names_has_them_too() -> None:
    table = timed({"1": [2.0, 3.0, 4.5], "2": [1.0, 2.0, 3.5]}, eval_seconds=[0.1] * 6)
    expected = time_ratios(table, compare(table).pairs, alpha=0.05)
    other = table.rename(columns={"optimizer": "method", "seed": "fold"}).drop(columns="status")
    other["method"] = other["method"].astype(int)
    comparison = compare(other, treatment="method", block="fold")
    analysis = describe_runs(other, comparison, name="x")
    assert analysis.time_ratios == expected
    assert [(t.treatment, t.n) for t in analysis.timings] == [("1", 3), ("2", 3)]


@pytest.mark.parametrize("missing", ["train_seconds", "eval_seconds"])
def test_a_table_without_times_has_no_ratios(missing: str) -> None:
    table = timed({"x": [2.0, 3.0], "y": [1.0, 2.0]}, eval_seconds=[0.1] * 4)
    table = table.drop(columns=missing)
    analysis = describe_runs(table, compare(table), name="x")
    assert (analysis.time_ratios, analysis.timings) == ((), ())


def test_an_end_that_no_float_can_hold_is_null() -> None:
    found = ratio(timed({"x": [1.0, 1.0], "y": [1.0, 10.0]}), alpha=0.0001)
    assert found.ratio == pytest.approx(10**-0.5)
    assert (found.ci_low, found.ci_high) == (None, None)


def test_endless_runs_are_left_out() -> None:
    found = ratio(timed({"x": [1.0, 2.0, np.inf], "y": [1.0, 1.0, np.inf]}))
    assert found.n == 2


def test_shares_of_stacks_of_other_widths_are_not_compared() -> None:
    table = timed({"a": [1.0, 2.0, 4.0, 8.0], "b": [2.0, 4.0, 8.0, 16.0]})
    stacks = [4, 4, 4, None, 4, 4, 1, 1]  # rows from before there was the column: alone
    assert ratio(table.assign(stack=stacks)).n == 3
    assert ratio(table.assign(stack=4)) == ratio(table)
    assert ratio(table.assign(stack=[4] * 4 + [1] * 4)).ratio is None
