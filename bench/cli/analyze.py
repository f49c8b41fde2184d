"""``optimizer-bench analyze``: compare a sweep, or a table of results from any source."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.cli.converters import file_or_stdout, fraction, sweep_path, win_threshold
from bench.cli.margins import margin, margin_on_scale
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
from bench.cli.pair_tests import (
    TEST_OPTIONS,
    add_tests,
    given_test,
    refuse_contradictions,
    resampling_ratio,
    test_of,
)
from bench.cli.printing import print_note, printable
from bench.errors import TableError, UsageError
from bench.spec.model import CORRECTIONS, Correction, Declaration
from bench.storage.remote import with_uris
from bench.sweeps.reproduce import NO_TEST, program
from bench.tuning.plan import holds_plan

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis import Comparison, Look, SweepAnalysis
    from bench.sweeps.load import StoredSweep
    from bench.tables.roles import Roles
    from bench.tables.run_names import RunNames

PRIMARY = ("optimizer", "seed", "test_accuracy")
#: Options that replace what a sweep declared.
JUDGING = ("alpha", "margin", "target", "correction", "win_threshold")
#: How a result that is nan or inf can be read, the default first.
NAN_READINGS = ("diverged", "missing")
#: Options that the command for the same analysis repeats, with their defaults.
_REPEATED = {
    "treatment": PRIMARY[0],
    "block": PRIMARY[1],
    **dict.fromkeys(("value", "step", "run_names", "direction", *JUDGING)),
    **TEST_OPTIONS,
    "nan": NAN_READINGS[0],
}
#: Options of other formats, with the help of each.
_FORMATS = {
    "markdown": "the report as Markdown",
    "latex": "the leaderboard as a LaTeX table",
    "csv": "the rows as CSV",
}
#: Names of the written files in messages.
_NAMES = {
    **{"json": "the JSON", "html": "the report", "markdown": "the Markdown"},
    **{"latex": "the LaTeX table", "csv": "the CSV"},
}
_EXAMPLES = (
    ("results/mnist", "a sweep, as it was declared"),
    ("mine.csv --value accuracy", "columns optimizer, seed, accuracy"),
    (
        "a.csv b.parquet --treatment model --block fold --folds 1/9 --value rmse --direction lower",
        "any table, here of errors in the folds of a cross-validation",
    ),
    ("mine.csv --value accuracy --unpaired", "runs that nothing pairs"),
    (
        "logs --value test/accuracy --run-names '{treatment}/seed_{block}'",
        "TensorBoard's event files",
    ),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of an analysis."""
    parser.add_argument(
        "files",
        type=sweep_path,
        nargs="+",
        metavar="FILE",
        help="a sweep's directory such as results/mnist, or its URI; or tables as text (CSV, TSV, "
        "with ';'), JSON, JSON lines, parquet or feather, compressed with gzip or not; or "
        "directories of tables, or of TensorBoard's event files",
    )
    _add_columns(parser.add_argument_group("columns"))
    _add_judging(parser.add_argument_group("judging"))
    output = add_comparison_outputs(parser, "the HTML report")
    for option, text in _FORMATS.items():
        output.add_argument(
            f"--{option}", type=file_or_stdout, metavar="FILE", help=f"write {text} ('-': print it)"
        )
    add_diagrams(output)


def _add_columns(group: _ActionsContainer) -> None:
    group.add_argument(
        "--treatment",
        default=PRIMARY[0],
        metavar="COLUMN",
        help="what is compared; several columns separated by commas are combined (default: "
        f"{PRIMARY[0]})",
    )
    group.add_argument(
        "--block",
        default=PRIMARY[1],
        metavar="COLUMN",
        help=f"what pairs the runs (default: {PRIMARY[1]})",
    )
    group.add_argument(
        "--value", metavar="COLUMN", help=f"the result of a run (default: {PRIMARY[2]})"
    )
    group.add_argument(
        "--step",
        metavar="COLUMN",
        help="steps, where a run has several rows: its last row is its result (default: a column "
        "such as step or epoch)",
    )
    group.add_argument(
        "--run-names",
        type=_run_names,
        metavar="PATTERN",
        help="how the names of runs, columns or files give treatment and block, such as "
        "'{treatment}_seed{block}'; {} is anything else (default: a name and a number at its end)",
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
        margin,
        "largest difference that does not matter, in the unit of the value; of an accuracy also in "
        "percentage points, such as 0.2pp or 0.2%% (default: as declared, or 0.2pp of an accuracy, "
        "or none)",
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
    add_tests(group)


def analyze_command(arguments: Namespace) -> str:
    """The shortest command line that repeats this analysis."""
    words = [with_uris(str(file)) for file in arguments.files]
    options = repeated_options(arguments, _REPEATED)
    return f"{program('analyze')} {shlex.join([*words, *options])}"


def run(arguments: Namespace) -> int:
    """Compare the treatments; print a table, or write the requested files."""
    from bench.cli import console
    from bench.cli.stored_tuning import analyze_tuning
    from bench.storage.mirror import pulled

    refuse_contradictions(arguments)
    outputs = {name: getattr(arguments, name) for name in ("json", "html", *_FORMATS)}
    printed = [name for name, file in outputs.items() if file == STANDARD_OUTPUT]
    if len(printed) > 1:
        raise UsageError(
            f"--{printed[0]} - and --{printed[1]} - cannot both be printed: name a file for one"
        )
    files = output_files({_NAMES[name]: file for name, file in outputs.items()})
    require_outputs(files, *arguments.files)
    if arguments.diagrams and arguments.html is None:
        raise UsageError("--diagrams adds to the HTML report: give --html FILE too")
    is_shown = arguments.html is not None or not any(outputs.values())
    for file in arguments.files:
        pulled(file)
    if len(arguments.files) == 1 and holds_plan(arguments.files[0]):
        given = repeated_options(arguments, _REPEATED)
        is_shown = is_shown and not printed
        analyze_tuning(arguments.files[0], outputs, given, is_shown=is_shown)
        return 0
    roles = _roles(arguments)
    refuse_ignored(arguments.ignore_column, (*roles.treatment, roles.block, roles.value_name))
    request = _sweep_request(arguments, roles) or _table_request(arguments, roles)
    analysis = _analyse(request, arguments)
    _write(analysis, request.command, outputs, arguments.diagrams)
    if is_shown and not printed:
        for line in request.reading:
            print(printable(line))
        console.print_conclusion(analysis, request.command, arguments.html)
    return 0


def _write(
    analysis: SweepAnalysis,
    command: str,
    outputs: dict[str, Path | None],
    diagrams: Sequence[str],
) -> None:
    from bench import report
    from bench.analysis import to_json

    context = report.ReportContext(command=command, diagrams=tuple(diagrams))
    if (page := outputs["html"]) is not None:
        report.write(analysis, page, context)
    texts: dict[str, Callable[[], str]] = {
        "json": lambda: to_json(analysis.comparison),
        "markdown": lambda: report.markdown(analysis, context),
        "latex": lambda: report.latex_table(analysis),
        "csv": lambda: report.rows_csv(analysis),
    }
    for name, text in texts.items():
        if (file := outputs[name]) is not None:
            write_text(text(), file)


def _analyse(request: _AnalysisRequest, arguments: Namespace) -> SweepAnalysis:
    from bench.analysis import describe_runs
    from bench.sweeps.load import add_warnings

    comparison = _compare(request, arguments)
    if len(comparison.treatments) < 2:
        raise TableError(
            f"column {request.roles.treatment_name!r} of {request.source} holds "
            f"{comparison.treatments[0].name!r} only: a comparison needs at least two"
        )
    if request.stored is not None:
        request.stored.record_look(comparison if request.is_declared else None)
    analysis = describe_runs(
        comparison.analysed(request.table), comparison, name=request.name, target=request.target
    )
    return add_warnings(analysis, request.notes)


@dataclass(frozen=True, kw_only=True)
class _AnalysisRequest:
    """A table, its source, and how to judge it.

    `is_declared`: it is a sweep that is judged as it was declared. `reading`: lines on how files
    were read.
    """

    table: pd.DataFrame
    roles: Roles
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
    until_decided: tuple[int, ...] = ()
    stored: StoredSweep | None = None
    is_declared: bool = False
    notes: tuple[str, ...] = ()
    reading: tuple[str, ...] = ()


def _compare(request: _AnalysisRequest, arguments: Namespace) -> Comparison:
    from bench.analysis import compare

    return compare(
        request.table,
        treatment=request.roles.treatment_name,
        block=request.roles.block,
        value=request.roles.value_name,
        direction=arguments.direction,
        alpha=request.alpha,
        margin=margin_on_scale(
            arguments.margin, request.margin, request.table, request.roles.value_name
        ),
        target=request.target,
        looks=request.looks,
        planned_looks=request.planned_looks,
        until_decided=request.until_decided,
        win_threshold=request.win_threshold,
        correction=request.correction,
        test=test_of(arguments),
        resampling_ratio=resampling_ratio(arguments),
    )


def _table_request(arguments: Namespace, roles: Roles) -> _AnalysisRequest:
    from bench.analysis.outcomes import read_outcomes
    from bench.sweeps.load import sweep_name
    from bench.tables.read import read_tables

    reading = read_tables(arguments.files, roles, ignored=arguments.ignore_column, note=print_note)
    outcomes = read_outcomes(reading.table, reading.roles.value_name, arguments.nan)
    for note in outcomes.notes:
        print_note(note)
    return _AnalysisRequest(
        table=outcomes.table,
        roles=reading.roles,
        reading=reading.lines,
        source=with_uris(", ".join(map(str, arguments.files))),
        name=sweep_name(arguments.files[0].resolve()),
        command=analyze_command(arguments),
        alpha=_given(arguments.alpha, Declaration.alpha),
        margin=_given(arguments.margin, "default"),
        target=_given(arguments.target, Declaration.target),
        win_threshold=_judging(arguments).get("win_threshold"),
        correction=_given(arguments.correction, Declaration.correction),
    )


def _roles(arguments: Namespace) -> Roles:
    from bench.tables.roles import Roles

    return Roles(
        treatment=tuple(arguments.treatment.split(",")),
        block=arguments.block,
        value=arguments.value,
        step=arguments.step,
        run_names=arguments.run_names,
        is_paired=not arguments.unpaired,
    )


def _run_names(text: str) -> RunNames:
    from bench.tables.run_names import RunNames

    return RunNames(text)


def _sweep_request(arguments: Namespace, roles: Roles) -> _AnalysisRequest | None:
    """None where the files are not one sweep of this project."""
    from bench.sweeps.load import notes_on, open_sweep, without_columns
    from bench.sweeps.sequential import judged_rows
    from bench.tables.layout import arrange
    from bench.tables.read import is_sweep

    path = arguments.files[0]
    if len(arguments.files) > 1 or not is_sweep(path):
        return None
    if roles.step is not None or roles.run_names is not None:
        raise UsageError(f"--step and --run-names are for tables, and {path} is a sweep")
    stored = open_sweep(path)
    declared = stored.spec.declaration
    changed = {n: v for n, v in _judging(arguments).items() if v != getattr(declared, n)}
    is_primary = (roles.treatment_name, roles.block, roles.value_name) == PRIMARY
    ignored = list(arguments.ignore_column)
    if declared.until_decided and (changed or ignored or given_test(arguments) or not is_primary):
        raise UsageError(
            f"{path} is judged as it was declared, because its runs depend on the verdicts: leave "
            "out options that change the analysis"
        )
    # the margin is in the unit of the value, which need not be the declared one
    stored = _declared_anew(stored, {n: v for n, v in changed.items() if n != "margin"})
    declared, looks = stored.spec.declaration, stored.looks()
    test = given_test(arguments)
    is_declared = is_primary and not changed and not ignored and not test
    table = without_columns(judged_rows(stored.rows, stored.spec), ignored)
    return _AnalysisRequest(
        table=table if is_primary else arrange(table, roles, path, None).table,
        roles=roles,
        source=with_uris(str(path)),
        name=stored.spec.name,
        command=stored.command if is_declared else analyze_command(arguments),
        alpha=declared.alpha,
        margin=_given(arguments.margin, declared.margin if is_primary else "default"),
        target=declared.target,
        win_threshold=declared.win_threshold,
        correction=declared.correction,
        looks=looks if is_declared else tuple(replace(look, rejected=None) for look in looks),
        planned_looks=declared.looks,
        until_decided=declared.until_decided,
        stored=stored,
        is_declared=is_declared,
        notes=(
            *notes_on(stored),
            *(() if is_primary else (_secondary(roles.value_name),)),
            *(_undeclared(name, value) for name, value in (*changed.items(), *test)),
            *(f"Column {column} of the sweep is left out." for column in ignored),
        ),
    )


def _win_threshold(text: str) -> float | str:
    """Convert the option. The word for no test stays text, as None means that nothing was given."""
    return text if win_threshold(text) is None else float(text)


def _judging(arguments: Namespace) -> dict[str, Any]:
    """Return the given options that replace declared settings; no test of wins is None.

    Tests other than the sign-flip test replace the correction and the test of wins too.
    """
    given = {name: getattr(arguments, name) for name in JUDGING}
    if given_test(arguments):
        given |= {"correction": Declaration.correction, "win_threshold": NO_TEST}
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
