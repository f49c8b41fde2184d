"""Train a plan of runs on the workers of a Dask cluster.

Dask carries requests to the workers and their answers back. Every request is for one worker, so
that it is known which runs a worker had when it was lost: other workers get them. The workers
return rows, and this process writes them.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.errors import UsageError, WorkerError
from bench.execution.cluster_data import pack
from bench.execution.cluster_job import Answer, Request, StoredRow, Versions
from bench.execution.dask_client import Connection, SchedulerLostError, connect, silent
from bench.execution.environment import Machine
from bench.execution.jobs import WRITERS, Job, RunContext, RunEvent, failed, make_jobs, store
from bench.spec import plugins
from bench.spec.model import RunSpec
from bench.storage.files import write_stored

#: Seconds for the first connection to the scheduler, and for another one after it was lost.
_FIRST, _AGAIN = 10.0, 60.0
#: Seconds between two looks at which workers the cluster has.
_POLL = 0.5
#: A run is recorded as failed after this many workers were lost while they had it.
_MAX_LOST = 4
#: After this many lost workers, a run is not sent to a worker that has another such run.
_SUSPECT = 2
#: A sweep ends after this many losses of the scheduler without a new row between them.
_MAX_SCHEDULER_LOST = 3
#: Requests with several short runs: intended duration in seconds, and largest number of runs.
_SECONDS, _MOST_RUNS = 0.5, 32

Runs = tuple[RunSpec, ...]


def check_cluster(scheduler: str, machine: Machine) -> int:
    """Return the number of threads of all workers; wait for a first worker.

    Raises
    ------
    UsageError
        If no scheduler answers, or a worker has other versions than this machine.
    """
    request = Request(versions=Versions.of(machine)).packed()
    try:
        with silent(), connect(scheduler, _FIRST) as connection:
            if not (threads := connection.threads()):
                _warn_of_waiting(scheduler)
            while not threads:
                time.sleep(_POLL)
                threads = connection.threads()
            answers = connection.ask_all(request)
    except SchedulerLostError as error:
        raise _no_scheduler(scheduler, error) from error
    for address, answer in answers.items():
        if answer.unfit is not None:
            raise UsageError(f"the Dask worker at {address} cannot train: {answer.unfit}")
    return sum(threads.values())


def run_on_cluster(
    runs: Sequence[RunSpec], context: RunContext, scheduler: str
) -> Generator[RunEvent]:
    """Train all runs on the workers of a cluster; yield an event as each run ends.

    Workers may come and go. One that has other versions than this machine, or cannot train for
    another reason, is left out with a warning. If the scheduler is lost and answers again, it is
    given the runs without a row.

    Close the generator to stop early. The runs in training go on to their end on the workers, and
    their rows are dropped.

    Parameters
    ----------
    runs, context
        As for :func:`bench.execution.runner.run_plan`.
    scheduler
        Address of the scheduler.

    Raises
    ------
    UsageError
        If no scheduler answers, or a worker cannot use code of the user.
    WorkerError
        If the scheduler does not answer again, or is lost several times without a new row, or no
        worker can train.
    StoreError
        If a row cannot be written.
    """
    plan, n_lost = _Plan(runs, context, scheduler), 0
    with silent():
        while plan.waiting:
            n_waiting = len(plan.waiting)
            with ExitStack() as stack:
                try:
                    seconds = _AGAIN if n_lost else _FIRST
                    connection = stack.enter_context(connect(scheduler, seconds))
                except SchedulerLostError as error:
                    raise _no_scheduler(scheduler, error, n_lost) from error
                try:
                    yield from _Dispatch(plan, connection).events()
                except SchedulerLostError as error:
                    n_lost = 1 if len(plan.waiting) < n_waiting else n_lost + 1
                    if n_lost == _MAX_SCHEDULER_LOST:
                        raise _no_scheduler(scheduler, error, n_lost) from error
                    warnings.warn(
                        f"the Dask scheduler at {scheduler} was lost: waiting for it for at most "
                        f"{_AGAIN:g} seconds",
                        stacklevel=2,
                    )


def _no_scheduler(scheduler: str, error: Exception, n_lost: int = 0) -> Exception:
    if n_lost:
        is_last = n_lost == _MAX_SCHEDULER_LOST
        what = f"was lost {n_lost} times without a new row" if is_last else "does not answer again"
        return WorkerError(
            f"the Dask scheduler at {scheduler} {what} ({error}); the finished runs are stored: "
            "give the same command again"
        )
    return UsageError(f"--scheduler: no Dask scheduler answers at {scheduler} ({error})")


def _warn_of_waiting(scheduler: str) -> None:
    warnings.warn(f"waiting for workers of the Dask scheduler at {scheduler}", stacklevel=3)


class _Plan:
    """The runs that have not ended yet, and what is known about the workers.

    Parameters
    ----------
    runs, context, scheduler
        As for :func:`run_on_cluster`.
    """

    def __init__(self, runs: Sequence[RunSpec], context: RunContext, scheduler: str) -> None:
        self.context, self.scheduler = context, scheduler
        self.waiting = {run.key: run for run in runs}
        self.left_out: dict[str, str] = {}  # addresses of workers, and the reason
        self._lost: Counter[str] = Counter()  # workers that were lost with a run, by its key
        self._started_at = datetime.now(UTC)
        self._pickles = plugins.pickles_of_runs(runs)
        self._dataset = runs[0].workload.dataset if runs else ""

    def jobs(self) -> Iterator[Runs]:
        """The runs of each job that has not ended; a run that lost workers had is a job."""
        runs = [run for run in self.waiting.values() if not self.losses(run)]
        for job in make_jobs(runs, self.context.stack):
            yield job.runs
        for run in self.waiting.values():
            if self.losses(run):
                yield (run,)

    def losses(self, run: RunSpec) -> int:
        """Number of workers that were lost with a run."""
        return self._lost[run.key]

    def request(self, runs: Runs = ()) -> bytes:
        """A request to train runs; without any to prepare the data."""
        return Request(
            versions=Versions.of(self.context.machine),
            context=self.context,
            dataset=self._dataset,
            runs=runs,
            pickles=self._pickles,
        ).packed()

    def write(self, rows: Sequence[StoredRow], writers: ThreadPoolExecutor) -> Iterator[RunEvent]:
        """Write the rows of runs that have none yet, and return their events."""
        new = {row.event.key: row for row in rows if row.event.key in self.waiting}
        files = [self.context.store.run_file(self.waiting[key]) for key in new]
        for _ in writers.map(write_stored, [row.content for row in new.values()], files):
            pass
        for key, row in new.items():
            del self.waiting[key]
            yield row.event

    def lose(self, runs: Runs) -> Iterator[RunEvent]:
        """Count a lost worker for each of its runs; record runs as failed at :data:`_MAX_LOST`."""
        for run in runs:
            self._lost[run.key] += 1
            if self._lost[run.key] == _MAX_LOST and run.key in self.waiting:
                reason = (
                    f"{_MAX_LOST} Dask workers were lost with this run: out of memory, a crash, or "
                    "the cluster has removed them"
                )
                rows = failed(Job(runs=(run,)), self.context, self._started_at, reason)
                del self.waiting[run.key]
                yield from store(rows, self.context)


@dataclass
class _Worker:
    """A worker, and the runs of each of its tasks by their keys; without runs it prepares data."""

    address: str
    threads: int
    is_ready: bool = False
    tasks: dict[str, Runs] = field(default_factory=dict)

    def is_receiving(self) -> bool:
        """Whether it prepares the data."""
        return not all(self.tasks.values())


class _Dispatch:
    """The requests of a plan that a connection carries."""

    def __init__(self, plan: _Plan, connection: Connection) -> None:
        self._plan, self._connection = plan, connection
        self._jobs: deque[Runs] = deque()
        self._lost: deque[RunSpec] = deque()  # runs that lost workers had
        self._workers: dict[str, _Worker] = {}
        self._data: Any = None  # the arrays, while a worker receives them
        self._looked_at = -_POLL
        self._per_run = _SECONDS  # seconds of the latest runs
        self._has_lost = False  # whether the last worker that left was lost
        self._is_waiting = False
        for runs in reversed(tuple(plan.jobs())):
            self._put_back(runs)

    def events(self) -> Iterator[RunEvent]:
        """Yield the events of all runs."""
        with ThreadPoolExecutor(WRITERS) as writers:
            while self._plan.waiting:
                if time.monotonic() - self._looked_at >= _POLL:
                    yield from self._look_at_workers()
                self._give_runs()
                for key, answer in self._connection.answers(_POLL).items():
                    rows = self._take(key, answer)
                    yield from self._plan.write(rows, writers)

    def _look_at_workers(self) -> Iterator[RunEvent]:
        """Notice the workers that came and that were lost."""
        threads = self._connection.threads()
        self._looked_at = time.monotonic()
        for address in self._workers.keys() - threads.keys():
            worker, self._has_lost = self._workers[address], True
            for runs in worker.tasks.values():
                yield from self._plan.lose(runs)
            self._take_back_runs(worker)
        left_out = self._plan.left_out
        for address in threads.keys() - self._workers.keys() - left_out.keys():
            worker = self._workers[address] = _Worker(address, threads[address])
            self._ask(worker, ())
        if not self._workers:
            self._wait_for_workers([address for address in threads if address in left_out])
        self._is_waiting = not self._workers

    def _wait_for_workers(self, left_out: Sequence[str]) -> None:
        """Warn once that there is no worker; raise WorkerError if each is left out, none lost."""
        if left_out and not self._has_lost:
            raise WorkerError(
                f"no worker of the Dask scheduler at {self._plan.scheduler} can train this sweep "
                f"({left_out[0]}: {self._plan.left_out[left_out[0]]}); the finished runs are "
                "stored: give the same command again"
            )
        if not self._is_waiting:
            _warn_of_waiting(self._plan.scheduler)

    def _take_back_runs(self, worker: _Worker) -> None:
        """Forget a worker; its runs are the next."""
        del self._workers[worker.address]
        self._connection.cancel(worker.tasks)
        for runs in worker.tasks.values():
            self._put_back(runs)

    def _put_back(self, runs: Runs) -> None:
        """Let these runs be the next; those that lost workers had are sent one by one."""
        runs = tuple(run for run in runs if run.key in self._plan.waiting)
        if any(map(self._plan.losses, runs)):
            self._lost.extendleft(runs)
        elif runs:
            self._jobs.appendleft(runs)

    def _ask(self, worker: _Worker, runs: Runs, data: Any = b"") -> None:
        key = self._connection.submit(self._plan.request(runs), worker.address, data)
        worker.tasks[key] = runs

    def _give_runs(self) -> None:
        """Give each worker a request for each thread, and as many ahead where runs are short."""
        ready = [worker for worker in self._workers.values() if worker.is_ready]
        for ahead in (1, 2) if self._per_run < _SECONDS else (1,):
            for worker in ready:
                while len(worker.tasks) < ahead * worker.threads and (
                    runs := self._next_runs(worker)
                ):
                    self._ask(worker, runs)

    def _next_runs(self, worker: _Worker) -> Runs:
        """The runs of the next request: of one job, or of several that are short."""
        if self._lost and (run := self._next_lost(worker)):
            return (run,)
        threads = sum(worker.threads for worker in self._workers.values())
        most = 1
        if self._plan.context.stack == 1:
            most = min(_MOST_RUNS, int(_SECONDS / self._per_run), len(self._jobs) // (2 * threads))
        found: list[RunSpec] = []
        while self._jobs and len(found) < max(1, most):
            found += self._jobs.popleft()
        return tuple(found)

    def _next_lost(self, worker: _Worker) -> RunSpec | None:
        """The next run that lost workers had, and that this worker may have beside its tasks."""

        def is_suspect(run: RunSpec) -> bool:
            return self._plan.losses(run) >= _SUSPECT

        has_suspect = any(is_suspect(run) for runs in worker.tasks.values() for run in runs)
        for place, run in enumerate(self._lost):
            if not (has_suspect and is_suspect(run)):
                del self._lost[place]
                return run
        return None

    def _take(self, key: str, answer: Answer | None) -> tuple[StoredRow, ...]:
        """Take an answer, and return its rows."""
        worker = next((w for w in self._workers.values() if key in w.tasks), None)
        if worker is None:  # it was lost meanwhile
            return ()
        runs = worker.tasks.pop(key)
        if answer is not None and answer.rows:
            self._per_run = max(answer.seconds / len(answer.rows), 1e-6)
            return answer.rows
        self._put_back(runs)
        if answer is None:
            self._looked_at = -_POLL  # the worker may be lost
            if not runs:
                self._data = None  # it may be lost too
                self._ask(worker, ())
        elif answer.error is not None:
            message = f"the Dask worker at {worker.address}: {answer.error}"
            raise type(answer.error)(message)
        elif answer.unfit is not None:
            self._leave_out(worker, answer.unfit)
        elif answer.needs_data:
            self._send_data(worker)
        else:
            worker.is_ready = True
            if not any(map(_Worker.is_receiving, self._workers.values())):
                self._data = None
        return ()

    def _leave_out(self, worker: _Worker, reason: str) -> None:
        self._take_back_runs(worker)
        self._has_lost = False
        self._plan.left_out[worker.address] = reason
        self._looked_at = -_POLL  # there may be no other worker
        warnings.warn(f"the Dask worker at {worker.address} is left out: {reason}", stacklevel=2)

    def _send_data(self, worker: _Worker) -> None:
        """Send the arrays to a worker, unless it receives them already."""
        worker.is_ready = False
        if not worker.is_receiving():
            if self._data is None:
                self._data = self._connection.scatter(pack(self._plan.context.arrays))
            self._ask(worker, (), self._data)
