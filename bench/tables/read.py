"""Read results of any program as one long table, with one row per run.

Directories of sweeps are read by :mod:`bench.storage.store`. Other files are read by
:mod:`bench.tables.formats` and arranged by :mod:`bench.tables.layout`. Each row holds the path of
its file, for messages.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bench.analysis.outcomes import STATUS
from bench.analysis.reading import is_accuracy
from bench.errors import MixedRunsError, TableError, UsageError
from bench.spec.model import Workload
from bench.storage.compatibility import BUDGET_COLUMNS, UNIFORM_COLUMNS, comparable, one_budget
from bench.storage.files import require_regular
from bench.storage.records import (
    FILE_COLUMN,
    LATER_COLUMNS,
    REQUIRED_COLUMNS,
    ROW_COLUMN,
)
from bench.storage.store import Store, load_runs
from bench.tables import event_files
from bench.tables.cells import typed, without_per_cent
from bench.tables.delimited import COMMENT
from bench.tables.formats import ENDINGS, UNSURE, Expected, RawTable, read_raw
from bench.tables.layout import CELLS, Arranged, arrange
from bench.tables.roles import Roles, find_column
from bench.tables.steps import LAST_ROW
from bench.words import count

PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A long table, and how it was read.

    Attributes
    ----------
    table
        One row per run. The columns of the treatment, the block and the result have the names in
        `roles`; further columns are `run_file` and those of the files.
    roles
        The columns of a comparison, with the name of the result.
    lines
        Three lines on the files, the columns and the runs; empty for the directory of a sweep.
    """

    table: pd.DataFrame
    roles: Roles
    lines: tuple[str, ...]


def read_tables(
    paths: Sequence[Path],
    roles: Roles,
    *,
    ignored: Sequence[str] = (),
    note: Callable[[str], None] = lambda _: None,
) -> Reading:
    """Read and concatenate the rows of all files.

    `paths` are files, directories of files, or directories of TensorBoard's event files. The
    `ignored` columns are omitted. Treatments and blocks in text files are always text, including
    "NA" and "1e3". The results and statuses keep the words nan and inf as text. `note` is called
    with each message on what was interpreted.

    Raise UsageError if a path does not exist or contains no table. Raise TableError if a file is
    not a table, has no rows, or lacks a column. Raise StoreError if the directory of a sweep has a
    damaged row.
    """
    _refuse_repeated(paths)
    reader = _Reader(roles=roles, ignored=ignored)
    tables = [table for path in paths for table in reader.tables(path)]
    reader.refuse_unknown()
    together = pd.concat(tables, ignore_index=True)
    if "run_key" in together and (twice := together["run_key"].dropna().duplicated()).any():
        raise TableError(f"{twice.sum()} stored runs are given twice: give each sweep once")
    _refuse_mixture(together)
    for sentence in reader.notes():
        note(sentence)
    roles = replace(roles, value=reader.value)
    return Reading(table=together, roles=roles, lines=tuple(reader.lines(together, roles)))


def _refuse_repeated(paths: Sequence[Path]) -> None:
    """Raise UsageError if a path is given twice, or two files have the same content."""
    seen: dict[object, Path] = {}
    for path in paths if len(paths) > 1 else ():  # a single file is read once
        for key in (os.path.realpath(path), _content(path)):
            if key is not None and key in seen:
                raise UsageError(f"{seen[key]} and {path} hold the same runs: give them once")
            seen[key] = path


def _content(path: Path) -> str | None:
    """Return the hash of a file; None for anything else."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # reading the table reports the error
        return None


def is_sweep(path: Path) -> bool:
    """Return whether `path` is the directory of a sweep, or a file of its rows."""
    if path.is_dir():
        store = Store(path)
        is_declared = store.spec_file.exists() or store.runs_directory.exists()
        return is_declared or any(f.is_file() and is_sweep(f) for f in store.rows_files()[:1])
    return path.suffix.lower() in PARQUET and _parquet_columns(path) >= REQUIRED_COLUMNS


def _parquet_columns(path: Path) -> set[str]:
    import pyarrow.parquet as pq

    try:
        require_regular(path)
        return set(pq.read_schema(path).names)
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (OSError, ValueError, pa.ArrowException):
        return set()  # reading the whole file reports the error


def _refuse_mixture(table: pd.DataFrame) -> None:
    """Check that rows of sweeps have one workload, device and version of torch.

    Tables of other programs are not checked, as they lack these columns.
    """
    if not set(table.columns) >= REQUIRED_COLUMNS:
        return
    for column in UNIFORM_COLUMNS:
        if column not in table:  # a column that older files lack
            continue
        found = table[column].map(partial(comparable, column), na_action="ignore").dropna().unique()
        if len(found) > 1:
            raise MixedRunsError(
                f"the files hold runs with {column}={found[0]} and {column}={found[1]}: runs that "
                "are compared must agree in this"
            )
    later = {name: LATER_COLUMNS[name] for name in vars(Workload()) if name not in table}
    budgets = table.assign(**later)[["optimizer", *vars(Workload())]].dropna()
    whole = budgets.astype(dict.fromkeys(BUDGET_COLUMNS, "int64"), errors="ignore")
    one_budget(pa.Table.from_pandas(whole, preserve_index=False), "the table")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(path.iterdir())
        found = [f for f in inside if f.name.lower().endswith(ENDINGS)]
        found = found or [f for f in inside if f.name.lower().endswith(UNSURE)]
        # some programs write a table as a directory of that name
        files = [part for file in found for part in (_files(file) if file.is_dir() else [file])]
        if not files:
            raise UsageError(
                f"{path} holds no table: expected files ending in {', '.join(ENDINGS[:7])}, .json "
                "or .txt, compressed with .gz or not, or event files of TensorBoard"
            )
        return files
    if not path.exists():
        raise UsageError(f"no results at {path}: expected a directory or a file")
    return [path]


@dataclass(kw_only=True)
class _Reader:
    """Reads files for one comparison, and collects notes about them."""

    roles: Roles
    ignored: Sequence[str]
    value: str | None = None
    files: dict[Path, tuple[RawTable, Arranged]] = field(default_factory=dict)
    per_cent: dict[Path, str] = field(default_factory=dict)
    nans: dict[str, int] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)
    n_sweeps: int = 0

    def tables(self, path: Path) -> Iterator[pd.DataFrame]:
        """Yield the table of each file at a path."""
        if is_sweep(path):
            self.n_sweeps += 1
            yield self._of_sweep(path)
        elif path.is_dir() and (runs := event_files.runs_in(path)):
            raw = event_files.read_runs(runs, path, self.roles)
            yield self._arranged(raw, path, None)
        else:
            files = _files(path)
            is_one = len(files) == 1 and self.roles.run_names is None
            for file in files:
                raw = read_raw(file, self._expected)
                yield self._arranged(raw, file, None if is_one else _run_name(file, path))

    def refuse_unknown(self) -> None:
        """Raise TableError if a column of `ignored` is in no file."""
        for column in self.ignored:
            if column not in self.columns:
                raise TableError(
                    f"there is no column {column!r} to ignore: the columns are "
                    f"{', '.join(sorted(self.columns))[:300]}"
                )

    def notes(self) -> Iterator[str]:
        """Yield the notes, one sentence each."""
        comments = {f: raw.comments for f, (raw, _) in self.files.items() if raw.comments}
        if n := sum(map(len, comments.values())):
            file, lines = next(iter(comments.items()))
            more = f" in {len(comments)} files" if len(comments) > 1 else ""
            yield (
                f"skipped {count(n, 'comment line')} (with {COMMENT!r} in front){more}, the first "
                f"is line {lines[0]} of {file}"
            )
        for file, (raw, _) in self.files.items():
            if raw.header_line is not None:
                yield (
                    f"line {raw.header_line} of {file}, which begins with {COMMENT!r}, is read as "
                    "column names"
                )
        for column, n in self.nans.items():
            yield (
                f"NaN in {count(n, 'cell')} of column {column!r} of parquet files: read as no "
                f"result, as null is; runs that diverged need a column {STATUS!r} that says so"
            )
        if self.per_cent:
            file, unit = next(iter(self.per_cent.items()))
            yield f"per cent signs in {file}: the results are read as {unit}"
        notes = dict.fromkeys(n for _, arranged in self.files.values() for n in arranged.notes)
        yield from notes
        if sum(note.startswith(LAST_ROW) for note in notes) > 1:
            yield "the runs of the files end at different steps"

    def lines(self, table: pd.DataFrame, roles: Roles) -> Iterator[str]:
        """Yield what was read: files, columns, runs."""
        if self.n_sweeps:
            return
        first, (raw, arranged) = next(iter(self.files.items()))
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        yield f"read:    {first}{more}: {raw.format}, {arranged.layout}"
        columns = ", ".join(f"{role} = {column}" for role, column in arranged.sources.items())
        each = table[roles.treatment_name].value_counts()
        per = f"{each.max()}" if each.min() == each.max() else f"{each.min()} to {each.max()}"
        runs = f"{count(len(table), 'run')}, {per} for each of {len(each)} treatments"
        yield f"columns: {columns}; {runs}"
        yield "options: --treatment, --block, --value, --step and --run-names change this"

    @property
    def _expected(self) -> Expected:
        return Expected(
            has_roles=self.roles.are_in,
            value_of=self._value_of,
            keeps=lambda column: column not in self.ignored,
            block=self.roles.block,
        )

    def _value_of(self, columns: Sequence[str]) -> int | None:
        found = find_column(self.roles.value_name, columns)
        return None if found is None else list(columns).index(found)

    def _of_sweep(self, path: Path) -> pd.DataFrame:
        table = load_runs(path)
        self.columns.update(table.columns)
        table = table.drop(columns=[c for c in self.ignored if c in table.columns])
        roles = replace(self.roles, run_names=None, step=None)
        self._name_value(roles.value_name, path)
        return arrange(table, roles, path, None).table.drop(columns=ROW_COLUMN)

    def _arranged(self, raw: RawTable, file: Path, run: str | None) -> pd.DataFrame:
        self.columns.update(raw.names)
        if raw.columns.empty and raw.names:
            raise TableError(f"{file} has no rows: it needs one row per run")
        arranged = arrange(raw.columns, self.roles, file, run)
        self.files[file] = raw, arranged
        self._name_value(arranged.roles.value_name, file)
        source = arranged.sources["value"]
        for name, n in raw.nans.items():
            if n and source in (name, CELLS):
                self.nans[name] = self.nans.get(name, 0) + n
        table = self._typed(arranged, file) if raw.is_text else arranged.table
        # objects, because concatenation could otherwise convert large integers to floats
        block = table[self.roles.block].astype(object)
        return table.assign(**{self.roles.block: block, FILE_COLUMN: str(file)})

    def _typed(self, arranged: Arranged, file: Path) -> pd.DataFrame:
        """Convert the text of results and further columns; names stay text."""
        table, value = arranged.table, arranged.roles.value_name
        # accuracies as fractions, because 0.5 % would be taken for a fraction; others in per cent
        divisor = 100 if is_accuracy(value) else 1
        if (numbers := without_per_cent(table[value], divisor)) is not None:
            self.per_cent[file] = "fractions" if divisor == 100 else "numbers in per cent"
            table = table.assign(**{value: numbers})
        untouched = (self.roles.treatment_name, self.roles.block, ROW_COLUMN)
        return pd.DataFrame(
            {
                name: table[name]
                if name in untouched
                else typed(name, table[name], is_outcome=name in (value, STATUS))
                for name in table.columns
            }
        )

    def _name_value(self, value: str, path: Path) -> None:
        """Note the name of the result; raise TableError if another file has another one."""
        if self.value is not None and value != self.value:
            raise TableError(
                f"{path} holds {value!r}, other files hold {self.value!r}: use --value"
            )
        self.value = value


def _run_name(file: Path, path: Path) -> str:
    """Return the path of a file below the given one, without its endings."""
    relative = file.relative_to(path) if path.is_dir() else Path(file.name)
    name = relative.name.lower()
    ending = next((e for e in (*ENDINGS[::-1], *UNSURE[::-1]) if name.endswith(e)), "")
    return relative.as_posix()[: len(relative.as_posix()) - len(ending)]
