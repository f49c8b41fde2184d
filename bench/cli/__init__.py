"""The command line: arguments in, calls, exit code out.

0 all is well; 1 something failed on the way (what was finished is kept); 2 wrong usage, nothing
was written; 130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn, TextIO

from bench.cli.arguments import make_parser
from bench.cli.printing import printable
from bench.errors import BenchError

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _make_streams_safe()
    try:
        arguments = make_parser().parse_args(argv)
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), _exit_on_signal)
        warnings.showwarning = _show_warning
        # a command is imported only when it is run: --help and mistakes answer at once
        command = import_module(f"bench.cli.{arguments.command}")
        code = int(command.run(arguments))
        sys.stdout.flush()
        return code
    except BenchError as error:
        print(f"optimizer-bench: error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
        print("\noptimizer-bench: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in "... | head"
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        print(f"optimizer-bench: error: {printable(str(error))}", file=sys.stderr)
        return 1


def _make_streams_safe() -> None:
    """Print whatever the terminal's encoding, and even where the streams are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for as long as we run
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """What is still buffered has nowhere to go; Python would complain of it at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature is Python's
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """One line instead of Python's two, which show a line of this program's source."""
    print(f"optimizer-bench: warning: {printable(str(message))}", file=sys.stderr)


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
