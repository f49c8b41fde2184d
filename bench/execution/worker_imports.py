"""Import what worker processes need; only the server that they are forked from imports this.

The number of threads is set first: libraries read it as they are imported, and a process with
several threads cannot be forked safely. Workers do not inherit these variables.

Without garbage collection the imports take two thirds of the time. The imported objects are then
excluded from all collections: these would take time in every worker, and copy shared memory.

By default glibc returns freed memory to the system, which then clears it again for the next
update of a network that autograd differentiates. Workers keep up to 256 MB of it.

The server and its forks print no traceback if they end before
:meth:`bench.execution.forked_process.ForkedProcess.run`: the program then says so.
"""

import ctypes
import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

from bench.execution.fork_server import ONE_THREAD

#: Arguments of glibc's mallopt: how much freed memory is kept, and the size from which blocks are
#: allocated separately (the largest value that is allowed).
_M_TRIM_THRESHOLD, _KEPT = -1, 2**28
_M_MMAP_THRESHOLD, _LARGEST = -3, 2**25


def _print_nothing(*_exception: Any) -> None:
    pass


sys.excepthook = _print_nothing
os.environ.update(ONE_THREAD)
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # jemalloc of pyarrow
with suppress(AttributeError):  # another C library
    _mallopt = ctypes.CDLL(None).mallopt
    _mallopt(_M_TRIM_THRESHOLD, _KEPT)
    _mallopt(_M_MMAP_THRESHOLD, _LARGEST)
gc.disable()
import_module("bench.execution.runner")
import_module("bench.execution.train_job")
gc.freeze()
gc.enable()
