"""Vary the hyperparameters of the optimizers of a sweep, for its trials and its tuned track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.datasets.names import validation_name
from bench.errors import SpecError
from bench.optimizers.variants import expression_of, resolve_variant
from bench.spec.expressions import parse_optimizer, variant_name
from bench.spec.model import OptimizerSpec, SweepSpec, Workload
from bench.spec.ranges import SearchRange, Setting
from bench.tuning.plan import FIRST_SEED, TunedVariant, TuningPlan, TuningProtocol
from bench.tuning.space import LEARNING_RATE, LINEAR, default_range, settings_in

#: Options of the command by the attributes of a protocol.
_OPTIONS: Mapping[str, str] = {
    "trials": "--tune-trials",
    "seeds": "--tune-seeds",
    "repeats": "--tune-repeats",
    "validation": "--validation",
    "metric": "--tune-for",
    "extend": "--tune-extend",
}
#: Hyperparameters with a default range.
_WITH_DEFAULT = (LEARNING_RATE, *LINEAR)
#: Ranges by the name of an optimizer.
Spaces = Mapping[str, Sequence[SearchRange]]


@dataclass(frozen=True, kw_only=True)
class PlannedTuning:
    """A tuning, and the sweeps of its trials, one for each split of the training images."""

    plan: TuningPlan
    trials: tuple[SweepSpec, ...]


def plan_tuning(
    spec: SweepSpec,
    protocol: TuningProtocol,
    n_images: int,
    *,
    over: Sequence[str] = (LEARNING_RATE,),
    spaces: Spaces | None = None,
) -> PlannedTuning:
    """Plan the trials of every optimizer of a sweep.

    Parameters
    ----------
    n_images
        Number of training images of a trial.
    over
        Hyperparameters that are searched where `spaces` has no ranges for the optimizer; those that
        an optimizer lacks are left out.

    Raises
    ------
    SpecError
        If a space names another optimizer, an optimizer has nothing to tune, lacks a hyperparameter
        or has fewer settings than trials, two optimizers have a common setting, a tuning seed is an
        evaluation seed, or the repeats cannot share the seeds.
    """
    protocol.divide(spec.seeds)
    _refuse_common_seeds(spec, protocol)
    first = replace(spec.workload, dataset=validation_name(spec.workload.dataset))
    _refuse_large_batches(first, n_images)
    vary = partial(with_setting, workload=first, n_images=n_images)
    trials: dict[tuple[object, ...], OptimizerSpec] = {}
    variants: list[TunedVariant] = []
    for optimizer, ranges in _searched(spec.optimizers, over, spaces or {}):
        settings = settings_in(ranges, protocol.trials)
        tried = {vary(optimizer, setting): setting for setting in settings}
        _refuse_same(optimizer, ranges, tuple(tried), trials, protocol)
        trials |= {trial.content: trial for trial in tried}
        variants.append(
            TunedVariant(
                name=optimizer.name,
                ranges=tuple(ranges),
                default=_default(optimizer, ranges),
                settings={trial.name: setting for trial, setting in tried.items()},
            )
        )
    plan = TuningPlan(name=spec.name, protocol=protocol, variants=tuple(variants))
    return PlannedTuning(plan=plan, trials=_trials(spec, plan, tuple(trials.values())))


def _searched(
    optimizers: Sequence[OptimizerSpec], over: Sequence[str], spaces: Spaces
) -> list[tuple[OptimizerSpec, Sequence[SearchRange]]]:
    """Return the ranges of every optimizer.

    Raise SpecError if no optimizer has a hyperparameter, or a space is of another optimizer.
    """
    known = {name for optimizer in optimizers for name, _ in optimizer.hyperparameters}
    for name in over:
        if name not in known:
            raise SpecError(f"--tune-over: no optimizer has a hyperparameter {name!r}")
    names = [optimizer.name for optimizer in optimizers]
    for name in spaces:
        if name not in names:
            raise SpecError(
                f"--space names {name!r}, which is not compared: the optimizers are "
                f"{', '.join(names)}"
            )
    return [(of, _ranges(of, over, spaces.get(of.name))) for of in optimizers]


def _refuse_same(
    optimizer: OptimizerSpec,
    ranges: Sequence[SearchRange],
    tried: Sequence[OptimizerSpec],
    others: Mapping[tuple[object, ...], OptimizerSpec],
    protocol: TuningProtocol,
) -> None:
    """Raise SpecError if two settings of an optimizer, or of it and another one, are the same."""
    if len(tried) < protocol.trials:
        raise SpecError(
            f"--tune-trials must be at most {len(tried)}, the number of different settings of "
            f"{optimizer.name} in {', '.join(map(str, ranges))} with 4 digits, got "
            f"{protocol.trials}"
        )
    for trial in tried:
        if trial.content in others:
            raise SpecError(
                f"{optimizer.name} and another optimizer would both try "
                f"{others[trial.content].name}, and may be tuned to the same: leave one out, or "
                "give it another range with --space"
            )


def _trials(
    spec: SweepSpec, plan: TuningPlan, optimizers: tuple[OptimizerSpec, ...]
) -> tuple[SweepSpec, ...]:
    return tuple(
        replace(
            spec,
            name=plan.trials_name(split),
            optimizers=optimizers,
            seeds=seeds,
            workload=replace(spec.workload, dataset=validation_name(spec.workload.dataset, split)),
        )
        for repeat in plan.protocol.splits
        for split, seeds in repeat.items()
    )


def tuned_sweeps(
    spec: SweepSpec, plan: TuningPlan, chosen: Sequence[Mapping[str, Setting]], n_images: int
) -> tuple[SweepSpec, ...]:
    """Return the sweeps at the chosen settings, one for each repeat.

    `chosen` has the setting of each optimizer, by its name, for each repeat; `n_images` is the
    number of training images of the sweep `spec`.
    """
    return tuple(
        replace(
            spec,
            name=name,
            seeds=seeds,
            optimizers=tuple(
                with_setting(o, settings[o.name], workload=spec.workload, n_images=n_images)
                for o in spec.optimizers
            ),
        )
        for name, seeds, settings in zip(
            plan.tuned_names, plan.protocol.divide(spec.seeds), chosen, strict=True
        )
    )


def with_setting(
    optimizer: OptimizerSpec, setting: Setting, *, workload: Workload, n_images: int
) -> OptimizerSpec:
    """Return an optimizer with other hyperparameters, named after them."""
    expression = parse_optimizer(expression_of(optimizer))
    overrides = {**expression.overrides, **dict(setting)}
    expression = replace(
        expression,
        text=variant_name(expression.name, overrides),
        overrides=overrides,
        label=None,
    )
    return resolve_variant(expression, workload, n_images)


def _ranges(
    optimizer: OptimizerSpec, over: Sequence[str], given: Sequence[SearchRange] | None
) -> Sequence[SearchRange]:
    known = dict(optimizer.hyperparameters)
    ranges = _default_ranges(optimizer, over) if given is None else given
    names = [found.name for found in ranges]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise SpecError(f"{optimizer.name}: {repeated[0]} is to be tuned twice, name it once")
    if unknown := [found.name for found in ranges if found.name not in known]:
        raise SpecError(
            f"{optimizer.name} has no hyperparameter {unknown[0]!r} to tune: it has "
            f"{', '.join(known)}"
        )
    if not ranges:
        raise SpecError(
            f"{optimizer.name} has none of {', '.join(over)} to tune: give its range with "
            f"--space '{optimizer.name}[NAME=LOW..HIGH]'"
        )
    return ranges


def _default_ranges(optimizer: OptimizerSpec, over: Sequence[str]) -> tuple[SearchRange, ...]:
    known = dict(optimizer.hyperparameters)
    return tuple(default_range(name, known[name]) for name in over if name in known)


def _default(optimizer: OptimizerSpec, ranges: Sequence[SearchRange]) -> Setting:
    known = dict(optimizer.hyperparameters)
    values = ((found.name, known[found.name]) for found in ranges)
    return tuple(
        (name, float(value))
        for name, value in values
        if isinstance(value, int | float) and not isinstance(value, bool)
    )


def _refuse_common_seeds(spec: SweepSpec, protocol: TuningProtocol) -> None:
    tuning = {seed for repeat in protocol.splits for seeds in repeat.values() for seed in seeds}
    if common := set(spec.seeds) & tuning:
        raise SpecError(
            f"seed {min(common)} is a tuning seed ({FIRST_SEED} and above): evaluate with others"
        )


def _refuse_large_batches(workload: Workload, n_images: int) -> None:
    if workload.batch_size > n_images:
        raise SpecError(
            f"--batch-size must be at most {n_images}, the training images of {workload.dataset}, "
            f"got {workload.batch_size}"
        )


def option_words(plan: TuningPlan, optimizers: Sequence[OptimizerSpec]) -> tuple[str, ...]:
    """Return the fewest options that give the plan; `optimizers` are those of its sweep."""
    words = ["--tune"]
    for name, option in _OPTIONS.items():
        if (value := getattr(plan.protocol, name)) != getattr(TuningProtocol, name):
            words += [option] if value is True else [option, str(value)]
    searched = {variant.name: variant.ranges for variant in plan.variants}
    over = _common_names(plan, optimizers)
    if over != (LEARNING_RATE,):
        words += ["--tune-over", ",".join(over)]
    spaces = [
        f"{optimizer.name}[{','.join(map(str, searched[optimizer.name]))}]"
        for optimizer in optimizers
        if searched[optimizer.name] != _default_ranges(optimizer, over)
    ]
    return (*words, "--space", ",".join(spaces)) if spaces else tuple(words)


def _common_names(plan: TuningPlan, optimizers: Sequence[OptimizerSpec]) -> tuple[str, ...]:
    """Hyperparameters that an optimizer searches in their default ranges, else lr."""
    known = {optimizer.name: optimizer for optimizer in optimizers}
    names: dict[str, None] = {}
    for variant in plan.variants:
        own = tuple(found.name for found in variant.ranges)
        if all(name in _WITH_DEFAULT for name in own) and variant.ranges == _default_ranges(
            known[variant.name], own
        ):
            names |= dict.fromkeys(own)
    return tuple(names) or (LEARNING_RATE,)
