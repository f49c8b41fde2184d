"""The plan of a tuning: which settings of each optimizer are tried, with which seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.errors import SpecError
from bench.spec.expressions import OptimizerExpression, variant_name
from bench.spec.model import OptimizerSpec, SweepSpec
from bench.spec.ranges import SearchRange
from bench.tuning.space import LEARNING_RATE, Space, default_range

#: First tuning seed: evaluation seeds are usually smaller, and an overlap is refused.
FIRST_SEED = 1_000_000
#: Largest number of trials of an optimizer, and of tuning seeds.
MAX_TRIALS = 1000


@dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """Requested tuning; the same for every optimizer.

    Attributes
    ----------
    trials
        Number of settings that are tried.
    seeds
        Number of tuning seeds; every setting is trained with each of them.
    over
        Hyperparameters that are searched where no space is given.
    spaces
        Ranges by the name of the optimizer, which replace the default ones.
    metric
        What is selected by: mean validation accuracy, or mean validation loss.
    """

    trials: int = 12
    seeds: int = 3
    over: tuple[str, ...] = (LEARNING_RATE,)
    spaces: Mapping[str, tuple[SearchRange, ...]] | None = None
    metric: str = "accuracy"

    @property
    def seed_list(self) -> tuple[int, ...]:
        return tuple(range(FIRST_SEED, FIRST_SEED + self.seeds))


@dataclass(frozen=True, kw_only=True)
class TunedVariant:
    """One optimizer that is tuned: its space, and an expression for each setting."""

    name: str
    space: Space
    default: Mapping[str, float]
    settings: tuple[Mapping[str, float], ...]
    expressions: tuple[OptimizerExpression, ...]


def plan_trials(
    expressions: Sequence[OptimizerExpression],
    optimizers: Sequence[OptimizerSpec],
    options: TuningOptions,
) -> tuple[TunedVariant, ...]:
    """Return the settings to try of each optimizer; `optimizers` are the resolved expressions.

    Raise SpecError if a space names another optimizer, or an optimizer lacks a hyperparameter.
    """
    spaces = dict(options.spaces or {})
    variants = tuple(
        _variant(expression, optimizer, options, spaces.pop(optimizer.name, None))
        for expression, optimizer in zip(expressions, optimizers, strict=True)
    )
    for name in spaces:
        names = ", ".join(optimizer.name for optimizer in optimizers)
        raise SpecError(
            f"--space names {name!r}, which is not compared: the optimizers are {names}"
        )
    return variants


def refuse_common_seeds(spec: SweepSpec, options: TuningOptions) -> None:
    """Raise SpecError if a tuning seed is an evaluation seed."""
    if common := set(spec.seeds) & set(options.seed_list):
        raise SpecError(
            f"seed {min(common)} is a tuning seed ({FIRST_SEED} and above): evaluate with others"
        )


def _variant(
    expression: OptimizerExpression,
    optimizer: OptimizerSpec,
    options: TuningOptions,
    ranges: tuple[SearchRange, ...] | None,
) -> TunedVariant:
    known = dict(optimizer.hyperparameters)
    if ranges is None:
        over = [name for name in options.over if name in known]
        ranges = tuple(default_range(name, known[name]) for name in over)
    if unknown := [r.name for r in ranges if r.name not in known]:
        raise SpecError(
            f"{optimizer.name} has no hyperparameter {unknown[0]!r} to tune: it has "
            f"{', '.join(known)}"
        )
    if not ranges:
        raise SpecError(
            f"{optimizer.name} has none of {', '.join(options.over)} to tune: give its range with "
            f"--space '{optimizer.name}[NAME=LOW..HIGH]'"
        )
    space = Space(optimizer=optimizer.name, ranges=ranges)
    settings = space.settings(options.trials)
    return TunedVariant(
        name=optimizer.name,
        space=space,
        default={r.name: _number(known[r.name]) for r in ranges},
        settings=settings,
        expressions=tuple(with_setting(expression, setting) for setting in settings),
    )


def with_setting(
    expression: OptimizerExpression, setting: Mapping[str, float]
) -> OptimizerExpression:
    """Return the expression with other hyperparameters, and without a label."""
    overrides = {**expression.overrides, **setting}
    text = variant_name(expression.name, overrides)
    return replace(expression, text=text, overrides=overrides, label=None)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
