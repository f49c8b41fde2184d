"""The distributions and tests that replace those of scipy.stats, against scipy.stats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.analysis.stats import distributions
from bench.analysis.stats.descriptives import interquartile_mean
from bench.analysis.stats.logrank import logrank_pvalue
from bench.analysis.stats.omnibus import block_ranks

UPPER = (0.4, 0.025, 1e-4, 1e-12)
DF = (1, 2.5, 19, 1e4)


def test_quantiles() -> None:
    for upper in UPPER:
        assert distributions.normal_quantile(upper) == stats.norm.isf(upper)
        for df in DF:
            assert distributions.t_quantile(upper, df) == stats.t.isf(upper, df)


@pytest.mark.parametrize("x", [0.0, 0.3, 4.0, 50.0])
def test_tails(x: float) -> None:
    assert distributions.normal_tail(x) == stats.norm.sf(x)
    for df in DF:
        assert distributions.t_tail(x, df) == stats.t.sf(x, df)
        assert distributions.chi2_tail(x, df) == stats.chi2.sf(x, df)
        assert distributions.f_tail(x, df, 12) == stats.f.sf(x, df, 12)


@pytest.mark.parametrize("level", [0.05, 0.05 / 28, 1e-6])
def test_power(level: float) -> None:
    shift, df = np.meshgrid([0, 0.1, 1, 5, 20], [1, 4, 19, 999])
    critical = stats.t.isf(level / 2, df)
    expected = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    found = distributions.two_sided_t_power(shift, df, level)
    known = np.isfinite(expected)  # scipy returns NaN in the far tails
    assert known.any()
    assert np.array_equal(found[known], expected[known])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("k", [2, 3, 8, 60])
@pytest.mark.parametrize("alpha", [0.1, 0.01])
def test_range(k: int, alpha: float) -> None:
    expected = stats.studentized_range.isf(alpha, k, math.inf)
    assert distributions.range_quantile(alpha, k) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("threshold", [1e-9, 0.7, 1.0, 3.5, 1e9])
def test_least(threshold: float) -> None:
    assert distributions.least(lambda x: x >= threshold) == threshold


def test_interquartile_mean() -> None:
    rng = np.random.default_rng(0)
    for n in range(1, 50):
        values = np.sort(rng.normal(0.95, 0.01, n).round(4))
        assert interquartile_mean(values) == stats.trim_mean(values, 0.25)


def test_block_ranks() -> None:
    values = np.random.default_rng(0).choice([0.1, 0.2, 0.3, math.inf], (40, 6))
    assert np.array_equal(block_ranks(values, -1), stats.rankdata(values, axis=1))
    assert block_ranks(np.empty((0, 3)), 1).shape == (0, 3)


def _censored(times: np.ndarray, n: int, budget: float) -> stats.CensoredData:
    return stats.CensoredData(uncensored=times, right=np.full(n - len(times), budget))


def test_logrank() -> None:
    rng = np.random.default_rng(0)
    for n_a, n_b in rng.integers(1, 30, (100, 2)):
        a, b = (
            times[times <= 20] for times in (rng.integers(0, 40, n_a), rng.integers(0, 30, n_b))
        )
        found = logrank_pvalue(a, n_a, b, n_b)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = stats.logrank(_censored(a, n_a, 20.0), _censored(b, n_b, 20.0)).pvalue
        assert found == (expected if math.isfinite(expected) else None)
