"""Tests of the comparison: verdicts, degenerate cases, warnings, and invariants."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analysis import Comparison, Pair, compare, look_levels, to_dict, to_json
from bench.analysis import pairs as pairs_module
from bench.analysis import single_seed as single_seed_module
from bench.analysis.stats import permutation
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.power import seeds_needed

TOTAL = 10_000


long = partial(long_table, total=TOTAL)


def pair_of(comparison: Comparison, a: str, b: str) -> Pair:
    return next(p for p in comparison.pairs if {p.a, p.b} == {a, b})


def noisy(mean: int, n: int, seed: int, spread: float = 15.0) -> list[int]:
    rng = np.random.default_rng([seed, n])
    return np.rint(rng.normal(mean, spread, n)).astype(int).tolist()


# --- verdicts --------------------------------------------------------------------------------

BASE = noisy(9700, 20, 0)
SHIFTED = {
    "better": (np.array(BASE) + noisy(60, 20, 1)).tolist(),
    "worse": (np.array(BASE) - noisy(60, 20, 1)).tolist(),
    "equivalent": (np.array(BASE) + noisy(0, 20, 5)).tolist(),
    "inconclusive": (np.array(BASE) + noisy(15, 20, 3, spread=80.0)).tolist(),
    "identical": BASE,
}


@pytest.mark.parametrize("verdict", SHIFTED)
def test_verdicts(verdict: str) -> None:
    pair = compare(long({"x": SHIFTED[verdict], "y": BASE})).pairs[0]
    flipped = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    assert pair.verdict == (verdict if pair.a == "x" else flipped)
    assert (pair.seeds_needed is not None) == (verdict == "inconclusive")


def test_a_lower_loss_is_better() -> None:
    table = long({"x": SHIFTED["better"], "y": BASE}).rename(columns={"test_accuracy": "test_loss"})
    comparison = compare(table, value="test_loss")
    (pair,) = comparison.pairs
    assert [t.name for t in comparison.treatments] == ["y", "x"]
    assert (pair.a, pair.verdict, pair.win_rate) == ("y", "better", 1.0)
    assert pair.mean_difference < 0
    assert pair.a12 > 0.5


def test_a_small_but_certain_difference_is_better_and_lies_inside_the_margin() -> None:
    x = (np.array(BASE) + noisy(5, 20, 1, spread=2.0)).tolist()
    pair = compare(long({"x": x, "y": BASE})).pairs[0]
    assert (pair.a, pair.verdict) == ("x", "better")
    assert -0.002 < pair.simultaneous_ci_low < pair.simultaneous_ci_high < 0.002


def test_without_a_margin_nothing_is_equivalent() -> None:
    pair = compare(long({"x": SHIFTED["equivalent"], "y": BASE}), margin=None).pairs[0]
    assert (pair.verdict, pair.pvalue_equivalence) == ("inconclusive", None)


def test_a_large_p_is_never_called_the_same() -> None:
    """Symmetric differences have p-value 1, which is no evidence of equivalence."""
    pair = compare(long({"x": [9700, 9800] * 10, "y": [9800, 9700] * 10})).pairs[0]
    assert (pair.pvalue, pair.verdict, pair.seeds_needed) == (1.0, "inconclusive", None)


def test_only_the_adjusted_p_decides() -> None:
    """The p-value 1/64 of seven blocks is significant for one pair, but not among ten."""
    x = {"x": [9800 + i for i in range(7)]}
    others = {f"y{i}": [9700 + (3 * i + j) % 7 for j in range(7)] for i in range(4)}
    alone = pair_of(compare(long(x | {"y0": others["y0"]})), "x", "y0")
    among = pair_of(compare(long(x | others)), "x", "y0")
    assert alone.pvalue == among.pvalue == 1 / 64
    assert (alone.verdict, among.verdict) == ("better", "inconclusive")
    assert among.pvalue_holm == 10 / 64


def test_seeds_needed_is_at_the_level_of_the_next_look_and_step() -> None:
    columns = {f"o{i}": noisy(9700 + 3 * i, 20, i, spread=60.0) for i in range(4)}
    every = compare(long(columns)).pairs
    pairs = [p for p in every if p.verdict == "inconclusive"]
    assert len(pairs) > 1
    left = sum(p.pvalue_holm > 0.05 for p in every)
    for p in pairs:
        assert p.seeds_needed == seeds_needed(p.dz, 0.05 / 6 / left, more_than=20) > 20


def test_seeds_needed_exceeds_the_given_seeds() -> None:
    """One of nine seeds is worse: the t test is significant, the sign-flip test is not."""
    lead = [90, 95, 100, 105, 110, 97, 103, 99, -1]
    columns = {f"y{i}": [9700 + (i + j) % 2 for j in range(9)] for i in range(4)}
    comparison = compare(long({"x": [9700 + d for d in lead]} | columns))
    pair = pair_of(comparison, "x", "y0")
    assert (pair.pvalue, pair.verdict, pair.seeds_needed) == (4 / 2**9, "inconclusive", 12)


def test_both_families_are_adjusted_over_all_pairs() -> None:
    columns = {f"o{i}": noisy(9700 + 3 * i, 12, i) for i in range(5)}
    pairs = compare(long(columns)).pairs
    assert [p.pvalue_holm for p in pairs] == list(holm([p.pvalue for p in pairs]))
    assert [p.pvalue_equivalence_holm for p in pairs] == list(
        holm([p.pvalue_equivalence for p in pairs])
    )
    for p in pairs:
        low, high = p.simultaneous_ci_low, p.simultaneous_ci_high
        assert low < p.ci_low < p.mean_difference < p.ci_high < high


def test_test_is_two_sided() -> None:
    """autorank selects a one-sided test after looking at the means."""
    pair = compare(long({"x": [9701, 9702, 9703, 9704, 9705, 9706], "y": [9700] * 6})).pairs[0]
    assert pair.pvalue == 2 / 2**6


def test_the_sensitivity_columns_never_decide() -> None:
    """Cases in which only the t test, or only the sign-flip test, is significant."""
    sure = compare(long({"x": [9750, 9751, 9749, 9752, 9750], "y": [9700] * 5})).pairs[0]
    assert sure.pvalue_t < 1e-5
    assert (sure.pvalue_holm, sure.verdict) == (2 / 2**5, "inconclusive")
    odd = compare(long({"x": [9701] * 7 + [9999], "y": [9700] * 8})).pairs[0]
    assert odd.pvalue_t > 0.3
    assert (odd.pvalue_holm, odd.verdict) == (2 / 2**8, "better")


@pytest.mark.parametrize(
    "name", ["sign_flip_tests", "wilcoxon_pvalues", "t_pvalue", "tost_pvalue", "holm"]
)
def test_error_in_a_test_is_raised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyperf reports a difference as significant if its test raises an exception."""

    def fail(*_: object) -> None:
        raise ArithmeticError(f"{name} failed")

    monkeypatch.setattr(pairs_module, name, fail)
    with pytest.raises(ArithmeticError, match=f"^{name} failed$"):
        compare(long({"x": SHIFTED["better"], "y": BASE}))


def test_without_a_p_value_nothing_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "sign_flip_tests", lambda tests: [None] * len(tests))
    pair = compare(long({"x": SHIFTED["better"], "y": BASE})).pairs[0]
    assert (pair.pvalue, pair.pvalue_holm, pair.verdict) == (None, None, "inconclusive")


# --- degenerate cases ------------------------------------------------------------------------


def test_one_seed() -> None:
    """deep-significance returns a verdict for one run of each."""
    comparison = compare(long({"x": [9800], "y": [9700], "z": [9600]}))
    assert {p.verdict for p in comparison.pairs} == {"not testable"}
    for p in comparison.pairs:
        assert {p.pvalue, p.pvalue_holm, p.pvalue_t, p.pvalue_wilcoxon, p.pvalue_equivalence} == {
            None
        }
        assert {p.ci_low, p.simultaneous_ci_high, p.win_rate_low, p.dz, p.gz} == {None}
        assert p.mean_difference == pytest.approx(0.01 if p.a != "x" or p.b != "z" else 0.02)
    assert {t.std for t in comparison.treatments} == {None}
    assert comparison.warnings == (
        "No pair can be tested: no pair has more than 1 seed in common, and the variation between "
        "runs cannot be estimated from one run; Holm's method over 3 pairs needs 7.",
    )
    assert comparison.power.smallest_pvalue is comparison.power.minimum_detectable_dz is None


def test_too_few_seeds_give_a_warning() -> None:
    columns = {f"o{i}": noisy(9000 + 100 * i, 10, i) for i in range(8)}
    comparison = compare(long(columns))
    assert comparison.power.seeds_to_reject == 11
    assert {p.verdict for p in comparison.pairs} <= {"inconclusive", "equivalent"}
    assert all(p.pvalue is not None and p.seeds_needed >= 11 for p in comparison.pairs)
    assert comparison.warnings[0] == (
        "No difference can be significant with 10 seeds by Holm's correction of the exact test: "
        "the smallest attainable p-value is 0.00195, and Holm's method over 28 pairs needs 11. "
        "What would help: 11 seeds, at most 7 optimizers, or --correction max-t, declared before "
        "the runs (6 seeds)."
    )
    enough = {name: [*column, column[0]] for name, column in columns.items()}
    assert compare(long(enough)).pairs[0].verdict == "better"
    assert not any("No difference" in warning for warning in compare(long(enough)).warnings)


@pytest.mark.parametrize(
    ("looks", "warned"),
    [
        (
            (4, 6),
            [
                "No look can find a difference: the last one has 6 seeds, and Holm's method over 3 "
                "pairs needs at least 7."
            ],
        ),
        ((4, 6, 7), []),
    ],
)
def test_looks_that_are_all_too_small_give_a_warning(
    looks: tuple[int, ...], warned: list[str]
) -> None:
    """A look before the last may be small, and other remedies do not apply to looks."""
    columns = {f"o{i}": noisy(9000 + 100 * i, 6, i) for i in range(3)}
    comparison = compare(long(columns), until_decided=looks)
    assert [w for w in comparison.warnings if "difference" in w] == warned
    assert not any("cannot find any" in r for pair in comparison.pairs for r in pair.remarks)


def test_pairs_without_an_equivalence_test_count_in_the_family_of_a_sequential_comparison() -> None:
    """A diverged run has no equivalence test; verdicts and p-values are those of the last look."""
    columns = {f"o{i}": noisy(9000 + 2 * i, 12, i) for i in range(4)}
    columns["o4"] = [float("inf"), *noisy(5000, 12, 4)[1:]]
    table = long_table(columns).rename(columns={"test_accuracy": "loss"})
    found = compare(table, value="loss", direction="lower", margin=32.0, until_decided=(6, 9, 12))
    assert found.sequential is not None
    at_last_look = {(p.a, p.b): p for p in found.sequential.looks[-1].pairs}
    is_open = {names for names, p in at_last_look.items() if p.is_open}
    assert {(p.a, p.b) for p in found.pairs if p.verdict == "inconclusive"} == is_open
    assert at_last_look
    for pair in found.pairs:
        if (pair.a, pair.b) in at_last_look:
            at_look = at_last_look[pair.a, pair.b]
            assert pair.pvalue_equivalence_holm == at_look.pvalue_equivalence_holm


def test_an_interval_that_contradicts_the_verdict_is_explained() -> None:
    """With ten seeds and 28 pairs, most simultaneous intervals leave out 0 and no pair differs."""
    columns = {f"o{i}": noisy(9000 + 100 * i, 10, i) for i in range(8)}
    comparison = compare(long(columns))
    pair = comparison.pairs[0]
    assert (pair.verdict, pair.simultaneous_ci_low > 0) == ("inconclusive", True)
    assert pair.remarks == (
        "o7 is better on every seed, but 10 seeds cannot reach significance by Holm's correction "
        "of the exact test over 28 pairs; 11 would have, and 13 would at the next look.",
        "The simultaneous interval leaves out 0, but no difference counts as shown. The interval "
        "is Student's, at Bonferroni's level, and assumes normally distributed differences. The "
        "verdict is by Holm's correction of the exact test, which does not. With 10 seeds it "
        "cannot find any difference; it needs 11.",
    )
    assert json.loads(to_json(comparison))["pairs"][0]["remarks"] == list(pair.remarks)
    assert comparison.notes[-1].startswith(
        "The simultaneous interval leaves out 0 without a verdict of a difference for 28 of 28 "
        "pairs (o7 against o6, o7 against o5, o7 against o4, o7 against o3, 24 more). "
    )
    enough = compare(long({name: [*column, column[0]] for name, column in columns.items()}))
    assert {p.remarks for p in enough.pairs} == {()}


PLANNED = look_levels([(5, None)], 0.05, planned=2)


@pytest.mark.parametrize(
    ("n_others", "n", "options", "expected"),
    [
        (
            1,
            4,
            {},
            "4 seeds cannot reach significance by Holm's correction of the exact test over "
            "1 pair; 6 would have, and 8 would at the next look.",
        ),
        (1, 5, {"planned_looks": 2, "looks": PLANNED}, "over 1 pair; 7 would."),
        (7, 4, {"correction": "max-t"}, "over 28 pairs; at least 6 would have, and at least 8 wou"),
        (1, 6, {}, None),
    ],
)
def test_too_few_seeds_are_named_for_a_pair_that_never_changes_sides(
    n_others: int, n: int, options: dict[str, Any], expected: str | None
) -> None:
    far = {f"o{i}": [5000 + 50 * i] * n for i in range(n_others)}
    comparison = compare(long({"best": [9700 + 3 * i for i in range(n)], **far}), **options)
    remark = comparison.pairs[0].remarks[:1]
    assert (expected in remark[0]) if expected else (remark == ())
    assert not remark or remark[0].startswith("best is better on every seed, but ")


def test_a_pair_that_changes_sides_has_no_remark_on_its_seeds() -> None:
    (pair,) = compare(long({"x": [9700, 9710, 9720, 9690], "y": [9000, 9010, 9011, 9691]})).pairs
    assert (pair.verdict, pair.win_rate) == ("inconclusive", 0.75)
    assert not any("on every seed" in remark for remark in pair.remarks)


def test_a_verdict_beside_an_interval_with_zero_is_explained() -> None:
    odd = compare(long({"x": [9701] * 7 + [9999], "y": [9700] * 8}))
    (pair,) = odd.pairs
    assert pair.simultaneous_ci_low < 0 < pair.simultaneous_ci_high
    assert pair.remarks[0].startswith("The simultaneous interval contains 0, but the verdict is ")
    assert (
        "contains 0 beside a verdict of a difference for 1 of 1 pair (x against y)"
        in (odd.notes[-1])
    )


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_all_differences_zero(n: int) -> None:
    comparison = compare(long({"x": noisy(9700, n, 0), "y": noisy(9700, n, 0)}))
    (pair,) = comparison.pairs
    assert (pair.pvalue, pair.verdict, pair.dz) == (1.0, "identical", None)
    assert pair.pvalue_t is pair.pvalue_equivalence is None
    assert (pair.win_rate, pair.a12) == (0.5, 0.5)


@pytest.mark.parametrize("n", [2, 5, 6, 30, 1500])
def test_constant_non_zero_difference(n: int) -> None:
    base = np.array(noisy(9700, n, 0))
    pair = compare(long({"x": (base + 2).tolist(), "y": base.tolist()})).pairs[0]
    assert pair.pvalue == pytest.approx(max(2.0 ** (1 - n), sys.float_info.min), rel=1e-12)
    assert pair.pvalue > 0
    assert pair.dz is pair.gz is pair.pvalue_t is pair.pvalue_equivalence is None
    expected = {2: "not testable", 5: "inconclusive"}.get(n, "better")
    assert pair.verdict == expected
    assert pair.seeds_needed == (8 if n == 5 else None)
    assert pair.ci_low == pair.ci_high == pair.mean_difference == 0.0002


class TestDiverged:
    columns: ClassVar = {"x": [1135, *noisy(9800, 19, 1)], "y": noisy(9700, 20, 2)}

    def table(self) -> pd.DataFrame:
        table = long(self.columns, status="ok", test_loss=0.1)
        table.loc[0, ["status", "test_loss"]] = ["diverged", np.nan]
        return table

    def test_accuracy_is_as_measured_and_the_count_is_shown(self) -> None:
        comparison = compare(self.table())
        x = next(t for t in comparison.treatments if t.name == "x")
        assert (x.n, x.n_diverged, x.n_failed, x.min) == (20, 1, 0, 0.1135)
        assert x.mean == pytest.approx(np.mean(self.columns["x"]) / TOTAL)
        assert comparison.warnings[0] == (
            "x: 1 of 20 runs diverged: the mean of the 19 that converged is "
            f"{np.mean(self.columns['x'][1:]) / TOTAL * 100:.2f} %; the mean of all runs is "
            f"{x.mean * 100:.2f} %."
        )

    def test_its_loss_ranks_worst(self) -> None:
        table = self.table()
        table["test_loss"] = table["test_loss"] + table["seed"] * (table["optimizer"] == "y")
        comparison = compare(table, value="test_loss")
        x = next(t for t in comparison.treatments if t.name == "x")
        assert (x.mean, x.std, x.max) == (None, None, None)
        assert (x.median, x.min) == (0.1, 0.1)
        (pair,) = comparison.pairs
        assert pair.mean_difference is pair.ci_low is pair.dz is pair.statistic is None
        assert pair.pvalue_t is pair.correlation is None
        assert pair.n == 20
        assert (pair.a, pair.b) == ("y", "x")  # without a mean, last
        assert (pair.win_rate, pair.a12) == (1 / 20, pytest.approx((20 + 19 / 2) / 400))
        assert "the mean of all runs is undefined" in comparison.warnings[0]

    def test_a_diverged_loss_outweighs_whatever_the_others_gain(self) -> None:
        table = pd.DataFrame(
            {
                "optimizer": ["x"] * 8 + ["y"] * 8,
                "seed": [*range(8)] * 2,
                "test_loss": [*np.linspace(0.1, 0.2, 7), None] + [90.0] * 7 + [0.3],
                "status": ["ok"] * 7 + ["diverged"] + ["ok"] * 8,
            }
        )
        (pair,) = compare(table, value="test_loss").pairs
        assert (pair.a, pair.verdict) == ("y", "inconclusive")
        assert pair.pvalue == sign_flip_pvalue([*[-1] * 7, 1000])

    def test_all_diverged(self) -> None:
        table = long({"x": [1000] * 8, "y": noisy(9700, 8, 2)}, status="ok", test_loss=0.1)
        table.loc[:7, "status"] = "diverged"
        assert "x: 8 of 8 runs diverged: none converged;" in compare(table).warnings[0]
        (pair,) = compare(table, value="test_loss").pairs
        assert (pair.a, pair.verdict, pair.pvalue) == ("y", "better", 2 / 2**8)


class TestFailed:
    columns: ClassVar = {f"o{i}": noisy(9700 + 40 * i, 20, i) for i in range(3)}

    def table(self) -> pd.DataFrame:
        table = long(self.columns, status="ok")
        columns = ["test_correct", "test_accuracy"]
        table.loc[3, "status"], table.loc[3, columns] = "failed", np.nan
        return table.drop(index=25)

    def test_pairs_use_their_common_seeds_and_friedman_the_complete_blocks(self) -> None:
        comparison = compare(self.table())
        assert {(p.a, p.b): p.n for p in comparison.pairs} == {
            ("o2", "o1"): 19,
            ("o2", "o0"): 19,
            ("o1", "o0"): 18,
        }
        assert comparison.omnibus.n_blocks == 18
        assert [t.n for t in comparison.treatments] == [20, 19, 19]
        assert [t.n_failed for t in comparison.treatments] == [0, 0, 1]
        assert comparison.parameters.n_blocks == 20

    def test_missing_and_failed_runs_give_warnings(self) -> None:
        assert compare(self.table()).warnings == (
            "o1: 1 missing of 20 runs; each of its pairs uses the seeds that both sides have, "
            "and Friedman's test uses the 18 that all have.",
            "o0: 1 failed of 20 runs; each of its pairs uses the seeds that both sides have, "
            "and Friedman's test uses the 18 that all have.",
        )

    def test_a_pair_equals_the_comparison_of_its_common_seeds(self) -> None:
        whole = pair_of(compare(self.table()), "o1", "o0")
        common = self.table().query("seed not in (3, 5) and optimizer != 'o2'")
        alone = pair_of(compare(common), "o1", "o0")
        assert (whole.pvalue, whole.dz, whole.a12) == (alone.pvalue, alone.dz, alone.a12)


def test_an_undefined_p_is_left_out_of_the_family() -> None:
    columns = {f"o{i}": noisy(9700 + 40 * i, 20, i) for i in range(3)} | {"once": [9999]}
    comparison = compare(long(columns))
    tested = [p.pvalue for p in comparison.pairs if "once" not in (p.a, p.b)]
    assert [p.pvalue_holm for p in comparison.pairs if p.pvalue is not None] == list(holm(tested))
    assert {p.verdict for p in comparison.pairs if "once" in (p.a, p.b)} == {"not testable"}
    assert comparison.warnings[0] == (
        "Holm's family has 3 of 6 pairs: the others have too few runs in common for a p-value."
    )


def test_no_common_seed() -> None:
    comparison = compare(long({"x": [9700, 9701, None, None], "y": [None, None, 9800, 9801]}))
    (pair,) = comparison.pairs
    assert (pair.n, pair.verdict) == (0, "not testable")
    assert pair.mean_difference is pair.pvalue is pair.win_rate is pair.a12 is None
    assert "no pair has more than 0 seeds in common" in comparison.warnings[0]
    assert [t.mean_rank for t in comparison.treatments] == [None, None]


def test_an_optimizer_without_any_value_stays_in_the_table() -> None:
    table = long({"x": BASE, "y": SHIFTED["better"], "z": BASE}, status="ok")
    table.loc[table["optimizer"] == "z", "status"] = "failed"
    comparison = compare(table)
    assert [t.name for t in comparison.treatments] == ["y", "x", "z"]
    assert comparison.treatments[-1].mean is None
    assert comparison.omnibus.chi2 is None
    assert pair_of(comparison, "x", "y").verdict == "better"
    assert pair_of(comparison, "x", "z").n == 0


def test_one_optimizer_alone() -> None:
    comparison = compare(long({"x": BASE}))
    assert (comparison.pairs, comparison.omnibus) == ((), None)
    assert (comparison.power.seeds_to_reject, comparison.warnings) == (None, ())
    assert comparison.treatments[0].mean_rank == 1.0


def test_two_optimizers_have_no_omnibus_test() -> None:
    assert compare(long({"x": BASE, "y": SHIFTED["better"]})).omnibus is None


def test_constant_columns_are_pointed_out() -> None:
    comparison = compare(long({"x": [1135] * 20, "y": BASE}))
    assert "x: all 20 runs have the same test_accuracy, 11.35 %." in comparison.warnings
    assert pair_of(comparison, "x", "y").correlation is None


@pytest.mark.parametrize(
    ("last", "margin", "is_outlier"),
    [(9799, 0.002, False), (9780, 0.002, False), (9779, 0.002, True), (1000, None, False)],
)
def test_tied_runs_make_no_outlier_of_one_within_the_margin(
    last: int, margin: float | None, is_outlier: bool
) -> None:
    """Nineteen runs at 0.9800 have no interquartile range: 0.9799 was called an outlier."""
    columns = {"x": [9800] * 19 + [last], "y": noisy(9700, 20, 1)}
    warnings = [w for w in compare(long(columns), margin=margin).warnings if "outlier" in w]
    expected = (
        "x: 1 of 20 runs is an outlier (more than the margin below the first quartile); the median "
        "and the interquartile mean hardly depend on it."
    )
    assert warnings == ([expected] if is_outlier else [])


def test_outliers_are_pointed_out_on_the_bad_side_alone() -> None:
    table = long_table({"x": [0.05, 0.06, *np.linspace(0.97, 0.98, 18)]})
    end = "; the median and the interquartile mean hardly depend on them."
    outliers, collapses = compare(table).warnings
    assert collapses.startswith("x: 2 of 20 runs collapsed")
    assert outliers == (
        "x: 2 of 20 runs are outliers (more than three interquartile ranges below the first "
        f"quartile){end}"
    )
    assert compare(table, direction="lower").warnings == ()
    mirrored = table.assign(test_loss=1 - table["test_accuracy"])
    assert compare(mirrored, value="test_loss").warnings[0] == (
        "x: 2 of 20 runs are outliers (more than three interquartile ranges above the third "
        f"quartile){end}"
    )


@pytest.mark.parametrize(
    ("value", "scale", "printed"),
    [("test_accuracy", 1, "97.05 %"), ("test_accuracy", 100, "97.05"), ("test_loss", 1, "0.9705")],
)
def test_warnings_give_accuracies_in_per_cent_and_others_as_they_are(
    value: str, scale: float, printed: str
) -> None:
    table = pd.DataFrame({"optimizer": "x", "seed": range(3), value: 0.9705 * scale})
    assert compare(table, value=value).warnings == (
        f"x: all 3 runs have the same {value}, {printed}.",
    )


# --- invariants -----------------------------------------------------------------------------

tables = st.integers(3, 7).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(9600, 9640), min_size=n, max_size=n), min_size=2, max_size=4
    )
)
slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow])


def named(columns: list[list[int]]) -> pd.DataFrame:
    return long({f"o{i}": column for i, column in enumerate(columns)})


def test_differences_that_cancel_have_mean_zero_not_almost_zero() -> None:
    table = named([[9600, 9600, 9605, 9634], [9600, 9606, 9631, 9602]])
    plain = table[["optimizer", "seed", "test_accuracy"]]
    for pair in (*compare(table).pairs, *compare(plain).pairs):
        assert pair.mean_difference == 0.0
        assert pair.statistic == 0.0
        assert pair.dz == 0.0


@slow_to_draw
@given(tables, st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(columns: list[list[int]], seed: int) -> None:
    table = named(columns)
    assert compare(table.sample(frac=1, random_state=seed)) == compare(table)


@slow_to_draw
@given(tables)
def test_the_names_of_the_seeds_do_not_matter(columns: list[list[int]]) -> None:
    table = named(columns)
    assert compare(table.assign(seed=1000 - 7 * table["seed"])) == compare(table)
    assert compare(table.assign(seed=[f"s{s}" for s in table["seed"]])) == compare(table)


@slow_to_draw
@given(tables)
def test_the_names_of_the_optimizers_do_not_matter(columns: list[list[int]]) -> None:
    table = named(columns)
    renamed = compare(table.assign(optimizer="other " + table["optimizer"]))
    plain = [
        replace(p, a=p.a[6:], b=p.b[6:], remarks=tuple(r.replace("other ", "") for r in p.remarks))
        for p in renamed.pairs
    ]
    assert plain == list(compare(table).pairs)


SCALE_FREE = [
    "n",
    "pvalue",
    "pvalue_holm",
    "pvalue_wilcoxon",
    "win_rate",
    "win_rate_low",
    "a12",
    "verdict",
    "a",
    "b",
]


@slow_to_draw
@given(tables, st.sampled_from([100, 0.5, 3, 1 / 7]), st.sampled_from([0, 1, -0.25]))
def test_scale_and_shift_do_not_matter(
    columns: list[list[int]], scale: float, shift: float
) -> None:
    """Floats in any unit give the same results as counts."""
    table = named(columns)
    moved = table[["optimizer", "seed"]].assign(score=scale * (table["test_accuracy"] + shift))
    there = compare(moved, value="score", direction="higher", margin=0.002 * scale)
    here = compare(table)
    names = [t.name for t in here.treatments]
    for p in there.pairs:
        q = pair_of(here, p.a, p.b)
        if (q.a, q.b) == (p.a, p.b):  # equal means may swap two optimizers
            assert [getattr(p, f) for f in SCALE_FREE] == [getattr(q, f) for f in SCALE_FREE]
            assert p.mean_difference == pytest.approx(scale * q.mean_difference, abs=1e-12)
            for field in ("dz", "pvalue_equivalence", "correlation"):
                x, y = getattr(p, field), getattr(q, field)
                assert x is y is None or x == pytest.approx(y, rel=1e-6, abs=1e-7)
    assert {t.name for t in there.treatments} == set(names)


@slow_to_draw
@given(tables)
def test_reversing_the_direction_mirrors_everything(columns: list[list[int]]) -> None:
    table = named(columns)
    up, down = compare(table), compare(table, direction="lower")
    mirror = {"better": "worse", "worse": "better"}
    for p in up.pairs:
        q = pair_of(down, p.a, p.b)
        assert (p.pvalue, p.pvalue_holm, p.pvalue_t) == (q.pvalue, q.pvalue_holm, q.pvalue_t)
        sign = 1 if p.a == q.a else -1
        assert p.mean_difference == sign * q.mean_difference
        assert p.win_rate == pytest.approx(q.win_rate if sign < 0 else 1 - q.win_rate)
        assert p.a12 == pytest.approx(q.a12 if sign < 0 else 1 - q.a12)
        assert p.verdict == (q.verdict if sign < 0 else mirror.get(q.verdict, q.verdict))


@slow_to_draw
@given(tables, st.integers(1, 9999))
def test_another_optimizer_does_not_change_a_pair(columns: list[list[int]], other: int) -> None:
    """Post-hoc tests on mean ranks do depend on the pool (Benavoli et al., 2016)."""
    before = compare(named(columns))
    after = compare(named([*columns, [other + i for i in range(len(columns[0]))]]))
    unadjusted = [
        "n",
        "mean_difference",
        "ci_low",
        "pvalue",
        "pvalue_t",
        "pvalue_wilcoxon",
        "dz",
        "win_rate",
        "a12",
    ]
    for p in before.pairs:
        q = pair_of(after, p.a, p.b)
        assert [getattr(p, f) for f in unadjusted] == [getattr(q, f) for f in unadjusted]


@slow_to_draw
@given(tables)
def test_every_pvalue_is_a_pvalue(columns: list[list[int]]) -> None:
    comparison = compare(named(columns))
    k = len(comparison.treatments)
    assert len(comparison.pairs) == k * (k - 1) // 2
    for p in comparison.pairs:
        assert 0 < p.pvalue <= p.pvalue_holm <= 1
        for other in (p.pvalue_t, p.pvalue_wilcoxon, p.pvalue_equivalence):
            assert other is None or 0 < other <= 1
        assert p.mean_difference >= 0
        assert p.win_rate_low <= p.win_rate <= p.win_rate_high
        significant = p.pvalue_holm <= 0.05
        assert (p.verdict in ("better", "worse")) == significant


# --- random draws ------------------------------------------------------------------------------


def drawn() -> pd.DataFrame:
    """Return so many floats that both exact methods are too expensive."""
    rng = np.random.default_rng(2)
    return long_table({"x": rng.random(50), "y": rng.random(50)})


def test_the_seed_of_the_monte_carlo_test_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """rliable ignores its random_state."""
    before = compare(drawn()).pairs[0].pvalue
    assert compare(drawn()).pairs[0].pvalue == before
    monkeypatch.setattr(permutation, "MONTE_CARLO_SEED", permutation.MONTE_CARLO_SEED + 1)
    after = compare(drawn()).pairs[0].pvalue
    assert after != before
    assert after == pytest.approx(before, abs=0.01)


def test_a_monte_carlo_pvalue_says_so() -> None:
    comparison = compare(drawn())
    (pair,) = comparison.pairs
    assert pair.pvalue_draws == permutation.MONTE_CARLO_DRAWS
    error = math.sqrt(pair.pvalue * (1 - pair.pvalue) / permutation.MONTE_CARLO_DRAWS)
    assert pair.pvalue_standard_error == pytest.approx(error)
    assert pair.remarks[0].startswith(
        "The sign-flip p-value is a Monte Carlo estimate from 99,999 random patterns of signs"
    )
    assert comparison.notes[-1].startswith("p-values by Monte Carlo: 1 of 1 pair")
    exact = compare(long({"x": SHIFTED["better"], "y": BASE}))
    assert (exact.pairs[0].pvalue_draws, exact.pairs[0].remarks, exact.notes) == (None, (), ())


def test_numpys_global_generator_is_neither_used_nor_touched() -> None:
    np.random.seed(1)
    before, state = compare(drawn()), str(np.random.get_state())
    np.random.seed(2)
    assert compare(drawn()) == before
    np.random.seed(1)
    assert str(np.random.get_state()) == state


# --- JSON ------------------------------------------------------------------------------------

KEYS = {
    "parameters": "alpha margin direction value treatment block n_blocks k win_threshold "
    "correction",
    "treatments": "name n n_diverged n_failed mean std median q1 q3 iqm min max ci_low ci_high "
    "mean_rank",
    "omnibus": "chi2 df pvalue f_statistic f_pvalue n_blocks",
    "pairs": "a b n mean_difference ci_low ci_high simultaneous_ci_low simultaneous_ci_high "
    "statistic pvalue pvalue_holm pvalue_t pvalue_wilcoxon pvalue_equivalence "
    "pvalue_equivalence_holm dz gz win_rate win_rate_low win_rate_high a12 correlation verdict "
    "seeds_needed seeds_needed_equivalence posterior_below posterior_within posterior_above "
    "a12_low a12_high pvalue_wins pvalue_wins_holm variance_ratio "
    "pvalue_draws pvalue_standard_error pvalue_max_t pvalue_max_t_draws "
    "pvalue_max_t_standard_error earlier_look verdict_of_look",
    "power": "smallest_pvalue seeds_to_reject minimum_detectable_dz next_level variance_ratio",
    "single_seed": "leader n_blocks best_shares pairs curve n_draws",
    "time_to_target": "target data budget treatments pairs logrank unit resolution",
    "scope": "n_examples pairs",
    "collapses": "limit treatments pairs",
    "looks": "look n_blocks level spent at rejected",
    "warnings": "",
}
INNER_KEYS = {
    ("single_seed", "best_shares"): "treatment share share_low share_high",
    ("single_seed", "pairs"): "a b n ahead wrong_share tied_share",
    ("single_seed", "curve"): "n probability",
    ("time_to_target", "treatments"): "name n n_reached reach_rate restricted_mean ci_low ci_high "
    "steps lower_mean early_steps",
    ("time_to_target", "pairs"): KEYS["pairs"],
    ("time_to_target", "logrank"): "a b pvalue",
    ("scope", "pairs"): "a b n crossed_ci_low crossed_ci_high df simultaneous_ci_low "
    "simultaneous_ci_high pvalue_equivalence pvalue_equivalence_holm",
}


def sweep_of(k: int, n: int, seed: int, chance: Callable[[str], float]) -> pd.DataFrame:
    """A table with every column that `compare` uses, and accidents as often as `chance` says."""
    rng = np.random.default_rng(seed)
    n_images, budget = int(rng.choice([1, 7, 8, 40])), int(rng.choice([10, 100]))

    def happens(what: str) -> bool:
        return bool(rng.random() < chance(what))

    def run(optimizer: int, block: int) -> dict[str, Any]:
        bits = rng.integers(0, 2, n_images)
        at = np.sort(rng.choice(budget, rng.integers(0, 4), replace=False)) + 1
        status = "failed" if happens("failed") else "diverged" if happens("diverged") else "ok"
        measured = {
            "test_correct": int(bits.sum()),
            "test_accuracy": bits.sum() / n_images,
            "test_loss": np.nan if status == "diverged" else rng.choice([0.1, 0.2, rng.random()]),
            "correct_bits": None if happens("no bits") else np.packbits(bits).tobytes(),
            "eval_iterations": at.tolist(),
            "eval_test_accuracy": [None if happens("null") else rng.random() for _ in at],
        }
        known = dict.fromkeys(measured) if status == "failed" else measured
        ids = {"optimizer": f"o{optimizer}", "seed": block, "status": status}
        return ids | known | {"test_total": n_images, "iterations": budget}

    runs = [run(i, j) for i in range(k) for j in range(n) if not happens("missing")]
    return pd.DataFrame(runs or [run(0, 0)])


def test_the_json_has_just_these_keys_in_this_order() -> None:
    comparison = compare(sweep_of(3, 6, 0, lambda _: 0.0))
    read = json.loads(to_json(comparison))
    assert list(read)[:2] == ["schema_version", "optimizer_bench"]
    read = {name: read[name] for name in list(read)[2:]}
    assert list(read) == list(KEYS)
    for part, keys in KEYS.items():
        items = read[part] if isinstance(read[part], list) else [read[part]]
        for item in items if part != "warnings" else []:
            assert list(item) == keys.split(), part
    for (part, inner), keys in INNER_KEYS.items():
        assert read[part][inner]
        for item in read[part][inner]:
            assert list(item) == keys.split(), (part, inner)
    (step, *_) = read["time_to_target"]["treatments"][0]["steps"]
    assert list(step) == ["iteration", "waiting_share"]
    assert (len(read["treatments"]), len(read["pairs"]), len(read["looks"])) == (3, 3, 1)
    assert read == to_dict(comparison)


def test_what_a_table_cannot_tell_is_null_in_the_json() -> None:
    read = json.loads(to_json(compare(long({"x": BASE, "y": SHIFTED["better"]}))))
    assert list(read)[2:] == list(KEYS)
    assert {part for part, value in read.items() if value is None} == {
        "omnibus",
        "time_to_target",
        "scope",
    }
    alone = json.loads(to_json(compare(long({"x": [9700]}))))
    assert alone["single_seed"] is None
    assert alone["power"] == dict.fromkeys(KEYS["power"].split())
    assert (alone["pairs"], alone["warnings"]) == ([], [])


def test_warnings_are_sentences() -> None:
    read = json.loads(to_json(compare(long({"x": [1135] * 4, "y": [9700, 9701, 9702, 9703]}))))
    assert read["warnings"]
    assert all(isinstance(w, str) and w.endswith(".") for w in read["warnings"])


# --- any table -------------------------------------------------------------------------------

ACCIDENTS = {"failed": 0.15, "diverged": 0.15, "no bits": 0.1, "null": 0.1, "missing": 0.15}


@given(
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["test_accuracy", "test_loss"]),
    st.sampled_from([1, 2, None]),
)
def test_any_table_gives_strict_and_consistent_json(
    k: int, n: int, seed: int, value: str, planned: int | None
) -> None:
    """With a warning from numpy or scipy being an error."""
    table = sweep_of(k, n, seed, ACCIDENTS.__getitem__)
    if not (table["status"] == "ok").any():
        table.loc[0, ["status", "test_loss"]] = ["ok", 0.1]
        table.loc[0, ["test_correct", "test_accuracy"]] = [0, 0.0]
        table["correct_bits"] = None
    looks = look_levels([(1, None), (n, None)], 0.05, planned=planned)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_seed_module, "DRAWS", 20)
        comparison = compare(table, value=value, looks=looks)
    json.loads(to_json(comparison), parse_constant=lambda name: pytest.fail(name))
    assert_promises(comparison)


def assert_promises(comparison: Comparison) -> None:
    level, k = comparison.level, comparison.parameters.k
    order = [t.name for t in comparison.treatments]
    assert len(order) == len(set(order)) == k
    families = [comparison.pairs]
    if comparison.time_to_target is not None:
        families.append(comparison.time_to_target.pairs)
    for pairs in families:
        assert len(pairs) == k * (k - 1) // 2
        assert tuple(p.pvalue_holm for p in pairs) == holm([p.pvalue for p in pairs])
        for p in pairs:
            judged = p.verdict in ("better", "worse")
            assert not judged or p.pvalue_holm <= level
            assert p.verdict != "equivalent" or p.pvalue_equivalence_holm <= level
            assert (p.n < 2) == (p.pvalue is None)
            assert p.n > 2 or p.verdict in ("identical", "not testable")
            assert p.seeds_needed is None or p.seeds_needed > p.n
            assert p.dz is None or p.n > 1
    assert [(p.a, p.b) for p in comparison.pairs] == [
        (a, b) for i, a in enumerate(order) for b in order[i + 1 :]
    ]
    if comparison.single_seed is not None:
        assert sum(c.share for c in comparison.single_seed.best_shares) == pytest.approx(1.0)
        assert all(0 <= point.probability <= 1 for point in comparison.single_seed.curve)
    if comparison.scope is not None:
        for p, crossed in zip(comparison.pairs, comparison.scope.pairs, strict=True):
            assert (p.a, p.b) == (crossed.a, crossed.b)
            assert crossed.n <= p.n
