"""Result of a comparison of two sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.parameters import Block, Parameters, Verdict
from bench.analysis.stats.rounding import significant

#: Why runs of one seed of two sweeps are not paired: the workloads differ, no seed is in both, or
#: a seed fixes other initial weights or another order of the data.
Obstacle = Literal["workload", "seeds", "initial weights", "order of the data"]


@dataclass(frozen=True, kw_only=True)
class ChangedFact(NotebookRepr):
    """Setting or environment column that differs between two sweeps.

    `column` is a column of :class:`bench.storage.records.RunRecord`, ``algorithm``, or the name of
    a hyperparameter. `optimizer` is None for a column that concerns all runs. `before` and `after`
    are the distinct values as text; they are empty where nothing is stored.
    """

    column: str
    optimizer: str | None
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedChange(NotebookRepr):
    """Training time after divided by training time before.

    Exploratory, because times depend on the load of the machine. `ratio` is a geometric mean with
    the interval of its logarithm at level 1 - alpha. It is over `n_before` and `n_after` runs with
    status ``ok``; for all optimizers together, over this number of seeds on which all of them have
    one. Where runs are paired, both numbers count the common seeds and the interval is Student's;
    else it is Welch's.
    """

    n_before: int
    n_after: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class Change(NotebookRepr):
    """Comparison of one optimizer in two sweeps: final test accuracy (a fraction) after - before.

    Attributes
    ----------
    is_paired
        Whether the two runs of a seed are paired; else the sweeps are two independent samples.
    n_before, n_after
        Number of runs with a result in each sweep: diverged runs have one, failed runs do not.
    n
        Number of seeds with a result in both.
    n_same
        Number of these `n` seeds on which both runs have exactly the same status, number of correct
        test images and test loss; None where runs are not paired.
    n_newly_failed
        Number of seeds with a result before and a failed run after.
    missing_seeds
        Seeds, ascending, with a run before and none after.
    n_diverged_before, n_diverged_after
        Number of diverged runs in each sweep.
    mean_before, mean_after, std_before, std_after
        Over the `n` common seeds where runs are paired, else over all runs of each sweep.
    mean_difference, ci_low, ci_high
        After minus before and its t interval at level 1 - alpha; Welch's where not paired.
    simultaneous_ci_low, simultaneous_ci_high
        The same at Bonferroni's level 1 - alpha / (number of optimizers).
    pvalue, pvalue_holm
        The exact paired sign-flip test, or Welch's t test where not paired; and Holm's adjustment
        over all optimizers. Only `pvalue_holm` determines the verdict.
    pvalue_equivalence, pvalue_equivalence_holm
        Two one-sided t tests (paired, or Welch's) against +-margin, and Holm's adjustment in a
        separate family.
    verdict
        Verdict on after relative to before.
    time
        Change of the training time.
    """

    optimizer: str
    is_paired: bool
    n_before: int
    n_after: int
    n: int
    n_same: int | None
    n_newly_failed: int
    n_diverged_before: int
    n_diverged_after: int
    mean_before: float | None
    mean_after: float | None
    std_before: float | None
    std_after: float | None
    mean_difference: float | None
    ci_low: float | None
    ci_high: float | None
    simultaneous_ci_low: float | None
    simultaneous_ci_high: float | None
    pvalue: float | None
    pvalue_holm: float | None
    pvalue_equivalence: float | None
    pvalue_equivalence_holm: float | None
    verdict: Verdict
    time: SpeedChange
    missing_seeds: tuple[Block, ...] = ()

    @property
    def is_alike(self) -> bool:
        """Whether there are common runs, and the outcomes of all of them are exactly equal."""
        return self.n > 0 and self.n_same == self.n

    @property
    def is_unchanged(self) -> bool:
        """Whether the results are identical or equivalent, and no run newly fails."""
        is_shown = self.verdict in ("identical", "equivalent") or self.is_alike
        return is_shown and not self.n_newly_failed


@dataclass(frozen=True, kw_only=True)
class SweepChange(NotebookRepr):
    """Result of :func:`bench.analysis.compare_sweeps`.

    Attributes
    ----------
    before, after
        Names of the two sweeps.
    command
        Command line that repeats the comparison.
    parameters
        `k` counts the common optimizers, `n_blocks` the common seeds.
    obstacle
        Why runs of one seed are not paired; None where they are.
    changes
        One for each common optimizer, in alphabetical order: one family of tests.
    only_before, only_after
        Optimizers that the other sweep does not have, in alphabetical order.
    facts
        Differences of workload, machine, versions and hyperparameters, the workload first.
    time
        Change of the training time over all optimizers together.
    warnings
        Sentences for the reader, the most important first.
    """

    before: str
    after: str
    command: str
    parameters: Parameters
    obstacle: Obstacle | None
    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    facts: tuple[ChangedFact, ...]
    time: SpeedChange
    warnings: tuple[str, ...]

    @property
    def is_paired(self) -> bool:
        """Whether runs of one seed are paired."""
        return self.obstacle is None

    @property
    def is_complete(self) -> bool:
        """Whether the sweep after has every optimizer and seed of the sweep before."""
        return not self.only_before and not any(change.missing_seeds for change in self.changes)

    @property
    def is_unchanged(self) -> bool:
        """Whether no common optimizer has changed, see :attr:`Change.is_unchanged`.

        Optimizers and seeds that are missing after are in :attr:`is_complete`.
        """
        return all(change.is_unchanged for change in self.changes)

    @property
    def ranks(self) -> Mapping[str, tuple[int | None, int | None]]:
        """Rank of the mean of each optimizer before and after.

        1 is the highest mean, equal means share a rank, and without a mean there is none.
        """
        before = _ranks([change.mean_before for change in self.changes])
        after = _ranks([change.mean_after for change in self.changes])
        names = [change.optimizer for change in self.changes]
        return dict(zip(names, zip(before, after, strict=True), strict=True))


def _ranks(means: Sequence[float | None]) -> list[int | None]:
    known = significant(np.array([mean for mean in means if mean is not None])).tolist()
    places = iter([1 + sum(other > mean for other in known) for mean in known])
    return [None if mean is None else next(places) for mean in means]
