"""A job: runs of one variant that differ only in their seed, trained as one stack.

Every run of a job has its own row. If a stack fails, one of its runs or their number is the reason:
it is divided, until a single run fails.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from bench.datasets.content import file_versions
from bench.errors import (
    BenchError,
    DataError,
    SpecError,
    is_out_of_memory,
    kind_and_line,
    last_line,
)
from bench.execution.devices import CPU, is_working, release_memory
from bench.execution.environment import Machine
from bench.execution.error_text import error_text
from bench.execution.in_flight import InFlight
from bench.execution.pool import is_worker
from bench.execution.timeouts import RunTimeoutError, time_limit
from bench.optimizers.build import import_compiler
from bench.spec import process_state
from bench.spec.model import OptimizerSpec, RunSpec, Workload, canonical_json
from bench.spec.plugins import is_external, load_external
from bench.storage.records import DIVERGED, FAILED, OK, SCHEMA_VERSION, RunRecord
from bench.storage.store import Store
from bench.training.device_data import DeviceData
from bench.training.stack import TrainedRun, train, warm_up

#: Number of rows that are written at the same time.
_WRITERS = 8
#: Exit codes of this program after SIGTERM and SIGHUP.
_SIGNALLED = (128 + signal.SIGTERM, 129)


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
    """

    key: str
    optimizer: str
    seed: int
    status: str
    test_accuracy: float | None
    notes: tuple[str, ...] = ()


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


def train_job(job: Job, context: RunContext) -> tuple[FinishedRun, ...]:
    """Train the runs of a job; an error in training becomes a row too. Rows are not stored yet.

    Raises
    ------
    DeviceFailureError
        If the device of the context does not compute any more.
    """
    started_at = datetime.now(UTC)
    result = _attempt(job, context)
    if isinstance(result, _Success):
        return tuple(
            finished(run, context, started_at, _outcome(trained), len(job.runs), result.notes)
            for run, trained in zip(job.runs, result.runs, strict=True)
        )
    release_memory(context.device)
    if not result.is_late and not is_working(context.device):
        reason = last_line(result.text)
        raise DeviceFailureError(f"{context.device} does not compute any more: {reason}")
    if len(job.runs) == 1:
        return failed(job, context, started_at, result.text, result.notes)
    parts = job.halves() if result.is_memory else job.alone()
    return tuple(run for part in parts for run in train_job(part, context))


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
        with ThreadPoolExecutor(min(len(runs), _WRITERS)) as writers:
            return tuple(writers.map(lambda run: run.store(context), runs))
    except RuntimeError:  # no more threads: what is written twice is the same
        return tuple(run.store(context) for run in runs)


def do_job(job: Job, context: RunContext) -> tuple[RunEvent, ...]:
    """Train the runs of a job, and store their rows."""
    use_one_thread()
    return store(train_job(job, context), context)


@dataclass(frozen=True, kw_only=True)
class _Success:
    """The trained runs, and settings of the process that were restored."""

    runs: tuple[TrainedRun, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """An error of a training: its traceback, and whether memory or time ran out.

    The exception itself is not kept, because it holds the memory of the stack. `notes` are those of
    :class:`_Success`.
    """

    text: str
    notes: tuple[str, ...]
    is_memory: bool = False
    is_late: bool = False

    @classmethod
    def of(cls, error: BaseException | None, notes: Sequence[str]) -> _Failure:
        """The failure of the exception that is being handled, whose cause is `error`."""
        return cls(
            text=error_text(traceback.format_exc()),
            notes=tuple(notes),
            is_memory=is_out_of_memory(error),
            is_late=isinstance(error, RunTimeoutError),
        )


def _attempt(job: Job, context: RunContext) -> _Success | _Failure:
    first, seeds = job.runs[0], [run.seed for run in job.runs]
    changes = process_state.Changes()
    try:
        data = load_data(context.arrays, context.device)
        _warm_up(context.arrays, context.device)
        with _time_limit(job, context):
            _import_user_code(first)
        import_compiler(first.optimizer)
        process_state.set_for_training()
        # a limit of its own, so that it never interrupts the restoring
        with process_state.restored(changes), _time_limit(job, context):
            runs = train(first.workload, first.optimizer, seeds, data)
        if changes.numeric:
            return _Failure(text=_refusal(changes.numeric), notes=tuple(changes.other))
        return _Success(runs=runs, notes=tuple(changes.other))
    except BaseException as error:  # user code may raise anything
        # where a network is tried out here, what ends it may have nothing to do with the network
        cause = error.__cause__ if isinstance(error, SpecError) else error
        if not is_worker() and _is_signal(cause):
            raise cause from None
        failure = _Failure.of(cause, changes.other)
        if isinstance(error, BenchError) and not failure.is_memory:
            raise
        return failure


def _refusal(changes: Sequence[str]) -> str:
    return (
        "the code of the optimizer or the network changed settings of the process, and every run "
        f"must be trained under the same: {'; '.join(changes)}"
    )


def _import_user_code(run: RunSpec) -> None:
    """Import it before the settings of the process are read: they may belong to its modules."""
    for name, what in ((run.optimizer.algorithm, "optimizer"), (run.workload.network, "network")):
        if is_external(name):
            load_external(name, what)


def _is_signal(error: BaseException | None) -> TypeGuard[BaseException]:
    """Whether a signal to this process raised the exception. Workers do not handle signals."""
    if isinstance(error, SystemExit):
        return error.code in _SIGNALLED
    return isinstance(error, KeyboardInterrupt)


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
    columns = {**_columns(run, context.machine, started_at), "data_hash": context.data_hash}
    return FinishedRun(run=run, record=RunRecord(**columns, **outcome, stack=stack), notes=notes)


@cache
def _warm_up(arrays: Path, device: str) -> None:
    """Import what torch imports in the first steps: no run's time includes it."""
    warm_up(load_data(arrays, device))


def _time_limit(job: Job, context: RunContext) -> AbstractContextManager[None]:
    """The timeout of the context; a stack has that of all its runs together.

    A worker that does not react to it ends, and writes the place in the code into the file that
    marks the run as in flight. The parent process records the run, or repeats the runs of a stack.
    """
    if context.timeout is None:
        return nullcontext()
    return time_limit(
        context.timeout * len(job.runs),
        late_message(context, n_runs=len(job.runs)),
        grace=context.grace,
        dump=InFlight(context.store.in_flight_directory).mark_of(job.runs[0])
        if is_worker()
        else None,
    )


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


def estimate_seconds(
    workload: Workload, optimizers: Sequence[OptimizerSpec], data: DeviceData, stack: int = 1
) -> Mapping[str, float]:
    """Estimate the seconds of a run of each optimizer by timing a few updates.

    In a stack, it is the share of one run.
    """
    use_one_thread()
    sample, seeds = replace(workload, iterations=90, eval_every=30), range(stack)
    warm_up(data)
    seconds = {}
    for optimizer in optimizers:
        run, *_ = train(sample, optimizer, seeds, data)
        seconds[optimizer.name] = _seconds_per_update(run) * workload.iterations + (
            run.eval_seconds / len(run.evaluations) * len(workload.eval_iterations)
        )
    return seconds


def seconds_per_evaluation(workload: Workload, optimizer: OptimizerSpec, data: DeviceData) -> float:
    """Estimate the seconds of one evaluation of a run by timing a few."""
    use_one_thread()
    run, *_ = train(replace(workload, iterations=3, eval_every=1), optimizer, range(1), data)
    return run.eval_seconds / len(run.evaluations)


def _seconds_per_update(run: TrainedRun) -> float:
    """Seconds per update after the first evaluation, or until it if the run diverged there."""
    first, last = run.evaluations[0], run.evaluations[-1]
    if last.iteration == first.iteration:
        return last.train_seconds / last.iteration
    return (last.train_seconds - first.train_seconds) / (last.iteration - first.iteration)


@cache
def use_one_thread() -> None:
    """Use one thread in this process: workers share the cores, and sums keep their order."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


#: The datasets of this process by directory and device, with the versions of their files.
_loaded: dict[tuple[Path, str], tuple[object, DeviceData]] = {}


def load_data(arrays: Path, device: str) -> DeviceData:
    """Load a dataset to a device; it is kept until its files are written or replaced."""
    import torch

    from bench.datasets.cache import load

    versions = file_versions(arrays)
    before, data = _loaded.get((arrays, device), (None, None))
    if data is None or versions not in (None, before):  # None: deleted, but still mapped
        try:
            dataset = load(arrays)
        except (ValueError, KeyError, TypeError, EOFError) as error:  # changed during a sweep
            raise DataError(f"cannot read the data in {arrays}: {kind_and_line(error)}") from error
        data = DeviceData.of(dataset, torch.device(device))
        _loaded[arrays, device] = versions, data
    return data


def _outcome(run: TrainedRun) -> dict[str, Any]:
    """The columns that only a finished training can fill."""
    last = run.evaluations[-1]
    diverged = run.diverged_at is not None
    return {
        "status": DIVERGED if diverged else OK,
        "error": f"loss not finite at update {run.diverged_at}" if diverged else None,
        "diverged_at": run.diverged_at,
        "initial_weights_sha256": run.initial_weights_sha256,
        "data_order_sha256": run.data_order_sha256,
        "test_correct": int(last.correct.sum()),
        "test_total": len(last.correct),
        "test_accuracy": last.test_accuracy,
        "test_loss": last.test_loss,
        "train_loss": last.train_loss,
        "eval_iterations": [e.iteration for e in run.evaluations],
        "eval_test_accuracy": [e.test_accuracy for e in run.evaluations],
        "eval_test_loss": [e.test_loss for e in run.evaluations],
        "eval_train_loss": [e.train_loss for e in run.evaluations],
        "eval_train_seconds": [e.train_seconds for e in run.evaluations],
        "correct_bits": np.packbits(last.correct).tobytes(),
        **_rate_columns(run),
        "train_seconds": run.train_seconds,
        "eval_seconds": run.eval_seconds,
    }


def _rate_columns(run: TrainedRun) -> dict[str, Any]:
    if run.learning_rates is None:
        return {}
    iterations, rates = zip(*run.learning_rates, strict=True)
    return {"learning_rate_iterations": list(iterations), "learning_rates": list(rates)}


def _columns(run: RunSpec, machine: Machine, started_at: datetime) -> dict[str, Any]:
    """The columns that are known whether or not the run succeeds."""
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
