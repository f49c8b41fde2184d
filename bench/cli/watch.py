"""``optimizer-bench watch``: follow a sweep from another terminal or machine.

Everything is read from the stored rows, and nothing is written. No pair is tested except at the
looks that a sweep until its pairs are decided has taken, so watching is no look at the results.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.converters import seconds, sweep_path
from bench.cli.options import Command
from bench.errors import UsageError
from bench.words import count

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.console import Group

    from bench.spec.model import SweepSpec
    from bench.sweeps.resume import SweepStatus

#: Seconds between two readings of the rows.
INTERVAL = 2.0
#: The next reading waits at least this many times as long as the last one took.
_LEAST_WAIT = 5.0
#: Number of last runs that the rate is computed from.
_RECENT = 40
_NOTE = "Progress only, no verdicts: this does not count as a look at the results."


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of watching."""
    parser.add_argument(
        "results",
        type=sweep_path,
        metavar="RESULTS",
        help="a sweep's directory such as results/mnist, or its URI such as "
        "s3://bucket/results/mnist",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=INTERVAL,
        metavar="SECONDS",
        help=f"time between two readings of the rows (default {INTERVAL:g})",
    )


def run(arguments: Namespace) -> int:
    """Show the progress of a sweep until it ends."""
    from rich.live import Live

    from bench.cli.terminal import new_console

    console, state = new_console(), _read(arguments.results)
    if console.is_terminal:
        with Live(state.render(), console=console, auto_refresh=False) as live:
            while state.is_running:
                state = _read_later(arguments)
                live.update(state.render(), refresh=True)
        return 0
    print(f"{state}\n{_NOTE}", flush=True)
    while state.is_running:
        before, state = str(state), _read_later(arguments)
        if str(state) != before:
            print(state, flush=True)
    return 0


def _read_later(arguments: Namespace) -> _WatchedSweep:
    """Wait, and read the rows again."""
    time.sleep(arguments.interval)
    started = time.monotonic()
    state = _read(arguments.results)
    time.sleep(max(0.0, _LEAST_WAIT * (time.monotonic() - started) - arguments.interval))
    return state


def _read(directory: Path) -> _WatchedSweep:
    """Read the rows of a sweep; raise UsageError if there is none."""
    import pyarrow.compute as pc

    from bench.spec.shards import shard_of_directory
    from bench.storage.mirror import pulled
    from bench.storage.records import FAILED
    from bench.storage.store import Store
    from bench.sweeps.lock import names_process
    from bench.sweeps.resume import compare_with_rows
    from bench.sweeps.rows import planned_rows

    is_written = names_process(directory)  # read first: the sweep may end while rows are read
    store = Store(pulled(directory))
    spec = store.read_spec() if directory.is_dir() else None
    if spec is None:
        raise UsageError(f"no sweep at {directory}: expected its directory, such as results/mnist")
    rows = store.read_rows()
    planned = planned_rows(rows, spec)
    return _WatchedSweep(
        spec=spec,
        status=compare_with_rows(
            spec, rows, shard_of_directory(directory.resolve().name, spec.name)
        ),
        n_failed=pc.sum(pc.equal(planned["status"], FAILED)).as_py() or 0,
        rate=_rate(planned),
        is_written=is_written,
    )


def _rate(rows: pa.Table) -> float | None:
    """Return the number of runs per second among the last ones; None below two runs.

    It is computed from the times in the rows, because the clock of this machine may differ.
    """
    columns = ("started_at", "train_seconds", "eval_seconds")
    ended = sorted(
        row["started_at"].timestamp() + (row["train_seconds"] or 0) + (row["eval_seconds"] or 0)
        for row in rows.select(list(columns)).to_pylist()
    )[-_RECENT:]
    return (len(ended) - 1) / (ended[-1] - ended[0]) if len({*ended}) > 1 else None


@dataclass(frozen=True, kw_only=True)
class _WatchedSweep:
    """A sweep at one moment.

    Attributes
    ----------
    status
        Its planned and missing runs.
    n_failed
        Number of failed runs.
    rate
        Runs per second; None where it is not known.
    is_written
        Whether the directory names a process that trains its runs.
    """

    spec: SweepSpec
    status: SweepStatus
    n_failed: int
    rate: float | None
    is_written: bool

    @property
    def is_running(self) -> bool:
        """Whether runs are missing, and a process trains them."""
        return bool(self.status.missing) and self.is_written

    def __str__(self) -> str:
        from bench.cli.console import duration

        planned, missing = len(self.status.planned), len(self.status.missing)
        line = f"sweep {self.spec.name}: {planned - missing}/{planned} runs, {self.n_failed} failed"
        if self.status.looks:
            line += f", {count(len(self.status.looks), 'look')} taken"
        if not missing:
            return f"{line}, finished"
        if not self.is_written:
            return f"{line}; no sweep is writing to the directory"
        if self.rate is None:
            return line
        return f"{line}, {self.rate:.2g} runs/s, about {duration(missing / self.rate)} left"

    def render(self) -> Group:
        """The content of the display."""
        from rich.console import Group

        from bench.cli.progress import RunningMeans, display, open_pairs

        done, total = len(self.status.done), len(self.status.planned)
        lines = open_pairs(self.spec, self.status.looks)
        means = RunningMeans(self.spec, self.status.done)
        return Group(display(str(self), (done, total), lines, means), _NOTE)


COMMAND = Command(
    help="show the progress of a sweep that runs elsewhere",
    description="Show the progress of a sweep from its stored rows, in another terminal or on "
    "another machine, until it ends. No verdicts are shown, so that this does not count as a look "
    "at the results.",
    examples=(("results/mnist", "its runs, means, and the pairs that are still open"),),
    add_arguments=add_arguments,
    run=run,
)
