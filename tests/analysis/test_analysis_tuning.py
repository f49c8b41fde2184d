"""Statistics of a tuning, against brute force and scipy."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _change_tables import noisy
from _tunings import LR, TRIALS, Trials, tuned_of, tuning_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel

from bench.analysis import to_json
from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.tuning import TunedOptimizer, TuningStatistics
from bench.analysis.tuning import select_settings
from bench.analysis.tuning_statistics import (
    best_quantiles,
    good_range,
    left_out_accuracy,
    with_statistics,
)
from bench.spec.ranges import SearchRange

DEFAULT = {"sgd": noisy(9500, 20, 1), "adam": noisy(9700, 20, 2), "adagrad": noisy(9400, 20, 3)}
TUNED = {"sgd": noisy(9760, 20, 4), "adam": noisy(9750, 20, 5), "adagrad": noisy(9700, 20, 6)}


def statistics(**changes: Trials) -> dict[str, TuningStatistics]:
    found = with_statistics(tuning_of(DEFAULT, TUNED, changes))
    return {of.optimizer: of for of in found.statistics}


# --- expected best


@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.95]), min_size=1, max_size=7),
    tenths=st.sampled_from([1, 5, 9]),
)
def test_quantiles_of_the_best_are_those_of_all_subsets(scores: list[float], tenths: int) -> None:
    found = best_quantiles(scores, tenths)
    for t, quantile in enumerate(found, 1):
        maxima = [max(subset) for subset in combinations(scores, t)]
        shares = {s: Fraction(sum(best <= s for best in maxima), len(maxima)) for s in set(maxima)}
        assert quantile == min(s for s, share in shares.items() if share >= Fraction(tenths, 10))


def test_a_failed_trial_leaves_no_quantiles() -> None:
    found = statistics(adam={**TRIALS, 1.0: (0.8, 0.3, "failed")})
    assert (found["adam"].best_low, found["adam"].good_range) == ((), None)
    assert found["sgd"].best_low == pytest.approx([0.0, 0.91, 0.97, 0.975])
    assert found["sgd"].best_high == pytest.approx([0.975] * 4)


# --- the winner's curse


def test_the_gap_is_welchs() -> None:
    for name, found in statistics().items():
        validation = np.array(TRIALS[0.1], dtype=float)
        test = np.array(TUNED[name]) / 10_000
        oracle = ttest_ind(validation, test, equal_var=False).confidence_interval(0.95)
        assert found.gap == pytest.approx(validation.mean() - test.mean())
        assert (found.gap_ci_low, found.gap_ci_high) == pytest.approx((oracle.low, oracle.high))


def test_one_tuning_seed_gives_a_gap_without_interval() -> None:
    found = statistics(sgd={0.01: (0.95,), 0.1: (0.97,)})["sgd"]
    assert found.gap == pytest.approx(0.97 - np.mean(TUNED["sgd"]) / 10_000)
    assert (found.gap_ci_low, found.gap_ci_high) == (None, None)
    assert (found.left_out_accuracy, found.optimism) == (None, None)


def test_nothing_is_known_where_every_setting_diverged() -> None:
    found = statistics(sgd={0.01: (0.9, "diverged"), 0.1: ("diverged", 0.8)})["sgd"]
    assert (found.gap, found.optimism, found.good_range) == (None, None, None)


LEFT_OUT = {
    "always the same": (TRIALS, 0.975),
    # without seed 0: 0.1 (0.9 against 0.5); without 1: 0.01 (0.8 against 0.1); without 2: 0.01
    "another one": ({0.01: (0.8, 0.5, 0.5), 0.1: (0.0, 0.9, 0.2)}, (0.0 + 0.5 + 0.5) / 3),
    "a diverged one counts as 0": ({0.01: (0.5, 0.5), 0.1: ("diverged", 0.9)}, (0.0 + 0.5) / 2),
    "not a failed one": ({0.01: (0.5, 0.5), 0.1: ("failed", 0.9)}, 0.5),
    "one seed": ({0.01: (0.5,)}, None),
}


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize("case", LEFT_OUT)
def test_each_seed_judges_the_choice_of_the_others(case: str, metric: str) -> None:
    trials, expected = LEFT_OUT[case]
    found = left_out_accuracy(tuned_of(trials, metric=metric).tried, metric)
    assert found == (None if expected is None else pytest.approx(expected))


def test_equal_scores_are_ordered_by_accuracy_as_in_the_selection() -> None:
    tried = [
        replace(setting, scores=(10.0, 10.0), score=10.0)
        for setting in tuned_of({0.01: (0.5, 0.5), 0.1: (0.9, 0.9)}).tried
    ]
    assert left_out_accuracy(tried, "time-to-target") == pytest.approx(0.9)


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_optimism_of_a_selection_is_never_negative(counts: list[list[int]]) -> None:
    trials = {0.1 + 0.1 * place: [n / 8 for n in run] for place, run in enumerate(counts)}
    tuned = tuned_of(trials)
    left_out = left_out_accuracy(tuned.tried, "accuracy")
    assert tuned.chosen.accuracy is not None
    assert left_out is not None
    assert tuned.chosen.accuracy - left_out > -1e-12


def test_repeats_select_and_are_left_out_on_their_own() -> None:
    trials = {0.01: (0.9, 0.5, 0.5, 0.5), 0.1: (0.8, 0.8, 0.8, 0.8)}
    tuned = tuned_of(trials, n_repeats=2)
    assert [dict(choice.setting)["lr"] for choice in tuned.choices] == [0.1, 0.1]
    # without its first seed a repeat chooses 0.1; without its second seed the first chooses 0.01
    found = with_statistics(tuning_of({"a": [1, 2]}, {"a": [1, 2]}, {"a": trials}, n_repeats=2))
    assert found.statistics[0].left_out_accuracy == pytest.approx((0.8 + 0.5 + 0.8 + 0.8) / 4)
    counts = {"a": [9000, 9100, 9200, 9400]}
    once = with_statistics(tuning_of(counts, counts, {"a": trials}, n_repeats=4))
    assert [dict(c.setting)["lr"] for c in once.optimizers[0].choices] == [0.01, 0.1, 0.1, 0.1]
    assert once.optimizers[0].validation_accuracy == pytest.approx((0.9 + 3 * 0.8) / 4)
    found = once.statistics[0]
    assert found.left_out_accuracy is None
    oracle = ttest_rel([0.9, 0.8, 0.8, 0.8], [0.90, 0.91, 0.92, 0.94])
    low, high = oracle.confidence_interval(0.95)
    assert (found.gap_ci_low, found.gap_ci_high) == pytest.approx((low, high))


def test_of_equal_times_the_choice_without_a_seed_has_the_higher_accuracy() -> None:
    """As in the selection: the second setting is as fast as the first, and better."""
    rows = [
        {
            **{"optimizer": name, "seed": seed, "status": "ok", "test_loss": 0.1},
            **{"test_accuracy": accuracy, "train_seconds": 1.0},
            **{"eval_iterations": [1, 2], "eval_test_accuracy": [0.96, accuracy]},
        }
        for name, accuracy in (("a", 0.96), ("b", 0.97))
        for seed in range(3)
    ]
    tuned = timed(rows)
    assert tuned.chosen.name == "b"
    assert tuned.chosen.scores == (1.0, 1.0, 1.0)
    assert left_out_accuracy(tuned.tried, "time-to-target") == pytest.approx(0.97)
    nothing = dict.fromkeys(("eval_iterations", "eval_test_accuracy", "test_accuracy", "test_loss"))
    rows[-1] |= {"status": "failed", **nothing}
    failed = timed(rows)
    assert (failed.chosen.name, failed.tried[1].scores) == ("a", (1.0, 1.0, None))


def timed(rows: list[dict[str, Any]]) -> TunedOptimizer:
    return select_settings(
        [pd.DataFrame(rows)],
        optimizer="sgd",
        settings={"a": (("lr", 0.01),), "b": (("lr", 0.1),)},
        ranges=(LR,),
        default=(),
        metric="time-to-target",
        target=0.95,
    )


# --- ranks


def test_equal_means_share_a_rank() -> None:
    # the same sum of images; sums of the fractions may differ in their last bits
    default = {"a": [9701, 9703], "b": [9702, 9702], "c": [9750, 9740], "d": [9100, 9200]}
    tuned = {"a": [9600, 9601], "b": [9701, 9709], "c": [9600, 9600], "d": [9800, 9801]}
    found = with_statistics(tuning_of(default, tuned))
    ranks = {of.optimizer: (of.rank_default, of.rank_tuned) for of in found.statistics}
    assert ranks == {"a": (2, 3), "b": (2, 2), "c": (1, 4), "d": (4, 1)}


def test_without_a_mean_there_is_no_rank() -> None:
    change = tuning_of(DEFAULT, TUNED).change
    lost = [
        replace(found, mean_before=None) if found.optimizer == "adam" else found
        for found in change.changes
    ]
    assert change.ranks == {"adagrad": (3, 3), "adam": (1, 2), "sgd": (2, 1)}
    ranks = replace(change, changes=tuple(lost)).ranks
    assert ranks == {"adagrad": (2, 3), "adam": (None, 2), "sgd": (1, 1)}


# --- the good range

LINEAR = SearchRange(name="momentum", low=0.5, high=0.9, is_log=False)
RANGES = {
    "two of four": (TRIALS, (LR,), (0.01, 0.1, 1.0, False)),
    "one": ({0.001: (0.2,), 0.1: (0.9,), 1.0: (0.3,)}, (LR,), (0.1, 0.1, 0.0, False)),
    "up to the end": ({0.001: (0.2,), 0.1: (0.9,), 1.0: (0.895,)}, (LR,), (0.1, 1.0, 1.0, True)),
    "in any order": ({1.0: (0.2,), 0.1: (0.9,), 0.01: (0.895,)}, (LR,), (0.01, 0.1, 1.0, False)),
    "linear": ({0.6: (0.9,), 0.7: (0.9,), 0.8: (0.1,)}, (LINEAR,), (0.6, 0.7, None, False)),
    "with a gap": ({0.01: (0.9,), 0.1: (0.8,), 1.0: (0.9,)}, (LR,), None),
    "a failed trial": ({0.01: (0.9,), 0.1: (0.9,), 1.0: ("failed",)}, (LR,), None),
    "two hyperparameters": (TRIALS, (LR, LINEAR), None),
}


@pytest.mark.parametrize("case", RANGES)
def test_the_good_range(case: str) -> None:
    trials, ranges, expected = RANGES[case]
    found = good_range(tuned_of(trials, ranges=ranges))
    if expected is None:
        assert found is None
        return
    assert found is not None
    low, high, decades, is_edge = expected
    assert (found.name, found.low, found.high) == (ranges[0].name, low, high)
    assert found.decades == (None if decades is None else pytest.approx(decades))
    assert found.is_edge == is_edge


# --- as JSON and in notebooks


def test_a_tuning_is_strict_json() -> None:
    found = with_statistics(tuning_of(DEFAULT, TUNED))
    read = json.loads(to_json(found))
    assert [of["optimizer"] for of in read["statistics"]] == list(DEFAULT)
    (diverged,) = [s for s in read["optimizers"][0]["tried"] if s["n_diverged"]]
    assert (diverged["score"], diverged["scores"][:2]) == (None, pytest.approx([0.8, 0.3]))
    assert read["statistics"][0]["good_range"]["decades"] == pytest.approx(1)
    assert isinstance(found, NotebookRepr)
    assert "good range" in found._repr_html_()
    assert not math.isnan(read["statistics"][0]["gap"])
