"""Workload, machine, versions and times of the runs of a table."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.results import Provenance
from bench.storage.records import LATER_COLUMNS

#: Columns that describe the workload and the machine.
FACTS = (
    *("dataset", "resample_train", "network", "batch_size", "iterations", "eval_every"),
    *("device", "device_name", "tf32", "stack", "cores", "n_jobs"),
    *("torch_version", "numpy_version", "python_version", "git_commit", "schema_version"),
)
SECONDS = ("train_seconds", "eval_seconds")


def facts_of(table: pd.DataFrame) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return (column, its distinct values as text) for the present columns of :data:`FACTS`.

    Columns that were added to the schema later are left out if they hold nothing else than older
    rows.
    """
    facts = [(column, _distinct(table[column])) for column in FACTS if column in table.columns]
    return tuple(
        (column, values)
        for column, values in facts
        if column not in LATER_COLUMNS or set(values) - {LATER_COLUMNS[column]}
    )


def _distinct(column: pd.Series) -> tuple[str, ...]:
    return tuple(_fact(value) for value in sorted(column.dropna().unique(), key=_in_order))


def _fact(value: object) -> str:
    """Return a value as text; pandas stores integers of a column with nulls as floats."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _in_order(value: object) -> tuple[bool, Any]:
    """Return a sort key with numbers before text."""
    is_text = isinstance(value, str)
    return is_text, value if is_text or isinstance(value, int | float | np.number) else str(value)


def provenance(table: pd.DataFrame) -> Provenance:
    """Return workload and machine of the runs, and the times of the first start and last end."""
    facts = facts_of(table)
    if not {"started_at", *SECONDS} <= set(table.columns):
        return Provenance(facts=facts, started_at=None, finished_at=None)
    started = table["started_at"]
    seconds = sum(table[column].fillna(0.0) for column in SECONDS)
    finished = started + pd.to_timedelta(seconds, unit="s")
    return Provenance(
        facts=facts,
        started_at=_moment(started.min()),
        finished_at=_moment(finished.max()),
    )


def _moment(time: pd.Timestamp) -> datetime | None:
    return None if pd.isna(time) else time.floor("us").to_pydatetime()
