"""Results of a sequential comparison: what each of its looks found."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.parameters import Verdict


@dataclass(frozen=True, kw_only=True)
class PairAtLook(NotebookRepr):
    """A pair at a look before which it was not decided.

    Attributes
    ----------
    n
        Number of common blocks at this look.
    mean_difference, std, ci_low, ci_high
        Mean and standard deviation of a minus b, and the repeated confidence interval of the mean:
        the intervals of all pairs at all looks hold together at level 1 - alpha (Bonferroni).
    pvalue, pvalue_sequential, pvalue_holm
        p-value of the sign-flip test at this look alone; adjusted for the looks
        (:mod:`bench.analysis.stats.sequential`); and the latter, adjusted for the pairs.
    pvalue_equivalence, pvalue_equivalence_sequential, pvalue_equivalence_holm
        The same of the equivalence test.
    verdict
        Verdict on a relative to b, at this look.
    """

    a: str
    b: str
    n: int
    mean_difference: float | None
    std: float | None
    ci_low: float | None
    ci_high: float | None
    pvalue: float | None
    pvalue_sequential: float | None
    pvalue_holm: float | None
    pvalue_equivalence: float | None
    pvalue_equivalence_sequential: float | None
    pvalue_equivalence_holm: float | None
    verdict: Verdict

    @property
    def is_open(self) -> bool:
        """Whether the pair needs more seeds."""
        return self.verdict == "inconclusive"


@dataclass(frozen=True, kw_only=True)
class SequentialLook(NotebookRepr):
    """A look of a sequential comparison.

    Attributes
    ----------
    look
        Number of the look, from 1.
    n_blocks
        Number of blocks of its treatments.
    treatments
        Those that have runs up to this look, in the order of the comparison.
    pairs
        The pairs that were not decided before it.
    """

    look: int
    n_blocks: int
    treatments: tuple[str, ...]
    pairs: tuple[PairAtLook, ...]

    @property
    def open_pairs(self) -> tuple[PairAtLook, ...]:
        """The pairs that are not decided after this look."""
        return tuple(pair for pair in self.pairs if pair.is_open)

    @property
    def open_treatments(self) -> tuple[str, ...]:
        """The treatments that get more seeds: those of the open pairs."""
        names = {name for pair in self.open_pairs for name in (pair.a, pair.b)}
        return tuple(name for name in self.treatments if name in names)


@dataclass(frozen=True, kw_only=True)
class Sequential(NotebookRepr):
    """A comparison that adds seeds until every pair is decided.

    Attributes
    ----------
    looks
        The looks that were taken.
    planned
        Declared numbers of blocks of all looks.
    n_runs, n_runs_fixed
        Number of runs up to the last look, and that of a comparison in which every treatment has
        the last declared number of blocks.
    n_later
        Runs in the table that belong to a look which is not complete. They are not analysed.
    """

    looks: tuple[SequentialLook, ...]
    planned: tuple[int, ...]
    n_runs: int
    n_runs_fixed: int
    n_later: int = 0

    @property
    def is_finished(self) -> bool:
        """Whether all pairs are decided, or the last declared look was taken."""
        return len(self.looks) == len(self.planned) or not self.looks[-1].open_pairs

    @property
    def saved(self) -> float:
        """Share of the runs of the fixed number of blocks that were not needed."""
        return 1 - self.n_runs / self.n_runs_fixed
