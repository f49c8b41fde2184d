"""Results on runs and optimizers: scores, learning curves, times, settings, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bench.analysis.notebook import NotebookRepr, table
from bench.analysis.results.parameters import Block


@dataclass(frozen=True, kw_only=True)
class RunScore(NotebookRepr):
    """Score of one run; None where the run failed or has no measured value."""

    treatment: str
    seed: Block
    value: float | None
    status: str


@dataclass(frozen=True, kw_only=True)
class Band(NotebookRepr):
    """Mean over seeds at each evaluation, with its pointwise t interval.

    All tuples have one entry per evaluation. `n` counts the runs with a finite value; the mean is
    over these runs. The mean is None without such a run, the interval below two of them.
    """

    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LearningCurve(NotebookRepr):
    """Learning curves of one treatment: accuracy and losses at each evaluation.

    Accuracies are fractions, losses are nats. `seconds` is the training time before each
    evaluation, without the time of evaluations: the median over the runs that have one, None where
    none has. `batch_size` is the number of images per update, None where it is not known.
    """

    treatment: str
    iterations: tuple[int, ...]
    seconds: tuple[float | None, ...]
    test_accuracy: Band
    test_loss: Band
    train_loss: Band
    batch_size: int | None = None

    @property
    def images(self) -> tuple[int | None, ...]:
        """Number of training images processed before each evaluation, over all epochs."""
        return tuple(self.batch_size and self.batch_size * i for i in self.iterations)


@dataclass(frozen=True, kw_only=True)
class Timing(NotebookRepr):
    """Median seconds per run of one treatment, over the `n` runs with status ``ok``.

    None without such a run. Diverged and failed runs do not count, because they stopped early.
    """

    treatment: str
    n: int
    train_seconds: float | None
    eval_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class TimeRatio(NotebookRepr):
    """Training time of a divided by that of b.

    Exploratory, because times depend on the load of the machine. `ratio` is the geometric mean over
    the `n` seeds on which both runs have status ``ok``, with the t interval of the logarithm at
    level 1 - alpha.
    """

    a: str
    b: str
    n: int
    ratio: float | None
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, kw_only=True)
class Incident(NotebookRepr):
    """A run that diverged or failed.

    `iteration` is the first update with a loss that is not finite, None for a failed run. `error`
    is the reason; for a failed run it is usually a traceback.
    """

    treatment: str
    seed: Block
    status: str
    iteration: int | None
    error: str


@dataclass(frozen=True, kw_only=True)
class Provenance(NotebookRepr):
    """Workload, machine and time of the runs.

    `facts` holds (column, distinct values as text) for the columns that describe the workload
    and the machine. More than one value in a column of the machine means a mixed sweep.
    `started_at` is the first start of a run and `finished_at` the last end; both are None where no
    row has a start time.
    """

    facts: tuple[tuple[str, tuple[str, ...]], ...]
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Variant(NotebookRepr):
    """Settings of one treatment.

    `algorithm` is the import path of the optimizer's class; `hyperparameters` holds (name, value
    as text) of all its hyperparameters, defaults included; `schedule` is its learning rate
    schedule, None where the learning rate is constant.
    """

    treatment: str
    algorithm: str
    hyperparameters: tuple[tuple[str, str], ...]
    schedule: str | None = None

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """(name, value as text) of all hyperparameters, then of the schedule if there is one."""
        schedule = (("schedule", self.schedule),) if self.schedule else ()
        return (*self.hyperparameters, *schedule)


@dataclass(frozen=True, kw_only=True)
class RateCurve(NotebookRepr):
    """Learning rates of one treatment: `rates` at `iterations`, counted from 1.

    They are those of the run with the most updates. `budget` is the number of updates of a complete
    run. `schedule` is None where the rate is constant.
    """

    treatment: str
    schedule: str | None
    budget: int
    iterations: tuple[int, ...]
    rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RankDiagram(NotebookRepr):
    """Mean ranks and Nemenyi's test of them, for a figure: no verdict depends on it.

    The result of Nemenyi's test for two treatments depends on which other treatments are compared
    (Benavoli et al. 2016).

    Attributes
    ----------
    n_blocks
        Number of complete blocks behind the ranks, at least two.
    critical_difference
        Smallest difference of mean ranks that is significant at the family-wise level alpha.
    ranked
        The treatments that have a mean rank, best first.
    groups
        Maximal groups of at least two treatments whose mean ranks differ by less than the critical
        difference, best first; each in the order of its ranks.
    """

    n_blocks: int
    critical_difference: float
    ranked: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class RunTable(NotebookRepr):
    """The analysed rows: every number of a report can be recomputed from them.

    Lists are JSON text, times are ISO 8601 text. Columns of bytes and the paths of the files that
    rows were read from are left out. `rows` are in the order of the scores.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]

    def _html(self, caption: str) -> str:
        return table(caption, self.columns, self.rows)
