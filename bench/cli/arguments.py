"""The parser of all commands; each command module adds its own arguments."""

from __future__ import annotations

from argparse import ArgumentParser, HelpFormatter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from bench import __version__
from bench.cli import analyze, benchmark, compare, listing, report, sweep, watch
from bench.cli.completion import SHELLS, PrintCompletion
from bench.cli.options import Command
from bench.errors import UsageError, close_names
from bench.sweeps.reproduce import program

COMMANDS: Mapping[str, Command] = {
    "sweep": sweep.COMMAND,
    "list": listing.COMMAND,
    "report": report.COMMAND,
    "analyze": analyze.COMMAND,
    "compare": compare.COMMAND,
    "watch": watch.COMMAND,
    "benchmark": benchmark.COMMAND,
}


#: Column of the text on an example.
_EXAMPLE = 48


class Parser(ArgumentParser):
    """A parser that raises UsageError with a message of one line; `commands` are its subparsers."""

    commands: Mapping[str, Parser] = MappingProxyType({})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try {self.prog} --help)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all words; an error about an unknown option is that of its command."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = self.commands.get(getattr(found, "command", ""), self)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{parser._hint(unknown)}")
        return found

    def _hint(self, unknown: Sequence[str]) -> str:
        """Name the option that is closest to the first unknown one."""
        given = next((word for word in unknown if word.startswith("--")), "")
        names = [name.lstrip("-") for name in self._option_string_actions if name[:2] == "--"]
        close = close_names(given.partition("=")[0].lstrip("-"), names)
        return f"; did you mean --{close[0]}?" if close else ""


class _Formatter(HelpFormatter):
    """Wraps descriptions and keeps the lines of examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        is_example = text.startswith("examples:")
        return text if is_example else super()._fill_text(text, width, indent)


def _example_lines(command: str, examples: Sequence[tuple[str, str]]) -> str | None:
    """Lay out examples, each with what it does beside it or on the next line."""
    if not examples:
        return None
    lines = ["examples:"]
    for words, text in examples:
        line = f"  {program(command)} {words}"
        is_short = len(line) < _EXAMPLE
        lines.append(f"{line:<{_EXAMPLE}}{text}" if is_short else f"{line}\n{'':{_EXAMPLE}}{text}")
    return "\n".join(lines)


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="optimizer-bench",
        description="Compare PyTorch optimizers over many seeds with statistical tests.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        action=PrintCompletion,
        metavar="SHELL",
        help=f"print completions for a shell ({', '.join(SHELLS)}); needs the package shtab",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(
                name,
                prog=program(name),
                help=command.help,
                description=command.description,
                epilog=_example_lines(name, command.examples),
                formatter_class=_Formatter,
            )
        )
    parser.commands = commands.choices
    return parser


def make_sweep_parser() -> Parser:
    """The parser of the words after ``sweep``.

    It raises :class:`argparse.ArgumentError`, which holds the name of the option.
    """
    parser = Parser(prog=program("sweep"), exit_on_error=False)
    sweep.add_arguments(parser)
    return parser


def given_options(words: Sequence[str]) -> frozenset[str]:
    """The options, without dashes, that the words after ``sweep`` give explicitly."""
    parser, missing = make_sweep_parser(), object()
    for action in parser._actions:  # whatever converts a value may load a user's module or file
        action.type = None
        action.default = action.default if action.dest == "help" else missing
    given = vars(parser.parse_args(words))
    return frozenset(k.replace("_", "-") for k, value in given.items() if value is not missing)
