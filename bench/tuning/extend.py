"""Try settings beyond the end of a range, where the best setting was at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.errors import SpecError
from bench.spec.model import SweepSpec
from bench.spec.ranges import Setting
from bench.tuning.plan import TunedVariant, TuningPlan
from bench.tuning.variants import PlannedTuning, with_setting

#: Largest number of extensions of a tuning.
MAX_EXTENSIONS = 3


def n_extra(n_trials: int) -> int:
    """Return the number of further settings of every optimizer in an extension."""
    return max(1, n_trials // 4)


def refuse_extension(plan: TuningPlan) -> None:
    """Raise SpecError if the ranges of a plan cannot be extended."""
    for variant in plan.variants:
        if len(variant.ranges) > 1 or not variant.ranges[0].is_log or plan.protocol.trials < 2:
            raise SpecError(
                "--tune-extend needs at least 2 trials of one hyperparameter on a logarithmic "
                f"scale, got {plan.protocol.trials} of {', '.join(map(str, variant.ranges))} for "
                f"{variant.name}"
            )


def extend(
    spec: SweepSpec,
    planned: PlannedTuning,
    chosen: Mapping[str, Sequence[Setting]],
    n_images: int,
) -> PlannedTuning:
    """Add the same number of settings for every optimizer, beyond an end of its range.

    It is the end that is nearer to the chosen settings, in the mean over the repeats.

    Parameters
    ----------
    chosen
        The chosen setting of each repeat, by the name of the optimizer.
    n_images
        Number of training images of a trial.
    """
    trials = {trial.content: trial for trial in planned.trials[0].optimizers}
    optimizers = {optimizer.name: optimizer for optimizer in spec.optimizers}
    workload = planned.trials[0].workload
    variants = []
    for variant in planned.plan.variants:
        more = dict(variant.extra)
        for setting in _beyond(variant, chosen[variant.name], planned.plan.protocol.trials):
            own = optimizers[variant.name]
            trial = with_setting(own, setting, workload=workload, n_images=n_images)
            more[trials.setdefault(trial.content, trial).name] = setting
        variants.append(replace(variant, extra=more))
    tried = tuple(trials.values())
    return PlannedTuning(
        plan=replace(planned.plan, variants=tuple(variants)),
        trials=tuple(replace(of, optimizers=tried) for of in planned.trials),
    )


def _beyond(variant: TunedVariant, chosen: Sequence[Setting], n_trials: int) -> tuple[Setting, ...]:
    """Return the settings beyond an end of a range, in steps of its grid."""
    (declared,), (searched,) = variant.ranges, variant.searched
    shares = [searched.share(dict(setting)[searched.name]) for setting in chosen]
    is_above = sum(share - 0.5 for share in shares) >= 0
    step = 1 / (n_trials - 1)
    end = searched.high if is_above else searched.low
    first, sign = declared.share(end), 1 if is_above else -1
    values = [declared.at(first + sign * step * i) for i in range(1, n_extra(n_trials) + 1)]
    return tuple(((declared.name, value),) for value in values)
