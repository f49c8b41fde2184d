"""``optimizer-bench sweep``: plan, train what is missing, compare, report."""

from __future__ import annotations

import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from bench import datasets
from bench.cli import console
from bench.cli.arguments import ANY_NUMBER
from bench.cli.config import naming_file, refuse_foreign, write_options
from bench.cli.printing import printable
from bench.cli.progress import show_progress
from bench.errors import MixedRunsError, SpecError, StoreError, TrainingError, UsageError
from bench.files import require_output
from bench.ledger import Ledger, TakenLook
from bench.machine import Machine, available_cores, describe_machine
from bench.records import FAILED
from bench.runner import Site, estimate_seconds, load_data, run_plan, stop_workers
from bench.spec import (
    Declaration,
    OptimizerExpression,
    RunSpec,
    SweepSpec,
    Workload,
    canonical_json,
    default_sweep_name,
    parse_optimizers,
)
from bench.store import BUDGET_COLUMNS, UNIFORM_COLUMNS, Store, check_uniform, finished_keys
from bench.variants import PRESETS, resolve_variant

if TYPE_CHECKING:
    from bench.cli.stored import StoredSweep


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


def run(arguments: Namespace) -> int:
    """Do what the command line asks for; the exit code is 1 if any run failed."""
    with naming_file(arguments):
        spec = make_spec(arguments)
    store = Store(arguments.results / spec.name)
    machine = describe_machine(_choose_device(arguments.device), _workers(arguments.n_jobs))
    if arguments.dry_run:
        todo = find_missing(spec, store, machine, force=arguments.force)
        return _dry_run(spec, todo, store, machine, arguments)
    refuse_foreign(store.options_file)
    if not arguments.no_report:
        require_output(arguments.reports / f"{spec.name}.html", "the report")
    store.create()
    with _locked(store):
        store.tidy()
        _set_damaged_aside(spec, store)
        todo = find_missing(spec, store, machine, force=arguments.force)
        dataset = spec.workload.dataset
        arrays = datasets.prepare(dataset, arguments.data_dir, quiet=arguments.quiet)
        store.write_spec(spec)
        write_options(spec, machine.device, store.options_file)
        site = Site(arrays=arrays, machine=machine, store=store, timeout=arguments.timeout)
        _train(spec, todo, site, quiet=arguments.quiet)
        _compact(store)
    return _conclude(spec, store, arguments)


def _compact(store: Store) -> None:
    """Put the rows into one file where there is room for it: they are as true in many."""
    try:
        store.compact()
    except StoreError as error:
        warnings.warn(f"every row stays in a file of its own: {error}", stacklevel=2)


def make_spec(arguments: Namespace) -> SweepSpec:
    """The sweep that the command line declares, checked as far as that is possible untrained.

    Raises
    ------
    SpecError
        Naming the setting that is not allowed.
    """
    n_images = datasets.n_train_images(arguments.dataset, arguments.data_dir)
    workload = _workload(arguments, n_images)
    variants = tuple(
        resolve_variant(expression, workload, n_images) for expression in _expressions(arguments)
    )
    return SweepSpec(
        name=arguments.name or default_sweep_name(workload, arguments.budget),
        optimizers=variants,
        seeds=arguments.seed_list or tuple(range(arguments.seeds)),
        workload=workload,
        budget=arguments.budget,
        declaration=Declaration(
            alpha=arguments.alpha,
            margin=arguments.margin,
            target=arguments.target,
            looks=arguments.looks,
        ),
    )


def _expressions(arguments: Namespace) -> tuple[OptimizerExpression, ...]:
    if arguments.preset is None:
        return cast("tuple[OptimizerExpression, ...]", arguments.optimizers)
    return parse_optimizers(",".join(PRESETS[arguments.preset]))


def _workload(arguments: Namespace, n_images: int) -> Workload:
    batch_size = arguments.batch_size
    if batch_size > n_images:
        raise SpecError(
            f"--batch-size must be at most {n_images}, the training images of "
            f"{arguments.dataset}, got {batch_size}"
        )
    iterations = arguments.iterations
    if arguments.epochs is not None:  # of whole batches: what is left of an epoch is left out
        iterations = arguments.epochs * (n_images // batch_size)
    return Workload(
        dataset=arguments.dataset,
        network=arguments.network,
        batch_size=batch_size,
        iterations=iterations,
        eval_every=arguments.eval_every,
    )


def find_missing(spec: SweepSpec, store: Store, machine: Machine, *, force: bool) -> Todo:
    """Compare the plan with the stored rows.

    Raises
    ------
    MixedRunsError
        If the stored rows are of another workload, device or torch version, or were declared to be
        judged in another way.
    """
    planned = spec.plan()
    rows = store.read_rows()
    keys = [run.key for run in planned]
    belongs = pc.is_in(rows["run_key"], pa.array(keys))
    kept = rows.filter(pc.invert(belongs)) if force else rows
    _refuse_other_workload(kept, spec, machine, store)
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


def _refuse_other_workload(rows: pa.Table, spec: SweepSpec, machine: Machine, store: Store) -> None:
    settings = {**vars(spec.workload), **vars(machine)}
    advice = "give this sweep another --name"
    expected = {column: settings[column] for column in UNIFORM_COLUMNS}
    check_uniform(rows, expected, store.directory, advice=advice)
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


def _set_damaged_aside(spec: SweepSpec, store: Store) -> None:
    """Name what cannot be trusted, and put it where nobody reads it."""
    declared = store.read_spec()
    # where the workload itself was changed, all rows are of another: that is refused, not damage
    is_same = declared and (declared.workload, declared.budget) == (spec.workload, spec.budget)
    known = spec if is_same else None
    for damage in store.set_aside_damaged(known):
        print(
            printable(
                f"set aside: {damage.file} -> {damage.target}, its runs are done again "
                f"({damage.reason})"
            ),
            file=sys.stderr,
        )


def _refuse_other_meaning(rows: pa.Table, planned: Sequence[RunSpec], store: Store) -> None:
    """A stored run must not be replaced because a later version means another thing by its name."""
    meant = {(run.optimizer.name, run.seed): run for run in planned}
    columns = ["optimizer", "seed", "run_key", "algorithm", "hyperparameters"]
    for row in rows.select(columns).to_pylist():
        run = meant.get((row["optimizer"], row["seed"]))
        if run is not None and run.key != row["run_key"]:
            settings = canonical_json(dict(run.optimizer.hyperparameters))
            raise MixedRunsError(
                f"{store.directory} holds {row['optimizer']} seed {row['seed']} as "
                f"{row['algorithm']} with {row['hyperparameters']}, this sweep means "
                f"{run.optimizer.algorithm} with {settings} by that name: give this sweep another "
                "--name, or do the runs again with --force"
            )


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


def _seconds_per_run(done: pa.Table) -> dict[str, float]:
    """Median seconds of the stored runs of each optimizer."""
    by_optimizer: dict[str, list[float]] = {}
    for run in done.select(["optimizer", "train_seconds", "eval_seconds"]).to_pylist():
        seconds = run["train_seconds"] + run["eval_seconds"]
        by_optimizer.setdefault(run["optimizer"], []).append(seconds)
    return {name: median(values) for name, values in by_optimizer.items()}


def _choose_device(wanted: str) -> str:
    import torch

    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise UsageError("--device cuda: torch finds no CUDA device here; use auto or cpu")
    if wanted == "auto":
        return "cuda" if has_gpu else "cpu"
    return wanted


def _workers(n_jobs: int) -> int:
    return available_cores() if n_jobs == -1 else n_jobs


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


def _train(spec: SweepSpec, todo: Todo, site: Site, *, quiet: bool) -> None:
    if not todo.missing:
        return
    workers = min(site.machine.n_jobs, len(todo.missing))
    site = replace(site, machine=replace(site.machine, n_jobs=workers))
    with closing(run_plan(todo.missing, site)) as events:
        if not quiet:  # while the workers start
            level = _upcoming_level(spec, site.store)
            console.print_start(spec, len(todo.planned), len(todo.missing), workers, level)
        with show_progress(spec, todo.done, len(todo.missing), quiet=quiet) as progress:
            for event in events:
                progress.add(event)
    if workers > 1:
        stop_workers()


def _conclude(spec: SweepSpec, store: Store, arguments: Namespace) -> int:
    """Analyse what is stored of the sweep, write the report, print the answer."""
    from bench.cli.stored import select_planned

    stored = select_planned(store.read_rows(), spec, store)
    console.print_failures(stored.rows)
    if set(stored.rows["status"].to_pylist()) == {FAILED}:
        raise TrainingError("every run failed: there is nothing to compare")
    if not (arguments.quiet and arguments.no_report):  # then nobody looks
        _show(stored, spec, arguments)
    return 1 if FAILED in stored.rows["status"].to_pylist() else 0


def _show(stored: StoredSweep, spec: SweepSpec, arguments: Namespace) -> None:
    from bench.cli.stored import analyse

    analysis, path = analyse(stored), None
    if not arguments.no_report:
        from bench import report

        path = arguments.reports / f"{spec.name}.html"
        report.write(analysis, path)
    if arguments.quiet:
        print(path)
    else:
        console.print_conclusion(analysis, path)


def _upcoming_level(spec: SweepSpec, store: Store) -> float:
    """The level at which the look at this sweep will judge."""
    from bench.analysis.sequential import look_level

    whole = TakenLook(seeds=tuple(sorted(spec.seeds)), missing=0, at=datetime.now(UTC))
    taken = Ledger(store.looks_file).with_look(whole)
    return look_level(len(taken), spec.declaration.alpha, spec.declaration.looks)


def _dry_run(
    spec: SweepSpec, todo: Todo, store: Store, machine: Machine, arguments: Namespace
) -> int:
    seconds = _seconds_per_run(todo.done)
    unknown = [o for o in spec.optimizers if o.name not in seconds]
    if todo.missing and unknown:
        arrays = datasets.prepare(spec.workload.dataset, arguments.data_dir)
        data = load_data(arrays, machine.device)
        for optimizer in unknown:
            seconds.update(estimate_seconds(spec.workload_of(optimizer), [optimizer], data))
    workers = min(machine.n_jobs, max(1, len(todo.missing)))
    total = sum(seconds[r.optimizer.name] for r in todo.missing) / workers
    console.print_dry_run(spec, todo.missing, total, workers, _upcoming_level(spec, store))
    return 0
