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
from bench.storage.store import Store
from bench.sweeps.load import StoredSweep, select_planned
from bench.sweeps.run import sweep
from bench.sweeps.tuned import Role, StoredTuning, select, store_plan
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
    trials, seeds, repeats, validation, metric
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
        trials=trials, seeds=seeds, repeats=repeats, validation=validation, metric=metric
    )
    directory, cache = Path(results), None if data_dir is None else Path(data_dir)
    planned = plan_of(spec, protocol, over=over, spaces=_spaces(spaces), data_dir=cache)
    store_plan(planned.plan, directory)

    def train(of: SweepSpec, _role: Role) -> StoredSweep:
        sweep(of, results=results, data_dir=data_dir, **options)
        store = Store(directory / of.name)
        return select_planned(store.read_rows(), of, store)

    return carry_out(spec, planned, train, data_dir=cache).result()


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
    trials = replace(spec.workload, dataset=validation_name(spec.workload.dataset))
    n_images = _n_images(trials, data_dir)
    return plan_tuning(spec, protocol, n_images, over=over, spaces=spaces)


def carry_out(
    spec: SweepSpec,
    planned: PlannedTuning,
    train: Callable[[SweepSpec, Role], StoredSweep],
    *,
    on_chosen: Callable[[Sequence[TunedOptimizer], Sequence[StoredSweep]], None] | None = None,
    data_dir: Path | None = None,
) -> StoredTuning:
    """Train the trials, select the settings, and train both tracks.

    `train` trains the missing runs of a sweep. `on_chosen` is called with the chosen settings and
    the trials before the tracks are trained.
    """
    trials = tuple(train(of, "tuning") for of in planned.trials)
    optimizers = select(planned.plan, trials, spec.declaration.target)
    if on_chosen is not None:
        on_chosen(optimizers, trials)
    default = train(spec, "default")
    specs = tuned_specs(spec, planned.plan, optimizers, data_dir)
    tuned = tuple(train(of, "tuned") for of in specs)
    return StoredTuning(plan=planned.plan, trials=trials, default=default, tuned=tuned)


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
    return {
        name: tuple(search_range(key, low, high) for key, (low, high) in ranges.items())
        for name, ranges in given.items()
    }
