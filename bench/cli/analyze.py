"""``optimizer-bench analyze``: the comparison of stored rows, in the terminal or as JSON."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from bench.analysis.export import to_json
from bench.cli import console
from bench.cli.stored import add_warnings, analyse, open_sweep
from bench.files import write_atomically


def run(arguments: Namespace) -> int:
    """Compare, then print a table or write strict JSON."""
    stored = open_sweep(arguments.results)
    given = {name: getattr(arguments, name) for name in ("alpha", "margin")}
    declared = vars(stored.spec.declaration)
    changes = {n: value for n, value in given.items() if value not in (None, declared[n])}
    declaration = replace(stored.spec.declaration, **changes)
    stored = replace(stored, spec=replace(stored.spec, declaration=declaration))
    analysis = analyse(stored)
    if changes:
        analysis = add_warnings(analysis, [_undeclared(name, changes[name]) for name in changes])
    if arguments.json is None:
        console.print_conclusion(analysis, report=None)
    elif arguments.json == Path("-"):
        sys.stdout.write(to_json(analysis.comparison))
    else:
        write_atomically(to_json(analysis.comparison).encode(), arguments.json)
    return 0


def _undeclared(name: str, value: float) -> str:
    return f"Judged with {name} {value:g}, which is not what was declared before the runs."
