"""Arrange tables of other layouts as one row per run.

Layouts: one row per run; several rows per run with a column of steps; one column per treatment; one
column per block; one column per run, as in exports of Weights & Biases; one file per run. The names
of runs give treatment and block where no column does. Where runs are not paired, the number of the
row is the block of a table without one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.outcomes import STATUS, is_status
from bench.errors import TableError
from bench.storage.records import ROW_COLUMN
from bench.tables.cells import is_numeric
from bench.tables.roles import (
    RUN_NAMES,
    STEPS,
    Roles,
    find_column,
    first_of,
    plain_name,
    unknown_column,
)
from bench.tables.steps import is_missing, last_steps, step_column

#: Sources of roles that no column of the file holds.
CELLS, NAMES_OF_COLUMNS, NAMES_OF_FILES = "cells", "names of columns", "names of files"
ROW_NUMBERS = "row numbers"
_ONE_ROW, _SEVERAL_ROWS = "one row per run", "several rows per run"
#: Header and names of the CSV files that TensorBoard saves.
_TENSORBOARD = ("wall_time", "step", "value")
_TENSORBOARD_FILE = re.compile(r"run-(?P<run>.+)-tag-(?P<tag>.+)\.csv(\.gz)?", re.IGNORECASE)
#: A column of Weights & Biases: name of the run, metric, and the extremes over a group of runs.
_CHART = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<extreme>__MIN|__MAX)?")
#: Words before the number of a block in the name of its column.
_BLOCKS = "seed|run|rep|trial|fold|split"
#: Names of an index in files of pandas.
_UNNAMED = ("", "Unnamed: 0", "index")
#: Names of columns that hold no results of a treatment.
_NO_TREATMENT = re.compile(
    r"(lr|learning_rate|batch_size|momentum|weight_decay|beta_?\d?|eps|n_?params|num_params|params|id|"
    r"rank|number|duration|score|value|fold|trial|run|(.*_)?(time|seconds|loss|acc|accuracy|error))"
)


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """A table with one row per run.

    Attributes
    ----------
    table
        Columns of the treatment, the block and the result, with the names in `roles`; then the
        others of the file.
    roles
        The columns of the comparison, with the name of the result.
    layout
        Description of the layout of the file.
    sources
        The column of each role in the file, by role.
    notes
        Sentences on what was interpreted.
    """

    table: pd.DataFrame
    roles: Roles
    layout: str
    sources: Mapping[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Source:
    """The table of a file that is to be arranged; see :func:`arrange`."""

    table: pd.DataFrame
    roles: Roles
    file: Path
    run: str | None

    @cached_property
    def columns(self) -> list[str]:
        return [column for column in self.table.columns if column != ROW_COLUMN]

    @property
    def step(self) -> str | None:
        return step_column(self.columns, self.roles.step)

    @cached_property
    def found(self) -> tuple[list[str], str | None, str | None]:
        """The columns of the treatment that exist, of the block and of the result."""
        *treatments, block, value = self.roles.found(self.columns)
        return [name for name in treatments if name is not None], block, value

    @property
    def is_treated(self) -> bool:
        """Whether all columns of the treatment exist."""
        return len(self.found[0]) == len(self.roles.treatment)

    @property
    def treatment(self) -> pd.Series:
        """The treatment of each row; several columns are combined, as in sgd[lr=0.1]."""
        first, *more = (self.table[column] for column in self.found[0])
        if not more:
            return first
        names = self.roles.treatment[1:]
        parts = [cells.map(str).radd(f"{n}=") for n, cells in zip(names, more, strict=True)]
        inside = parts[0].str.cat(parts[1:], sep=",") if len(parts) > 1 else parts[0]
        return first.map(str) + "[" + inside + "]"

    def are_results(self, columns: Sequence[str]) -> bool:
        """Return whether there are at least two columns, and all hold results."""
        return len(columns) >= 2 and all(is_numeric(self.table[column]) for column in columns)

    def arranged(
        self,
        treatment: pd.Series,
        block: pd.Series,
        value: pd.Series,
        others: pd.DataFrame,
        *,
        layout: str,
        sources: Sequence[str],
        name: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> Arranged:
        """Build the table; `name` is that of the result, if the file names it."""
        roles = replace(self.roles, value=name or self.roles.value_name)
        columns = {roles.treatment_name: treatment, roles.block: block, roles.value_name: value}
        others = others[[column for column in others.columns if column not in columns]]
        return Arranged(
            table=pd.concat([pd.DataFrame(columns), others], axis=1),
            roles=roles,
            layout=layout,
            sources=dict(zip(("treatment", "block", "value"), sources, strict=True)),
            notes=notes,
        )

    def of_one_run(self, run: str, value: str, *, name: str | None = None) -> Arranged:
        """Arrange the rows of one run, whose name gives treatment and block."""
        treatment, block = self.split(run)
        return self.arranged(
            pd.Series([treatment] * len(self.table), dtype=object),
            pd.Series([block] * len(self.table), dtype=object),
            self.table[value],
            self.table.drop(columns=[value]),
            layout="one file per run",
            sources=(NAMES_OF_FILES, NAMES_OF_FILES, value),
            name=name,
            notes=(self.on_names(NAMES_OF_FILES),),
        )

    def melted(
        self,
        treatments: Mapping[str, str] | None,
        blocks: Mapping[str, str] | None,
        *,
        name: str,
        layout: str,
        notes: tuple[str, ...] = (),
    ) -> Arranged:
        """Stack the columns that hold the results of a treatment, a block, or both."""
        columns = list(treatments or blocks or ())
        kept = self.table.drop(columns=columns)
        if treatments is None:
            kept = kept.assign(**{self.roles.treatment_name: self.treatment})
        long = _stacked(self.table, kept, columns)
        block = self.found[1] or (self.columns[0] if self.roles.is_paired else ROW_COLUMN)
        if (
            blocks is None and block == ROW_COLUMN
        ):  # columns of independent samples differ in length
            long = long[~is_missing(long["\0cell"])].reset_index(drop=True)
        return self.arranged(
            long["\0column"].map(treatments) if treatments else long[self.roles.treatment_name],
            long["\0column"].map(blocks) if blocks else long[block],
            long["\0cell"],
            long.drop(columns=["\0column", "\0cell"]),
            layout=f"{layout} ({len(columns)} columns)",
            sources=(
                NAMES_OF_COLUMNS if treatments else ",".join(self.found[0]),
                NAMES_OF_COLUMNS if blocks else _source_of(block) or "row names",
                CELLS,
            ),
            name=name,
            notes=(f"{layout}: the cells are read as {name!r}", *notes),
        )

    def split(self, run: str) -> tuple[str, str]:
        """Return treatment and block of a run's name."""
        return self.roles.names.split(run)

    def on_names(self, source: str) -> str:
        """Return the note that names were split."""
        return f"treatment and {self.roles.block} are read from {source}: {self.roles.names.shown}"

    def require_named_value(self, layout: str, columns: Sequence[str]) -> str:
        """Return the name of the result; raise TableError if the user gave none."""
        if self.roles.value is None:
            raise TableError(
                f"{self.file} has {layout} ({', '.join(columns[:8])}): name what they hold with "
                "--value, such as --value test_accuracy, or --value rmse --direction lower"
            )
        return self.roles.value


def arrange(table: pd.DataFrame, roles: Roles, file: Path, run: str | None) -> Arranged:
    """Arrange the table of a file as one row per run.

    `run` is the name of the run if the file may hold only one, else None. Raise TableError if a
    column is missing or the layout is ambiguous.
    """
    table = table.assign(**{ROW_COLUMN: np.arange(1, len(table) + 1)})
    source = _Source(table=table, roles=roles, file=file, run=run)
    for layout in _LAYOUTS:
        if (arranged := layout(source)) is not None:
            return _with_status(_at_last_steps(arranged, file))
    raise _missing(source)


def _long(source: _Source) -> Arranged | None:
    treatments, block, value = source.found
    if block is None and not source.roles.is_paired:
        block = ROW_COLUMN
    if not source.is_treated or block is None or value is None or source.roles.run_names:
        return None
    return source.arranged(
        source.treatment,
        source.table[block],
        source.table[value],
        source.table.drop(columns=[c for c in (*treatments, block, value) if c != ROW_COLUMN]),
        layout=_ONE_ROW,
        sources=(",".join(treatments), _source_of(block), value),
    )


def _source_of(block: str) -> str:
    return ROW_NUMBERS if block == ROW_COLUMN else block


def _tensorboard(source: _Source) -> Arranged | None:
    """Read a CSV file of TensorBoard, whose name holds the run and the tag."""
    found = _TENSORBOARD_FILE.fullmatch(source.file.name)
    if tuple(map(plain_name, source.columns)) != _TENSORBOARD or found is None:
        return None
    wanted = source.roles.value or found["tag"]
    if plain_name(wanted) != plain_name(found["tag"]):
        raise TableError(f"{source.file} holds {found['tag']!r}, not {wanted!r} (--value)")
    return source.of_one_run(found["run"], source.columns[2], name=wanted)


def _charts(source: _Source) -> Arranged | None:
    """Read an export of Weights & Biases: a column of steps, and one column per run."""
    step = source.step
    others = [column for column in source.columns if column != step]
    matches = {c: m for c in others if (m := _CHART.fullmatch(c))}
    if step is None or not others or len(matches) < len(others):
        return None
    metrics = sorted({match["metric"] for match in matches.values()})
    metric = find_column(source.roles.value_name, metrics)
    if metric is None and (source.roles.value is not None or len(metrics) > 1):
        raise TableError(unknown_column(source.roles.value_name, metrics, source.file, "--value"))
    metric = metric or metrics[0]
    of_metric = {c: m for c, m in matches.items() if m["metric"] == metric}
    _refuse_groups(source, of_metric)
    runs = {c: source.split(m["run"]) for c, m in of_metric.items() if not m["extreme"]}
    unused = [column for column in others if column not in runs]
    return replace(source, table=source.table.drop(columns=unused)).melted(
        {column: treatment for column, (treatment, _) in runs.items()},
        {column: block for column, (_, block) in runs.items()},
        name=source.roles.value or metric,
        layout="one column per run",
        notes=(source.on_names(NAMES_OF_COLUMNS),),
    )


def _refuse_groups(source: _Source, matches: Mapping[str, re.Match[str]]) -> None:
    """Raise TableError if the extremes of a group differ, so that its column is a mean of runs."""
    for column, match in matches.items():
        mean = column.removesuffix(match["extreme"] or "")
        if mean in matches and not source.table[mean].equals(source.table[column]):
            raise TableError(
                f"{source.file} holds means of groups of runs: {mean!r} and {column!r} differ; "
                "export the chart without grouping"
            )


def _named_runs(source: _Source) -> Arranged | None:
    """Read rows whose treatment and block are in the name of the run, or of the file."""
    treatments, block, value = source.found
    if value is None or (source.roles.run_names is None and (treatments or block is not None)):
        return None
    column = first_of(RUN_NAMES, source.columns)
    if column is None:
        return None if source.run is None else source.of_one_run(source.run, value)
    try:
        names = {name: source.split(str(name)) for name in source.table[column].unique()}
    except TableError:
        if source.roles.run_names is None:
            return None
        raise
    return source.arranged(
        source.table[column].map(lambda name: names[name][0]),
        source.table[column].map(lambda name: names[name][1]),
        source.table[value],
        source.table.drop(columns=[value]),
        layout=_ONE_ROW,
        sources=(column, column, value),
        notes=(source.on_names(f"column {column!r}"),),
    )


def _columns_of_treatments(source: _Source) -> Arranged | None:
    """Read one column per treatment and one row per block."""
    treatments, block, value = source.found
    if treatments or value is not None or not source.columns:
        return None
    if block is None and source.columns[0] in _UNNAMED:
        block = source.columns[0]
    left_out = (block, source.step, *(c for c in _UNNAMED if c in source.columns))
    results = [column for column in source.columns if column not in left_out]
    if not source.are_results(results):
        return None
    odd = [c for c in results if _NO_TREATMENT.fullmatch(plain_name(c)) or plain_name(c) in STEPS]
    if odd:
        if len(results) - len(odd) < 2:
            return None
        raise TableError(
            f"{source.file} may have one column per treatment, but {', '.join(odd[:5])} "
            f"{'does' if len(odd) == 1 else 'do'} not look like treatments: leave them out with "
            "--ignore-column, or name the column of the treatment with --treatment"
        )
    layout = "one column per treatment"
    if block is None and source.roles.is_paired:
        raise TableError(
            f"{source.file} has {layout} ({', '.join(results[:8])}) and no column "
            f"{source.roles.block!r} that pairs the rows: name it with --block, or compare the "
            "columns as independent samples with --unpaired"
        )
    name = source.require_named_value(layout, results)
    return source.melted(dict(zip(results, results, strict=True)), None, name=name, layout=layout)


def _columns_of_blocks(source: _Source) -> Arranged | None:
    """Read one row per treatment and one column per block."""
    treatments, block, value = source.found
    if not source.is_treated or block is not None or value is not None:
        return None
    others = [column for column in source.columns if column not in treatments]
    words = f"{_BLOCKS}|{re.escape(source.roles.block)}"
    numbered = re.compile(rf"(?:(?:{words})[\s_-]*)?(\d+)", re.IGNORECASE)
    numbers = {c: found[1] for c in others if (found := numbered.fullmatch(c))}
    if len(numbers) < len(others) or not source.are_results(others):
        return None
    layout = f"one column per {source.roles.block}"
    name = source.require_named_value(layout, others)
    return source.melted(None, numbers, name=name, layout=layout)


#: The layouts, in the order in which they are tried.
_LAYOUTS: tuple[Callable[[_Source], Arranged | None], ...] = (
    *(_long, _tensorboard, _charts, _named_runs, _columns_of_treatments, _columns_of_blocks),
)


def _stacked(table: pd.DataFrame, kept: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return one row per cell of `columns`, with the cells of `kept` in the same row."""
    parts = [kept.assign(**{"\0column": column, "\0cell": table[column]}) for column in columns]
    return pd.concat(parts, ignore_index=True)


def _at_last_steps(arranged: Arranged, file: Path) -> Arranged:
    """Keep the last step of each run, where runs have several rows and a column of steps."""
    roles, table = arranged.roles, arranged.table
    key = [roles.treatment_name, roles.block]
    columns = [c for c in table.columns if c not in (*key, roles.value_name, ROW_COLUMN)]
    step = step_column(columns, roles.step)
    if step is None:
        if roles.step is not None:
            known = list(table.columns.drop(ROW_COLUMN))
            raise TableError(unknown_column(roles.step, known, file, "--step"))
        return arranged
    if arranged.sources["block"] == ROW_NUMBERS and table[step].nunique() > 1:
        raise TableError(
            f"{file} has a column {step!r} and no column {roles.block!r}: name the column that "
            f"tells the runs apart with --block, or use --ignore-column {step} if each row is a run"
        )
    if roles.step is None and not table.duplicated(key).any():
        return arranged
    steps = [c for c in columns if plain_name(c) in STEPS] if roles.step is None else [step]
    ends = [last_steps(table, key, roles.value_name, name, file) for name in steps]
    if len({tuple(end[ROW_COLUMN]) for end, _ in ends}) > 1:
        raise TableError(
            f"{file} has several columns of steps ({', '.join(steps)}), whose last rows differ: "
            "name one with --step"
        )
    table, note = ends[0]
    layout = arranged.layout.replace(_ONE_ROW, _SEVERAL_ROWS)
    return replace(arranged, table=table, layout=layout, notes=(*arranged.notes, note))


def _with_status(arranged: Arranged) -> Arranged:
    """Name the column of statuses as the analysis expects it."""
    table = arranged.table
    for name in (STATUS, "state"):
        column = find_column(name, list(table.columns))
        if column == STATUS:
            return arranged
        if column is not None and (name == STATUS or table[column].map(is_status).all()):
            note = f"column {column!r} is read as the status of the runs"
            table = table.rename(columns={column: STATUS})
            return replace(arranged, table=table, notes=(*arranged.notes, note))
    return arranged


def _missing(source: _Source) -> TableError:
    roles = source.roles
    wanted = [(name, "--treatment") for name in roles.treatment]
    wanted += [(roles.block, "--block"), (roles.value_name, "--value")]
    found = roles.found(source.columns)
    for (name, option), column in zip(wanted, found, strict=True):
        if column is None and (option != "--block" or roles.is_paired):
            advice = " (--unpaired needs none)" if option == "--block" else ""
            return TableError(unknown_column(name, source.columns, source.file, option) + advice)
    return TableError(
        f"{source.file} has no column of the names of runs: --run-names needs one of "
        f"{', '.join(RUN_NAMES)}"
    )
