"""Results of tuning every optimizer with the same number of trials."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.change import SweepChange
from bench.spec.ranges import SearchRange, Setting


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
    """The chosen settings of one optimizer.

    Attributes
    ----------
    default
        Values of the tuned hyperparameters without tuning, of those that have a number.
    choices
        The chosen setting of each repeat of the tuning, with the trials of this repeat.
    edge
        Hyperparameters whose chosen value is an end of their range in any repeat.
    tried
        All settings, in the order of the plan, with the trials of all repeats.
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
    choices: tuple[TriedSetting, ...]
    edge: tuple[str, ...]
    tried: tuple[TriedSetting, ...]
    expected_best: tuple[float, ...]
    good_share: float
    tuned_accuracy: float | None = None

    @property
    def chosen(self) -> TriedSetting:
        """The setting that most repeats chose, the first of several; its trials in that repeat."""
        settings = [choice.setting for choice in self.choices]
        return max(self.choices, key=lambda choice: settings.count(choice.setting))

    @property
    def validation_accuracy(self) -> float | None:
        """Mean validation accuracy of the chosen settings; None where one has none."""
        known = [choice.accuracy for choice in self.choices]
        return None if None in known else fsum(a or 0.0 for a in known) / len(known)

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
        What the settings were selected by: one of :data:`bench.spec.ranges.METRICS`.
    target
        Accuracy whose time was selected by, a fraction; None for other metrics.
    n_validation
        Number of held-out images.
    n_seeds
        Number of tuning seeds of a repeat.
    n_repeats
        Number of repeats. With more than one, a block of `change` is a repeat, which has a setting
        of its own, and its accuracies are means over the evaluation seeds of the repeat.
    split
        ``fixed`` or ``per-seed``: how the held-out images were drawn.
    optimizers
        In the order of the default track, the best mean first.
    change
        Every optimizer at its chosen setting compared with itself at its default.
    """

    name: str
    metric: str
    target: float | None
    n_validation: int
    n_seeds: int
    n_repeats: int
    split: str
    optimizers: tuple[TunedOptimizer, ...]
    change: SweepChange
