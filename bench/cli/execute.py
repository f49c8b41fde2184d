"""Carry out ``optimizer-bench sweep``: train missing runs, compare, report."""

from __future__ import annotations

import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from bench.cli import console, overview
from bench.cli.config import naming_file
from bench.cli.printing import print_note, printable
from bench.cli.progress import ProgressCounts, show_progress
from bench.cli.sweep import make_spec
from bench.errors import BenchError, UsageError
from bench.execution.resources import describe_resources, resolve_execution
from bench.execution.timeouts import time_limit
from bench.optimizers.trial import watched
from bench.spec.model import SweepSpec, whole_sweep_name
from bench.spec.options import LOKY, ExecutionOptions
from bench.spec.shards import Shard, directory_name
from bench.storage.files import require_output
from bench.storage.looks import Ledger, TakenLook
from bench.storage.mirror import pulled
from bench.storage.records import FAILED
from bench.storage.store import Damage, Store, joined
from bench.sweeps.estimate import estimate
from bench.sweeps.parts import part_name
from bench.sweeps.reproduce import program, refuse_foreign
from bench.sweeps.resume import SweepStatus, compare_with_rows, find_missing
from bench.sweeps.run import (
    LooksTaken,
    SweepEvent,
    SweepStarted,
    describe_damage,
    run_sweep,
)
from bench.sweeps.sequential import describe_look, forecast
from bench.words import count

if TYPE_CHECKING:
    from bench.sweeps.load import StoredSweep

#: Seconds after which the trial step of an optimizer is announced.
ANNOUNCED_AFTER = 10.0
#: Least time limit of a trial step in seconds: the first step of torch imports its compiler.
SHORTEST_TRIAL = 60.0


def execute(arguments: Namespace) -> int:
    """Run the sweeps that the command line declares; return 1 if any run failed."""
    with naming_file(arguments), watched(partial(_announced_and_limited, arguments.timeout)):
        specs = [as_stored(make_spec(arguments, d), arguments) for d in arguments.dataset]
        whole = overview.overall(specs, arguments)
    if arguments.dry_run:
        for spec in specs:
            dry_run(spec, arguments)
        return 0
    if arguments.shard is not None:
        return _train_shards(specs, arguments)
    if len(specs) > 1:
        overview.check(whole, arguments)
    sweeps = [run_one(spec, arguments) for spec in specs]
    if len(specs) > 1 and len(whole.optimizers) > 1:
        part = sweeps[0].spec.name.removeprefix(specs[0].name)
        overview.compare_over(whole, sweeps, arguments, part=part)
    return 1 if any(FAILED in s.rows["status"].to_pylist() for s in sweeps) else 0


def _train_shards(specs: Sequence[SweepSpec], arguments: Namespace) -> int:
    """Train the shard of each sweep, and say how to merge it; return 1 if any run failed."""
    has_failed = False
    for spec in specs:
        stored = train(spec, arguments, is_judged=False)
        assert stored.store is not None
        has_failed |= FAILED in stored.rows["status"].to_pylist()
        directory = arguments.results / spec.name
        print(
            f"shard {arguments.shard}: {count(len(stored.rows), 'run')} in "
            f"{printable(str(stored.store.directory))}; when every shard is finished: "
            f"{program('merge')} {printable(str(directory))}-shard*"
        )
    return 1 if has_failed else 0


def as_stored(spec: SweepSpec, arguments: Namespace) -> SweepSpec:
    """Return the sweep with the stored default name and evaluations of an earlier version."""
    earlier = whole_sweep_name(spec.workload, spec.budget)[:100]
    for name in {spec.name, directory_name(spec.name, arguments.shard)}:
        pulled(arguments.results / name)
    is_named = arguments.name is not None or (arguments.results / spec.name).exists()
    if not is_named and pulled(arguments.results / earlier).exists():
        spec = replace(spec, name=earlier)
    stored = None
    with suppress(BenchError):  # it is raised again when the directory is used
        stored = Store(arguments.results / spec.name).read_spec()
    if arguments.eval_every is not None or stored is None:
        return spec
    workload = replace(spec.workload, eval_every=stored.workload.eval_every)
    return replace(spec, workload=workload) if workload == stored.workload else spec


@contextmanager
def _announced_and_limited(timeout: float | None, text: str) -> Iterator[None]:
    """Announce the trial step of an optimizer if it takes long, and limit it by ``--timeout``."""
    note = f"trying one step of {text}: an optimizer that compiles itself takes a while"
    timer = threading.Timer(ANNOUNCED_AFTER, print_note, [note])
    timer.daemon = True
    timer.start()
    limit = None if timeout is None else max(timeout, SHORTEST_TRIAL)
    late = f"it took longer than the {limit} seconds of --timeout, at least {SHORTEST_TRIAL:g}"
    try:
        with nullcontext() if limit is None else time_limit(limit, late):
            yield
    finally:
        timer.cancel()


def _execution(arguments: Namespace) -> ExecutionOptions:
    names = [field.name for field in fields(ExecutionOptions)]
    return resolve_execution(ExecutionOptions(**{n: getattr(arguments, n) for n in names}))


def _execution_here(arguments: Namespace) -> ExecutionOptions:
    """The execution on this machine, whether or not the sweep will use a cluster.

    Where this machine does not have the device of the cluster, it is the one that it has.
    """
    execution = _execution(arguments)
    if execution.scheduler is None:
        return execution
    here = replace(execution, backend=LOKY, scheduler=None, n_jobs=-1)
    try:
        return resolve_execution(here)
    except UsageError:  # no such device
        return resolve_execution(replace(here, device="auto", tf32=False))


def run_one(spec: SweepSpec, arguments: Namespace) -> StoredSweep:
    """Train the missing runs of a sweep, write its report, and print the conclusion."""
    refuse_foreign(Store(arguments.results / spec.name).options_file)
    if not arguments.no_report:  # this makes the directory of reports
        require_output(arguments.reports / f"{spec.name}.html", "the report")
    stored = train(spec, arguments)
    assert stored.store is not None
    if spec.declaration.until_decided and stored.n_missing:
        console.print_waiting(stored.n_looks + 1, spec.declaration.until_decided[stored.n_looks])
        if not stored.n_looks:
            return stored
    command, declared = stored.command, stored.store.read_spec()
    if declared is not None and declared != spec:  # a part of the sweep has a report of its own
        stored = replace(stored, spec=replace(spec, name=part_name(spec, declared)))
    if not (arguments.quiet and arguments.no_report):
        from bench.sweeps.load import analyse_stored

        overview.conclude(analyse_stored(stored), command, arguments)
    return stored


def train(spec: SweepSpec, arguments: Namespace, *, is_judged: bool = True) -> StoredSweep:
    """Train the missing runs of a sweep, and print the failed ones.

    `is_judged`: verdicts will be based on its seeds, so that a note says if they are too few.
    """
    store, execution, shard = _store(spec, arguments), _execution(arguments), arguments.shard
    refuse_foreign(store.options_file)
    with (
        _telling_what_is_kept(spec, store, shard),
        _progress(spec, store, arguments.quiet, is_judged=is_judged, shard=shard) as on_event,
    ):
        files = run_sweep(
            spec,
            store,
            execution,
            data_dir=arguments.data_dir,
            shard=shard,
            force=arguments.force,
            quiet=arguments.quiet,
            on_event=on_event,
            on_damage=_print_damage,
        )
    from bench.sweeps.load import select_planned

    stored = select_planned(joined(files), spec, store)
    console.print_failures(stored.rows)
    return stored


def _store(spec: SweepSpec, arguments: Namespace) -> Store:
    """The directory of a sweep, or of its shard."""
    return Store(arguments.results / directory_name(spec.name, arguments.shard))


def _print_damage(damage: Damage) -> None:
    print(printable(describe_damage(damage)), file=sys.stderr)


@contextmanager
def _progress(
    spec: SweepSpec, store: Store, quiet: bool, *, is_judged: bool, shard: Shard | None
) -> Iterator[Callable[[SweepEvent], None]]:
    """Show the events of a sweep as they are passed to the function that this yields."""
    with ExitStack() as stack:
        display: ProgressCounts | None = None

        def on_event(event: SweepEvent) -> None:
            nonlocal display
            if isinstance(event, SweepStarted):
                if not quiet:
                    level = _upcoming_level(spec, store) if is_judged else None
                    console.print_start(spec, event.status, event.placement, level)
                display = stack.enter_context(show_progress(spec, event.status, quiet))
            elif isinstance(event, LooksTaken):
                stack.close()
                if not quiet:
                    print(printable(describe_look(event.looks)), flush=True)
            elif display is not None:
                display.add(event)

        yield on_event
        if display is None and not quiet:
            status = compare_with_rows(spec, store.read_rows(), shard)
            console.print_nothing_to_do(len(status.planned))


@contextmanager
def _telling_what_is_kept(spec: SweepSpec, store: Store, shard: Shard | None) -> Iterator[None]:
    """Add how many runs are stored to the message if the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            kept = ""
            if store.spec_file.exists():
                status = compare_with_rows(spec, store.read_rows(), shard)
                kept = console.kept_runs(spec, status)
        except BenchError:
            kept = ""
        raise KeyboardInterrupt(kept) from None


def _upcoming_level(spec: SweepSpec, store: Store) -> float:
    """The level at which the next look at this sweep is tested."""
    if stages := spec.declaration.until_decided:
        return spec.declaration.alpha / len(stages)
    from bench.analysis.stats.sequential import look_level

    whole = TakenLook(
        seeds=tuple(sorted(spec.seeds)),
        missing=0,
        at=datetime.now(UTC),
        optimizers=tuple(optimizer.name for optimizer in spec.optimizers),
    )
    taken = Ledger(store.looks_file).with_look(whole)
    return look_level(len(taken), spec.declaration.alpha, spec.declaration.looks)


def status_of(spec: SweepSpec, arguments: Namespace) -> SweepStatus:
    """Compare a sweep with its stored rows; raise MixedRunsError if they are of another one."""
    store, execution = _store(spec, arguments), _execution(arguments)
    return find_missing(
        spec,
        store,
        describe_resources(execution),
        mix_devices=execution.mix_devices,
        shard=arguments.shard,
        force=arguments.force,
    )


def dry_run(spec: SweepSpec, arguments: Namespace, *, is_judged: bool = True) -> None:
    """Print what would be trained, and if verdicts will be based on it, what the tests need."""
    store, status = _store(spec, arguments), status_of(spec, arguments)
    estimated = estimate(spec, status, _execution_here(arguments), arguments.data_dir)
    if arguments.scheduler is not None:
        print_note("the time is that of this machine: --dry-run does not ask the Dask cluster")
    level = _upcoming_level(spec, store) if is_judged else None
    is_sequential = bool(spec.declaration.until_decided)
    expected = forecast(spec, arguments.results) if is_sequential else None
    console.print_dry_run(spec, status, estimated, level, expected)
    if arguments.verbose:
        console.print_plan(status)
