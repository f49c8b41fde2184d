"""Tests of the time to the target: censoring, Kaplan-Meier, log-rank, Holm family."""

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

from bench.analysis import compare, look_levels
from bench.analysis.results import Pair, TargetTreatment, TimeToTarget
from bench.errors import SpecError, TableError

BUDGET = 10
NEVER = math.inf


def runs_table(columns: Mapping[str, Sequence[Any]], **more: Any) -> pd.DataFrame:
    """One row per run from (iterations, accuracies) of its evaluations; None is no run."""
    rows = [
        {
            "optimizer": name,
            "seed": seed,
            "test_accuracy": 0.9,
            "iterations": BUDGET,
            "eval_iterations": list(run[0]),
            "eval_test_accuracy": list(run[1]),
        }
        for name, runs in columns.items()
        for seed, run in enumerate(runs)
        if run is not None
    ]
    return pd.DataFrame(rows).assign(**more)


def arriving(at: float) -> tuple[list[int], list[float]]:
    """Return a run with an evaluation after every update that reaches 0.95 at this iteration."""
    every = list(range(1, BUDGET + 1))
    return every, [0.96 if i >= at else 0.5 for i in every]


def arrivals(columns: Mapping[str, Sequence[float | None]], **more: Any) -> pd.DataFrame:
    """A table from the iteration at which each run arrives; None is no run."""
    runs = {
        name: [None if at is None else arriving(at) for at in column]
        for name, column in columns.items()
    }
    return runs_table(runs, **more)


def ask(table: pd.DataFrame, **options: Any) -> TimeToTarget:
    answer = compare(table, **options).time_to_target
    assert answer is not None
    return answer


def only(table: pd.DataFrame, **options: Any) -> TargetTreatment:
    (treatment,) = ask(table, **options).treatments
    return treatment


def named(answer: TimeToTarget, name: str) -> TargetTreatment:
    return next(t for t in answer.treatments if t.name == name)


def steps(treatment: TargetTreatment) -> list[tuple[int, float]]:
    return [(step.iteration, step.waiting_share) for step in treatment.steps]


# --- arrival ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("iterations", "accuracies", "expected"),
    [
        ([2, 4, 6], [0.90, 0.96, 0.97], 4),
        ([2, 4, 6], [0.90, 0.95, 0.95], 4),
        ([2, 4, 6], [0.96, 0.20, 0.20], 2),
        ([2, 4, 6], [0.90, 0.9499999, 0.96], 6),
        ([2, 4, 6], [0.90, None, 0.96], 6),
        ([2, 4, 6], [0.90, math.nan, 0.96], 6),
        ([10], [0.99], 10),
        ([2, 4, 6], [0.1, 0.2, 0.3], NEVER),
        ([2, 4, 6], [None, None, None], NEVER),
        ([12], [0.99], NEVER),
    ],
    ids=[
        "the second evaluation",
        "exactly the target",
        "kept though it falls back",
        "just below is not there",
        "null is no arrival",
        "nan is no arrival",
        "with the last update",
        "never",
        "never measured",
        "after the budget",
    ],
)
def test_arrival_by_hand(
    iterations: list[int], accuracies: list[float | None], expected: float
) -> None:
    one = only(runs_table({"x": [(iterations, accuracies)]}))
    assert one.restricted_mean == min(expected, BUDGET)
    assert (one.n, one.n_reached) == (1, int(expected < NEVER))
    assert steps(one) == [(0, 1.0), *([(expected, 0.0)] * one.n_reached)]


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_evaluations_may_be_any_sequence(kind: Any) -> None:
    table = arrivals({"x": [3, 5]})
    for column in ("eval_iterations", "eval_test_accuracy"):
        table[column] = pd.Series([kind(run) for run in table[column]], dtype=object)
    assert only(table).restricted_mean == 4.0


@pytest.mark.parametrize(
    ("target", "expected"), [(0.5, 1), (0.51, 4), (0.96, 4), (0.9600001, NEVER), (0.999, NEVER)]
)
def test_the_target_is_an_option(target: float, expected: float) -> None:
    answer = ask(arrivals({"x": [4]}), target=target)
    assert answer.target == target
    assert answer.treatments[0].restricted_mean == min(expected, BUDGET)


def test_the_default_target_is_95_per_cent_on_test_data() -> None:
    answer = ask(arrivals({"x": [4]}))
    assert (answer.target, answer.data, answer.budget) == (0.95, "test", BUDGET)


@pytest.mark.parametrize("target", [0, 1, -0.5, 95, math.nan])
def test_a_target_outside_0_to_1_gets_one_clear_line(target: float) -> None:
    message = f"target must lie between 0 and 1 (exclusive), got {target!r}"
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        compare(arrivals({"x": [4]}), target=target)


# --- censoring -------------------------------------------------------------------------------


def test_a_run_that_never_arrives_counts_with_the_whole_budget() -> None:
    x = only(arrivals({"x": [2, 4, NEVER, NEVER]}))
    assert (x.n, x.n_reached, x.reach_rate) == (4, 2, 0.5)
    assert x.restricted_mean == (2 + 4 + 10 + 10) / 4
    assert steps(x) == [(0, 1.0), (2, 0.75), (4, 0.5)]


def test_arriving_seldom_is_not_arriving_soon() -> None:
    """Without the censored runs, x would lead with 1.0 against 6.0."""
    answer = ask(arrivals({"x": [1, NEVER, NEVER, NEVER], "y": [6, 6, 6, 6]}))
    assert [t.name for t in answer.treatments] == ["y", "x"]
    assert [t.restricted_mean for t in answer.treatments] == [6.0, 31 / 4]
    assert [t.reach_rate for t in answer.treatments] == [1.0, 0.25]
    assert answer.pairs[0].n == 4


def test_nobody_arrives() -> None:
    answer = ask(arrivals({"x": [NEVER] * 3, "y": [NEVER] * 3}))
    for t in answer.treatments:
        assert (t.n, t.n_reached, t.reach_rate) == (3, 0, 0.0)
        assert (t.lower_mean, t.restricted_mean, t.ci_high) == (BUDGET,) * 3
        assert t.ci_low < BUDGET - 0.5  # other runs may arrive with the last update
        assert steps(t) == [(0, 1.0)]
    (pair,), (logrank,) = answer.pairs, answer.logrank
    assert (pair.verdict, pair.pvalue, logrank.pvalue) == ("identical", 1.0, None)


def test_a_diverged_run_is_censored_at_the_budget_not_where_it_ended() -> None:
    table = runs_table({"x": [([1, 2], [0.5, 0.1]), arriving(4)]}, status=["diverged", "ok"])
    x = only(table)
    assert (x.n, x.n_reached, x.restricted_mean) == (2, 1, (10 + 4) / 2)


def test_a_run_that_arrived_and_then_diverged_did_arrive() -> None:
    table = runs_table({"x": [([1, 2, 3], [0.5, 0.96, 0.1])]}, status="diverged")
    assert (only(table).n_reached, only(table).restricted_mean) == (1, 2)


def test_a_failed_run_is_missing_whatever_was_left_behind() -> None:
    table = arrivals({"x": [2, 4, 6], "y": [3, 3, 3]}, status="ok")
    table.loc[0, "status"] = "failed"
    answer = ask(table)
    x = named(answer, "x")
    assert (x.n, x.n_reached, x.restricted_mean) == (2, 2, 5.0)
    assert answer.pairs[0].n == 2
    assert [step.iteration for step in x.steps] == [0, 4, 6]


def test_a_treatment_whose_runs_all_failed_stays_in_the_list() -> None:
    table = arrivals({"x": [2, 4, 6], "y": [3, 3, 3]}, status=["ok"] * 3 + ["failed"] * 3)
    answer = ask(table)
    y = answer.treatments[-1]
    assert (y.name, y.n, y.n_reached, y.reach_rate, y.restricted_mean) == ("y", 0, 0, None, None)
    assert steps(y) == [(0, 1.0)]
    assert (answer.pairs[0].verdict, answer.logrank[0].pvalue) == ("not testable", None)


# --- the curve and the restricted mean ---------------------------------------------------------

times = st.lists(st.one_of(st.integers(1, BUDGET), st.just(NEVER)), min_size=1, max_size=12)


def censored(column: Sequence[float]) -> stats.CensoredData:
    arrived = [float(t) for t in column if t < NEVER]
    return stats.CensoredData(arrived, right=[float(BUDGET)] * (len(column) - len(arrived)))


@given(times)
def test_the_curve_equals_scipys_kaplan_meier(column: list[float]) -> None:
    x = only(arrivals({"x": column}))
    oracle = stats.ecdf(censored(column)).sf
    assert steps(x)[0] == (0, 1.0)
    for iteration in range(BUDGET + 1):
        waiting = [share for at, share in steps(x) if at <= iteration][-1]
        assert waiting == pytest.approx(float(oracle.evaluate(iteration)), abs=1e-12)
        assert waiting == np.mean([t > iteration for t in column])
    falls = [share for _, share in steps(x)]
    assert falls == sorted(set(falls), reverse=True)  # no step that does not fall


@given(times)
def test_the_restricted_mean_is_the_area_under_the_curve(column: list[float]) -> None:
    x = only(arrivals({"x": column}))
    ends = [*(at for at, _ in steps(x)[1:]), BUDGET]
    area = sum(share * (end - at) for (at, share), end in zip(steps(x), ends, strict=True))
    assert x.restricted_mean == pytest.approx(area)
    assert x.restricted_mean == pytest.approx(np.minimum(column, BUDGET).mean())
    assert x.reach_rate == np.isfinite(column).mean()
    assert x.steps[-1].waiting_share == pytest.approx(1 - x.reach_rate)


@pytest.mark.parametrize(
    ("iterations", "accuracies", "bracket"),
    [
        ([2, 4, 6], [0.90, 0.96, 0.97], (2, 4)),
        ([2, 4, 6], [0.96, 0.20, 0.97], (0, 2)),
        ([2, 4, 6], [0.90, None, 0.96], (2, 6)),
        ([2, 4, 6], [None, math.nan, 0.96], (0, 6)),
        ([0, 4], [0.96, 0.97], (0, 0)),
        ([2, 4, 6], [0.1, 0.2, 0.3], (BUDGET, BUDGET)),
        ([12], [0.99], (BUDGET, BUDGET)),
    ],
    ids=["second", "first", "unknown between", "unknown before", "at once", "never", "too late"],
)
def test_bracket_by_hand(
    iterations: list[int], accuracies: list[float | None], bracket: tuple[int, int]
) -> None:
    one = only(runs_table({"x": [(iterations, accuracies)]}))
    assert (one.lower_mean, one.restricted_mean) == bracket


def coarse(at: float, step: int = 2) -> tuple[list[int], list[float]]:
    """Return a run that passes the target at this iteration, evaluated every `step` iterations."""
    every = list(range(step, BUDGET + 1, step))
    return every, [0.96 if i >= at else 0.5 for i in every]


@given(times)
def test_the_early_curve_equals_scipys_kaplan_meier_of_the_lower_ends(column: list[float]) -> None:
    x = only(runs_table({"x": [coarse(at) for at in column]}))
    lower = [NEVER if t == NEVER else 2 * math.ceil(t / 2) - 2 for t in column]
    oracle = stats.ecdf(censored(lower)).sf
    for iteration in range(BUDGET + 1):
        waiting = [s.waiting_share for s in x.early_steps if s.iteration <= iteration][-1]
        assert waiting == pytest.approx(float(oracle.evaluate(iteration)), abs=1e-12)
    assert x.lower_mean == pytest.approx(np.minimum(lower, BUDGET).mean())


def t_limits(values: Sequence[float], alpha: float) -> tuple[float, float]:
    error = stats.sem(values)
    low, high = stats.t.interval(1 - alpha, len(values) - 1, np.mean(values), error or 1e-300)
    return float(low), float(high)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize(
    ("column", "guards"),
    [([3, 4, 4, 5, 7], (0, 10)), ([5, 6, 5, 6], (2, 8)), ([9, NEVER, NEVER], (6, 10))],
    ids=["spread", "one bracket", "censored"],
)
def test_the_interval_reaches_over_both_ends_of_the_brackets(
    column: list[float], guards: tuple[float, float], alpha: float
) -> None:
    """It is that of scipy with one more run in the bracket before and after."""
    x = only(runs_table({"x": [coarse(at) for at in column]}), alpha=alpha)
    lower = [BUDGET if t == NEVER else 2 * math.ceil(t / 2) - 2 for t in column]
    upper = [BUDGET if t == NEVER else 2 * math.ceil(t / 2) for t in column]
    low, _ = t_limits([*lower, guards[0]], alpha)
    _, high = t_limits([*upper, guards[1]], alpha)
    assert (x.ci_low, x.ci_high) == pytest.approx((max(0.0, low), min(BUDGET, high)))
    assert x.ci_low < x.lower_mean <= x.restricted_mean <= x.ci_high


def test_runs_in_one_bracket_do_not_give_an_interval_of_width_0() -> None:
    """adam 1500 [1500, 1500] said that the time was known exactly."""
    x = only(runs_table({"x": [coarse(at=6)] * 20}))
    assert (x.lower_mean, x.restricted_mean) == (4, 6)
    assert x.ci_low < 4 < 6 < x.ci_high < 7
    assert only(runs_table({"x": [coarse(at=6)]})).ci_low is None


def test_the_resolution_is_the_widest_gap_between_evaluations() -> None:
    assert ask(runs_table({"x": [coarse(4)], "y": [coarse(4, step=5)]})).resolution == 5
    assert ask(arrivals({"x": [4]})).resolution == 1


# --- log-rank --------------------------------------------------------------------------------

GROUPS = {
    "clearly apart": ([1, 2, 2, 3, 4, 3], [7, 8, 9, 7, NEVER, NEVER]),
    "much the same": ([3, 5, 7, NEVER], [4, 5, 6, 8]),
    "one group never arrives": ([3, 5, 7, 6], [NEVER] * 4),
    "ties": ([5, 5, 5, NEVER], [5, 5, NEVER, NEVER]),
    "with the last update": ([10, 10, 3], [10, NEVER, NEVER]),
}


@pytest.mark.parametrize("name", GROUPS)
def test_logrank_equals_scipy(name: str) -> None:
    x, y = GROUPS[name]
    (logrank,) = ask(arrivals({"x": x, "y": y})).logrank
    assert logrank.pvalue == pytest.approx(stats.logrank(censored(x), censored(y)).pvalue)
    (mirrored,) = ask(arrivals({"x": y, "y": x})).logrank
    assert mirrored.pvalue == pytest.approx(logrank.pvalue)


def test_logrank_by_hand() -> None:
    """Two runs each; at iteration 1 one of the two x among four, at 2 the other among three."""
    (logrank,) = ask(arrivals({"x": [1, 2], "y": [NEVER, NEVER]})).logrank
    observed, expected = 2, 2 / 4 + 1 / 3
    variance = (2 / 4) * (2 / 4) + (1 / 3) * (2 / 3)
    z = (observed - expected) / math.sqrt(variance)
    assert logrank.pvalue == pytest.approx(2 * stats.norm.sf(z))


def test_logrank_ignores_the_pairing_and_the_pairs_do_not() -> None:
    x, y = [1, 3, 5, 7, 9, 10], [2, 4, 6, 8, 10, NEVER]
    here, there = ask(arrivals({"x": x, "y": y})), ask(arrivals({"x": x, "y": y[::-1]}))
    assert here.logrank == there.logrank
    assert here.pairs[0].pvalue < there.pairs[0].pvalue


def test_logrank_of_a_constant_tie_is_undefined_or_one() -> None:
    (logrank,) = ask(arrivals({"x": [5, 5], "y": [5, 5]})).logrank
    assert logrank.pvalue in (None, 1.0)


# --- the secondary family ----------------------------------------------------------------------

FAMILY = {
    "a": [1, 2, 1, 3, 2, 1, 2, 1],
    "b": [4, 5, 5, 4, 6, 4, 5, 6],
    "c": [5, 4, 6, 5, 5, NEVER, 4, 7],
    "d": [NEVER, 9, 10, NEVER, 8, NEVER, None, 9],
}


def restricted_times(columns: Mapping[str, Sequence[float | None]]) -> pd.DataFrame:
    rows = [
        (name, seed, math.nan if at is None else min(at, BUDGET))
        for name, column in columns.items()
        for seed, at in enumerate(column)
    ]
    return pd.DataFrame(rows, columns=["optimizer", "seed", "time"])


def without_intervals(pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    """Return the pairs without the intervals of rounded times, which cover too rarely."""
    ends = ("ci_low", "ci_high", "simultaneous_ci_low", "simultaneous_ci_high")
    return tuple(replace(pair, **dict.fromkeys(ends), remarks=()) for pair in pairs)


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_pairs_are_those_of_a_table_of_restricted_times(alpha: float) -> None:
    answer = ask(arrivals(FAMILY), alpha=alpha)
    oracle = compare(
        restricted_times(FAMILY), value="time", direction="lower", margin=None, alpha=alpha
    )
    assert answer.pairs == without_intervals(oracle.pairs)
    assert len(answer.pairs) == 6
    described = [(t.name, t.n, t.mean) for t in oracle.treatments]
    assert described == [(t.name, t.n, t.restricted_mean) for t in answer.treatments]
    assert [(p.a, p.b) for p in answer.logrank] == [(p.a, p.b) for p in answer.pairs]


@given(
    st.integers(3, 6).flatmap(
        lambda n: st.lists(
            st.lists(
                st.one_of(st.none(), st.integers(1, BUDGET), st.just(NEVER)),
                min_size=n,
                max_size=n,
            ).filter(lambda column: any(at is not None for at in column)),
            min_size=2,
            max_size=3,
        )
    )
)
def test_any_times_give_the_pairs_of_a_table_of_times(columns: list[list[float | None]]) -> None:
    by_name = {f"o{i}": column for i, column in enumerate(columns)}
    oracle = compare(restricted_times(by_name), value="time", direction="lower", margin=None)
    assert ask(arrivals(by_name)).pairs == without_intervals(oracle.pairs)


def test_better_is_sooner_and_the_difference_counts_iterations() -> None:
    answer = ask(arrivals({"late": [9] * 6, "soon": [2, 3, 2, 3, 2, 3]}))
    (pair,) = answer.pairs
    assert (pair.a, pair.verdict, pair.b) == ("soon", "better", "late")
    assert (pair.mean_difference, pair.win_rate, pair.pvalue) == (-6.5, 1.0, 2 / 2**6)
    assert pair.pvalue_equivalence is None


def test_it_is_a_family_of_its_own() -> None:
    """The p-values of the times are adjusted in their own family."""
    table = arrivals(FAMILY)
    noise = np.random.default_rng(0).random(len(table))
    other = table.assign(test_accuracy=noise)
    assert ask(other) == ask(table)
    assert compare(other).pairs != compare(table).pairs


def test_verdicts_are_at_the_level_of_the_look() -> None:
    table = arrivals({"soon": [2, 3, 2, 3, 2, 3], "late": [9] * 6})
    looks = look_levels([(3, None), (6, None)], 0.05, planned=2)
    (pair,) = ask(table, looks=looks).pairs
    assert (pair.pvalue_holm, pair.verdict) == (2 / 2**6, "inconclusive")
    assert ask(table).pairs[0].verdict == "better"


@pytest.mark.parametrize("value", ["test_loss", "train_seconds"])
def test_it_does_not_depend_on_the_primary_metric(value: str) -> None:
    table = arrivals(FAMILY, test_loss=0.1, train_seconds=1.0)
    assert ask(table, value=value) == ask(table)


def test_neither_rows_nor_seeds_nor_the_index_matter() -> None:
    table = arrivals(FAMILY)
    assert ask(table.sample(frac=1, random_state=3)) == ask(table)
    assert ask(table.assign(seed=100 - table["seed"])) == ask(table)
    assert ask(table.set_index(np.zeros(len(table), dtype=int))) == ask(table)


# --- budgets ---------------------------------------------------------------------------------


def test_without_a_budget_it_is_the_last_evaluation_of_any_run() -> None:
    table = runs_table({"x": [([3, 6], [0.1, 0.2]), ([3, 8], [0.1, 0.96])]})
    answer = ask(table.drop(columns="iterations"))
    assert (answer.budget, answer.treatments[0].restricted_mean) == (8, 8.0)


def test_a_budget_may_be_missing_in_some_rows() -> None:
    assert ask(arrivals({"x": [2, 4]}, iterations=[BUDGET, None])).budget == BUDGET


def test_two_budgets_are_refused() -> None:
    message = (
        "runs must have one budget for the time to the target, got 10 and 20 in column 'iterations'"
    )
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        compare(arrivals({"x": [2, 4], "y": [3, 3]}, iterations=[10, 10, 20, 10]))


def test_the_budget_of_a_failed_run_does_not_count() -> None:
    table = arrivals({"x": [2, 4]}, iterations=[10, 99], status=["ok", "failed"])
    assert ask(table).budget == 10


# --- lists that do not fit ---------------------------------------------------------------------

MALFORMED = {
    "one accuracy too few": ([1, 2, 3], [0.1, 0.2]),
    "one accuracy too many": ([1, 2], [0.1, 0.2, 0.96]),
    "no accuracy": ([1, 2], []),
    "text": ([1, 2], [0.1, "high"]),
    "text for an iteration": (["one", 2], [0.1, 0.2]),
    "descending": ([2, 1], [0.1, 0.2]),
    "twice the same": ([1, 1], [0.1, 0.2]),
    "ragged": ([1, 2], [[0.1], [0.2, 0.3]]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_lists_get_one_clear_line(name: str) -> None:
    table = runs_table({"x": [arriving(2), arriving(3)], "y": [MALFORMED[name], arriving(3)]})
    message = (
        "columns 'eval_iterations' and 'eval_test_accuracy' must hold lists of numbers of one "
        "length, the first ascending: they do not in "
    )
    with pytest.raises(TableError, match=f"^{re.escape(message)}row 3$"):
        compare(table)
    files = [f"runs/{x}.parquet" for x in "pqrs"]
    with pytest.raises(TableError, match=re.escape(f"{message}runs/r.parquet")):
        compare(table.assign(run_file=files))
    with pytest.raises(TableError, match=re.escape(f"{message}row 3 of all.parquet")):
        compare(table.assign(run_file="all.parquet"))


def test_the_lists_of_a_failed_run_are_not_looked_at() -> None:
    table = runs_table({"x": [([1, 2], [0.1]), arriving(3)]}, status=["failed", "ok"])
    assert only(table).n == 1


# --- none ------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["eval_iterations", "eval_test_accuracy"])
def test_without_evaluations_there_is_no_answer(missing: str) -> None:
    assert compare(arrivals({"x": [2], "y": [3]}).drop(columns=missing)).time_to_target is None


@pytest.mark.parametrize("empty", [None, math.nan, "[1, 2]"])
def test_columns_without_any_list_are_no_evaluations(empty: object) -> None:
    table = arrivals({"x": [2], "y": [3]}, eval_iterations=empty, eval_test_accuracy=empty)
    assert compare(table).time_to_target is None


def test_one_treatment_has_times_but_no_pairs() -> None:
    answer = ask(arrivals({"x": [2, 4]}))
    assert (answer.pairs, answer.logrank) == ((), ())


def test_one_seed_has_times_but_no_verdict() -> None:
    answer = ask(arrivals({"x": [2], "y": [7]}))
    (pair,) = answer.pairs
    assert (pair.verdict, pair.pvalue, pair.mean_difference) == ("not testable", None, -5.0)
    assert {t.ci_low for t in answer.treatments} == {None}


def test_a_run_without_evaluations_is_missing_unless_it_diverged() -> None:
    table = runs_table({"x": [([2, 4], [0.9, 0.96])] * 2, "y": [([2, 4], [0.96, 0.97])] * 2})
    for nothing in (None, []):
        lists = [[2, 4], nothing, [2, 4], [2, 4]]
        bare = table.assign(eval_iterations=lists, eval_test_accuracy=[[0.9, 0.96], nothing] * 2)
        bare["eval_test_accuracy"] = [[0.9, 0.96], nothing, [0.96, 0.97], [0.96, 0.97]]
        assert named(ask(bare), "x").n == 1
        diverged = named(ask(bare.assign(status=["ok", "diverged", "ok", "ok"])), "x")
        assert (diverged.n, diverged.n_reached, diverged.restricted_mean) == (
            2,
            1,
            (4 + BUDGET) / 2,
        )
    nowhere = table.assign(eval_iterations=None, eval_test_accuracy=None)
    assert compare(nowhere).time_to_target is None


def test_accuracies_in_per_cent_meet_the_target_in_per_cent() -> None:
    fractions = runs_table({"x": [([2, 4], [0.9, 0.96])], "y": [([2, 4], [0.5, 0.6])]})
    in_per_cent = fractions.assign(
        test_accuracy=fractions["test_accuracy"] * 100,
        eval_test_accuracy=[[90.0, 96.0], [50.0, 60.0]],
    )
    assert ask(in_per_cent).treatments == ask(fractions).treatments


@pytest.mark.parametrize("iterations", [[2, None], [[2, 4]], [2, math.inf], [-1, 4]])
def test_iterations_that_are_no_list_of_numbers_are_refused(iterations: list[Any]) -> None:
    table = runs_table({"x": [([2, 4], [0.9, 0.96])], "y": [([2, 4], [0.5, 0.6])]})
    table = table.assign(eval_iterations=[iterations, [2, 4]])
    with pytest.raises(TableError, match=r"the first ascending: they do not in row 1$"):
        compare(table)


def test_a_target_that_is_met_at_the_start_has_one_step_there() -> None:
    one = only(runs_table({"x": [([0, 4], [0.96, 0.97])]}))
    assert [(s.iteration, s.waiting_share) for s in one.steps] == [(0, 0.0)]


def regimes(batch_sizes: Mapping[str, int], budgets: Mapping[str, int]) -> pd.DataFrame:
    table = arrivals(dict.fromkeys(batch_sizes, (3, 4, NEVER, 5)))
    return table.assign(
        batch_size=table["optimizer"].map(batch_sizes), iterations=table["optimizer"].map(budgets)
    )


def test_variants_with_batch_sizes_of_their_own_are_timed_in_images() -> None:
    answer = ask(regimes({"one": 1, "many": 10}, {"one": 100, "many": 10}))
    assert (answer.unit, answer.budget) == ("images", 100)
    assert named(answer, "one").restricted_mean == (3 + 4 + 100 + 5) / 4
    assert named(answer, "many").restricted_mean == (30 + 40 + 100 + 50) / 4


def test_whole_updates_may_be_a_few_images_more() -> None:
    answer = ask(regimes({"one": 1, "many": 11}, {"one": 108, "many": 10}))
    assert (answer.unit, answer.budget) == ("images", 108)


def test_with_as_many_updates_they_are_timed_in_updates() -> None:
    answer = ask(regimes({"one": 1, "many": 10}, {"one": 10, "many": 10}))
    assert (answer.unit, answer.budget) == ("updates", 10)


def test_without_a_common_budget_there_is_no_time_to_the_target() -> None:
    table = regimes({"one": 1, "many": 10}, {"one": 10, "many": 11})
    assert compare(table).time_to_target is None


def test_arriving_with_the_last_update_is_arriving_though_a_few_images_later() -> None:
    table = arrivals({"one": (10, 10, 10), "many": (10, 10, 10)})
    batch = {"one": 100, "many": 105}
    answer = ask(table.assign(batch_size=table["optimizer"].map(batch), iterations=10), target=0.95)
    assert answer.unit == "updates"
    uneven = table.assign(
        batch_size=table["optimizer"].map(batch),
        iterations=table["optimizer"].map({"one": 11, "many": 10}),
    )
    answer = ask(uneven, target=0.95)
    assert (answer.unit, answer.budget) == ("images", 1050)
    assert [t.n_reached for t in answer.treatments] == [3, 3]


def test_a_missing_batch_size_leaves_the_time_to_the_target_out() -> None:
    table = regimes({"one": 1, "many": 10}, {"one": 100, "many": 10})
    table["batch_size"] = table["batch_size"].astype(float).where(table.index != 0)
    assert compare(table).time_to_target is None
