"""Tests of compact letter displays and of the groups of mean ranks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scikit_posthocs
from _sweep_analysis import pair
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import Treatment, critical_difference
from bench.analysis.results import Verdict
from bench.analysis.stats.letters import group_letters
from bench.analysis.stats.omnibus import block_ranks, omnibus, rank_diagram


def treatment(name: str, n: int = 5, mean_rank: float | None = None) -> Treatment:
    nothing = dict.fromkeys(
        ("mean", "std", "median", "q1", "q3", "iqm", "min", "max", "ci_low", "ci_high"), None
    )
    return Treatment(name=name, n=n, n_diverged=0, n_failed=0, mean_rank=mean_rank, **nothing)


@pytest.mark.parametrize(
    ("different", "letters"),
    [
        ((), ("a", "a", "a", "a")),
        (("01", "02", "03", "12", "13", "23"), ("a", "b", "c", "d")),
        (("02", "03", "13"), ("a", "ab", "bc", "c")),
        # Piepho's awkward case: no interval of the order explains it
        (("01", "23"), ("ab", "cd", "ac", "bd")),
        (("03",), ("a", "ab", "ab", "b")),
    ],
)
def test_letters_of_known_patterns(different: tuple[str, ...], letters: tuple[str, ...]) -> None:
    pairs = [
        pair("better" if f"{i}{j}" in different else "inconclusive", a=str(i), b=str(j))
        for i, j in combinations(range(4), 2)
    ]
    assert group_letters([treatment(str(i)) for i in range(4)], pairs) == letters


NOT_DIFFERENT: tuple[Verdict, ...] = ("inconclusive", "equivalent", "identical", "not testable")


@given(st.integers(1, 7).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, 2**21 - 1))))
def test_two_share_a_letter_exactly_where_they_do_not_differ(case: tuple[int, int]) -> None:
    k, bits = case
    indices = list(combinations(range(k), 2))
    differ = {ij: bool(bits >> n & 1) for n, ij in enumerate(indices)}
    pairs = [
        pair("worse" if differ[i, j] else NOT_DIFFERENT[(i + j) % 4], a=str(i), b=str(j))
        for i, j in indices
    ]
    names = [treatment(str(i)) for i in range(k)]
    letters = group_letters(names, pairs)
    for i, j in indices:
        assert bool(set(letters[i]) & set(letters[j])) != differ[i, j]
    assert all(letters)
    assert letters[0].startswith("a")
    assert group_letters(names, pairs[::-1]) == letters, "the order of the pairs does not matter"


def test_what_has_no_run_has_no_letter_and_there_are_more_than_26() -> None:
    pairs = [pair("worse", a="x", b="y"), pair("not testable", a="x", b="z")]
    found = group_letters([treatment("x"), treatment("y"), treatment("z", n=0)], pairs)
    assert found == ("a", "b", "")
    many = [treatment(f"{i:02}") for i in range(60)]
    all_differ = [pair("better", a=a.name, b=b.name) for a, b in combinations(many, 2)]
    letters = group_letters(many, all_differ)
    assert len(set(letters)) == 60
    assert (letters[25], letters[26], letters[51], letters[52]) == ("z", "A", "Z", "a2")


def test_groups_that_overlap_without_end_have_no_letters() -> None:
    """Every second differs from the one before it only: n pairs make 2^n largest groups."""
    names = [treatment(str(i)) for i in range(60)]
    pairs = [pair("better", a=str(i), b=str(i + 1)) for i in range(0, 60, 2)]
    assert group_letters(names[:12], pairs[:6])[0]
    assert set(group_letters(names, pairs)) == {""}


@pytest.mark.parametrize("seed", range(8))
def test_rank_groups_are_nemenyis(seed: int) -> None:
    """scikit-posthocs says which pairs Nemenyi's test of the same ranks calls different."""
    rng = np.random.default_rng(seed)
    k, n = int(rng.integers(3, 8)), int(rng.integers(4, 30))
    values = rng.normal(size=(n, k)) + np.linspace(0, rng.uniform(0, 2), k)
    ranks = block_ranks(values, 1)
    names = [f"t{i}" for i in range(k)]
    described = [
        treatment(name, mean_rank=r) for name, r in zip(names, ranks.mean(axis=0), strict=True)
    ]
    diagram = rank_diagram(described, omnibus(ranks), 0.05)
    assert diagram is not None
    assert diagram.n_blocks == n
    assert diagram.critical_difference == critical_difference(k, n)
    p = scikit_posthocs.posthoc_nemenyi_friedman(values).to_numpy()
    together = {
        frozenset(two) for group in diagram.groups for two in combinations(sorted(group), 2)
    }
    for i, j in combinations(range(k), 2):
        assert (frozenset((names[i], names[j])) in together) == (p[i, j] > 0.05)
    for one, other in combinations(diagram.groups, 2):
        assert not set(one) <= set(other)
        assert not set(other) <= set(one)


def test_no_diagram_of_two_treatments_or_one_block() -> None:
    two, one_block = block_ranks(np.ones((9, 2)), 1), block_ranks(np.ones((1, 3)), 1)
    for ranks in (two, one_block):
        some = [treatment(str(i), mean_rank=1.5) for i in range(ranks.shape[1])]
        assert rank_diagram(some, omnibus(ranks), 0.05) is None
