"""Collapse rates: the rule, exact intervals, McNemar's test, and what the report says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from _tables import complete_table, long_table
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from bench.analysis import Comparison, compare
from bench.analysis.collapses import collapsed_runs
from bench.analysis.sweep import describe_runs
from bench.report.formats.markdown import markdown
from bench.report.html.page import render

N = 20


def runs(**columns: Sequence[float]) -> pd.DataFrame:
    return long_table(columns, status="ok")


def usual(seed: int, mean: float = 0.97, n: int = N) -> list[float]:
    noise = np.random.default_rng(seed).normal(size=n)
    return (mean + 0.001 * noise).round(4).tolist()


def counts(comparison: Comparison) -> dict[str, int]:
    return {rate.name: rate.collapsed for rate in comparison.collapses.treatments}


@pytest.mark.parametrize("n_collapsed", [0, 1, 9, 10, 12])
def test_runs_far_below_their_optimizer_have_collapsed(n_collapsed: int) -> None:
    """In up to half of the runs, and however good the other optimizers are."""
    bad = [0.6] * n_collapsed + usual(0, n=N - n_collapsed)
    comparison = compare(runs(a=bad, b=usual(1), c=usual(2, 0.9)))
    assert counts(comparison) == {"a": n_collapsed, "b": 0, "c": 0}


def test_a_diverged_run_has_collapsed_whatever_its_accuracy() -> None:
    table = runs(a=usual(0), b=usual(1))
    table.loc[3, "status"] = "diverged"
    assert counts(compare(table)) == {"a": 1, "b": 0}


def test_heavy_tails_and_a_wide_optimizer_do_not_collapse() -> None:
    rng = np.random.default_rng(3)
    tailed = (0.97 + 0.001 * rng.standard_t(5, size=N)).round(4)
    wide = (0.90 + 0.02 * rng.normal(size=N)).round(4)
    assert counts(compare(runs(a=tailed, b=usual(1), c=wide))) == {"a": 0, "b": 0, "c": 0}


@pytest.mark.parametrize("n", [2, 4, 5, 10, 20])
def test_normal_runs_seldom_collapse(n: int) -> None:
    rng = np.random.default_rng(n)
    tables = [complete_table(rng.normal(size=(n, 2))) for _ in range(200)]
    assert sum(collapsed_runs(table, margin=None).any() for table in tables) <= 2


@pytest.mark.parametrize(("last", "collapsed"), [(0.9799, 0), (0.9, 1)])
def test_among_tied_runs_the_margin_is_what_is_far(last: float, collapsed: int) -> None:
    table = runs(a=[0.98] * 19 + [last], b=[0.98] * 20)
    assert counts(compare(table))["a"] == collapsed
    assert counts(compare(table, margin=None))["a"] == 0  # nothing says what is far


def test_lower_is_better() -> None:
    table = runs(a=[2.0, *usual(0)[1:]], b=usual(1)).rename(columns={"test_accuracy": "loss"})
    assert counts(compare(table, value="loss", direction="lower")) == {"a": 1, "b": 0}


def test_intervals_are_exact() -> None:
    bad = [0.6] * 3 + usual(0, n=N - 3)
    comparison = compare(runs(a=bad, b=usual(1)))
    a, b = (comparison.collapses.of(name) for name in "ab")
    expected = stats.binomtest(3, N).proportion_ci(0.95, method="exact")
    assert (a.ci_low, a.ci_high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    two_sided = stats.binomtest(0, N).proportion_ci(0.95, method="exact")
    assert (b.ci_low, b.ci_high) == (0.0, pytest.approx(two_sided.high, rel=1e-9))
    one_sided = stats.binomtest(0, N, alternative="less").proportion_ci(0.95, method="exact")
    assert b.at_most == pytest.approx(one_sided.high, rel=1e-9)
    assert b.at_most == pytest.approx(0.139, abs=5e-4)  # "0 of 20 still allows 14 %"


def test_rates_are_compared_by_mcnemars_exact_test_and_holms_method() -> None:
    bad, some = usual(0), usual(2)
    bad[:9], some[8:10] = [0.5] * 9, [0.5] * 2
    found = compare(runs(a=bad, b=usual(1), c=some)).collapses
    lost = {"a": set(range(9)), "b": set(), "c": {8, 9}}
    expected = [
        float(mcnemar([[0, len(lost[p.a] - lost[p.b])], [len(lost[p.b] - lost[p.a]), 0]]).pvalue)
        for p in found.pairs
    ]
    assert [p.pvalue for p in found.pairs] == pytest.approx(expected, rel=1e-9)
    smallest = min(expected)
    assert min(p.pvalue_holm or 1.0 for p in found.pairs) == pytest.approx(3 * smallest, rel=1e-9)


def test_warnings_pairs_and_page_say_so() -> None:
    bad = [0.6] * 2 + usual(0, n=N - 2)
    table = runs(a=bad, b=usual(1), c=usual(2))
    comparison = compare(table)
    (warning,) = [w for w in comparison.warnings if "collapsed" in w]
    assert warning.startswith("a: 2 of 20 runs collapsed (diverged, or far worse than the others)")
    assert "between 1.23 % and 31.7 % of its runs do" in warning
    with_a = [pair for pair in comparison.pairs if "a" in (pair.a, pair.b)]
    for pair in comparison.pairs:
        assert any("2 of 20 of a" in text for text in pair.remarks) == (pair in with_a)
    analysis = describe_runs(table, comparison, name="x")
    assert "a: 2 of 20 runs collapsed" in markdown(analysis)
    assert "[1.2, 31.7]" in render(analysis)


def test_no_collapse_still_allows_some() -> None:
    table = runs(a=usual(0), b=usual(1))
    comparison = compare(table)
    assert comparison.collapses.pairs == ()
    assert not any("collapse" in w for w in comparison.warnings)
    page = render(describe_runs(table, comparison, name="x"))
    page = page.replace("\u00a0", " ")
    assert (
        "With 20 runs, a collapse rate of up to 14 % is still possible (95 % confidence)." in page
    )
