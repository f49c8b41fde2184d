"""Everything that the report of a sweep shows, from its stored rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd

from bench.analysis.comparison import compare
from bench.analysis.curves import CURVE_COLUMNS, learning_curves
from bench.analysis.results import (
    Incident,
    Provenance,
    RunScore,
    SweepAnalysis,
    Timing,
    Variant,
)
from bench.analysis.table import require_columns
from bench.errors import TableError
from bench.records import DIVERGED, FAILED, OK

#: Columns that describe the workload and the machine.
FACTS = (
    "dataset",
    "network",
    "batch_size",
    "iterations",
    "eval_every",
    "device",
    "device_name",
    "cores",
    "n_jobs",
    "torch_version",
    "numpy_version",
    "python_version",
    "git_commit",
    "schema_version",
)
#: Hashes that must agree between all runs of a seed, else they are not paired.
PAIRING = {"initial_weights_sha256": "initial weights", "data_order_sha256": "order of the data"}
OTHERS = ("optimizer", "seed", "status", "error", "diverged_at", "test_accuracy", "train_seconds")
#: What a variant is; the same in every run of it.
SETTINGS = ("algorithm", "hyperparameters")
COLUMNS = (*OTHERS, "eval_seconds", "started_at", *CURVE_COLUMNS, *PAIRING, *SETTINGS, *FACTS)


def analyse_sweep(
    table: pd.DataFrame,
    *,
    name: str,
    command: str,
    alpha: float = 0.05,
    margin: float | None = 0.002,
    target: float = 0.95,
    is_source_workload: bool = False,
) -> SweepAnalysis:
    """Analyse the rows of a sweep: final test accuracy, learning curves, time, and origin.

    Parameters
    ----------
    table
        One row per run, with the columns of :class:`bench.records.RunRecord`.
    name, command
        The sweep's name and the command line that declares it.
    alpha, margin, target
        What was declared: family-wise error rate, equivalence margin and target accuracy, the
        latter two as fractions.
    is_source_workload
        Whether the published single-seed results belong to this workload.

    Raises
    ------
    TableError
        If a column is missing, the accuracies cannot be compared, or runs of one optimizer do not
        agree in its class and hyperparameters.
    SpecError
        If `alpha` or `margin` is not allowed.
    """
    require_columns(table, COLUMNS)
    comparison = compare(table, value="test_accuracy", alpha=alpha, margin=margin)
    order = [t.name for t in comparison.treatments]
    table = _ranked(table, order)
    return SweepAnalysis(
        name=name,
        command=command,
        target=target,
        comparison=replace(comparison, warnings=(*_unpaired(table), *comparison.warnings)),
        variants=_variants(table),
        scores=_scores(table),
        curves=learning_curves(table, order, alpha=alpha),
        timings=_timings(table, order),
        incidents=_incidents(table),
        provenance=_provenance(table),
        is_source_workload=is_source_workload,
    )


def _ranked(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The rows in the order of the leaderboard, then of the seeds."""
    position = table["optimizer"].astype(str).map({name: i for i, name in enumerate(order)})
    return table.assign(_position=position).sort_values(["_position", "seed"], ignore_index=True)


def _unpaired(table: pd.DataFrame) -> list[str]:
    """A warning where runs of one seed did not share what a seed fixes."""
    warnings = []
    for column, meaning in PAIRING.items():
        differing = table.groupby("seed")[column].nunique() > 1
        if differing.any():
            seeds = ", ".join(map(str, differing.index[differing][:5]))
            warnings.append(
                f"Not paired: the {meaning} differs between runs of {differing.sum()} of "
                f"{len(differing)} seeds ({seeds}), so that a seed is not the same for all."
            )
    return warnings


def _variants(table: pd.DataFrame) -> tuple[Variant, ...]:
    """One per optimizer, in the order of the rows."""
    settings: dict[str, tuple[str, str]] = {}
    for run in _rows(table, ("optimizer", *SETTINGS)):
        name, found = str(run["optimizer"]), (str(run["algorithm"]), str(run["hyperparameters"]))
        if (known := settings.setdefault(name, found)) != found:
            raise TableError(
                f"optimizer {name!r} must stand for one class with one set of hyperparameters, got "
                f"{' '.join(known)} and {' '.join(found)}"
            )
    return tuple(
        Variant(
            treatment=name, algorithm=algorithm, hyperparameters=_hyperparameters(name, content)
        )
        for name, (algorithm, content) in settings.items()
    )


def _hyperparameters(name: str, content: str) -> tuple[tuple[str, str], ...]:
    """(name, value as it is written in Python) from a JSON object."""
    try:
        values = json.loads(content)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise TableError(
            f"column 'hyperparameters' must hold JSON objects, got {content!r} for {name!r}"
        )
    return tuple(
        (key, repr(tuple(value) if isinstance(value, list) else value))
        for key, value in values.items()
    )


def _scores(table: pd.DataFrame) -> tuple[RunScore, ...]:
    return tuple(
        RunScore(
            treatment=str(run["optimizer"]),
            seed=int(run["seed"]),
            value=None if run["status"] == FAILED else _optional(run["test_accuracy"]),
            status=str(run["status"]),
        )
        for run in _rows(table, OTHERS)
    )


def _timings(table: pd.DataFrame, order: Sequence[str]) -> tuple[Timing, ...]:
    """Medians over the runs that used the whole budget: one that diverged stopped early."""
    whole = table[table["status"] == OK]
    timings = []
    for name in order:
        runs = whole[whole["optimizer"].astype(str) == name]
        train, evaluate = (
            _optional(pd.to_numeric(runs[column]).median())
            for column in ("train_seconds", "eval_seconds")
        )
        timings.append(
            Timing(treatment=name, n=len(runs), train_seconds=train, eval_seconds=evaluate)
        )
    return tuple(timings)


def _incidents(table: pd.DataFrame) -> tuple[Incident, ...]:
    return tuple(
        Incident(
            treatment=str(run["optimizer"]),
            seed=int(run["seed"]),
            status=str(run["status"]),
            iteration=None if pd.isna(run["diverged_at"]) else int(run["diverged_at"]),
            error=_what_happened(run),
        )
        for run in _rows(table[table["status"] != OK], OTHERS)
    )


def _what_happened(run: dict[str, Any]) -> str:
    if not pd.isna(run["error"]):
        return str(run["error"])
    return "the loss was not finite" if run["status"] == DIVERGED else "no error was recorded"


def _provenance(table: pd.DataFrame) -> Provenance:
    started = pd.to_datetime(table["started_at"])
    seconds = sum(
        pd.to_numeric(table[column]).fillna(0.0) for column in ("train_seconds", "eval_seconds")
    )
    finished = started + pd.to_timedelta(seconds, unit="s")
    return Provenance(
        facts=tuple((column, _distinct(table[column])) for column in FACTS),
        started_at=_moment(started.min()),
        finished_at=_moment(finished.max()),
    )


def _distinct(column: pd.Series) -> tuple[str, ...]:
    return tuple(str(value) for value in sorted(column.dropna().unique()))


def _moment(time: pd.Timestamp) -> datetime | None:
    return None if pd.isna(time) else time.floor("us").to_pydatetime()


def _rows(table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table[list(columns)].to_dict(orient="records")
    return rows


def _optional(x: Any) -> float | None:
    return None if pd.isna(x) else float(x)
