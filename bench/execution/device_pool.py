"""Jobs on a pool of GPUs: a free one takes the next job, and the job of a broken one moves on.

One process serves all of them, with threads: a process for each GPU would load torch and its
kernels as often, and Python has next to nothing to do while recorded updates are replayed. Each GPU
has two threads, of which one draws the next job's images, or writes the last one's rows, while the
other trains.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from queue import SimpleQueue

from bench.errors import WorkerError
from bench.execution.devices import exact_numbers, kind_of
from bench.execution.environment import name_of
from bench.execution.interrupts import interrupt
from bench.execution.jobs import (
    DeviceFailureError,
    FinishedRun,
    Job,
    RunContext,
    RunEvent,
    failed,
    load_data,
    store,
    train_job,
    use_one_thread,
)

_THREADS_PER_SLOT = 2


def run_on_devices(jobs: Sequence[Job], context: RunContext) -> Generator[RunEvent]:
    """Do the jobs on the slots of `context`; yield an event for each run as its job ends.

    Close the generator to stop early: jobs under way end within some updates, without rows. One
    that does not is interrupted after the grace of `context`, and after as long again it is left
    behind, in a thread that ends with the program.

    Raises
    ------
    WorkerError
        If no device is left.
    StoreError
        If a row cannot be written.
    """
    use_one_thread()
    pool = DevicePool(context.slots)
    tf32 = bool(context.machine.tf32)
    with exact_numbers(kind_of(context.slots[0]), tf32=tf32):
        for device in dict.fromkeys(context.slots):  # here, so that no two threads do it at a time
            load_data(context.arrays, device)
        crew = _Crew(jobs, context, pool)
        try:
            crew.start()
            for _ in jobs:
                yield from crew.next_result()
        finally:
            pool.stop()
            crew.dismiss(context.grace)


class Stopped(BaseException):
    """Nobody waits for the jobs any more; no Exception, which would be the run's own."""


class _Crew:
    """Threads that do jobs; they do not keep the program alive, as those of an executor would.

    Parameters
    ----------
    jobs, context, pool
        What to do, and the devices for it.
    """

    def __init__(self, jobs: Sequence[Job], context: RunContext, pool: DevicePool) -> None:
        self._waiting = deque(jobs)
        self._results: SimpleQueue[tuple[RunEvent, ...] | BaseException] = SimpleQueue()
        n_threads = min(len(jobs), _THREADS_PER_SLOT * len(context.slots))
        self._threads = [
            threading.Thread(target=self._work, args=(context, pool), daemon=True, name=f"gpu-{i}")
            for i in range(n_threads)
        ]

    def start(self) -> None:
        """Let them begin."""
        for i, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                if i == 0:
                    raise WorkerError(f"cannot start a thread for a GPU: {error}") from error
                return  # those that there are do it all

    def next_result(self) -> tuple[RunEvent, ...]:
        """The events of the job that ends next; raises what ended it, where that was no run's."""
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def dismiss(self, grace: float) -> None:
        """Wait until nobody works any more; interrupt who does not come to an end."""
        self._waiting.clear()
        for thread in self._at_work(grace):
            if thread.ident is not None:
                interrupt(thread.ident, Stopped)
        self._at_work(grace)

    def _at_work(self, seconds: float) -> list[threading.Thread]:
        """Those who are still at work after so long."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, end - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]

    def _work(self, context: RunContext, pool: DevicePool) -> None:
        with suppress(IndexError):  # nothing is left to do
            while True:
                job = self._waiting.popleft()
                try:
                    self._results.put(_do(job, context, pool))
                except BaseException as error:  # whatever it is, the program hears of it
                    self._results.put(error)
                    return


class DevicePool:
    """Devices that take so many jobs at a time, for threads to take and give back.

    Parameters
    ----------
    slots
        Devices, each as often as it takes jobs at a time.
    """

    def __init__(self, slots: Sequence[str]) -> None:
        self._places = Counter(slots)
        self._free = deque(slots)
        self._wanted_alone = 0
        self._reason = ""
        self._is_stopped = False
        self._changed = threading.Condition()

    @property
    def is_empty(self) -> bool:
        """Whether no device works any more."""
        return not self._places

    def takes_one(self, device: str) -> bool:
        """Whether this device takes one job at a time."""
        return self._places[device] == 1

    def take(self, *, alone: bool = False) -> str:
        """A device that is this thread's until it is given back; waits for one.

        Parameters
        ----------
        alone
            Let nobody else have it as long, whatever it takes; goes before those who can share.

        Raises
        ------
        WorkerError
            If none works any more.
        Stopped
            If the pool was stopped.
        """
        with self._changed:
            self._wanted_alone += alone
            try:
                self._changed.wait_for(
                    lambda: self._is_stopped or self.is_empty or self._takeable(alone=alone)
                )
            finally:
                self._wanted_alone -= alone
            self.check()
            if self.is_empty:
                raise WorkerError(
                    f"no GPU is left ({self._reason}); the finished runs are stored: give the same "
                    "command again, with --jobs-per-gpu 1 if it happens again"
                )
            device = self._takeable(alone=alone)[0]
            for _ in range(self._places[device] if alone else 1):
                self._free.remove(device)
            self._changed.notify_all()
            return device

    def give_back(self, device: str, *, alone: bool = False) -> None:
        """Let another thread take it."""
        with self._changed:
            if device in self._places:
                self._free.extend([device] * (self._places[device] if alone else 1))
                self._changed.notify_all()

    def retire(self, device: str, reason: str) -> None:
        """Let nobody take it again."""
        with self._changed:
            del self._places[device]
            self._free = deque(slot for slot in self._free if slot != device)
            self._reason = reason
            self._changed.notify_all()

    def stop(self) -> None:
        """End whoever waits, and whoever checks."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def check(self) -> None:
        """Raise Stopped if the pool was stopped."""
        if self._is_stopped:
            raise Stopped

    def _takeable(self, *, alone: bool) -> list[str]:
        """The slots that may be taken now, the one that is free for longest first."""
        if alone:
            return [d for d in self._free if self._free.count(d) == self._places[d]]
        return [] if self._wanted_alone else list(self._free)


def _do(job: Job, context: RunContext, pool: DevicePool) -> tuple[RunEvent, ...]:
    """Train a job on a free device, and store its rows when that is free again."""
    _draw_ahead(job, context)
    runs = _train(job, context, pool)
    pool.check()  # else the directory may be another sweep's by now
    return store(runs, context)


def _train(job: Job, context: RunContext, pool: DevicePool) -> tuple[FinishedRun, ...]:
    """Train a job; where a device breaks, once more, alone on another one.

    It is to blame if that breaks too, or if it had the last one for itself.
    """
    started_at = datetime.now(UTC)
    reason = ""
    for alone in (False, True):
        device = pool.take(alone=alone)
        is_alone = alone or pool.takes_one(device)
        machine = replace(context.machine, device_name=name_of(device))
        try:
            runs = train_job(job, replace(context, device=device, machine=machine), pool.check)
        except DeviceFailureError as failure:
            reason = str(failure)
            pool.retire(device, reason)
            if pool.is_empty and is_alone:
                break
        else:
            pool.give_back(device, alone=alone)
            return runs
    return failed(job, context, started_at, reason)


def _draw_ahead(job: Job, context: RunContext) -> None:
    """Draw the images of a stack on the processor, while devices are busy: the result is kept."""
    from bench.training.seeding import orders

    if len(job.runs) == 1:
        return
    workload = job.runs[0].workload
    n_images = len(load_data(context.arrays, context.slots[0]).train_images)
    seeds = [run.seed for run in job.runs]
    with suppress(MemoryError, RuntimeError):  # no room: the training will find out, and is halved
        orders(n_images, workload.batch_size, workload.iterations, seeds)
