"""Carry out ``optimizer-bench sweep --tune``: trials, selection, and the two tracks.

The trials are the sweep NAME-trials, the optimizers at their defaults the sweep NAME, and the tuned
ones the sweep NAME-tuned.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.config import naming_file
from bench.cli.execute import dry_run, run_one, train
from bench.cli.printing import printable
from bench.cli.sweep import given_expressions, make_spec, tuning_words
from bench.datasets.names import VALIDATION
from bench.errors import MixedRunsError, SpecError
from bench.spec.expressions import OptimizerExpression
from bench.spec.model import SweepSpec
from bench.storage.files import require_output
from bench.storage.records import FAILED
from bench.storage.store import Store
from bench.tuning.plan import (
    TunedVariant,
    TuningOptions,
    plan_trials,
    refuse_common_seeds,
    with_setting,
)
from bench.words import count

if TYPE_CHECKING:
    from bench.analysis.results.tuning import TunedOptimizer, Tuning
    from bench.sweeps.load import StoredSweep


def execute_tuned(arguments: Namespace) -> int:
    """Tune, train both tracks, and compare them; return 1 if any run failed."""
    with naming_file(arguments):
        spec, options = _declared(arguments)
        variants = plan_trials(given_expressions(arguments), spec.optimizers, options)
        trials = _trials(spec, variants, options, arguments)
    names = _names_of_trials(trials, variants)
    if arguments.dry_run:
        for sweep in (trials, spec):
            dry_run(sweep, arguments)
        print(f"tuned:  {spec.name}-tuned: the chosen settings, as many runs as {spec.name}")
        return 0
    page = arguments.reports / f"{spec.name}-tuning.html"
    if not arguments.no_report:
        require_output(page, "the report")
    _refuse_other_trials(trials, arguments.results)
    tried = train(trials, arguments, is_judged=False)
    optimizers = _selected(tried, variants, names, options.metric)
    if not arguments.quiet:
        _print_chosen(optimizers, tried, options)
    default = run_one(spec, arguments)
    chosen = [dict(tuned.chosen.setting) for tuned in optimizers]
    tuned = run_one(_tuned(spec, chosen, arguments), arguments)
    tuning = _result(spec.name, options, tried, optimizers, (default, tuned))
    _conclude(tuning, (default, tuned), page, arguments)
    statuses = [status for s in (tried, default, tuned) for status in s.rows["status"].to_pylist()]
    return 1 if FAILED in statuses else 0


def _declared(arguments: Namespace) -> tuple[SweepSpec, TuningOptions]:
    if len(arguments.dataset) > 1:
        raise SpecError(f"--tune needs one dataset, got {len(arguments.dataset)}")
    if arguments.dataset[0].endswith(VALIDATION):
        raise SpecError(f"--tune holds images out itself: name the dataset without {VALIDATION}")
    options = TuningOptions(
        trials=arguments.tune_trials,
        seeds=arguments.tune_seeds,
        over=tuple(name.strip() for name in arguments.tune_over.split(",")),
        spaces=arguments.space,
        metric=arguments.tune_for,
    )
    spec = make_spec(arguments)
    refuse_common_seeds(spec, options)
    return spec, options


def _trials(
    spec: SweepSpec, variants: Sequence[TunedVariant], options: TuningOptions, arguments: Namespace
) -> SweepSpec:
    return make_spec(
        arguments,
        f"{spec.workload.dataset}{VALIDATION}",
        expressions=list(_by_text(variants).values()),
        seeds=options.seed_list,
        name=f"{spec.name}-trials",
    )


def _by_text(variants: Sequence[TunedVariant]) -> dict[str, OptimizerExpression]:
    """Return the settings to try by their text; two variants may share one."""
    return {e.text: e for variant in variants for e in variant.expressions}


def _names_of_trials(
    trials: SweepSpec, variants: Sequence[TunedVariant]
) -> Mapping[str, Sequence[str]]:
    names = [optimizer.name for optimizer in trials.optimizers]
    by_text = dict(zip(_by_text(variants), names, strict=True))
    return {v.name: [by_text[e.text] for e in v.expressions] for v in variants}


def _refuse_other_trials(trials: SweepSpec, results: Path) -> None:
    """Raise MixedRunsError if other trials are stored."""
    stored = Store(results / trials.name).read_spec()
    if stored is None:
        return
    for what in ("optimizers", "seeds"):
        before, now = getattr(stored, what), getattr(trials, what)
        if before != now:
            one, two = (_described(spec) for spec in (stored, trials))
            raise MixedRunsError(
                f"{results / trials.name} holds other trials ({one}) than this command asks for "
                f"({two}): a tuning cannot be changed, give the sweep another --name"
            )


def _described(trials: SweepSpec) -> str:
    settings = [optimizer.name for optimizer in trials.optimizers]
    seeds = count(len(trials.seeds), "seed")
    return f"{len(settings)} settings from {settings[0]} to {settings[-1]}, {seeds}"


def _selected(
    tried: StoredSweep,
    variants: Sequence[TunedVariant],
    names: Mapping[str, Sequence[str]],
    metric: str,
) -> tuple[TunedOptimizer, ...]:
    from bench.analysis.tuning import select_setting

    rows = tried.rows.to_pandas()
    return tuple(
        select_setting(
            rows,
            optimizer=variant.name,
            settings={
                name: tuple(setting.items())
                for name, setting in zip(names[variant.name], variant.settings, strict=True)
            },
            ranges=variant.space.ranges,
            default=tuple(variant.default.items()),
            metric=metric,
        )
        for variant in variants
    )


def _tuned(
    spec: SweepSpec, chosen: Sequence[Mapping[str, float]], arguments: Namespace
) -> SweepSpec:
    pairs = zip(given_expressions(arguments), chosen, strict=True)
    return make_spec(
        arguments,
        expressions=[with_setting(expression, setting) for expression, setting in pairs],
        name=f"{spec.name}-tuned",
    )


def _result(
    name: str,
    options: TuningOptions,
    tried: StoredSweep,
    optimizers: Sequence[TunedOptimizer],
    tracks: tuple[StoredSweep, StoredSweep],
) -> Tuning:
    """Compare every optimizer at its chosen setting with itself at its default."""
    from bench.analysis import compare_sweeps
    from bench.analysis.results.tuning import Tuning

    default, tuned = (track.rows.to_pandas() for track in tracks)
    pairs = zip(tracks[1].spec.optimizers, optimizers, strict=True)
    names = {variant.name: of.optimizer for variant, of in pairs}
    tuned["optimizer"] = tuned["optimizer"].map(names)
    declared = tracks[0].spec.declaration
    change = compare_sweeps(
        default,
        tuned,
        names=("defaults", "tuned"),
        same_settings=False,
        alpha=declared.alpha,
        margin=declared.margin,
    )
    changes = {found.optimizer: found for found in change.changes}
    own = [replace(of, tuned_accuracy=changes[of.optimizer].mean_after) for of in optimizers]
    return Tuning(
        name=name,
        metric=options.metric,
        n_validation=_n_held_out(tried),
        n_seeds=options.seeds,
        optimizers=tuple(
            sorted(own, key=lambda of: changes[of.optimizer].mean_before or 0.0, reverse=True)
        ),
        change=change,
    )


def _n_held_out(tried: StoredSweep) -> int:
    totals = tried.rows["test_total"].drop_null()
    return int(totals[0].as_py()) if len(totals) else 0


def _print_chosen(
    optimizers: Sequence[TunedOptimizer], tried: StoredSweep, options: TuningOptions
) -> None:
    from bench.report.text.tuning import setting_words

    n_images = count(_n_held_out(tried), "held-out image")
    print(f"chosen by {options.metric} on {n_images}, after {count(len(tried.rows), 'trial')}:")
    for tuned in optimizers:
        edge = ", at an end of its range" if tuned.edge else ""
        print(
            f"  {printable(tuned.optimizer)}: {setting_words(tuned.chosen.setting)} (default "
            f"{setting_words(tuned.default)}){edge}"
        )


def _conclude(
    tuning: Tuning,
    tracks: tuple[StoredSweep, StoredSweep],
    page: Path,
    arguments: Namespace,
) -> None:
    from bench.report.text.tuning import tuning_verdict

    if not arguments.no_report:
        from bench.report.context import ReportContext
        from bench.report.html.tuning_page import write_tuning

        words = ("the optimizers at their defaults", "the tuned optimizers")
        names = (f"{track.spec.name}.html" for track in tracks)
        command = f"{tracks[0].command} --tune {shlex.join(tuning_words(arguments))}".rstrip()
        context = ReportContext(command=command, related=tuple(zip(words, names, strict=True)))
        write_tuning(tuning, page, context)
    if arguments.quiet:
        print(None if arguments.no_report else page)
        return
    print("what tuning changed: " + " ".join(map(printable, tuning_verdict(tuning))))
    if not arguments.no_report:
        print(f"tuning:    {printable(str(page))}")
