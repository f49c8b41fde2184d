"""Runs of one of two compared sweeps, by optimizer and seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.columns import numbers_of, prepared, require_columns
from bench.analysis.outcomes import read_outcomes
from bench.analysis.results import Block
from bench.analysis.sweep import PAIRING
from bench.analysis.table import block_keys, pair_up
from bench.analysis.timing import SECONDS, log_seconds
from bench.analysis.variants import SETTINGS
from bench.storage.records import DIVERGED, FAILED

#: Compared column.
VALUE = "test_accuracy"
#: Columns of the workload that may differ between optimizers.
BUDGET = ("batch_size", "iterations")
#: Columns that must be equal in two runs before they can be paired.
WORKLOAD = ("dataset", "network", *BUDGET)
#: Columns of the outcome; runs with equal status and outcome have exactly the same result.
_OUTCOME = ("test_correct", "test_loss")
#: Required columns.
COLUMNS = (
    *("optimizer", "seed", "status", VALUE, "test_total", SECONDS),
    *(*_OUTCOME, *PAIRING, *SETTINGS, *WORKLOAD),
)
_STARTED = "started_at"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Compared properties of one run.

    `score` is the final test accuracy, a fraction, None for a failed run. `ending` holds the number
    of correct test images and the test loss as text, so that NaN equals NaN. `hashes` are those of
    the initial weights and of the order of the data, None where not stored. `started_at` is a text,
    empty where it is not stored.
    """

    score: float | None
    status: str
    ending: tuple[str, ...]
    hashes: tuple[str | None, ...]
    started_at: str

    def ended_like(self, other: Run) -> bool:
        """Return whether both runs have the same status and outcome."""
        return (self.status, self.ending) == (other.status, other.ending)


@dataclass(frozen=True, kw_only=True)
class SweepRuns:
    """Runs of a sweep by optimizer, in alphabetical order, then by seed, ascending.

    `total` is the number of test images where the accuracies are counts divided by it, else None.
    `logs` are logarithms of the training times, one row per seed and one column per optimizer.
    """

    runs: Mapping[str, Mapping[Block, Run]]
    total: int | None
    logs: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame) -> SweepRuns:
        """Read the runs from a table with one row per run.

        Raise TableError if a column is missing or has invalid cells: see
        :func:`bench.analysis.table.pair_up`.
        """
        table = prepared(table)
        require_columns(table, COLUMNS)
        paired = pair_up(table, value=VALUE)
        table = read_outcomes(table, VALUE).table
        rows = _rows(table)
        runs = {
            name: {
                seed: _run(rows[cell], paired.values[i, j])
                for i, seed in enumerate(paired.blocks)
                if (cell := paired.cells[i, j]) >= 0
            }
            for j, name in enumerate(paired.treatments)
        }
        keys = pd.Series(block_keys(table, "seed"), index=table.index, dtype=object)
        return cls(runs=runs, total=paired.total, logs=log_seconds(table.assign(seed=keys)))

    @property
    def seeds(self) -> frozenset[Block]:
        """All seeds of any optimizer."""
        return frozenset(seed for runs in self.runs.values() for seed in runs)

    def scores(self, name: str) -> dict[Block, float]:
        """Return the accuracy of every seed that has one."""
        return {seed: run.score for seed, run in self.runs[name].items() if run.score is not None}

    def n_diverged(self, name: str) -> int:
        """Return the number of diverged runs of an optimizer."""
        return sum(run.status == DIVERGED for run in self.runs[name].values())

    def failed(self, name: str) -> set[Block]:
        """Return the seeds with a failed run of an optimizer."""
        return {seed for seed, run in self.runs[name].items() if run.status == FAILED}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    numbers = {column: numbers_of(table, column) for column in _OUTCOME}
    started = table[_STARTED].map(_text) if _STARTED in table.columns else ""
    rows: list[dict[str, Any]] = (
        table.assign(**numbers, **{_STARTED: started})[["status", *_OUTCOME, *PAIRING, _STARTED]]
    ).to_dict(orient="records")
    return rows


def _text(moment: object) -> str:
    return "" if pd.isna(moment) else str(moment)


def _run(row: Mapping[str, Any], score: float) -> Run:
    return Run(
        score=None if pd.isna(score) else float(score),
        status=str(row["status"]),
        ending=tuple(repr(row[column]) for column in _OUTCOME),
        hashes=tuple(row[c] if isinstance(row[c], str) else None for c in PAIRING),
        started_at=str(row[_STARTED]),
    )
