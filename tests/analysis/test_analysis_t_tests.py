"""Tests of the comparison of unpaired runs (Welch) and of folds (the corrected resampled t test).

Oracles are scipy's tests and intervals, the formula with scipy.stats.t, and a published example.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from scipy import stats

from bench.analysis import Comparison, Pair, compare, describe_runs, to_json
from bench.analysis.results import Direction
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.resampled import resampled
from bench.analysis.stats.student import (
    Moments,
    posterior_shares,
    t_interval,
    t_pvalue,
    t_statistic,
)
from bench.errors import SpecError, TableError

MARGIN = 0.01
RATIO = 1 / 9


def noisy(mean: float, n: int, seed: int, spread: float = 0.004) -> list[float]:
    return list(np.random.default_rng(seed).normal(mean, spread, n))


#: Samples of different sizes and spreads; sgd is within the margin of momentum.
SAMPLES = {
    "adam": noisy(0.97, 12, 1),
    "momentum": noisy(0.955, 15, 2, 0.006),
    "sgd": noisy(0.955, 9, 3),
}
#: The same number of folds of each.
FOLDS = {name: noisy(mean, 10, i) for i, (name, mean) in enumerate({"a": 0.97, "b": 0.96}.items())}


def unpaired(
    samples: Mapping[str, Sequence[float | None]], value: str = "test_accuracy", **options: Any
) -> Comparison:
    """Compare samples without a column of blocks."""
    table = long_table(samples).drop(columns="seed").rename(columns={"test_accuracy": value})
    return compare(table, value=value, test="welch", **{"margin": MARGIN, **options})


def of_folds(folds: Mapping[str, Sequence[float | None]], **options: Any) -> Comparison:
    return compare(
        long_table(folds),
        test="corrected-t",
        **{"resampling_ratio": RATIO, "margin": MARGIN, **options},
    )


def one(comparison: Comparison) -> Pair:
    (pair,) = comparison.pairs
    return pair


# --- Welch's t test -----------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_welch_is_scipy_s_for_every_pair(direction: Direction) -> None:
    comparison = unpaired(SAMPLES, direction=direction)
    assert len(comparison.pairs) == 3
    for pair in comparison.pairs:
        x, y = (np.array(SAMPLES[name]) for name in (pair.a, pair.b))
        expected = stats.ttest_ind(x, y, equal_var=False)
        assert (pair.n_a, pair.n_b, pair.n) == (len(x), len(y), min(len(x), len(y)))
        assert pair.mean_difference == pytest.approx(x.mean() - y.mean())
        assert (pair.statistic, pair.pvalue) == pytest.approx(tuple(expected))
        assert (pair.ci_low, pair.ci_high) == pytest.approx(tuple(expected.confidence_interval()))
        simultaneous = expected.confidence_interval(1 - 0.05 / 3)
        assert (pair.simultaneous_ci_low, pair.simultaneous_ci_high) == pytest.approx(
            tuple(simultaneous)
        )
        one_sided: tuple[tuple[float, Literal["greater", "less"]], ...] = (
            (-MARGIN, "greater"),
            (MARGIN, "less"),
        )
        assert pair.pvalue_equivalence == pytest.approx(
            max(
                stats.ttest_ind(x - shift, y, equal_var=False, alternative=side).pvalue
                for shift, side in one_sided
            )
        )
        wins = stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
        assert pair.a12 == pytest.approx(wins if direction == "higher" else 1 - wins)


def test_welch_has_one_family_for_differences_and_one_for_equivalence() -> None:
    comparison = unpaired(SAMPLES)
    assert [p.pvalue_holm for p in comparison.pairs] == list(
        holm([p.pvalue for p in comparison.pairs])
    )
    assert [p.pvalue_equivalence_holm for p in comparison.pairs] == list(
        holm([p.pvalue_equivalence for p in comparison.pairs])
    )
    verdicts = {p.verdict for p in comparison.pairs if p.a == "adam"}
    others = {p.verdict for p in comparison.pairs if p.a != "adam"}
    assert (verdicts, others) == ({"better"}, {"equivalent"})


PAIRED_ONLY = (
    *("pvalue_t", "pvalue_wilcoxon", "dz", "gz", "win_rate", "win_rate_low", "win_rate_high"),
    *("correlation", "variance_ratio", "pvalue_draws", "pvalue_max_t", "a12_low", "a12_high"),
    *("posterior_within", "pvalue_wins", "seeds_needed", "seeds_needed_equivalence"),
)


def test_unpaired_results_hold_nothing_that_needs_pairs() -> None:
    comparison = unpaired(SAMPLES)
    assert (comparison.omnibus, comparison.single_seed, comparison.scope) == (None,) * 3
    assert set(vars(comparison.power).values()) == {None}
    assert {t.mean_rank for t in comparison.treatments} == {None}
    assert {getattr(p, name) for p in comparison.pairs for name in PAIRED_ONLY} == {None}
    assert comparison.collapses.pairs == ()


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(lambda rows: [*range(len(rows))], id="different"),
        pytest.param(lambda rows: [1] * len(rows), id="the same"),
        pytest.param(lambda rows: [None] * len(rows), id="missing"),
        pytest.param(lambda rows: [*rows["seed"]], id="of a paired table"),
    ],
)
def test_the_block_of_unpaired_runs_changes_nothing(seeds: Any) -> None:
    table = long_table(SAMPLES)
    labelled = table.assign(seed=pd.Series(seeds(table), dtype=object))
    found = compare(labelled, test="welch", margin=MARGIN)
    assert to_json(found) == to_json(unpaired(SAMPLES))
    analysis = describe_runs(labelled, found, name="x")
    assert len({(s.treatment, s.seed) for s in analysis.scores}) == len(table)


@pytest.mark.parametrize(
    ("a", "b", "verdict", "defined"),
    [
        ([0.97] * 3, [0.97] * 4, "identical", False),
        ([0.97] * 3, [0.98] * 4, "not testable", False),
        ([0.97, 0.971], [0.98, 0.981, 0.982], "not testable", True),
        ([0.95, 0.97, 0.99], [0.96, 0.97, 0.98], "inconclusive", True),
        ([0.97], [0.98, 0.981, 0.982], "not testable", False),
    ],
)
def test_verdicts_of_special_samples(
    a: list[float | None], b: list[float | None], verdict: str, defined: bool
) -> None:
    pair = one(unpaired({"a": a, "b": b}, margin=None))
    assert (pair.verdict, pair.pvalue is not None) == (verdict, defined)


@pytest.mark.parametrize("compare_by", [unpaired, of_folds])
def test_a_diverged_run_without_a_value_makes_its_pairs_untestable(compare_by: Any) -> None:
    table = {"a": [*noisy(0.97, 9, 1), math.inf], "b": noisy(0.96, 10, 2), "c": noisy(0.9, 10, 3)}
    comparison = compare_by(table)
    by_verdict = {(p.a, p.b): p.verdict for p in comparison.pairs}
    assert by_verdict == {
        ("b", "c"): "better",
        ("b", "a"): "not testable",
        ("c", "a"): "not testable",
    }
    assert any(
        "a: 1 diverged run has no test_accuracy. A t test cannot rank diverged" in w
        for w in comparison.warnings
    )
    assert any("Holm's family has 1 of 3 pairs" in w for w in comparison.warnings)
    # the family of one pair leaves p-values and intervals as they are
    (tested,) = (p for p in comparison.pairs if p.pvalue is not None)
    assert tested.pvalue_holm == tested.pvalue
    assert tested.simultaneous_ci_low == tested.ci_low


def test_failed_runs_are_left_out_and_counted() -> None:
    table = long_table({"a": noisy(0.97, 12, 1), "b": noisy(0.96, 10, 2)}, status="ok")
    table.loc[table.index[:2], "status"] = "failed"
    comparison = compare(table, test="welch")
    assert (one(comparison).n_a, one(comparison).n_b) == (10, 10)
    assert "a: 2 failed of 12 runs; its pairs use the others." in comparison.warnings


@pytest.mark.parametrize(
    ("sizes", "warned"),
    [((10, 12), False), ((9, 12), True), ((5, 5), True)],
)
def test_few_unpaired_runs_give_a_warning(sizes: tuple[int, int], warned: bool) -> None:
    comparison = unpaired({name: noisy(0.9, n, n) for name, n in zip("ab", sizes, strict=True)})
    assert any("Few runs (" in w and "normal means" in w for w in comparison.warnings) == warned


def test_no_common_block_gives_a_hint_to_unpaired() -> None:
    columns = {"x": [0.97, 0.98, 0.96, *[None] * 3], "y": [*[None] * 3, 0.95, 0.96, 0.94]}
    assert "analyze --unpaired compares them" in compare(long_table(columns)).warnings[0]
    partly = {**columns, "z": [0.97] * 6}
    assert not any("--unpaired" in w for w in compare(long_table(partly)).warnings)


# --- the corrected resampled t test -------------------------------------------------------------


def test_the_corrected_test_is_the_formula() -> None:
    pair = one(of_folds(FOLDS))
    x, y = (np.array(FOLDS[name]) for name in (pair.a, pair.b))
    d, n = x - y, len(x)
    error = math.sqrt((1 / n + RATIO) * d.var(ddof=1))
    t = stats.t(n - 1)
    assert pair.mean_difference == pytest.approx(d.mean())
    assert pair.statistic == pytest.approx(d.mean() / error)
    assert pair.pvalue == pair.pvalue_holm == pytest.approx(2 * t.sf(abs(d.mean()) / error))
    expected = (d.mean() - t.isf(0.025) * error, d.mean() + t.isf(0.025) * error)
    assert (pair.ci_low, pair.ci_high) == pytest.approx(expected)
    assert (pair.simultaneous_ci_low, pair.simultaneous_ci_high) == pytest.approx(expected)
    assert pair.pvalue_equivalence == pytest.approx(
        max(t.sf((d.mean() + MARGIN) / error), t.sf((MARGIN - d.mean()) / error))
    )
    assert pair.posterior_above == pytest.approx(t.sf((MARGIN - d.mean()) / error))


def test_the_mean_of_folds_has_a_corrected_interval() -> None:
    for treatment in of_folds(FOLDS).treatments:
        scores = np.array(FOLDS[treatment.name])
        error = math.sqrt((1 / len(scores) + RATIO) * scores.var(ddof=1))
        low, high = stats.t.interval(0.95, len(scores) - 1, scores.mean(), error)
        assert (treatment.ci_low, treatment.ci_high) == pytest.approx((low, high))


def test_learning_curves_of_folds_have_corrected_bands() -> None:
    runs = long_table(FOLDS)
    evaluations = {
        **{"eval_iterations": [[5]] * 20, "eval_test_loss": [[0.1]] * 20},
        **{
            "eval_train_loss": [[0.1]] * 20,
            "eval_test_accuracy": [[x] for x in runs.test_accuracy],
        },
    }
    table = runs.assign(**evaluations)
    found = describe_runs(
        table, compare(table, test="corrected-t", resampling_ratio=RATIO), name="x"
    )
    for curve, treatment in zip(found.curves, found.comparison.treatments, strict=True):
        assert (curve.test_accuracy.low, curve.test_accuracy.high) == (
            (treatment.ci_low,),
            (treatment.ci_high,),
        )


def test_a_published_example_of_the_corrected_test() -> None:
    """scikit-learn's user guide, "Statistical comparison of models using grid search".

    Ten times ten folds of 100 examples: t is 2.611 without and 0.750 with the correction, p (one
    side) 0.005 and 0.227; the mean difference is 0.0100, its 95 % interval [-0.016445, 0.036445],
    and the posterior probability of a difference within 0.01 is 0.432.
    """
    n, mean, t = 100, 0.0100, 2.611
    plain = Moments(n=n, mean=mean, std=mean / t * math.sqrt(n))
    corrected = resampled(plain, 10 / 90)
    assert t_statistic(corrected, 0.0) == pytest.approx(0.750, abs=5e-4)
    assert [(t_pvalue(m) or 0) / 2 for m in (plain, corrected)] == pytest.approx(
        [0.005, 0.227], abs=6e-4
    )
    interval = t_interval(corrected, 0.05)
    assert (interval.low, interval.high) == pytest.approx((-0.016445, 0.036445), abs=1e-5)
    assert posterior_shares(corrected, 0.01).within == pytest.approx(0.432, abs=5e-4)


def test_folds_have_no_results_that_need_independent_blocks() -> None:
    comparison = of_folds({**FOLDS, "c": noisy(0.95, 10, 9)})
    assert (comparison.omnibus, comparison.single_seed, comparison.scope) == (None,) * 3
    assert comparison.time_to_target is None
    for pair in comparison.pairs:
        assert pair.pvalue_t is pair.pvalue_wilcoxon is pair.win_rate_low is pair.a12_low is None
        assert pair.seeds_needed is pair.seeds_needed_equivalence is None
        assert None not in (pair.win_rate, pair.dz)
    assert {rate.ci_low for rate in comparison.collapses.treatments} == {None}


@pytest.mark.parametrize(
    ("block", "warned"),
    [
        *((name, True) for name in ("fold", "Folds", "cv_fold", "split", "cv")),
        *((name, False) for name in ("seed", "manifold", "dataset")),
    ],
)
def test_undeclared_folds_give_a_warning(block: str, warned: bool) -> None:
    table = long_table(FOLDS).rename(columns={"seed": block})
    plain = compare(table, block=block)
    assert any("the p-values here are too small" in w for w in plain.warnings) == warned
    declared = compare(table, block=block, test="corrected-t", resampling_ratio=RATIO)
    assert not any("too small" in w for w in declared.warnings)


# --- settings and export ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "t"}, "test must be sign-flip, welch or corrected-t, got 't'"),
        ({"test": None}, "test must be sign-flip, welch or corrected-t, got None"),
        ({"test": "corrected-t"}, "'corrected-t' needs resampling_ratio"),
        ({"test": "welch", "resampling_ratio": 0.1}, "no other test has one, got test 'welch'"),
        ({"resampling_ratio": 0.1}, "got test 'sign-flip' and resampling_ratio 0.1"),
        ({"test": "corrected-t", "resampling_ratio": 0}, "must be positive and finite, got 0"),
        ({"test": "welch", "correction": "max-t"}, "'welch' goes with correction 'holm' only"),
        ({"test": "welch", "win_threshold": 0.75}, "win_threshold needs test 'sign-flip'"),
    ],
)
def test_settings_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(")):
        compare(long_table(FOLDS), **options)


def test_only_unpaired_runs_need_no_block() -> None:
    table = long_table(SAMPLES).drop(columns="seed")
    with pytest.raises(TableError, match="no column 'seed'"):
        compare(table)


def test_json_names_the_test_where_it_is_not_the_sign_flip_test() -> None:
    documents = {
        "sign-flip": json.loads(to_json(compare(long_table(FOLDS)))),
        "welch": json.loads(to_json(unpaired(FOLDS))),
        "corrected-t": json.loads(to_json(of_folds(FOLDS))),
    }
    tests = {name: d["parameters"].get("test") for name, d in documents.items()}
    assert tests == {"sign-flip": None, "welch": "welch", "corrected-t": "corrected-t"}
    assert documents["corrected-t"]["parameters"]["resampling_ratio"] == RATIO
    sizes = {name: "n_a" in d["pairs"][0] for name, d in documents.items()}
    assert sizes == {"sign-flip": False, "welch": True, "corrected-t": False}
