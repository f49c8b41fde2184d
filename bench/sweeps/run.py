"""Run what is missing of a sweep, with its directory locked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
from filelock import FileLock, Timeout

from bench.datasets import cache as datasets
from bench.errors import StoreError, TrainingError, UsageError, last_line
from bench.execution.jobs import RunContext, RunEvent, estimate_seconds, load_data
from bench.execution.resources import Placement, choose_hardware, lay_out
from bench.execution.runner import run_plan, stop_workers, uses_workers
from bench.spec.model import SweepSpec, Workload
from bench.spec.plugins import is_external
from bench.storage.records import FAILED
from bench.storage.store import Damage, Store, load_runs
from bench.sweeps.options import SweepOptions
from bench.sweeps.reproduce import options_text, refuse_foreign
from bench.sweeps.resume import SweepStatus, find_missing

if TYPE_CHECKING:
    import pandas as pd


#: How often a sweep that is not quiet says how far it is.
_LINES = 10


def sweep(
    spec: SweepSpec,
    *,
    results: Path | str = "results",
    data_dir: Path | str | None = None,
    device: str = "auto",
    n_jobs: int = -1,
    gpus: Sequence[int] | None = None,
    jobs_per_gpu: int | None = None,
    stack: int | None = None,
    tf32: bool = False,
    mix_devices: bool = False,
    timeout: float | None = None,
    force: bool = False,
    quiet: bool = True,
) -> pd.DataFrame:
    """Train what is missing of a sweep, and return its runs.

    Runs that are stored already are not done again; interrupt it whenever you like, and call it
    again. Workers are processes: they end with the call, and a script needs no ``__main__`` guard.

    >>> from tempfile import TemporaryDirectory
    >>> spec = specify(optimizers="sgd,adam", seeds=2, iterations=20)
    >>> with TemporaryDirectory() as directory:
    ...     runs = sweep(spec, results=directory, n_jobs=1)
    >>> runs[["optimizer", "seed", "status"]].values.tolist()
    [['adam', 0, 'ok'], ['adam', 1, 'ok'], ['sgd', 0, 'ok'], ['sgd', 1, 'ok']]

    Parameters
    ----------
    spec
        What :func:`specify` makes.
    results
        Rows are stored in the directory of the sweep's name in it.
    data_dir
        Cache of the unpacked dataset (default: ``$OPTIMIZER_BENCH_DATA`` or the user's cache).
    device
        ``"auto"`` takes a GPU where there is one, else ``"cpu"``, ``"cuda"`` or ``"mps"``.
    n_jobs
        Workers side by side; -1 for every core that this process may use. With one on the CPU, the
        runs are made in this process. On GPUs every worker is a process.
    gpus, jobs_per_gpu, stack, tf32
        How GPUs are used: see :func:`bench.execution.resources.choose_hardware`.
    mix_devices
        Let runs of different kinds of device be in one sweep; its report then says so.
    timeout
        Seconds after which a run is recorded as failed, at most 1e9. A run that waits outside
        Python is not ended where it is made in this process.
    force
        Do stored runs again.
    quiet
        Print nothing; else a line now and then.

    Returns
    -------
    pandas.DataFrame
        One row for each run of the sweep, as :func:`~bench.storage.store.load_runs` gives them:
        what :func:`bench.analysis.compare` takes. A failed run is a row with ``status`` failed and
        its ``error``; it is tried again by the next call. A damaged file is set aside with a
        warning, and its runs are done again.

    Raises
    ------
    UsageError
        If an argument is not allowed, there is no such device, the results cannot be written, or
        another sweep is writing to them.
    MixedRunsError
        If the stored runs are of another workload, device or torch version, or were declared to be
        judged in another way.
    DataError
        If the dataset cannot be had.
    WorkerError
        If workers cannot be started, or die without having begun a run.
    StoreError
        If a row cannot be written or read.
    TrainingError
        If every run failed.
    """
    if not isinstance(spec, SweepSpec):
        raise UsageError(f"spec must be a SweepSpec, as specify makes it, got {spec!r:.120}")
    flags = {"tf32": tf32, "mix_devices": mix_devices, "force": force, "quiet": quiet}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} must be True or False, got {value!r:.80}")
    conditions = SweepOptions(
        store=Store(Path(results) / spec.name),
        hardware=choose_hardware(
            device, n_jobs, gpus=gpus, jobs_per_gpu=jobs_per_gpu, stack=stack, tf32=tf32
        ),
        mix_devices=mix_devices,
        data_dir=None if data_dir is None else Path(data_dir),
        timeout=timeout,
        force=force,
        quiet=quiet,
    )
    with _threads_restored(), begin_sweep(spec, conditions, _warn_of_damage) as begun:
        _train(begun, quiet=quiet)
    return _planned_runs(spec, conditions.store)


def _train(begun: BegunSweep, *, quiet: bool) -> None:
    total = len(begun.todo.missing)
    if not total:
        return
    with closing(begun.train()) as events:
        for done, _ in enumerate(events, start=1):
            if not quiet and done * _LINES // total > (done - 1) * _LINES // total:
                print(f"{done}/{total} runs", flush=True)


def _planned_runs(spec: SweepSpec, store: Store) -> pd.DataFrame:
    runs = load_runs(store.directory)
    runs = runs[runs["run_key"].isin([run.key for run in spec.plan()])].reset_index(drop=True)
    if set(runs["status"]) == {FAILED}:
        raise TrainingError(
            f"every run in {store.directory} failed: there is nothing to compare (the first: "
            f"{last_line(runs['error'][0] or 'no error')})"
        )
    return runs


def _warn_of_damage(damage: Damage) -> None:
    warnings.warn(describe_damage(damage), stacklevel=2)


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Runs that are made in this process have one thread; who called it had more."""
    import torch
    from threadpoolctl import threadpool_limits

    n = torch.get_num_threads()
    with threadpool_limits():  # sets nothing, and puts back what there was
        try:
            yield
        finally:
            torch.set_num_threads(n)


@dataclass(frozen=True, kw_only=True)
class BegunSweep:
    """A sweep whose directory is locked for this process, with the runs it still needs."""

    todo: SweepStatus
    context: RunContext
    layout: Placement

    def train(self) -> Generator[RunEvent]:
        """Train the missing runs; yields an event for each finished run."""
        return run_plan(self.todo.missing, self.context)


@contextmanager
def begin_sweep(
    spec: SweepSpec, conditions: SweepOptions, on_damage: Callable[[Damage], None]
) -> Iterator[BegunSweep]:
    """A sweep to be trained in the block; after it, workers are stopped and rows put together.

    Parameters
    ----------
    on_damage
        Called for every stored file that was set aside, whose runs are done again.

    Raises
    ------
    UsageError
        If the results cannot be written, or another sweep is writing to them.
    MixedRunsError
        If the stored rows are of another workload, device or torch version, or were declared to be
        judged in another way.
    DataError
        If the dataset cannot be had.
    SpecError
        If a trial of a user's network fails.
    StoreError
        If a stored file cannot be read, written or moved.
    """
    store = conditions.store
    refuse_foreign(store.options_file)
    dataset = spec.workload.dataset
    arrays = datasets.prepare(dataset, conditions.data_dir, quiet=conditions.quiet)
    _try_network(spec.workload, arrays, conditions.hardware.devices[0])
    store.create()
    with _locked(store):
        store.tidy()
        for damage in _set_damaged_aside(spec, store):
            on_damage(damage)
        todo = find_missing(spec, conditions)
        store.write_spec(spec)
        store.write_options(options_text(spec, conditions.means))
        layout = lay_out(todo.missing, conditions.hardware, arrays)
        context = RunContext(
            arrays=arrays,
            machine=replace(conditions.hardware.machine, n_jobs=layout.n_jobs),
            store=store,
            device=conditions.hardware.devices[0],
            stack=layout.stack,
            slots=layout.slots,
            timeout=conditions.timeout,
        )
        yield BegunSweep(todo=todo, context=context, layout=layout)
        if todo.missing and not layout.slots and uses_workers(context):
            stop_workers()
        _compact(store)


def _try_network(workload: Workload, arrays: Path, device: str) -> None:
    """Refuse a user's network that cannot be trained, before anything is written."""
    if is_external(workload.network):
        from bench.training.stack import try_network

        try_network(workload, load_data(arrays, device))


def _compact(store: Store) -> None:
    """Put the rows into one file where there is room for it: they are as true in many."""
    try:
        store.compact()
    except StoreError as error:
        warnings.warn(f"every row stays in a file of its own: {error}", stacklevel=2)


def _set_damaged_aside(spec: SweepSpec, store: Store) -> tuple[Damage, ...]:
    """Put what cannot be trusted where nobody reads it."""
    declared = store.read_spec()
    # where the workload itself was changed, all rows are of another: that is refused, not damage
    is_same = declared and (declared.workload, declared.budget) == (spec.workload, spec.budget)
    return store.set_aside_damaged(spec if is_same else None)


def describe_damage(damage: Damage) -> str:
    """What a user is told of a file that was set aside."""
    return f"set aside: {damage.file} -> {damage.target}, its runs are done again ({damage.reason})"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a sweep is likely to take: seconds in all, on what does it."""

    seconds: float
    layout: Placement


def estimate(spec: SweepSpec, todo: SweepStatus, conditions: SweepOptions) -> Estimate:
    """What the missing runs are likely to take: as stored ones took, or else as a try does."""
    if not todo.missing:
        return Estimate(seconds=0.0, layout=Placement(n_jobs=1, stack=1))
    seconds = _stored_seconds(todo.done)
    arrays = datasets.prepare(spec.workload.dataset, conditions.data_dir)
    layout = lay_out(todo.missing, conditions.hardware, arrays)
    data = load_data(arrays, conditions.hardware.devices[0])
    for optimizer in (o for o in spec.optimizers if o.name not in seconds):
        workload = spec.workload_of(optimizer)
        seconds.update(estimate_seconds(workload, [optimizer], data, layout.stack))
    total = sum(seconds[run.optimizer.name] for run in todo.missing)
    return Estimate(seconds=total / layout.n_devices, layout=layout)


def _stored_seconds(done: pa.Table) -> dict[str, float]:
    """Median seconds of the stored runs of each optimizer."""
    by_optimizer: dict[str, list[float]] = {}
    for run in done.select(["optimizer", "train_seconds", "eval_seconds"]).to_pylist():
        seconds = run["train_seconds"] + run["eval_seconds"]
        by_optimizer.setdefault(run["optimizer"], []).append(seconds)
    return {name: median(values) for name, values in by_optimizer.items()}


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """One sweep at a time in one directory; the lock goes with its process."""
    lock = FileLock(store.directory / ".lock", timeout=0)
    owner = store.directory / ".lock.pid"  # beside it: some systems let nobody read a locked file
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another sweep{_owner(owner)} is writing to {store.directory}: wait for it, or use "
            "another --name"
        ) from None
    except OSError as error:
        raise UsageError(f"cannot lock {store.directory}: {error.strerror or error}") from error
    try:
        with suppress(OSError):  # it only makes a message clearer
            owner.write_text(f"{os.getpid()}\n")
        yield
    finally:
        with suppress(OSError):  # the directory may be read-only by now: what failed is the news
            owner.unlink(missing_ok=True)
        lock.release()


def _owner(file: Path) -> str:
    try:
        return f" (process {int(file.read_text())})"
    except (OSError, ValueError):
        return ""
