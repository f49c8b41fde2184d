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
    scores
        The metric of the selection for each tuning seed; infinite (the worst) for a trial that
        diverged, None for one that failed.
    score
        Their mean; infinite if a trial diverged; None if one failed, so that the setting cannot be
        chosen.
    seconds
        Training time of its trials.
    """

    name: str
    setting: Setting
    accuracies: tuple[float | None, ...]
    scores: tuple[float | None, ...]
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
        Share of the settings whose accuracy is within one point of the best one; None if a trial
        failed, or every setting has a diverged trial.
    tuned_accuracy
        Mean test accuracy of the chosen setting over the evaluation seeds; None without a run.
    repeat_accuracies
        The same for each repeat; empty with one tuning.
    """

    optimizer: str
    ranges: tuple[SearchRange, ...]
    default: Setting
    choices: tuple[TriedSetting, ...]
    edge: tuple[str, ...]
    tried: tuple[TriedSetting, ...]
    expected_best: tuple[float, ...]
    good_share: float | None
    tuned_accuracy: float | None = None
    repeat_accuracies: tuple[float | None, ...] = ()

    @property
    def chosen(self) -> TriedSetting:
        """The most frequent choice, with the trials of the first repeat that made it."""
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
class GoodRange(NotebookRepr):
    """Values of the tuned hyperparameter within one point of the best accuracy.

    Attributes
    ----------
    low, high
        Smallest and largest good value that was tried.
    decades
        Logarithm to base 10 of their ratio; None on a linear scale.
    is_edge
        Whether one of them is an end of the searched range, so that more may lie beyond it.
    """

    name: str
    low: float
    high: float
    decades: float | None
    is_edge: bool


@dataclass(frozen=True, kw_only=True)
class TuningStatistics(NotebookRepr):
    """Statistics of the trials and of both tracks of one optimizer.

    Attributes
    ----------
    rank_default, rank_tuned
        Rank of its mean test accuracy among the optimizers of each track, 1 for the highest. No
        test: neighbouring ranks may not differ significantly.
    gap, gap_ci_low, gap_ci_high
        Mean validation accuracy of the chosen setting minus its mean test accuracy, and its
        interval at level 1 - alpha of the comparison: Welch's, of tuning seeds against evaluation
        seeds, or with repeats the t interval of their differences. It contains the selection, other
        images, and the smaller training set of the trials. Welch's is undefined with one tuning
        seed.
    left_out_accuracy
        Mean validation accuracy on a tuning seed of the setting that is chosen without this seed.
        A diverged trial counts as 0. Undefined with one tuning seed.
    optimism
        Mean validation accuracy of the chosen setting minus `left_out_accuracy`.
    best_low, best_high
        10 % and 90 % quantile of the validation accuracy of the best of t settings that are drawn
        at random without replacement, for t = 1 to their number, as in `expected_best`.
    good_range
        None if several hyperparameters are tuned, a trial failed, every setting diverged, or a
        setting between two good ones is not good.
    """

    optimizer: str
    rank_default: int | None
    rank_tuned: int | None
    gap: float | None
    gap_ci_low: float | None
    gap_ci_high: float | None
    left_out_accuracy: float | None
    optimism: float | None
    best_low: tuple[float, ...]
    best_high: tuple[float, ...]
    good_range: GoodRange | None


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
    statistics
        One for each of the `optimizers`, in their order; empty until
        :func:`bench.analysis.tuning_statistics.with_statistics` computes them.
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
    statistics: tuple[TuningStatistics, ...] = ()
