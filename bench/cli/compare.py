"""``optimizer-bench compare``: compare two sweeps, one made before and one after a change."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.converters import file_or_stdout, fraction
from bench.cli.margins import accuracy_margin, in_points
from bench.cli.options import (
    STANDARD_OUTPUT,
    Command,
    add_comparison_outputs,
    add_ignored_columns,
    add_number,
    add_results,
    output_files,
    refuse_ignored,
    repeated_options,
    require_outputs,
    write_text,
)
from bench.cli.printing import print_note
from bench.errors import UsageError
from bench.storage.remote import with_uris
from bench.sweeps.reproduce import program

if TYPE_CHECKING:
    from bench.analysis import SweepChange
    from bench.sweeps.load import StoredSweep

_EXAMPLES = (
    ("results/mnist results/mnist-new-torch", "did the upgrade change results or speed?"),
    (
        "before after --fail-if-changed --markdown comment.md",
        "in CI: exit code 1 unless shown to be unchanged",
    ),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of a comparison of two sweeps."""
    add_results(parser, "before")
    add_results(parser, "after")
    add_ignored_columns(parser, "a column that may differ, such as git_commit")
    _add_judging(parser.add_argument_group("judging"))
    output = add_comparison_outputs(parser, "the comparison as an HTML page")
    output.add_argument(
        "--markdown",
        type=file_or_stdout,
        metavar="FILE",
        help="write a comment for a pull request ('-': print it)",
    )


def _add_judging(group: _ActionsContainer) -> None:
    add_number(
        group,
        "--alpha",
        fraction,
        "family-wise error rate over all optimizers (default: as BEFORE declared)",
    )
    add_number(
        group,
        "--margin",
        accuracy_margin,
        "largest difference in accuracy that does not matter, a fraction, or percentage points "
        "such as 0.2pp or 0.2%% (default: as BEFORE declared)",
    )
    group.add_argument(
        "--fail-if-changed",
        action="store_true",
        help="end with exit code 1 unless every optimizer is identical or equivalent (or all of "
        "its runs have the same outcome), no run fails that did not fail before, and AFTER has all "
        "optimizers and seeds of BEFORE; times do not count",
    )
    group.add_argument(
        "--allow-missing",
        action="store_true",
        help="with --fail-if-changed: AFTER may lack optimizers and seeds of BEFORE",
    )


def compare_command(arguments: Namespace) -> str:
    """The shortest command line that repeats this comparison."""
    words = [with_uris(str(arguments.before)), with_uris(str(arguments.after))]
    options = repeated_options(arguments, dict.fromkeys(("alpha", "margin")))
    return f"{program('compare')} {shlex.join([*words, *options])}"


def run(arguments: Namespace) -> int:
    """Compare the sweeps; return 1 if a change was found and ``--fail-if-changed`` is given."""
    _check_usage(arguments)
    files = output_files(
        {
            "the JSON": arguments.json,
            "the page": arguments.html,
            "the Markdown": arguments.markdown,
        }
    )
    if arguments.margin is not None:
        print_note(in_points(arguments.margin))
    found = _compare(arguments)
    require_outputs(files, arguments.before, arguments.after)
    _show(found, arguments, list(files.values()))
    is_accepted = found.is_unchanged and (found.is_complete or arguments.allow_missing)
    return 1 if arguments.fail_if_changed and not is_accepted else 0


def _check_usage(arguments: Namespace) -> None:
    from bench.analysis.change.runs import COLUMNS

    before, after = arguments.before, arguments.after
    if arguments.allow_missing and not arguments.fail_if_changed:
        raise UsageError("--allow-missing is for --fail-if-changed: give both, or neither")
    if os.path.realpath(before) == os.path.realpath(after):
        raise UsageError(f"BEFORE and AFTER must be two sweeps, got {before} for both")
    if arguments.json == arguments.markdown == STANDARD_OUTPUT:
        raise UsageError("--json - and --markdown - cannot both be printed: name a file for one")
    refuse_ignored(arguments.ignore_column, COLUMNS)


def _compare(arguments: Namespace) -> SweepChange:
    from bench.analysis import compare_sweeps
    from bench.sweeps.load import without_columns

    before, after = _open(arguments.before), _open(arguments.after)
    declared = before.spec.declaration
    given = {name: getattr(arguments, name) for name in ("alpha", "margin")}
    judged = {n: getattr(declared, n) if v is None else v for n, v in given.items()}
    tables = (without_columns(sweep.rows, arguments.ignore_column) for sweep in (before, after))
    found = compare_sweeps(
        *tables,
        names=(with_uris(str(arguments.before)), with_uris(str(arguments.after))),
        command=compare_command(arguments),
        **judged,
    )
    notes = (
        *(f"Before: {note}" for note in _notes(before)),
        *(f"After: {note}" for note in _notes(after)),
        *_on_judging(before, judged),
    )
    return replace(found, warnings=(*found.warnings, *notes))


def _open(path: Path) -> StoredSweep:
    from bench.storage.mirror import pulled
    from bench.sweeps.load import open_sweep
    from bench.sweeps.rows import refuse_all_failed

    stored = open_sweep(pulled(path))
    refuse_all_failed(stored.rows, path)
    return stored


def _notes(stored: StoredSweep) -> tuple[str, ...]:
    from bench.sweeps.load import notes_on

    # how a single sweep was declared to be judged does not matter here
    return notes_on(replace(stored, is_declared=True))


def _on_judging(before: StoredSweep, judged: Mapping[str, float]) -> tuple[str, ...]:
    """Note the source of the level and the margin if BEFORE did not declare them."""
    declared = before.spec.declaration
    changed = [f"{n} {v:g}" for n, v in judged.items() if v != getattr(declared, n)]
    if changed:
        what = " and ".join(changed)
        return (f"Judged with {what}, which is not what the sweep before was declared with.",)
    if before.is_declared:
        return ()
    return ("No declaration is stored with the sweep before: the default level and margin judge.",)


def _show(found: SweepChange, arguments: Namespace, files: Sequence[Path]) -> None:
    from bench.analysis import to_json
    from bench.cli import console

    if arguments.html is not None:
        from bench.report.html.change_page import write_change

        write_change(found, arguments.html)
    if arguments.json is not None:
        write_text(to_json(found), arguments.json)
    if arguments.markdown is not None:
        from bench.report.formats.markdown import change_markdown

        write_text(change_markdown(found), arguments.markdown)
    if STANDARD_OUTPUT not in (arguments.json, arguments.markdown):
        console.print_change(found, files)


COMMAND = Command(
    help="compare two sweeps: did an upgrade change anything?",
    description="Compare every optimizer that two sweeps share with itself: final test accuracy, "
    "paired by seed where a seed fixes the same in both, and training time. Neither sweep is "
    "changed, and no look at its results is recorded.",
    examples=_EXAMPLES,
    add_arguments=add_arguments,
    run=run,
)
