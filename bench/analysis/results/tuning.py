"""Results of tuning every optimizer with the same number of trials."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.change import SweepChange
from bench.spec.ranges import SearchRange

#: Hyperparameters and their values.
Setting = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class TriedSetting(NotebookRepr):
    """One setting, and the results of its trials on the validation images.

    Attributes
    ----------
    accuracies
        A fraction for each tuning seed in ascending order; None for a trial that failed or
        diverged.
    score
        Mean of the metric of the selection; infinite (the worst) if a trial diverged; None if one
        failed, so that the setting cannot be chosen.
    seconds
        Training time of its trials.
    """

    name: str
    setting: Setting
    accuracies: tuple[float | None, ...]
    score: float | None
    n_diverged: int
    n_failed: int
    seconds: float

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy; None if a trial failed or diverged."""
        known = [a for a in self.accuracies if a is not None]
        return fsum(known) / len(known) if len(known) == len(self.accuracies) else None


@dataclass(frozen=True, kw_only=True)
class TunedOptimizer(NotebookRepr):
    """The chosen setting of one optimizer.

    Attributes
    ----------
    default
        Values of the tuned hyperparameters without tuning.
    edge
        Hyperparameters whose chosen value is an end of their range.
    tried
        All settings, in the order of the plan.
    expected_best
        Expected validation accuracy of the best of t settings that are drawn at random without
        replacement, for t = 1 to their number. A setting with a diverged trial counts as 0. Empty
        if a trial failed.
    good_share
        Share of the settings whose accuracy is within one point of the best one.
    tuned_accuracy
        Mean test accuracy of the chosen setting over the evaluation seeds; None without a run.
    """

    optimizer: str
    ranges: tuple[SearchRange, ...]
    default: Setting
    chosen: TriedSetting
    edge: tuple[str, ...]
    tried: tuple[TriedSetting, ...]
    expected_best: tuple[float, ...]
    good_share: float
    tuned_accuracy: float | None = None

    @property
    def seconds(self) -> float:
        """Training time of all trials."""
        return fsum(tried.seconds for tried in self.tried)


@dataclass(frozen=True, kw_only=True)
class Tuning(NotebookRepr, first=("optimizers",)):
    """The tuning of all optimizers, and what it changed.

    Attributes
    ----------
    metric
        What the settings were selected by: ``accuracy`` or ``loss``.
    n_validation
        Number of held-out images.
    n_seeds
        Number of tuning seeds.
    optimizers
        In the order of the default track, the best mean first.
    change
        Every optimizer at its chosen setting compared with itself at its default.
    """

    name: str
    metric: str
    n_validation: int
    n_seeds: int
    optimizers: tuple[TunedOptimizer, ...]
    change: SweepChange
