"""Tune every optimizer of a sweep with the same trials, and train both tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.analysis.results.tuning import TunedOptimizer, Tuning
from bench.datasets.cache import n_train_images
from bench.datasets.names import base_name, validation_name
from bench.errors import SpecError
from bench.spec.model import SweepSpec, Workload
from bench.spec.ranges import Setting
from bench.spec.resampling import n_drawn
from bench.storage.remote import results_root
from bench.storage.store import Store
from bench.sweeps.load import StoredSweep, select_planned
from bench.sweeps.run import sweep
from bench.sweeps.tuned import Role, StoredTuning, check_plan, select, store_plan
from bench.tuning.extend import MAX_EXTENSIONS, refuse_extension
from bench.tuning.extend import extend as extended
from bench.tuning.plan import TuningPlan, TuningProtocol
from bench.tuning.space import LEARNING_RATE, parse_spaces, search_range
from bench.tuning.variants import PlannedTuning, Spaces, plan_tuning, tuned_sweeps


def tune(
    spec: SweepSpec,
    *,
    trials: int = TuningProtocol.trials,
    seeds: int = TuningProtocol.seeds,
    repeats: int = TuningProtocol.repeats,
    validation: str = TuningProtocol.validation,
    metric: str = TuningProtocol.metric,
    extend: bool = TuningProtocol.extend,
    over: Sequence[str] = (LEARNING_RATE,),
    spaces: str | Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    results: Path | str = "results",
    data_dir: Path | str | None = None,
    **options: Any,
) -> Tuning:
    """Tune every optimizer of a sweep, train both tracks, and compare them.

    The call can be interrupted and made again: stored runs are not repeated.

    Parameters
    ----------
    spec
        The sweep, made with :func:`specify`.
    trials, seeds, repeats, validation, metric, extend
        See :class:`bench.tuning.plan.TuningProtocol`.
    over
        Hyperparameters to tune.
    spaces
        Ranges that replace the default ones, such as ``{"adam": {"lr": (1e-4, 0.1)}}`` or
        ``"adam[lr=1e-4..0.1]"``.
    results, data_dir, **options
        As for :func:`sweep`.

    Returns
    -------
    Tuning
        The chosen settings, their trials, and what tuning changed. The rows of the tracks are
        stored like those of other sweeps.

    Raises
    ------
    SpecError
        If an option is not allowed.
    MixedRunsError
        If another tuning with the name of the sweep is stored, or as :func:`sweep`.
    TrainingError
        If every setting of an optimizer has a failed trial, or as :func:`sweep`.
    """
    protocol = TuningProtocol(
        trials=trials,
        seeds=seeds,
        repeats=repeats,
        validation=validation,
        metric=metric,
        extend=extend,
    )
    directory, cache = results_root(results), None if data_dir is None else Path(data_dir)
    planned = plan_of(spec, protocol, over=over, spaces=_spaces(spaces), data_dir=cache)

    def train(of: SweepSpec, _role: Role) -> StoredSweep:
        sweep(of, results=results, data_dir=data_dir, **options)
        store = Store(directory / of.name)
        return select_planned(store.read_rows(), of, store)

    return carry_out(spec, planned, train, results=directory, data_dir=cache).result()


def plan_of(
    spec: SweepSpec,
    protocol: TuningProtocol,
    *,
    over: Sequence[str] = (LEARNING_RATE,),
    spaces: Spaces | None = None,
    data_dir: Path | None = None,
) -> PlannedTuning:
    """Plan the tuning of a sweep: see :func:`bench.tuning.variants.plan_tuning`.

    Raise SpecError also if the sweep itself is on held-out images.
    """
    if base_name(spec.workload.dataset) is not None:
        raise SpecError(
            "a tuning holds images out itself: name the dataset "
            f"{base_name(spec.workload.dataset)}, got {spec.workload.dataset}"
        )
    if spec.declaration.until_decided:
        raise SpecError("a tuning needs a fixed number of seeds: leave out until_decided")
    trials = replace(spec.workload, dataset=validation_name(spec.workload.dataset))
    n_images = _n_images(trials, data_dir)
    planned = plan_tuning(spec, protocol, n_images, over=over, spaces=spaces)
    if protocol.extend:
        refuse_extension(planned.plan)
    return planned


def carry_out(
    spec: SweepSpec,
    planned: PlannedTuning,
    train: Callable[[SweepSpec, Role], StoredSweep],
    *,
    results: Path,
    data_dir: Path | None = None,
    on_chosen: Callable[[Sequence[TunedOptimizer], Sequence[StoredSweep]], None] | None = None,
) -> StoredTuning:
    """Store the plan, train the trials, select the settings, and train both tracks.

    `train` trains the missing runs of a sweep. `on_chosen` is called with the chosen settings and
    the trials before the tracks are trained.
    """
    check_plan(planned.plan, results)
    plan, trials = _tried(spec, planned, train, data_dir)
    store_plan(plan, results)
    optimizers = select(plan, trials, spec.declaration.target)
    if on_chosen is not None:
        on_chosen(optimizers, trials)
    default = train(spec, "default")
    tuned = tuple(train(of, "tuned") for of in tuned_specs(spec, plan, optimizers, data_dir))
    return StoredTuning(plan=plan, trials=trials, default=default, tuned=tuned)


def _tried(
    spec: SweepSpec,
    planned: PlannedTuning,
    train: Callable[[SweepSpec, Role], StoredSweep],
    data_dir: Path | None,
) -> tuple[TuningPlan, tuple[StoredSweep, ...]]:
    """Train the trials, with extensions of the ranges if the protocol has them."""
    trials = tuple(train(of, "tuning") for of in planned.trials)
    for _ in range(MAX_EXTENSIONS if planned.plan.protocol.extend else 0):
        optimizers = select(planned.plan, trials, spec.declaration.target)
        if not any(tuned.edge for tuned in optimizers):
            break
        chosen = {of.optimizer: [c.setting for c in of.choices] for of in optimizers}
        planned = extended(spec, planned, chosen, _n_images(planned.trials[0].workload, data_dir))
        trials = tuple(train(of, "tuning") for of in planned.trials)
    return planned.plan, trials


def tuned_specs(
    spec: SweepSpec,
    plan: TuningPlan,
    optimizers: Sequence[TunedOptimizer],
    data_dir: Path | None = None,
) -> tuple[SweepSpec, ...]:
    """Return the sweeps at the chosen settings, one for each repeat."""
    chosen: list[Mapping[str, Setting]] = [
        {tuned.optimizer: tuned.choices[repeat].setting for tuned in optimizers}
        for repeat in range(plan.protocol.repeats)
    ]
    return tuned_sweeps(spec, plan, chosen, _n_images(spec.workload, data_dir))


def _n_images(workload: Workload, data_dir: Path | None) -> int:
    return n_drawn(workload.resample_train, n_train_images(workload.dataset, data_dir))


def _spaces(
    given: str | Mapping[str, Mapping[str, tuple[float, float]]] | None,
) -> Spaces | None:
    if given is None:
        return None
    if isinstance(given, str):
        return parse_spaces(given)
    try:
        return {
            name: tuple(search_range(key, low, high) for key, (low, high) in ranges.items())
            for name, ranges in given.items()
        }
    except SpecError:
        raise
    except (AttributeError, TypeError, ValueError):
        raise SpecError(
            f"spaces must be a mapping such as {{'adam': {{'lr': (1e-4, 0.1)}}}}, got {given!r:.80}"
        ) from None
