"""Import what worker processes need; only the server that they are forked from imports this.

The number of threads is set first: libraries read it as they are imported, and a process with
several threads cannot be forked safely. Workers do not inherit these variables.

Without garbage collection the imports take two thirds of the time. The imported objects are then
excluded from all collections: these would take time in every worker, and copy shared memory.

The server and its forks print no traceback if they end before
:meth:`bench.execution.forked_process.ForkedProcess.run`: the program then says so.
"""

import gc
import os
import sys
from importlib import import_module
from typing import Any

from bench.execution.fork_server import ONE_THREAD


def _print_nothing(*_exception: Any) -> None:
    pass


sys.excepthook = _print_nothing
os.environ.update(ONE_THREAD)
os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # jemalloc of pyarrow
gc.disable()
import_module("bench.execution.runner")
import_module("bench.execution.train_job")
gc.freeze()
gc.enable()
