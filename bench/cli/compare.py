"""``optimizer-bench compare``: two sweeps against each other, after minus before."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.analysis import SweepChange, compare_sweeps, to_json
from bench.analysis.change.runs import COLUMNS
from bench.cli import console
from bench.cli.arguments import compare_command
from bench.errors import TrainingError, UsageError
from bench.storage.files import require_output, write_atomically
from bench.storage.records import FAILED
from bench.sweeps.load import StoredSweep, notes_on, open_sweep, without_columns

#: Where this stands for a file, its content is printed.
PRINTED = Path("-")


def run(arguments: Namespace) -> int:
    """Compare, print or write what is asked for; 1 where a change is to be an error and is one."""
    _check_question(arguments)
    found = _compare(arguments)
    for what, file in _files(arguments).items():
        for sweep in (arguments.before, arguments.after):
            require_output(file, what, sweep)
    _show(found, arguments)
    return 1 if arguments.fail_if_changed and not found.is_unchanged else 0


def _check_question(arguments: Namespace) -> None:
    before, after = arguments.before, arguments.after
    if os.path.realpath(before) == os.path.realpath(after):
        raise UsageError(f"BEFORE and AFTER must be two sweeps, got {before} for both")
    if arguments.json == arguments.markdown == PRINTED:
        raise UsageError("--json - and --markdown - cannot both be printed: name a file for one")
    if arguments.html == PRINTED:
        raise UsageError("--html: must be a file's path, got '-'")
    if needed := set(arguments.ignore_column) & set(COLUMNS):
        raise UsageError(f"--ignore-column must not name a column in use, got {min(needed)!r}")
    files = _files(arguments).values()
    if len({os.path.realpath(file) for file in files}) < len(files):
        raise UsageError("--json, --html and --markdown must be different files")


def _files(arguments: Namespace) -> Mapping[str, Path]:
    outputs = {
        "the JSON": arguments.json,
        "the page": arguments.html,
        "the Markdown": arguments.markdown,
    }
    return {what: file for what, file in outputs.items() if file not in (None, PRINTED)}


def _compare(arguments: Namespace) -> SweepChange:
    before, after = _open(arguments.before), _open(arguments.after)
    declared = before.spec.declaration
    given = {name: getattr(arguments, name) for name in ("alpha", "margin")}
    judged = {n: getattr(declared, n) if v is None else v for n, v in given.items()}
    tables = (without_columns(sweep.rows, arguments.ignore_column) for sweep in (before, after))
    found = compare_sweeps(
        *tables,
        names=(str(arguments.before), str(arguments.after)),
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
    stored = open_sweep(path)
    if set(stored.rows["status"].to_pylist()) == {FAILED}:
        raise TrainingError(f"every run in {path} failed: there is nothing to compare")
    return stored


def _notes(stored: StoredSweep) -> tuple[str, ...]:
    # whether it was declared how to judge a sweep by itself does not matter here
    return notes_on(replace(stored, is_declared=True))


def _on_judging(before: StoredSweep, judged: Mapping[str, float]) -> tuple[str, ...]:
    """Where the level and the margin are from, if the sweep before did not declare them."""
    declared = before.spec.declaration
    changed = [f"{n} {v:g}" for n, v in judged.items() if v != getattr(declared, n)]
    if changed:
        what = " and ".join(changed)
        return (f"Judged with {what}, which is not what the sweep before was declared with.",)
    if before.is_declared:
        return ()
    return ("No declaration is stored with the sweep before: the default level and margin judge.",)


def _show(found: SweepChange, arguments: Namespace) -> None:
    if arguments.html is not None:
        from bench.report.html.change_page import write_change

        write_change(found, arguments.html)
    texts = ((arguments.json, to_json), (arguments.markdown, _markdown))
    for file, make in texts:
        if file == PRINTED:
            sys.stdout.write(make(found))
        elif file is not None:
            write_atomically(make(found).encode(), file)
    if PRINTED not in (arguments.json, arguments.markdown):
        console.print_change(found, list(_files(arguments).values()))


def _markdown(found: SweepChange) -> str:
    from bench.report.formats.change_markdown import change_markdown

    return change_markdown(found)
