"""What the parsers of several commands have in common."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ActionsContainer
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.cli.converters import file_or_stdout

#: Where this stands for an output file, its content is printed to standard output.
STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of ``optimizer-bench``.

    Attributes
    ----------
    help, description, examples
        Texts for the list of commands and for the help of this command.
    add_arguments
        Adds the arguments of the command to its parser.
    run
        Carries out the command and returns the exit code. It imports what only it needs, so that
        help and wrong usage are answered without waiting for torch or pandas.
    """

    help: str
    description: str
    examples: str = ""
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def add_results(parser: _ActionsContainer, name: str) -> None:
    """Add the position of a stored sweep."""
    parser.add_argument(
        name,
        type=Path,
        metavar=name.upper(),
        help="a sweep's directory such as results/mnist, or a parquet file of rows",
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
    parser: _ActionsContainer, option: str, convert: Callable[[str], float], text: str
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
    group.add_argument("--html", type=file_or_stdout, metavar="FILE", help=f"write {page}")
    return group


def repeated_options(arguments: Namespace, defaults: Mapping[str, object]) -> list[str]:
    """The words that repeat the ignored columns and the options that are not at their defaults."""
    words = []
    for name, default in defaults.items():
        value = getattr(arguments, name)
        if value is not None and value != default:
            words += [f"--{name}", str(value)]
    for column in arguments.ignore_column:
        words += ["--ignore-column", column]
    return words
