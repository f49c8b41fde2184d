"""Completion of commands, options and files in a shell, by the optional package shtab."""

from __future__ import annotations

from argparse import Action, ArgumentParser, Namespace
from typing import Any

from bench.errors import UsageError

#: Shells that shtab writes completions for.
SHELLS = ("bash", "zsh", "tcsh")


class PrintCompletion(Action):
    """Prints the completion of a parser and ends the program."""

    def __call__(self, parser: ArgumentParser, _namespace: Namespace, values: Any, *_: Any) -> None:
        """Print what a shell evaluates, such as in its start-up file."""
        try:
            import shtab
        except ImportError:
            raise UsageError(
                "--print-completion needs shtab: pip install 'optimizer-bench[completion]'"
            ) from None
        for command in getattr(parser, "commands", {}).values():
            for action in command._actions:
                if action.metavar in ("FILE", "DIR", "RESULTS", "BEFORE", "AFTER"):
                    action.complete = shtab.FILE
        print(shtab.complete(parser, shell=values))
        parser.exit()
