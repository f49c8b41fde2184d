"""Sequential comparison: seeds are added at declared looks until every pair is decided.

At each look, Holm's method is applied to the p-values of all pairs, which are adjusted for the
looks (:func:`bench.analysis.stats.sequential.sequential_pvalue`). These p-values cannot increase
from look to look, and in a design without stopping they would be at most as large at the end. So
every difference that is found, with any rule of stopping single treatments, is among those that
Holm's method finds in the design without stopping. Its family-wise error rate is at most alpha. The
p-value of equivalence is adjusted by Bonferroni's method, and the same argument holds.

A pair is decided at the first look with a verdict of `better`, `worse` or `equivalent`, and keeps
this verdict. After each look only the treatments of pairs that are not decided need more runs. A
look is taken when all of its runs have a result: a failed run is missing, and the look waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.analysis.pairs import LookAdjusted, decide_verdict, nominal_verdict
from bench.analysis.results import (
    PairAtLook,
    Parameters,
    Sequential,
    SequentialLook,
    Verdict,
    reversed_verdict,
)
from bench.analysis.stats.differences import Differences
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import sign_flip_test
from bench.analysis.stats.power import seeds_for_equivalence, seeds_needed_each
from bench.analysis.stats.sequential import sequential_pvalue
from bench.analysis.stats.student import Moments, t_interval, tost_pvalue
from bench.analysis.table import PairedTable, sign_of
from bench.spec.model import LEAST_SEEDS

Names = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """All looks that the runs of a table allow, and what they found.

    Attributes
    ----------
    looks
        The looks; pairs and treatments are in the order of the table.
    n_blocks
        Number of blocks of each treatment up to its last look.
    adjusted
        The p-values of every pair at its last look, adjusted for the looks, and its verdict if it
        is decided.
    """

    looks: tuple[SequentialLook, ...]
    n_blocks: Mapping[str, int]
    adjusted: Mapping[Names, LookAdjusted]

    @property
    def open_treatments(self) -> tuple[str, ...]:
        """The treatments that need more runs for the next look."""
        return self.looks[-1].open_treatments if self.looks else tuple(self.n_blocks)

    def used_cells(self, paired: PairedTable) -> NDArray[np.bool_]:
        """Return which cells of the table belong to a look, shape (n, k)."""
        limits = np.array([self.n_blocks[name] for name in paired.treatments])
        return np.asarray(np.arange(len(paired.blocks))[:, np.newaxis] < limits)


def replay(paired: PairedTable, parameters: Parameters) -> Replay:
    """Judge the pairs at each declared look (`parameters.looks`) that is complete.

    The result depends on the runs and the declared settings only. Without a complete look, it has
    no looks.
    """
    looks = _Looks(paired, parameters)
    for n in parameters.looks:
        if not looks.open or not looks.has_runs(n):
            break
        looks.take(n)
    return looks.replayed()


class _Looks:
    """The looks so far, with the tests of each pair."""

    def __init__(self, paired: PairedTable, parameters: Parameters) -> None:
        self._paired = paired
        self._parameters = parameters
        column = {name: i for i, name in enumerate(paired.treatments)}
        self._pairs = [
            _PairHistory((a, b), (column[a], column[b]))
            for a, b in combinations(paired.treatments, 2)
        ]
        self._n_blocks = dict.fromkeys(paired.treatments, 0)
        self._taken: list[SequentialLook] = []

    @property
    def open(self) -> tuple[str, ...]:
        """The treatments that need more runs."""
        return self._taken[-1].open_treatments if self._taken else self._paired.treatments

    def has_runs(self, n: int) -> bool:
        """Return whether all open treatments have a result in each of the first `n` blocks."""
        columns = [self._paired.treatments.index(name) for name in self.open]
        values = self._paired.values[:n, columns]
        return len(values) == n and not np.isnan(values).any()

    def take(self, n: int) -> None:
        """Judge all pairs of open treatments by their first `n` blocks."""
        table, treatments = self._paired.first_blocks(n), self.open
        self._n_blocks |= dict.fromkeys(treatments, n)
        undecided = [
            pair
            for pair in self._pairs
            if pair.adjusted.decided_at is None and set(pair.names) <= set(treatments)
        ]
        ends = [look.n_blocks for look in self._taken]
        for pair in self._pairs:
            if set(pair.names) <= set(treatments):
                pair.test(table, ends, self._parameters, len(self._pairs))
        adjusted = [pair.adjusted for pair in self._pairs]
        pvalues = holm([p.pvalue for p in adjusted], len(adjusted))
        equivalence = holm([p.pvalue_equivalence for p in adjusted], len(adjusted))
        found = zip(self._pairs, pvalues, equivalence, strict=True)
        number = len(self._taken) + 1
        judged = tuple(
            pair.judged(number, p, q, self._parameters, len(self._pairs))
            for pair, p, q in found
            if pair in undecided
        )
        look = SequentialLook(look=number, n_blocks=n, treatments=treatments, pairs=judged)
        self._taken.append(look)

    def replayed(self) -> Replay:
        return Replay(
            looks=tuple(self._taken),
            n_blocks=self._n_blocks,
            adjusted={pair.names: pair.adjusted for pair in self._pairs},
        )


class _PairHistory:
    """The tests of a pair at the looks so far."""

    def __init__(self, names: Names, columns: tuple[int, int]) -> None:
        self.names = names
        self.adjusted = LookAdjusted()
        self._columns = columns
        self._pvalues: list[float | None] = []
        self._equivalence: list[float | None] = []
        self._differences: list[Differences] = []

    def test(
        self, table: PairedTable, ends: Sequence[int], parameters: Parameters, n_pairs: int
    ) -> None:
        """Test the pair at a look, and adjust its p-values for the looks.

        `ends` holds the numbers of blocks of the looks before.
        """
        d, margin, n_looks = (
            table.differences(*self._columns),
            parameters.margin,
            len(parameters.looks),
        )
        test = sign_flip_test(d.units, d.slack, n_pairs)
        equivalence = None if margin is None else tost_pvalue(d.moments, -margin, margin)
        self._differences.append(d)
        self._pvalues.append(None if test is None else test.pvalue)
        self._equivalence.append(equivalence)
        # an infinite difference has another size at each look
        is_exact = d.slack == 0 and np.isfinite(d.values).all()
        parts = np.split(table.units_of_blocks(*self._columns), ends) if is_exact else None
        adjusted = sequential_pvalue(self._pvalues, n_looks, parts), self.adjusted.pvalue
        self.adjusted = replace(
            self.adjusted,
            pvalue=min((p for p in adjusted if p is not None), default=None),
            pvalue_equivalence=sequential_pvalue(self._equivalence, n_looks),
        )

    def judged(
        self,
        look: int,
        pvalue: float | None,
        equivalence: float | None,
        parameters: Parameters,
        n_pairs: int,
    ) -> PairAtLook:
        """Return the pair at a look, with p-values adjusted for the pairs; store its decision."""
        d, (a, b) = self._differences[-1], self.names
        verdict = decide_verdict(self._nominal(parameters), pvalue, equivalence, parameters.alpha)
        if verdict in ("better", "worse", "equivalent"):
            self.adjusted = replace(self.adjusted, verdict=verdict, decided_at=look)
        interval = t_interval(d.moments, parameters.interval_alpha / n_pairs)
        return PairAtLook(
            a=a,
            b=b,
            n=d.n,
            mean_difference=d.moments.mean,
            std=d.moments.std,
            ci_low=interval.low,
            ci_high=interval.high,
            pvalue=self._pvalues[-1],
            pvalue_sequential=self.adjusted.pvalue,
            pvalue_holm=pvalue,
            pvalue_equivalence=self._equivalence[-1],
            pvalue_equivalence_sequential=self.adjusted.pvalue_equivalence,
            pvalue_equivalence_holm=equivalence,
            verdict=verdict,
        )

    def _nominal(self, parameters: Parameters) -> Verdict:
        """Return the verdict if the difference is significant: its direction at the smallest p."""
        sign = sign_of(parameters.direction)
        nominal = nominal_verdict(self._differences[-1], sign)
        if nominal in ("identical", "not testable"):
            return nominal
        tested = [(p, i) for i, p in enumerate(self._pvalues) if p is not None]
        return nominal_verdict(self._differences[min(tested)[1]], sign)


def describe_looks(
    found: Replay, parameters: Parameters, order: Sequence[str], n_later: int
) -> Sequential:
    """Return the looks with treatments and pairs in the order of the comparison."""
    place = {name: i for i, name in enumerate(order)}
    return Sequential(
        looks=tuple(
            replace(
                look,
                treatments=tuple(sorted(look.treatments, key=place.__getitem__)),
                pairs=tuple(
                    sorted(
                        (_in_order(pair, place) for pair in look.pairs),
                        key=lambda pair: (place[pair.a], place[pair.b]),
                    )
                ),
            )
            for look in found.looks
        ),
        planned=parameters.looks,
        n_runs=sum(found.n_blocks.values()),
        n_runs_fixed=len(order) * parameters.looks[-1],
        n_later=n_later,
    )


def _in_order(pair: PairAtLook, place: Mapping[str, int]) -> PairAtLook:
    if place[pair.a] < place[pair.b]:
        return pair
    mean, low, high = pair.mean_difference, pair.ci_low, pair.ci_high
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        mean_difference=None if mean is None else -mean,
        ci_low=None if high is None else -high,
        ci_high=None if low is None else -low,
        verdict=reversed_verdict(pair.verdict),
    )


def predicted_seeds(
    looks: Sequence[SequentialLook], parameters: Parameters
) -> tuple[int | None, ...]:
    """Return the numbers of seeds that the open pairs of the last look will probably need.

    It is the smaller of the numbers that find the observed difference, and that show equivalence,
    with power 0.8 at the next step of Holm's method. None where neither is possible.
    """
    pairs, n_pairs = looks[-1].open_pairs, len(looks[0].pairs)
    if not pairs:
        return ()
    decided = Counter(pair.verdict for look in looks for pair in look.pairs)
    n_different, level = decided["better"] + decided["worse"], parameters.interval_alpha
    levels = level / (n_pairs - n_different), level / (n_pairs - decided["equivalent"])
    moments = [Moments(n=p.n, mean=p.mean_difference, std=p.std) for p in pairs]
    return _seeds_to_decide(moments, [p.n for p in pairs], levels, parameters.margin)


def expected_seeds(paired: PairedTable, parameters: Parameters) -> Mapping[str, int]:
    """Return how many seeds each treatment will probably get, from runs of another comparison.

    The means and standard deviations of its differences are taken as the true ones, and each pair
    is decided at the first look with as many seeds as it needs for power 0.8.
    """
    pairs = list(combinations(paired.treatments, 2))
    column = {name: i for i, name in enumerate(paired.treatments)}
    moments = [paired.differences(column[a], column[b]).moments for a, b in pairs]
    level, sizes = parameters.interval_alpha / len(pairs), [LEAST_SEEDS - 1] * len(pairs)
    found = _seeds_to_decide(moments, sizes, (level, level), parameters.margin)
    needed: dict[str, int] = dict.fromkeys(paired.treatments, 0)
    for pair, n_seeds in zip(pairs, found, strict=True):
        looks = (n for n in parameters.looks if n_seeds is not None and n >= n_seeds)
        taken = next(looks, parameters.looks[-1])
        needed |= {name: max(needed[name], taken) for name in pair}
    return needed


def _seeds_to_decide(
    moments: Sequence[Moments],
    more_than: Sequence[int],
    levels: tuple[float, float],
    margin: float | None,
) -> tuple[int | None, ...]:
    """Return the numbers of seeds that find a difference or show equivalence, the smaller one.

    `moments` are those of the differences; `levels` are those of the tests of a difference and of
    equivalence.
    """
    means, stds = [m.mean for m in moments], [m.std for m in moments]
    effects = [m / s if m is not None and s else None for m, s in zip(means, stds, strict=True)]
    to_find = seeds_needed_each(effects, levels[0], more_than)
    to_show: Sequence[int | None] = [None] * len(moments)
    if margin is not None:
        to_show = seeds_for_equivalence(means, stds, margin, levels[1], more_than)
    found = zip(to_find, to_show, strict=True)
    return tuple(min((n for n in both if n is not None), default=None) for both in found)
