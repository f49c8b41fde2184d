"""Progress of a sweep: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.analysis.results import SequentialLook
from bench.cli.console import duration
from bench.cli.printing import printable
from bench.cli.terminal import Column, FittedTable, new_console
from bench.execution.jobs import RunEvent
from bench.spec.model import SweepSpec
from bench.storage.records import FAILED
from bench.sweeps.resume import SweepStatus
from bench.sweeps.sequential import parameters_of

SECONDS_BETWEEN_LINES = 5.0
REFRESHES_PER_SECOND = 2.0
#: Most open pairs that are listed.
MAX_OPEN = 10
#: Width of the bar, at least that of the narrowest terminal.
_BAR = 40


@contextmanager
def show_progress(spec: SweepSpec, status: SweepStatus, quiet: bool) -> Iterator[ProgressCounts]:
    """Show the progress of the missing runs in a way that suits the output."""
    console, total = new_console(), len(status.missing)
    if quiet:
        yield ProgressCounts(total)
    elif console.is_terminal:
        table = LiveTable(total, spec, status)
        with Live(
            get_renderable=table.render, console=console, refresh_per_second=REFRESHES_PER_SECOND
        ):
            yield table
    else:
        yield Lines(total)


class ProgressCounts:
    """Counts, rate and remaining time; subclasses display them with every finished run."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self._started = time.monotonic()

    def add(self, event: RunEvent) -> None:
        """Count one finished run."""
        self.done += 1
        self.failed += event.status == FAILED

    def __str__(self) -> str:
        rate = self.done / max(time.monotonic() - self._started, 1e-9)
        left = f", about {duration((self.total - self.done) / rate)} left" if self.done else ""
        return f"{self.done}/{self.total} runs, {self.failed} failed, {rate:.2g} runs/s{left}"


class Lines(ProgressCounts):
    """One plain line every few seconds and one at the end, for logs and pipes."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._printed_at = time.monotonic()

    def add(self, event: RunEvent) -> None:
        """Count one finished run, and print the counts if it is time."""
        super().add(event)
        is_due = time.monotonic() - self._printed_at >= SECONDS_BETWEEN_LINES
        if is_due or self.done == self.total:
            self._printed_at = time.monotonic()
            print(self, flush=True)


class LiveTable(ProgressCounts):
    """Counts and a bar above a table of mean and interval for each optimizer."""

    def __init__(self, total: int, spec: SweepSpec, status: SweepStatus) -> None:
        super().__init__(total)
        self._means = RunningMeans(spec, status.done)
        self._open = open_pairs(spec, status.looks)

    def add(self, event: RunEvent) -> None:
        """Count one finished run; the display shows it at its next refresh."""
        super().add(event)
        if event.test_accuracy is not None:
            self._means.add(event.optimizer, event.test_accuracy)

    def render(self) -> Group:
        """The current content of the display."""
        return display(str(self), (self.done, self.total), self._open, self._means)


class RunningMeans:
    """Mean and interval of the accuracy of each optimizer, as a table."""

    def __init__(self, spec: SweepSpec, done: pa.Table) -> None:
        self._alpha = spec.declaration.alpha
        self._accuracies: dict[str, list[float]] = {o.name: [] for o in spec.optimizers}
        for run in done.select(["optimizer", "test_accuracy"]).to_pylist():
            self.add(run["optimizer"], run["test_accuracy"])

    def add(self, optimizer: str, accuracy: float) -> None:
        """Add the result of a run."""
        self._accuracies[optimizer].append(accuracy)

    def table(self) -> FittedTable:
        """The current table."""
        from bench.analysis.stats.descriptives import describe
        from bench.report.text.format import ACCURACY, level

        found = [
            describe(name, np.array(accuracies), alpha=self._alpha)
            for name, accuracies in self._accuracies.items()
        ]
        intervals = [ACCURACY.score_interval(t.ci_low, t.ci_high) for t in found]
        return FittedTable(
            (
                Column("optimizer", list(self._accuracies), is_name=True),
                Column("runs", [str(t.n) for t in found], drop=2),
                Column("mean %", [ACCURACY.score(t.mean) for t in found], drop=1),
                Column(f"{level(1 - self._alpha)} interval", intervals, drop=3),
            )
        )


def display(head: str, counts: tuple[int, int], lines: Sequence[str], means: RunningMeans) -> Group:
    """Return the display of a sweep; `counts` are those of the finished runs and of all."""
    # the table last: a low terminal cuts the display off at its end
    bar = Table.grid()
    bar.add_row(ProgressBar(total=counts[1], completed=counts[0], width=_BAR))
    return Group(Text(head), bar, *map(Text, lines), means.table())


def open_pairs(spec: SweepSpec, looks: Sequence[SequentialLook]) -> list[str]:
    """Return a line for each pair that the last look left open, with the seeds it may need."""
    if not looks:
        return []
    from bench.analysis.sequential import predicted_seeds

    predicted = predicted_seeds(looks, parameters_of(spec))
    lines = [
        f"open: {printable(pair.a)} and {printable(pair.b)}, "
        + ("no prediction" if n is None else f"probably decided with {n:,} seeds")
        for pair, n in zip(looks[-1].open_pairs, predicted, strict=True)
    ]
    more = len(lines) - MAX_OPEN
    return lines if more <= 1 else [*lines[:MAX_OPEN], f"and {more} more open pairs"]
