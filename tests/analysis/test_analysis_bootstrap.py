"""Tests of the BCa bootstrap interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench.analysis import bca_interval

RUNS = np.random.default_rng(4).gamma(2.0, 0.01, 20)


def test_equals_scipy_in_any_order() -> None:
    expected = stats.bootstrap(
        (RUNS,), np.mean, confidence_level=0.9, n_resamples=40_000, method="BCa", rng=1
    ).confidence_interval
    found = bca_interval(RUNS, alpha=0.1)
    assert found == bca_interval(RUNS[::-1].tolist(), alpha=0.1)
    spread = RUNS.std() / np.sqrt(len(RUNS))
    assert found.low == pytest.approx(expected.low, abs=0.05 * spread)
    assert found.high == pytest.approx(expected.high, abs=0.05 * spread)


def test_undefined_for_few_runs_and_zero_width_for_equal_values() -> None:
    assert bca_interval(RUNS[:9]).low is None
    assert bca_interval(RUNS[:10]).low is not None
    constant = bca_interval([0.5] * 12)
    assert (constant.low, constant.high) == (0.5, 0.5)
