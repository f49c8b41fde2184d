"""Exceptions in another thread: what ends Python code there that does not come to its end itself.

Only code in Python hears of them, before its next instruction: a thread that waits outside Python,
for a GPU or a lock, goes on waiting.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def interrupt(thread: int, exception: type[BaseException] | None) -> None:
    """Raise `exception` in the thread of this identifier; None takes back one not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception)
    )


@contextmanager
def interrupted_after(seconds: float, exception: type[BaseException]) -> Iterator[None]:
    """Raise `exception` in this thread if the block takes longer; after the block, no more."""
    thread, lock, is_over = threading.get_ident(), threading.Lock(), False

    def end() -> None:
        with lock:
            if not is_over:
                interrupt(thread, exception)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    with suppress(RuntimeError):  # no more threads
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            is_over = True
            interrupt(thread, None)
