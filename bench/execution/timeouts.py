"""End runs that take longer than their timeout.

A signal interrupts the run wherever it is in Python, except in an import and where Python ignores
exceptions (destructors, callbacks of the garbage collector). A run that does not react, because it
waits outside Python or holds the GIL, is ended with its process by faulthandler, which needs
neither Python nor the GIL. The parent process then records it.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bench.execution.interrupts import PAUSE, ignores_exceptions
from bench.spec.options import MAX_TIMEOUT

#: Seconds until a run is interrupted again: code of users may catch any exception, and Python
#: ignores it in callbacks of weak references that :func:`ignores_exceptions` does not find.
_AGAIN = 5.0
#: Names of the code of Python's import system begin with this.
_IMPORT_SYSTEM = "<frozen importlib"


class RunTimeoutError(Exception):
    """A run took longer than its timeout."""


class _TimeIsUp(BaseException):
    """Raised by the signal. No Exception, because the code of a run may catch those."""


def can_interrupt() -> bool:
    """Whether a signal can interrupt this thread: the main thread, on a POSIX system."""
    return threading.current_thread() is threading.main_thread() and os.name == "posix"


@contextmanager
def time_limit(
    seconds: float, message: str, *, grace: float = 0.0, dump: Path | None = None
) -> Iterator[None]:
    """Raise RunTimeoutError in the block after a number of seconds.

    Parameters
    ----------
    seconds
        At most :data:`MAX_TIMEOUT` of them are waited for, because timers take no more.
    message
        Of the error.
    grace
        Seconds that the block has to react.
    dump
        After `seconds` and `grace` the stack of every thread is written to this file, and this
        process ends. None: the process must go on, and a block that does not react is not ended.

    Raises
    ------
    RunTimeoutError
        If the block took longer.
    """
    seconds = min(seconds, MAX_TIMEOUT)
    try:
        longest = min(seconds + grace, MAX_TIMEOUT, threading.TIMEOUT_MAX)
        with _watchdog(longest, dump), _alarm(seconds):
            yield
    except _TimeIsUp as error:
        raise RunTimeoutError(message) from error


@contextmanager
def _watchdog(seconds: float, dump: Path | None) -> Iterator[None]:
    """End this process if the block takes longer."""
    if dump is None:
        yield
        return
    try:
        file = dump.open("wb")
    except OSError:  # a full disk: the dump is lost
        file = open(os.devnull, "wb")  # noqa: SIM115 - closed below
    with file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUp in the block by a signal, where signals can be handled.

    An interrupted import would leave modules that are initialized in part, and Python ignores
    exceptions in destructors and in callbacks of the garbage collector. The signal is then repeated
    until these have ended.
    """
    if not can_interrupt():
        yield
        return
    is_over = False
    n_outside = _n_imports(sys._getframe())  # of the block: 0 unless a module is a program

    def interrupt(_number: int, frame: FrameType | None) -> None:
        if is_over:
            return
        if _n_imports(frame) > n_outside or ignores_exceptions(frame):
            signal.setitimer(signal.ITIMER_REAL, PAUSE)
        else:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
            raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            yield
        finally:
            is_over = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _n_imports(frame: FrameType | None) -> int:
    """Count the frames of Python's import system in a stack."""
    n = 0
    while frame is not None:
        n += frame.f_code.co_filename.startswith(_IMPORT_SYSTEM)
        frame = frame.f_back
    return n
