"""How each run ended: status words of other tools, and results that are nan or inf.

Status words are read as ``ok``, ``diverged`` or ``failed``. A run that another tool reports as
unfinished has no final result, and counts as failed. A result that is spelled nan or inf, or is an
infinite number, belongs to a run that diverged: leaving it out would favour the treatment that lost
the run. A float NaN counts as missing, because pandas marks missing numbers so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from bench.analysis.columns import (
    brief,
    filled,
    numbers_of,
    prepared,
    require_columns,
    spelled_not_finite,
    where,
)
from bench.errors import TableError
from bench.storage.records import DIVERGED, FAILED, OK, STATUSES

STATUS = "status"
#: What a result that is nan or inf can be read as.
NanReading = Literal["diverged", "missing"]

#: Words for a status, in lower case with single spaces: those of MLflow, Weights & Biases, Optuna,
#: Slurm, SageMaker, Kubernetes and others.
WORDS: Mapping[str, tuple[str, ...]] = {
    OK: (
        *("ok", "okay", "success", "successful", "succeeded", "finished", "complete"),
        *("completed", "done", "passed", "converged"),
    ),
    DIVERGED: ("diverged", "divergent", "nan", "inf"),
    FAILED: (
        *("failed", "fail", "failure", "error", "errored", "crash", "crashed", "killed", "aborted"),
        *("cancelled", "canceled", "timeout", "timed out", "out of memory", "oom", "node fail"),
        *("boot fail", "deadline", "preempted", "interrupted"),
    ),
}
#: Words for runs without a final result, which count as failed.
UNFINISHED = (
    *("running", "in progress", "scheduled", "waiting", "pending", "queued", "preempting"),
    *("suspended", "paused", "stopped", "pruned"),
)
_READ_AS = {
    **{word: status for status, words in WORDS.items() for word in words},
    **dict.fromkeys(UNFINISHED, FAILED),
}
_ADVICE = f"; to leave it out: --ignore-column {STATUS}, or drop the column"
_SLURM_CANCELLED = re.compile(r"cancelled( by [0-9]+|\+)")


@dataclass(frozen=True)
class Outcomes:
    """A table whose results and statuses are read.

    Attributes
    ----------
    table
        The runs: `value` as numbers, `status` in this program's words where there is any.
    notes
        Sentences on how cells were read, for whoever gave the table.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def read_outcomes(table: pd.DataFrame, value: str, nan: NanReading = "diverged") -> Outcomes:
    """Read statuses and results of any tool; a table that was read already stays as it is.

    Parameters
    ----------
    table
        One row per run.
    value
        The column of results.
    nan
        Whether runs whose result is nan or inf diverged, or have no result. It does not concern
        runs that the column `status` says diverged or failed.

    Raises
    ------
    TableError
        If there is no column `value`, a status is not known, or a result is not a number.
    """
    table = prepared(table)
    require_columns(table, [value])
    notes = []
    if STATUS in table.columns:
        table, note = _with_statuses(table)
        notes.append(note)
    table, note = _with_numbers(table, value, nan)
    return Outcomes(table, tuple(filter(None, (*notes, note))))


def _with_statuses(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    require_columns(table, [STATUS])
    cells = filled(table, STATUS, _ADVICE)
    found = [_status(cell) for cell in cells]
    if None in found:
        row = found.index(None)
        raise TableError(
            f"column {STATUS!r} must hold {_allowed()}, got {brief(cells[row])} in "
            f"{where(table, row)}{_ADVICE}"
        )
    foreign = Counter(
        (str(cell), status)
        for cell, status in zip(cells, found, strict=True)
        if cell not in STATUSES
    )
    if not foreign:
        return table, ""
    read = ", ".join(f"{word} ({n}) as {status}" for (word, status), n in foreign.items())
    unfinished = any(_normal(word) in UNFINISHED for word, _ in foreign)
    note = f"column {STATUS!r}: read {read}" + (
        ": a run without a final result counts as failed" if unfinished else ""
    )
    return table.assign(**{STATUS: pd.Series(found, dtype=object)}), note


def _allowed() -> str:
    *others, last = (
        f"{status} ({', '.join(w for w in words if w != status)})"
        for status, words in {**WORDS, FAILED: (*WORDS[FAILED], *UNFINISHED)}.items()
    )
    return f"{', '.join(others)} or {last}"


def _status(cell: object) -> str | None:
    return _READ_AS.get(_normal(cell)) if isinstance(cell, str) else None


def _normal(word: str) -> str:
    """Return a word in lower case, without the name of an enumeration and Slurm's additions."""
    plain = re.sub(r"[\s_-]+", " ", word.rpartition(".")[2]).strip().lower()
    return "cancelled" if _SLURM_CANCELLED.fullmatch(plain) else plain


def _with_numbers(table: pd.DataFrame, value: str, nan: NanReading) -> tuple[pd.DataFrame, str]:
    cells = table[value]
    numbers = numbers_of(table, value)
    status = table[STATUS].to_numpy(dtype=object) if STATUS in table.columns else OK
    spelled = spelled_not_finite(cells) & (status == OK)
    count = int(spelled.sum())
    if not count:
        is_read = pd.api.types.is_numeric_dtype(cells.dtype)
        return (table if is_read else table.assign(**{value: numbers})), ""
    numbers[spelled] = np.nan
    columns = {value: numbers}
    if nan == "diverged":
        columns[STATUS] = np.where(spelled, DIVERGED, status).astype(object)
    number = f"{count} of {len(table)} cells of column {value!r} " + ("is" if count == 1 else "are")
    return table.assign(**columns), f"{number} nan or inf: {_READINGS[nan]}"


_READINGS: Mapping[NanReading, str] = {
    "diverged": "read as diverged, which ranks worst (--nan missing: as no result)",
    "missing": "read as no result (--nan diverged: as diverged, which ranks worst)",
}
