"""Train a plan of runs in worker processes.

On the CPU, every worker trains its jobs with one thread. On GPUs, every worker has a slot on one of
them (:mod:`bench.execution.slots`). A job trains its runs, writes their rows, and returns small
events; results do not pass through the parent process. Where worker processes are not wanted or not
available, the jobs run in the parent process.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NoReturn

from bench.errors import UsageError, WorkerError
from bench.execution._joblib import why_no_workers
from bench.execution.devices import exact_numbers, is_working, kind_of
from bench.execution.environment import name_of
from bench.execution.in_flight import DeviceFailure, InFlight
from bench.execution.jobs import (
    DeviceFailureError,
    Job,
    RunContext,
    RunEvent,
    failed,
    late_message,
    make_jobs,
    store,
)
from bench.execution.pool import WorkerPool, is_worker
from bench.execution.slots import Slots, claimed_device
from bench.execution.timeouts import can_interrupt
from bench.spec import plugins
from bench.spec.model import RunSpec
from bench.storage.rows import read_rows

#: Makes a pool of so many workers on the given slots. A block that raises an error closes it.
Pools = Callable[[int, Slots | None], AbstractContextManager[WorkerPool]]

#: Pools that may break one after the other without a run having begun or ended in them.
_MAX_WITHOUT_PROGRESS = 3
#: A run that was in training at so many device failures is recorded as failed.
_MAX_DEVICE_FAILURES = 2
#: Restarts of the workers on the last device, one after the other without a run having ended.
_MAX_RESTARTS = 4


def new_pool(n_workers: int, slots: Slots | None) -> AbstractContextManager[WorkerPool]:
    """Return a pool that is closed at the end of its block."""
    return closing(WorkerPool(n_workers, slots))


def run_plan(
    runs: Sequence[RunSpec], context: RunContext, pools: Pools = new_pool
) -> Generator[RunEvent]:
    """Train all runs; yield an event as each run ends, in no particular order.

    If a worker dies, as when memory runs out, its pool ends. A run that did not react to its
    timeout has ended it, and is recorded as failed. Otherwise the runs in flight are repeated, each
    alone in a worker, to find the one that ends its worker: it is recorded as failed if it does so
    twice. All other runs continue in a new pool.

    If a device fails, all runs in flight continue in a pool without this device. The last device is
    used again by new workers, as a run may have made it fail. A run that was in training at two
    such failures is recorded as failed.

    `pools` makes the pools of workers, by default new ones.

    Close the generator to stop early: the workers are killed at once. A row is written whole or not
    at all, so only the runs in flight are lost.

    Raises
    ------
    UsageError
        If runs in this process cannot be ended at their timeout.
    WorkerError
        If workers cannot be started, die without having begun a run, or no device works any more.
    StoreError
        If a row cannot be written.
    """
    if not uses_workers(context) and context.timeout is not None and not can_interrupt():
        raise UsageError(
            "a timeout without worker processes needs the main thread of a POSIX system"
        )
    return _Plan(runs, context, pools).events()


def uses_workers(context: RunContext) -> bool:
    """Return whether runs are trained in worker processes; else in this process."""
    return not context.in_process and why_no_workers() is None


class _Plan:
    """The runs that have not ended yet, and the pool that trains them.

    Parameters
    ----------
    runs, context, pools
        As for :func:`run_plan`.
    """

    def __init__(self, runs: Sequence[RunSpec], context: RunContext, pools: Pools) -> None:
        self._context, self._pools = context, pools
        self._started_at = datetime.now(UTC)
        self._waiting = {run.key: run for run in runs}
        self._suspects: list[RunSpec] = []  # in flight when a worker died
        self._alone: RunSpec | None = None  # the only run of the current pool: a suspect
        self._n_before = len(runs)  # waiting when the current pool was started
        self._n_without_progress = 0
        self._device_failures: Counter[str] = Counter()  # by run
        self._device_error = ""  # reason of the latest of these failures
        self._n_restarts = 0  # on the last device, since a run has ended

    def events(self) -> Generator[RunEvent]:
        """Yield the events of one pool after the other, until every run has ended."""
        self._in_flight = InFlight.make(self._context.store)
        try:
            while self._waiting:
                with closing(self._next_pool()) as pool:
                    try:
                        for event in pool:
                            self._n_restarts = 0
                            yield self._ended(event)
                    except BrokenProcessPool as error:
                        yield from self._recover(error)
        finally:
            self._in_flight.remove()

    def _next_pool(self) -> Generator[RunEvent]:
        """A pool for the next suspect, or for all waiting runs."""
        self._n_before = len(self._waiting)
        self._alone = self._suspects.pop(0) if self._suspects else None
        if self._alone is not None:
            jobs: Sequence[Job] = [Job(runs=(self._alone,))]
        else:
            jobs = make_jobs(tuple(self._waiting.values()), self._context.stack)
        is_alone = self._alone is not None
        return _in_pool(jobs, self._context, self._in_flight, self._pools, is_alone=is_alone)

    def _ended(self, event: RunEvent) -> RunEvent:
        self._waiting.pop(event.key, None)
        return event

    def _failed(self, run: RunSpec, reason: str, seconds: float = 0.0) -> RunEvent:
        """Record a run as failed that was started so many seconds ago."""
        started_at = datetime.now(UTC) - timedelta(seconds=seconds)
        rows = failed(Job(runs=(run,)), self._context, started_at, reason)
        (event,) = store(rows, self._context)
        return self._ended(event)

    def _recover(self, error: BrokenProcessPool) -> Generator[RunEvent]:
        """Decide how the runs in flight go on after the pool broke."""
        for run in tuple(self._waiting.values()):  # stored, but the event was lost
            if (stored := _stored_event(run, self._context, self._started_at)) is not None:
                yield self._ended(stored)
        failures = self._in_flight.take_failures()
        in_flight = self._in_flight.take(self._waiting)
        if failures:
            self._n_without_progress = 0
            yield from self._without_devices(failures)
            return
        late = [mark for mark in in_flight if mark.dump]
        if late and (self._alone is not None or self._context.stack == 1):
            seconds = (self._context.timeout or 0.0) + self._context.grace
            for mark in late:
                yield self._failed(mark.run, late_message(self._context, mark.dump), seconds)
        elif self._alone is None:
            self._suspects = [mark.run for mark in in_flight]
        elif in_flight:
            reason = "the worker process died twice in this run: out of memory, or a crash"
            yield self._failed(self._alone, reason)
        elif self._alone.key in self._waiting:  # the worker died before it began the run
            self._suspects.insert(0, self._alone)
        has_progress = bool(in_flight) or len(self._waiting) < self._n_before
        self._n_without_progress = 0 if has_progress else self._n_without_progress + 1
        if self._n_without_progress == _MAX_WITHOUT_PROGRESS:
            option = "--jobs-per-gpu 1" if self._context.slots else "fewer --n-jobs"
            raise WorkerError(
                "worker processes die or do not start, which usually means that memory ran "
                f"out; the finished runs are stored: give the same command again, with {option} "
                f"({type(error).__name__})"
            ) from error

    def _without_devices(self, failures: Sequence[DeviceFailure]) -> Generator[RunEvent]:
        """Take away the slots of the devices that failed, unless no other slots are left."""
        for failure in failures:
            if failure.runs or not self._device_error:
                self._device_error = failure.reason
            for key in failure.runs:
                self._device_failures[key] += 1
                if key in self._waiting and self._device_failures[key] >= _MAX_DEVICE_FAILURES:
                    yield self._failed(self._waiting[key], failure.reason)
        broken = {failure.device for failure in failures}
        slots = tuple(slot for slot in self._context.slots if slot not in broken)
        if self._waiting and not slots:
            self._n_restarts += 1
            is_usable = any(failure.runs for failure in failures)
            if not is_usable or self._n_restarts > _MAX_RESTARTS:
                raise _no_device(self._device_error)
        self._context = replace(self._context, slots=slots or self._context.slots)


def _no_device(reason: str) -> WorkerError:
    return WorkerError(
        f"no GPU is left ({reason}); the finished runs are stored: give the same command again, "
        "with --jobs-per-gpu 1 if it happens again"
    )


def _in_pool(
    jobs: Sequence[Job], context: RunContext, in_flight: InFlight, pools: Pools, *, is_alone: bool
) -> Generator[RunEvent]:
    """Do the jobs in a pool; without workers in this process, unless `is_alone`."""
    pickles = plugins.pickles_of_runs(job.runs[0] for job in jobs)
    do = partial(_do_marked, context=context, in_flight=in_flight, pickles=pickles)
    if not is_alone and not uses_workers(context):
        for job in jobs:
            yield from do(job)
        return
    n_workers = 1 if is_alone else context.machine.n_jobs
    slots = Slots(in_flight.directory, context.slots) if context.slots else None
    if slots is not None:
        n_workers = min(n_workers, len(context.slots))
    with pools(n_workers, slots) as pool:
        for events in pool.map(do, jobs):
            yield from events


def _do_marked(
    job: Job, context: RunContext, in_flight: InFlight, pickles: Mapping[str, bytes]
) -> tuple[RunEvent, ...]:
    """Do a job on the device of this process, with its runs marked as in flight.

    `pickles` are the classes and functions of its optimizers and networks that have no module.
    """
    from bench.execution.train_job import do_job  # imports torch, which a parent does not need

    plugins.receive(pickles)
    if context.slots:
        device = claimed_device(context.slots)
        if not is_working(device):
            reason = f"{device} does not compute in a new process"
            _end_with(DeviceFailure(device=device, reason=reason, runs=()), in_flight)
        context = _on_device(context, device)
    kind, tf32 = kind_of(context.device), bool(context.machine.tf32)
    try:
        with exact_numbers(kind, tf32=tf32), in_flight.during(job.runs):
            return do_job(job, context)
    except DeviceFailureError as error:
        keys = tuple(run.key for run in job.runs)
        failure = DeviceFailure(device=context.device, reason=str(error), runs=keys)
        _end_with(failure, in_flight)


def _end_with(failure: DeviceFailure, in_flight: InFlight) -> NoReturn:
    """Report a device failure and end this worker; the device may work again in a new one."""
    if not is_worker():
        raise _no_device(failure.reason)
    in_flight.report(failure)
    os._exit(1)


def _on_device(context: RunContext, device: str) -> RunContext:
    machine = replace(context.machine, device_name=name_of(device))
    return replace(context, device=device, machine=machine)


def _stored_event(run: RunSpec, context: RunContext, since: datetime) -> RunEvent | None:
    """The event of a run whose row was written since then; None if there is none."""
    file = context.store.run_file(run)
    if not file.exists():
        return None
    (row,) = read_rows(file).to_pylist()
    if row["run_key"] != run.key or row["started_at"] < since:
        return None
    return RunEvent(
        key=run.key,
        optimizer=run.optimizer.name,
        seed=run.seed,
        status=row["status"],
        test_accuracy=row["test_accuracy"],
    )
