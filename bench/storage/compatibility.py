"""Check that rows may be in one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from bench.errors import MixedRunsError
from bench.spec.model import OptimizerSpec, RunSpec, Workload, common_budget

#: Columns in which all runs of one sweep must agree.
UNIFORM_COLUMNS = (
    *("dataset", "data_hash", "resample_train", "network"),
    *("device", "torch_version", "tf32"),
)
#: Columns in which all runs of one variant must agree.
BUDGET_COLUMNS = ("batch_size", "iterations", "eval_every")


def run_spec_of(row: Mapping[str, Any]) -> RunSpec:
    """Return the specification in a stored row; raise SpecError if a value in it is invalid."""
    return RunSpec(
        workload=Workload(**{column: row[column] for column in vars(Workload())}),
        optimizer=OptimizerSpec.from_json(
            row["optimizer"], row["algorithm"], row["hyperparameters"], row["schedule"]
        ),
        seed=row["seed"],
    )


def check_uniform(
    rows: pa.Table,
    expected: Mapping[str, object],
    directory: Path,
    advice: str,
    *,
    mix_devices: bool = False,
) -> None:
    """Check that new runs with `expected` values agree with stored rows in :data:`UNIFORM_COLUMNS`.

    With `mix_devices`, devices may differ, and with them the builds of one torch version. Raise
    MixedRunsError if a column differs. The message names `directory`, the first such column and
    both values, and ends with `advice`.
    """
    for column in UNIFORM_COLUMNS:
        if column == "device" and mix_devices:
            continue
        values, own = rows[column].unique().to_pylist(), expected[column]
        if column == "data_hash":  # null in older rows, which nothing contradicts
            values = [value for value in values if value is not None]
            own = own or next(iter(values), None)
        wanted = comparable(column, own, mix_devices=mix_devices)
        for found in values:
            if comparable(column, found, mix_devices=mix_devices) != wanted:
                also = ", or mix devices on purpose with --mix-devices"
                raise MixedRunsError(
                    f"{directory} holds runs with {column}={found}, this sweep has "
                    f"{column}={own}: {advice}{also if column == 'device' else ''}"
                )


def comparable(column: str, value: object, *, mix_devices: bool = False) -> object:
    """Return the part of a value in :data:`UNIFORM_COLUMNS` that must agree within a sweep."""
    if column == "tf32":
        return bool(value)  # null for devices without TF32
    if column == "torch_version" and mix_devices:
        return str(value).partition("+")[0]  # omit the build, such as +cpu
    return value


def one_budget(rows: pa.Table, where: Path | str) -> tuple[Workload, str]:
    """Return the common workload and budget of all rows: :func:`bench.spec.model.common_budget`.

    Raise MixedRunsError if a variant has two workloads, or the variants have not the same budget.
    """
    columns = ["optimizer", *vars(Workload())]
    found = rows.group_by(columns, use_threads=False).aggregate([]).to_pylist()
    workloads: dict[Workload, None] = {}
    by_variant: dict[str, Workload] = {}
    for row in found:
        workload = Workload(**{column: row[column] for column in vars(Workload())})
        first = by_variant.setdefault(row["optimizer"], workload)
        if first != workload:
            _refuse_mixture(first, workload, where)
        workloads[workload] = None
    shared = common_budget(workloads)
    if shared is None:
        first, second, *_ = workloads
        _refuse_mixture(first, second, where)
    return shared


def _refuse_mixture(first: Workload, second: Workload, where: Path | str) -> NoReturn:
    column = next(c for c in BUDGET_COLUMNS if getattr(first, c) != getattr(second, c))
    raise MixedRunsError(
        f"{where} holds runs with {column}={getattr(first, column)} and "
        f"{column}={getattr(second, column)}: runs of one sweep must agree in this"
    )
