"""Tests of conclusions from single seeds: best shares, rank reversals, agreement of two sets."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _tables import complete_table, long_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from bench.analysis import compare
from bench.analysis import single_seed as module
from bench.analysis.results import SingleSeed
from bench.analysis.single_seed import DRAWS

TOTAL = 10_000
#: Standard errors that a drawn probability may be off.
SIGMAS = 4.5

long = partial(long_table, total=TOTAL)


def ask(table: pd.DataFrame, **options: Any) -> SingleSeed:
    answer = compare(table, **options).single_seed
    assert answer is not None
    return answer


def best_shares(answer: SingleSeed) -> dict[str, float]:
    return {best_share.treatment: best_share.share for best_share in answer.best_shares}


def shares(answer: SingleSeed) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    return {(p.a, p.b): (p.wrong_share, p.tied_share) for p in answer.pairs}


def noisy(mean: float, n: int, seed: int, spread: float = 20.0) -> list[int]:
    rng = np.random.default_rng([seed, n])
    return np.rint(rng.normal(mean, spread, n)).astype(int).tolist()


def exact_probability(scores: np.ndarray, n: int) -> float:
    """Over all pairs of disjoint sets of `n` blocks, rows of `scores`, higher is better."""
    chances = []
    for first in itertools.combinations(range(len(scores)), n):
        rest = sorted(set(range(len(scores))) - set(first))
        for second in itertools.combinations(rest, n):
            best = [
                np.flatnonzero(sums == sums.max())
                for sums in (scores[list(first)].sum(axis=0), scores[list(second)].sum(axis=0))
            ]
            named = [(x, y) for x in best[0] for y in best[1]]
            chances.append(sum(x == y for x, y in named) / len(named))
    return float(np.mean(chances))


# --- best_shares ----------------------------------------------------------------------------------

BY_HAND = {"x": [9, 1, 2, 5, 6], "y": [1, 3, 2, 5, 6], "z": [0, 0, 2, 4, 7]}


def test_best_shares_by_hand_with_shared_ties() -> None:
    answer = ask(long(BY_HAND))
    assert (answer.leader, answer.n_blocks) == ("x", 5)
    expected = {"x": (1 + 1 / 3 + 1 / 2) / 5, "y": (1 + 1 / 3 + 1 / 2) / 5, "z": (1 / 3 + 1) / 5}
    assert best_shares(answer) == pytest.approx(expected, abs=1e-15)
    assert sum(best_shares(answer).values()) == pytest.approx(1.0, abs=1e-15)


def test_best_shares_are_in_the_order_of_the_treatments() -> None:
    comparison = compare(long(BY_HAND))
    assert comparison.single_seed is not None
    assert [c.treatment for c in comparison.single_seed.best_shares] == ["x", "y", "z"]
    assert [t.name for t in comparison.treatments] == ["x", "y", "z"]


def test_lower_value_is_best_where_lower_is_better() -> None:
    answer = ask(long(BY_HAND), direction="lower")
    assert answer.leader == "z"
    expected = {"z": (1 + 1 + 1 / 3 + 1) / 5, "y": (1 / 3 + 1 / 2) / 5, "x": (1 / 3 + 1 / 2) / 5}
    assert best_shares(answer) == pytest.approx(expected, abs=1e-15)


def test_equal_floats_share_the_block() -> None:
    """0.1 + 0.2 and 0.3 differ in the last bit."""
    answer = ask(long_table({"x": [0.1 + 0.2, 0.9], "y": [0.3, 0.1]}))
    assert best_shares(answer) == {"x": 0.75, "y": 0.25}


def test_only_complete_blocks_count() -> None:
    table = long(
        {
            "x": [9, 9, 9, 1, None, 9],
            "y": [1, 1, 1, 9, 9, 1],
            "z": [0, 0, 0, 0, 0, None],
        }
    )
    answer = ask(table)
    assert answer.n_blocks == 4
    assert best_shares(answer) == {"x": 0.75, "y": 0.25, "z": 0.0}
    assert {(p.a, p.b): p.n for p in answer.pairs} == {
        ("x", "y"): 5,
        ("x", "z"): 4,
        ("y", "z"): 5,
    }
    assert [point.n for point in answer.curve] == [1, 2]


@pytest.mark.parametrize(("wins", "n"), [(8, 20), (0, 20), (20, 20), (1, 3)])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_shares_have_wilsons_interval(wins: int, n: int, alpha: float) -> None:
    answer = ask(long({"x": [2] * wins + [0] * (n - wins), "y": [1] * n}), alpha=alpha)
    (x,) = (share for share in answer.best_shares if share.treatment == "x")
    scipys = stats.binomtest(wins, n).proportion_ci(1 - alpha, "wilson")
    assert (x.share_low, x.share_high) == pytest.approx((scipys.low, scipys.high), abs=1e-12)
    statsmodels = proportion_confint(wins, n, alpha, "wilson")
    assert (x.share_low, x.share_high) == pytest.approx(statsmodels, abs=1e-12)


def test_a_single_block_has_shares_without_interval_and_no_curve() -> None:
    answer = ask(long({"x": [2], "y": [1]}))
    assert {(s.share_low, s.share_high) for s in answer.best_shares} == {(None, None)}
    assert answer.curve == ()


def test_failed_runs_are_missing_whatever_value_was_left_behind() -> None:
    table = long({"x": [9, 9, 1, 9], "y": [1, 1, 9, 1]}, status="ok")
    whole = ask(table)
    table.loc[2, "status"] = "failed"
    assert (ask(table).n_blocks, best_shares(ask(table))) == (3, {"x": 1.0, "y": 0.0})
    assert best_shares(whole) == {"x": 0.75, "y": 0.25}


def test_the_leader_is_that_of_the_complete_blocks() -> None:
    """y has the better mean over its six runs, x over the four complete blocks."""
    answer = ask(long({"x": [5, 5, 5, 5, None, None], "y": [4, 4, 4, 4, 99, 99]}))
    assert answer.leader == "x"
    assert [c.treatment for c in answer.best_shares] == ["y", "x"]
    assert [(p.n, p.probability) for p in answer.curve] == [(1, 1.0), (2, 1.0)]


# --- wrong winners ---------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["higher", "lower"])
@pytest.mark.parametrize(
    ("x", "y", "wrong", "tied"),
    [
        ([5, 5, 3, 4, 6], [4, 4, 4, 4, 4], 0.2, 0.2),
        ([9, 9, 9], [1, 2, 3], 0.0, 0.0),
        ([1, 1, 1, 1, 99], [2, 2, 2, 2, 0], 0.8, 0.0),
        ([5, 4, 4, 4], [4, 4, 4, 4], 0.0, 0.75),
        ([7], [3], 0.0, 0.0),
    ],
    ids=["mixed", "always ahead", "ahead by one large win", "mostly tied", "one seed"],
)
def test_wrong_and_tied_shares_by_hand(
    x: list[int], y: list[int], wrong: float, tied: float, direction: str
) -> None:
    answer = ask(long({"x": x, "y": y}), direction=direction)
    pair = ("x", "y") if direction == "higher" else ("y", "x")
    assert shares(answer) == {pair: (wrong, tied)}


@pytest.mark.parametrize(
    ("x", "y"),
    [([9600, 9606, 9631, 9602], [9600, 9600, 9605, 9634]), ([5, 6, 7], [5, 6, 7])],
    ids=["differences that cancel", "identical"],
)
def test_pair_with_equal_means_has_no_wrong_share(x: list[int], y: list[int]) -> None:
    table = long({"x": x, "y": y})
    plain = table[["optimizer", "seed", "test_accuracy"]]
    for answer in (ask(table), ask(plain)):
        assert shares(answer) == {("x", "y"): (None, None)}


def test_pair_without_common_blocks_has_no_shares() -> None:
    table = long({"x": [5, 5, None], "y": [None, 4, 4], "z": [3, None, 3]})
    assert compare(table).single_seed is None
    met = long({"x": [5, 5, None, 5], "y": [None, 4, 4, None], "z": [3, 3, 3, 3]})
    by_pair = {(p.a, p.b): p for p in ask(met).pairs}
    assert by_pair["x", "y"].n == 1
    apart = met[~((met["optimizer"] == "y") & (met["seed"] == 1))]
    assert compare(apart).single_seed is None


def test_pairs_follow_those_of_the_comparison() -> None:
    comparison = compare(long({f"o{i}": noisy(9700 + 5 * i, 9, i) for i in range(5)}))
    answer = comparison.single_seed
    assert answer is not None
    assert [(p.a, p.b, p.n) for p in answer.pairs] == [(p.a, p.b, p.n) for p in comparison.pairs]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=9),
    st.sampled_from(["higher", "lower"]),
)
def test_shares_equal_counting(values: list[tuple[int, int]], direction: str) -> None:
    x, y = (list(column) for column in zip(*values, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DRAWS", 10)
        (pair,) = ask(long({"x": x, "y": y}), direction=direction).pairs
    d = np.subtract(x, y) if pair.a == "x" else np.subtract(y, x)
    if d.sum() == 0:
        assert (pair.wrong_share, pair.tied_share) == (None, None)
    else:
        assert (d.sum() > 0) == (direction == "higher")
        assert pair.wrong_share == np.mean(np.sign(d) == -np.sign(d.sum()))
        assert pair.tied_share == np.mean(d == 0)


class TestDiverged:
    """A loss that diverged is infinite: it loses its block, and the mean over all blocks."""

    def table(self, x_diverged: int, y_diverged: int) -> pd.DataFrame:
        table = pd.DataFrame(
            {
                "optimizer": ["x"] * 4 + ["y"] * 4,
                "seed": [*range(4)] * 2,
                "test_loss": [0.1] * 4 + [0.2] * 4,
                "status": "ok",
            }
        )
        gone = [*range(x_diverged), *range(4, 4 + y_diverged)]
        table.loc[gone, "status"], table.loc[gone, "test_loss"] = "diverged", np.nan
        return table

    def test_it_loses_its_block_and_the_lead(self) -> None:
        answer = ask(self.table(1, 0), value="test_loss")
        assert answer.leader == "y"
        assert best_shares(answer) == {"y": 0.25, "x": 0.75}
        assert shares(answer) == {("y", "x"): (0.75, 0.0)}

    def test_the_set_without_it_names_it(self) -> None:
        """Two single seeds agree unless one of them diverged; of two sets of two, one has it."""
        answer = ask(self.table(1, 0), value="test_loss")
        assert [(p.n, p.probability) for p in answer.curve] == [(1, 0.5), (2, 0.0)]

    def test_two_that_diverged_on_the_same_seed_tie_there(self) -> None:
        answer = ask(self.table(1, 1), value="test_loss")
        assert shares(answer) == {("x", "y"): (0.0, 0.25)}
        assert best_shares(answer) == {"x": 0.875, "y": 0.125}

    def test_all_diverged_is_a_tie_throughout(self) -> None:
        table = self.table(4, 4)
        table.loc[8] = ["z", 9, 0.5, "ok"]  # a value that makes a table, in no complete block
        assert compare(table, value="test_loss").single_seed is None
        answer = ask(table.assign(seed=[0, 1, 2, 3, 0, 1, 2, 3, 0]), value="test_loss")
        assert (answer.leader, answer.n_blocks) == ("z", 1)
        pairs = {frozenset((p.a, p.b)): (p.wrong_share, p.tied_share) for p in answer.pairs}
        assert pairs[frozenset("xy")] == (None, None)
        assert pairs[frozenset("xz")] == (0.0, 0.0)

    def test_an_accuracy_counts_as_measured(self) -> None:
        table = long({"x": [1135, 9800, 9800], "y": [9700, 9700, 9700]}, status="ok")
        table.loc[0, "status"] = "diverged"
        answer = ask(table)
        assert (answer.leader, shares(answer)) == ("y", {("y", "x"): (2 / 3, 0.0)})


# --- the curve -------------------------------------------------------------------------------

TINY = {
    "two, three blocks": {"x": [5, 7, 1], "y": [4, 4, 4]},
    "two, six blocks": {"x": [5, 9, 1, 3, 8, 2], "y": [4, 4, 4, 5, 6, 7]},
    "two, four blocks": {"x": [5, 9, 1, 3], "y": [4, 4, 4, 5]},
    "ties in sums": {"x": [5, 3, 4, 6], "y": [4, 4, 4, 4]},
    "three treatments": {"x": [9, 1, 2, 6], "y": [1, 3, 8, 5], "z": [4, 4, 3, 5]},
    "a tie for the lead": {"x": [1, 2, 3], "y": [3, 2, 1], "z": [0, 3, 0]},
}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_the_curve_equals_the_enumeration_of_all_disjoint_sets(name: str, direction: str) -> None:
    columns = TINY[name]
    answer = ask(long(columns), direction=direction)
    scores = np.array(list(columns.values())).T * (1 if direction == "higher" else -1)
    assert [point.n for point in answer.curve] == list(range(1, len(scores) // 2 + 1))
    for point in answer.curve:
        expected = exact_probability(scores, point.n)
        spread = 0.0 if point.n == 1 else math.sqrt(expected * (1 - expected) / DRAWS)
        assert point.probability == pytest.approx(expected, abs=SIGMAS * spread + 1e-12), point.n


@pytest.mark.parametrize(("k", "expected"), [(2, 0.5), (8, 0.125)])
def test_equal_optimizers_agree_by_chance_only(k: int, expected: float) -> None:
    """Over many simulated sweeps the mean is unbiased; the leader's naming gave .77 and .48."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DRAWS", 60)
        for seed in range(100):
            table = complete_table(np.random.default_rng([k, seed]).normal(size=(8, k)).round(6))
            answer = module.single_seed(table, table.treatments, (), alpha=0.05)
            assert answer is not None
            found.append([point.probability for point in answer.curve])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(len(found))
    assert np.all(np.abs(mean - expected) < 4 * error)


def test_two_sets_agree_more_often_the_larger_they_are() -> None:
    answer = ask(long({f"o{i}": noisy(9700 + 8 * i, 25, i) for i in range(4)}))
    curve = np.array([point.probability for point in answer.curve])
    assert len(curve) == 12
    assert curve[0] < 0.5 < 0.7 < curve[-1]


def test_whole_blocks_are_drawn_so_that_the_pairing_stays() -> None:
    """deep-significance's "paired" bootstrap drew each side by itself; seeds differ by far more
    than the two optimizers do, and still every seed has the same winner.
    """
    base = noisy(9000, 12, 0, spread=400.0)
    answer = ask(long({"x": [b + 1 for b in base], "y": base}))
    assert {point.probability for point in answer.curve} == {1.0}
    assert shares(answer) == {("x", "y"): (0.0, 0.0)}


def test_equal_treatments_have_probability_one_half() -> None:
    same = noisy(9700, 8, 0)
    answer = ask(long({"x": same, "y": same}))
    assert {point.probability for point in answer.curve} == {0.5}
    assert (answer.leader, best_shares(answer)) == ("x", {"x": 0.5, "y": 0.5})


@pytest.mark.parametrize(
    ("n_blocks", "points"), [(1, 0), (2, 1), (3, 1), (60, 30), (62, None), (400, None)]
)
def test_the_points_of_the_curve(n_blocks: int, points: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DRAWS", 20)
        answer = ask(long({"x": noisy(9700, n_blocks, 0), "y": noisy(9690, n_blocks, 1)}))
    at = [point.n for point in answer.curve]
    assert at == sorted(set(at))
    if points is None:
        assert (at[0], at[-1]) == (1, n_blocks // 2)
        assert 20 <= len(at) <= 31
    else:
        assert at == list(range(1, points + 1))


# --- what must not matter, and what must -------------------------------------------------------

SOME = {f"o{i}": noisy(9700 + 3 * i, 7, i) for i in range(3)}


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    table = long(SOME)
    assert ask(table.sample(frac=1, random_state=seed)) == ask(table)


def test_the_names_of_the_seeds_do_not_matter() -> None:
    """Blocks are sorted by their values before they are drawn."""
    table = long(SOME)
    for renamed in (
        1000 - 7 * table["seed"],
        table["seed"].map(dict(enumerate([3, 0, 6, 1, 5, 2, 4]))),
        table["seed"].map(dict(enumerate("gbdface"))),
    ):
        assert ask(table.assign(seed=renamed)) == ask(table)


def test_the_names_of_the_optimizers_do_not_matter() -> None:
    table = long(SOME)
    new = {"o0": "zebra", "o1": "ant", "o2": "m"}
    before, after = ask(table), ask(table.assign(optimizer=table["optimizer"].map(new)))
    assert after.leader == new[before.leader]
    assert after.curve == before.curve
    assert best_shares(after) == {new[name]: share for name, share in best_shares(before).items()}
    assert shares(after) == {(new[a], new[b]): both for (a, b), both in shares(before).items()}


def test_the_mirrored_table_gives_the_same_answer() -> None:
    table = long(SOME)[["optimizer", "seed", "test_accuracy"]]
    mirrored = table.assign(test_loss=1 - table["test_accuracy"])
    assert ask(mirrored, value="test_loss") == ask(table)


@pytest.mark.parametrize("scale", [1.0, 100.0, 0.5])
def test_fractions_per_cent_and_counts_give_the_same(scale: float) -> None:
    table = long(SOME)
    scaled = table[["optimizer", "seed"]].assign(score=scale * table["test_accuracy"])
    assert ask(scaled, value="score", direction="higher") == ask(table)


def test_the_draws_are_fixed() -> None:
    first = ask(long(SOME))
    np.random.default_rng().normal(size=9)
    assert ask(long(SOME)) == first


def test_the_seed_of_the_draws_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """rliable ignores its random_state."""
    before = ask(long(SOME))
    monkeypatch.setattr(module, "DRAWS_SEED", module.DRAWS_SEED + 1)
    after = ask(long(SOME))
    assert after.curve != before.curve
    assert after.curve[0] == before.curve[0]
    assert (after.best_shares, after.pairs) == (before.best_shares, before.pairs)


def test_numpys_global_generator_is_neither_used_nor_touched() -> None:
    """rliable uses the global generator."""
    before = str(np.random.get_state())
    ask(long(SOME))
    assert str(np.random.get_state()) == before


# --- none, and large -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        {"x": [1, 2, 3]},
        {"x": [1, None], "y": [None, 2]},
        {"x": [1, 1, None], "y": [1, None, 1], "z": [None, 1, 1]},
    ],
    ids=["one treatment", "no common block", "no complete block"],
)
def test_undefined_without_complete_blocks_or_pairs(columns: dict[str, list[int | None]]) -> None:
    assert compare(long(columns)).single_seed is None


def test_a_treatment_without_any_value_leaves_no_complete_block() -> None:
    table = long({"x": [1, 2], "y": [3, 4], "z": [5, 6]}, status="ok")
    table.loc[table["optimizer"] == "z", "status"] = "failed"
    assert compare(table).single_seed is None


@pytest.mark.parametrize(
    ("numbers", "n_draws"),
    [(21 * 100, 100), (21 * 101 - 1, 100), (21, 1), (1, 1), (21 * DRAWS * 9, DRAWS)],
)
def test_large_tables_have_fewer_draws(
    numbers: int, n_draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", numbers)
    answer = ask(long(SOME))
    assert answer.n_draws == n_draws
    for point in answer.curve[1:]:
        assert point.probability * n_draws * 6 == pytest.approx(
            round(point.probability * n_draws * 6)
        )


@pytest.mark.parametrize("chunk", [1, 21 * 999, 21 * DRAWS])
def test_draws_in_chunks_are_as_many_and_say_the_same(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAWS", 2_000)
    whole = ask(long(SOME))
    monkeypatch.setattr(module, "_CHUNK", chunk)
    parts = ask(long(SOME))
    assert parts.n_draws == whole.n_draws == 2_000
    for a, b in zip(whole.curve, parts.curve, strict=True):
        assert a.n == b.n
        assert a.probability == pytest.approx(b.probability, abs=SIGMAS * math.sqrt(0.5 / 2_000))


def test_sums_that_differ_by_rounding_alone_are_equal() -> None:
    """Three times the float 1/3 must tie with 1."""
    thirds = pd.DataFrame(
        {
            "optimizer": ["x"] * 3 + ["y"] * 3,
            "seed": [0, 1, 2] * 2,
            "score": [1 / 3, 1 / 3, 1 / 3, 1.0, 0.0, 0.0],
        }
    )
    comparison = compare(thirds, value="score", direction="higher")
    counts = compare(long({"x": [1, 1, 1], "y": [3, 0, 0]}))
    (pair,), told = comparison.pairs, comparison.single_seed
    assert (pair.mean_difference, pair.dz, pair.statistic, pair.pvalue) == (0.0, 0.0, 0.0, 1.0)
    assert told is not None
    assert counts.single_seed is not None
    assert (told.pairs[0].wrong_share, told.pairs[0].tied_share) == (None, None)
    assert told.curve == counts.single_seed.curve
    assert told.leader == counts.single_seed.leader
