"""Compare the plan of a sweep with its stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bench.analysis.results import SequentialLook
from bench.errors import MixedRunsError
from bench.execution.environment import Machine
from bench.spec.model import Declaration, RunSpec, SweepSpec, canonical_json
from bench.spec.shards import Shard
from bench.storage.compatibility import BUDGET_COLUMNS, UNIFORM_COLUMNS, check_uniform
from bench.storage.store import Store, finished_keys
from bench.sweeps.reproduce import NO_TEST, looks_setting
from bench.sweeps.sequential import required_runs

_OTHER_NAME = "give this sweep another --name"


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """The plan of a sweep compared with the stored rows.

    Attributes
    ----------
    planned, missing
        All runs of the sweep, and those that have no result yet. Where seeds are added until the
        pairs are decided, these are the runs up to the look in progress.
    done
        The stored rows of the planned runs that are finished.
    looks
        The looks that were taken, where seeds are added until the pairs are decided.
    """

    planned: tuple[RunSpec, ...]
    missing: tuple[RunSpec, ...]
    done: pa.Table
    looks: tuple[SequentialLook, ...] = ()


def find_missing(
    spec: SweepSpec,
    store: Store,
    machine: Machine,
    *,
    rows: pa.Table | None = None,
    data_hash: str | None = None,
    mix_devices: bool = False,
    shard: Shard | None = None,
    force: bool = False,
) -> SweepStatus:
    """Compare the plan with the stored rows.

    Parameters
    ----------
    rows
        The stored rows; None: read them.
    data_hash
        Content hash of the dataset; None: the stored rows are only compared with each other.
    shard
        The part of the plan that is compared; None: all of it.
    mix_devices, force
        Whether runs of several kinds of device are allowed, and whether stored runs are repeated.

    Raises
    ------
    MixedRunsError
        If the stored rows are of another workload, data, device or torch version, or were declared
        to be judged in another way.
    """
    if rows is None:
        rows = store.read_rows()
    kept = rows
    if force:
        keys = pa.array([run.key for run in spec.plan()])
        kept = rows.filter(pc.invert(pc.is_in(rows["run_key"], keys)))
    settings = {**vars(spec.workload), **vars(machine), "data_hash": data_hash}
    expected = {column: settings[column] for column in UNIFORM_COLUMNS}
    check_uniform(kept, expected, store.directory, _OTHER_NAME, mix_devices=mix_devices)
    _refuse_other_budget(kept, spec, store)
    if not force:
        _refuse_other_meaning(rows, spec.plan(), store)
    if len(rows) and (stored := store.read_spec()) is not None:
        if len(kept):
            _refuse_other_base(spec, stored, store)
        if finished_keys(rows):
            _check_declaration(spec, stored, store)
    return compare_with_rows(spec, kept, shard)


def compare_with_rows(spec: SweepSpec, rows: pa.Table, shard: Shard | None = None) -> SweepStatus:
    """Compare the plan, or a part of it, with rows that belong to the sweep."""
    needed = required_runs(spec, rows)
    planned = needed.runs(spec)
    if shard is not None:
        planned = tuple(shard.of(planned))
    keys = [run.key for run in planned]
    finished = finished_keys(rows)
    done = finished & set(keys)
    return SweepStatus(
        planned=planned,
        missing=tuple(r for r, key in zip(planned, keys, strict=True) if key not in finished),
        done=rows
        if len(done) == len(rows)
        else rows.filter(pc.is_in(rows["run_key"], pa.array([*done], pa.string()))),
        looks=needed.looks,
    )


def _refuse_other_budget(rows: pa.Table, spec: SweepSpec, store: Store) -> None:
    """Refuse variants with another batch size, or another number of updates."""
    own = {optimizer.name: spec.workload_of(optimizer) for optimizer in spec.optimizers}
    for row in (
        rows.select(["optimizer", *BUDGET_COLUMNS])
        .group_by(["optimizer", *BUDGET_COLUMNS])
        .aggregate([])
        .to_pylist()
    ):
        # for a variant that is not in this sweep only the budget is known
        workload = own.get(row["optimizer"]) or spec.workload_at(row["batch_size"])
        for column in BUDGET_COLUMNS:
            if row[column] != getattr(workload, column):
                raise MixedRunsError(
                    f"{store.directory} holds runs with {column}={row[column]}, this sweep has "
                    f"{column}={getattr(workload, column)}: {_OTHER_NAME}"
                )


def _refuse_other_base(spec: SweepSpec, stored: SweepSpec, store: Store) -> None:
    """Refuse another base workload: the names of variants do not contain its settings."""
    before = {**vars(stored.workload), "budget": stored.budget}
    for name, now in {**vars(spec.workload), "budget": spec.budget}.items():
        if before[name] != now:
            raise MixedRunsError(
                f"{store.directory} was declared with {name}={before[name]}, this sweep has "
                f"{name}={now}: {_OTHER_NAME}"
            )


def _refuse_other_meaning(rows: pa.Table, planned: Sequence[RunSpec], store: Store) -> None:
    """Refuse a name that stands for other settings than in the stored runs."""
    keys = pa.array([run.key for run in planned])
    others = rows.filter(pc.invert(pc.is_in(rows["run_key"], keys)))
    if not len(others):
        return
    meant = {(run.optimizer.name, run.seed): run for run in planned}
    columns = ["optimizer", "seed", "algorithm", "hyperparameters", "schedule"]
    for row in others.select(columns).to_pylist():
        run = meant.get((row["optimizer"], row["seed"]))
        if run is not None:
            own = run.optimizer
            settings = canonical_json(dict(own.hyperparameters))
            before = _meaning(row["algorithm"], row["hyperparameters"], row["schedule"])
            raise MixedRunsError(
                f"{store.directory} holds {row['optimizer']} seed {row['seed']} as {before}, this "
                f"sweep means {_meaning(own.algorithm, settings, own.schedule)} by that name: give "
                "this sweep another --name, or do the runs again with --force"
            )


def _meaning(algorithm: str, settings: str, schedule: str | None) -> str:
    return f"{algorithm} with {settings}" + (f" and schedule {schedule}" if schedule else "")


def _check_declaration(spec: SweepSpec, stored: SweepSpec, store: Store) -> None:
    """Refuse to change the declaration after a run has a result; failed runs have none."""
    if stored.declaration.until_decided:
        _refuse_other_optimizers(spec, stored, store)
    before, now = _printed(stored.declaration), _printed(spec.declaration)
    flag = "--until-decided " if stored.declaration.until_decided else ""
    for name, value in before.items():
        if now[name] != value:
            raise MixedRunsError(
                f"{store.directory} was declared with {name}={value} before its runs were seen, "
                f"this sweep has {name}={now[name]}: repeat {flag}--{name.replace('_', '-')} "
                f"{value}, or give this sweep another --name"
            )


def _refuse_other_optimizers(spec: SweepSpec, stored: SweepSpec, store: Store) -> None:
    """Refuse other optimizers where pairs are already decided among the declared ones."""
    before, now = ({optimizer.name for optimizer in s.optimizers} for s in (stored, spec))
    if before != now:
        raise MixedRunsError(
            f"{store.directory} adds seeds until the pairs of {', '.join(sorted(before))} are "
            f"decided, this sweep has {', '.join(sorted(now))}: {_OTHER_NAME}"
        )


def _printed(declaration: Declaration) -> dict[str, str]:
    """The declaration as values of its options."""
    shown = {**vars(declaration), "looks": looks_setting(declaration)}
    del shown["until_decided"]  # it is part of the looks
    return {name: NO_TEST if value is None else str(value) for name, value in shown.items()}
