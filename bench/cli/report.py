"""``optimizer-bench report``: write the report of stored rows, or check one against them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.cli.converters import file_or_stdout, file_path
from bench.cli.options import (
    STANDARD_OUTPUT,
    Command,
    add_diagrams,
    add_results,
    output_files,
    require_outputs,
    write_text,
)
from bench.cli.printing import printable
from bench.errors import StoreError, UsageError
from bench.report.context import ReportContext
from bench.storage.files import write_atomically
from bench.sweeps.reproduce import command_line, programs
from bench.tuning.plan import holds_plan

if TYPE_CHECKING:
    import pyarrow as pa

    from bench.analysis import SweepAnalysis
    from bench.report.html.check import ReportCheck

#: The formats of a report, with the endings of their files.
FORMATS = {"html": ".html", "json": ".json", "markdown": ".md", "csv": ".csv"}
#: A check prints at most so many differences.
MAX_MISMATCHES = 20
#: A check reads reports of at most so many bytes.
MAX_REPORT = 64_000_000
_EXAMPLES = (
    ("results/mnist --open", "the page, in your browser"),
    ("results/mnist --format markdown --output -", "for a pull request"),
    ("results/mnist --latex table.tex", "for a paper"),
    ("results/mnist --check reports/mnist.html", "do its numbers follow from the rows?"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of a report."""
    add_results(parser, "results")
    _add_report(parser.add_argument_group("the report"))
    more = parser.add_argument_group("further files")
    more.add_argument(
        "--latex",
        type=file_path,
        metavar="FILE",
        help="also write the leaderboard as a LaTeX table (booktabs)",
    )
    more.add_argument(
        "--rows", type=file_path, metavar="FILE", help="also write all rows into one parquet file"
    )
    checking = parser.add_argument_group("checking, with no other option")
    checking.add_argument(
        "--check",
        type=file_path,
        metavar="REPORT",
        help="compare this HTML report with the one that the rows give, and end with exit code 1 "
        "if a number or any text differs; nothing is written",
    )


def _add_report(group: _ActionsContainer) -> None:
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="html: the page (default); json: the comparison; markdown: verdict and tables; "
        "csv: all rows",
    )
    group.add_argument(
        "--output",
        type=file_or_stdout,
        metavar="FILE",
        help="the report (default: reports/NAME with the format's ending; '-': print it)",
    )
    add_diagrams(group)
    group.add_argument("--open", action="store_true", help="open the HTML report in your browser")


def run(arguments: Namespace) -> int:
    """Write the report and the further files, or check a report."""
    _refuse_contradictions(arguments)
    if arguments.check is not None:
        return _check(arguments.results, arguments.check)
    source = _source(arguments.results)
    kind = arguments.format or "html"
    output = arguments.output or Path("reports") / f"{source.name}{FORMATS[kind]}"
    files = {"the report": output, "the LaTeX": arguments.latex, "the rows": arguments.rows}
    source.refuse(arguments)
    require_outputs(output_files(files), arguments.results)
    write_text(source.text(kind, tuple(arguments.diagrams)), output)
    if arguments.latex is not None:
        write_atomically(source.latex().encode(), arguments.latex)
    if arguments.rows is not None:
        from bench.storage.rows import as_parquet

        write_atomically(as_parquet(source.rows), arguments.rows)
    if output != STANDARD_OUTPUT:
        _print_files(files)
    if arguments.open:
        _open(output)
    return 0


class ReportSource(Protocol):
    """What a report is about: a sweep, or a tuning with its tracks."""

    @property
    def name(self) -> str:
        """The name of its report, without the ending."""

    def refuse(self, arguments: Namespace) -> None:
        """Raise UsageError if an option does not apply."""

    def text(self, kind: str, diagrams: tuple[str, ...], /) -> str:
        """Return the report in one of the formats."""

    def latex(self) -> str:
        """Return the leaderboard as a LaTeX table."""

    @property
    def rows(self) -> pa.Table:
        """All rows."""

    def page_like(self, given: str) -> str:
        """Return the page of the rows, with what `given` shows beside the results."""

    def print_conclusion(self, page: Path | None) -> None:
        """Print the verdict, and the path of the HTML report."""


def _source(path: Path) -> ReportSource:
    from bench.storage.mirror import pulled
    from bench.sweeps.load import analyse_stored, open_sweep

    if holds_plan(pulled(path)):
        from bench.cli.stored_tuning import tuning_source

        return tuning_source(path)
    stored = open_sweep(path)
    return AnalysisReport(
        name=stored.spec.name,
        command=lambda start: command_line(stored.spec, stored.execution, start=start),
        analyse=lambda recorded: analyse_stored(stored, recorded=recorded),
        rows=stored.rows,
    )


@dataclass(frozen=True, kw_only=True)
class AnalysisReport:
    """The report of an analysis.

    Attributes
    ----------
    name
        The name of the report, without the ending.
    command
        The command line that repeats it, by the words that start the program.
    analyse
        The analysis; its argument says whether a look is recorded.
    """

    name: str
    command: Callable[[str | None], str]
    analyse: Callable[[bool], SweepAnalysis]
    rows: pa.Table

    @cached_property
    def _analysis(self) -> SweepAnalysis:
        return self.analyse(True)

    def refuse(self, arguments: Namespace) -> None:
        """Accept all options: each of them applies to an analysis."""

    def text(self, kind: str, diagrams: tuple[str, ...]) -> str:
        from bench import report
        from bench.analysis import to_json

        context = ReportContext(command=self.command(None), diagrams=diagrams)
        texts: dict[str, Callable[[], str]] = {
            "html": lambda: report.render(self._analysis, context),
            "json": lambda: to_json(self._analysis.comparison),
            "csv": lambda: report.rows_csv(self._analysis),
            "markdown": lambda: report.markdown(self._analysis, context),
        }
        return texts[kind]()

    def latex(self) -> str:
        from bench import report

        return report.latex_table(self._analysis)

    def page_like(self, given: str) -> str:
        """Render the page; no verdict is shown, so no look is recorded."""
        from bench import report

        context = ReportContext(
            command=command_like(given, self.command),
            diagrams=("cd",) if 'data-figure="ranks"' in given else (),
        )
        return report.render(self.analyse(False), context)

    def print_conclusion(self, page: Path | None) -> None:
        from bench.cli import console

        console.print_conclusion(self._analysis, self.command(None), page)


def command_like(given: str, command: Callable[[str | None], str]) -> str:
    """Return the command as a page shows it; a page that was written from Python may lack it."""
    start = next((start for start in programs("sweep") if start in given), None)
    return command(start) if 'id="command"' in given else ""


def _refuse_contradictions(arguments: Namespace) -> None:
    others = ("format", "output", "diagrams", "open", "latex", "rows")
    given = [f"--{name}" for name in others if getattr(arguments, name)]
    if arguments.check is not None and given:
        raise UsageError(f"--check goes with no other option, got {', '.join(given)} too")
    is_page = arguments.format in (None, "html")
    if arguments.output == STANDARD_OUTPUT and is_page:
        raise UsageError(
            "--output - prints json, markdown or csv: give --format with one of them, or a file "
            "for the HTML report"
        )
    if arguments.diagrams and not is_page:
        raise UsageError(
            f"--diagrams adds to the HTML report only, got --format {arguments.format}"
        )
    if arguments.open and not is_page:
        raise UsageError(f"--open shows the HTML report only, got --format {arguments.format}")


def _print_files(files: Mapping[str, Path | None]) -> None:
    for what, file in files.items():
        if file is not None:
            label = f"{what.removeprefix('the ').lower()}:"
            print(printable(f"{label:<8}{file}"))


def _open(page: Path) -> None:
    """Open a page in the user's browser, or print its address where none can be started."""
    import webbrowser

    address = page.resolve().as_uri()
    try:
        started = webbrowser.open(address)
    except (webbrowser.Error, OSError):
        started = False
    if not started:
        print(printable(f"no browser could be started: open {address} in yours"), file=sys.stderr)


def _check(results: Path, page: Path) -> int:
    """Compare a report with its rows."""
    from bench import report

    given = _read_report(page)
    found = report.check_report(given, _source(results).page_like(given))
    for line in _findings(found, page):
        print(printable(line))
    return 0 if found.is_right else 1


def _findings(found: ReportCheck, page: Path) -> list[str]:
    made_by, rendered_by = found.made_by or "unknown versions", found.rendered_by
    versions = f"note: {page} was made by {made_by}; it is compared with {rendered_by}"
    notes = [versions] if made_by != rendered_by else []
    if found.is_right:
        return [*notes, f"ok: {found.n_numbers:,} numbers of {page} are those that the rows give"]
    lines = [*notes, *map(str, found.mismatches[:MAX_MISMATCHES])]
    rest = len(found.mismatches) - MAX_MISMATCHES
    if rest > 0:
        lines.append(f"and {rest:,} more")
    if not found.is_complete:
        lines.append(
            f"{page} and the report of these rows have different numbers of lines, so not all was "
            "compared: another version of this program made it, or other runs"
        )
    return lines


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


COMMAND = Command(
    help="write the report of stored rows again, or check one",
    description="Write the report of a sweep from its stored rows, in one of several formats, or "
    "check that a report agrees with the rows.",
    examples=_EXAMPLES,
    add_arguments=add_arguments,
    run=run,
)
