"""Every worked case of tests/reference/published_cases.json that the analysis covers.

The file also holds figures of methods that are not part of the procedure (Nemenyi's critical
difference, Bonferroni-Dunn, Hochberg, Shaffer, Bayes, Welch): they are of later use or deliberately
absent, and are not tested here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from scipy import stats

from bench.analysis import Pair, compare
from bench.analysis.descriptives import count_outliers, describe
from bench.analysis.differences import paired_differences
from bench.analysis.effects import a12, cohen_dz, correlation, hedges_gz, win_rate
from bench.analysis.equivalence import tost_pvalue
from bench.analysis.multiplicity import holm
from bench.analysis.omnibus import block_ranks, friedman_chi2, iman_davenport, omnibus
from bench.analysis.permutation import sign_flip_pvalue
from bench.analysis.student import Moments, t_interval, t_pvalue, t_statistic
from bench.analysis.wilcoxon import wilcoxon_pvalue

REFERENCE = json.loads((Path(__file__).parent / "reference/published_cases.json").read_text())
CASES = {case["name"]: case for case in REFERENCE["cases"]}


def close(expected: object, tolerance: float = 1e-9) -> Any:
    return pytest.approx(expected, abs=tolerance, rel=0)


def test_every_case_of_the_file_is_tested_here() -> None:
    assert set(CASES) == {
        "demsar2006_table6_published_ranks",
        "darwin_maize_fisher1935_signflip",
        "student_sleep_paired",
        "p_adjust_small",
        "descriptives_one_collapsed_seed",
        "degenerate_behaviours",
    }


class TestDemsar:
    case = CASES["demsar2006_table6_published_ranks"]
    printed = np.array(case["data"]["ranks_as_printed"])
    auc = np.array(case["data"]["auc"])
    expected = case["expected"]

    def test_mean_ranks(self) -> None:
        assert self.printed.mean(axis=0) == close(self.expected["mean_ranks"])
        assert self.printed.mean(axis=0) == close(self.case["published"]["mean_ranks"], 0.006)

    def test_the_published_statistics_have_no_tie_correction(self) -> None:
        n, k = self.printed.shape
        chi2 = friedman_chi2(self.printed, correct_ties=False)
        assert chi2 == close(self.expected["chi2_no_tie_correction"])
        assert chi2 == close(self.case["published"]["chi2_F"], 0.006)
        f = iman_davenport(chi2, n, k)
        assert f == close(self.expected["F_iman_davenport"])
        assert f == close(self.case["published"]["F_F"], 0.006)
        assert self.expected["df"] == [k - 1, (k - 1) * (n - 1)]
        assert stats.f.sf(f, *self.expected["df"]) == close(self.expected["p_F"])
        assert stats.chi2.sf(chi2, k - 1) == close(self.expected["p_chi2"])

    def test_ours_is_corrected_for_ties(self) -> None:
        ranks = block_ranks(self.auc, sign=+1)
        result = omnibus(ranks)
        oracle = stats.friedmanchisquare(*self.auc.T)
        assert result is not None
        assert result.chi2 == close(10.95, 0.005)
        assert result.chi2 == close(oracle.statistic)
        assert result.pvalue == close(oracle.pvalue)
        assert result.df == 3
        assert result.n_blocks == 14

    def test_ranks_as_printed_are_ours_but_for_the_tie_that_the_paper_overlooked(self) -> None:
        differs = (block_ranks(self.auc, sign=+1) != self.printed).any(axis=1)
        assert np.array(self.case["data"]["datasets"])[differs].tolist() == ["voting"]

    def test_holm_against_the_control(self) -> None:
        adjusted = holm(list(self.expected["p_vs_C45"].values()))
        assert adjusted == close(tuple(self.expected["holm_vs_control"].values()))

    def test_mean_ranks_reach_the_leaderboard(self) -> None:
        algorithms = self.case["data"]["algorithms"]
        comparison = compare(long_table(dict(zip(algorithms, self.auc.T, strict=True))))
        mean_rank = {t.name: t.mean_rank for t in comparison.treatments}
        expected = block_ranks(self.auc, sign=+1).mean(axis=0)
        assert [mean_rank[a] for a in algorithms] == close(expected.tolist())


class TestDarwin:
    d = np.array(CASES["darwin_maize_fisher1935_signflip"]["data"]["d"], dtype=float)
    expected = CASES["darwin_maize_fisher1935_signflip"]["expected"]
    moments = Moments.of(d)

    def test_student(self) -> None:
        assert self.moments.mean == close(self.expected["mean"])
        assert self.moments.std == close(self.expected["sd"])
        assert self.moments.n - 1 == self.expected["df"]
        assert t_statistic(self.moments, 0.0) == close(self.expected["t"])
        assert t_pvalue(self.moments) == close(self.expected["p_t"])
        interval = t_interval(self.moments, 0.05)
        assert [interval.low, interval.high] == close(self.expected["t_ci95"])

    def test_sign_flip_is_exact_to_the_last_pattern(self) -> None:
        p = sign_flip_pvalue(self.d)
        assert p == self.expected["p_signflip"]
        assert p == self.expected["signflip_count"] / self.expected["signflip_total"]

    def test_wilcoxon(self) -> None:
        assert wilcoxon_pvalue(self.d) == self.expected["p_wilcoxon_exact"]

    def test_effect_sizes(self) -> None:
        assert cohen_dz(self.moments) == close(self.expected["cohen_dz"])
        assert hedges_gz(self.moments) == close(self.expected["hedges_gz"])
        assert win_rate(self.d, +1) == self.expected["sign_test"]["wins"] / 15


class TestSleep:
    case = CASES["student_sleep_paired"]
    x, y = np.array(case["data"]["x"]), np.array(case["data"]["y"])
    expected = case["expected"]
    d = paired_differences(x, y)
    moments = Moments.of(d.values)

    def test_student(self) -> None:
        assert self.moments.mean == close(self.expected["mean_diff"])
        assert t_statistic(self.moments, 0.0) == close(self.expected["t"])
        assert t_pvalue(self.moments) == close(self.expected["p_t"])
        interval = t_interval(self.moments, 0.05)
        assert [interval.low, interval.high] == close(self.expected["t_ci95"])

    def test_permutation_tests(self) -> None:
        assert sign_flip_pvalue(self.d.units, self.d.slack) == self.expected["p_signflip"]
        assert wilcoxon_pvalue(self.d.values) == self.expected["p_wilcoxon_exact_zero_dropped"]

    def test_dropping_the_zero_difference_changes_nothing(self) -> None:
        units = self.d.units[self.d.units != 0]
        assert len(units) == len(self.d.units) - 1
        assert sign_flip_pvalue(units) == sign_flip_pvalue(self.d.units)

    def test_effect_sizes(self) -> None:
        assert cohen_dz(self.moments) == close(self.expected["cohen_dz"])
        assert hedges_gz(self.moments) == close(self.expected["hedges_gz"])
        assert a12(self.x, self.y, +1) == close(self.expected["A12_unpaired"])
        assert win_rate(self.d.values, +1) == close(self.expected["paired_win_rate_x_over_y"])
        assert correlation(self.x, self.y) == close(self.expected["pearson_rho"])

    def test_equivalence(self) -> None:
        p = tost_pvalue(self.moments, -3.0, 0.0)
        assert p == close(self.expected["tost_low_minus3_high_0"])

    def test_the_whole_comparison(self) -> None:
        pair = _only_pair({"x": self.x, "y": self.y}, direction="lower")
        assert (pair.a, pair.b, pair.verdict) == ("x", "y", "better")
        assert pair.pvalue == pair.pvalue_holm == self.expected["p_signflip"]
        assert pair.win_rate == close(1 - self.expected["paired_win_rate_x_over_y"])
        assert pair.a12 == close(1 - self.expected["A12_unpaired"])


class TestAdjustment:
    data = CASES["p_adjust_small"]["data"]
    expected = CASES["p_adjust_small"]["expected"]

    def test_holm(self) -> None:
        assert holm(self.data["p"]) == close(tuple(self.expected["holm"]), 1e-12)
        six = self.data["p_k4_in_pair_order_01_02_03_12_13_23"]
        assert holm(six) == close(tuple(self.expected["holm_k4"]), 1e-12)

    def test_edge_cases(self) -> None:
        edge = self.expected["edge_cases"]
        assert holm([]) == tuple(edge["holm_of_empty"])
        assert holm([0.3]) == tuple(edge["holm_of_single_0_3"])
        assert holm([0.01, None, 0.04]) == (0.02, None, 0.04)


class TestCollapsedSeed:
    accuracy = np.array(CASES["descriptives_one_collapsed_seed"]["data"]["accuracy"])
    expected = CASES["descriptives_one_collapsed_seed"]["expected"]

    @pytest.mark.parametrize(
        "field", ["n", "mean", "std", "median", "q1", "q3", "iqm", "min", "max"]
    )
    def test_statistic(self, field: str) -> None:
        assert getattr(describe("x", self.accuracy), field) == close(self.expected[field])

    def test_derived(self) -> None:
        t = describe("x", self.accuracy)
        assert t.std / t.n**0.5 == close(self.expected["sem"])
        assert t.q3 - t.q1 == close(self.expected["iqr"])
        assert [t.ci_low, t.ci_high] == close(self.expected["t_ci95"])

    def test_the_collapse_is_flagged(self) -> None:
        assert count_outliers(self.accuracy, +1) == 1
        assert count_outliers(-self.accuracy, -1) == 1
        assert count_outliers(self.accuracy, -1) == 0
        warnings = compare(long_table({"x": self.accuracy})).warnings
        assert warnings == (
            "x: 1 of 20 runs lies far below the others (more than three interquartile ranges "
            "below the first quartile); the median and the interquartile mean hide it.",
        )


class TestDegenerate:
    data: ClassVar = {case["id"]: case for case in CASES["degenerate_behaviours"]["data"]["cases"]}
    expected = CASES["degenerate_behaviours"]["expected"]

    def pair(self, name: str) -> Pair:
        return _only_pair({key: self.data[name][key] for key in "xy"})

    def test_every_case_is_tested(self) -> None:
        tests = {name.removeprefix("test_") for name in vars(TestDegenerate)}
        assert set(self.data) == set(self.expected) <= tests

    def test_all_equal(self) -> None:
        pair = self.pair("all_equal")
        assert (pair.pvalue, pair.dz, pair.verdict) == (1.0, None, "identical")
        assert pair.pvalue_t is None

    def test_constant_nonzero_diff(self) -> None:
        pair = self.pair("constant_nonzero_diff")
        assert pair.pvalue == self.expected["constant_nonzero_diff"]["p_signflip"]
        assert (pair.dz, pair.gz, pair.pvalue_t) == (None, None, None)
        assert pair.verdict == "better"

    def test_n1(self) -> None:
        pair = self.pair("n1")
        assert (pair.pvalue, pair.pvalue_holm, pair.ci_low) == (None, None, None)
        assert pair.verdict == self.expected["n1"]["verdict"]
        comparison = compare(long_table({key: self.data["n1"][key] for key in "xy"}))
        assert [(t.std, t.ci_low, t.ci_high) for t in comparison.treatments] == [(None,) * 3] * 2

    def test_n2(self) -> None:
        comparison = compare(long_table({key: self.data["n2"][key] for key in "xy"}))
        (pair,) = comparison.pairs
        assert pair.pvalue == self.expected["n2"]["p_signflip"]
        assert self.expected["n2"]["verdict"].startswith(f"{pair.verdict}:")
        assert "smallest attainable p is 0.5" in comparison.warnings[0]

    def test_n5_all_positive(self) -> None:
        comparison = compare(long_table({key: self.data["n5_all_positive"][key] for key in "xy"}))
        (pair,) = comparison.pairs
        assert pair.pvalue == self.expected["n5_all_positive"]["p_signflip"]
        assert self.expected["n5_all_positive"]["verdict"].startswith(f"{pair.verdict};")
        assert "smallest attainable p is 0.0625" in comparison.warnings[0]
        assert pair.seeds_needed >= 6

    def test_nan_diverged(self) -> None:
        """Without a status the run is missing; as diverged, and never measured, it ranks worst."""
        x, y = (np.array(self.data["nan_diverged"][key], dtype=float) for key in "xy")
        table = long_table({"x": x, "y": y})
        (pair,) = compare(table).pairs
        assert pair.n == self.expected["nan_diverged"]["n_pairs_converged"]
        diverged = table["test_accuracy"].isna()
        comparison = compare(table.assign(status=np.where(diverged, "diverged", "ok")))
        (pair,) = comparison.pairs
        x = next(t for t in comparison.treatments if t.name == "x")
        assert x.n_diverged == self.expected["nan_diverged"]["diverged_x"]
        assert (pair.n, pair.win_rate) == (6, close(1 / 6))
        assert any("mean of the 5 that converged is 98.04 %" in w for w in comparison.warnings)

    def test_missing_seed(self) -> None:
        x, y = self.data["missing_seed"]["x"], self.data["missing_seed"]["y"]
        rows = [(name, int(s), v) for name, d in (("x", x), ("y", y)) for s, v in d.items()]
        table = pd.DataFrame(rows, columns=["optimizer", "seed", "test_accuracy"])
        (pair,) = compare(table).pairs
        assert pair.n == self.expected["missing_seed"]["n_pairs"]
        used = self.expected["missing_seed"]["seeds_used"]
        assert pair.mean_difference == close(np.mean([x[str(s)] - y[str(s)] for s in used]))

    def test_float_tie(self) -> None:
        x, y = (np.array(self.data["float_tie"][key]) for key in "xy")
        assert len(np.unique(x - y)) == 2
        distinct = np.unique(paired_differences(x, y).values)
        assert len(distinct) == self.expected["float_tie"]["n_distinct_differences"]
        pair = self.pair("float_tie")
        assert pair.pvalue == pair.pvalue_wilcoxon == self.expected["float_tie"]["p_signflip"]
        assert pair.dz is None


def _only_pair(columns: dict[str, Any], **options: Any) -> Pair:
    pairs = {(p.a, p.b): p for p in compare(long_table(columns), **options).pairs}
    return pairs["x", "y"] if ("x", "y") in pairs else pytest.fail(f"x is not ahead: {pairs}")
