"""Anybody's results as one long table: CSV, TSV or parquet files, or directories of them.

A sweep's own directory is read with all the care of :mod:`bench.store`; files from elsewhere need
no more than the columns that are asked for. Every row remembers its file, for messages.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bench.errors import MixedRunsError, StoreError, TableError, UsageError, first_line
from bench.records import REQUIRED_COLUMNS, SCHEMA
from bench.spec import Workload
from bench.store import (
    BUDGET_COLUMNS,
    FILE_COLUMN,
    UNIFORM_COLUMNS,
    Store,
    comparable,
    load_runs,
    one_budget,
)

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
#: What stands in a cell of a CSV file where there is nothing.
NOTHING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "None")
#: Columns of a sweep that hold a list, which a CSV file has as JSON.
LISTS = tuple(f.name for f in SCHEMA if pa.types.is_list(f.type))
ENDINGS = (*SEPARATORS, *PARQUET)


def read_tables(
    paths: Sequence[Path], *, treatment: str, block: str, required: Sequence[str]
) -> pd.DataFrame:
    """The rows of all files, one after the other, with their path in the column ``run_file``.

    Parameters
    ----------
    paths
        Files that end in .csv, .tsv or .parquet, or directories that hold some.
    treatment, block
        The columns of names: whatever stands there is text, "NA" and "1e3" too.
    required
        Columns that every file must have.

    Raises
    ------
    UsageError
        If there is nothing at a path, or nothing that can be read.
    TableError
        If a file is no table, has no rows, or lacks a column.
    StoreError
        If a sweep's directory holds a damaged row.
    """
    import pandas as pd

    tables = []
    for path in paths:
        if is_sweep(path):
            tables.append(_checked(load_runs(path), path, required))
            continue
        for file in _files(path):
            table = _checked(_read(file, (treatment, block)), file, required)
            # as objects, so that whole numbers of any size survive beside those of other files
            tables.append(
                table.assign(**{block: table[block].astype(object), FILE_COLUMN: str(file)})
            )
    together = pd.concat(tables, ignore_index=True)
    _refuse_mixture(together)
    return together


def is_sweep(path: Path) -> bool:
    """Whether `path` is the directory of a sweep, or a file of its rows."""
    if path.is_dir():
        store = Store(path)
        return any(p.exists() for p in (store.spec_file, store.runs_directory, store.rows_file))
    return path.suffix.lower() in PARQUET and _parquet_columns(path) >= REQUIRED_COLUMNS


def _parquet_columns(path: Path) -> set[str]:
    import pyarrow.parquet as pq

    try:
        return set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return set()  # reading the whole file will say what is wrong


def _refuse_mixture(table: pd.DataFrame) -> None:
    """Rows of sweeps must be of one workload, device and torch; of others, who knows."""
    if not set(table.columns) >= REQUIRED_COLUMNS:
        return
    for column in UNIFORM_COLUMNS:
        if column not in table:  # it came later
            continue
        found = table[column].map(partial(comparable, column), na_action="ignore").dropna().unique()
        if len(found) > 1:
            raise MixedRunsError(
                f"the files hold runs with {column}={found[0]} and {column}={found[1]}: runs that "
                "are compared must agree in this"
            )
    budgets = table[["optimizer", *vars(Workload())]].dropna()
    whole = budgets.astype(dict.fromkeys(BUDGET_COLUMNS, "int64"), errors="ignore")
    one_budget(pa.Table.from_pandas(whole, preserve_index=False), "the table")


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in ENDINGS)
        if not files:
            raise UsageError(f"{path} holds no table: expected files ending in {_endings()}")
        return files
    if not path.exists():
        raise UsageError(f"no results at {path}: expected a directory or a file ({_endings()})")
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"cannot tell what {path} is: its name must end in {_endings()}")
    return [path]


def _endings() -> str:
    return ", ".join(ENDINGS[:-1])


def _read(file: Path, as_text: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    try:
        if file.suffix.lower() in PARQUET:
            return _read_parquet(file)
        with warnings.catch_warnings():
            # pandas would only warn of a row with more cells than there are columns
            warnings.simplefilter("error", pd.errors.ParserWarning)
            text = pd.read_csv(
                file,
                sep=SEPARATORS[file.suffix.lower()],
                encoding="utf-8-sig",
                index_col=False,
                header=None,
                dtype=str,
                na_filter=False,
                skipinitialspace=True,
            )
        return _typed(text, as_text)
    except OSError as error:
        if error.strerror is None:  # not the system's: damage that pyarrow found
            raise TableError(f"{file} is not a table: {first_line(error)}") from error
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    except pd.errors.EmptyDataError:
        raise TableError(f"{file} is empty: it needs a line of column names, then rows") from None
    except pd.errors.ParserWarning:
        raise TableError(
            f"{file} is not a table: a row has more cells than there are columns"
        ) from None
    except (ValueError, pa.ArrowException, pd.errors.ParserError) as error:
        raise TableError(f"{file} is not a table: {first_line(error)}") from error


def _read_parquet(file: Path) -> pd.DataFrame:
    """The columns as they are: what pandas has noted beside them is not trusted."""
    import pyarrow.parquet as pq

    table = pq.read_table(file).replace_schema_metadata()
    numbering = [name for name in table.column_names if re.fullmatch(r"__index_level_\d+__", name)]
    return table.drop_columns(numbering).to_pandas()


def _typed(text: pd.DataFrame, as_text: Sequence[str]) -> pd.DataFrame:
    """The first row as names; numbers where a whole column holds numbers.

    Names of treatments and blocks stay text, even "NA" or a seed of twenty digits.
    """
    import pandas as pd

    header = [str(name).strip() for name in text.iloc[0]]
    columns = []
    for name, column in zip(header, text.columns, strict=True):
        cells = text[column].iloc[1:].astype(object).str.strip()
        if name not in as_text:
            cells = cells.mask(cells.isin(NOTHING), None)
            numbers = pd.to_numeric(cells, errors="coerce")
            cells = cells if (numbers.isna() & cells.notna()).any() else numbers
        if name in LISTS:
            cells = cells.map(_as_list)
        columns.append(cells)
    return pd.concat(columns, axis=1, keys=header).reset_index(drop=True)


def _as_list(cell: Any) -> Any:
    """The numbers of a JSON list, NaN where it holds null; any other cell as it is."""
    try:
        items = json.loads(cell)
        return [_number(item) for item in items] if isinstance(items, list) else cell
    except (TypeError, ValueError, RecursionError):
        return cell


def _number(item: Any) -> int | float:
    if item is None:
        return math.nan
    # JSON has no infinity: it stands there as text
    return item if isinstance(item, int | float) else float(item)


def _checked(table: pd.DataFrame, path: Path, required: Sequence[str]) -> pd.DataFrame:
    names = list(table.columns)
    for column in (*required, *names):
        if names.count(column) > 1:
            raise TableError(f"{path} has more than one column {column!r}")
    for column in required:
        if column not in table.columns:
            raise TableError(
                f"{path} has no column {column!r}: its columns are "
                f"{', '.join(map(str, table.columns))[:300] or 'none'}"
            )
    if table.empty:
        raise TableError(f"{path} has no rows: it needs one row per run")
    return table
