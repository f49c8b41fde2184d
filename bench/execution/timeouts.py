"""End runs that take longer than their timeout.

A signal interrupts the run wherever it is in Python. A run that waits outside Python, as for a
lock or a GPU, does not return to Python: a thread then records it and ends the process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bench.spec.options import MAX_TIMEOUT


class RunTimeoutError(Exception):
    """A run took longer than its timeout."""


class _TimeIsUp(BaseException):
    """Raised by the signal. No Exception, because the code of a run may catch those."""


def can_interrupt() -> bool:
    """Whether a signal can interrupt this thread: the main thread, on a POSIX system."""
    return threading.current_thread() is threading.main_thread() and os.name == "posix"


@contextmanager
def time_limit(
    seconds: float,
    message: str,
    *,
    grace: float = 0.0,
    give_up: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Raise RunTimeoutError in the block after a number of seconds.

    Parameters
    ----------
    seconds
        At most :data:`MAX_TIMEOUT` of them are waited for, because timers take no more.
    message
        Of the error.
    grace
        Seconds that the block has to react to the signal.
    give_up
        Called after `seconds` and `grace` from another thread; this process then ends. None: the
        process must go on, and a block that does not react to the signal is not ended.

    Raises
    ------
    RunTimeoutError
        If the block took longer.
    """
    seconds = min(seconds, MAX_TIMEOUT)
    interrupts = can_interrupt()
    watchdog = threading.Timer(seconds + (grace if interrupts else 0.0), _end_process, (give_up,))
    watchdog.daemon = True
    if give_up is not None:
        with suppress(RuntimeError):  # no more threads: the signal remains
            watchdog.start()
    try:
        if interrupts:
            with _alarm(seconds):
                yield
        else:
            yield
    except _TimeIsUp as error:
        raise RunTimeoutError(message) from error
    finally:
        watchdog.cancel()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUp in the block by a signal."""
    is_over = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not is_over:
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


def _end_process(give_up: Callable[[], object]) -> None:
    try:
        give_up()
    finally:  # also where the run cannot be recorded: the parent process then repeats it
        os._exit(1)
