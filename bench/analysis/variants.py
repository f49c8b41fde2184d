"""Settings of each optimizer: class, hyperparameters and learning rate schedule."""

from __future__ import annotations

import json

import pandas as pd

from bench.analysis.rates import SCHEDULE_COLUMN
from bench.analysis.results import Variant
from bench.errors import TableError

#: Columns that define a variant; they are equal in all of its runs.
SETTINGS = ("algorithm", "hyperparameters")


def variants_of(table: pd.DataFrame) -> tuple[Variant, ...]:
    """Return the variant of each optimizer, in the order of the rows.

    Return nothing where the table does not have the columns :data:`SETTINGS`. Raise TableError if
    runs of one optimizer differ in its class or hyperparameters.
    """
    if not set(SETTINGS) <= set(table.columns):
        return ()
    settings: dict[str, tuple[str, ...]] = {}
    columns = ["optimizer", *SETTINGS, SCHEDULE_COLUMN]
    for run in table.reindex(columns=columns).to_dict(orient="records"):
        name, schedule = str(run["optimizer"]), run[SCHEDULE_COLUMN]
        found = (*(str(run[c]) for c in SETTINGS), "" if pd.isna(schedule) else str(schedule))
        if (known := settings.setdefault(name, found)) != found:
            raise TableError(
                f"optimizer {name!r} must have one class with one set of hyperparameters, got "
                f"{' '.join(known).strip()} and {' '.join(found).strip()}"
            )
    return tuple(
        Variant(
            treatment=name,
            algorithm=algorithm,
            hyperparameters=_hyperparameters(name, content),
            schedule=schedule or None,
        )
        for name, (algorithm, content, schedule) in settings.items()
    )


def foreign_variants(table: pd.DataFrame) -> tuple[Variant, ...]:
    """Return the variants of a table of another tool, or none if its runs differ in the settings.

    In nested cross-validation, for example, hyperparameters differ between folds.
    """
    try:
        return variants_of(table)
    except TableError:
        return ()


def _hyperparameters(name: str, content: str) -> tuple[tuple[str, str], ...]:
    """Return (name, value as a Python literal) from a JSON object."""
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
