"""A job: runs of one variant that differ only in their seed, trained as one stack.

Every run of a job has its own row. If a stack fails, one of its runs or their number is the reason:
it is divided, until a single run fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.execution.devices import CPU
from bench.execution.environment import Machine
from bench.execution.error_text import error_text
from bench.spec.model import RunSpec, canonical_json
from bench.storage.records import FAILED, SCHEMA_VERSION, RunRecord
from bench.storage.store import Store

#: Number of rows that are written at the same time.
WRITERS = 8


@dataclass(frozen=True, kw_only=True)
class Job:
    """Runs of one variant on one workload, which differ only in their seed."""

    runs: tuple[RunSpec, ...]

    def alone(self) -> tuple[Job, ...]:
        """Every run as a job."""
        return tuple(Job(runs=(run,)) for run in self.runs)

    def halves(self) -> tuple[Job, ...]:
        """Two jobs of half as many runs."""
        middle = (len(self.runs) + 1) // 2
        return Job(runs=self.runs[:middle]), Job(runs=self.runs[middle:])


def make_jobs(runs: Sequence[RunSpec], stack: int) -> tuple[Job, ...]:
    """Group runs of the same variant into jobs of at most `stack` runs.

    The jobs are in the order of their first runs.
    """
    variants: dict[object, list[RunSpec]] = {}
    for run in runs:
        variants.setdefault((run.workload, run.optimizer), []).append(run)
    place = {run.key: i for i, run in enumerate(runs)}
    jobs = [
        Job(runs=tuple(of_variant[start : start + stack]))
        for of_variant in variants.values()
        for start in range(0, len(of_variant), stack)
    ]
    return tuple(sorted(jobs, key=lambda job: place[job.runs[0].key]))


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What each job is given: the data, the machine, and the store of its rows.

    Attributes
    ----------
    arrays, data_hash
        Directory of the arrays in the cache, and their content hash.
    device
        The device that trains a job: see :mod:`bench.execution.devices`.
    stack
        Largest number of runs in a job.
    slots
        The device of each worker process; one that trains several jobs at a time is repeated.
        Empty: `machine.n_jobs` workers train on `device`.
    timeout
        Seconds after which a run ends as failed; None for no limit.
    grace
        Seconds after the timeout at which the worker of a run that does not react is ended.
    in_process
        Whether runs are trained in the calling process.
    """

    arrays: Path
    machine: Machine
    store: Store
    data_hash: str | None = None
    device: str = CPU
    stack: int = 1
    slots: tuple[str, ...] = ()
    timeout: float | None = None
    grace: float = 10.0
    in_process: bool = False


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """Progress event for the parent process: a run has ended.

    Attributes
    ----------
    notes
        What user code has changed in the process, and what was therefore restored.
    warnings
        Warnings of libraries and user code since the event before, one line each.
    """

    key: str
    optimizer: str
    seed: int
    status: str
    test_accuracy: float | None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run with its row, which is not stored yet."""

    run: RunSpec
    record: RunRecord
    notes: tuple[str, ...] = ()

    def store(self, context: RunContext) -> RunEvent:
        """Write the row."""
        context.store.write_run(self.run, self.record)
        return RunEvent(
            key=self.run.key,
            optimizer=self.run.optimizer.name,
            seed=self.run.seed,
            status=self.record.status,
            test_accuracy=self.record.test_accuracy,
            notes=self.notes,
        )


class DeviceFailureError(Exception):
    """A device has stopped working."""


def store(runs: Sequence[FinishedRun], context: RunContext) -> tuple[RunEvent, ...]:
    """Write the rows of a job; those of a stack end together, and a disk takes several at a time.

    Raises
    ------
    StoreError
        If one cannot be written.
    """
    if len(runs) == 1:
        return (runs[0].store(context),)
    try:
        with ThreadPoolExecutor(min(len(runs), WRITERS)) as writers:
            return tuple(writers.map(lambda run: run.store(context), runs))
    except RuntimeError:  # no more threads: what is written twice is the same
        return tuple(run.store(context) for run in runs)


def failed(
    job: Job, context: RunContext, started_at: datetime, text: str, notes: tuple[str, ...] = ()
) -> tuple[FinishedRun, ...]:
    """Build the rows of the failed runs of a job."""
    outcome, stack = {"status": FAILED, "error": error_text(text)}, len(job.runs)
    return tuple(finished(run, context, started_at, outcome, stack, notes) for run in job.runs)


def finished(
    run: RunSpec,
    context: RunContext,
    started_at: datetime,
    outcome: Mapping[str, Any],
    stack: int,
    notes: tuple[str, ...] = (),
) -> FinishedRun:
    """Build the row of a run from the outcome of its training."""
    columns = {**columns_of(run, context.machine, started_at), "data_hash": context.data_hash}
    return FinishedRun(run=run, record=RunRecord(**columns, **outcome, stack=stack), notes=notes)


def late_message(context: RunContext, dump: str = "", *, n_runs: int = 1) -> str:
    """The message about a run, or a stack of several, that took longer than its timeout.

    Parameters
    ----------
    dump
        The stacks of the threads of a worker that did not react.
    """
    limit = f"{context.timeout:g}"
    if n_runs > 1:
        return f"the stack took longer than {n_runs} times the {limit} s of --timeout"
    message = f"the run took longer than the {limit} seconds of --timeout"
    return f"{message} and did not react; its worker was ended here:\n{dump}" if dump else message


def columns_of(run: RunSpec, machine: Machine, started_at: datetime) -> dict[str, Any]:
    """Return the columns of a row that are known whether or not the run succeeds."""
    return {
        **vars(run.workload),
        **vars(machine),
        "run_key": run.key,
        "optimizer": run.optimizer.name,
        "algorithm": run.optimizer.algorithm,
        "hyperparameters": canonical_json(dict(run.optimizer.hyperparameters)),
        "schedule": run.optimizer.schedule,
        "seed": run.seed,
        "started_at": started_at,
        "schema_version": SCHEMA_VERSION,
    }
