"""Reduce tables with several rows per run to the last step of each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.columns import MISSING
from bench.errors import TableError
from bench.storage.records import ROW_COLUMN
from bench.tables.roles import STEPS, find_column, first_of

#: Beginning of the note on the row that is taken.
LAST_ROW = "the result of a run is its last one"


def step_column(columns: Sequence[str], named: str | None) -> str | None:
    """Return the column of steps: the one that is `named`, else one of a usual name."""
    return find_column(named, columns) if named else first_of(STEPS, columns)


def last_steps(
    table: pd.DataFrame, key: list[str], value: str, step: str, file: Path
) -> tuple[pd.DataFrame, str]:
    """Keep the last row with a result of each run, and return a note on it.

    `key` are the columns of the treatment and the block. Raise TableError if a step is not a
    number, or a run has two results at its last step.
    """
    steps = pd.to_numeric(table[step], errors="coerce")
    if steps.isna().any():
        row = int(np.flatnonzero(steps.isna())[0])
        raise TableError(
            f"column {step!r} must hold steps, got {table[step].iloc[row]!r} in row "
            f"{table[ROW_COLUMN].iloc[row]} of {file}"
        )
    has_result = ~is_missing(table[value])
    ordered = table.assign(**{"\0step": steps, "\0has": has_result})
    # a run without any result keeps its last row
    ordered = ordered.sort_values(["\0has", "\0step"], kind="stable")
    last = ordered.drop_duplicates(key, keep="last")
    tied = ordered[ordered["\0has"]].merge(last, on=[*key, "\0step"], suffixes=("", "\0"))
    if len(tied) > last["\0has"].sum():
        twice = tied[tied.duplicated(key)].iloc[0]
        raise TableError(
            f"{key[0]} {twice[key[0]]!r} has more than one row for {key[1]} {twice[key[1]]} at "
            f"{step} {twice[step]} in {file}"
        )
    ends = last["\0step"]
    at = f"{ends.min():,g}" if ends.min() == ends.max() else f"{ends.min():,g} to {ends.max():,g}"
    note = f"{LAST_ROW}, by column {step!r} ({step} {at})"
    if ends.min() != ends.max():
        note += ": the runs end at different steps"
    kept = last.drop(columns=["\0step", "\0has"])
    return kept.sort_values(ROW_COLUMN, kind="stable").reset_index(drop=True), note


def is_missing(cells: pd.Series) -> pd.Series:
    """Return which cells are empty, or hold a word for a missing number."""
    if cells.dtype != object:
        return cells.isna()
    return cells.isna() | cells.map(lambda c: isinstance(c, str) and c.lower() in MISSING)
