"""Carry out ``optimizer-bench sweep``: train missing runs, compare, report."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench.cli import console, overview
from bench.cli.config import naming_file
from bench.cli.printing import printable
from bench.cli.progress import Display, show_progress
from bench.cli.sweep import make_spec
from bench.execution.resources import choose_hardware
from bench.spec.model import SweepSpec
from bench.storage.files import require_output
from bench.storage.looks import Ledger, TakenLook
from bench.storage.records import FAILED
from bench.storage.store import Damage, Store, joined
from bench.sweeps.options import SweepOptions
from bench.sweeps.reproduce import refuse_foreign
from bench.sweeps.resume import find_missing
from bench.sweeps.run import SweepEvent, SweepStarted, describe_damage, estimate, run_sweep

if TYPE_CHECKING:
    from bench.sweeps.load import StoredSweep


def execute(arguments: Namespace) -> int:
    """Run the sweeps that the command line declares; return 1 if any run failed."""
    with naming_file(arguments):
        specs = [make_spec(arguments, dataset) for dataset in arguments.dataset]
        whole = overview.overall(specs, arguments)
    if arguments.dry_run:
        for spec in specs:
            _dry_run(spec, _sweep_options(spec, arguments))
        return 0
    if len(specs) > 1:
        overview.check(whole, arguments)
    sweeps = [_run_one(spec, arguments) for spec in specs]
    if len(specs) > 1 and len(whole.optimizers) > 1:
        overview.compare_over(whole, sweeps, arguments)
    return 1 if any(FAILED in s.rows["status"].to_pylist() for s in sweeps) else 0


def _sweep_options(spec: SweepSpec, arguments: Namespace) -> SweepOptions:
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
    """Train the missing runs of a sweep, write its report, and print the conclusion."""
    options = _sweep_options(spec, arguments)
    refuse_foreign(options.store.options_file)  # before the directory of reports is made
    if not arguments.no_report:
        require_output(arguments.reports / f"{spec.name}.html", "the report")
    with _progress(spec, options) as on_event:
        files = run_sweep(spec, options, on_event=on_event, on_damage=_print_damage)
    from bench.sweeps.load import select_planned

    stored = select_planned(joined(files), spec, options.store)
    console.print_failures(stored.rows)
    if not (arguments.quiet and arguments.no_report):
        _show(stored, spec, arguments)
    return stored


def _print_damage(damage: Damage) -> None:
    print(printable(describe_damage(damage)), file=sys.stderr)


@contextmanager
def _progress(spec: SweepSpec, options: SweepOptions) -> Iterator[Callable[[SweepEvent], None]]:
    """Show the events of a sweep as they are passed to the function that this yields."""
    with ExitStack() as stack:
        display: Display | None = None

        def on_event(event: SweepEvent) -> None:
            nonlocal display
            if isinstance(event, SweepStarted):
                if not options.quiet:
                    level = _upcoming_level(spec, options.store)
                    console.print_start(spec, event.status, event.placement, level)
                display = stack.enter_context(show_progress(spec, event.status, options.quiet))
            elif display is not None:
                display.add(event)

        yield on_event


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
    """The level at which the next look at this sweep is tested."""
    from bench.analysis.stats.sequential import look_level

    whole = TakenLook(seeds=tuple(sorted(spec.seeds)), missing=0, at=datetime.now(UTC))
    taken = Ledger(store.looks_file).with_look(whole)
    return look_level(len(taken), spec.declaration.alpha, spec.declaration.looks)


def _dry_run(spec: SweepSpec, options: SweepOptions) -> None:
    status = find_missing(spec, options)
    estimated = estimate(spec, status, options)
    level = _upcoming_level(spec, options.store)
    console.print_dry_run(spec, status, estimated, level)
