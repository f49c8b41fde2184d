"""Settings of each optimizer: class, hyperparameters and learning rate schedule."""

from __future__ import annotations

import json

import pandas as pd

from bench.analysis.rates import SCHEDULE_COLUMN
from bench.analysis.results import Variant
from bench.errors import TableError

#: What a variant is; the same in every run of it.
SETTINGS = ("algorithm", "hyperparameters")


def variants_of(table: pd.DataFrame) -> tuple[Variant, ...]:
    """One per optimizer, in the order of the rows; none where the table does not say.

    Raises
    ------
    TableError
        If runs of one optimizer do not agree in its class and hyperparameters.
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
                f"optimizer {name!r} must stand for one class with one set of hyperparameters, got "
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
    """Those of a table that this program did not write; none where its columns say another thing.

    In nested cross-validation, for instance, hyperparameters differ by fold.
    """
    try:
        return variants_of(table)
    except TableError:
        return ()


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
