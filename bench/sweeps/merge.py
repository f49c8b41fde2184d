"""Merge the rows of shards, or of other copies of one sweep, into one results directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.errors import MixedRunsError, UsageError
from bench.spec.model import SweepSpec
from bench.storage.compatibility import UNIFORM_COLUMNS, check_uniform
from bench.storage.consistency import RESULTS
from bench.storage.records import FAILED, SCHEMA
from bench.storage.rows import write_rows
from bench.storage.store import Store, finished_keys
from bench.sweeps.lock import locked
from bench.sweeps.reproduce import refuse_foreign
from bench.sweeps.rows import planned_rows

#: What two rows of one run must have in common: everything that was measured, except times.
COMPARED = (
    *("status", "diverged_at", "initial_weights_sha256", "data_order_sha256", "data_hash"),
    *(column for column in RESULTS if not column.endswith("seconds")),
)
_ORDER = [("optimizer", "ascending"), ("seed", "ascending")]


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A merged sweep: its directory, and its numbers of planned, missing and failed runs."""

    directory: Path
    n_planned: int
    n_missing: int
    n_failed: int


def merge(sources: Sequence[Path | str], *, results: Path | str = "results") -> Merged:
    """Merge the rows of directories of one sweep into `results`/NAME, the name of the sweep.

    The sources are left as they are. Rows that `results`/NAME holds already are kept. To merge
    again, or in another order, changes nothing.

    Parameters
    ----------
    sources
        Directories of shards of the sweep, or of sweeps with the same declaration.
    results
        The merged sweep is stored in the subdirectory with its name.

    Raises
    ------
    UsageError
        If a source is not a sweep, or the results cannot be written.
    MixedRunsError
        If the sources are of different sweeps, were trained on other data, devices or versions of
        torch, or hold different results of one run.
    StoreError
        If a file is damaged, or cannot be read or written.
    """
    if not sources:
        raise UsageError("there is nothing to merge: give at least one directory of a sweep")
    stores = [Store(Path(source)) for source in sources]
    spec = _common_declaration(stores)
    target = Store(Path(results) / spec.name)
    refuse_foreign(target.options_file)
    found = _combined([store for store in stores if store.directory != target.directory], spec)
    target.create()
    with locked(target.directory):
        target.tidy()
        if target.read_spec() is not None:
            _common_declaration([target, *stores])
            found = _combined([target, *stores], spec)
        target.write_spec(spec)
        options = next((s.options_file for s in stores if s.options_file.is_file()), None)
        if options is not None:
            target.write_options(options.read_text(encoding="utf-8"))
        write_rows(found, target.rows_file)
        target.compact()
    finished = finished_keys(found)
    plan = {run.key for run in spec.plan()}
    return Merged(
        directory=target.directory,
        n_planned=len(plan),
        n_missing=len(plan - finished),
        n_failed=len(set(found["run_key"].to_pylist()) - finished),
    )


def _common_declaration(stores: Sequence[Store]) -> SweepSpec:
    """Return the declaration that all sources share; raise MixedRunsError if they share none."""
    first: tuple[Store, SweepSpec] | None = None
    for store in stores:
        spec = store.read_spec()
        if spec is None:
            raise UsageError(f"no sweep at {store.directory}: expected the directory of a sweep")
        if first is None:
            first = store, spec
        elif spec != first[1]:
            names = (field.name for field in fields(spec))
            what = next(n for n in names if getattr(spec, n) != getattr(first[1], n))
            raise MixedRunsError(
                f"{store.directory} and {first[0].directory} are of different sweeps: they were "
                f"declared with another {what}"
            )
    assert first is not None
    return first[1]


def _combined(stores: Sequence[Store], spec: SweepSpec) -> pa.Table:
    """Return one row for each run, in the order of a finished sweep.

    The rows of earlier stores are kept; a run that failed in one is taken from another.
    """
    kept: dict[str, tuple[Mapping[str, Any], Store]] = {}
    expected: Mapping[str, object] | None = None
    for store in stores:
        rows = store.read_rows()
        if len(planned_rows(rows, spec)) != len(rows):
            raise MixedRunsError(
                f"{store.directory} holds {len(rows) - len(planned_rows(rows, spec))} runs that "
                "are not in the plan of its sweep: move them to another directory"
            )
        for row in rows.to_pylist():
            expected = expected or {column: row[column] for column in UNIFORM_COLUMNS}
            before = kept.get(row["run_key"])
            if before is None or (before[0]["status"] == FAILED != row["status"]):
                kept[row["run_key"]] = row, store
            elif row["status"] != FAILED:
                _refuse_conflict(before, (row, store))
        if expected is not None:
            check_uniform(rows, expected, store.directory, "runs of one sweep must agree in this")
    table = pa.Table.from_pylist([row for row, _ in kept.values()], schema=SCHEMA)
    return table.sort_by(_ORDER)


def _refuse_conflict(
    before: tuple[Mapping[str, Any], Store], now: tuple[Mapping[str, Any], Store]
) -> None:
    """Raise MixedRunsError if two rows of one run have different results."""
    (one, first), (two, second) = before, now
    for column in COMPARED:
        if one[column] != two[column]:
            raise MixedRunsError(
                f"{first.directory} and {second.directory} hold different results of "
                f"{one['optimizer']} seed {one['seed']}, in the column {column}: remove one of them"
            )
