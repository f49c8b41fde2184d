"""Rows of a sweep: which of them are planned, and why runs failed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import TrainingError, last_line
from bench.spec.model import SweepSpec
from bench.storage.records import FAILED

#: Maximum number of runs and of reasons that one message names.
_MAX_NAMED = 3


def planned_rows(rows: pa.Table, spec: SweepSpec) -> pa.Table:
    """The rows of the runs in the plan of a sweep."""
    keys = pa.array([run.key for run in spec.plan()])
    return rows.filter(pc.is_in(rows["run_key"], keys))


def failure_reasons(rows: pa.Table) -> list[str]:
    """The last line of each traceback, once, with some of the runs that failed with it."""
    failed = rows.filter(pc.equal(rows["status"], FAILED)).select(["optimizer", "seed", "error"])
    runs_of: dict[str, list[str]] = {}
    for run in failed.to_pylist():
        reason = last_line(run["error"] or "no error")
        runs_of.setdefault(reason, []).append(f"{run['optimizer']} seed {run['seed']}")
    return [f"{reason} ({_some(runs)})" for reason, runs in runs_of.items()]


def refuse_all_failed(rows: pa.Table, path: Path | str) -> None:
    """Refuse rows without a result.

    Raises
    ------
    TrainingError
        If every run failed.
    """
    if set(rows["status"].to_pylist()) == {FAILED}:
        reasons = failure_reasons(rows)
        more = f"; and {len(reasons) - _MAX_NAMED} more" if len(reasons) > _MAX_NAMED else ""
        raise TrainingError(
            f"every run in {path} failed: there is nothing to compare; "
            f"{'; '.join(reasons[:_MAX_NAMED])}{more}"
        )


def _some(runs: list[str]) -> str:
    more = f" and {len(runs) - _MAX_NAMED} more" if len(runs) > _MAX_NAMED else ""
    return f"{', '.join(runs[:_MAX_NAMED])}{more}"
