"""``optimizer-bench analyze``: compare a sweep, or anybody's table of results."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.analysis import Comparison, Look, SweepAnalysis, compare, describe_runs, to_json
from bench.analysis.outcomes import read_outcomes
from bench.cli import console
from bench.cli.arguments import analyze_command
from bench.cli.printing import print_note
from bench.errors import TableError, UsageError
from bench.spec.model import Declaration
from bench.storage.files import require_output, write_atomically
from bench.sweeps.load import (
    StoredSweep,
    add_warnings,
    notes_on,
    open_sweep,
    sweep_name,
    without_columns,
)
from bench.tables.read import is_sweep, read_tables

PRIMARY = ("optimizer", "seed", "test_accuracy")


def run(arguments: Namespace) -> int:
    """Compare, then print a table or write strict JSON, and the report where it is asked for."""
    _check_outputs(arguments)
    if roles := set(arguments.ignore_column) & set(_roles(arguments)):
        raise UsageError(f"--ignore-column must not name a column in use, got {min(roles)!r}")
    analysis = _analyse(arguments)
    if arguments.html is not None:
        from bench import report

        report.write(analysis, arguments.html)
    if arguments.json == Path("-"):
        sys.stdout.write(to_json(analysis.comparison))
    else:
        if arguments.json is not None:
            write_atomically(to_json(analysis.comparison).encode(), arguments.json)
        if arguments.json is None or arguments.html is not None:
            console.print_conclusion(analysis, arguments.html)
    return 0


def _check_outputs(arguments: Namespace) -> None:
    outputs = {"the JSON": arguments.json, "the report": arguments.html}
    files = {what: file for what, file in outputs.items() if file not in (None, Path("-"))}
    for what, file in files.items():
        for source in arguments.files:
            require_output(file, what, source)
    if len({os.path.realpath(file) for file in files.values()}) < len(files):
        raise UsageError(f"--json and --html must be two files, got {arguments.json} for both")


def _analyse(arguments: Namespace) -> SweepAnalysis:
    question = _question_about_sweep(arguments) or _question_about_table(arguments)
    comparison = _compare(question, arguments)
    if len(comparison.treatments) < 2:
        raise TableError(
            f"column {arguments.treatment!r} of {question.source} holds "
            f"{comparison.treatments[0].name!r} only: a comparison needs at least two"
        )
    if question.stored is not None:
        question.stored.record_look()
    analysis = describe_runs(
        question.table,
        comparison,
        name=question.name,
        command=question.command,
        target=question.target,
        is_source_workload=question.is_source_workload,
    )
    return add_warnings(analysis, question.notes)


@dataclass(frozen=True, kw_only=True)
class _AnalysisRequest:
    """A table, where it is from, and how it is to be judged."""

    table: pd.DataFrame
    source: str
    name: str
    command: str
    alpha: float
    margin: float | Literal["default"]
    target: float
    looks: tuple[Look, ...] = ()
    stored: StoredSweep | None = None
    notes: tuple[str, ...] = ()
    is_source_workload: bool = False


def _compare(question: _AnalysisRequest, arguments: Namespace) -> Comparison:
    return compare(
        question.table,
        treatment=arguments.treatment,
        block=arguments.block,
        value=arguments.value,
        direction=arguments.direction,
        alpha=question.alpha,
        margin=question.margin,
        target=question.target,
        looks=question.looks,
    )


def _question_about_table(arguments: Namespace) -> _AnalysisRequest:
    table = read_tables(
        arguments.files,
        treatment=arguments.treatment,
        block=arguments.block,
        required=_roles(arguments),
        ignored=arguments.ignore_column,
        note=print_note,
    )
    outcomes = read_outcomes(table, arguments.value, arguments.nan)
    for note in outcomes.notes:
        print_note(note)
    return _AnalysisRequest(
        table=outcomes.table,
        source=", ".join(map(str, arguments.files)),
        name=sweep_name(arguments.files[0].resolve()),
        command=analyze_command(arguments),
        alpha=_given(arguments.alpha, Declaration.alpha),
        margin=_given(arguments.margin, "default"),
        target=_given(arguments.target, Declaration.target),
    )


def _roles(arguments: Namespace) -> tuple[str, str, str]:
    return arguments.treatment, arguments.block, arguments.value


def _question_about_sweep(arguments: Namespace) -> _AnalysisRequest | None:
    """None where the files are not one sweep of this project."""
    path = arguments.files[0]
    if len(arguments.files) > 1 or not is_sweep(path):
        return None
    stored = open_sweep(path)
    declared = stored.spec.declaration
    given = {name: getattr(arguments, name) for name in ("alpha", "margin", "target")}
    changed = {n: v for n, v in given.items() if v not in (None, getattr(declared, n))}
    is_primary = _roles(arguments) == PRIMARY
    ignored = list(arguments.ignore_column)
    stored = _declared_anew(stored, changed)
    declared = stored.spec.declaration
    return _AnalysisRequest(
        table=without_columns(stored.rows, ignored),
        source=str(path),
        name=stored.spec.name,
        command=stored.command
        if is_primary and not changed and not ignored
        else analyze_command(arguments),
        alpha=declared.alpha,
        margin=declared.margin if is_primary else _given(arguments.margin, "default"),
        target=declared.target,
        looks=stored.looks(),
        stored=stored,
        notes=(
            *notes_on(stored),
            *(() if is_primary else (_secondary(arguments.value),)),
            *(_undeclared(name, value) for name, value in changed.items()),
            *(f"Column {column} of the sweep is left out." for column in ignored),
        ),
        is_source_workload=stored.is_source_workload,
    )


def _declared_anew(stored: StoredSweep, changes: dict[str, Any]) -> StoredSweep:
    declaration = replace(stored.spec.declaration, **changes)
    return replace(stored, spec=replace(stored.spec, declaration=declaration))


def _given(value: float | None, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _secondary(value: str) -> str:
    return (
        f"{value} is not the metric that was declared before the runs (final test accuracy): it "
        "is secondary, and a family of tests of its own."
    )


def _undeclared(name: str, value: float) -> str:
    return f"Judged with {name} {value:g}, which is not what was declared before the runs."
