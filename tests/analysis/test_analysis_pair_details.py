"""Tests of results beside the verdicts: posterior, A12 interval, wins, seeds needed, pairing."""

from __future__ import annotations

import math
import re
from functools import partial
from statistics import median

import numpy as np
import pytest
from _tables import long_table
from scipy import stats
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from bench.analysis import Comparison, compare, look_levels
from bench.analysis.results import Pair
from bench.analysis.stats.effects import a12_interval, win_pvalue
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.power import (
    POWER,
    equivalence_power,
    seeds_for_equivalence,
    seeds_needed,
)
from bench.analysis.stats.student import Moments, posterior_shares
from bench.errors import SpecError
from bench.report.text.lines import pair_line
from bench.report.text.pairs import flip

TOTAL = 10_000
long = partial(long_table, total=TOTAL)


def close_sweep(k: int = 4, n: int = 20, seed: int = 0) -> dict[str, list[int]]:
    """Counts of optimizers that differ by about half of the default margin."""
    rng = np.random.default_rng([k, n, seed])
    shared = rng.normal(0, 15, n)
    return {f"o{i}": np.rint(9700 + 9 * i + shared + rng.normal(0, 25, n)).tolist()
            for i in range(k)}  # fmt: skip


def only(columns: dict[str, list[int]], **options: object) -> Pair:
    (pair,) = compare(long(columns), **options).pairs
    return pair


# --- posterior -------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.0005, 0.002, 0.02])
def test_posterior_shares_equal_scipys_t(margin: float) -> None:
    columns = close_sweep(2)
    pair = only(columns, margin=margin)
    d = (np.array(columns[pair.a]) - np.array(columns[pair.b])) / TOTAL
    posterior = stats.t(len(d) - 1, loc=d.mean(), scale=stats.sem(d))
    assert pair.posterior_below == pytest.approx(posterior.cdf(-margin), rel=1e-9)
    assert pair.posterior_above == pytest.approx(posterior.sf(margin), rel=1e-9)
    within = posterior.cdf(margin) - posterior.cdf(-margin)
    assert pair.posterior_within == pytest.approx(within, abs=1e-12)


def test_posterior_equals_draws_of_mean_and_variance() -> None:
    """Draw the variance from its scaled inverse chi-squared, then the mean from its normal."""
    d = np.array([0.001, 0.003, -0.001, 0.002, 0.0015, 0.0005])
    rng = np.random.default_rng(0)
    variance = d.var(ddof=1) * (len(d) - 1) / rng.chisquare(len(d) - 1, 400_000)
    means = rng.normal(d.mean(), np.sqrt(variance / len(d)))
    shares = posterior_shares(Moments.of(d), 0.002)
    assert shares.within == pytest.approx(np.mean(np.abs(means) < 0.002), abs=0.003)
    assert shares.above == pytest.approx(np.mean(means > 0.002), abs=0.003)


def test_posterior_is_undefined_without_margin_or_spread() -> None:
    for pair in (
        only(close_sweep(2), margin=None),
        only({"x": [5, 5, 5], "y": [4, 4, 4]}),
        only({"x": [5], "y": [4]}),
    ):
        shares = (pair.posterior_below, pair.posterior_within, pair.posterior_above)
        assert shares == (None, None, None)


def test_seen_from_the_other_side_the_shares_and_the_interval_are_mirrored() -> None:
    pair = only(close_sweep(2))
    other = flip(pair)
    assert (other.posterior_below, other.posterior_above) == (
        pair.posterior_above,
        pair.posterior_below,
    )
    assert (other.a12_low, other.a12_high) == (1 - pair.a12_high, 1 - pair.a12_low)
    assert flip(other).a12_low == pytest.approx(pair.a12_low)


# --- interval of A12 ---------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(6))
def test_a12_interval_equals_wilsons_at_the_trials_of_its_variance(
    seed: int, sign: int, alpha: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y = np.rint(rng.normal([[0.4], [0]], 2, (2, 9)))
    wins = [[(sign * a > sign * b) + (a == b) / 2 for b in y] for a in x]
    n, rate = len(x), float(np.mean(wins))
    placed = [np.mean(wins[i]) + np.mean([row[i] for row in wins]) for i in range(n)]
    trials = max(1.0, min(rate * (1 - rate) / (np.var(placed, ddof=1) / n), 1.5 * n))
    as_normal = 2 * stats.norm.sf(stats.t.isf(alpha / 2, n - 1))
    expected = proportion_confint(rate * trials, trials, as_normal, "wilson")
    found = a12_interval(x, y, sign, alpha)
    assert (found.low, found.high) == pytest.approx(expected)


def test_a12_interval_of_separated_runs_has_a_width() -> None:
    pair = only({"x": [9700 + i for i in range(20)], "y": [9500 + i for i in range(20)]})
    assert (pair.a12, pair.a12_high) == (1.0, 1.0)
    assert 0.8 < pair.a12_low < 0.95
    almost = only({"x": [9700, *range(9701, 9720)], "y": [9701, *range(9501, 9520)]})
    assert almost.a12_low < pair.a12_low


def test_a12_interval_is_undefined_with_one_block() -> None:
    pair = only({"x": [5], "y": [4]})
    assert (pair.a12, pair.a12_low, pair.a12_high) == (1.0, None, None)


# --- wins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.75, 0.9])
@pytest.mark.parametrize(
    ("wins", "losses", "ties"), [(20, 0, 0), (17, 3, 0), (3, 14, 3), (6, 6, 1)]
)
def test_pvalue_of_wins_equals_the_worst_case_of_the_hypothesis(
    wins: int, losses: int, ties: int, threshold: float
) -> None:
    """The largest probability of as many wins of either side, over all shares it allows."""
    d = np.array([1.0] * wins + [-2.0] * losses + [0.0] * ties)
    n, most = len(d), max(wins, losses)
    worst = max(
        stats.binom.sf(most - 1, n, rate) + stats.binom.sf(most - 1, n, 1 - rate)
        for rate in np.linspace(1 - threshold, threshold, 401)
    )
    assert win_pvalue(d, threshold) == pytest.approx(min(1.0, worst))
    if wins == 20:
        above = stats.binomtest(20, 20, threshold, "greater").pvalue
        assert win_pvalue(d, threshold) == pytest.approx(above, rel=0.01, abs=2e-6)


def test_wins_are_a_holm_family_and_need_a_threshold() -> None:
    table = long({"a": [9] * 40, "b": [*[5] * 36, *[10] * 4], "c": [*[4] * 20, *[6] * 20]})
    pairs = compare(table, win_threshold=0.75).pairs
    assert [p.pvalue_wins_holm for p in pairs] == list(holm([p.pvalue_wins for p in pairs]))
    by_name = {(p.a, p.b): p for p in pairs}
    assert by_name["a", "c"].pvalue_wins_holm == pytest.approx(3 * (0.75**40 + 0.25**40))
    assert by_name["a", "b"].pvalue_wins_holm == pytest.approx(
        2 * stats.binomtest(36, 40, 0.75, "greater").pvalue, rel=1e-6
    )
    without = compare(table).pairs
    assert {(p.pvalue_wins, p.pvalue_wins_holm) for p in without} == {(None, None)}
    assert [p.verdict for p in without] == [p.verdict for p in pairs]


@pytest.mark.parametrize("threshold", [0.49, 1.0, math.nan, "0.75", True])
def test_a_threshold_of_wins_out_of_range_is_refused(threshold: object) -> None:
    message = "win_threshold must lie from 0.5 to below 1, or be None, got "
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        compare(long(close_sweep(2)), win_threshold=threshold)


# --- seeds needed --------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "n"), [(0.0, 30), (0.4, 60), (-0.7, 90)])
def test_equivalence_power_equals_statsmodels_and_simulation(mean: float, n: int) -> None:
    level, margin = 0.01, 1.0
    one_sided = [
        TTestPower().power(margin + shift, n, level, alternative="larger")
        for shift in (mean, -mean)
    ]
    power = equivalence_power(mean, 1.3, n, margin, level)
    scaled = equivalence_power(mean, 1.0, n, margin, level)
    assert scaled == pytest.approx(max(0.0, sum(one_sided) - 1), abs=1e-9)
    d = np.random.default_rng(n).normal(mean, 1.3, (20_000, n))
    half = stats.t.isf(level, n - 1) * stats.sem(d, axis=1)
    shown = (d.mean(axis=1) - half > -margin) & (d.mean(axis=1) + half < margin)
    assert power == pytest.approx(shown.mean(), abs=0.012)


@pytest.mark.parametrize("mean", [0.0, 0.3, -0.9])
def test_seeds_for_equivalence_are_the_least_that_suffice(mean: float) -> None:
    (n,) = seeds_for_equivalence([mean], [1.2], 1.0, 0.002, [3])
    assert n is not None
    powers = [equivalence_power(mean, 1.2, m, 1.0, 0.002) for m in (n - 1, n)]
    assert powers[0] < POWER <= powers[1]


def test_seeds_for_equivalence_at_the_edges() -> None:
    means, stds = [1.0, -1.5, None, 0.1, 0.1, 0.9999999], [1, 1, 1, 0.0, None, 1]
    assert seeds_for_equivalence(means, stds, 1.0, 0.05, [5] * 6) == [None] * 6
    assert seeds_for_equivalence([0.0], [1e-3], 1.0, 0.05, [20]) == [21]


def expected_seeds(comparison: Comparison, next_level: float) -> list[tuple[int | None, ...]]:
    pairs = comparison.pairs
    found, shown = (
        sum(p is not None and p <= comparison.level for p in adjusted)
        for adjusted in (
            [p.pvalue_holm for p in pairs],
            [p.pvalue_equivalence_holm for p in pairs],
        )
    )
    left = [max(1, len(pairs) - done) for done in (found, shown)]
    margin = comparison.parameters.margin or 1.0
    return [
        (
            seeds_needed(p.dz, next_level / left[0], p.n),
            *seeds_for_equivalence(
                [p.mean_difference], [p.mean_difference / p.dz], margin, next_level / left[1], [p.n]
            ),
        )
        if p.verdict == "inconclusive" and p.mean_difference and p.dz
        else (None, None)
        for p in pairs
    ]


@pytest.mark.parametrize(("planned", "next_level"), [(1, 0.05 / 6), (2, 0.025), (None, 0.05 / 6)])
def test_seeds_needed_are_at_the_next_step_of_the_next_look(
    planned: int | None, next_level: float
) -> None:
    columns = close_sweep() | {"far": [9600 + i % 7 for i in range(20)]}
    looks = look_levels([(20, None)], 0.05, planned)
    comparison = compare(long(columns), looks=looks, planned_looks=planned)
    assert {"inconclusive", "worse", "better"} & {p.verdict for p in comparison.pairs} >= {
        "inconclusive",
        "better",
    }
    assert comparison.power.next_level == pytest.approx(next_level)
    found = [(p.seeds_needed, p.seeds_needed_equivalence) for p in comparison.pairs]
    assert found == expected_seeds(comparison, next_level)
    within = [p for p in comparison.pairs if p.seeds_needed_equivalence]
    assert any(p.seeds_needed_equivalence < p.seeds_needed for p in within if p.seeds_needed)


def test_a_mean_of_zero_needs_seeds_for_equivalence_only() -> None:
    pair = only({"x": [9700, 9740, 9660, 9700], "y": [9740, 9700, 9700, 9660]})
    assert (pair.mean_difference, pair.verdict, pair.seeds_needed) == (0.0, "inconclusive", None)
    std = float(np.std([-40, 40, -40, 40], ddof=1)) / TOTAL
    assert [pair.seeds_needed_equivalence] == seeds_for_equivalence(
        [0.0], [std], 0.002, 0.05 / 6, [4]
    )


# --- pairing -------------------------------------------------------------------------------------


def test_gain_of_pairing_is_the_ratio_of_both_variances() -> None:
    columns = close_sweep()
    comparison = compare(long(columns))
    for pair in comparison.pairs:
        x, y = (np.array(columns[name]) for name in (pair.a, pair.b))
        expected = np.var(x - y, ddof=1) / (np.var(x, ddof=1) + np.var(y, ddof=1))
        assert pair.variance_ratio == pytest.approx(expected)
        assert pair.variance_ratio < 1
    ratios = [pair.variance_ratio for pair in comparison.pairs]
    assert comparison.power.variance_ratio == median(ratios)
    assert only({"x": [5, 5], "y": [4, 4]}).variance_ratio is None
    assert compare(long({"x": [5], "y": [4]})).power.variance_ratio is None


# --- text ----------------------------------------------------------------------------------------


def test_cells_of_a_pair() -> None:
    comparison = compare(long(close_sweep(2)), win_threshold=0.75)
    (pair,) = comparison.pairs
    line = pair_line(pair, comparison)
    assert re.fullmatch(r"\[0\.\d\d, 0\.\d\d\]", line.a12_interval)
    assert len(line.posterior.split(" / ")) == 3
    assert line.p_wins_holm == f"{pair.pvalue_wins_holm:.3f}"
