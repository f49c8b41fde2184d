"""What is not the same in two sweeps: workload, machine, versions, hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.analysis.change_runs import WORKLOAD
from bench.analysis.results import ChangedFact, Variant
from bench.analysis.sweep import facts_of, variants_of
from bench.errors import MixedRunsError


def changed_facts(
    before: pd.DataFrame, after: pd.DataFrame, optimizers: Sequence[str]
) -> tuple[ChangedFact, ...]:
    """Every fact that differs: those of all runs, the workload first, then those of `optimizers`.

    Raises
    ------
    TableError
        If runs of one optimizer do not agree in its class and hyperparameters.
    """
    old, new = dict(facts_of(before)), dict(facts_of(after))
    columns = dict.fromkeys((*old, *new))
    general = (
        ChangedFact(column=c, optimizer=None, before=old.get(c, ()), after=new.get(c, ()))
        for c in columns
        if old.get(c) != new.get(c)
    )
    variants = [{v.treatment: v for v in variants_of(table)} for table in (before, after)]
    return (*general, *(f for name in optimizers for f in _changed(*(v[name] for v in variants))))


def workload_differs(before: pd.DataFrame, after: pd.DataFrame) -> bool:
    """Whether the two sweeps trained something else, so that no seed can be the same in both.

    Raises
    ------
    MixedRunsError
        If they are of different datasets, or if one of them is of more than one workload.
    """
    old, new = _workload(before, "before"), _workload(after, "after")
    if old["dataset"] != new["dataset"]:
        raise MixedRunsError(
            f"both sweeps must be of one dataset, got {old['dataset']!r} before and "
            f"{new['dataset']!r} after: accuracies on different images cannot be compared"
        )
    return old != new


def _workload(table: pd.DataFrame, which: str) -> dict[str, object]:
    return {column: _only(table, column, which) for column in WORKLOAD}


def _only(table: pd.DataFrame, column: str, which: str) -> object:
    values = table[column].unique().tolist()
    if len(values) != 1:
        raise MixedRunsError(
            f"a sweep must be of one workload, the one {which} has {column} "
            f"{' and '.join(map(str, values[:2]))}"
        )
    return values[0]


def _settings(variant: Variant) -> dict[str, str]:
    schedule = {"schedule": variant.schedule} if variant.schedule else {}
    return {"algorithm": variant.algorithm, **dict(variant.hyperparameters), **schedule}


def _changed(before: Variant, after: Variant) -> Iterator[ChangedFact]:
    """The class and the hyperparameters in which one optimizer differs."""
    old, new = _settings(before), _settings(after)
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield ChangedFact(
                column=name,
                optimizer=before.treatment,
                before=(old[name],) if name in old else (),
                after=(new[name],) if name in new else (),
            )
