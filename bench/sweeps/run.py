"""Train the missing runs of a sweep, with its directory locked."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.datasets import cache as datasets
from bench.errors import BenchError, MixedRunsError, SpecError, StoreError, UsageError
from bench.execution.jobs import RunContext, RunEvent
from bench.execution.resources import (
    Placement,
    describe_resources,
    lay_out,
    resolve_execution,
)
from bench.execution.runner import run_plan
from bench.spec.model import SweepSpec, Workload
from bench.spec.options import LOKY, ExecutionOptions
from bench.spec.plugins import is_external
from bench.spec.shards import Shard, directory_name, parse_shard
from bench.storage.files import write_stored
from bench.storage.mirror import pulled
from bench.storage.remote import results_root
from bench.storage.store import Damage, Repair, Store, joined, runs_table
from bench.sweeps.parts import is_part
from bench.sweeps.reproduce import options_text, refuse_foreign
from bench.sweeps.resume import SweepStatus, compare_with_rows, find_missing
from bench.sweeps.rows import planned_rows, refuse_all_failed
from bench.sweeps.sequential import describe_look
from bench.sweeps.verification import find_unverified, set_unverified_aside, unchanged_arrays
from bench.sweeps.writing import WriteLock, writing
from bench.words import count

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.results import SequentialLook

#: Number of lines of progress that :func:`sweep` prints unless it is quiet.
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
    in_process: bool = False,
    backend: str = LOKY,
    scheduler: str | None = None,
    shard: str | None = None,
    force: bool = False,
    quiet: bool = True,
) -> pd.DataFrame:
    """Train the missing runs of a sweep, and return all its runs.

    Stored runs are not repeated, so the call can be interrupted and made again. A sweep that is
    declared with `until_decided` goes on until every pair is decided, or has its largest number of
    seeds; while a run of a look has failed, it ends before this look. Fewer optimizers or
    seeds of a stored sweep without missing runs leave its declaration as it is. Workers are
    processes; they end with the call, and a script needs no ``__main__`` guard.

    >>> from tempfile import TemporaryDirectory
    >>> from bench import specify, sweep
    >>> spec = specify(optimizers="sgd,adam", seeds=2, iterations=20)
    >>> with TemporaryDirectory() as directory:
    ...     runs = sweep(spec, results=directory, n_jobs=1)
    >>> runs[["optimizer", "seed", "status"]].values.tolist()
    [['adam', 0, 'ok'], ['adam', 1, 'ok'], ['sgd', 0, 'ok'], ['sgd', 1, 'ok']]

    Parameters
    ----------
    spec
        The sweep, made with :func:`specify`.
    results
        Rows are stored in the subdirectory with the name of the sweep. A URI such as
        ``"s3://bucket/results"`` is a directory in object storage.
    data_dir
        Cache of the unpacked dataset (default: ``$OPTIMIZER_BENCH_DATA`` or the user's cache).
    device
        ``"auto"``, which uses GPUs where there are any, or ``"cpu"``, ``"cuda"`` or ``"mps"``.
    n_jobs
        Number of worker processes; -1 for one per available core.
    gpus, jobs_per_gpu, stack, tf32
        How GPUs are used: see :class:`bench.spec.options.ExecutionOptions`.
    mix_devices
        Whether runs from different kinds of device are allowed in one sweep; the report says so.
    timeout
        Seconds after which a run is recorded as failed, at most 1e9.
    in_process
        Whether the runs are trained in this process, one after the other, such as to debug an
        optimizer. A run that crashes then ends this process, and one that waits outside Python is
        not ended at its timeout.
    backend, scheduler
        ``"loky"``, which is worker processes of this machine, or ``"dask"``, the workers of the
        Dask cluster whose scheduler has this address, such as ``"tcp://127.0.0.1:8786"``.
    shard
        A part of the runs to train, such as ``"3/16"``. Its rows are stored in a directory of its
        own, ``NAME-shard3of16``, and :func:`merge` puts all shards together.
    force
        Whether stored runs are repeated.
    quiet
        Whether nothing is printed; otherwise some lines of progress are.

    Returns
    -------
    pandas.DataFrame
        One row for each run of the sweep, as :func:`~bench.storage.store.load_runs` returns them
        and :func:`bench.analysis.compare` takes them. A failed run is a row with ``status`` failed
        and its ``error``; the next call repeats it. A damaged file is set aside with a warning, and
        its runs are repeated.

    Raises
    ------
    UsageError
        If an argument is not allowed, there is no such device, the results cannot be written,
        another sweep is writing to them, or the Dask cluster cannot be used.
    SpecError
        If `shard` is not one, or the sweep cannot be divided.
    MixedRunsError
        If the stored runs have another workload, dataset, device, torch version or declaration.
    DataError
        If the dataset cannot be loaded, or its arrays have changed while runs were trained.
    WorkerError
        If workers cannot be started, or die before they start a run, or the scheduler is lost.
    StoreError
        If a row cannot be written or read.
    TrainingError
        If every run failed.
    """
    if not isinstance(spec, SweepSpec):
        raise UsageError(f"spec must be a SweepSpec, as specify makes it, got {spec!r:.120}")
    flags = {"tf32": tf32, "mix_devices": mix_devices, "in_process": in_process}
    flags |= {"force": force, "quiet": quiet}
    if force and spec.declaration.until_decided:
        raise UsageError("a sweep until its pairs are decided cannot be repeated with force=True")
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} must be True or False, got {value!r:.80}")
    execution = ExecutionOptions(
        device=device,
        n_jobs=n_jobs,
        gpus=gpus,
        jobs_per_gpu=jobs_per_gpu,
        stack=stack,
        tf32=tf32,
        mix_devices=mix_devices,
        timeout=timeout,
        in_process=in_process,
        backend=backend,
        scheduler=scheduler,
    )
    part = None if shard is None else parse_shard(shard)
    directory = pulled(results_root(results) / directory_name(spec.name, part))
    execution = resolve_execution(execution)
    from threadpoolctl import threadpool_limits

    from bench.spec import process_state

    # runs in this process set both; threadpool_limits sets nothing here, and restores at its end
    with threadpool_limits(), process_state.restored():
        files = run_sweep(
            spec,
            Store(directory),
            execution,
            shard=part,
            data_dir=None if data_dir is None else Path(data_dir),
            force=force,
            quiet=quiet,
            on_event=_ignore if quiet else _ProgressLines(),
            on_damage=_warn_of_damage,
        )
    runs = runs_table(files)
    planned = {run.key for run in spec.plan()}
    return runs[runs["run_key"].isin(planned)].reset_index(drop=True)


class _ProgressLines:
    """Prints how many runs have ended, at most :data:`_LINES` times."""

    def __init__(self) -> None:
        self._total = self._done = 0

    def __call__(self, event: SweepEvent) -> None:
        if isinstance(event, SweepStarted):
            self._total, self._done = len(event.status.missing), 0
            return
        if isinstance(event, LooksTaken):
            print(describe_look(event.looks), flush=True)
            return
        before = self._done * _LINES // self._total
        self._done += 1
        if self._done * _LINES // self._total > before:
            print(f"{self._done}/{self._total} runs", flush=True)


def _ignore(_event: SweepEvent) -> None:
    pass


def _warn_of_damage(damage: Damage) -> None:
    warnings.warn(describe_damage(damage), stacklevel=2)


@dataclass(frozen=True, kw_only=True)
class SweepStarted:
    """Event before the first run ends: what is missing, and how it is placed on the machine.

    A sweep that adds seeds until its pairs are decided has one for each look.
    """

    status: SweepStatus
    placement: Placement


@dataclass(frozen=True, kw_only=True)
class LooksTaken:
    """Event of a sweep that adds seeds: a look was taken, the last of `looks`."""

    looks: tuple[SequentialLook, ...]


#: What :func:`run_sweep` reports: one start, where runs are missing, then every run that ends.
SweepEvent = SweepStarted | RunEvent | LooksTaken


def run_sweep(
    spec: SweepSpec,
    store: Store,
    execution: ExecutionOptions,
    *,
    data_dir: Path | None = None,
    shard: Shard | None = None,
    force: bool = False,
    quiet: bool = True,
    on_event: Callable[[SweepEvent], None],
    on_damage: Callable[[Damage], None],
) -> Mapping[Path, pa.Table]:
    """Train the missing runs of a sweep, and return all rows of its directory by their files.

    Parameters
    ----------
    execution
        As :func:`bench.execution.resources.resolve_execution` returns it.
    data_dir, force, quiet
        As for :func:`sweep`; `quiet` hides the progress of downloads.
    shard
        The part of the plan to train; None: all of it.
    on_event
        Called with :class:`SweepStarted` if runs are missing, then with each run that ends, and
        with :class:`LooksTaken` after each look.
    on_damage
        Called for every damaged file that was set aside; its runs are repeated.

    Raises
    ------
    UsageError
        If the results cannot be written, or another sweep is writing to them.
    MixedRunsError
        If the stored rows have another workload, dataset, device, torch version or declaration.
    DataError
        If the dataset cannot be loaded, or its arrays have changed while runs were trained. The
        rows of these runs are then moved to the quarantine.
    SpecError
        If a trial of a user's network fails, or a function returns other arrays than before.
    StoreError
        If a stored file cannot be read, written or moved, or the directory was moved or removed.
    TrainingError
        If every run of the sweep failed.
    """
    if shard is not None and spec.declaration.until_decided:
        raise SpecError("a sweep until its pairs are decided cannot be divided into shards")
    refuse_foreign(store.options_file)
    machine = describe_resources(execution)
    if execution.scheduler is not None and (force or _is_incomplete(spec, store, shard)):
        from bench.execution.cluster import check_cluster

        execution = replace(execution, n_jobs=check_cluster(execution.scheduler, machine))
    unverified = find_unverified(store)
    dataset = datasets.prepare_verified(spec.workload.dataset, data_dir, quiet=quiet)
    _try_network(spec.workload, dataset.directory, execution.devices[0])
    store.create()
    with writing(store.directory) as lock:
        store.tidy()
        moved = set_unverified_aside(unverified, store, lock.flush)
        repair = _repair(spec, store)
        for damage in (*moved, *repair.damage):
            on_damage(damage)
        compare_with_plan = partial(
            find_missing,
            spec,
            store,
            machine,
            data_hash=dataset.content_hash,
            mix_devices=execution.mix_devices,
            shard=shard,
        )
        try:
            status = compare_with_plan(rows=joined(repair.files), force=force)
        except MixedRunsError:
            datasets.discard(dataset)
            raise
        if not is_part(spec, store.read_spec(), joined(repair.files)):
            store.write_spec(spec)
            store.write_options(options_text(spec, execution))
        context = RunContext(
            arrays=dataset.directory.absolute(),  # user code may change the working directory
            data_hash=dataset.content_hash,
            machine=machine,
            store=replace(store, directory=store.directory.absolute()),
            timeout=execution.timeout,
            in_process=execution.in_process,
        )
        files, is_compact = repair.files, set(repair.files) <= {*store.rows_files()}
        with logging_warnings(context.store) as warned:
            while status.missing:
                with unchanged_arrays(dataset, store, lock.flush):
                    _train(status, execution, context, lock, warned, on_event)
                lock.flush()  # rows must not be put together in a directory that is not locked
                files, is_compact = _compact(store), True
                if not spec.declaration.until_decided:
                    break
                following = compare_with_plan(rows=joined(files))
                if {run.key for run in following.missing} & {run.key for run in status.missing}:
                    break  # runs failed, and the look waits for them
                status = following
                if status.missing:  # putting the rows together has removed the directory of runs
                    store.create()
                on_event(LooksTaken(looks=status.looks))
        if not is_compact:
            lock.flush()
            files = _compact(store)
    refuse_all_failed(planned_rows(joined(files), spec), store.directory)
    return files


def _is_incomplete(spec: SweepSpec, store: Store, shard: Shard | None) -> bool:
    try:
        return bool(compare_with_rows(spec, store.read_rows(), shard).missing)
    except BenchError:  # it is raised again, or damaged files are set aside
        return True


def _train(
    status: SweepStatus,
    execution: ExecutionOptions,
    context: RunContext,
    lock: WriteLock,
    warned: Counter[str],
    on_event: Callable[[SweepEvent], None],
) -> None:
    """Train the missing runs, and add the warnings of the workers to `warned`."""
    placement = lay_out(status.missing, execution, context.arrays)
    machine = replace(context.machine, n_jobs=placement.n_jobs)
    context = replace(context, machine=machine, stack=placement.stack, slots=placement.slots)
    if execution.scheduler is None:
        running = run_plan(status.missing, context)
    else:
        from bench.execution.cluster import run_on_cluster

        context = replace(context, device=execution.device)
        running = run_on_cluster(status.missing, context, execution.scheduler)
    changes: dict[tuple[str, str], None] = {}  # an ordered set
    on_event(SweepStarted(status=status, placement=placement))
    with closing(running) as events:
        for event in events:
            lock.verify()
            changes |= dict.fromkeys((event.optimizer, note) for note in event.notes)
            warned.update(event.warnings)
            on_event(event)
    for optimizer, change in changes:
        warnings.warn(
            f"{optimizer} changed {change}; this was restored after its run", stacklevel=2
        )


@contextmanager
def logging_warnings(store: Store) -> Iterator[Counter[str]]:
    """Write the counted warnings of workers to a file at the end of the block."""
    warned: Counter[str] = Counter()
    try:
        yield warned
    finally:
        with suppress(StoreError):  # as on a full disk
            if warned:
                lines = (f"{n} times  {text}\n" for text, n in warned.most_common())
                write_stored("".join(lines).encode(errors="replace"), store.warnings_file)
    if warned:
        warnings.warn(
            f"{count(warned.total(), 'warning')} of libraries or user code, {len(warned)} of them "
            f"different: see {store.warnings_file}",
            stacklevel=2,
        )


def _try_network(workload: Workload, arrays: Path, device: str) -> None:
    """Refuse a user's network that cannot be trained, before anything is written."""
    if is_external(workload.network):
        from bench.execution.train_job import load_data
        from bench.training.stack import try_network

        try_network(workload, load_data(arrays, device))


def _compact(store: Store) -> Mapping[Path, pa.Table]:
    """Put the rows into one file; where that fails, such as on a full disk, they stay in many."""
    try:
        return store.compact()
    except StoreError as error:
        warnings.warn(f"every row stays in a file of its own: {error}", stacklevel=2)
        return store.read_files()


def _repair(spec: SweepSpec, store: Store) -> Repair:
    """Set damaged files aside, and those with runs of another workload.

    If the stored declaration has another workload, its rows are not damaged: find_missing refuses
    them.
    """
    declared = store.read_spec()
    is_same = declared and (declared.workload, declared.budget) == (spec.workload, spec.budget)
    return store.repair(spec if is_same else None)


def describe_damage(damage: Damage) -> str:
    """The message about a damaged file."""
    return f"set aside: {damage.file} -> {damage.target}, its runs are done again ({damage.reason})"
