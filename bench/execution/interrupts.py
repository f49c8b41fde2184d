"""Find the places where Python ignores exceptions, so that a signal must not raise one there."""

from __future__ import annotations

import gc
import signal
import threading
from types import FrameType

#: Seconds until a signal is repeated.
PAUSE = 0.05
#: Callbacks of weak references in the standard library, by their module and name.
_CALLBACKS = {
    ("importlib._bootstrap", "cb"),
    ("_frozen_importlib", "cb"),
    ("weakref", "remove"),
    ("_weakrefset", "_remove"),
}


def ignores_exceptions(frame: FrameType | None) -> bool:
    """Return whether Python would print and ignore an exception raised in this frame.

    That is so in destructors, in callbacks of the garbage collector, and in callbacks of weak
    references, of which only those of the standard library are found.
    """
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        place = (frame.f_globals.get("__name__"), code.co_name)
        if code.co_name == "__del__" or code in callbacks or place in _CALLBACKS:
            return True
        frame = frame.f_back
    return False


def send_again(number: int) -> None:
    """Send a signal to the main thread again after a pause."""
    timer = threading.Timer(PAUSE, _send, (number,))
    timer.daemon = True
    timer.start()


def _send(number: int) -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)  # this wakes the thread up if it waits
    else:
        signal.raise_signal(number)
