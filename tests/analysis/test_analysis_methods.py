"""Tests of statistical functions against independent implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from bench.analysis.stats.descriptives import count_outliers, describe
from bench.analysis.stats.effects import (
    a12,
    cohen_dz,
    correlation,
    hedges_gz,
    wilson_interval,
    win_rate,
)
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.omnibus import (
    block_ranks,
    critical_difference,
    friedman_chi2,
    iman_davenport,
    omnibus,
)
from bench.analysis.stats.power import (
    MAX_SEEDS,
    minimum_detectable_dz,
    seed_sufficiency,
    seeds_needed,
    seeds_to_reject,
    smallest_pvalue,
    t_test_power,
)
from bench.analysis.stats.student import Moments, t_interval, t_pvalue, tost_pvalue

pvalues = st.lists(st.floats(0, 1), min_size=1, max_size=30)
SAMPLES = {n: np.random.default_rng(n).normal(0.4, 1, n) for n in (2, 3, 8, 30)}


# --- Student ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", SAMPLES)
def test_student_equals_scipy(n: int) -> None:
    moments, oracle = Moments.of(SAMPLES[n]), stats.ttest_1samp(SAMPLES[n], 0)
    interval, expected = t_interval(moments, 0.1), oracle.confidence_interval(0.9)
    assert t_pvalue(moments) == pytest.approx(oracle.pvalue, rel=1e-9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("x", [[], [1.0], [1.0, np.inf], [np.inf, np.inf]])
def test_undefined_moments_are_none(x: list[float]) -> None:
    moments = Moments.of(np.array(x))
    assert moments.std is None
    assert t_pvalue(moments) is None
    assert t_interval(moments, 0.05).low is t_interval(moments, 0.05).high is None
    assert (moments.mean is None) == (x != [1.0])


def test_constant_values_have_no_spread_and_never_p_zero() -> None:
    moments = Moments.of(np.full(7, 0.1))  # whose float mean is not 0.1
    assert (moments.mean, moments.std) == (0.1, 0.0)
    assert t_pvalue(moments) is tost_pvalue(moments, -1, 1) is cohen_dz(moments) is None
    almost = Moments.of(np.r_[np.full(500, 1.0), 1 + 1e-12])
    assert t_pvalue(almost) > 0


@pytest.mark.parametrize("scale", [1e-160, 1.0, 1e160])
def test_moments_survive_extreme_scales(scale: float) -> None:
    moments = Moments.of(np.array([1.0, 2.0, 4.0]) * scale)
    assert moments.std == pytest.approx(math.sqrt(7 / 3) * scale)


# --- Holm ------------------------------------------------------------------------------------


@given(pvalues)
def test_holm_equals_statsmodels(p: list[float]) -> None:
    assert holm(p) == pytest.approx(tuple(multipletests(p, method="holm")[1]), abs=1e-15)


@given(pvalues)
def test_holm_only_raises_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(q >= raw for q, raw in zip(adjusted, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


@given(pvalues, st.integers(0, 30))
def test_holm_leaves_the_undefined_out_of_the_family(p: list[float], where: int) -> None:
    where = min(where, len(p))
    adjusted = holm([*p[:where], None, *p[where:]])
    assert adjusted[where] is None
    assert adjusted[:where] + adjusted[where + 1 :] == holm(p)


def test_the_correction_makes_p_larger_not_the_level() -> None:
    """deep-significance uses the level .045 instead of .005 for ten tests."""
    assert holm([0.04] + [0.9] * 9)[0] == pytest.approx(0.4)
    assert holm([0.004] + [0.9] * 9)[0] == pytest.approx(0.04)


# --- Friedman --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "k", "levels"), [(2, 3, 9), (10, 3, 4), (20, 8, 30)])
def test_friedman_equals_scipy(n: int, k: int, levels: int) -> None:
    values = np.random.default_rng(k).integers(levels, size=(n, k)) / 7
    result, oracle = omnibus(block_ranks(values, +1)), stats.friedmanchisquare(*values.T)
    assert result.chi2 == pytest.approx(oracle.statistic)
    assert result.pvalue == pytest.approx(oracle.pvalue)
    f = (n - 1) * oracle.statistic / (n * (k - 1) - oracle.statistic)
    assert result.f_statistic == pytest.approx(f)
    assert result.f_pvalue == pytest.approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))


def test_ranks_with_direction_and_ties() -> None:
    row = np.array([[0.1 + 0.2, 0.3, 0.5, np.inf]])
    assert block_ranks(row, -1).tolist() == [[1.5, 1.5, 3, 4]]
    assert block_ranks(row, +1).tolist() == [[3.5, 3.5, 2, 1]]


def test_friedman_is_null_where_it_is_undefined() -> None:
    assert omnibus(np.array([[1.0, 2.0]] * 9)) is None
    assert friedman_chi2(np.full((5, 3), 2.0)) is None
    for ranks in (np.empty((0, 3)), np.array([[1.0, 2.0, 3.0]])):
        result = omnibus(ranks)
        assert (result.chi2, result.pvalue, result.f_statistic) == (None, None, None)
        assert (result.df, result.n_blocks) == (2, len(ranks))


def test_perfect_agreement_has_a_chi_square_but_no_f() -> None:
    result = omnibus(np.tile([1.0, 2.0, 3.0], (6, 1)))
    assert result.chi2 == 12
    assert result.f_statistic is result.f_pvalue is None
    assert iman_davenport(11.0, 6, 3) == 55.0


# --- critical difference ---------------------------------------------------------------------

#: Demsar (2006), Table 5: q at 5 % and at 10 %, by the number of classifiers.
DEMSAR_Q = {
    2: (1.960, 1.645),
    3: (2.343, 2.052),
    4: (2.569, 2.291),
    5: (2.728, 2.459),
    6: (2.850, 2.589),
    7: (2.949, 2.693),
    8: (3.031, 2.780),
    9: (3.102, 2.855),
    10: (3.164, 2.920),
}


@pytest.mark.parametrize("k", DEMSAR_Q)
@pytest.mark.parametrize("n", [1, 14, 200])
def test_critical_difference_has_the_quantiles_of_demsars_table(k: int, n: int) -> None:
    for alpha, q in zip((0.05, 0.10), DEMSAR_Q[k], strict=True):
        standard_error = math.sqrt(k * (k + 1) / (6 * n))
        assert critical_difference(k, n, alpha) / standard_error == pytest.approx(q, abs=1.1e-3)


def test_critical_difference_of_demsars_example() -> None:
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(("n", "k"), [(8, 3), (14, 4), (20, 8)])
def test_critical_difference_is_where_scikit_posthocs_has_p_of_alpha(n: int, k: int) -> None:
    values = np.random.default_rng([n, k]).normal(np.arange(k) / 2, 1, size=(n, k))
    mean_ranks = block_ranks(values, +1).mean(axis=0)
    apart = np.abs(mean_ranks[:, None] - mean_ranks)
    pvalues = scikit_posthocs.posthoc_nemenyi_friedman(values).to_numpy()
    for i, j in zip(*np.triu_indices(k, 1), strict=True):
        if 1e-6 < pvalues[i, j] < 0.999:
            assert critical_difference(k, n, pvalues[i, j]) == pytest.approx(apart[i, j], rel=1e-5)
        for alpha in (0.01, 0.05, 0.3):
            assert (apart[i, j] >= critical_difference(k, n, alpha)) == (pvalues[i, j] <= alpha)


def test_critical_difference_of_two_is_a_normal_quantile() -> None:
    expected = stats.norm.isf(0.025) * math.sqrt(1 / 9)
    assert critical_difference(2, 9) == pytest.approx(expected)


def test_critical_difference_shrinks_with_blocks_and_grows_with_treatments() -> None:
    by_n = [critical_difference(5, n) for n in (5, 20, 80)]
    assert by_n == pytest.approx([by_n[0], by_n[0] / 2, by_n[0] / 4])
    by_k = [critical_difference(k, 20) for k in range(2, 12)]
    assert by_k == sorted(by_k)


# --- effect sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 8, 30])
def test_gz_is_smaller_by_the_exact_correction(n: int) -> None:
    moments = Moments.of(SAMPLES[n])
    df = n - 1
    exact = math.gamma(df / 2) / (math.sqrt(df / 2) * math.gamma((df - 1) / 2))
    assert hedges_gz(moments) == pytest.approx(cohen_dz(moments) * exact)


def test_gz_of_two_differences_is_undefined() -> None:
    assert cohen_dz(Moments.of(SAMPLES[2])) is not None
    assert hedges_gz(Moments.of(SAMPLES[2])) is None


@pytest.mark.parametrize(("wins", "n"), [(0, 2), (3, 8), (8, 8), (13, 15), (500, 1000)])
def test_wilson_equals_scipy(wins: int, n: int) -> None:
    interval = wilson_interval(wins / n, n, 0.05)
    expected = stats.binomtest(wins, n).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_takes_half_a_win() -> None:
    interval = wilson_interval(6.5 / 10, 10, 0.05)
    expected = proportion_confint(6.5, 10, method="wilson")
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert wilson_interval(1.0, 1, 0.05).low is wilson_interval(None, 0, 0.05).low is None


def test_win_rate_counts_ties_half_and_knows_the_better_side() -> None:
    d = np.array([1.0, 2.0, -1.0, 0.0, np.inf])
    assert win_rate(d, +1) == 0.7
    assert win_rate(d, -1) == pytest.approx(0.3)
    assert win_rate(np.array([]), +1) is None


@pytest.mark.parametrize("sign", [+1, -1])
def test_a12_equals_scipy_and_counting(sign: int) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 9, 20) / 10, rng.integers(1, 9, 15) / 10
    wins = np.sign(sign * (a[:, None] - b))
    assert a12(a, b, sign) == pytest.approx((1 + wins.mean()) / 2)
    u = stats.mannwhitneyu(sign * a, sign * b).statistic
    assert a12(a, b, sign) == pytest.approx(u / (len(a) * len(b)))
    assert a12(a, b, sign) == pytest.approx(1 - a12(b, a, sign))
    assert a12(a, b[:0], sign) is None


def test_correlation() -> None:
    a, b = SAMPLES[8], SAMPLES[30][:8]
    assert correlation(a, b) == pytest.approx(stats.pearsonr(a, b).statistic)
    assert correlation(a, 2 * a + 1) == pytest.approx(1.0)
    for undefined in (np.ones(8), np.r_[b[:7], np.inf]):
        assert correlation(a, undefined) is correlation(undefined, a) is None
    assert correlation(a[:2], b[:2]) is None


# --- equivalence -----------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (-3.0, 1.0), (0.2, 0.3)])
@pytest.mark.parametrize("n", [3, 8, 30])
def test_tost_equals_statsmodels(n: int, low: float, high: float) -> None:
    expected = ttost_paired(SAMPLES[n], np.zeros(n), low, high)[0]
    assert tost_pvalue(Moments.of(SAMPLES[n]), low, high) == pytest.approx(expected)


# --- power -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "alpha", "expected"), [(2, 0.05, 6), (8, 0.05, 11), (3, 0.05, 7), (30, 0.01, 17)]
)
def test_seeds_to_reject_is_the_least_number_that_can(k: int, alpha: float, expected: int) -> None:
    m = k * (k - 1) // 2
    n = seeds_to_reject(m, alpha)
    assert n == expected
    best_case = [[smallest_pvalue(seeds)] * m for seeds in (n, n - 1)]
    assert min(holm(best_case[0])) <= alpha < min(holm(best_case[1]))


def test_smallest_pvalue() -> None:
    assert [smallest_pvalue(n) for n in (0, 1, 2, 5, 20)] == [None, None, 0.5, 0.0625, 2 / 2**20]
    assert smallest_pvalue(5000) > 0


@pytest.mark.parametrize(("dz", "n", "level"), [(0.5, 20, 0.05), (1.0, 10, 0.001), (0.0, 5, 0.1)])
def test_power_equals_statsmodels(dz: float, n: int, level: float) -> None:
    expected = TTestPower().power(dz, n, level, alternative="two-sided")
    assert t_test_power(dz, n, level) == pytest.approx(expected, abs=1e-9)


def test_power_in_the_far_tail_is_one() -> None:
    for dz in (50.0, 1e6, math.inf):
        assert t_test_power(dz, 20, 1e-4) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("shift", [5.0, 16.0, 36.0, 200.0])
def test_power_of_two_seeds_is_not_taken_for_one(shift: float) -> None:
    """scipy's nct gives NaN for the wrong side's tail, where the right side's is not 1 yet."""
    critical = stats.t.isf(0.001, 1)
    assert np.isnan(stats.nct.cdf(-critical, 1, 16.0))
    normal, other = np.random.default_rng(0).normal(size=(2, 400_000))
    simulated = np.mean(normal + shift > critical * np.abs(other))
    assert t_test_power(shift / math.sqrt(2), 2, 0.002) == pytest.approx(simulated, abs=0.003)


def test_minimum_detectable_effect() -> None:
    assert minimum_detectable_dz(20, 0.05 / 28) == pytest.approx(1.019, abs=5e-4)
    for n, level in ((2, 0.05), (6, 0.05), (20, 0.05 / 435), (1000, 0.05)):
        assert t_test_power(minimum_detectable_dz(n, level), n, level) == pytest.approx(0.8)
    assert minimum_detectable_dz(1, 0.05) is None


@pytest.mark.parametrize("dz", [0.02, 0.3, -0.3, 1.0, 2.5])
def test_seeds_needed_is_the_least_number_that_suffices(dz: float) -> None:
    level = 0.05 / 28
    n = seeds_needed(dz, level, more_than=2)
    assert t_test_power(dz, n, level) >= 0.8
    assert t_test_power(dz, n - 1, level) < 0.8 or n == seeds_to_reject(1, level)


def test_seeds_needed_at_the_edges() -> None:
    assert seeds_needed(None, 0.05, 5) is seeds_needed(0.0, 0.05, 5) is None
    assert seeds_needed(1e-4, 0.05, 5) is None
    assert seeds_needed(0.01, 0.05, 5) < MAX_SEEDS
    assert seeds_needed(math.inf, 0.05, 3) == 6
    assert seeds_needed(3.0, 0.05, 20) == 21


def test_sufficiency_of_a_sweep() -> None:
    power = seed_sufficiency(20, 28, 0.05)
    assert (power.smallest_pvalue, power.seeds_to_reject) == (2 / 2**20, 11)
    alone = seed_sufficiency(1, 0, 0.05)
    assert (alone.smallest_pvalue, alone.minimum_detectable_dz) == (None, None)
    assert alone.seeds_to_reject is None


# --- descriptives ----------------------------------------------------------------------------


def test_describe_equals_numpy_and_scipy() -> None:
    x = SAMPLES[30]
    t = describe("x", x, alpha=0.1)
    assert (t.mean, t.std) == pytest.approx((x.mean(), x.std(ddof=1)))
    assert (t.q1, t.median, t.q3) == pytest.approx(tuple(np.percentile(x, [25, 50, 75])))
    assert t.iqm == pytest.approx(stats.trim_mean(x, 0.25))
    assert (t.min, t.max) == (x.min(), x.max())
    low, high = stats.t.interval(0.9, 29, x.mean(), stats.sem(x))
    assert (t.ci_low, t.ci_high) == pytest.approx((low, high))


def test_one_run_has_a_mean_and_nothing_else_invented() -> None:
    """DeepOBS reports a standard deviation of 0 for one sample."""
    t = describe("x", np.array([0.97]))
    assert (t.n, t.mean, t.median, t.iqm, t.min, t.max) == (1, 0.97, 0.97, 0.97, 0.97, 0.97)
    assert (t.std, t.ci_low, t.ci_high) == (None, None, None)


def test_no_run_has_nothing() -> None:
    t = describe("x", np.array([]), n_failed=3)
    assert (t.n, t.n_failed) == (0, 3)
    assert {t.mean, t.std, t.median, t.q1, t.q3, t.iqm, t.min, t.max, t.ci_low} == {None}


def test_a_diverged_loss_keeps_what_is_still_defined() -> None:
    t = describe("x", np.array([0.1, 0.2, 0.3, 0.4, np.inf]))
    assert (t.mean, t.std, t.max) == (None, None, None)
    assert (t.median, t.q1, t.q3, t.min) == pytest.approx((0.3, 0.2, 0.4, 0.1))
    assert t.iqm == pytest.approx(0.3)
    assert describe("x", np.array([0.1, np.inf, np.inf])).median is None


def test_outliers_are_counted_on_the_bad_side_only() -> None:
    x = np.r_[np.arange(20.0), 1000.0]
    assert (count_outliers(x, +1), count_outliers(x, -1)) == (0, 1)
    assert count_outliers(np.array([]), +1) == 0
