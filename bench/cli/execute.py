"""Carry out ``optimizer-bench sweep``: train missing runs, compare, report."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench.cli import console, overview
from bench.cli.config import naming_file
from bench.cli.printing import printable
from bench.cli.progress import show_progress
from bench.cli.sweep import make_spec
from bench.errors import TrainingError
from bench.execution.resources import choose_hardware
from bench.spec.model import SweepSpec
from bench.storage.files import require_output
from bench.storage.looks import Ledger, TakenLook
from bench.storage.records import FAILED
from bench.storage.store import Damage, Store
from bench.sweeps.options import SweepOptions
from bench.sweeps.reproduce import refuse_foreign
from bench.sweeps.resume import find_missing
from bench.sweeps.run import BegunSweep, begin_sweep, describe_damage, estimate

if TYPE_CHECKING:
    from bench.sweeps.load import StoredSweep


def execute(arguments: Namespace) -> int:
    """Run the sweeps that the command line declares; return 1 if any run failed."""
    with naming_file(arguments):
        specs = [make_spec(arguments, dataset) for dataset in arguments.dataset]
        whole = overview.overall(specs, arguments)
    if arguments.dry_run:
        for spec in specs:
            _dry_run(spec, _conditions(spec, arguments))
        return 0
    if len(specs) > 1:
        overview.check(whole, arguments)
    sweeps = [_run_one(spec, arguments) for spec in specs]
    if len(specs) > 1 and len(whole.optimizers) > 1:
        overview.compare_over(whole, sweeps, arguments)
    return 1 if any(FAILED in s.rows["status"].to_pylist() for s in sweeps) else 0


def _conditions(spec: SweepSpec, arguments: Namespace) -> SweepOptions:
    return SweepOptions(
        store=Store(arguments.results / spec.name),
        hardware=choose_hardware(
            arguments.device,
            arguments.n_jobs,
            gpus=arguments.gpus,
            jobs_per_gpu=arguments.jobs_per_gpu,
            stack=arguments.stack,
            tf32=arguments.tf32,
        ),
        mix_devices=arguments.mix_devices,
        data_dir=arguments.data_dir,
        timeout=arguments.timeout,
        force=arguments.force,
        quiet=arguments.quiet,
    )


def _run_one(spec: SweepSpec, arguments: Namespace) -> StoredSweep:
    """Train what is missing of a sweep and show it."""
    conditions = _conditions(spec, arguments)
    refuse_foreign(conditions.store.options_file)  # before the directory of reports is made
    if not arguments.no_report:
        require_output(arguments.reports / f"{spec.name}.html", "the report")
    with begin_sweep(spec, conditions, _print_damage) as begun:
        _train(spec, begun, quiet=arguments.quiet)
    return _conclude(spec, conditions.store, arguments)


def _print_damage(damage: Damage) -> None:
    print(printable(describe_damage(damage)), file=sys.stderr)


def _train(spec: SweepSpec, begun: BegunSweep, *, quiet: bool) -> None:
    todo = begun.todo
    if not todo.missing:
        return
    with closing(begun.train()) as events:
        if not quiet:  # while the workers start
            level = _upcoming_level(spec, begun.context.store)
            console.print_start(spec, len(todo.planned), len(todo.missing), begun.layout, level)
        with show_progress(spec, todo.done, len(todo.missing), quiet=quiet) as progress:
            for event in events:
                progress.add(event)


def _conclude(spec: SweepSpec, store: Store, arguments: Namespace) -> StoredSweep:
    """Analyse what is stored of the sweep, write the report, print the answer."""
    from bench.sweeps.load import select_planned

    stored = select_planned(store.read_rows(), spec, store)
    console.print_failures(stored.rows)
    if set(stored.rows["status"].to_pylist()) == {FAILED}:
        raise TrainingError("every run failed: there is nothing to compare")
    if not (arguments.quiet and arguments.no_report):  # then nobody looks
        _show(stored, spec, arguments)
    return stored


def _show(stored: StoredSweep, spec: SweepSpec, arguments: Namespace) -> None:
    from bench.sweeps.load import analyse_stored

    analysis, path = analyse_stored(stored), None
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
    from bench.analysis.stats.sequential import look_level

    whole = TakenLook(seeds=tuple(sorted(spec.seeds)), missing=0, at=datetime.now(UTC))
    taken = Ledger(store.looks_file).with_look(whole)
    return look_level(len(taken), spec.declaration.alpha, spec.declaration.looks)


def _dry_run(spec: SweepSpec, conditions: SweepOptions) -> None:
    todo = find_missing(spec, conditions)
    likely = estimate(spec, todo, conditions)
    level = _upcoming_level(spec, conditions.store)
    console.print_dry_run(spec, todo.missing, likely, level)
