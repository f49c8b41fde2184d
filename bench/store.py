"""Rows on disk: one parquet file per run, written whole or not at all.

results/<sweep>/spec.json                      what was declared
results/<sweep>/looks.json                     when its results were judged (bench.ledger)
results/<sweep>/runs/<variant>-seed0007.parquet    one row
results/<sweep>/runs.parquet                   optionally, many rows in one file
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import MixedRunsError, SpecError, StoreError, UsageError
from bench.files import require_writable, write_atomically
from bench.integrity import contradiction
from bench.records import FAILED, SCHEMA, SCHEMA_VERSION, RunRecord
from bench.spec import OptimizerSpec, RunSpec, SweepSpec, Workload

if TYPE_CHECKING:
    import pandas as pd

#: The column that :func:`load_runs` adds: the path of the file that holds a row.
FILE_COLUMN = "run_file"

#: Columns in which all runs of one sweep must agree.
UNIFORM_COLUMNS = (
    "dataset",
    "network",
    "batch_size",
    "iterations",
    "eval_every",
    "device",
    "torch_version",
)

_SPEC_COLUMNS = [
    *("run_key", "optimizer", "algorithm", "hyperparameters", "seed"),
    *vars(Workload()),
]


@dataclass(frozen=True)
class Store:
    """The results directory of one sweep."""

    directory: Path

    @property
    def runs_directory(self) -> Path:
        return self.directory / "runs"

    @property
    def spec_file(self) -> Path:
        return self.directory / "spec.json"

    @property
    def rows_file(self) -> Path:
        return self.directory / "runs.parquet"

    @property
    def looks_file(self) -> Path:
        return self.directory / "looks.json"

    def run_file(self, run: RunSpec) -> Path:
        """Where the row of `run` is stored."""
        return self.runs_directory / f"{file_stem(run.optimizer.name)}-seed{run.seed:04d}.parquet"

    def create(self) -> None:
        """Make the directory, and prove that rows can be written to it.

        Raises
        ------
        UsageError
            If it cannot be written.
        """
        require_writable(self.runs_directory, "results")

    def write_run(self, run: RunSpec, record: RunRecord) -> None:
        """Write one row; at any interruption the file is there whole or not at all.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        write_rows(pa.Table.from_pylist([vars(record)], schema=SCHEMA), self.run_file(run))

    def write_spec(self, spec: SweepSpec) -> None:
        """Store the declaration of the sweep."""
        write_atomically(spec.to_json().encode(), self.spec_file)

    def read_spec(self) -> SweepSpec | None:
        """The stored declaration; None where there is none.

        Raises
        ------
        SpecError
            If the file does not hold one.
        StoreError
            If the file cannot be read.
        """
        try:
            return SweepSpec.from_json(self.spec_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.spec_file}: {error.strerror}") from error
        except (SpecError, UnicodeDecodeError) as error:
            raise SpecError(f"{self.spec_file}: {error}") from error

    def read_rows(self) -> pa.Table:
        """All stored rows; a row in a file of its own replaces the same run in `runs.parquet`.

        Raises
        ------
        StoreError
            If a file cannot be read.
        MixedRunsError
            If two files hold the same run.
        """
        return pa.concat_tables([SCHEMA.empty_table(), *self.read_files().values()])

    def read_files(self) -> dict[Path, pa.Table]:
        """The same, file by file."""
        single = {file: read_rows(file) for file in sorted(self.runs_directory.glob("*.parquet"))}
        _refuse_copies(single)
        for file, rows in single.items():
            self._refuse_renamed(file, rows)
        many = self.rows_file
        if not many.is_file():
            return single
        rows = read_rows(many)
        keys = [key for table in single.values() for key in table["run_key"].to_pylist()]
        replaced = pc.is_in(rows["run_key"], pa.array(keys, pa.string()))
        return {many: rows.filter(pc.invert(replaced)), **single}

    def _refuse_renamed(self, file: Path, rows: pa.Table) -> None:
        """A run is found, and replaced, by the name of its file: that must be its own."""
        for row in rows.select(_SPEC_COLUMNS).to_pylist():
            own = self.run_file(run_spec_of(row))
            if own.name != file.name:
                raise StoreError(f"{file} holds the run of {own.name}: give it that name again")


def run_spec_of(row: Mapping[str, Any]) -> RunSpec:
    """The specification that a stored row states.

    Raises
    ------
    SpecError
        If its hyperparameters or its workload are not valid.
    """
    return RunSpec(
        workload=Workload(**{column: row[column] for column in vars(Workload())}),
        optimizer=OptimizerSpec.from_json(
            row["optimizer"], row["algorithm"], row["hyperparameters"]
        ),
        seed=row["seed"],
    )


def _refuse_copies(single: Mapping[Path, pa.Table]) -> None:
    seen: dict[str, Path] = {}
    for file, table in single.items():
        for key in table["run_key"].to_pylist():
            first = seen.setdefault(key, file)
            if first is not file:
                raise MixedRunsError(f"{first} and {file} hold the same run: remove one of them")


def finished_keys(rows: pa.Table) -> set[str]:
    """Keys of the runs that need not be done again: a failed run is tried again."""
    pairs = zip(rows["run_key"].to_pylist(), rows["status"].to_pylist(), strict=True)
    return {key for key, status in pairs if status != FAILED}


def check_uniform(
    rows: pa.Table, expected: Mapping[str, object], directory: Path, advice: str
) -> None:
    """Refuse to put runs together with rows that they do not belong with.

    Parameters
    ----------
    rows
        The stored rows.
    expected
        What the new runs have in each of :data:`UNIFORM_COLUMNS`.
    directory, advice
        Where the rows are, and what to do about it, for the message.

    Raises
    ------
    MixedRunsError
        Naming the first column that differs and both values.
    """
    for column in UNIFORM_COLUMNS:
        for found in rows[column].unique().to_pylist():
            if found != expected[column]:
                raise MixedRunsError(
                    f"{directory} holds runs with {column}={found}, this sweep has "
                    f"{column}={expected[column]}: {advice}"
                )


def load_runs(path: Path | str) -> pd.DataFrame:
    """The rows of a sweep's directory, or of one parquet file, as a table.

    The columns are those of :class:`bench.records.RunRecord`, and :data:`FILE_COLUMN`.

    Raises
    ------
    StoreError
        If a file cannot be read.
    UsageError
        If there are no rows.
    """
    path = Path(path)
    files = {path: read_rows(path)} if path.is_file() else Store(path).read_files()
    if not any(map(len, files.values())):
        raise UsageError(f"{path} holds no runs: expected a sweep's directory or a parquet file")
    named = (
        rows.append_column(FILE_COLUMN, pa.array([str(file)] * len(rows), pa.string()))
        for file, rows in files.items()
    )
    return pa.concat_tables(named).to_pandas()


def read_rows(file: Path) -> pa.Table:
    """The rows of one file, in the columns and types of the schema.

    Raises
    ------
    StoreError
        If the file is not a parquet file of this layout.
    """
    try:
        rows = pq.read_table(file).select(SCHEMA.names).cast(SCHEMA)
        _refuse_altered(rows)
        return rows
    except (OSError, pa.ArrowException, KeyError, ValueError, SpecError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = " (a damaged file may be deleted: the sweep's command does its runs again)"
        is_run = file.suffix == ".parquet" and file.is_file()
        raise StoreError(
            f"cannot read the runs in {file}: {reason}{advice if is_run else ''}"
        ) from error


def _refuse_altered(rows: pa.Table) -> None:
    """A row's key is the hash of its own specification, and what it says twice agrees; else
    somebody changed it.
    """
    for version in rows["schema_version"].unique().to_pylist():
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema version {version}, this program reads {SCHEMA_VERSION}")
    seen: set[str] = set()
    for row in rows.to_pylist():
        name = f"{row['optimizer']} seed {row['seed']}"
        if run_spec_of(row).key != row["run_key"]:
            raise ValueError(f"the row of {name} is not the run that its key names")
        if row["run_key"] in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(row["run_key"])
        if wrong := contradiction(row):
            raise ValueError(f"the row of {name} contradicts itself: {wrong}")


def write_rows(rows: pa.Table, file: Path) -> None:
    """Write rows as one parquet file, whole or not at all.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    write_atomically(sink.getvalue().to_pybytes(), file)


def file_stem(variant: str, longest: int = 60) -> str:
    """A file name for a variant that is safe everywhere, and different for different variants.

    >>> file_stem("adam")
    'adam'
    >>> file_stem("adam[lr=0.003]")
    'adam-lr=0.003-d51208'
    """
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "-", variant).strip("-.")[:longest]
    if safe == variant:
        return safe
    return f"{safe}-{hashlib.sha256(variant.encode()).hexdigest()[:6]}"
