"""``optimizer-bench analyze``: compare a sweep, or a table of results from any source."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace, _ActionsContainer
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.cli.converters import fraction, positive, win_threshold
from bench.cli.options import (
    CORRECTION_HELP,
    STANDARD_OUTPUT,
    Command,
    add_comparison_outputs,
    add_diagrams,
    add_ignored_columns,
    add_number,
    output_files,
    refuse_ignored,
    repeated_options,
    require_outputs,
    write_text,
)
from bench.cli.printing import print_note
from bench.errors import TableError, UsageError
from bench.spec.model import CORRECTIONS, Correction, Declaration
from bench.sweeps.reproduce import NO_TEST

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis import Comparison, Look, SweepAnalysis
    from bench.sweeps.load import StoredSweep

PRIMARY = ("optimizer", "seed", "test_accuracy")
_COLUMNS = {
    "treatment": ("optimizer", "what is compared"),
    "block": ("seed", "what pairs the runs"),
    "value": ("test_accuracy", "the result of a run"),
}
#: Options that replace what a sweep declared.
JUDGING = ("alpha", "margin", "target", "correction", "win_threshold")
#: How a result that is nan or inf can be read, the default first.
NAN_READINGS = ("diverged", "missing")
#: Options that the command for the same analysis repeats, with their defaults.
_REPEATED = {
    **{name: default for name, (default, _) in _COLUMNS.items()},
    **dict.fromkeys(("direction", *JUDGING)),
    "nan": NAN_READINGS[0],
}
_EXAMPLES = """\
examples:
  python scripts/analyze.py results/mnist                     a sweep, as it was declared
  python scripts/analyze.py mine.csv --value accuracy         columns optimizer, seed, accuracy
  python scripts/analyze.py a.csv b.parquet --treatment model --block fold --value rmse \\
      --direction lower --margin 0.01 --html mine.html --json mine.json
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of an analysis."""
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="a sweep's directory such as results/mnist, or CSV, TSV or parquet files, or "
        "directories of such files",
    )
    _add_columns(parser.add_argument_group("columns"))
    _add_judging(parser.add_argument_group("judging"))
    add_diagrams(add_comparison_outputs(parser, "the HTML report"))


def _add_columns(group: _ActionsContainer) -> None:
    for name, (default, text) in _COLUMNS.items():
        group.add_argument(
            f"--{name}", default=default, metavar="COLUMN", help=f"{text} (default: {default})"
        )
    add_ignored_columns(group, "a column whose name has another meaning here, such as status")
    group.add_argument(
        "--nan",
        choices=NAN_READINGS,
        default=NAN_READINGS[0],
        help="how to read a result that is nan or inf: the run diverged and ranks worst (default), "
        "or the result is missing; an empty cell, NA, N/A, null or None is always a missing result",
    )


def _add_judging(group: _ActionsContainer) -> None:
    group.add_argument(
        "--direction",
        choices=("higher", "lower"),
        help="which values are better; known for accuracies, losses and seconds",
    )
    add_number(group, "--alpha", fraction, "family-wise error rate (default: as declared or 0.05)")
    add_number(
        group,
        "--margin",
        positive,
        "largest difference that does not matter, in the unit of the value (default: as declared, "
        "or 0.2 percentage points of an accuracy, or none)",
    )
    add_number(
        group,
        "--target",
        fraction,
        "accuracy to reach; the time to it is compared where the table has evaluations (default: "
        "as declared or 0.95)",
    )
    add_number(
        group,
        "--win-threshold",
        _win_threshold,
        "also test which treatments are better on more than this share of blocks, such as 0.75; "
        f"{NO_TEST}: no such test (default: as declared, or none)",
    )
    group.add_argument(
        "--correction",
        choices=CORRECTIONS,
        help=f"{CORRECTION_HELP} (default: as declared or holm)",
    )


def analyze_command(arguments: Namespace) -> str:
    """The shortest command line that repeats this analysis."""
    words = ["python", "scripts/analyze.py", *map(str, arguments.files)]
    return shlex.join([*words, *repeated_options(arguments, _REPEATED)])


def run(arguments: Namespace) -> int:
    """Compare the treatments; print a table, or write JSON and the report."""
    from bench.analysis import to_json
    from bench.cli import console

    files = output_files({"the JSON": arguments.json, "the report": arguments.html})
    require_outputs(files, *arguments.files)
    refuse_ignored(arguments.ignore_column, _roles(arguments))
    if arguments.diagrams and arguments.html is None:
        raise UsageError("--diagrams adds to the HTML report: give --html FILE too")
    request = _sweep_request(arguments) or _table_request(arguments)
    analysis = _analyse(request, arguments)
    if arguments.html is not None:
        from bench import report

        context = report.ReportContext(command=request.command, diagrams=tuple(arguments.diagrams))
        report.write(analysis, arguments.html, context)
    if arguments.json is not None:
        write_text(to_json(analysis.comparison), arguments.json)
    is_shown = arguments.json is None or arguments.html is not None
    if is_shown and arguments.json != STANDARD_OUTPUT:
        console.print_conclusion(analysis, request.command, arguments.html)
    return 0


def _analyse(request: _AnalysisRequest, arguments: Namespace) -> SweepAnalysis:
    from bench.analysis import describe_runs
    from bench.sweeps.load import add_warnings

    comparison = _compare(request, arguments)
    if len(comparison.treatments) < 2:
        raise TableError(
            f"column {arguments.treatment!r} of {request.source} holds "
            f"{comparison.treatments[0].name!r} only: a comparison needs at least two"
        )
    if request.stored is not None:
        request.stored.record_look(comparison if request.is_declared else None)
    analysis = describe_runs(request.table, comparison, name=request.name, target=request.target)
    return add_warnings(analysis, request.notes)


@dataclass(frozen=True, kw_only=True)
class _AnalysisRequest:
    """A table, its source, and how to judge it.

    `is_declared`: it is a sweep that is judged as it was declared.
    """

    table: pd.DataFrame
    source: str
    name: str
    command: str
    alpha: float
    margin: float | Literal["default"]
    target: float
    win_threshold: float | None
    correction: Correction
    looks: tuple[Look, ...] = ()
    planned_looks: int | None = 1
    stored: StoredSweep | None = None
    is_declared: bool = False
    notes: tuple[str, ...] = ()


def _compare(request: _AnalysisRequest, arguments: Namespace) -> Comparison:
    from bench.analysis import compare

    return compare(
        request.table,
        treatment=arguments.treatment,
        block=arguments.block,
        value=arguments.value,
        direction=arguments.direction,
        alpha=request.alpha,
        margin=request.margin,
        target=request.target,
        looks=request.looks,
        planned_looks=request.planned_looks,
        win_threshold=request.win_threshold,
        correction=request.correction,
    )


def _table_request(arguments: Namespace) -> _AnalysisRequest:
    from bench.analysis.outcomes import read_outcomes
    from bench.sweeps.load import sweep_name
    from bench.tables.read import read_tables

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
        win_threshold=_judging(arguments).get("win_threshold"),
        correction=_given(arguments.correction, Declaration.correction),
    )


def _roles(arguments: Namespace) -> tuple[str, str, str]:
    return arguments.treatment, arguments.block, arguments.value


def _sweep_request(arguments: Namespace) -> _AnalysisRequest | None:
    """None where the files are not one sweep of this project."""
    from bench.sweeps.load import notes_on, open_sweep, without_columns
    from bench.tables.read import is_sweep

    path = arguments.files[0]
    if len(arguments.files) > 1 or not is_sweep(path):
        return None
    stored = open_sweep(path)
    declared = stored.spec.declaration
    changed = {n: v for n, v in _judging(arguments).items() if v != getattr(declared, n)}
    is_primary = _roles(arguments) == PRIMARY
    ignored = list(arguments.ignore_column)
    stored = _declared_anew(stored, changed)
    declared, looks = stored.spec.declaration, stored.looks()
    is_declared = is_primary and not changed and not ignored
    return _AnalysisRequest(
        table=without_columns(stored.rows, ignored),
        source=str(path),
        name=stored.spec.name,
        command=stored.command if is_declared else analyze_command(arguments),
        alpha=declared.alpha,
        margin=declared.margin if is_primary else _given(arguments.margin, "default"),
        target=declared.target,
        win_threshold=declared.win_threshold,
        correction=declared.correction,
        looks=looks if is_declared else tuple(replace(look, rejected=None) for look in looks),
        planned_looks=declared.looks,
        stored=stored,
        is_declared=is_declared,
        notes=(
            *notes_on(stored),
            *(() if is_primary else (_secondary(arguments.value),)),
            *(_undeclared(name, value) for name, value in changed.items()),
            *(f"Column {column} of the sweep is left out." for column in ignored),
        ),
    )


def _win_threshold(text: str) -> float | str:
    """Convert the option. The word for no test stays text, as None means that nothing was given."""
    return text if win_threshold(text) is None else float(text)


def _judging(arguments: Namespace) -> dict[str, Any]:
    """Return the given options that replace declared settings; no test of wins is None."""
    given = {name: getattr(arguments, name) for name in JUDGING}
    return {n: None if v == NO_TEST else v for n, v in given.items() if v is not None}


def _declared_anew(stored: StoredSweep, changes: dict[str, Any]) -> StoredSweep:
    declaration = replace(stored.spec.declaration, **changes)
    return replace(stored, spec=replace(stored.spec, declaration=declaration))


def _given(value: float | str | None, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _secondary(value: str) -> str:
    return (
        f"{value} is not the metric that was declared before the runs (final test accuracy): it "
        "is secondary, and a family of tests of its own."
    )


def _undeclared(name: str, value: float | str | None) -> str:
    what, shown = name.replace("_", " "), f"{value:g}" if isinstance(value, float) else str(value)
    return f"Judged with {what} {shown}, which is not what was declared before the runs."


COMMAND = Command(
    help="compare the optimizers of any table of results",
    description="Compare optimizers, or any treatments, of a sweep or of a table from any source: "
    "one row per run, with a column that names the treatment, one that pairs the runs, and one "
    "with the result.",
    examples=_EXAMPLES,
    add_arguments=add_arguments,
    run=run,
)
