"""Tests of the comparison of two sweeps: pairing, tests, verdicts, times, facts, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _change_tables import AFTER, BASE, TOTAL, N, noisy, sweep_of
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis import Change, SweepChange, compare, compare_sweeps, to_json
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.student import Moments
from bench.analysis.stats.welch import MeanDifference
from bench.errors import MixedRunsError, SpecError, TableError
from bench.report.text.pairs import flip

#: Columns with which runs of the same seed are not paired.
OTHER_WEIGHTS = {"initial_weights_sha256": "other"}


def one(found: SweepChange) -> Change:
    (only,) = found.changes
    return only


def named(found: SweepChange, name: str) -> Change:
    return next(c for c in found.changes if c.optimizer == name)


# --- paired: as two treatments of one sweep --------------------------------------------------

FAMILY = dict.fromkeys(AFTER, BASE)


def oracle(name: str, alpha: float = 0.05) -> Any:
    """Return the pair (after, before) of bench.analysis.compare, with the sweeps as treatments."""
    sides = {"after": AFTER[name], "before": BASE}
    table = sweep_of(sides).rename(columns={"optimizer": "sweep"})
    (pair,) = compare(table, treatment="sweep", alpha=alpha, margin=0.002).pairs
    return pair if pair.a == "after" else flip(pair)


@pytest.mark.parametrize("name", AFTER)
def test_one_optimizer_equals_a_pair_of_treatments(name: str) -> None:
    found = one(compare_sweeps(sweep_of({"x": BASE}), sweep_of({"x": AFTER[name]})))
    expected = oracle(name)
    assert (found.is_paired, found.n, found.verdict) == (True, N, name)
    for attribute in (
        *("n", "mean_difference", "ci_low", "ci_high", "simultaneous_ci_low"),
        *("simultaneous_ci_high", "pvalue", "pvalue_holm", "pvalue_equivalence"),
        *("pvalue_equivalence_holm", "verdict"),
    ):
        assert getattr(found, attribute) == getattr(expected, attribute), attribute
    assert found.mean_before == pytest.approx(np.mean(BASE) / TOTAL)
    assert found.mean_after == pytest.approx(np.mean(AFTER[name]) / TOTAL)


def test_the_family_is_the_optimizers() -> None:
    changes = compare_sweeps(sweep_of(FAMILY), sweep_of(AFTER)).changes
    single = [oracle(c.optimizer) for c in changes]
    assert [c.optimizer for c in changes] == sorted(AFTER)
    assert [c.verdict for c in changes] == sorted(AFTER)
    assert [c.pvalue_holm for c in changes] == list(holm([p.pvalue for p in single]))
    assert [c.pvalue_equivalence_holm for c in changes] == list(
        holm([p.pvalue_equivalence for p in single])
    )
    for c in changes:
        wide = oracle(c.optimizer, alpha=0.05 / len(changes))
        assert (c.simultaneous_ci_low, c.simultaneous_ci_high) == (wide.ci_low, wide.ci_high)


def test_only_the_adjusted_p_decides() -> None:
    """Six of six better seeds are significant for one optimizer, but not among four."""
    after = [9750 + i for i in range(6)]
    alone = one(compare_sweeps(sweep_of({"x": [9700] * 6}), sweep_of({"x": after})))
    more = {name: noisy(9700, 6, 1) for name in "abc"}
    among = compare_sweeps(
        sweep_of({"x": [9700] * 6, **more}),
        sweep_of({"x": after, **{name: noisy(9700, 6, i) for i, name in enumerate("abc", 5)}}),
    )
    assert (alone.pvalue, alone.verdict) == (1 / 32, "better")
    assert (named(among, "x").pvalue_holm, named(among, "x").verdict) == (4 / 32, "inconclusive")


def test_equal_gaps_of_counts_stay_equal() -> None:
    """As floats 0.9812 - 0.9810 and 0.9805 - 0.9803 differ; as counts they cancel."""
    found = one(
        compare_sweeps(sweep_of({"x": [9810, 9805, 9801]}), sweep_of({"x": [9812, 9803, 9801]}))
    )
    assert (found.mean_difference, found.pvalue) == (0.0, 1.0)


def test_counts_are_exact_at_any_number_of_seeds() -> None:
    """From 23 seeds on, values that are not counts are tested with random sign patterns."""
    before, after = noisy(9700, 60, 1), noisy(9705, 60, 2)
    found = one(compare_sweeps(sweep_of({"x": before}), sweep_of({"x": after})))
    assert found.pvalue == sign_flip_pvalue(np.array(after) - before)


@pytest.mark.parametrize(
    ("n", "verdict"), [(1, "not testable"), (2, "not testable"), (3, "inconclusive")]
)
def test_few_common_seeds(n: int, verdict: str) -> None:
    found = compare_sweeps(sweep_of({"x": BASE[:n]}), sweep_of({"x": AFTER["better"]}))
    change = one(found)
    assert not found.is_unchanged
    assert (change.n_before, change.n_after, change.n, change.verdict) == (n, N, n, verdict)
    assert (change.pvalue is None) == (n == 1)
    assert any("no change can be significant" in w and "needs 6" in w for w in found.warnings)


@pytest.mark.parametrize(("n", "warned"), [(5, True), (6, False)])
def test_seeds_that_are_just_enough(n: int, warned: bool) -> None:
    found = compare_sweeps(sweep_of({"x": BASE[:n]}), sweep_of({"x": AFTER["better"][:n]}))
    assert any("no change can be significant" in w for w in found.warnings) == warned
    assert (one(found).verdict == "better") == (not warned)


def test_without_a_margin_nothing_is_equivalent() -> None:
    sides = sweep_of({"x": BASE}), sweep_of({"x": AFTER["equivalent"]})
    change = one(compare_sweeps(*sides, margin=None))
    assert (change.verdict, change.pvalue_equivalence) == ("inconclusive", None)


# --- independent samples: Welch, against scipy -----------------------------------------------


@pytest.mark.parametrize("name", ["better", "worse", "equivalent", "inconclusive"])
@pytest.mark.parametrize("n", [N, 7])
def test_independent_samples_equal_scipy(name: str, n: int) -> None:
    after = AFTER[name][:n]
    found = compare_sweeps(
        sweep_of({"x": BASE}), sweep_of({"x": after}, **OTHER_WEIGHTS), alpha=0.1
    )
    change = one(found)
    x, y = np.array(after) / TOTAL, np.array(BASE) / TOTAL
    test = stats.ttest_ind(x, y, equal_var=False)
    interval = test.confidence_interval(0.9)
    above = stats.ttest_ind(x + 0.002, y, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(x - 0.002, y, equal_var=False, alternative="less").pvalue
    assert (change.is_paired, change.n_same, found.obstacle) == (False, None, "initial weights")
    assert (change.n_before, change.n_after) == (N, n)
    assert change.mean_difference == pytest.approx(x.mean() - y.mean())
    assert change.pvalue == pytest.approx(test.pvalue)
    assert (change.ci_low, change.ci_high) == pytest.approx((interval.low, interval.high))
    assert change.pvalue_equivalence == pytest.approx(max(above, below))
    if n == N:
        assert change.verdict == name


def test_simultaneous_intervals_of_independent_samples() -> None:
    found = compare_sweeps(sweep_of(FAMILY), sweep_of(AFTER, **OTHER_WEIGHTS))
    x, y = (np.array(counts) / TOTAL for counts in (AFTER["better"], BASE))
    level = 1 - 0.05 / len(AFTER)
    interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval(level)
    change = named(found, "better")
    assert (change.simultaneous_ci_low, change.simultaneous_ci_high) == pytest.approx(
        (interval.low, interval.high)
    )


@pytest.mark.parametrize(
    ("before", "after", "verdict", "p"),
    [
        ([9700] * 3, [9700] * 4, "identical", None),
        ([9700] * 3, [9800] * 4, "inconclusive", None),
        ([9700, 9701], [9800, 9801, 9802], "not testable", 0),
        ([9500, 9700, 9900], [9600, 9700, 9800], "inconclusive", 1),
    ],
)
def test_independent_samples_special_cases(
    before: list[int], after: list[int], verdict: str, p: float | None
) -> None:
    change = one(compare_sweeps(sweep_of({"x": before}), sweep_of({"x": after}, **OTHER_WEIGHTS)))
    assert change.verdict == verdict
    assert change.pvalue == (None if p is None else pytest.approx(p, abs=0.01))


def test_a_gap_of_tiny_spreads_does_not_underflow() -> None:
    a, b = (Moments(n=3, mean=m, std=1e-170) for m in (1e-170, 0.0))
    gap = MeanDifference.of(a, b)
    assert gap.df == pytest.approx(4.0)
    assert gap.pvalue() == pytest.approx(stats.t.sf(math.sqrt(1.5), 4) * 2)


def test_no_common_seed_is_two_independent_samples() -> None:
    after = sweep_of({"x": AFTER["better"]})
    found = compare_sweeps(sweep_of({"x": BASE}), after.assign(seed=after["seed"] + 100))
    assert (found.obstacle, found.parameters.n_blocks) == ("seeds", 0)
    assert (one(found).n, one(found).verdict) == (0, "better")


# --- what pairs ------------------------------------------------------------------------------

OBSTACLES = [
    ("workload", {"network": "other"}),
    ("workload", {"batch_size": 50}),
    ("workload", {"iterations": 60}),
    ("initial weights", OTHER_WEIGHTS),
    ("initial weights", {"initial_weights_sha256": None}),
    ("order of the data", {"data_order_sha256": "other"}),
    (None, {"eval_every": 7, "torch_version": "3", "hyperparameters": '{"lr": 9}'}),
]


@pytest.mark.parametrize(("obstacle", "columns"), OBSTACLES)
def test_what_keeps_seeds_from_being_paired(
    obstacle: str | None, columns: dict[str, object]
) -> None:
    sides = sweep_of({"x": BASE}), sweep_of({"x": AFTER["worse"]}, **columns)
    for before, after in (sides, sides[::-1]):
        found = compare_sweeps(before, after)
        assert found.obstacle == obstacle
        assert found.is_paired == one(found).is_paired == (obstacle is None)
        assert any("not paired" in w for w in found.warnings) == (obstacle is not None)
        assert any("effect of the workload" in w for w in found.warnings) == (
            obstacle == "workload"
        )


def test_missing_hashes_are_not_paired() -> None:
    sides = [sweep_of({"x": BASE}, data_order_sha256=None) for _ in range(2)]
    assert compare_sweeps(*sides).obstacle == "order of the data"


def test_one_seed_with_other_weights_unpairs_all() -> None:
    after = sweep_of({"x": BASE, "y": BASE})
    after.loc[3, "initial_weights_sha256"] = "other"
    found = compare_sweeps(sweep_of({"x": BASE, "y": BASE}), after)
    assert [c.is_paired for c in found.changes] == [False, False]


def test_the_hash_of_a_failed_run_does_not_matter() -> None:
    after = sweep_of({"x": BASE})
    after.loc[3, ["status", "initial_weights_sha256", "test_accuracy"]] = ["failed", None, None]
    found = compare_sweeps(sweep_of({"x": BASE}), after)
    assert found.is_paired
    assert one(found).n == N - 1


# --- exactly the same ------------------------------------------------------------------------


def changed(column: str, value: Any) -> Callable[[pd.DataFrame], None]:
    def change(table: pd.DataFrame) -> None:
        table.loc[2, column] = value

    return change


@pytest.mark.parametrize(
    ("change", "n_same"),
    [
        (changed("train_seconds", 99.0), 5),
        (changed("test_loss", 0.123456789), 4),
        (changed("test_loss", None), 4),
        (changed("status", "diverged"), 4),
    ],
)
def test_runs_that_ended_exactly_alike(change: Callable[[pd.DataFrame], None], n_same: int) -> None:
    after = sweep_of({"x": BASE[:5]})
    change(after)
    found = one(compare_sweeps(sweep_of({"x": BASE[:5]}), after))
    assert (found.n, found.n_same, found.verdict) == (5, n_same, "identical")


def test_a_loss_that_neither_has_is_the_same() -> None:
    sides = [sweep_of({"x": BASE}, test_loss=np.nan, status="diverged") for _ in range(2)]
    found = one(compare_sweeps(*sides))
    assert (found.n_same, found.n_diverged_before, found.n_diverged_after) == (N, N, N)


def test_other_counts_that_cancel_are_not_identical() -> None:
    found = one(
        compare_sweeps(sweep_of({"x": [9700, 9800] * 5}), sweep_of({"x": [9800, 9700] * 5}))
    )
    assert (found.mean_difference, found.n_same, found.verdict) == (0.0, 0, "inconclusive")


# --- runs that failed or are missing ---------------------------------------------------------


def test_failed_runs_are_missing_and_counted() -> None:
    before, after = sweep_of({"x": BASE}), sweep_of({"x": AFTER["better"]})
    for table, rows in ((before, [0, 1]), (after, [1, 2, 3])):
        table.loc[rows, ["status", "test_accuracy"]] = ["failed", None]
    found = compare_sweeps(before, after)
    change = one(found)
    assert (change.n_before, change.n_after, change.n) == (N - 2, N - 3, N - 4)
    assert change.n_newly_failed == 2
    assert change.mean_before == pytest.approx(np.mean(BASE[4:]) / TOTAL)
    assert any(w.startswith("x: 2 runs failed after") for w in found.warnings)


def test_a_run_that_newly_fails_is_a_change() -> None:
    after = sweep_of({"x": BASE})
    assert compare_sweeps(sweep_of({"x": BASE}), after).is_unchanged
    after.loc[0, "status"] = "failed"
    found = compare_sweeps(sweep_of({"x": BASE}), after)
    assert one(found).verdict == "identical"
    assert not found.is_unchanged
    assert compare_sweeps(after, sweep_of({"x": BASE})).is_unchanged


@pytest.mark.parametrize(("loss", "is_unchanged"), [(0.5, True), (0.6, False)])
def test_a_single_run_that_ended_alike_is_no_change(loss: float, is_unchanged: bool) -> None:
    before, after = sweep_of({"x": [9700]}, test_loss=0.5), sweep_of({"x": [9700]}, test_loss=loss)
    found = compare_sweeps(before, after)
    assert (one(found).verdict, found.is_unchanged) == ("not testable", is_unchanged)


def test_an_optimizer_that_fails_throughout_is_not_testable() -> None:
    after = sweep_of({"x": BASE, "y": BASE})
    after.loc[after["optimizer"] == "x", "status"] = "failed"
    found = compare_sweeps(sweep_of({"x": BASE, "y": BASE}), after)
    change = named(found, "x")
    assert (change.n, change.verdict, change.pvalue_holm) == (0, "not testable", None)
    assert (change.mean_after, change.time.ratio) == (None, None)
    assert named(found, "y").pvalue_holm == 1.0
    assert any("Not testable" in w and w.endswith(": x.") for w in found.warnings)


def test_diverged_runs_count_as_measured() -> None:
    after = sweep_of({"x": [980] * N}, status="diverged")
    found = compare_sweeps(sweep_of({"x": BASE}), after)
    assert (one(found).verdict, one(found).n_diverged_after) == ("worse", N)
    assert one(found).time.ratio is None
    assert any("0 runs diverged before and 20 after" in w for w in found.warnings)


def test_optimizers_of_one_sweep_only_are_named() -> None:
    found = compare_sweeps(
        sweep_of({"x": BASE, "b": BASE, "a": BASE}), sweep_of({"x": BASE, "c": BASE})
    )
    assert (found.only_before, found.only_after) == (("a", "b"), ("c",))
    assert [c.optimizer for c in found.changes] == ["x"]
    assert found.warnings[0] == "Missing after, and not compared: a, b."
    assert "Only in the sweep after, and not compared: c." in found.warnings
    assert (found.is_unchanged, found.is_complete) == (True, False)


def test_missing_seeds_are_named_by_optimizer() -> None:
    before = sweep_of({"x": BASE, "y": BASE, "z": BASE})
    after = before[(before["seed"] < 5) | (before["optimizer"] == "z") & (before["seed"] != 7)]
    found = compare_sweeps(before, after)
    assert [c.missing_seeds for c in found.changes] == [tuple(range(5, 20))] * 2 + [(7,)]
    assert found.warnings[0] == (
        "Missing after, and not compared: seeds 5-19 of x, y; seed 7 of z."
    )
    assert (found.is_unchanged, found.is_complete) == (True, False)
    assert compare_sweeps(after, before).is_complete


# --- time ------------------------------------------------------------------------------------


def timed(seconds: dict[str, list[float]], **more: Any) -> pd.DataFrame:
    table = sweep_of({name: [9700] * len(times) for name, times in seconds.items()}, **more)
    return table.assign(train_seconds=[s for times in seconds.values() for s in times])


def test_time_ratio_and_interval_equal_scipy_on_logarithms() -> None:
    rng = np.random.default_rng(1)
    old, new = (np.exp(rng.normal(1, 0.3, 12)) for _ in range(2))
    time = one(compare_sweeps(timed({"x": list(old)}), timed({"x": list(new)}), alpha=0.2)).time
    expected = stats.ttest_1samp(np.log(new / old), 0).confidence_interval(0.8)
    assert (time.n_before, time.n_after) == (12, 12)
    assert time.ratio == pytest.approx(stats.gmean(new / old))
    assert (time.ci_low, time.ci_high) == pytest.approx(tuple(np.exp(expected)))


def test_time_of_independent_samples_is_welchs() -> None:
    rng = np.random.default_rng(1)
    old, new = np.exp(rng.normal(1, 0.3, 12)), np.exp(rng.normal(1, 0.1, 5))
    after = timed({"x": list(new)}, **OTHER_WEIGHTS)
    time = one(compare_sweeps(timed({"x": list(old)}), after)).time
    test = stats.ttest_ind(np.log(new), np.log(old), equal_var=False)
    assert (time.n_before, time.n_after) == (12, 5)
    assert time.ratio == pytest.approx(stats.gmean(new) / stats.gmean(old))
    assert (time.ci_low, time.ci_high) == pytest.approx(tuple(np.exp(test.confidence_interval())))


def test_time_of_all_together_has_the_seed_for_its_unit() -> None:
    """Two optimizers with equal times on each seed give the same interval as one."""
    old = [1.0, 1.0, 1.0]
    new = [1.0, 2.0, 4.0]
    two = compare_sweeps(timed({"x": old, "y": old}), timed({"x": new, "y": new}))
    assert two.time == one(compare_sweeps(timed({"x": old}), timed({"x": new}))).time
    assert two.time.ratio == pytest.approx(2.0)
    assert two.time.n_before == 3


def test_time_of_all_together_needs_whole_seeds() -> None:
    before, after = timed({"x": [1.0] * 3, "y": [8.0] * 3}), timed({"x": [2.0] * 3, "y": [8.0] * 3})
    after.loc[0, "status"] = "diverged"
    found = compare_sweeps(before, after)
    assert (found.time.n_before, found.time.ratio) == (2, pytest.approx(math.sqrt(2)))


def test_without_times_there_is_no_ratio() -> None:
    found = compare_sweeps(timed({"x": [1.0] * 3}), timed({"x": [0.0] * 3}))
    assert (found.time.ratio, found.time.ci_low, one(found).time.n_after) == (None, None, 0)


# --- facts -----------------------------------------------------------------------------------


def test_differing_facts_have_both_values_and_start_with_the_workload() -> None:
    before = sweep_of({"x": BASE}, torch_version="2.8", device="cpu", cores=2)
    after = sweep_of({"x": BASE}, torch_version="2.9", device="cpu", batch_size=50, git_commit="f")
    after.loc[0, "torch_version"] = "2.10"
    found = [
        (f.column, f.optimizer, f.before, f.after) for f in compare_sweeps(before, after).facts
    ]
    assert found == [
        ("batch_size", None, ("100",), ("50",)),
        ("cores", None, ("2",), ()),
        ("torch_version", None, ("2.8",), ("2.10", "2.9")),
        ("git_commit", None, (), ("f",)),
    ]


def test_hyperparameters_that_differ_are_facts_and_a_warning() -> None:
    before = sweep_of({"x": BASE, "y": BASE}, hyperparameters='{"lr": 0.1, "eps": 1e-8}')
    after = sweep_of({"x": BASE, "y": BASE}, hyperparameters='{"lr": 0.1, "eps": 1e-8}')
    after.loc[after["optimizer"] == "y", "hyperparameters"] = '{"lr": 0.3, "betas": [0.9, 0.99]}'
    found = compare_sweeps(before, after)
    assert [(f.column, f.optimizer, f.before, f.after) for f in found.facts] == [
        ("lr", "y", ("0.1",), ("0.3",)),
        ("eps", "y", ("1e-08",), ()),
        ("betas", "y", (), ("(0.9, 0.99)",)),
    ]
    assert any(w.startswith("y is not the same optimizer before and after") for w in found.warnings)


def test_another_class_is_a_fact() -> None:
    after = sweep_of({"x": BASE}, algorithm="mine.X")
    (fact,) = compare_sweeps(sweep_of({"x": BASE}), after).facts
    assert (fact.column, fact.before, fact.after) == ("algorithm", ("torch.optim.x",), ("mine.X",))


def test_equal_sweeps_have_no_facts_and_no_warnings() -> None:
    found = compare_sweeps(sweep_of({"x": BASE}), sweep_of({"x": BASE}))
    assert (found.facts, found.warnings) == ((), ())


@pytest.mark.parametrize(
    ("started", "is_copy"), [("2026-01-01", True), (pd.NaT, False), (None, False)]
)
def test_copied_sweep_gives_a_warning(started: object, is_copy: bool) -> None:
    sides = [sweep_of({"x": BASE}, started_at=pd.Series([started] * N)) for _ in range(2)]
    found = compare_sweeps(*sides)
    assert any("is a copy of the other" in w for w in found.warnings) == is_copy


# --- errors ----------------------------------------------------------------------------------

REFUSED = [
    (MixedRunsError, "the same dataset, got 'mnist' before and 'other'", {"dataset": "other"}),
    (MixedRunsError, "the sweep after has batch_size 1 and 2", {"batch_size": [1, 2] * 10}),
    (TableError, "'x' must have one class", {"algorithm": ["a", "b"] * 10}),
    (TableError, "more than one run for seed 0", {"seed": 0}),
    (TableError, "no value in any of the 20 rows", {"status": "failed"}),
]


def test_no_optimizer_in_common_is_refused() -> None:
    many = {f"o{i}": BASE[:3] for i in range(10)}
    with pytest.raises(TableError, match=r"in common, got x before and o0, .*, o7 and 2 more"):
        compare_sweeps(sweep_of({"x": BASE}), sweep_of(many))


@pytest.mark.parametrize(("error", "message", "columns"), REFUSED)
def test_tables_that_cannot_be_compared(
    error: type[Exception], message: str, columns: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        compare_sweeps(sweep_of({"x": BASE}), sweep_of({"x": BASE}, **columns))


@pytest.mark.parametrize("column", ["test_loss", "data_order_sha256", "iterations", "algorithm"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(TableError, match=f"no column '{column}'"):
        compare_sweeps(sweep_of({"x": BASE}), sweep_of({"x": BASE}).drop(columns=column))


@pytest.mark.parametrize("setting", [{"alpha": 0.0}, {"alpha": 1e-12}, {"margin": -1.0}])
def test_settings_that_are_not_allowed(setting: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=next(iter(setting))):
        compare_sweeps(sweep_of({"x": BASE}), sweep_of({"x": BASE}), **setting)


# --- invariants -----------------------------------------------------------------------------

counts = st.lists(st.integers(9000, 9100), min_size=1, max_size=9)
FLIPPED = {"better": "worse", "worse": "better"}


def negative(x: float | None) -> float | None:
    return None if x is None else -x


@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=3), st.booleans())
def test_swapping_the_sweeps_flips_signs_and_verdicts(
    sides: list[tuple[list[int], list[int]]], is_paired: bool
) -> None:
    columns = {} if is_paired else OTHER_WEIGHTS
    before = sweep_of({f"o{i}": old for i, (old, _) in enumerate(sides)})
    after = sweep_of({f"o{i}": new for i, (_, new) in enumerate(sides)}, **columns)
    there, back = compare_sweeps(before, after), compare_sweeps(after, before)
    for a, b in zip(there.changes, back.changes, strict=True):
        assert a.is_paired == b.is_paired == is_paired
        assert FLIPPED.get(a.verdict, a.verdict) == b.verdict
        assert (a.n_before, a.n_after, a.n, a.n_same) == (b.n_after, b.n_before, b.n, b.n_same)
        for here, other in (
            *((a.mean_difference, negative(b.mean_difference)), (a.mean_before, b.mean_after)),
            *((a.ci_low, negative(b.ci_high)), (a.ci_high, negative(b.ci_low))),
            (a.simultaneous_ci_low, negative(b.simultaneous_ci_high)),
            *((a.pvalue_holm, b.pvalue_holm), (a.pvalue_equivalence, b.pvalue_equivalence)),
        ):
            assert here == (None if other is None else pytest.approx(other, abs=1e-12))


def test_neither_the_order_of_rows_nor_their_index_matters() -> None:
    before, after = sweep_of(FAMILY, device="cpu"), sweep_of(AFTER, device="cuda")
    found = compare_sweeps(before, after)
    mixed = [t.sample(frac=1, random_state=i) for i, t in enumerate((before, after))]
    assert compare_sweeps(*mixed) == found


@pytest.mark.parametrize("kind", [str, float, lambda seed: seed if seed else "zero"])
def test_seeds_pair_by_value_however_they_are_stored(kind: Callable[[int], object]) -> None:
    before, after = sweep_of({"x": BASE}), sweep_of({"x": BASE})
    seeds = pd.Series([kind(seed) for seed in after["seed"]], dtype=object)
    change = one(compare_sweeps(before, after.assign(seed=seeds)))
    expected = N - ("zero" in set(seeds))
    assert (change.n, change.n_same, change.time.n_after) == (expected, expected, expected)


def test_tables_are_not_modified() -> None:
    before, after = sweep_of(FAMILY), sweep_of(AFTER)
    copies = before.copy(), after.copy()
    compare_sweeps(before, after)
    pd.testing.assert_frame_equal(before, copies[0])
    pd.testing.assert_frame_equal(after, copies[1])


def test_names_and_command_are_passed_on_and_json_is_strict() -> None:
    found = compare_sweeps(
        sweep_of({"x": BASE[:1]}), sweep_of({"x": BASE[:1]}), names=("a", "b"), command="c"
    )
    content = json.loads(to_json(found), parse_constant=pytest.fail)
    assert (content["before"], content["after"], content["command"]) == ("a", "b", "c")
    assert content["changes"][0]["ci_low"] is None
    assert content["changes"][0]["time"]["ratio"] == 1.0


def regimes(batch_size: int = 60_000, **more: object) -> pd.DataFrame:
    """Return a sweep of two optimizers with different batch sizes."""
    counts = {"sgd": BASE, "batch-gd": [c - 500 for c in BASE]}
    budgets = {
        "batch_size": lambda t: np.where(t["optimizer"] == "sgd", 100, batch_size),
        "iterations": lambda t: np.where(t["optimizer"] == "sgd", 3000, 5),
    }
    return sweep_of(counts, **{**budgets, **more})


def test_batch_size_per_optimizer_is_one_workload() -> None:
    same = compare_sweeps(regimes(), regimes())
    assert {change.verdict for change in same.changes} == {"identical"}
    assert not any("effect of the workload" in w for w in same.warnings)
    # where it is another one, a seed fixes another order
    other = compare_sweeps(regimes(), regimes(30_000))
    assert any("effect of the workload" in w for w in other.warnings)


def test_one_optimizer_has_one_batch_size() -> None:
    mixed = regimes(batch_size=100)
    mixed.loc[0, "batch_size"] = 50
    name = mixed["optimizer"][0]
    with pytest.raises(
        MixedRunsError, match=f"the sweep after has batch_size 50 and 100 of {name}"
    ):
        compare_sweeps(regimes(), mixed)
