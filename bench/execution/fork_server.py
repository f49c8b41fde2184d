"""Server that worker processes are forked from on Linux.

A new interpreter needs more than two seconds of processor time to import torch and this package.
The server does that once for all workers of a program, while the program prepares the sweep. It has
one thread, so that forks of it are safe, and it is not shared with other code of the program.
Elsewhere workers are new interpreters: fork is not safe on macOS, and Windows has none.

This module imports little, so that a command can start the server first.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker
from typing import Any

#: Environment of the workers: one thread each, whatever the environment of the program says.
ONE_THREAD = dict.fromkeys(
    (
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
        *("NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    ),
    "1",
)
#: The server of :mod:`multiprocessing` by the process that has started it: a fork of the program
#: has no server.
_servers: dict[int, Any] = {}


def is_available() -> bool:
    """Return whether workers can be forked from a server on this system."""
    return sys.platform == "linux"


def try_to_start() -> int | None:
    """Call :func:`start`; return None where workers must be new interpreters."""
    if is_available():
        with suppress(OSError):  # such as a TMPDIR whose name is too long for a socket
            return start()
    return None


def start() -> int:
    """Start the server unless it runs, and return its process number.

    The server imports its modules while the caller continues.

    Raises
    ------
    OSError
        If it cannot be started.
    """
    server: Any = _servers.get(os.getpid())
    if server is None:
        _servers.clear()
        server = forkserver.ForkServer()
        _servers[os.getpid()] = server
        server.set_forkserver_preload(["bench.execution.worker_imports"])
        atexit.unregister(_kill)
        atexit.register(_kill)
    start_method = multiprocessing.get_start_method(allow_none=True)
    resource_tracker.ensure_running()  # the server starts it too, and its start unblocks SIGINT
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # inherited by the server
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])  # tells it that a worker has ended
    try:
        server.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if start_method is None:  # ensure_running has decided it for the whole program
            multiprocessing.set_start_method(None, force=True)
    return int(server._forkserver_pid)


def fork(descriptors: Sequence[int]) -> tuple[int, int]:
    """Fork a process that inherits the descriptors.

    Returns
    -------
    tuple
        A descriptor to read the process number and later the exit code from, and one to write to
        the process.
    """
    start()
    pipes: tuple[int, int] = _servers[os.getpid()].connect_to_new_process(list(descriptors))
    return pipes


def leave() -> None:
    """Let the server end with its program, called in a process that was forked from it.

    The server runs until all copies of one descriptor are closed, and every fork has one.
    """
    inherited: Any = forkserver._forkserver
    if inherited._forkserver_alive_fd is not None:
        os.close(inherited._forkserver_alive_fd)
        inherited._forkserver_alive_fd = None


def _kill() -> None:
    """End the server with its program, even while it imports."""
    server = _servers.get(os.getpid())
    if server is not None and server._forkserver_pid is not None:
        with suppress(ProcessLookupError):
            os.kill(server._forkserver_pid, signal.SIGKILL)
