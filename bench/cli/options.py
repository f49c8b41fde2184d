"""What the parsers of several commands have in common."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from bench.cli.converters import file_or_stdout, file_path, sweep_path
from bench.errors import UsageError
from bench.storage.files import require_output, write_atomically

#: Where this stands for an output file, its content is printed to standard output.
STANDARD_OUTPUT = Path("-")


#: Help on the option ``--correction``, without the default.
CORRECTION_HELP = (
    "adjustment of the p-values for the number of pairs. holm: valid under any dependence of the "
    "pairs. max-t: step-down max-T, which flips the signs of whole seeds; it can find differences "
    "from 6 seeds on, but assumes that the differences of the pairs are jointly symmetric: with "
    "long tails to both sides its simulated error rate was 0.15 instead of 0.05 at 11 seeds"
)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of ``optimizer-bench``: texts of its help, its parser, and its action.

    `examples` are words of a command line, and what they do. `run` returns the exit code. It
    imports what only it needs, so that help and wrong usage are answered without waiting for torch
    or pandas.
    """

    help: str
    description: str
    examples: Sequence[tuple[str, str]] = ()
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_results(parser: _ActionsContainer, name: str) -> None:
    """Add the position of a stored sweep."""
    parser.add_argument(
        name,
        type=sweep_path,
        metavar=name.upper(),
        help="a sweep's directory such as results/mnist, or its URI such as "
        "s3://bucket/results/mnist, or a parquet file of rows",
    )


def add_ignored_columns(parser: _ActionsContainer, purpose: str) -> None:
    """Add ``--ignore-column``."""
    parser.add_argument(
        "--ignore-column",
        action="append",
        default=[],
        metavar="COLUMN",
        help=f"leave out {purpose}; can be given several times",
    )


def add_number(
    parser: _ActionsContainer, option: str, convert: Callable[[str], object], text: str
) -> None:
    """Add an option for a number, None where it is not given."""
    parser.add_argument(option, type=convert, metavar="X", help=text)


def add_comparison_outputs(parser: ArgumentParser, page: str) -> _ActionsContainer:
    """Add ``--json`` and ``--html``, and return their group."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json",
        type=file_or_stdout,
        metavar="FILE",
        help="write the comparison as JSON ('-': print it)",
    )
    group.add_argument("--html", type=file_path, metavar="FILE", help=f"write {page}")
    return group


def add_diagrams(parser: _ActionsContainer) -> None:
    """Add ``--diagrams``."""
    parser.add_argument(
        "--diagrams",
        action="append",
        choices=("cd",),
        default=[],
        help="add a diagram to the HTML report. cd: the critical-difference diagram of mean ranks, "
        "which can contradict the verdicts of the pairs",
    )


def output_files(outputs: Mapping[str, Path | None]) -> dict[str, Path]:
    """Return the outputs that are files; raise UsageError if two of them are the same file."""
    files = {what: f for what, f in outputs.items() if f is not None and f != STANDARD_OUTPUT}
    for (what, file), (other, same) in combinations(files.items(), 2):
        if os.path.realpath(file) == os.path.realpath(same):
            raise UsageError(f"{what} and {other} must be two files, got {same} for both")
    return files


def require_outputs(files: Mapping[str, Path], *inputs: Path) -> None:
    """Raise UsageError unless all files can be written and belong to none of the inputs."""
    for what, file in files.items():
        for source in inputs:
            require_output(file, what, source)


def write_text(text: str, file: Path) -> None:
    """Write text to a file, or print it."""
    if file == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        write_atomically(text.encode(), file)


def refuse_ignored(columns: Iterable[str], used: Iterable[str]) -> None:
    """Raise UsageError if ``--ignore-column`` names a column that is used."""
    if wrong := set(columns) & set(used):
        raise UsageError(f"--ignore-column must not name a column in use, got {min(wrong)!r}")


def repeated_options(arguments: Namespace, defaults: Mapping[str, object]) -> list[str]:
    """The words that repeat the ignored columns and the options that are not at their defaults."""
    words = []
    for name, default in defaults.items():
        value = getattr(arguments, name)
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not None and value != default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    for column in arguments.ignore_column:
        words += ["--ignore-column", column]
    return words
