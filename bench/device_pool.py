"""Jobs on a pool of GPUs: a free one takes the next job, and the job of a broken one moves on.

One process serves all of them, with threads: a process for each GPU would load torch and its
kernels as often, and Python has next to nothing to do while recorded updates are replayed. Each GPU
has two threads, of which one draws the next job's images, or writes the last one's rows, while the
other trains.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from bench.devices import exact_numbers, kind_of
from bench.errors import WorkerError
from bench.jobs import (
    DeviceFailureError,
    Job,
    RunEvent,
    Site,
    failed,
    load_data,
    store,
    train_job,
    use_one_thread,
)
from bench.machine import name_of

_THREADS_PER_SLOT = 2
#: A job under which so many devices broke is to blame itself.
_MOST_FAILURES = 2


def run_on_devices(jobs: Sequence[Job], site: Site) -> Generator[RunEvent]:
    """Do the jobs on the slots of `site`; yield an event for each run as its job ends.

    Close the generator to stop early: jobs under way end within some updates, without rows.

    Raises
    ------
    WorkerError
        If no device is left.
    StoreError
        If a row cannot be written.
    """
    use_one_thread()
    pool = DevicePool(site.slots)
    tf32 = bool(site.machine.tf32)
    with exact_numbers(kind_of(site.slots[0]), tf32=tf32):
        for device in dict.fromkeys(site.slots):  # here, so that no two threads do it at a time
            load_data(site.arrays, device)
        with ThreadPoolExecutor(_THREADS_PER_SLOT * len(site.slots)) as threads:
            try:
                futures = [threads.submit(_do, job, site, pool) for job in jobs]
                for future in as_completed(futures):
                    yield from future.result()
            finally:
                pool.stop()
                threads.shutdown(wait=True, cancel_futures=True)


class Stopped(BaseException):
    """Nobody waits for the jobs any more; no Exception, which would be the run's own."""


class DevicePool:
    """Devices that take so many jobs at a time, for threads to take and give back.

    Parameters
    ----------
    slots
        Devices, each as often as it takes jobs at a time.
    """

    def __init__(self, slots: Sequence[str]) -> None:
        self._free = deque(slots)
        self._working = set(slots)
        self._reason = ""
        self._is_stopped = False
        self._changed = threading.Condition()

    @property
    def is_empty(self) -> bool:
        """Whether no device works any more."""
        return not self._working

    def take(self) -> str:
        """A device that is this thread's until it is given back; waits for one.

        Raises
        ------
        WorkerError
            If none works any more.
        Stopped
            If the pool was stopped.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._is_stopped or self.is_empty)
            self.check()
            if self.is_empty:
                raise WorkerError(
                    f"no GPU is left ({self._reason}); the finished runs are stored: give the same "
                    "command again"
                )
            return self._free.popleft()

    def give_back(self, device: str) -> None:
        """Let another thread take it."""
        with self._changed:
            if device in self._working:
                self._free.append(device)
                self._changed.notify()

    def retire(self, device: str, reason: str) -> None:
        """Let nobody take it again."""
        with self._changed:
            self._working.discard(device)
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


def _do(job: Job, site: Site, pool: DevicePool) -> tuple[RunEvent, ...]:
    """Train a job on a free device, and store its rows when that is free again."""
    started_at = datetime.now(UTC)
    _draw_ahead(job, site)
    for _ in range(_MOST_FAILURES):
        device = pool.take()
        machine = replace(site.machine, device_name=name_of(device))
        try:
            runs = train_job(job, replace(site, device=device, machine=machine), pool.check)
        except DeviceFailureError as failure:
            pool.retire(device, str(failure))
            runs = failed(job, site, started_at, str(failure))
            if pool.is_empty:
                break
        else:
            pool.give_back(device)
            break
    return store(runs, site)


def _draw_ahead(job: Job, site: Site) -> None:
    """Draw the images of a stack on the processor, while devices are busy: the result is kept."""
    from bench.streams import orders

    if len(job.runs) == 1:
        return
    workload = job.runs[0].workload
    n_images = len(load_data(site.arrays, site.slots[0]).train_images)
    seeds = [run.seed for run in job.runs]
    with suppress(MemoryError, RuntimeError):  # no room: the training will find out, and is halved
        orders(n_images, workload.batch_size, workload.iterations, seeds)
