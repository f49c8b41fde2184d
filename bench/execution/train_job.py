"""Train the runs of a job in this process.

This module imports torch; the program that starts the workers imports it only without workers.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import numpy as np

from bench.datasets.content import file_versions
from bench.errors import (
    BenchError,
    DataError,
    SpecError,
    WorkerError,
    is_out_of_memory,
    kind_and_line,
    last_line,
)
from bench.execution.devices import is_working, release_memory
from bench.execution.error_text import error_text
from bench.execution.in_flight import InFlight
from bench.execution.jobs import (
    DeviceFailureError,
    FinishedRun,
    Job,
    RunContext,
    RunEvent,
    failed,
    finished,
    late_message,
    store,
)
from bench.execution.pool import is_worker
from bench.execution.timeouts import RunTimeoutError, time_limit
from bench.execution.worker_warnings import keep_warnings, take_warnings
from bench.optimizers.build import import_compiler
from bench.spec import process_state
from bench.spec.model import OptimizerSpec, RunSpec, Workload
from bench.spec.plugins import is_external, load_external
from bench.storage.records import DIVERGED, OK
from bench.training.device_data import DeviceData
from bench.training.stack import TrainedRun, train, warm_up

#: Exit codes of this program after SIGTERM and SIGHUP.
_SIGNALLED = (128 + signal.SIGTERM, 129)


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


def do_job(job: Job, context: RunContext) -> tuple[RunEvent, ...]:
    """Train the runs of a job, and store their rows."""
    use_one_thread()
    if is_worker():
        keep_warnings()
    try:
        first, *others = store(train_job(job, context), context)
    finally:
        if process_state.permanent_changes():
            _end_process(job)
    return replace(first, warnings=take_warnings()), *others


def _end_process(job: Job) -> NoReturn:
    """End a worker whose settings cannot be restored; the other runs continue in a new one.

    Raises
    ------
    WorkerError
        If this process is not a worker.
    """
    if is_worker():
        os._exit(1)
    raise WorkerError(
        f"the code of {job.runs[0].optimizer.name} or of its network changed "
        f"{process_state.permanent_changes()[0]} of this process, which cannot be restored; the "
        "finished runs are stored: give the same command again, without --in-process"
    )


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
        failure = _describe(cause, changes.other, job, context)
        if isinstance(error, BenchError) and not failure.is_memory and _is_ours(error):
            raise
        return failure


def _is_ours(error: BaseException) -> bool:
    """Whether this program has raised the exception, and not user code that has imported it."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] == __package__.partition(".")[0]


def _describe(
    error: BaseException | None, notes: Sequence[str], job: Job, context: RunContext
) -> _Failure:
    """Describe the exception that is being handled; user code may have written its `__str__`."""
    try:
        with _time_limit(job, context):
            return _Failure.of(error, notes)
    except RunTimeoutError:
        text = late_message(context, n_runs=len(job.runs))
        return _Failure(text=text, notes=tuple(notes), is_late=True)


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
