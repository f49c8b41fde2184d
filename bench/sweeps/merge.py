"""Merge the rows of shards, or of other copies of one sweep, into one results directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import MixedRunsError, UsageError
from bench.spec.expressions import format_seeds
from bench.spec.model import SweepSpec
from bench.storage.compatibility import UNIFORM_COLUMNS, check_uniform
from bench.storage.consistency import RESULTS
from bench.storage.files import write_stored
from bench.storage.mirror import pulled
from bench.storage.records import FAILED, SCHEMA
from bench.storage.remote import matching_uris, results_root, sweep_directory
from bench.storage.row_files import ORDER, add_rows, without_runs
from bench.storage.store import Store
from bench.sweeps.load import select_planned
from bench.sweeps.reproduce import options_text, refuse_foreign
from bench.sweeps.resume import compare_with_rows
from bench.sweeps.rows import planned_rows
from bench.sweeps.writing import writing

#: What two rows of one run must have in common: everything that was measured, except times.
COMPARED = (
    *("status", "diverged_at", "initial_weights_sha256", "data_order_sha256", "data_hash"),
    *(column for column in RESULTS if not column.endswith("seconds")),
)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A merged sweep: its directory, and its numbers of planned, missing and failed runs."""

    directory: Path
    n_planned: int
    n_missing: int
    n_failed: int


def merge(
    sources: Path | str | Sequence[Path | str],
    *,
    results: Path | str = "results",
    mix_devices: bool = False,
) -> Merged:
    """Merge the rows of directories of one sweep into `results`/NAME, the name of the sweep.

    The sources are left as they are. Rows that `results`/NAME holds already are kept. To merge
    again, or in another order, changes nothing.

    Parameters
    ----------
    sources
        Directories of shards of the sweep, or of sweeps with the same declaration, or their URIs,
        of which the last part may be a pattern with ``*``.
    results
        The merged sweep is stored in the subdirectory with its name. It may be a URI.
    mix_devices
        Whether runs from different kinds of device are allowed in it; the report says so.

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
    sources = [sources] if isinstance(sources, str | Path) else sources
    _check_types(sources, results, mix_devices)
    found = [source for given in sources for source in matching_uris(given)]
    stores = [Store(pulled(sweep_directory(source))) for source in found]
    spec = _common_declaration(stores)
    target = Store(pulled(results_root(results) / spec.name))
    stores = [store for store in stores if store.directory != target.directory]
    refuse_foreign(target.options_file)
    _combined(stores, spec, mix_devices=mix_devices)
    _refuse_other_target(target, spec)
    looks = _ledger([target, *stores])
    target.create()
    with writing(target.directory) as lock:
        target.tidy()
        _refuse_other_target(target, spec)
        lock.flush()
        target.compact()  # separate files of runs would replace the merged rows
        rows = _combined([target, *stores], spec, mix_devices=mix_devices)
        target.write_spec(spec)
        if looks is not None:
            write_stored(looks, target.looks_file)
        if not target.options_file.exists():
            target.write_options(options_text(spec, select_planned(rows, spec, target).execution))
        add_rows(rows, target.directory)
    status = compare_with_rows(spec, rows)
    n_failed = pc.sum(pc.equal(rows["status"], FAILED)).as_py() or 0
    return Merged(
        directory=target.directory,
        n_planned=len(status.planned),
        n_missing=len(status.missing),
        n_failed=n_failed,
    )


def _refuse_other_target(target: Store, spec: SweepSpec) -> None:
    """Refuse a target with another declaration, or with rows and none."""
    declared = target.read_spec()
    if declared is None and len(target.read_rows()):
        raise MixedRunsError(
            f"{target.directory} holds runs without a declaration: merge into other --results"
        )
    if declared is not None:
        _refuse_difference(spec, declared, target.directory, Path("the sources"))


def _ledger(stores: Sequence[Store]) -> bytes | None:
    """Return the list of looks of all stores that have one; None if none has.

    Raise UsageError if two lists differ: the level of the next look depends on all of them.
    """
    judged = [store for store in stores if store.looks_file.is_file()]
    ledgers = [store.looks_file.read_bytes() for store in judged]
    for store, ledger in zip(judged, ledgers, strict=True):
        if ledger != ledgers[0]:
            raise UsageError(
                f"verdicts on {judged[0].directory} and on {store.directory} were looked at: their "
                f"lists of looks ({store.looks_file.name}) must be the same, got different ones"
            )
    return ledgers[0] if ledgers else None


def _check_types(sources: object, results: object, mix_devices: object) -> None:
    """Raise UsageError unless the arguments of :func:`merge` have their types."""
    is_list = isinstance(sources, list | tuple)
    if not is_list or not all(isinstance(source, str | Path) for source in sources):  # type: ignore[attr-defined]
        raise UsageError(f"sources must be directories of a sweep, got {sources!r:.80}")
    if not sources:
        raise UsageError("there is nothing to merge: give at least one directory of a sweep")
    if not isinstance(results, str | Path):
        raise UsageError(f"results must be a directory, got {results!r:.80}")
    if not isinstance(mix_devices, bool):
        raise UsageError(f"mix_devices must be True or False, got {mix_devices!r:.80}")


def _common_declaration(stores: Sequence[Store]) -> SweepSpec:
    """Return the declaration that all sources share; raise MixedRunsError if they share none."""
    specs = []
    for store in stores:
        spec = store.read_spec() if store.directory.is_dir() else None
        if spec is None:
            raise UsageError(f"no sweep at {store.directory}: expected the directory of a sweep")
        specs.append(spec)
        _refuse_difference(specs[0], spec, store.directory, stores[0].directory)
    return specs[0]


def _refuse_difference(spec: SweepSpec, other: SweepSpec, directory: Path, first: Path) -> None:
    one, two = _settings(spec), _settings(other)
    for name in one:
        if one[name] != two[name]:
            raise MixedRunsError(
                f"{directory} and {first} are of different sweeps: {name} is {two[name]:.80} and "
                f"{one[name]:.80}"
            )


def _settings(spec: SweepSpec) -> dict[str, str]:
    """Return all settings of a sweep as text, by their names."""
    found = {"name": spec.name, **vars(spec.workload), "budget": spec.budget}
    found |= {**vars(spec.declaration), "seeds": format_seeds(spec.seeds)}
    found["optimizers"] = ", ".join(optimizer.name for optimizer in spec.optimizers)
    found |= {f"optimizer {o.name}": o.content for o in spec.optimizers}
    return {name: str(value) for name, value in found.items()}


def _combined(stores: Sequence[Store], spec: SweepSpec, *, mix_devices: bool = False) -> pa.Table:
    """Return one row for each run, in the order of a finished sweep.

    The rows of earlier stores are kept; a run that failed in one is taken from another.
    """
    kept, expected = SCHEMA.empty_table(), None
    sources: dict[str, Store] = {}
    for store in stores:
        rows = store.read_rows()
        n_planned = len(planned_rows(rows, spec))
        if n_planned != len(rows):
            raise MixedRunsError(
                f"{store.directory} holds {len(rows) - n_planned} runs that are not in the plan of "
                "its sweep: move them to another directory"
            )
        if len(rows) and expected is None:
            expected = rows.select(list(UNIFORM_COLUMNS)).slice(0, 1).to_pylist()[0]
        kept = _with_rows(kept, rows, store, sources)
        if expected is not None:
            advice = "merged runs must agree in this"
            check_uniform(rows, expected, store.directory, advice, mix_devices=mix_devices)
    return kept.sort_by(ORDER)


def _with_rows(kept: pa.Table, rows: pa.Table, store: Store, sources: dict[str, Store]) -> pa.Table:
    """Add the rows of a store to those of earlier ones, whose stores are in `sources` by key."""
    place = pc.index_in(rows["run_key"], kept["run_key"])
    is_again = pc.is_valid(place)
    again, before = rows.filter(is_again), kept.take(place.filter(is_again))
    has_failed = pc.equal(before["status"], FAILED)
    has_result = pc.not_equal(again["status"], FAILED)
    both = pc.and_(pc.invert(has_failed), has_result)
    _refuse_conflicts(before.filter(both), again.filter(both), store, sources)
    better = again.filter(pc.and_(has_failed, has_result))
    new = pa.concat_tables([rows.filter(pc.invert(is_again)), better])
    sources.update(dict.fromkeys(new["run_key"].to_pylist(), store))
    return pa.concat_tables([without_runs(kept, better["run_key"]), new])


def _refuse_conflicts(
    before: pa.Table, now: pa.Table, store: Store, sources: Mapping[str, Store]
) -> None:
    """Raise MixedRunsError if two rows of one run, in the same place, have different results."""
    compared = list(COMPARED)
    if before.select(compared).equals(now.select(compared)):
        return
    for one, two in zip(before.to_pylist(), now.to_pylist(), strict=True):
        _refuse_conflict((one, sources[one["run_key"]]), (two, store))


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
