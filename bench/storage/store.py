"""Results directory of a sweep: parquet files that are written atomically.

results/<sweep>/spec.json                      the declaration
results/<sweep>/sweep.yaml                     the same as options of the sweep command
results/<sweep>/looks.json                     looks at the results (bench.storage.looks)
results/<sweep>/runs/<variant>-seed0007.parquet    one row, until the sweep ends
results/<sweep>/runs.parquet                   all rows, after the end of the sweep
results/<sweep>/runs-0001.parquet              more of them (bench.storage.row_files)
results/<sweep>/quarantine/                    damaged files
results/<sweep>/.running/                      markers of runs in flight (bench.execution.in_flight)
results/<sweep>/.training.json                 the data of a sweep that has not ended

During a sweep each run has a separate file, so a killed process or a full disk does not affect
other runs. At the end the rows are put together, because ten thousand files are slow to read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import MixedRunsError, SpecError, StoreError, UsageError
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.storage.files import (
    move,
    move_aside,
    remove_temporaries,
    require_regular,
    require_writable,
    write_stored,
)
from bench.storage.mirror import pulled
from bench.storage.records import FAILED, FILE_COLUMN, SCHEMA, RunRecord
from bench.storage.remote import sweep_directory
from bench.storage.row_files import FIRST, MOST_ROWS, add_rows, rows_files, valid_rows, without_runs
from bench.storage.rows import is_unreachable, read_rows, write_rows
from bench.storage.run_files import (
    OLD_DIGITS,
    refuse_second_names,
    run_file_name,
    sound_rows,
)

if TYPE_CHECKING:
    import pandas as pd

#: Number of files of single runs that are read and checked together; each needs 0.1 MB meanwhile.
_AT_A_TIME = 500


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
    def options_file(self) -> Path:
        return self.directory / "sweep.yaml"

    @property
    def rows_file(self) -> Path:
        """The file with the rows of a finished sweep; a large sweep has further files."""
        return self.directory / FIRST

    def rows_files(self) -> tuple[Path, ...]:
        """Return the files of many rows: :func:`bench.storage.row_files.rows_files`."""
        return rows_files(self.directory)

    @property
    def warnings_file(self) -> Path:
        """Warnings of libraries and user code in the workers of the last command."""
        return self.directory / "warnings.log"

    @property
    def looks_file(self) -> Path:
        return self.directory / "looks.json"

    @property
    def training_file(self) -> Path:
        return self.directory / ".training.json"

    @property
    def quarantine_directory(self) -> Path:
        return self.directory / "quarantine"

    @property
    def in_flight_directory(self) -> Path:
        return self.directory / ".running"

    def run_file(self, run: RunSpec) -> Path:
        """Return the file for the row of `run`."""
        return self.runs_directory / run_file_name(run.optimizer.name, run.seed)

    def create(self) -> None:
        """Create the directory; raise UsageError if rows cannot be written to it."""
        require_writable(self.runs_directory, "results")

    def write_run(self, run: RunSpec, record: RunRecord) -> None:
        """Write one row atomically; raise StoreError if the file cannot be written."""
        write_rows(pa.Table.from_pylist([vars(record)], schema=SCHEMA), self.run_file(run))

    def write_spec(self, spec: SweepSpec) -> None:
        """Store the declaration of the sweep."""
        write_stored(spec.to_json().encode(), self.spec_file)

    def write_options(self, text: str) -> None:
        """Store the spec file of the sweep (:func:`bench.sweeps.reproduce.options_text`)."""
        write_stored(text.encode(), self.options_file)

    def read_spec(self) -> SweepSpec | None:
        """Return the stored declaration, or None if there is none.

        Raise SpecError if the file is not a declaration, and StoreError if the file cannot be read.
        """
        try:
            require_regular(self.spec_file)
            return SweepSpec.from_json(self.spec_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.spec_file}: {error.strerror}") from error
        except (SpecError, UnicodeDecodeError) as error:
            raise SpecError(f"{self.spec_file}: {error}") from error

    def read_rows(self) -> pa.Table:
        """Return all stored rows; a separate file of a run replaces its row in a larger file.

        Raise StoreError if a file cannot be read, and MixedRunsError if two files hold the same
        run.
        """
        return joined(self.read_files())

    def read_files(self) -> dict[Path, pa.Table]:
        """Return the rows by file; see :meth:`read_rows`.

        A sweep may end and put its files together at the same time, so the files of many rows are
        listed and read last.
        """
        single = self._read_runs(self._run_files())
        return _without_replaced({file: read_rows(file) for file in self.rows_files()}, single)

    def _read_runs(self, files: Sequence[Path]) -> dict[Path, pa.Table]:
        """Read the files of single runs; one that has been removed since is left out."""
        single: dict[Path, pa.Table] = {}
        misnamed: StoreError | None = None
        for file, found in self._each(files):
            if isinstance(found, _MisnamedError):
                single[file], misnamed = found.rows, misnamed or found
            elif not isinstance(found, StoreError):
                single[file] = found
            elif os.path.lexists(file):
                raise found
        _refuse_copies(single)
        if misnamed is not None:
            raise misnamed
        return single

    def _run_files(self) -> list[Path]:
        try:
            names = os.listdir(self.runs_directory)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:  # glob would ignore a directory without read permission
            raise StoreError(f"cannot read {self.runs_directory}: {error.strerror}") from error
        return [self.runs_directory / name for name in sorted(names) if name.endswith(".parquet")]

    def _each(self, files: Sequence[Path]) -> Iterator[tuple[Path, pa.Table | StoreError]]:
        """Read the files of single runs, many at a time where all of these are sound."""
        for start in range(0, len(files), _AT_A_TIME):
            some = files[start : start + _AT_A_TIME]
            if (rows := sound_rows(some)) is not None:
                yield from ((file, rows.slice(place, 1)) for place, file in enumerate(some))
                continue
            for file in some:
                try:
                    yield file, self._read_run(file)
                except StoreError as error:
                    yield file, error

    def _read_run(self, file: Path) -> pa.Table:
        """Read the file of one run, and check that its name is that of the run."""
        rows = read_rows(file)
        for row in rows.select(["optimizer", "seed"]).to_pylist():
            own = run_file_name(**row)
            if file.name not in (own, run_file_name(**row, n_digits=OLD_DIGITS)):
                raise _MisnamedError(file, own, rows)
        return rows

    def tidy(self) -> None:
        """Remove files that a killed sweep left; no other process may write to the directory."""
        for directory in (self.directory, self.runs_directory):
            remove_temporaries(directory)
        if self.in_flight_directory.is_symlink():
            with suppress(OSError):
                self.in_flight_directory.unlink()
        shutil.rmtree(self.in_flight_directory, ignore_errors=True)

    def repair(self, spec: SweepSpec | None = None) -> Repair:
        """Move damaged files to `quarantine/`, so that their runs are repeated; read the rest.

        Valid rows of a damaged file of many rows are kept. Where `spec` is given, a file with runs
        of another workload counts as damaged. No other process may write here. Raise StoreError if
        a file cannot be moved, or cannot be opened for a reason outside it, and MixedRunsError if
        two files hold the same run.
        """
        damage: list[Damage] = []
        single: dict[Path, pa.Table] = {}
        for file, found in self._each(self._run_files()):
            if isinstance(found, StoreError):
                reason = _reason_inside(found)
            else:
                reason = _other_workload(found, spec)
            if reason:
                damage.append(self._set_aside(file, reason))
            else:
                single[file] = found
        _refuse_copies(single)
        single = {self._renamed(file, rows): rows for file, rows in single.items()}
        many = {}
        for file in self.rows_files():
            try:
                many[file] = read_rows(file)
            except StoreError as error:
                reason, rows = _reason_inside(error), valid_rows(file)
                damage.append(self._set_aside(file, reason))
                if len(rows):
                    write_rows(rows, file)
                    many[file] = rows
        return Repair(files=_without_replaced(many, single), damage=tuple(damage))

    def _renamed(self, file: Path, rows: pa.Table) -> Path:
        """Give a file of an older version the current name, under which its run is repeated."""
        for row in rows.select(["optimizer", "seed"]).to_pylist():
            target = file.with_name(run_file_name(**row))
            return file if target == file else move(file, target)
        return file

    def set_aside_since(self, since: datetime, reason: str) -> tuple[Damage, ...]:
        """Move the files of the runs that were started at `since` or later to `quarantine/`.

        Damaged files are moved too. No other process may write here. Raise StoreError if a file
        cannot be moved, or cannot be opened for a reason outside it.
        """
        moved = []
        for file in self._run_files():
            try:
                is_new = any(t >= since for t in read_rows(file)["started_at"].to_pylist())
            except StoreError as error:
                is_new = bool(_reason_inside(error))
            if is_new:
                moved.append(self._set_aside(file, reason))
        return tuple(moved)

    def _set_aside(self, file: Path, reason: str) -> Damage:
        target = move_aside(file, self.quarantine_directory)
        return Damage(file=file, target=target, reason=reason)

    def compact(self) -> Mapping[Path, pa.Table]:
        """Put the rows of single files together and return all; an interruption loses no row.

        The rows of one file at a time are in memory while they are put together; then all are read.
        Raise StoreError if a file cannot be read, written or removed.
        """
        files = self._run_files()
        names = {*files}
        for start in range(0, len(files), MOST_ROWS):
            found: list[Path] = []
            tables = []
            for first in range(start, min(start + MOST_ROWS, len(files)), _AT_A_TIME):
                single = self._read_runs(files[first : min(first + _AT_A_TIME, start + MOST_ROWS)])
                refuse_second_names(single, names)
                tables.append(joined(single).combine_chunks())
                found += single
            add_rows(pa.concat_tables(tables), self.directory)
            self._remove(found)
        if files:
            with suppress(OSError):  # the directory may contain other files
                self.runs_directory.rmdir()
        return self.read_files()

    def _remove(self, files: Iterable[Path]) -> None:
        for file in files:
            try:
                file.unlink()
            except OSError as error:
                raise StoreError(f"cannot remove {file}: {error.strerror or error}") from error


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A damaged file: its old and its new path, and a description of the damage."""

    file: Path
    target: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Repair:
    """The rows of the sound files by their files, and the files that were set aside."""

    files: Mapping[Path, pa.Table]
    damage: tuple[Damage, ...]


class _MisnamedError(StoreError):
    """The name of a file is not that of its run."""

    def __init__(self, file: Path, own: str, rows: pa.Table) -> None:
        super().__init__(f"{file} holds the run of {own}: rename it to that name")
        self.rows = rows


def _reason_inside(error: StoreError) -> str:
    """The message of an error about the content of a file; other errors are raised again."""
    if is_unreachable(error.__cause__):
        raise error
    return str(error)


def _other_workload(rows: pa.Table, spec: SweepSpec | None) -> str:
    """Return a description of a workload that differs from that of the sweep, or an empty text."""
    if spec is None:
        return ""
    for row in rows.select([*vars(Workload())]).to_pylist():
        for column, expected in vars(spec.workload_at(row["batch_size"])).items():
            if row[column] != expected:
                return f"a run with {column}={row[column]}, where this sweep has {expected}"
    return ""


def _without_replaced(
    many: Mapping[Path, pa.Table], single: Mapping[Path, pa.Table]
) -> dict[Path, pa.Table]:
    """All rows by their files, without those of `many` whose runs have files of their own."""
    if single:
        keys = joined(single)["run_key"]
        many = {file: without_runs(rows, keys) for file, rows in many.items()}
    _refuse_copies(many)
    return {**many, **single}


def _refuse_copies(files: Mapping[Path, pa.Table]) -> None:
    """Raise MixedRunsError if two files hold the same run."""
    keys = joined(files)["run_key"]
    if pc.count_distinct(keys).as_py() == len(keys):
        return
    seen: dict[str, Path] = {}
    for file, table in files.items():
        for key in table["run_key"].to_pylist():
            first = seen.setdefault(key, file)
            if first is not file:
                raise MixedRunsError(f"{first} and {file} hold the same run: remove one of them")


def finished_keys(rows: pa.Table) -> set[str]:
    """Return the keys of the runs that are complete; failed runs are repeated."""
    pairs = zip(rows["run_key"].to_pylist(), rows["status"].to_pylist(), strict=True)
    return {key for key, status in pairs if status != FAILED}


def joined(files: Mapping[Path, pa.Table]) -> pa.Table:
    """The rows of several files as one table."""
    return pa.concat_tables([SCHEMA.empty_table(), *files.values()])


def load_runs(path: Path | str) -> pd.DataFrame:
    """Load the rows of the directory of a sweep, or of its URI, or of one parquet file.

    The columns are those of :class:`bench.storage.records.RunRecord`, and :data:`FILE_COLUMN`.

    Raises
    ------
    StoreError
        If a file cannot be read.
    UsageError
        If there are no rows.
    """
    path = pulled(sweep_directory(path))
    files = {path: read_rows(path)} if path.is_file() else Store(path).read_files()
    if not any(map(len, files.values())):
        raise UsageError(f"{path} holds no runs: expected a sweep's directory or a parquet file")
    return runs_table(files)


def runs_table(files: Mapping[Path, pa.Table]) -> pd.DataFrame:
    """The rows of several files as a table with :data:`FILE_COLUMN`."""
    named = (
        rows.append_column(FILE_COLUMN, pa.array([str(file)] * len(rows), pa.string()))
        for file, rows in files.items()
    )
    return pa.concat_tables(named).to_pandas()
