"""Carry out ``optimizer-bench sweep --tune``: trials, selection, and both tracks."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from bench.cli import console, overview
from bench.cli.config import naming_file
from bench.cli.execute import dry_run, run_one, status_of, train
from bench.cli.printing import printable
from bench.cli.stored_tuning import tuning_context
from bench.cli.sweep import make_spec
from bench.errors import SpecError, StoreError
from bench.spec.model import SweepSpec
from bench.storage.files import require_output
from bench.storage.records import FAILED
from bench.tuning.plan import TuningProtocol
from bench.words import count

if TYPE_CHECKING:
    from bench.analysis.results.tuning import TunedOptimizer
    from bench.sweeps.load import StoredSweep
    from bench.sweeps.tuned import Role, StoredTuning
    from bench.tuning.variants import PlannedTuning


def execute_tuned(arguments: Namespace) -> int:
    """Tune, train both tracks, and compare them; return 1 if any run failed."""
    from bench.sweeps.tune import carry_out

    with naming_file(arguments):
        spec, planned = _planned(arguments)
    if arguments.dry_run:
        _dry_run(spec, planned, arguments)
        return 0
    if not arguments.no_report:
        require_output(arguments.reports / f"{spec.name}-tuning.html", "the report")
    with suppress(StoreError):  # damaged files are set aside when the defaults are trained
        status_of(spec, arguments)  # before the trials
    stored = carry_out(
        spec,
        planned,
        partial(_train, planned.plan.protocol, arguments),
        results=arguments.results,
        data_dir=arguments.data_dir,
        on_chosen=None if arguments.quiet else _print_chosen,
    )
    _conclude(stored, arguments)
    sweeps = (*stored.trials, stored.default, *stored.tuned)
    return 1 if any(FAILED in of.rows["status"].to_pylist() for of in sweeps) else 0


def _planned(arguments: Namespace) -> tuple[SweepSpec, PlannedTuning]:
    from bench.sweeps.tune import plan_of

    if len(arguments.dataset) > 1:
        raise SpecError(f"--tune needs one dataset, got {len(arguments.dataset)}")
    protocol = TuningProtocol(
        trials=arguments.tune_trials,
        seeds=arguments.tune_seeds,
        repeats=arguments.tune_repeats,
        validation=arguments.validation,
        metric=arguments.tune_for,
        extend=arguments.tune_extend,
    )
    over = tuple(name.strip() for name in arguments.tune_over.split(","))
    spec = make_spec(arguments)
    planned = plan_of(
        spec, protocol, over=over, spaces=arguments.space, data_dir=arguments.data_dir
    )
    return spec, planned


def _dry_run(spec: SweepSpec, planned: PlannedTuning, arguments: Namespace) -> None:
    for trials in planned.trials:
        dry_run(trials, arguments, is_judged=False)
    dry_run(spec, arguments)
    names = ", ".join(planned.plan.tuned_names)
    print(f"tuned:  {names}: the chosen settings, as many runs as {spec.name}")


def _train(
    protocol: TuningProtocol, arguments: Namespace, spec: SweepSpec, role: Role
) -> StoredSweep:
    """Train a sweep; a track that is compared on its own gets a report."""
    if role == "default" or (role == "tuned" and protocol.repeats == 1):
        return run_one(spec, arguments)
    return train(spec, arguments, is_judged=False)


def _print_chosen(optimizers: Sequence[TunedOptimizer], trials: Sequence[StoredSweep]) -> None:
    n_runs = count(sum(len(stored.rows) for stored in trials), "trial")
    print(f"chosen on held-out images, after {n_runs}:")
    console.print_chosen(optimizers)


def _conclude(stored: StoredTuning, arguments: Namespace) -> None:
    """Write the reports, and print what tuning changed."""
    command = stored.command()
    if stored.plan.protocol.repeats > 1:
        head = f"{stored.tuned_name}:"
        overview.conclude(stored.tuned_analysis(), command, arguments, head=head)
    tuning, page = stored.result(), None
    if not arguments.no_report:
        from bench.report.html.tuning_page import write_tuning

        page = arguments.reports / f"{tuning.name}-tuning.html"
        write_tuning(tuning, page, tuning_context(stored, command))
    if not arguments.quiet:
        console.print_tuning(tuning, page)
    elif page is not None:
        print(printable(str(page)))
