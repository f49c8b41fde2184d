"""Spec files: options of the sweep command in YAML, below those of the command line."""

from __future__ import annotations

from argparse import ArgumentError, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.cli.arguments import given_options, make_parser, make_sweep_parser
from bench.cli.sweep import ALTERNATIVES
from bench.errors import SpecError

if TYPE_CHECKING:
    from bench.cli.spec_file import Entry


def parse_words(words: Sequence[str]) -> Namespace:
    """The arguments of a command line and of its spec file, where it names one.

    An option on the command line replaces the same option in the file, and its alternative. Raise
    UsageError if the command line or the file is wrong; for the file the message names the line.
    """
    arguments: Namespace = make_parser().parse_args(words)
    if getattr(arguments, "config", None) is None:
        return arguments
    from bench.cli.spec_file import read_entries, spec_file_error

    own = words[list(words).index("sweep") + 1 :]  # no option before it takes a value
    given = given_options(own)
    entries = _without(read_entries(arguments.config), given)
    try:
        from_file = make_sweep_parser().parse_args([entry.word for entry in entries if entry.word])
    except ArgumentError as error:
        option = (error.argument_name or "").rpartition("--")[2]
        line = next((entry.line for entry in entries if entry.option == option), None)
        raise spec_file_error(arguments.config, line, f"{option}: {error.message}") from None
    names = {"command", *(option.replace("-", "_") for option in given)}
    from_words = {name: value for name, value in vars(arguments).items() if name in names}
    return Namespace(**{**vars(from_file), **from_words})


@contextmanager
def naming_file(arguments: Namespace) -> Iterator[None]:
    """Add the name of the spec file to errors about settings that do not fit together."""
    try:
        yield
    except SpecError as error:
        if arguments.config is None:
            raise
        raise SpecError(f"{error} (with the options of {arguments.config})") from error


def _without(entries: Sequence[Entry], given: frozenset[str]) -> list[Entry]:
    """The entries that neither an option in `given` nor its alternative replaces."""
    replaced = {option for pair in ALTERNATIVES if given & set(pair) for option in pair} | given
    return [entry for entry in entries if entry.option not in replaced]
