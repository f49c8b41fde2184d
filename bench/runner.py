"""Fan a plan of runs out over worker processes.

Every job trains one run with one thread, writes its own row, and sends back a small event; the
parent never handles results. With one worker the jobs run in the parent itself.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from multiprocessing import active_children
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

from bench.device_data import DeviceData
from bench.errors import BenchError, WorkerError
from bench.machine import Machine
from bench.records import DIVERGED, FAILED, OK, SCHEMA_VERSION, RunRecord
from bench.spec import OptimizerSpec, RunSpec, Workload, canonical_json
from bench.store import Store, read_rows
from bench.training import TrainedRun, train

#: Pools that may break one after the other before anything was done in them.
_MOST_BARREN = 3
#: With these codes this program ends where a signal tells it to.
_SIGNALLED = (128 + signal.SIGTERM, 129)
_is_worker = False


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where runs are made: the data, the machine, and the place for the rows.

    A run that takes longer than `timeout` seconds ends as failed; None lets it take its time. Where
    it hangs outside Python, its worker is ended `grace` seconds later.
    """

    arrays: Path
    machine: Machine
    store: Store
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


def run_plan(runs: Sequence[RunSpec], site: Site) -> Generator[RunEvent]:
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
    begun = _Begun.make(site.store)
    events = _in_pool(runs, site, begun)
    return _carry_on(events, runs, site, begun)


def _carry_on(
    events: Generator[RunEvent], runs: Sequence[RunSpec], site: Site, begun: _Begun
) -> Generator[RunEvent]:
    """The events of the pool, and of those after it, until every run has ended."""
    since = datetime.now(UTC)
    waiting = {run.key: run for run in runs}
    barren = 0  # pools in a row that ended without having begun or ended a run
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
                if (stored := _stored_event(run, site, since)) is not None:
                    del waiting[run.key]
                    yield stored
            for run in begun.take(waiting):
                del waiting[run.key]
                yield _alone(run, site, begun)
            barren = barren + 1 if len(waiting) == before else 0
            if barren == _MOST_BARREN:
                raise WorkerError(
                    "worker processes die or do not start, which usually means that memory ran "
                    "out; the finished runs are stored: give the same command again, with fewer "
                    f"--n-jobs ({type(broken).__name__})"
                ) from broken
            if not waiting:
                return
            events = _in_pool(tuple(waiting.values()), site, begun)
    finally:
        events.close()
        begun.remove()


def _alone(run: RunSpec, site: Site, begun: _Begun) -> RunEvent:
    """Do a run in a worker of its own; if that dies too, the run has failed."""
    started_at = datetime.now(UTC)
    try:
        (event,) = _in_pool([run], site, begun, alone=True)
        return event
    except BrokenProcessPool:
        begun.take({run.key: run})
        if (stored := _stored_event(run, site, started_at)) is not None:
            return stored
        reason = "the worker process died twice in this run: out of memory, or a crash"
        return _store(run, site, started_at, {"status": FAILED, "error": reason})


def _in_pool(
    runs: Sequence[RunSpec], site: Site, begun: _Begun, *, alone: bool = False
) -> Generator[RunEvent]:
    """Hand the runs to joblib; with one worker they are done in this process, unless `alone`."""
    parallel = joblib.Parallel(
        # one task keeps one of two workers busy; with one, joblib would do it here
        n_jobs=2 if alone else site.machine.n_jobs,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    try:
        with _interrupts_ignored():  # workers inherit this until _start_worker runs in them
            events: Generator[RunEvent] = parallel(
                joblib.delayed(do_run)(run, site, begun) for run in runs
            )
    except BrokenProcessPool as error:  # a worker died while they were being started
        return _raising(error)
    except (OSError, RuntimeError) as error:  # no more processes, no more threads
        for started in active_children():  # they would complain of a pool that is not there
            started.terminate()
        begun.remove()
        raise WorkerError(
            f"cannot start the workers ({error}): too many processes, or too little memory; the "
            "finished runs are stored: give the same command again, with fewer --n-jobs"
        ) from error
    return events


def _raising(error: BrokenProcessPool) -> Generator[RunEvent]:
    """The events of a pool that broke before there was any."""
    raise error
    yield


@dataclass(frozen=True)
class _Begun:
    """Which runs are under way: a file for each, which its worker makes and takes away."""

    directory: Path

    @classmethod
    def make(cls, store: Store) -> _Begun:
        shutil.rmtree(store.begun_directory, ignore_errors=True)
        with suppress(OSError):
            store.begun_directory.mkdir(parents=True)
        return cls(store.begun_directory)

    @contextmanager
    def during(self, run: RunSpec) -> Iterator[None]:
        mark = self.directory / run.key
        with suppress(OSError):  # a full disk must not end a run that may still be stored
            mark.touch()
        yield
        with suppress(OSError):
            mark.unlink(missing_ok=True)

    def take(self, runs: Mapping[str, RunSpec]) -> tuple[RunSpec, ...]:
        """Those of `runs` that were begun and did not end; they count as not begun from now on."""
        found = sorted(mark for mark in self.directory.glob("*") if mark.name in runs)
        for mark in found:
            mark.unlink(missing_ok=True)
        return tuple(runs[mark.name] for mark in found)

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def _stored_event(run: RunSpec, site: Site, since: datetime) -> RunEvent | None:
    """The event of a run whose row was written since then, though nobody heard of it."""
    file = site.store.run_file(run)
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
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def do_run(run: RunSpec, site: Site, begun: _Begun | None = None) -> RunEvent:
    """Train one run and store its row; an error of the training becomes a row too."""
    with begun.during(run) if begun else nullcontext():
        use_one_thread()
        started_at = datetime.now(UTC)
        try:
            with _time_limit(run, site, started_at):
                data = load_data(site.arrays, site.machine.device)
                (trained,) = train(run.workload, run.optimizer, [run.seed], data)
            outcome = _outcome(trained)
        except BenchError:
            raise
        except (Exception, SystemExit) as error:  # whatever a user's code does
            if isinstance(error, SystemExit) and error.code in _SIGNALLED:
                raise
            outcome = {"status": FAILED, "error": without_user(traceback.format_exc())}
        return _store(run, site, started_at, outcome)


def _store(run: RunSpec, site: Site, started_at: datetime, outcome: Mapping[str, Any]) -> RunEvent:
    record = RunRecord(**_columns(run, site.machine, started_at), **outcome)
    site.store.write_run(run, record)
    return RunEvent(
        key=run.key,
        optimizer=run.optimizer.name,
        seed=run.seed,
        status=record.status,
        test_accuracy=record.test_accuracy,
    )


class RunTimeoutError(Exception):
    """A run took longer than it may."""


@contextmanager
def _time_limit(run: RunSpec, site: Site, started_at: datetime) -> Iterator[None]:
    """Raise RunTimeoutError in the block after the site's timeout.

    Where the block hears no signal for some seconds more, because it hangs outside Python, and this
    is a worker, the run is recorded as failed and the process ends: the others go on without it.
    """
    seconds = site.timeout
    can_interrupt = threading.current_thread() is threading.main_thread() and os.name == "posix"
    if seconds is None or not can_interrupt:
        yield
        return
    message = f"the run took longer than the {seconds:g} seconds of --timeout"

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise RunTimeoutError(message)

    def give_up() -> None:
        try:
            _store(run, site, started_at, {"status": FAILED, "error": message})
        finally:  # where even that fails, the parent tries again
            os._exit(1)

    watchdog = threading.Timer(seconds + site.grace, give_up)
    watchdog.daemon = True
    if _is_worker:
        watchdog.start()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        watchdog.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def estimate_seconds(
    workload: Workload, optimizers: Sequence[OptimizerSpec], data: DeviceData
) -> Mapping[str, float]:
    """Seconds that a run of each optimizer takes here, from timing a few updates of each."""
    use_one_thread()
    sample = replace(workload, iterations=90, eval_every=30)
    train(sample, optimizers[0], [0], data)  # the first one also pays for loading the kernels
    seconds = {}
    for optimizer in optimizers:
        (run,) = train(sample, optimizer, [0], data)
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

    from bench.datasets import load

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


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    global _is_worker
    _is_worker = True
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
