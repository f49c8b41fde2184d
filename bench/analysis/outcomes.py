"""Reading of run statuses of other tools, and of results that are nan or inf.

Status words are converted to ``ok``, ``diverged`` or ``failed``. A run that another tool reports as
unfinished has no final result and counts as failed. An infinite result, or the text nan or inf,
marks a diverged run: leaving out these runs would favour the treatment that diverged. A float NaN
counts as missing, because pandas uses it for missing numbers.
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
#: Interpretations of a result that is nan or inf.
NanReading = Literal["diverged", "missing"]

#: Status words of MLflow, Weights & Biases, Optuna, Slurm, SageMaker, Kubernetes and others, in
#: lower case with single spaces.
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
    """A table with converted results and statuses, and notes for the user on how cells were read.

    `status` is ``ok``, ``diverged`` or ``failed`` where the table has that column.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]


def read_outcomes(table: pd.DataFrame, value: str, nan: NanReading = "diverged") -> Outcomes:
    """Convert the statuses and results of a table; a converted table is returned unchanged.

    `value` is the column of results. `nan` says whether runs with the result nan or inf diverged
    or have no result; it does not apply to runs with the status diverged or failed. Raise
    TableError if there is no column `value`, a status is unknown, or a result is not a number.
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


def is_status(cell: object) -> bool:
    """Return whether a cell is the word for a status."""
    return _status(cell) is not None


def _normal(word: str) -> str:
    """Return a status word in lower case, without an enumeration's name and Slurm's suffixes."""
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
