"""``optimizer-bench report``: the report again, from stored rows and without torch."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from bench import report
from bench.cli.stored import analyse, open_sweep
from bench.errors import UsageError
from bench.files import require_output
from bench.store import write_rows


def run(arguments: Namespace) -> int:
    """Write the report, and the rows as one file where that is asked for."""
    stored = open_sweep(arguments.results)
    output = arguments.output or Path("reports") / f"{stored.spec.name}.html"
    require_output(output, "the report", arguments.results)
    if arguments.rows:
        require_output(arguments.rows, "the rows", arguments.results)
        if os.path.realpath(arguments.rows) == os.path.realpath(output):
            raise UsageError(f"--rows and the report must be two files, got {output} for both")
    report.write(analyse(stored), output)
    print(f"report: {output}")
    if arguments.rows:
        write_rows(stored.rows, arguments.rows)
        print(f"rows:   {arguments.rows}")
    return 0
