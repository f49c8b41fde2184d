"""``optimizer-bench report``: the report again, from stored rows and without torch.

Or is a report what the rows give? ``--check`` answers that, and writes nothing.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from argparse import Namespace
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

from bench import report
from bench.analysis import SweepAnalysis, to_json
from bench.cli.arguments import REPORT_FORMATS
from bench.cli.printing import printable
from bench.errors import StoreError, UsageError
from bench.report.formats.csv import rows_csv
from bench.report.formats.latex import latex_table
from bench.report.formats.markdown import markdown
from bench.report.html.check import ReportCheck, check_report
from bench.storage.files import require_output, write_atomically
from bench.storage.rows import write_rows
from bench.sweeps.load import StoredSweep, analyse_stored, open_sweep

STANDARD_OUTPUT = Path("-")
#: What a check says at most: lines of mismatches; and bytes that a report may have.
MAX_MISMATCHES = 20
MAX_REPORT = 64_000_000

_TEXTS: Mapping[str, Callable[[SweepAnalysis], str]] = {
    "html": report.render,
    "json": lambda analysis: to_json(analysis.comparison),
    "markdown": markdown,
    "csv": rows_csv,
}


def run(arguments: Namespace) -> int:
    """Write the report, and what is asked for beside it; or check a report."""
    _refuse_contradictions(arguments)
    if arguments.check is not None:
        return _check(arguments.results, arguments.check)
    stored = open_sweep(arguments.results)
    kind = arguments.format or "html"
    output = arguments.output or Path("reports") / f"{stored.spec.name}{REPORT_FORMATS[kind]}"
    files = {"the report": output, "the LaTeX": arguments.latex, "the rows": arguments.rows}
    _require_outputs(files, arguments.results)
    analysis = analyse_stored(stored)
    text = _TEXTS[kind](analysis)
    if output == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        write_atomically(text.encode(), output)
    _write_beside(arguments, stored, analysis)
    if output != STANDARD_OUTPUT:
        _say_what_was_written(files)
    if arguments.open:
        _open(output)
    return 0


def _refuse_contradictions(arguments: Namespace) -> None:
    others = ("format", "output", "open", "latex", "rows")
    given = [f"--{name}" for name in others if getattr(arguments, name)]
    if arguments.check is not None and given:
        raise UsageError(f"--check goes with no other option, got {', '.join(given)} too")
    is_page = arguments.format in (None, "html")
    if arguments.output == STANDARD_OUTPUT and is_page:
        raise UsageError(
            "--output - prints json, markdown or csv: give --format with one of them, or a file "
            "for the HTML report"
        )
    if arguments.open and not is_page:
        raise UsageError(f"--open shows the HTML report only, got --format {arguments.format}")


def _require_outputs(files: Mapping[str, Path | None], results: Path) -> None:
    written = [(what, file) for what, file in files.items() if file not in (None, STANDARD_OUTPUT)]
    for (what, file), (other, same) in combinations(written, 2):
        if os.path.realpath(file) == os.path.realpath(same):
            raise UsageError(f"{what} and {other} must be two files, got {same} for both")
    for what, file in written:
        require_output(file, what, results)


def _write_beside(arguments: Namespace, stored: StoredSweep, analysis: SweepAnalysis) -> None:
    if arguments.latex is not None:
        write_atomically(latex_table(analysis).encode(), arguments.latex)
    if arguments.rows is not None:
        write_rows(stored.rows, arguments.rows)


def _say_what_was_written(files: Mapping[str, Path | None]) -> None:
    for what, file in files.items():
        if file is not None:
            label = f"{what.removeprefix('the ').lower()}:"
            print(printable(f"{label:<8}{file}"))


def _open(page: Path) -> None:
    """Show a page in the user's browser; where none can be started, say so: the page is there."""
    address = page.resolve().as_uri()
    try:
        started = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        started = False
    if not started:
        print(printable(f"no browser could be started: open {address} in yours"), file=sys.stderr)


def _check(results: Path, page: Path) -> int:
    """Compare a report with the one that the rows give: nobody sees a verdict, so it is no look."""
    said = _read_report(page)
    rendered = report.render(analyse_stored(open_sweep(results), recorded=False))
    found = check_report(said, rendered)
    for line in _findings(found, page):
        print(printable(line))
    return 0 if found.is_right else 1


def _findings(found: ReportCheck, page: Path) -> list[str]:
    if found.built_otherwise_from is not None:
        return [
            f"{page} is built otherwise than the report of these rows, beginning with "
            f"{found.built_otherwise_from}: another version of this program made it, or other runs"
        ]
    looks = f"note: style or script of {page} are not those of this version; they are not checked"
    notes = [looks] if found.has_own_looks else []
    if found.is_right:
        return [f"ok: {found.n_numbers:,} numbers of {page} are those that the rows give", *notes]
    if found.differs_in_drawing:
        notes.append(
            "note: all numbers and words are right, only coordinates of figures differ; they were "
            f"drawn here by matplotlib {version('matplotlib')}, the page does not state its version"
        )
    rest = len(found.mismatches) - MAX_MISMATCHES
    more = [f"and {rest:,} more"] if rest > 0 else []
    return [*map(str, found.mismatches[:MAX_MISMATCHES]), *more, *notes]


def _read_report(page: Path) -> str:
    if not page.exists():
        raise UsageError(f"no report at {page}: --check needs an HTML report")
    if not page.is_file():
        raise UsageError(f"cannot check {page}: it is not a regular file")
    try:
        if page.stat().st_size > MAX_REPORT:
            raise UsageError(
                f"cannot check {page}: a report has at most {MAX_REPORT:,} bytes, this file has "
                f"{page.stat().st_size:,}"
            )
        text = page.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StoreError(f"cannot read {page}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        text = ""
    if not text.lstrip()[:9].lower().startswith("<!doctype"):
        raise UsageError(f"cannot check {page}: it is not an HTML report")
    return text
