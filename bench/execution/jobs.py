"""A job: runs of one variant that differ only in their seed, trained as one stack.

Every run of a job gets a row of its own. What goes wrong in a stack is the fault of one of its
runs, or of their number: so it is taken apart, until a run alone fails.
"""

from __future__ import annotations

import getpass
import re
import signal
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import BenchError, SpecError, last_line
from bench.execution.devices import CPU, is_working, release_memory
from bench.execution.environment import Machine
from bench.execution.timeouts import RunTimeoutError, time_limit
from bench.spec.model import OptimizerSpec, RunSpec, Workload, canonical_json
from bench.storage.records import DIVERGED, FAILED, OK, SCHEMA_VERSION, RunRecord
from bench.storage.store import Store
from bench.training.device_data import DeviceData
from bench.training.stack import TrainedRun, train

#: Rows that are written at a time.
_WRITERS = 8
#: With these codes this program ends where a signal tells it to.
_SIGNALLED = (128 + signal.SIGTERM, 129)
#: What is in the message of an error that says that memory ran out.
_NO_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


_is_worker = False


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
    """Runs that may be trained side by side, at most `stack` of them in a job.

    Jobs come in the order of their first runs: with a stack of one, that of the runs.
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
    device
        The device that trains a job: see :mod:`bench.execution.devices`.
    stack
        The most runs in a job.
    slots
        The device of each worker process; one that trains several jobs at a time is repeated.
        Empty: `machine.n_jobs` workers train on `device`.
    timeout
        Seconds after which a run ends as failed; None for no limit.
    grace
        Seconds after the timeout at which the worker of a run that hangs outside Python is ended.
    """

    arrays: Path
    machine: Machine
    store: Store
    device: str = CPU
    stack: int = 1
    slots: tuple[str, ...] = ()
    timeout: float | None = None
    grace: float = 10.0


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """What the parent hears of a finished run."""

    key: str
    optimizer: str
    seed: int
    status: str
    test_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run with its row, which is not stored yet."""

    run: RunSpec
    record: RunRecord

    def store(self, context: RunContext) -> RunEvent:
        """Write the row."""
        context.store.write_run(self.run, self.record)
        return RunEvent(
            key=self.run.key,
            optimizer=self.run.optimizer.name,
            seed=self.run.seed,
            status=self.record.status,
            test_accuracy=self.record.test_accuracy,
        )


class DeviceFailureError(Exception):
    """A device does not compute any more."""


def train_job(job: Job, context: RunContext) -> tuple[FinishedRun, ...]:
    """Train the runs of a job; an error in training becomes a row too. Rows are not stored yet.

    Raises
    ------
    DeviceFailureError
        If the device of the context does not compute any more.
    """
    started_at = datetime.now(UTC)
    result = _attempt(job, context, started_at)
    if not isinstance(result, _Failure):
        return tuple(
            finished(run, context, started_at, _outcome(trained), stack=len(job.runs))
            for run, trained in zip(job.runs, result, strict=True)
        )
    release_memory(context.device)
    if not result.is_late and not is_working(context.device):
        reason = last_line(result.text)
        raise DeviceFailureError(f"{context.device} does not compute any more: {reason}")
    if len(job.runs) == 1:
        return failed(job, context, started_at, result.text)
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


@dataclass(frozen=True)
class _Failure:
    """An error of a training: its traceback; whether memory ran out, and whether time did."""

    text: str
    is_memory: bool
    is_late: bool

    @classmethod
    def of(cls, error: BaseException | None) -> _Failure:
        """The one that is being handled, and what it says."""
        return cls(
            text=without_user(traceback.format_exc()),
            is_memory=isinstance(error, MemoryError)
            or any(words in str(error) for words in _NO_MEMORY),
            is_late=isinstance(error, RunTimeoutError),
        )


def _attempt(
    job: Job, context: RunContext, started_at: datetime
) -> tuple[TrainedRun, ...] | _Failure:
    """The error itself is not kept: it would hold on to the memory of the stack."""
    first = job.runs[0]
    try:
        with _time_limit(job, context, started_at):
            data = load_data(context.arrays, context.device)
            seeds = [run.seed for run in job.runs]
            return train(first.workload, first.optimizer, seeds, data)
    except (Exception, SystemExit) as error:  # whatever a user's code does
        # where a network is tried out here, what ends it may have nothing to do with the network
        cause = error.__cause__ if isinstance(error, SpecError) else error
        if isinstance(cause, SystemExit) and cause.code in _SIGNALLED:
            raise cause from None
        mishap = _Failure.of(cause)
        if isinstance(error, BenchError) and not mishap.is_memory:
            raise
        return mishap


def failed(
    job: Job, context: RunContext, started_at: datetime, text: str
) -> tuple[FinishedRun, ...]:
    """The rows of a job that came to nothing, for this reason."""
    outcome = {"status": FAILED, "error": text}
    return tuple(
        finished(run, context, started_at, outcome, stack=len(job.runs)) for run in job.runs
    )


def finished(
    run: RunSpec,
    context: RunContext,
    started_at: datetime,
    outcome: Mapping[str, Any],
    *,
    stack: int,
) -> FinishedRun:
    """A run with what its training gave."""
    columns = _columns(run, context.machine, started_at)
    return FinishedRun(run=run, record=RunRecord(**columns, **outcome, stack=stack))


def become_worker() -> None:
    """Declare this process a worker, which may end where a run hangs or a device fails."""
    global _is_worker
    _is_worker = True


def is_worker() -> bool:
    """Whether this process is a worker."""
    return _is_worker


def _time_limit(
    job: Job, context: RunContext, started_at: datetime
) -> AbstractContextManager[None]:
    """The timeout of the context; a stack has that of all its runs together.

    A worker that does not react to it ends. It records a run as failed before, but not a stack: the
    parent process repeats each run of it alone.
    """
    if context.timeout is None:
        return nullcontext()
    stack = len(job.runs)
    message = f"the run took longer than the {context.timeout:g} seconds of --timeout"
    if stack > 1:
        message = f"the stack took longer than {stack} times the {context.timeout:g} s of --timeout"

    def give_up() -> None:
        if stack == 1:
            store(failed(job, context, started_at, message), context)

    return time_limit(
        context.timeout * stack,
        message,
        grace=context.grace,
        give_up=give_up if _is_worker else None,
    )


def estimate_seconds(
    workload: Workload, optimizers: Sequence[OptimizerSpec], data: DeviceData, stack: int = 1
) -> Mapping[str, float]:
    """Seconds that a run of each optimizer takes here, from timing a few updates of each.

    Where runs are trained as stacks of so many, it is a run's share of its stack's.
    """
    use_one_thread()
    sample, seeds = replace(workload, iterations=90, eval_every=30), range(stack)
    train(sample, optimizers[0], seeds, data)  # the first one also pays for loading the kernels
    seconds = {}
    for optimizer in optimizers:
        run, *_ = train(sample, optimizer, seeds, data)
        seconds[optimizer.name] = _seconds_per_update(run) * workload.iterations + (
            run.eval_seconds / len(run.evaluations) * len(workload.eval_iterations)
        )
    return seconds


def _seconds_per_update(run: TrainedRun) -> float:
    """Without what the first updates cost once; a run that diverged at once has nothing else."""
    first, last = run.evaluations[0], run.evaluations[-1]
    if last.iteration == first.iteration:
        return last.train_seconds / last.iteration
    return (last.train_seconds - first.train_seconds) / (last.iteration - first.iteration)


def without_user(text: str) -> str:
    """`text` without the home directory and the user's name in paths: rows may be published."""
    with suppress(OSError, RuntimeError):  # a process need not have a home
        home = Path.home()
        if len(home.parts) > 1:  # not where it is the root
            text = re.sub(rf"{re.escape(str(home))}(?=[/\\\s\"']|$)", "~", text)
    with suppress(OSError, KeyError, ImportError):
        user = re.escape(getpass.getuser())
        text = re.sub(rf"(?<=[/\\]){user}(?=[/\\])", "user", text)
    return text


@cache
def use_one_thread() -> None:
    """One thread for this process: several workers share the cores, and sums keep their order."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)


@cache
def load_data(arrays: Path, device: str) -> DeviceData:
    """The dataset on the device, kept for all runs of this process."""
    import torch

    from bench.datasets.cache import load

    return DeviceData.of(load(arrays), torch.device(device))


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
