"""Fan a plan of runs out over worker processes.

Every job trains one run with one thread, writes its own row, and sends back a small event; the
parent never handles results. With one worker the jobs run in the parent itself.
"""

from __future__ import annotations

import getpass
import os
import re
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

from bench.errors import BenchError, WorkerError
from bench.machine import Machine
from bench.records import DIVERGED, FAILED, OK, SCHEMA_VERSION, RunRecord
from bench.spec import OptimizerSpec, RunSpec, Workload, canonical_json
from bench.store import Store
from bench.training import DeviceData, TrainedRun, train


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where runs are made: the data, the machine, and the place for the rows."""

    arrays: Path
    machine: Machine
    store: Store


@dataclass(frozen=True, kw_only=True)
class RunEvent:
    """What the parent hears of a finished run."""

    optimizer: str
    seed: int
    status: str
    test_accuracy: float | None


def run_plan(runs: Sequence[RunSpec], site: Site) -> Generator[RunEvent]:
    """Start the workers on all runs; yield an event as each run ends, in no particular order.

    Close the generator to stop early: joblib then kills the workers at once. A row is written
    whole or not at all, so nothing is lost but the runs in flight.

    Raises
    ------
    WorkerError
        If a worker dies, as when the machine runs out of memory, or cannot be started.
    StoreError
        If a row cannot be written.
    """
    # joblib warns of the runs that nobody will collect: stopping early is meant
    for message in (".*tasks which were still being processed", ".*successfully executed  but not"):
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    parallel = joblib.Parallel(
        n_jobs=site.machine.n_jobs,
        backend="loky",
        return_as="generator_unordered",
        batch_size=1,
        initializer=_start_worker,
        initargs=(os.getpid(),),
    )
    with _interrupts_ignored():  # workers inherit this until _start_worker runs in them
        events = parallel(joblib.delayed(do_run)(run, site) for run in runs)
    return _collect(events)


def _collect(events: Generator[RunEvent]) -> Generator[RunEvent]:
    try:
        yield from events
    except BrokenProcessPool as error:
        raise WorkerError(
            "a worker process died or did not start, which usually means that memory ran out; the "
            "finished runs are stored: give the same command again, with fewer --n-jobs "
            f"({type(error).__name__})"
        ) from error


def stop_workers() -> None:
    """End the workers, which joblib would keep for the next plan, now instead of at exit."""
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def do_run(run: RunSpec, site: Site) -> RunEvent:
    """Train one run and store its row; an error of the training becomes a row too."""
    use_one_thread()
    started_at = datetime.now(UTC)
    try:
        data = load_data(site.arrays, site.machine.device)
        (trained,) = train(run.workload, run.optimizer, [run.seed], data)
        outcome = _outcome(trained)
    except BenchError:
        raise
    except Exception:
        outcome = {"status": FAILED, "error": without_user(traceback.format_exc())}
    record = RunRecord(**_columns(run, site.machine, started_at), **outcome)
    site.store.write_run(run, record)
    return RunEvent(
        optimizer=run.optimizer.name,
        seed=run.seed,
        status=record.status,
        test_accuracy=record.test_accuracy,
    )


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
        "train_seconds": run.train_seconds,
        "eval_seconds": run.eval_seconds,
    }


def _columns(run: RunSpec, machine: Machine, started_at: datetime) -> dict[str, Any]:
    """The columns that are known whether or not the run succeeds."""
    return {
        **vars(run.workload),
        **vars(machine),
        "run_key": run.key,
        "optimizer": run.optimizer.name,
        "algorithm": run.optimizer.algorithm,
        "hyperparameters": canonical_json(dict(run.optimizer.hyperparameters)),
        "seed": run.seed,
        "started_at": started_at,
        "schema_version": SCHEMA_VERSION,
    }


def _start_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


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
