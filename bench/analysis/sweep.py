"""Analysis of a sweep from its stored rows: all results that its report shows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.columns import (
    is_list,
    numbers_of,
    prepared,
    refuse_nested_and_bytes,
    refuse_odd_lists,
    require_columns,
)
from bench.analysis.comparison import compare
from bench.analysis.curves import CURVE_COLUMNS, SECONDS_COLUMN, learning_curves
from bench.analysis.outcomes import read_outcomes
from bench.analysis.provenance import FACTS, SECONDS, provenance
from bench.analysis.rates import RATE_COLUMNS, SCHEDULE_COLUMN, rate_curves
from bench.analysis.results import (
    Block,
    Comparison,
    Correction,
    Incident,
    Look,
    Parameters,
    RunScore,
    RunTable,
    SweepAnalysis,
    Timing,
)
from bench.analysis.stats.descriptives import finite_or_none
from bench.analysis.stats.letters import group_letters
from bench.analysis.stats.omnibus import rank_diagram
from bench.analysis.table import LOSSES, block_keys, reading_of, run_numbers, sort_blocks
from bench.analysis.timing import time_ratios
from bench.analysis.variants import SETTINGS, foreign_variants, variants_of
from bench.storage.records import (
    DIVERGED,
    FAILED,
    FILE_COLUMN,
    MAX_SECONDS,
    OK,
    REQUIRED_COLUMNS,
)

#: Columns of hashes with their meaning: they must be equal for all runs of a seed.
PAIRING = {"initial_weights_sha256": "initial weights", "data_order_sha256": "order of the data"}
OUTCOME = ("status", "error", "diverged_at")
COLUMNS = (
    *("optimizer", "seed", "test_accuracy", "started_at"),
    *(*OUTCOME, *SECONDS, *CURVE_COLUMNS, *PAIRING, *SETTINGS, *FACTS),
)


def analyse_sweep(
    table: pd.DataFrame,
    *,
    name: str,
    alpha: float = 0.05,
    margin: float | None = 0.002,
    target: float = 0.95,
    looks: Sequence[Look] = (),
    planned_looks: int | None = 1,
    until_decided: Sequence[int] = (),
    win_threshold: float | None = None,
    correction: Correction = "holm",
) -> SweepAnalysis:
    """Analyse the rows of a sweep: final test accuracy, learning curves, times, and provenance.

    Parameters
    ----------
    table
        One row per run, with the columns of :class:`bench.storage.records.RunRecord`.
    name
        Name of the sweep.
    alpha, margin, target
        Declared family-wise error rate, equivalence margin and target accuracy; the latter two are
        fractions.
    looks
        All looks at this sweep, the current one last; by default there is only one.
    planned_looks, until_decided, win_threshold, correction
        As in :func:`bench.analysis.compare`.

    Raises
    ------
    TableError
        If a column is missing, the accuracies cannot be compared, or runs of one optimizer differ
        in its class or hyperparameters.
    SpecError
        If `alpha`, `margin`, `target`, `win_threshold` or `correction` is not allowed.
    """
    table = prepared(table)
    require_columns(table, COLUMNS)
    comparison = compare(
        table,
        alpha=alpha,
        margin=margin,
        target=target,
        looks=looks,
        planned_looks=planned_looks,
        until_decided=until_decided,
        win_threshold=win_threshold,
        correction=correction,
    )
    return describe_runs(comparison.analysed(table), comparison, name=name, target=target)


def describe_runs(
    table: pd.DataFrame,
    comparison: Comparison,
    *,
    name: str,
    target: float = 0.95,
) -> SweepAnalysis:
    """Add descriptive results to the comparison of a table, which may come from another tool.

    Parameters
    ----------
    table
        The compared table. All columns of :class:`bench.storage.records.RunRecord` are optional; a
        result is empty where its columns are missing.
    comparison
        Comparison of the table.
    name, target
        As in :func:`analyse_sweep`.

    Raises
    ------
    TableError
        If runs of one treatment of a sweep differ in its class or hyperparameters, or a column with
        one value per run holds lists.
    """
    p = comparison.parameters
    order = [t.name for t in comparison.treatments]
    given = read_outcomes(table, p.value).table
    require_columns(given, given.columns)  # no duplicate names
    is_own = _has(given, REQUIRED_COLUMNS)
    _refuse_nested(given, is_own=is_own)
    table = _ranked(_typed(given), p, order)
    unpaired = _unpaired(table) if p.is_paired else []
    warnings = (*unpaired, *_same_weights(table), *comparison.warnings)
    variants = variants_of(table) if is_own else foreign_variants(table)
    return SweepAnalysis(
        name=name,
        target=target,
        comparison=replace(comparison, warnings=warnings),
        letters=group_letters(comparison.treatments, comparison.pairs),
        ranks=rank_diagram(comparison.treatments, comparison.omnibus, p.alpha),
        variants=variants,
        scores=_scores(table, p.value),
        curves=(
            learning_curves(
                table, order, alpha=p.interval_alpha, resampling_ratio=p.resampling_ratio
            )
            if _has(table, CURVE_COLUMNS)
            else ()
        ),
        rates=rate_curves(table, variants) if _has(table, ("iterations", *RATE_COLUMNS)) else (),
        timings=_timings(table, order) if _has(table, SECONDS) else (),
        time_ratios=(
            time_ratios(table, comparison.pairs, alpha=p.interval_alpha)
            if p.is_paired and _has(table, SECONDS) and _is_of_one_device(table)
            else ()
        ),
        incidents=_incidents(table),
        provenance=provenance(table),
        runs=_run_table(given.loc[table["_row"]]),
    )


def _is_of_one_device(table: pd.DataFrame) -> bool:
    """Return whether times can be compared: all runs are of one device, or it is not stored."""
    return "device" not in table.columns or table["device"].nunique() <= 1


def _has(table: pd.DataFrame, columns: Iterable[str]) -> bool:
    return set(columns) <= set(table.columns)


def _refuse_nested(table: pd.DataFrame, *, is_own: bool) -> None:
    """Raise TableError for lists in columns with one value per run, and for invalid lists."""
    settings = SETTINGS if is_own else ()
    for column in (*OUTCOME, *SECONDS, *PAIRING, *settings, SCHEDULE_COLUMN, *FACTS, "started_at"):
        if column in table.columns:
            refuse_nested_and_bytes(table, column)
    if is_own:  # the schema of the store has the types of lists
        return
    for column in (*CURVE_COLUMNS, SECONDS_COLUMN, *RATE_COLUMNS):
        if column in table.columns:
            refuse_odd_lists(table, column, has_gaps=not column.endswith("iterations"))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Convert times to numbers and timestamps; NaN or NaT where they are out of range."""
    typed: dict[str, Any] = {}
    for column in (*SECONDS, "diverged_at"):
        if column in table.columns:
            numbers = numbers_of(table, column)
            typed[column] = np.where(np.abs(numbers) <= MAX_SECONDS, numbers, np.nan)
    if "started_at" in table.columns:
        moments = table["started_at"]
        if pd.api.types.is_numeric_dtype(moments):  # the unit is unknown
            moments = pd.Series(pd.NaT, index=table.index)
        elif moments.dtype == object:
            moments = moments.map(lambda moment: None if isinstance(moment, Real) else moment)
        typed["started_at"] = pd.to_datetime(moments, errors="coerce", utc=True, format="ISO8601")
    return table.assign(**typed)


def _ranked(table: pd.DataFrame, p: Parameters, order: Sequence[str]) -> pd.DataFrame:
    """Return the rows in the order of the leaderboard, then of the seeds.

    The columns with the treatment and the block are copied to `optimizer` and `seed`. Unpaired runs
    are numbered instead where the block does not identify the runs of a treatment.
    """
    position = {name: i for i, name in enumerate(order)}
    names = table[p.treatment].astype(str)
    blocks = block_keys(table, p.block) if p.is_paired else _labels(table, p.block, [*names])
    status = table["status"] if "status" in table.columns else OK
    ranked = table.assign(optimizer=names, seed=pd.Series(blocks, index=table.index, dtype=object))
    ranked = ranked.assign(status=status, _position=names.map(position), _block=_places(blocks))
    ranked["_row"] = table.index
    return ranked.sort_values(["_position", "_block"], ignore_index=True)


def _labels(table: pd.DataFrame, block: str, names: Sequence[str]) -> list[Block]:
    """Return a label for each unpaired run, unique among the runs of its treatment."""
    if block in table.columns and table[block].notna().all():
        blocks = block_keys(table, block)
        if len({*zip(names, blocks, strict=True)}) == len(table):
            return blocks
    return run_numbers(names)


def _places(blocks: Sequence[Block]) -> list[int]:
    distinct = sort_blocks(blocks)
    place = {block: i for i, block in enumerate(distinct)}
    return [place[block] for block in blocks]


def _unpaired(table: pd.DataFrame) -> list[str]:
    """Return warnings about runs of one seed with different initial weights or data orders."""
    warnings = []
    for column, meaning in PAIRING.items():
        if column not in table.columns:
            continue
        differing = table.groupby("seed")[column].nunique() > 1
        if differing.any():
            seeds = ", ".join(map(str, differing.index[differing][:5]))
            warnings.append(
                f"Not paired: runs of the same seed differ in the {meaning} on {differing.sum()} "
                f"of {len(differing)} seeds ({seeds})."
            )
    return warnings


def _same_weights(table: pd.DataFrame) -> list[str]:
    """Return a warning where the initial weights do not depend on the seed."""
    if "initial_weights_sha256" not in table.columns:
        return []
    known = table[["seed", "initial_weights_sha256"]].dropna()
    n_seeds = known["seed"].nunique()
    if n_seeds < 2 or known["initial_weights_sha256"].nunique() > 1:
        return []
    return [
        f"All {n_seeds} seeds have the same initial weights: the variation between seeds does not "
        "include the initialisation of the network."
    ]


def _scores(table: pd.DataFrame, value: str) -> tuple[RunScore, ...]:
    # the loss of a diverged run has no value, even where a number is stored
    without_value = (FAILED, DIVERGED) if value in LOSSES else (FAILED,)
    values = reading_of(table, value, numbers_of(table, value)).values.tolist()
    runs = zip(*(table[c].tolist() for c in ("optimizer", "seed", "status")), values, strict=True)
    return tuple(
        RunScore(
            treatment=treatment,
            seed=seed,
            value=None if status in without_value else finite_or_none(score),
            status=str(status),
        )
        for treatment, seed, status, score in runs
    )


def _timings(table: pd.DataFrame, order: Sequence[str]) -> tuple[Timing, ...]:
    """Return median times over the runs with status ``ok``; diverged runs stopped early."""
    whole = table.loc[table["status"] == OK, ["optimizer", *SECONDS]]
    timings = []
    for name in order:
        runs = whole[whole["optimizer"] == name]
        train, evaluate = (finite_or_none(runs[column].median()) for column in SECONDS)
        timings.append(
            Timing(treatment=name, n=len(runs), train_seconds=train, eval_seconds=evaluate)
        )
    return tuple(timings)


def _incidents(table: pd.DataFrame) -> tuple[Incident, ...]:
    known = table.reindex(columns=["optimizer", "seed", *OUTCOME])
    return tuple(
        Incident(
            treatment=run["optimizer"],
            seed=run["seed"],
            status=str(run["status"]),
            iteration=None if pd.isna(run["diverged_at"]) else int(run["diverged_at"]),
            error=_what_happened(run),
        )
        for run in _rows(known[known["status"] != OK], known.columns)
    )


def _what_happened(run: dict[str, Any]) -> str:
    if not pd.isna(run["error"]):
        return str(run["error"])
    return "the loss was not finite" if run["status"] == DIVERGED else "no error was recorded"


def _run_table(table: pd.DataFrame) -> RunTable:
    """Return the given rows without columns of bytes and without the paths of files.

    The hash of the data is left out too if no row has one.
    """
    if "data_hash" in table.columns and table["data_hash"].isna().all():
        table = table.drop(columns="data_hash")
    # column by column: in a row of a frame, integers become floats where another cell is a float
    columns = ((str(c), _cells(table[c])) for c in table if c != FILE_COLUMN)
    kept = [(c, cells) for c, cells in columns if cells is not None]
    rows = zip(*(cells for _, cells in kept), strict=True)
    return RunTable(columns=tuple(c for c, _ in kept), rows=tuple(rows))


def _cells(column: pd.Series) -> list[Any] | None:
    """Return the cells of a column as text and numbers; None for a column of bytes."""
    cells: list[Any] = column.tolist()
    kinds = set(map(type, cells))
    if any(issubclass(kind, bytes) for kind in kinds):
        return None
    # fast paths: a large sweep has millions of cells
    if kinds <= {str, int} or (kinds == {float} and all(map(math.isfinite, cells))):
        return cells
    return list(map(_cell, cells))


def _cell(value: Any) -> str | int | float | None:
    if type(value) is float:  # fast path: most cells are floats, and pd.isna is slow
        return value if math.isfinite(value) else None if math.isnan(value) else repr(value)
    if type(value) in (str, int):
        return value  # type: ignore[no-any-return]
    if is_list(value):
        is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "iuf"
        numbers = value.tolist() if is_numeric else value
        if is_numeric and value.ndim == 1 and all(map(math.isfinite, numbers)):
            return f"[{', '.join(map(repr, numbers))}]"  # as JSON, much faster
        return json.dumps([_cell(x) for x in numbers])
    if pd.isna(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, np.generic):
        plain = value.item()
        return str(plain) if isinstance(plain, np.generic) else _cell(plain)
    return value if isinstance(value, str | int) else str(value)


def _rows(table: pd.DataFrame, columns: Iterable[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table[list(columns)].to_dict(orient="records")
    return rows
