"""Load the stored rows of a sweep and analyse them as declared."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from bench.analysis import Comparison, Look, SweepAnalysis, analyse_sweep, look_levels
from bench.errors import StoreError, UsageError
from bench.spec.model import Declaration, OptimizerSpec, RunSpec, SweepSpec, Workload
from bench.spec.options import ExecutionOptions
from bench.storage.compatibility import check_uniform, one_budget, run_spec_of
from bench.storage.looks import Ledger, TakenLook
from bench.storage.mirror import pulled
from bench.storage.records import FAILED
from bench.storage.remote import sweep_directory
from bench.storage.rows import read_rows
from bench.storage.store import Store
from bench.sweeps.reproduce import command_line
from bench.sweeps.resume import compare_with_rows
from bench.sweeps.rows import planned_rows, refuse_all_failed
from bench.sweeps.sequential import judged_rows
from bench.words import count


@dataclass(frozen=True, kw_only=True)
class StoredSweep:
    """A sweep with its declaration and its stored rows.

    Attributes
    ----------
    store
        Directory of the sweep; None for a file of rows, which has no ledger of looks.
    rows
        The stored runs of the sweep's plan.
    n_missing
        Planned runs that are not stored. Where seeds are added until the pairs are decided, these
        are runs up to the look in progress.
    n_other
        Stored runs that are not in the plan.
    is_declared
        Whether a declaration is stored with the rows; without one the defaults apply.
    n_looks
        Number of complete looks, where seeds are added until the pairs are decided.
    """

    store: Store | None
    spec: SweepSpec
    rows: pa.Table
    n_missing: int
    n_other: int
    is_declared: bool = True
    n_looks: int = 0

    @property
    def command(self) -> str:
        """The command line that repeats this sweep."""
        return command_line(self.spec, self.execution)

    @property
    def execution(self) -> ExecutionOptions:
        """How the stored runs were trained."""
        devices = self.rows["device"].unique().to_pylist()
        stack = pc.max(self.rows["stack"]).as_py()
        return ExecutionOptions(
            device=devices[0] if len(devices) == 1 else "auto",
            stack=stack if devices == ["cpu"] and stack != 1 else None,
            tf32=bool(pc.any(self.rows["tf32"]).as_py()),
            mix_devices=len(devices) > 1,
        )

    def looks(self) -> tuple[Look, ...]:
        """All looks up to this one, with their levels: see :mod:`bench.storage.looks`.

        A file of rows without a declaration has no ledger, so this look is the only one. The
        differences that a look found among fewer optimizers are not those of this family of tests,
        and no differences stand for a part of a look.
        """
        declared = self.spec.declaration
        if declared.until_decided:  # its looks follow from the rows
            return ()
        taken = [(len(look.seeds), look.at if self.store else None) for look in self._taken]
        looks = look_levels(taken, declared.alpha, declared.looks)
        if self.whole_look is not None:
            return looks
        return tuple(
            replace(look, rejected=of_ledger.rejected_among(self._names))
            for look, of_ledger in zip(looks, self._taken, strict=True)
        )

    def record_look(self, comparison: Comparison | None = None) -> None:
        """Write this look into the ledger; call it before a verdict is shown.

        If `comparison` is the declared one, the differences that it found are recorded too, because
        they stand at later looks. If a look cannot be written, as in a read-only directory, a
        warning says so.
        """
        ledger = self._ledger
        if ledger is None or len(self.spec.optimizers) < 2 or self.whole_look is not None:
            return
        now = replace(self._taken[-1], rejected=None, optimizers=None)
        if comparison is not None:
            now = replace(now, rejected=comparison.looks[-1].rejected, optimizers=self._names)
        try:
            ledger.record((*self._taken[:-1], now))
        except StoreError as error:
            if len(self._taken) > len(ledger.read()):  # else the look itself is recorded
                warnings.warn(f"this look at the results is not recorded: {error}", stacklevel=2)

    @cached_property
    def whole_look(self) -> TakenLook | None:
        """The look that showed all of these runs and more; None for a look of its own."""
        return None if self._ledger is None else self._ledger.whole_of(self._taken)

    @property
    def _ledger(self) -> Ledger | None:
        """None for a file of rows, and for a sweep whose looks follow from its rows."""
        if self.store is None or self.spec.declaration.until_decided:
            return None
        return Ledger(self.store.looks_file)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(optimizer.name for optimizer in self.spec.optimizers))

    @cached_property
    def _taken(self) -> Sequence[TakenLook]:
        """All looks up to this one, cached so that the recorded look is the one shown."""
        judged = self.rows.filter(pc.not_equal(self.rows["status"], FAILED))
        look = TakenLook(
            seeds=tuple(sorted(set(self.rows["seed"].to_pylist()))),
            missing=len(self.spec.plan()) - len(judged),
            at=datetime.now(UTC).replace(microsecond=0),
            optimizers=self._names,
        )
        return (look,) if self._ledger is None else self._ledger.with_look(look)


def without_columns(rows: pa.Table, ignored: Sequence[str]) -> pd.DataFrame:
    """Return stored rows as a DataFrame, without some columns.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    for column in ignored:
        if column not in rows.column_names:
            raise UsageError(
                f"there is no column {column!r} to ignore: the columns are "
                f"{', '.join(rows.column_names)}"
            )
    return rows.drop_columns(list(dict.fromkeys(ignored))).to_pandas()


def select_planned(rows: pa.Table, spec: SweepSpec, store: Store | None) -> StoredSweep:
    """Select the stored rows that are in the plan of a sweep."""
    planned = planned_rows(rows, spec)
    n_missing, n_looks = len(spec.optimizers) * len(spec.seeds) - len(planned), 0
    if spec.declaration.until_decided:  # a look waits for failed runs
        status = compare_with_rows(spec, planned)
        n_missing, n_looks = len(status.missing), len(status.looks)
    return StoredSweep(
        store=store,
        spec=spec,
        rows=planned,
        n_missing=n_missing,
        n_other=len(rows) - len(planned),
        n_looks=n_looks,
    )


def open_sweep(path: Path) -> StoredSweep:
    """The sweep in a results directory, or in a parquet file of rows.

    Without a stored declaration the sweep has all rows and the default declaration.

    Raises
    ------
    UsageError
        If there is nothing, or no row of the declared sweep, at `path`.
    MixedRunsError
        If rows without a declaration are of different workloads.
    """
    if not path.exists():
        raise UsageError(f"no results at {path}: expected a sweep's directory or a parquet file")
    store = Store(path if path.is_dir() else path.parent)
    rows = store.read_rows() if path.is_dir() else read_rows(path)
    if not len(rows):
        raise UsageError(f"{path} holds no runs: expected a sweep's directory or a parquet file")
    declared = store.read_spec()
    spec = declared or _spec_from_rows(rows, path)
    stored = select_planned(rows, spec, store if path.is_dir() or declared else None)
    stored = replace(stored, is_declared=declared is not None)
    if not len(stored.rows):
        raise UsageError(
            f"none of the {len(rows)} runs in {path} is in the plan that {store.spec_file} declares"
        )
    _refuse_mixture(stored.rows, path)
    return stored


def analyse(path: Path | str) -> SweepAnalysis:
    """Analyse a stored sweep as declared; :func:`bench.report.write` takes the result.

    This is a look at the results and is recorded in the sweep's ledger (see
    :mod:`bench.storage.looks`): if seeds were added since the last look, the tests use the
    remaining level.

    Parameters
    ----------
    path
        A sweep's directory such as ``results/mnist``, or its URI, or a parquet file of rows, which
        has no ledger.

    Raises
    ------
    UsageError
        If there is nothing, or no row of the declared sweep, at `path`.
    MixedRunsError
        If rows without a declaration are of different workloads.
    StoreError
        If a file cannot be read.
    TrainingError
        If every run failed.
    """
    return analyse_stored(open_sweep(pulled(sweep_directory(path))))


def analyse_stored(stored: StoredSweep, *, recorded: bool = True) -> SweepAnalysis:
    """Analyse the stored rows of a sweep, with notes on missing and other rows.

    This is a look at the results. It is recorded in the ledger unless `recorded` is False, which
    is for callers that show no verdict.

    Raises
    ------
    UsageError
        If seeds are added until the pairs are decided, and no look is complete.
    TrainingError
        If every run failed.
    """
    spec, rows = stored.spec, stored.rows
    refuse_all_failed(rows, stored.store.directory if stored.store else spec.name)
    if spec.declaration.until_decided and not stored.n_looks:
        raise UsageError(
            f"no look at {spec.name} is complete: the first needs "
            f"{count(spec.declaration.until_decided[0], 'seed')} of each optimizer, and "
            f"{stored.n_missing} of these runs are missing or failed; give the sweep's command "
            f"again: {stored.command}"
        )
    analysis = analyse_sweep(
        judged_rows(rows, spec).to_pandas(),
        name=spec.name,
        alpha=spec.declaration.alpha,
        margin=spec.declaration.margin,
        target=spec.declaration.target,
        looks=stored.looks(),
        planned_looks=spec.declaration.looks,
        win_threshold=spec.declaration.win_threshold,
        correction=spec.declaration.correction,
        until_decided=spec.declaration.until_decided,
    )
    if recorded:
        stored.record_look(analysis.comparison)
    return add_warnings(analysis, notes_on(stored))


def add_warnings(analysis: SweepAnalysis, more: Sequence[str]) -> SweepAnalysis:
    """Add warnings behind those of the analysis."""
    comparison = analysis.comparison
    warnings = (*comparison.warnings, *more)
    return replace(analysis, comparison=replace(comparison, warnings=warnings))


def _refuse_mixture(rows: pa.Table, path: Path) -> None:
    first = rows.slice(0, 1).to_pylist()[0]
    advice = "runs of one sweep must agree in this"
    check_uniform(
        rows, first, path, advice, mix_devices=True
    )  # a mixture of devices is noted, not refused


def notes_on(stored: StoredSweep) -> tuple[str, ...]:
    """Notes on a missing declaration, missing runs, other runs, and mixed devices."""
    notes = []
    if not stored.is_declared:
        notes.append(
            "No declaration is stored with these rows: they are judged by this program's default "
            "level, margin and target, which nobody declared before the runs."
        )
    if stored.n_missing and stored.spec.declaration.until_decided:
        notes.append(
            f"Missing or failed runs of the look in progress: {stored.n_missing}. This look is not "
            "judged: give the sweep's command again to finish it."
        )
    elif stored.n_missing:
        notes.append(
            f"{stored.n_missing} of {len(stored.spec.plan())} planned runs are not stored yet: "
            "give the sweep's command again to finish it."
        )
    if (whole := stored.whole_look) is not None:
        notes.append(
            f"These are {_share(stored.spec, whole)} of a look that was shown before. They are no "
            "new look, and their verdicts are exploratory: the declared level bounds the error of "
            "the recorded looks only."
        )
    if stored.n_other:
        notes.append(
            f"Not part of this comparison: {count(stored.n_other, 'other stored run')} of this "
            "sweep's directory (other optimizers or seeds)."
        )
    if stored.execution.mix_devices:
        notes.append(_on_mixed_devices(stored.rows))
    return tuple(notes)


def _share(spec: SweepSpec, whole: TakenLook) -> str:
    """``2 of the 8 optimizers and 5 of the 20 seeds``, without the number that is not smaller."""
    sizes = (
        ("optimizers", len(spec.optimizers), len(whole.optimizers or ())),
        ("seeds", len(spec.seeds), len(whole.seeds)),
    )
    return " and ".join(f"{n} of the {of} {noun}" for noun, n, of in sizes if n < of)


def _on_mixed_devices(rows: pa.Table) -> str:
    counts = rows.group_by(["device", "optimizer"]).aggregate([([], "count_all")]).to_pylist()
    runs: dict[str, dict[str, int]] = {}
    for row in counts:
        runs.setdefault(row["device"], {})[row["optimizer"]] = row["count_all"]
    said = " and ".join(f"{sum(of.values())} on {device}" for device, of in sorted(runs.items()))
    one, *others = runs.values()
    note = (
        f"These runs were trained on different devices ({said}), as --mix-devices allows: each "
        "rounds in its own way, and their times are not to be compared."
    )
    if all(of == one for of in others):
        return note
    return (
        f"{note} Not every optimizer has as many runs on each, so that a difference between "
        "optimizers may be one between devices."
    )


def _spec_from_rows(rows: pa.Table, path: Path) -> SweepSpec:
    _refuse_mixture(rows, path)
    runs = [run_spec_of(row) for row in rows.to_pylist()]
    workload, budget = one_budget(rows, path)
    own = {run.optimizer.name: run for run in runs}
    return SweepSpec(
        name=sweep_name(path.resolve()),
        optimizers=tuple(_variant(run, workload) for run in own.values()),
        seeds=tuple(sorted({run.seed for run in runs})),
        workload=workload,
        budget=budget,
        declaration=Declaration(),
    )


def _variant(run: RunSpec, workload: Workload) -> OptimizerSpec:
    own = run.workload.batch_size
    return replace(run.optimizer, batch_size=None if own == workload.batch_size else own)


def sweep_name(path: Path) -> str:
    """A name for results without a declaration: that of their directory or file."""
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:100] or "sweep"
