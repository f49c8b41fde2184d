"""Read scalars from TensorBoard's event files, with the package tensorboard."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import TableError, UsageError, first_line
from bench.tables.formats import RawTable
from bench.tables.roles import Roles, find_column, unknown_column

_MARK = "tfevents"


def runs_in(directory: Path) -> list[Path]:
    """Return the directories of runs, those that hold event files, in alphabetical order."""
    return sorted({file.parent for file in directory.rglob(f"*{_MARK}*") if file.is_file()})


def read_runs(runs: Sequence[Path], directory: Path, roles: Roles) -> RawTable:
    """Return all steps of the result of each run, one row per step.

    The columns are treatment and block, which are read from the names of the directories, `step`,
    and the result, as text. A number of 32 bits is written with the digits that identify it. A run
    without the result has one row with an empty cell.

    Raise UsageError if tensorboard is not installed, and TableError if no run has the result.
    """
    scalars = {run: _scalars(run) for run in runs}
    tags = sorted({tag for found in scalars.values() for tag in found})
    tag = find_column(roles.value_name, tags)
    if tag is None:
        nouns = ("scalar", "tags")
        raise TableError(unknown_column(roles.value_name, tags, directory, "--value", nouns))
    rows = []
    for run in runs:
        treatment, block = roles.names.split(run.relative_to(directory).as_posix())
        for step, value in scalars[run].get(tag, [("0", "")]):
            rows.append((treatment, block, step, value))
    names = (roles.treatment_name, roles.block, "step", roles.value_name)
    return RawTable(
        names=names,
        columns=pd.DataFrame(rows, columns=list(names), dtype=object),
        format=f"event files of {len(runs)} runs, tag {tag!r}, names {roles.names.shown}",
        is_text=True,
    )


def _scalars(run: Path) -> dict[str, list[tuple[str, str]]]:
    """Return steps and values of every tag of a run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensorboard's dependencies
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise UsageError(
            f"{run} holds event files of TensorBoard: to read them install the package tensorboard"
        ) from None
    try:
        events: Any = EventAccumulator(str(run), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        found = {
            tag: [(str(e.step), _shortest(e.value)) for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        for tag in events.Tags()["tensors"]:  # as TensorFlow 2 writes scalars
            values = [(e.step, _array(e.tensor_proto)) for e in events.Tensors(tag)]
            if all(value.size == 1 for _, value in values):
                found[tag] = [(str(step), _shortest(value.item())) for step, value in values]
    except (OSError, ValueError, KeyError) as error:
        raise TableError(f"{run} cannot be read as event files: {first_line(error)}") from error
    return found


def _array(tensor: Any) -> Any:
    from tensorboard.util.tensor_util import make_ndarray

    return make_ndarray(tensor)


def _shortest(value: float) -> str:
    """Write a number with the digits that identify it among the numbers of 32 bits."""
    return str(np.float32(value))
