"""Fan a plan of runs out: over worker processes on the processor, or over a pool of GPUs.

Every job trains its runs with one thread, writes their rows, and sends back small events; the
parent never handles results. With one worker the jobs run in the parent itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import active_children
from pathlib import Path

from bench.errors import WorkerError
from bench.execution._joblib import joblib, loky
from bench.execution.device_pool import run_on_devices
from bench.execution.jobs import (
    Job,
    RunContext,
    RunEvent,
    become_worker,
    do_job,
    failed,
    make_jobs,
    store,
)
from bench.spec.model import RunSpec
from bench.storage.rows import read_rows
from bench.storage.store import Store

#: Pools that may break one after the other before anything was done in them.
_MAX_WITHOUT_PROGRESS = 3


def run_plan(runs: Sequence[RunSpec], context: RunContext) -> Generator[RunEvent]:
    """Start the workers on all runs; yield an event as each run ends, in no particular order.

    A worker that dies, as when the machine runs out of memory, takes the pool with it: joblib ends
    the others too. The runs that were under way are then done again, each alone in a worker, so
    that only the one that kills its worker is to blame: where it does so twice, it is recorded as
    failed. All other runs go on in a new pool.

    Close the generator to stop early: joblib then kills the workers at once. A row is written
    whole or not at all, so nothing is lost but the runs in flight.

    Raises
    ------
    WorkerError
        If workers cannot be started, or die without having begun a run.
    StoreError
        If a row cannot be written.
    """
    # joblib warns of the runs that nobody will collect: stopping early is meant
    for message in (".*tasks which were still being processed", ".*successfully executed  but not"):
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    jobs = make_jobs(runs, context.stack)
    if context.slots:
        return run_on_devices(jobs, context)
    begun = _InFlight.make(context.store)
    events = _in_pool(jobs, context, begun)
    return _carry_on(events, runs, context, begun)


def _carry_on(
    events: Generator[RunEvent], runs: Sequence[RunSpec], context: RunContext, begun: _InFlight
) -> Generator[RunEvent]:
    """The events of the pool, and of those after it, until every run has ended."""
    since = datetime.now(UTC)
    waiting = {run.key: run for run in runs}
    n_without_progress = 0  # pools in a row that ended without having begun or ended a run
    try:
        while True:
            before = len(waiting)
            try:
                for event in events:
                    waiting.pop(event.key, None)
                    yield event
                return
            except BrokenProcessPool as error:
                broken = error
            for run in tuple(waiting.values()):  # what was stored, but not heard of
                if (stored := _stored_event(run, context, since)) is not None:
                    del waiting[run.key]
                    yield stored
            for run in begun.take(waiting):
                del waiting[run.key]
                yield _alone(run, context, begun)
            n_without_progress = n_without_progress + 1 if len(waiting) == before else 0
            if n_without_progress == _MAX_WITHOUT_PROGRESS:
                raise WorkerError(
                    "worker processes die or do not start, which usually means that memory ran "
                    "out; the finished runs are stored: give the same command again, with fewer "
                    f"--n-jobs ({type(broken).__name__})"
                ) from broken
            if not waiting:
                return
            events = _in_pool(make_jobs(tuple(waiting.values()), context.stack), context, begun)
    finally:
        events.close()
        begun.remove()


def _alone(run: RunSpec, context: RunContext, begun: _InFlight) -> RunEvent:
    """Do a run in a worker of its own; if that dies too, the run has failed."""
    started_at, job = datetime.now(UTC), Job(runs=(run,))
    try:
        (event,) = _in_pool([job], context, begun, alone=True)
        return event
    except BrokenProcessPool:
        begun.take({run.key: run})
        if (stored := _stored_event(run, context, started_at)) is not None:
            return stored
        reason = "the worker process died twice in this run: out of memory, or a crash"
        (event,) = store(failed(job, context, started_at, reason), context)
        return event


def _in_pool(
    jobs: Sequence[Job], context: RunContext, begun: _InFlight, *, alone: bool = False
) -> Generator[RunEvent]:
    """Hand the jobs to joblib; with one worker they are done in this process, unless `alone`."""
    if context.machine.n_jobs == 1 and not alone:
        return _one_by_one(_do_begun(job, context, begun) for job in jobs)
    # one thread each, also where the environment asks for a number that is none
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(
            # one task keeps one of two workers busy; with one, joblib would do it here
            n_jobs=2 if alone else context.machine.n_jobs,
            return_as="generator_unordered",
            batch_size=1,
            initializer=_start_worker,
            initargs=(os.getpid(),),
        )
    try:
        with _interrupts_ignored():  # workers inherit this until _start_worker runs in them
            events: Generator[tuple[RunEvent, ...]] = parallel(
                joblib.delayed(_do_begun)(job, context, begun) for job in jobs
            )
    except BrokenProcessPool as error:  # a worker died while they were being started
        return _raising(error)
    except BrokenPipeError as error:  # ... before it had read what it is for
        stop_workers()
        return _raising(BrokenProcessPool(f"a worker died as it was started ({error})"))
    except (OSError, RuntimeError) as error:  # no more processes, no more threads
        for started in active_children():  # they would complain of a pool that is not there
            started.terminate()
        begun.remove()
        raise WorkerError(
            f"cannot start the workers ({error}): too many processes, or too little memory; the "
            "finished runs are stored: give the same command again, with fewer --n-jobs"
        ) from error
    return _one_by_one(events)


def _one_by_one(events: Generator[tuple[RunEvent, ...]]) -> Generator[RunEvent]:
    with closing(events):
        for of_job in events:
            yield from of_job


def _do_begun(job: Job, context: RunContext, begun: _InFlight) -> tuple[RunEvent, ...]:
    with begun.during(job.runs):
        return do_job(job, context)


def _raising(error: BrokenProcessPool) -> Generator[RunEvent]:
    """The events of a pool that broke before there was any."""
    raise error
    yield


@dataclass(frozen=True)
class _InFlight:
    """Which runs are under way: a file for each, which its worker makes and takes away."""

    directory: Path

    @classmethod
    def make(cls, store: Store) -> _InFlight:
        shutil.rmtree(store.begun_directory, ignore_errors=True)
        with suppress(OSError):
            store.begun_directory.mkdir(parents=True)
        return cls(store.begun_directory)

    @contextmanager
    def during(self, runs: Sequence[RunSpec]) -> Iterator[None]:
        marks = [self.directory / run.key for run in runs]
        with suppress(OSError):  # a full disk must not end a run that may still be stored
            for mark in marks:
                mark.touch()
        yield
        with suppress(OSError):
            for mark in marks:
                mark.unlink(missing_ok=True)

    def take(self, runs: Mapping[str, RunSpec]) -> tuple[RunSpec, ...]:
        """Those of `runs` that were begun and did not end; they count as not begun from now on."""
        found = sorted(mark for mark in self.directory.glob("*") if mark.name in runs)
        for mark in found:
            mark.unlink(missing_ok=True)
        return tuple(runs[mark.name] for mark in found)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _stored_event(run: RunSpec, context: RunContext, since: datetime) -> RunEvent | None:
    """The event of a run whose row was written since then, though nobody heard of it."""
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


def stop_workers() -> None:
    """End the workers, which joblib would keep for the next plan, now instead of at exit."""
    loky.get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    become_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
    except RuntimeError:  # no more threads: the parent hears of it by the worker's end
        os._exit(1)


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it receives Ctrl-C
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
