"""A sweep from its settings to its stored rows: declare it, train what is missing, keep it whole.

:func:`specify` makes a :class:`~bench.spec.SweepSpec`; :func:`begin_sweep` keeps its
directory for this process alone, and says which runs are still to be done.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from bench import datasets
from bench.architectures import resolve_network
from bench.errors import (
    MixedRunsError,
    SpecError,
    StoreError,
    TrainingError,
    UsageError,
    last_line,
)
from bench.external import is_external
from bench.hardware import Hardware, Layout, choose_hardware, lay_out
from bench.jobs import RunEvent, Site, estimate_seconds, load_data
from bench.optimizers import DEFAULT_OPTIMIZERS
from bench.options import (
    ANY_NUMBER,
    DEFAULT_SEEDS,
    Means,
    options_text,
    refuse_foreign,
)
from bench.records import FAILED
from bench.runner import run_plan, stop_workers
from bench.spec import (
    EPOCHS,
    MAX_SEEDS,
    Declaration,
    RunSpec,
    SweepSpec,
    Workload,
    canonical_json,
    default_sweep_name,
    parse_optimizers,
    parse_seeds,
)
from bench.store import (
    BUDGET_COLUMNS,
    UNIFORM_COLUMNS,
    Damage,
    Store,
    check_uniform,
    finished_keys,
    load_runs,
)
from bench.variants import refuse_endless_warmups, resolve_variant

if TYPE_CHECKING:
    import pandas as pd

#: How often a sweep that is not quiet says how far it is.
_LINES = 10


def specify(
    *,
    optimizers: str | Sequence[str] = DEFAULT_OPTIMIZERS,
    seeds: int | str | Sequence[int] = DEFAULT_SEEDS,
    dataset: str = Workload.dataset,
    network: str = Workload.network,
    batch_size: int = Workload.batch_size,
    iterations: int | None = None,
    epochs: int | None = None,
    eval_every: int = Workload.eval_every,
    budget: str = EPOCHS,
    name: str | None = None,
    alpha: float = Declaration.alpha,
    margin: float = Declaration.margin,
    target: float = Declaration.target,
    looks: int | None = Declaration.looks,
    data_dir: Path | str | None = None,
) -> SweepSpec:
    """Declare a sweep in the words of the command line, checked as far as possible untrained.

    >>> spec = specify(optimizers="sgd,adam[lr=0.003]", seeds=5, iterations=300)
    >>> spec.name, [optimizer.name for optimizer in spec.optimizers], spec.seeds
    ('mnist-iterations300', ['sgd', 'adam[lr=0.003]'], (0, 1, 2, 3, 4))
    >>> specify(optimizers="adma")
    Traceback (most recent call last):
    bench.errors.SpecError: unknown optimizer 'adma': did you mean adamax or adam?

    Parameters
    ----------
    optimizers
        Expressions such as ``"sgd,adam[lr=0.003]"``, or a sequence of them; by default the
        tutorial's eight.
    seeds
        A number n for the seeds 0 to n - 1, text such as ``"0-9,15"``, or the seeds themselves.
    dataset, network
        A name, or your own: ``my.npz``, ``mypkg.mymodule:load_data``, ``mypkg.mymodule:make_net``.
    batch_size, eval_every
        Images per update; updates between two evaluations on the test images.
    iterations, epochs
        Updates per run (default 3000), or instead passes through the training images.
    budget
        What optimizers with a batch size of their own have in common with the others: as many
        images (``"epochs"``), or as many updates (``"iterations"``).
    name
        The sweep's; by default the dataset and what differs from the default workload.
    alpha, margin, target, looks
        How the sweep will be judged: see :class:`~bench.spec.Declaration`.
    data_dir
        Cache of the unpacked dataset, which is read here only if it is your own.

    Raises
    ------
    SpecError
        Naming the setting that is not allowed.
    DataError
        If a dataset of your own cannot be unpacked.
    """
    for what, value in (("dataset", dataset), ("network", network)):
        if not isinstance(value, str):
            raise SpecError(f"{what} must be text, got {value!r:.120}")
    dataset, network = datasets.resolve_dataset(dataset), resolve_network(network)
    n_images = datasets.n_train_images(dataset, None if data_dir is None else Path(data_dir))
    workload = Workload(
        dataset=dataset,
        network=network,
        batch_size=batch_size,
        iterations=Workload.iterations if iterations is None else iterations,
        eval_every=eval_every,
    )
    if batch_size > n_images:
        raise SpecError(
            f"--batch-size must be at most {n_images}, the training images of {dataset}, got "
            f"{batch_size}"
        )
    if epochs is not None:
        workload = replace(workload, iterations=_updates(epochs, iterations, n_images, batch_size))
    text = _joined(optimizers)
    spec = SweepSpec(
        name=default_sweep_name(workload, budget) if name is None else name,
        optimizers=tuple(resolve_variant(e, workload, n_images) for e in parse_optimizers(text)),
        seeds=_seeds(seeds),
        workload=workload,
        budget=budget,
        declaration=Declaration(alpha=alpha, margin=margin, target=target, looks=looks),
    )
    refuse_endless_warmups(spec)
    return spec


def _joined(optimizers: str | Sequence[str]) -> str:
    if isinstance(optimizers, str):
        return optimizers
    if not isinstance(optimizers, Sequence) or not all(isinstance(o, str) for o in optimizers):
        raise SpecError(f"optimizers must be text or a sequence of it, got {optimizers!r:.120}")
    return ",".join(optimizers)


def _updates(epochs: int, iterations: int | None, n_images: int, batch_size: int) -> int:
    if iterations is not None:
        raise SpecError(f"either iterations or epochs may be given, got {iterations} and {epochs}")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise SpecError(f"epochs must be a whole number of at least 1, got {epochs!r}")
    return epochs * (n_images // batch_size)  # whole batches: the rest of an epoch is left out


def _seeds(seeds: int | str | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    if isinstance(seeds, Iterable):
        return tuple(seeds)
    if not isinstance(seeds, int):
        raise SpecError(f"seeds must be a number, text or a sequence, got {seeds!r:.120}")
    if isinstance(seeds, bool) or not 1 <= seeds <= MAX_SEEDS:
        raise SpecError(f"seeds must be at least 1 and at most {MAX_SEEDS}, got {seeds}")
    return tuple(range(seeds))


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
        Workers side by side; -1 for every core that this process may use. With one, the runs are
        made in this process, as always on GPUs.
    gpus, jobs_per_gpu, stack, tf32
        How GPUs are used: see :func:`bench.hardware.choose_hardware`.
    mix_devices
        Let runs of different kinds of device be in one sweep; its report then says so.
    timeout
        Seconds after which a run is recorded as failed. What waits outside Python in this process,
        as for a GPU, is not ended.
    force
        Do stored runs again.
    quiet
        Print nothing; else a line now and then.

    Returns
    -------
    pandas.DataFrame
        One row for each run of the sweep, as :func:`~bench.store.load_runs` gives them: what
        :func:`bench.analysis.compare` takes. A failed run is a row with ``status`` failed and its
        ``error``; it is tried again by the next call. A damaged file is set aside with a warning,
        and its runs are done again.

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
    conditions = Conditions(
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
class Conditions:
    """Where and how the runs of a sweep are made.

    Attributes
    ----------
    store, hardware
        Where the rows go, and what trains them: see :func:`bench.hardware.choose_hardware`.
    mix_devices
        Whether stored runs may be of another kind of device.
    data_dir
        Cache of the unpacked dataset; None for the default.
    timeout
        Seconds after which a run is recorded as failed; None for as long as it takes.
    force
        Whether stored runs are done again.
    quiet
        Without the progress of downloads.
    """

    store: Store
    hardware: Hardware
    mix_devices: bool = False
    data_dir: Path | None = None
    timeout: float | None = None
    force: bool = False
    quiet: bool = True

    def __post_init__(self) -> None:
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise UsageError(
                f"timeout must be a positive number of seconds, or None, got {self.timeout!r}"
            )

    @property
    def means(self) -> Means:
        """What of this the spec file of the sweep declares."""
        machine = self.hardware.machine
        return Means(
            device=machine.device,
            stack=self.hardware.stack,
            tf32=bool(machine.tf32),
            mix_devices=self.mix_devices,
        )


@dataclass(frozen=True, kw_only=True)
class Todo:
    """A sweep's plan against what is stored.

    Attributes
    ----------
    planned, missing
        All runs of the sweep, and those that are still to be done.
    done
        The stored rows of planned runs that need not be done again.
    """

    planned: tuple[RunSpec, ...]
    missing: tuple[RunSpec, ...]
    done: pa.Table


@dataclass(frozen=True, kw_only=True)
class BegunSweep:
    """A sweep whose directory is locked for this process, with the runs it still needs."""

    todo: Todo
    site: Site
    layout: Layout

    def train(self) -> Generator[RunEvent]:
        """Start on what is missing; an event for each finished run (see bench.runner.run_plan)."""
        return run_plan(self.todo.missing, self.site)


@contextmanager
def begin_sweep(
    spec: SweepSpec, conditions: Conditions, on_damage: Callable[[Damage], None]
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
        site = Site(
            arrays=arrays,
            machine=replace(conditions.hardware.machine, n_jobs=layout.n_jobs),
            store=store,
            device=conditions.hardware.devices[0],
            stack=layout.stack,
            slots=layout.slots,
            timeout=conditions.timeout,
        )
        yield BegunSweep(todo=todo, site=site, layout=layout)
        if todo.missing and layout.n_jobs > 1 and not layout.slots:
            stop_workers()
        _compact(store)


def _try_network(workload: Workload, arrays: Path, device: str) -> None:
    """Refuse a user's network that cannot be trained, before anything is written."""
    if is_external(workload.network):
        from bench.training import try_network

        try_network(workload, load_data(arrays, device))


def _compact(store: Store) -> None:
    """Put the rows into one file where there is room for it: they are as true in many."""
    try:
        store.compact()
    except StoreError as error:
        warnings.warn(f"every row stays in a file of its own: {error}", stacklevel=2)


def find_missing(spec: SweepSpec, conditions: Conditions) -> Todo:
    """Compare the plan with the stored rows.

    Raises
    ------
    MixedRunsError
        If the stored rows are of another workload, device or torch version, or were declared to be
        judged in another way.
    """
    planned, store, force = spec.plan(), conditions.store, conditions.force
    rows = store.read_rows()
    keys = [run.key for run in planned]
    belongs = pc.is_in(rows["run_key"], pa.array(keys))
    kept = rows.filter(pc.invert(belongs)) if force else rows
    _refuse_other_workload(kept, spec, conditions)
    if not force:
        _refuse_other_meaning(rows, planned, store)
    if len(rows) and (stored := store.read_spec()) is not None:
        if len(kept):
            _refuse_other_base(spec, stored, store)
        _check_declaration(spec, stored, store)
    finished = finished_keys(kept)
    return Todo(
        planned=planned,
        missing=tuple(r for r, key in zip(planned, keys, strict=True) if key not in finished),
        done=kept.filter(pc.is_in(kept["run_key"], pa.array([*finished & set(keys)], pa.string()))),
    )


def _refuse_other_workload(rows: pa.Table, spec: SweepSpec, conditions: Conditions) -> None:
    store = conditions.store
    settings = {**vars(spec.workload), **vars(conditions.hardware.machine)}
    advice = "give this sweep another --name"
    expected = {column: settings[column] for column in UNIFORM_COLUMNS}
    check_uniform(rows, expected, store.directory, advice, mix_devices=conditions.mix_devices)
    own = {optimizer.name: spec.workload_of(optimizer) for optimizer in spec.optimizers}
    for row in (
        rows.select(["optimizer", *BUDGET_COLUMNS])
        .group_by(["optimizer", *BUDGET_COLUMNS])
        .aggregate([])
        .to_pylist()
    ):
        # of a variant that is not in this sweep only the budget is known
        workload = own.get(row["optimizer"]) or spec.workload_at(row["batch_size"])
        for column in BUDGET_COLUMNS:
            if row[column] != getattr(workload, column):
                raise MixedRunsError(
                    f"{store.directory} holds runs with {column}={row[column]}, this sweep has "
                    f"{column}={getattr(workload, column)}: {advice}"
                )


def _refuse_other_base(spec: SweepSpec, stored: SweepSpec, store: Store) -> None:
    """The names of variants leave out what the sweep itself says, so that must stay the same."""
    before = {**vars(stored.workload), "budget": stored.budget}
    for name, now in {**vars(spec.workload), "budget": spec.budget}.items():
        if before[name] != now:
            raise MixedRunsError(
                f"{store.directory} was declared with {name}={before[name]}, this sweep has "
                f"{name}={now}: give this sweep another --name"
            )


def _set_damaged_aside(spec: SweepSpec, store: Store) -> tuple[Damage, ...]:
    """Put what cannot be trusted where nobody reads it."""
    declared = store.read_spec()
    # where the workload itself was changed, all rows are of another: that is refused, not damage
    is_same = declared and (declared.workload, declared.budget) == (spec.workload, spec.budget)
    return store.set_aside_damaged(spec if is_same else None)


def describe_damage(damage: Damage) -> str:
    """What a user is told of a file that was set aside."""
    return f"set aside: {damage.file} -> {damage.target}, its runs are done again ({damage.reason})"


def _refuse_other_meaning(rows: pa.Table, planned: Sequence[RunSpec], store: Store) -> None:
    """A stored run must not be replaced because a later version means another thing by its name."""
    meant = {(run.optimizer.name, run.seed): run for run in planned}
    columns = ["optimizer", "seed", "run_key", "algorithm", "hyperparameters", "schedule"]
    for row in rows.select(columns).to_pylist():
        run = meant.get((row["optimizer"], row["seed"]))
        if run is not None and run.key != row["run_key"]:
            own = run.optimizer
            settings = canonical_json(dict(own.hyperparameters))
            before = _meaning(row["algorithm"], row["hyperparameters"], row["schedule"])
            raise MixedRunsError(
                f"{store.directory} holds {row['optimizer']} seed {row['seed']} as {before}, this "
                f"sweep means {_meaning(own.algorithm, settings, own.schedule)} by that name: give "
                "this sweep another --name, or do the runs again with --force"
            )


def _meaning(algorithm: str, settings: str, schedule: str | None) -> str:
    return f"{algorithm} with {settings}" + (f" and schedule {schedule}" if schedule else "")


def _check_declaration(spec: SweepSpec, stored: SweepSpec, store: Store) -> None:
    """Refuse to change how runs will be judged once some of them can be seen."""
    before, now = _printed(stored.declaration), _printed(spec.declaration)
    for name, value in before.items():
        if now[name] != value:
            raise MixedRunsError(
                f"{store.directory} was declared with {name}={value} before its runs were seen, "
                f"this sweep has {name}={now[name]}: repeat --{name} {value}, or give this sweep "
                "another --name"
            )


def _printed(declaration: Declaration) -> dict[str, str]:
    """The declaration as its options are given."""
    return {
        name: ANY_NUMBER if value is None else str(value)
        for name, value in vars(declaration).items()
    }


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a sweep is likely to take: seconds in all, on what does it."""

    seconds: float
    layout: Layout


def estimate(spec: SweepSpec, todo: Todo, conditions: Conditions) -> Estimate:
    """What the missing runs are likely to take: as stored ones took, or else as a try does."""
    if not todo.missing:
        return Estimate(seconds=0.0, layout=Layout(n_jobs=1, stack=1))
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
