"""Resolve expressions to variants: an optimizer with its own batch size and schedule.

The regimes of gradient descent are SGD with three batch sizes: all images, one image, a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench.errors import SpecError
from bench.optimizers.catalogue import CATALOGUE, DEFAULT_OPTIMIZERS
from bench.optimizers.resolve import resolve, settings
from bench.optimizers.schedules import parse_schedule
from bench.optimizers.trial import require_learning_rate
from bench.spec.expressions import (
    Literal,
    OptimizerExpression,
    Word,
    is_label,
    parse_optimizers,
    variant_name,
)
from bench.spec.model import OptimizerSpec, SweepSpec, Workload
from bench.spec.plugins import is_external

#: Keys in an expression that are not hyperparameters of the optimizer.
BATCH_SIZE, SCHEDULE = "batch_size", "schedule"
#: Batch size of all training images.
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Regime:
    """An optimizer of the catalogue with a batch size and a preset."""

    optimizer: str
    batch_size: int | str
    preset: Mapping[str, Literal] = field(default_factory=dict)


REGIMES: Mapping[str, Regime] = {
    "batch-gd": Regime(optimizer="sgd", batch_size=ALL),
    # the gradient of one image is noisy: the learning rate for 100 images diverges
    "stochastic-gd": Regime(optimizer="sgd", batch_size=1, preset={"lr": 0.01}),
}

#: Variants by the names of ``--preset``.
PRESETS: Mapping[str, tuple[str, ...]] = {
    "source": DEFAULT_OPTIMIZERS,
    "regimes": ("batch-gd", "stochastic-gd", "sgd"),
    "all": ("batch-gd", "stochastic-gd", *DEFAULT_OPTIMIZERS),
}


def resolve_variant(
    expression: OptimizerExpression, workload: Workload, n_images: int
) -> OptimizerSpec:
    """Resolve an expression, and add all defaults.

    The batch size of a variant is None if it equals that of the sweep's `workload`; `n_images`, the
    number of training images, is the largest batch size. Raise SpecError if the name is unknown, or
    a setting is unknown, invalid, or rejected by torch, or the label is the name of an optimizer.
    """
    if expression.label in {*CATALOGUE, *REGIMES}:
        raise SpecError(
            f"{expression.text!r}: {expression.label} is the name of an optimizer of this program: "
            "choose another one"
        )
    given = dict(expression.overrides)
    schedule = given.pop(SCHEDULE, None)
    spec = _unscheduled(replace(expression, overrides=given), workload, n_images)
    if schedule is not None:
        spec = _scheduled(spec, schedule, expression.text)
    return spec if expression.label is None else replace(spec, name=expression.label)


def expression_of(spec: OptimizerSpec) -> str:
    """Return an expression that is resolved to `spec`: its name, or what its label stands for.

    >>> from bench import specify
    >>> expression_of(specify(optimizers="fast=adam[lr=0.01]").optimizers[0])
    'fast=adam[lr=0.01]'
    """
    if not is_label(spec.name) or spec.name in {*CATALOGUE, *REGIMES}:
        return spec.name
    overrides: dict[str, Literal] = {}
    if spec.batch_size is not None:
        overrides[BATCH_SIZE] = spec.batch_size
    if spec.schedule is not None:
        overrides[SCHEDULE] = Word(parse_schedule(spec.schedule).short)
    plain, settings_ = _shortest(spec)
    return f"{spec.name}={variant_name(plain, {**settings_, **overrides})}"


def _shortest(spec: OptimizerSpec) -> tuple[str, dict[str, Literal]]:
    """Return an optimizer's name and the hyperparameters that make it `spec`, the fewest."""
    own = dict(spec.hyperparameters)
    if is_external(spec.algorithm):  # its defaults are not known without importing it
        return spec.algorithm.partition("@")[0], own
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    found = []
    for name in (name for name, entry in CATALOGUE.items() if entry.algorithm == algorithm):
        defaults = settings(name)
        found.append((name, {k: v for k, v in own.items() if (k, v) not in defaults.items()}))
    return min(found, key=lambda name_and_settings: len(name_and_settings[1]))


def refuse_endless_warmups(spec: SweepSpec) -> None:
    """Raise SpecError, which names the variant, unless each warm-up is shorter than the run."""
    for optimizer in spec.optimizers:
        if optimizer.schedule is not None:
            iterations = spec.workload_of(optimizer).iterations
            warmup = parse_schedule(optimizer.schedule).warmup_updates(iterations)
            if warmup >= iterations:
                raise SpecError(
                    f"{optimizer.name!r}: warmup must be less than the {iterations} updates of "
                    f"the run, got {warmup}"
                )


def _unscheduled(
    expression: OptimizerExpression, workload: Workload, n_images: int
) -> OptimizerSpec:
    regime = REGIMES.get(expression.name)
    if regime is not None:
        spec = _of_regime(expression, regime)
        own = n_images if regime.batch_size == ALL else int(regime.batch_size)
    else:
        spec, own = _with_batch_size(expression, workload, n_images)
    return replace(spec, batch_size=None if own == workload.batch_size else own)


def _of_regime(expression: OptimizerExpression, regime: Regime) -> OptimizerSpec:
    if BATCH_SIZE in expression.overrides:
        raise SpecError(
            f"{expression.text!r}: {expression.name} has a fixed batch size: write "
            f"{regime.optimizer}[{BATCH_SIZE}=...] for another"
        )
    before = {**settings(regime.optimizer), **regime.preset}
    overrides = {**regime.preset, **expression.overrides}
    spec = resolve(replace(expression, name=regime.optimizer, overrides=overrides))
    now = dict(spec.hyperparameters)
    changed = {k: now[k] for k in expression.overrides if k not in before or now[k] != before[k]}
    return replace(spec, name=variant_name(expression.name, changed))


def _with_batch_size(
    expression: OptimizerExpression, workload: Workload, n_images: int
) -> tuple[OptimizerSpec, int]:
    given = dict(expression.overrides)
    wanted = given.pop(BATCH_SIZE, workload.batch_size)
    own = n_images if wanted == ALL else wanted
    if isinstance(own, bool) or not isinstance(own, int) or not 1 <= own <= n_images:
        raise SpecError(
            f"{expression.text!r}: {BATCH_SIZE} must be a whole number from 1 to {n_images}, the "
            f"training images, or {ALL}, got {wanted!r}"
        )
    spec = resolve(replace(expression, overrides=given))
    if own != workload.batch_size:
        spec = _named(spec, BATCH_SIZE, wanted)
    return spec, own


def _scheduled(spec: OptimizerSpec, schedule: Literal, text: str) -> OptimizerSpec:
    try:
        found = parse_schedule(str(schedule))
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None
    require_learning_rate(spec, text)
    return replace(_named(spec, SCHEDULE, Word(found.short)), schedule=found.text)


def _named(spec: OptimizerSpec, key: str, value: Literal) -> OptimizerSpec:
    """Return `spec` with `key` in its name."""
    (plain,) = parse_optimizers(spec.name)
    return replace(spec, name=variant_name(plain.name, {**plain.overrides, key: value}))
