"""The command line.

Exit codes: 0 success; 1 something failed (finished runs are kept); 2 wrong usage, nothing was
written; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from types import FrameType
from typing import TextIO

from bench.cli.printing import bounded
from bench.errors import BenchError, UsageError, is_out_of_memory, kind_and_line
from bench.execution.interrupts import ignores_exceptions, send_again

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command of ``optimizer-bench`` and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    return run_guarded(lambda: _run(words))


def run_guarded(command: Callable[[], int]) -> int:
    """Call `command` and return its exit code; print errors and interruptions as one line."""
    _make_streams_safe()
    signals = _Signals()
    try:
        signals.watch()
        code = command()
        sys.stdout.flush()
        return code
    except BenchError as error:
        print(f"optimizer-bench: error: {bounded(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as interruption:
        signals.ignore_more()
        return _interrupted(str(interruption))
    except SystemExit:
        signals.ignore_more()
        raise
    except ImportError as error:
        if signals.received is None:  # a damaged installation, or no memory to map a library
            print(f"optimizer-bench: error: {bounded(kind_and_line(error))}", file=sys.stderr)
            return 1
        # a signal during an import can end as this
        return _interrupted() if signals.received == signal.SIGINT else 128 + signals.received
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        if not is_out_of_memory(error):
            raise
        print(
            "optimizer-bench: error: not enough memory: close other programs, or give fewer or "
            "smaller files",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # the reader of the output has closed it, as in "... | head"
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        print(f"optimizer-bench: error: {bounded(str(error))}", file=sys.stderr)
        return 2 if error.errno == errno.ENAMETOOLONG else 1  # refused before anything was written


def _run(words: Sequence[str]) -> int:
    # imported late: an interruption during these imports is handled too
    from bench.cli.arguments import COMMANDS, make_parser
    from bench.cli.config import parse_words

    if not words:
        print(make_parser().format_help(), end="", file=sys.stderr)
        return UsageError.exit_code
    _refuse_undecodable(words)
    arguments = parse_words(words)
    warnings.showwarning = _show_warning
    return COMMANDS[arguments.command].run(arguments)


def _refuse_undecodable(words: Sequence[str]) -> None:
    """Refuse words that are not UTF-8: rows, pages and JSON could not name such a file."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"what is given must be text in UTF-8, got {ascii(word)[:80]}: rename the file"
            ) from None


def _interrupted(message: str = "") -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ignore further Ctrl-C while the process ends
    detail = f": {message}" if message else ""
    print(f"\noptimizer-bench: interrupted{detail}", file=sys.stderr)
    return INTERRUPTED


class _Signals:
    """Turns signals into exceptions, and stores the number of the last one."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._watched: list[int] = []

    def watch(self) -> None:
        """Handle Ctrl-C, SIGTERM and, where it exists, SIGHUP.

        Signals that are ignored when the program starts stay so: nohup ignores SIGHUP, and a shell
        ignores SIGINT for a program in the background of a script.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # Python allows handlers in the main thread only
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._raise)
                self._watched.append(number)

    def ignore_more(self) -> None:
        """Ignore further signals while the process ends, if one is the reason for its end."""
        if self.received is not None:
            for number in self._watched:
                signal.signal(number, signal.SIG_IGN)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if ignores_exceptions(frame):
            send_again(number)
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


def _make_streams_safe() -> None:
    """Make printing safe for any encoding of the terminal, and for closed streams.

    Workers inherit the descriptors 0 to 2, and do not start without them.
    """
    with suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the process ends
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Discard buffered output, which Python would otherwise fail to flush at exit."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature is Python's
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Print a warning as one line, without the line of source that Python adds."""
    print(f"optimizer-bench: warning: {bounded(str(message))}", file=sys.stderr)
