"""A comparison that adds seeds until every pair is decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from _tables import long_table
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import Comparison, compare
from bench.analysis.results import Pair
from bench.analysis.sequential import expected_seeds, predicted_seeds
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_pvalue
from bench.analysis.stats.sequential import doubling_looks, sequential_pvalue
from bench.analysis.stats.student import Moments, tost_pvalue
from bench.analysis.table import pair_up
from bench.errors import SpecError

LOOKS = (12, 24, 48)

# --- the p-value -----------------------------------------------------------------------------

blocks = st.lists(st.integers(-5, 9), min_size=1, max_size=4)


def pvalues_of(parts: Sequence[Sequence[int]]) -> list[float | None]:
    so_far: list[int] = []
    found = []
    for part in parts:
        so_far += part
        found.append(sign_flip_pvalue(so_far))
    return found


def adjusted(parts: Sequence[Sequence[int]], n_looks: int) -> float | None:
    return sequential_pvalue(pvalues_of(parts), n_looks, [np.array(p, float) for p in parts])


@given(st.lists(blocks, min_size=1, max_size=3), st.integers(0, 2))
def test_it_is_the_share_of_sign_patterns_that_are_as_extreme(
    parts: list[list[int]], left: int
) -> None:
    """All patterns are listed, with the p-value of each at each look."""
    sizes, n_looks = np.abs(np.concatenate(parts)), len(parts) + left
    signs = np.array([*product([1, -1], repeat=len(sizes))])
    sums = np.abs(np.cumsum(signs * sizes, axis=1)[:, np.cumsum([*map(len, parts)]) - 1])
    of_patterns = np.array([[(look >= s).mean() for s in look] for look in sums.T])
    smallest = min((p for p in pvalues_of(parts) if p is not None), default=None)
    if smallest is None:
        assert adjusted(parts, n_looks) is None
        return
    crossed = (of_patterns.min(axis=0) <= smallest * (1 + 1e-12)).mean()
    assert adjusted(parts, n_looks) == pytest.approx(min(1, crossed + left * smallest))


@given(st.lists(st.lists(st.integers(-20, 30), min_size=3, max_size=8), min_size=3, max_size=3))
def test_it_does_not_increase_and_is_at_most_the_bound(parts: list[list[int]]) -> None:
    of_looks = [adjusted(parts[:k], 3) for k in (1, 2, 3)]
    bounds = [sequential_pvalue(pvalues_of(parts[:k]), 3) for k in (1, 2, 3)]
    for q, bound, following in zip(of_looks, bounds, [*of_looks[1:], 0.0], strict=True):
        assert q is not None
        assert bound is not None
        assert following is not None
        assert following <= q * (1 + 1e-9)
        assert q <= bound * (1 + 1e-9)


def test_the_bound_replaces_a_table_that_is_too_large() -> None:
    parts = [np.full(12, 1e6), np.arange(12) * 1e6 + 1]
    assert sequential_pvalue([0.01, 0.002], 3, parts) == pytest.approx(0.006)
    assert sequential_pvalue([None, 0.4], 3) == 1.0
    assert sequential_pvalue([None, None], 3) is None


@pytest.mark.parametrize(
    ("n_pairs", "alpha", "most", "expected"),
    [
        (28, 0.05, 160, (13, 26, 52, 104, 160)),
        (28, 0.05, 110, (13, 26, 52, 110)),
        (28, 0.05, 15, (12, 15)),
        (28, 0.05, 14, (14,)),
        (1, 0.05, 40, (8, 16, 32, 40)),
        (1, 0.001, 40, (13, 26, 40)),
        (4950, 0.05, 1000, (21, 42, 84, 168, 336, 672, 1000)),
    ],
)
def test_doubling_looks(n_pairs: int, alpha: float, most: int, expected: tuple[int, ...]) -> None:
    looks = doubling_looks(n_pairs, alpha, most)
    assert looks == expected
    if len(looks) > 1:  # Holm can reject something at the first look, and not with one seed less
        assert 2.0 ** (1 - looks[0]) * n_pairs * len(looks) <= alpha


def test_holm_over_a_larger_family() -> None:
    assert holm([0.01, None, 0.02], 4) == (0.04, None, pytest.approx(0.06))
    assert holm([0.01, None, 0.02]) == (0.02, None, 0.02)


# --- the looks -------------------------------------------------------------------------------


def correct(means: Mapping[str, float], n: int, spread: float = 12, seed: int = 1) -> pd.DataFrame:
    """Counts of correct test images of 10,000, with a part that all optimizers of a seed share."""
    rng = np.random.default_rng(seed)
    common = rng.normal(9_500, 30, n)
    return long_table(
        {
            name: np.rint(common + mean + rng.normal(0, spread, n)).astype(int).tolist()
            for name, mean in means.items()
        },
        total=10_000,
    )


#: The best is clear at once; b and c need more seeds; d and e are alike.
MEANS = {"a": 200.0, "b": 11.0, "c": 0.0, "d": -200.0, "e": -200.0}


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    return correct(MEANS, LOOKS[-1])


@pytest.fixture(scope="module")
def found(runs: pd.DataFrame) -> Comparison:
    return compare(runs, until_decided=LOOKS)


def pair_of(comparison: Comparison, *names: str) -> Pair:
    return next(p for p in comparison.pairs if {p.a, p.b} == set(names))


def test_only_undecided_treatments_get_more_seeds(runs: pd.DataFrame, found: Comparison) -> None:
    sequential = found.sequential
    assert sequential is not None
    assert [look.n_blocks for look in sequential.looks] == [12, 24, 48][: len(sequential.looks)]
    first, second, *_ = sequential.looks
    assert len(first.pairs) == 10
    assert set(first.open_treatments) == {"b", "c", "d", "e"} == set(second.treatments)
    assert {frozenset((p.a, p.b)) for p in second.pairs} == {frozenset("bc"), frozenset("de")}
    assert {t.name: t.n for t in found.treatments}["a"] == 12
    assert sequential.n_runs == sum(t.n for t in found.treatments) == len(runs) - sequential.n_later
    assert sequential.n_runs_fixed == 5 * 48
    assert sequential.saved == pytest.approx(1 - sequential.n_runs / 240)
    assert pair_of(found, "a", "b").n == 12
    assert found.table is not None
    assert len(found.table) == sequential.n_runs


def test_verdicts_follow_from_the_adjusted_pvalues(found: Comparison) -> None:
    """Recomputed from the runs: Holm's method over the p-values that are adjusted for looks."""
    assert found.parameters.looks == LOOKS
    again = holm([pair.pvalue_sequential for pair in found.pairs])
    assert [pair.pvalue_holm for pair in found.pairs] == list(again)
    for pair in found.pairs:
        assert pair.decided_at is not None
        is_different = pair.pvalue_holm is not None and pair.pvalue_holm <= 0.05
        assert (pair.verdict in ("better", "worse")) == is_different
        assert pair.verdict != "equivalent" or pair.pvalue_equivalence_holm <= 0.05  # type: ignore[operator]
    assert pair_of(found, "d", "e").verdict == "equivalent"
    pair = pair_of(found, "b", "c")
    assert (pair.a, pair.verdict) == ("b", "better")


def test_equivalence_is_adjusted_by_the_number_of_looks(
    runs: pd.DataFrame, found: Comparison
) -> None:
    pair = pair_of(found, "d", "e")
    scores = runs.pivot_table(index="seed", columns="optimizer", values="test_correct")
    differences = (scores[pair.a] - scores[pair.b]).to_numpy(float)
    smallest = min(
        tost_pvalue(Moments.of(differences[:n]), -20, 20)  # type: ignore[type-var]
        for n in LOOKS
        if n <= pair.n
    )
    assert pair.pvalue_equivalence_sequential == pytest.approx(3 * smallest)  # type: ignore[operator]


def test_intervals_are_divided_among_the_looks(runs: pd.DataFrame, found: Comparison) -> None:
    (best,) = (t for t in found.treatments if t.name == "a")
    some = runs[(runs["seed"] < 12)]
    strict = compare(some, alpha=0.05 / 3)
    (same,) = (t for t in strict.treatments if t.name == "a")
    assert (best.ci_low, best.ci_high) == (same.ci_low, same.ci_high)
    now, alone = (pair_of(c, "a", "b") for c in (found, strict))
    assert (now.ci_low, now.ci_high) == (alone.ci_low, alone.ci_high)
    assert now.simultaneous_ci_low == pytest.approx(alone.simultaneous_ci_low)
    assert found.level == 0.05
    assert found.secondary_level == pytest.approx(0.05 / 3)


def test_runs_of_a_look_in_progress_are_not_judged(runs: pd.DataFrame) -> None:
    early = compare(runs[runs["seed"] < 12], until_decided=LOOKS)
    for n in (13, 20, 23):
        later = compare(runs[runs["seed"] < n], until_decided=LOOKS)
        assert later.pairs == early.pairs
        assert later.sequential is not None
        assert later.sequential.n_later == 5 * (n - 12)
        assert not later.sequential.is_finished


def test_decided_pairs_stay_decided() -> None:
    """a is better than b at the first look, and worse on the seeds that both get for c and d."""
    runs = correct({"a": 60.0, "b": 0.0, "c": 60.0, "d": 0.0}, 48, spread=12)
    is_late = (runs["optimizer"] == "a") & (runs["seed"] >= 12)
    runs.loc[is_late, "test_correct"] -= 300
    runs["test_accuracy"] = runs["test_correct"] / 10_000
    first = compare(runs[runs["seed"] < 12], until_decided=LOOKS, margin=1e-4)
    assert (pair_of(first, "a", "b").verdict, pair_of(first, "a", "b").a) == ("better", "a")
    assert pair_of(first, "a", "c").verdict == pair_of(first, "b", "d").verdict == "inconclusive"
    pair = pair_of(compare(runs, until_decided=LOOKS, margin=1e-4), "a", "b")
    assert (pair.a, pair.verdict, pair.decided_at, pair.n > 12) == ("b", "worse", 1, True)
    assert any("The mean over all seeds up to now does not agree" in r for r in pair.remarks)


def test_identical_treatments_get_no_more_seeds() -> None:
    runs = correct({"a": 100.0, "b": 0.0}, 48)
    twin = runs[runs["optimizer"] == "b"].assign(optimizer="c")
    found = compare(pd.concat([runs, twin]), until_decided=LOOKS)
    assert found.sequential is not None
    assert len(found.sequential.looks) == 1
    assert pair_of(found, "b", "c").verdict == "identical"


@pytest.mark.parametrize("gone", [("b", 3), ("e", 11)])
def test_a_look_waits_for_missing_and_failed_runs(
    runs: pd.DataFrame, gone: tuple[str, int]
) -> None:
    is_gone = (runs["optimizer"] == gone[0]) & (runs["seed"] == gone[1])
    with pytest.raises(SpecError, match="the first look needs 12 seeds of each optimizer"):
        compare(runs[~is_gone], until_decided=LOOKS)
    status = np.where(is_gone, "failed", "ok")
    with pytest.raises(SpecError, match="are missing or failed"):
        compare(runs.assign(status=status), until_decided=LOOKS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until_decided": (12,)}, "at least two numbers of seeds, ascending, from 3 to"),
        ({"until_decided": (24, 12)}, "ascending"),
        ({"until_decided": (12, 12)}, "ascending"),
        ({"until_decided": (2, 12)}, "from 3 to"),
        ({"until_decided": (12, 24.5)}, "at least two numbers"),
        ({"until_decided": 12}, "a sequence of whole numbers, got 12"),
        ({"until_decided": LOOKS, "correction": "max-t"}, "correction 'holm'"),
        ({"until_decided": LOOKS, "test": "welch"}, "test 'sign-flip'"),
        ({"until_decided": LOOKS, "planned_looks": 2}, "excludes looks and planned_looks"),
    ],
)
def test_settings_that_do_not_fit(
    runs: pd.DataFrame, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        compare(runs, **settings)  # type: ignore[arg-type]


def test_blocks_must_be_whole_numbers(runs: pd.DataFrame) -> None:
    """The order of texts would change as blocks are added."""
    texts = runs.assign(seed="s" + runs["seed"].astype(str))
    with pytest.raises(SpecError, match=r"needs whole numbers as blocks, .* got 's0' in column"):
        compare(texts, until_decided=LOOKS)
    with pytest.raises(SpecError, match="looks must be a sequence of Look, got 3"):
        compare(runs, until_decided=LOOKS, looks=3)  # type: ignore[arg-type]


def test_another_order_of_rows_changes_nothing(runs: pd.DataFrame, found: Comparison) -> None:
    again = compare(runs.sample(frac=1, random_state=1), until_decided=LOOKS)
    assert again.pairs == found.pairs
    assert again.sequential == found.sequential


def test_predictions(runs: pd.DataFrame, found: Comparison) -> None:
    assert found.sequential is not None
    first = found.sequential.looks[:1]
    predicted = predicted_seeds(first, found.parameters)
    assert len(predicted) == len(first[0].open_pairs)
    assert all(n is None or n > 12 for n in predicted)
    paired = pair_up(runs)
    expected = expected_seeds(paired, found.parameters)
    assert set(expected.values()) <= set(LOOKS)
    assert expected["a"] == 12
    assert max(expected[name] for name in "bcde") > 12


def test_all_pairs_belong_to_the_family(found: Comparison) -> None:
    names = [t.name for t in found.treatments]
    assert [(p.a, p.b) for p in found.pairs] == [*combinations(names, 2)]
