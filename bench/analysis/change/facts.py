"""Differences of two sweeps in workload, machine, versions and hyperparameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from bench.analysis.change.runs import BUDGET
from bench.analysis.provenance import facts_of
from bench.analysis.results import ChangedFact, Variant
from bench.analysis.variants import variants_of
from bench.errors import MixedRunsError
from bench.storage.records import LATER_COLUMNS


def changed_facts(
    before: pd.DataFrame, after: pd.DataFrame, optimizers: Sequence[str]
) -> tuple[ChangedFact, ...]:
    """Return the facts that differ: first those of all runs, then those of each optimizer.

    Raise TableError if runs of one optimizer differ in its class or hyperparameters.
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
    """Return whether network, training sets, batch size or updates differ, so no runs are paired.

    Raise MixedRunsError if the sweeps have different datasets, or one of them has more than one
    workload.
    """
    (old, new), (dataset, other) = (
        [_only(table, column, which) for table, which in ((before, "before"), (after, "after"))]
        for column in ("network", "dataset")
    )
    if dataset != other:
        raise MixedRunsError(
            f"both sweeps must have the same dataset, got {dataset!r} before and {other!r} after: "
            "accuracies on different images cannot be compared"
        )
    first, second = _budgets(before, "before"), _budgets(after, "after")
    if _training_sets(before) != _training_sets(after):
        return True
    return old != new or any(first[name] != second[name] for name in first.keys() & second.keys())


def _training_sets(table: pd.DataFrame) -> set[str]:
    column = "resample_train"
    return set(table[column]) if column in table else {str(LATER_COLUMNS[column])}


def _budgets(table: pd.DataFrame, which: str) -> dict[str, tuple[object, ...]]:
    """Return batch size and number of updates of each optimizer, which may differ."""
    return {
        str(name): tuple(_only(runs, column, which) for column in BUDGET)
        for name, runs in table.groupby("optimizer")
    }


def _only(table: pd.DataFrame, column: str, which: str) -> object:
    values = table[column].unique().tolist()
    if len(values) != 1:
        of = f" of {table['optimizer'].iloc[0]}" if column in BUDGET else ""
        raise MixedRunsError(
            f"a sweep must have one workload, but the sweep {which} has {column} "
            f"{' and '.join(map(str, values[:2]))}{of}"
        )
    return values[0]


def _changed(before: Variant, after: Variant) -> Iterator[ChangedFact]:
    """Yield the class and the hyperparameters that differ for one optimizer."""
    old, new = ({"algorithm": v.algorithm, **dict(v.settings)} for v in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield ChangedFact(
                column=name,
                optimizer=before.treatment,
                before=(old[name],) if name in old else (),
                after=(new[name],) if name in new else (),
            )
