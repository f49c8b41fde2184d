"""Read results of any program as one long table: CSV, TSV or parquet files, or directories.

Directories of sweeps are read by :mod:`bench.storage.store`. Other files need only the requested
columns. Each row holds the path of its file, for messages.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.analysis.columns import MISSING
from bench.analysis.outcomes import STATUS
from bench.errors import MixedRunsError, StoreError, TableError, UsageError, first_line
from bench.spec.model import Workload
from bench.storage.compatibility import BUDGET_COLUMNS, UNIFORM_COLUMNS, comparable, one_budget
from bench.storage.files import require_regular
from bench.storage.records import FILE_COLUMN, LATER_COLUMNS, REQUIRED_COLUMNS, SCHEMA
from bench.storage.store import Store, load_runs
from bench.tables.delimited import COMMENT, read_delimited

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
#: Columns of a sweep that hold a list, which is JSON in a CSV file.
LISTS = tuple(f.name for f in SCHEMA if pa.types.is_list(f.type))
#: Columns of a sweep that hold bytes.
BYTES = tuple(f.name for f in SCHEMA if pa.types.is_binary(f.type))
ENDINGS = (*SEPARATORS, *PARQUET)


def read_tables(
    paths: Sequence[Path],
    *,
    treatment: str,
    block: str,
    required: Sequence[str],
    ignored: Sequence[str] = (),
    note: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Return the concatenated rows of all files, with the path of the file in ``run_file``.

    `paths` are files that end in .csv, .tsv or .parquet, or directories of such files. Every file
    must have the `required` columns; the `ignored` ones are omitted. Cells of the columns
    `treatment` and `block` are always text, including "NA" and "1e3". In text files the results
    (the other required columns) and statuses keep the words nan and inf as text. `note` is called
    with each message on skipped lines and ambiguous cells.

    Raise UsageError if a path does not exist or contains no table. Raise TableError if a file is
    not a table, has no rows, or lacks a column. Raise StoreError if the directory of a sweep has a
    damaged row.
    """
    import pandas as pd

    reader = _Reader(treatment=treatment, block=block, required=required, ignored=ignored)
    tables = [table for path in paths for table in reader.tables(path)]
    reader.refuse_unknown()
    together = pd.concat(tables, ignore_index=True)
    _refuse_mixture(together)
    for sentence in reader.notes():
        note(sentence)
    return together


def is_sweep(path: Path) -> bool:
    """Return whether `path` is the directory of a sweep, or a file of its rows."""
    if path.is_dir():
        store = Store(path)
        is_declared = store.spec_file.exists() or store.runs_directory.exists()
        return is_declared or (store.rows_file.is_file() and is_sweep(store.rows_file))
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
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        # some programs write a table as a directory of that name
        files = [part for file in found for part in (_files(file) if file.is_dir() else [file])]
        if not files:
            raise UsageError(f"{path} holds no table: expected files ending in {_endings()}")
        return files
    if not path.exists():
        raise UsageError(f"no results at {path}: expected a directory or a file ({_endings()})")
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"unknown type of file {path}: its name must end in {_endings()}")
    return [path]


def _endings() -> str:
    return ", ".join(ENDINGS[:-1])


@dataclass(kw_only=True)
class _Reader:
    """Reads files for one comparison, and collects notes about them."""

    treatment: str
    block: str
    required: Sequence[str]
    ignored: Sequence[str]
    comments: dict[Path, tuple[int, ...]] = field(default_factory=dict)
    headers: dict[Path, int] = field(default_factory=dict)
    nans: dict[str, int] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, str]:
        """Columns of names: their cells are text."""
        return self.treatment, self.block

    @property
    def values(self) -> list[str]:
        """Columns of results."""
        return [column for column in self.required if column not in self.names]

    def tables(self, path: Path) -> Iterator[pd.DataFrame]:
        """Yield the table of each file at a path."""
        if is_sweep(path):
            yield self._checked(self._kept(load_runs(path)), path)
            return
        for file in _files(path):
            table = self._checked(self._read(file), file)
            # objects, because concatenation could otherwise convert large integers to floats
            block = table[self.block].astype(object)
            yield table.assign(**{self.block: block, FILE_COLUMN: str(file)})

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
        if n := sum(map(len, self.comments.values())):
            file, lines = next(iter(self.comments.items()))
            more = f" in {len(self.comments)} files" if len(self.comments) > 1 else ""
            yield (
                f"skipped {n} comment {'line' if n == 1 else 'lines'} (with {COMMENT!r} in front)"
                f"{more}, the first is line {lines[0]} of {file}"
            )
        for file, line in self.headers.items():
            yield f"line {line} of {file}, which begins with {COMMENT!r}, is read as column names"
        for column, n in self.nans.items():
            yield (
                f"NaN in {n} {'cell' if n == 1 else 'cells'} of column {column!r} of parquet "
                "files: read as no result, as null is; runs that diverged need a column "
                f"{STATUS!r} that says so"
            )

    def _read(self, file: Path) -> pd.DataFrame:
        try:
            require_regular(file)
            if file.suffix.lower() in PARQUET:
                return self._read_parquet(file)
            return self._read_text(file)
        except MemoryError:  # pyarrow's is an ArrowException too
            raise
        except OSError as error:
            if error.strerror is None:  # raised by pyarrow for a damaged file
                raise TableError(f"{file} is not a table: {first_line(error)}") from error
            raise StoreError(f"cannot read {file}: {error.strerror}") from error
        except (ValueError, csv.Error, pa.ArrowException) as error:
            raise TableError(f"{file} is not a table: {first_line(error)}") from error

    def _read_text(self, file: Path) -> pd.DataFrame:
        import pandas as pd

        text = read_delimited(
            file, SEPARATORS[file.suffix.lower()], names=self.required, numeric=self.values
        )
        if text.comments:
            self.comments[file] = text.comments
        if text.header_line is not None:
            self.headers[file] = text.header_line
        self._refuse_twice(text.header, file)
        cells = zip(text.header, text.columns, strict=True)
        kept = {name: column for name, column in cells if self._keeps(name)}
        return pd.DataFrame({name: self._typed(name, column) for name, column in kept.items()})

    def _typed(self, name: str, column: Sequence[str]) -> pd.Series:
        """Convert a column to numbers if all its cells are numbers.

        Names of treatments and blocks stay text, including "NA" and a seed of twenty digits.
        """
        import pandas as pd

        cells = pd.Series(column, dtype=object)
        if name not in self.names:
            is_outcome = name in self.values or name == STATUS
            if (plain := _plain_numbers(cells)) is not None:
                return plain
            nothing = MISSING if is_outcome else {*MISSING, "nan"}
            cells = cells.mask(cells.str.lower().isin(nothing), None)
            numbers = pd.to_numeric(cells, errors="coerce")
            is_text = numbers.isna() & cells.notna()
            if is_outcome:
                is_text |= numbers.abs() == math.inf
            cells = cells if is_text.any() else numbers
        return cells.map(_as_list) if name in LISTS else cells

    def _read_parquet(self, file: Path) -> pd.DataFrame:
        """Read the columns of the file; the metadata of pandas is not used."""
        import pandas as pd
        import pyarrow.parquet as pq

        # not read_table, which adds columns for directories named key=value
        try:
            with pq.ParquetFile(file) as opened:
                table = opened.read()
            names = table.column_names
        except UnicodeDecodeError:
            raise TableError(f"{file} has a column whose name is not text in UTF-8") from None
        self._refuse_twice(names, file)
        columns = {}
        for name in filter(self._keeps, names):
            if re.fullmatch(r"__index_level_\d+__", name):
                continue
            is_text = name not in BYTES
            column = _as_pandas(table[name]) if is_text else table[name].to_pandas()
            if column is not None:
                columns[name] = column
            elif name in (*self.required, *SCHEMA.names):
                raise TableError(f"column {name!r} of {file} holds text that is not UTF-8")
            if name in self.values and pa.types.is_floating(table[name].type):
                self._count_nans(name, table[name])
        return pd.DataFrame(columns, index=range(len(table)))

    def _count_nans(self, name: str, column: pa.ChunkedArray) -> None:
        if n := pc.sum(pc.is_nan(column)).as_py():
            self.nans[name] = self.nans.get(name, 0) + n

    def _keeps(self, column: str) -> bool:
        return column not in self.ignored

    def _kept(self, table: pd.DataFrame) -> pd.DataFrame:
        self.columns.update(table.columns)
        return table.drop(columns=[c for c in self.ignored if c in table.columns])

    def _refuse_twice(self, names: Sequence[str], file: Path) -> None:
        self.columns.update(names)
        for column in (*self.required, *names):
            if self._keeps(column) and names.count(column) > 1:
                raise TableError(f"{file} has more than one column {column!r}")

    def _checked(self, table: pd.DataFrame, path: Path) -> pd.DataFrame:
        for column in self.required:
            if column not in table.columns:
                raise TableError(
                    f"{path} has no column {column!r}: its columns are "
                    f"{', '.join(table.columns)[:300] or 'none'}"
                )
        if table.empty:
            raise TableError(f"{path} has no rows: it needs one row per run")
        return table


def _plain_numbers(cells: pd.Series) -> pd.Series | None:
    """Convert text to numbers; None unless every cell is a finite number."""
    import pandas as pd

    try:
        numbers = pd.to_numeric(cells)
    except (ValueError, TypeError):
        return None
    is_plain = numbers.dtype.kind in "iuf" and np.isfinite(numbers).all()
    return numbers if is_plain else None


def _is_binary(kind: pa.DataType) -> bool:
    t = pa.types
    checks = (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
    return any(check(kind) for check in checks)


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return any(check(kind) for check in (t.is_string, t.is_large_string, t.is_string_view))


def _as_pandas(column: pa.ChunkedArray) -> pd.Series | None:
    """Convert a column to pandas, and binary columns to text if they are UTF-8.

    Text that is not UTF-8 stays bytes. Return None if such text is within lists or
    dictionaries.
    """
    kind = column.type
    try:
        if pa.types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if _is_binary(kind):
            column = column.cast(pa.string())
        column.validate(full=True)  # pandas decodes text only when it is used
        return column.to_pandas()
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (pa.ArrowException, ValueError):
        is_flat = _is_binary(kind) or _is_text(kind)
        return column.cast(pa.binary()).to_pandas() if is_flat else None


def _as_list(cell: Any) -> Any:
    """Parse a JSON list of numbers, with NaN for null; return any other cell unchanged."""
    try:
        items = json.loads(cell)
        return [_number(item) for item in items] if isinstance(items, list) else cell
    except (TypeError, ValueError, RecursionError):
        return cell


def _number(item: Any) -> int | float:
    if item is None:
        return math.nan
    # JSON has no infinity: it is written as text
    return item if isinstance(item, int | float) else float(item)
