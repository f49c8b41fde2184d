"""Worked cases with published numbers: tests/reference/published_cases.json, papers, and manuals.

The file also holds figures of methods that are not part of the procedure (Bonferroni-Dunn,
Hochberg, Shaffer, Bayes, Welch): they are of later use or deliberately absent, and are not tested
here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from scipy import stats

from bench.analysis import Pair, compare, critical_difference
from bench.analysis.scope import MeanSquares
from bench.analysis.stats.descriptives import count_outliers, describe, interquartile_mean
from bench.analysis.stats.differences import paired_differences
from bench.analysis.stats.effects import (
    a12,
    cohen_dz,
    correlation,
    hedges_gz,
    wilson_interval,
    win_rate,
)
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.omnibus import block_ranks, friedman_chi2, iman_davenport, omnibus
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.power import seeds_needed, t_test_power
from bench.analysis.stats.student import Moments, t_interval, t_pvalue, t_statistic, tost_pvalue
from bench.analysis.stats.wilcoxon import wilcoxon_pvalue

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/published_cases.json").read_text())
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

    def test_nemenyis_critical_difference(self) -> None:
        for alpha, name in ((0.05, "05"), (0.10, "10")):
            cd = critical_difference(4, 14, alpha)
            assert cd == close(self.expected[f"nemenyi_cd_alpha_0_{name}"])
            assert cd == close(self.case["published"][f"CD_{name}"], 0.006)

    @pytest.mark.parametrize(("alpha", "name"), [(0.05, "05"), (0.10, "10")])
    def test_pairs_apart_by_it(self, alpha: float, name: str) -> None:
        ranks = dict(
            zip(self.case["data"]["algorithms"], self.printed.mean(axis=0).tolist(), strict=True)
        )
        apart = {
            frozenset((a, b))
            for a in ranks
            for b in ranks
            if ranks[a] - ranks[b] >= critical_difference(4, 14, alpha)
        }
        assert apart == set(map(frozenset, self.expected[f"significant_pairs_nemenyi_0_{name}"]))

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
        outlier, collapse = compare(long_table({"x": self.accuracy})).warnings
        assert collapse.startswith("x: 1 of 20 runs collapsed")
        assert outlier == (
            "x: 1 of 20 runs is an outlier (more than three interquartile ranges below the first "
            "quartile); the median and the interquartile mean hardly depend on it."
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
        assert "smallest attainable p-value is 0.5" in comparison.warnings[0]

    def test_n5_all_positive(self) -> None:
        comparison = compare(long_table({key: self.data["n5_all_positive"][key] for key in "xy"}))
        (pair,) = comparison.pairs
        assert pair.pvalue == self.expected["n5_all_positive"]["p_signflip"]
        assert self.expected["n5_all_positive"]["verdict"].startswith(f"{pair.verdict};")
        assert "smallest attainable p-value is 0.0625" in comparison.warnings[0]
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


# --- R ---------------------------------------------------------------------------------------


class TestDepression:
    """R's ``?wilcox.test``, from Hollander & Wolfe (1973), 29 f.: V = 40, p-value = 0.01953."""

    first = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    second = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

    def test_wilcoxon(self) -> None:
        d = paired_differences(self.first, self.second).values
        assert stats.rankdata(np.abs(d))[d > 0].sum() == 40
        assert wilcoxon_pvalue(d) == close(2 * 0.01953, 1e-5)
        assert wilcoxon_pvalue(d) == stats.wilcoxon(d, method="exact").pvalue == 20 / 2**9

    def test_the_whole_comparison(self) -> None:
        pair = _only_pair({"x": self.first, "y": self.second})
        assert pair.pvalue_wilcoxon == 20 / 2**9
        assert pair.pvalue_t == close(stats.ttest_rel(self.first, self.second).pvalue)
        assert pair.win_rate == close(7 / 9)


class TestRoundingTimes:
    """R's ``?friedman.test``, from Hollander & Wolfe (1973), 140 ff.: Friedman chi-squared =
    11.143, df = 2, p-value = 0.003805. Three ways to round first base, in seconds.
    """

    names = ("round out", "narrow angle", "wide angle")
    seconds = (
        np.array(
            [
                *(540, 550, 555, 585, 570, 575, 520, 560, 550, 555, 550, 540, 590, 585, 570),
                *(545, 555, 560, 540, 540, 535, 545, 550, 535, 525, 515, 500, 585, 580, 570),
                *(525, 520, 510, 565, 555, 545, 560, 535, 545, 505, 500, 495, 550, 550, 540),
                *(545, 555, 550, 555, 555, 535, 545, 550, 555, 550, 545, 525, 565, 560, 540),
                *(570, 565, 555, 630, 630, 625),
            ]
        ).reshape(22, 3)
        / 100
    )

    def test_friedman(self) -> None:
        columns = dict(zip(self.names, self.seconds.T, strict=True))
        table = long_table(columns).rename(columns={"test_accuracy": "seconds"})
        result = compare(table, value="seconds", direction="lower").omnibus
        assert result is not None
        assert (result.df, result.n_blocks) == (2, 22)
        assert result.chi2 == close(11.143, 5e-4)
        assert result.pvalue == close(0.003805, 5e-7)
        assert result.chi2 == close(stats.friedmanchisquare(*self.seconds.T).statistic)


class TestAirquality:
    """R's ``?pairwise.t.test`` prints the ten pairs of months under either adjustment. The p-values
    themselves are a tenth of Bonferroni's; the four that these print as 1 are at least 0.25.
    """

    bonferroni = (0.00019, 0.00029, 0.00485, 0.00697, 0.08312, 0.10225)
    as_holm = (0.00019, 0.00026, 0.00388, 0.00488, 0.04987, 0.05113)

    def test_holm(self) -> None:
        adjusted = holm([*(p / 10 for p in self.bonferroni), *[0.25] * 4])
        assert adjusted[:6] == close(self.as_holm, 1.1e-5)
        assert adjusted[6:] == (1.0,) * 4


@pytest.mark.parametrize(
    ("dz", "n", "level", "power", "tolerance"),
    [
        (0.2, 60, 0.10, 0.4555818, 5e-8),
        (1.0, 30, 0.05, 0.9995636009612725, 1e-9),
        (0.2, 20, 0.05, 0.1359562887679666, 1e-9),
        (10 / (10 * math.sqrt(2)), 19.96892, 0.05, 0.85, 1e-6),
        (0.5, 33.36713, 0.05, 0.8, 1e-6),
    ],
    ids=[
        "?pwr.t.test: Cohen (1988), exercise 2.5, p. 47",
        "statsmodels' test_power.py, from R: TestTTPowerOneS1",
        "statsmodels' test_power.py, from R: TestTTPowerOneS2",
        "power.t.test in Dalgaard (2008), Introductory Statistics with R, section 9.3",
        "pwr.t.test(d = 0.5, power = 0.8, type = 'paired')",
    ],
)
def test_power_of_the_t_test(
    dz: float, n: float, level: float, power: float, tolerance: float
) -> None:
    assert t_test_power(dz, n, level) == close(power, tolerance)


def test_seeds_needed_for_a_medium_effect() -> None:
    """G*Power and R's pwr agree: 33.36713 pairs, so 34, for d_z = 0.5 at 5 % with power 0.8."""
    assert seeds_needed(0.5, 0.05, more_than=2) == 34


# --- scipy and its tests -----------------------------------------------------------------------


class TestScipyWilcoxon:
    """The examples in the manual of ``scipy.stats.wilcoxon``, and one of its tests, from R."""

    def test_cross_and_self_fertilized_plants(self) -> None:
        """Darwin's maize again, ordered by size: statistic 24, p = 0.041259765625."""
        d = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75.0])
        assert stats.rankdata(np.abs(d))[d < 0].sum() == 24
        assert wilcoxon_pvalue(d) == 0.041259765625
        assert sign_flip_pvalue(d) == 1726 / 32768

    def test_differences_that_the_last_bit_would_tell_apart(self) -> None:
        """Three of the four are 0.05 in size; taken as floats they have three ranks."""
        x, y = np.array([0.5, 0.825, 0.375, 0.5]), np.array([0.525, 0.775, 0.325, 0.55])
        assert len(np.unique(np.abs(x - y))) == 4
        d = paired_differences(x, y).values
        assert stats.rankdata(np.abs(d)).tolist() == [1, 3, 3, 3]
        assert stats.rankdata(np.abs(d))[d > 0].sum() == 6

    def test_exact_p_from_r(self) -> None:
        """R 4.0.3, ``wilcox.test(x - y, exact=TRUE)``, in scipy's TestWilcoxon.test_exact_pval."""
        x = [1.81, 0.82, 1.56, -0.48, 0.81, 1.28, -1.04, 0.23, -0.75, 0.14]
        y = [0.71, 0.65, -0.2, 0.85, -1.1, -0.45, -0.84, -0.24, -0.68, -0.76]
        assert wilcoxon_pvalue(paired_differences(np.array(x), np.array(y)).values) == 0.10546875


FRIEDMAN = {
    "Zar, Biostatistical Analysis, example 12.6": (
        [
            [7.0, 9.9, 8.5, 5.1, 10.3],
            [5.3, 5.7, 4.7, 3.5, 7.7],
            [4.9, 7.6, 5.5, 2.8, 8.4],
            [8.8, 8.9, 8.1, 3.3, 9.1],
        ],
        10.68,
        0.0135882729582176,
    ),
    "Bioestadistica para las ciencias de la salud, with ties": (
        [
            [4, 3, 5, 3, 5, 3, 2, 5, 4, 4, 4, 3],
            [2, 2, 1, 2, 3, 1, 2, 3, 2, 1, 1, 3],
            [2, 4, 3, 3, 4, 3, 3, 4, 4, 1, 2, 1],
            [3, 5, 4, 3, 4, 4, 3, 3, 3, 4, 4, 4],
        ],
        18.9428571428571,
        0.000280938375189499,
    ),
}


@pytest.mark.parametrize("name", FRIEDMAN)
def test_friedman_of_scipys_tests(name: str) -> None:
    """scipy's TestFriedmanChiSquare, "verified with matlab and R"."""
    columns, chi2, pvalue = FRIEDMAN[name]
    for sign in (+1, -1):
        result = omnibus(block_ranks(np.array(columns, dtype=float).T, sign))
        assert result is not None
        assert (result.chi2, result.pvalue) == (close(chi2), close(pvalue))


def test_a12_of_the_ages_at_diagnosis() -> None:
    """The manual of ``scipy.stats.mannwhitneyu``: U = 17 of the 20 pairs of a man and a woman."""
    men, women = np.array([19.0, 22, 16, 29, 24]), np.array([20.0, 11, 17, 12])
    assert a12(men, women, +1) == close(17 / 20)
    assert a12(men, women, -1) == close(3 / 20)


def test_correlation_of_the_manual() -> None:
    """The manual of ``scipy.stats.pearsonr``."""
    x, y = np.array([1.0, 2, 3, 4, 5, 6, 7]), np.array([10, 9, 2.5, 6, 4, 3, 2])
    assert correlation(x, y) == close(-0.828503883588428)


def test_trimmed_mean_of_the_manual() -> None:
    """The manual of ``scipy.stats.trim_mean``."""
    assert interquartile_mean(np.array([1.0, 2, 3, 5])) == 2.5
    assert interquartile_mean(np.array([50.0, 10, 30, 20])) == 25.0


def test_survival_of_the_manual() -> None:
    """The manual of ``scipy.stats.ecdf``: five boys run a mile, here in hundredths of a minute."""
    times = [623, 558, 706, 642, 520]
    table = pd.DataFrame(
        {
            "optimizer": "boys",
            "seed": range(5),
            "test_accuracy": 1.0,
            "iterations": 1000,
            "eval_iterations": [[100, time] for time in times],
            "eval_test_accuracy": [[0.0, 1.0]] * 5,
        }
    )
    answer = compare(table).time_to_target
    assert answer is not None
    (boys,) = answer.treatments
    steps = [(step.iteration, step.waiting_share) for step in boys.steps]
    assert steps == [(0, 1.0), (520, 0.8), (558, 0.6), (623, 0.4), (642, 0.2), (706, 0.0)]
    assert boys.restricted_mean == close(sum(times) / 5)


# --- tables in papers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(wins: int, n: int, low: float, high: float) -> None:
    """Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, method 3."""
    interval = wilson_interval(wins / n, n, 0.05)
    assert (interval.low, interval.high) == close((low, high), 5.1e-5)


@pytest.mark.parametrize(
    ("df", "c"),
    [(2, 1 / math.sqrt(math.pi)), (3, math.sqrt(math.pi / 6)), (4, math.sqrt(2 / math.pi))],
)
def test_hedges_correction(df: int, c: float) -> None:
    """Hedges (1981), Journal of Educational Statistics 6, 107-128: c(m) in closed form."""
    assert hedges_gz(Moments(n=df + 1, mean=1.0, std=1.0)) == close(c, 1e-12)


@pytest.mark.parametrize(
    ("df", "t95", "t99"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (4, 2.776, 4.604),
        (9, 2.262, 3.250),
        (19, 2.093, 2.861),
        (29, 2.045, 2.756),
    ],
)
def test_students_table(df: int, t95: float, t99: float) -> None:
    """The table of t in any textbook: the interval of a mean is so many standard errors wide."""
    moments = Moments(n=df + 1, mean=0.0, std=math.sqrt(df + 1))
    for alpha, t in ((0.05, t95), (0.01, t99)):
        interval = t_interval(moments, alpha)
        assert (interval.low, interval.high) == close((-t, t), 5.1e-4)
        assert t_pvalue(Moments(n=df + 1, mean=t, std=moments.std)) == close(alpha, 2e-4)


@pytest.mark.parametrize(
    ("n", "critical"),
    [
        *((6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (11, 10), (12, 13), (13, 17)),
        *((14, 21), (15, 25), (16, 29), (17, 34), (18, 40), (19, 46), (20, 52)),
    ],
)
def test_wilcoxons_table(n: int, critical: int) -> None:
    """The table of critical rank sums, two-sided at 5 %, in Siegel (1956), table G, and since."""
    assert wilcoxon_pvalue(_signed_ranks(n, critical)) <= 0.05
    assert wilcoxon_pvalue(_signed_ranks(n, critical + 1)) > 0.05


def _signed_ranks(n: int, losing_sum: int) -> np.ndarray:
    """The ranks from 1 to n, negative where they make up `losing_sum`."""
    ranks = np.arange(1.0, n + 1)
    for i in reversed(range(n)):
        if ranks[i] <= losing_sum:
            losing_sum -= int(ranks[i])
            ranks[i] *= -1
    return ranks


def test_mean_squares_of_six_targets_and_four_judges() -> None:
    """Shrout & Fleiss (1979), Psychological Bulletin 86, 420-428, Tables 2 and 3."""
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
        dtype=float,
    )
    squares = MeanSquares.of(ratings.sum(axis=1), ratings.sum(axis=0), float((ratings**2).sum()))
    assert squares.seed == close(11.24, 0.005)
    assert squares.example == close(32.49, 0.005)
    assert squares.residual == close(1.02, 0.005)
    assert squares.mean == close(ratings.mean())


def _only_pair(columns: dict[str, Any], **options: Any) -> Pair:
    pairs = {(p.a, p.b): p for p in compare(long_table(columns), **options).pairs}
    return pairs["x", "y"] if ("x", "y") in pairs else pytest.fail(f"x is not ahead: {pairs}")
