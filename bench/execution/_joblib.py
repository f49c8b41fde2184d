"""Import joblib, check its environment variables, and ask whether it can start worker processes.

joblib has no worker processes where ``JOBLIB_MULTIPROCESSING=0`` or where the system has no
semaphores, as in a container without ``/dev/shm``. Everything then runs in one process.
"""

from __future__ import annotations

import os
import signal
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

from bench.errors import UsageError, kind_and_line

_SWITCH = "JOBLIB_MULTIPROCESSING"


def _load() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():  # that there are no semaphores is said by `workers`
            warnings.filterwarnings("ignore", ".*joblib will operate in serial mode")
            joblib = import_module("joblib")
        loky = import_module("joblib.externals.loky")
        loky.cpu_count()  # reads LOKY_MAX_CPU_COUNT
        _let_processes_be_killed()
        return joblib, loky
    except (ImportError, ValueError) as error:
        given = [f"{n}={v}" for n, v in os.environ.items() if n.startswith(("JOBLIB_", "LOKY_"))]
        if not given:
            raise
        raise UsageError(
            f"cannot use joblib ({kind_and_line(error)}): check the environment variable "
            f"{', '.join(sorted(given))}"
        ) from error


def _let_processes_be_killed() -> None:
    """Add the method `kill` to loky's processes: loky calls it where pgrep is not installed."""
    if os.name == "posix":
        popen = import_module("joblib.externals.loky.backend.popen_loky_posix").Popen
        if not hasattr(popen, "kill"):
            popen.kill = _kill
        warnings.filterwarnings("ignore", "Failed to kill subprocesses on this platform")


def _kill(popen: Any) -> None:
    if popen.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(popen.pid, signal.SIGKILL)


joblib, loky = _load()


def why_no_workers() -> str | None:
    """Why joblib cannot start worker processes here; None where it can."""
    if "loky" in joblib.parallel.BACKENDS:
        return None
    if int(os.environ.get(_SWITCH, 1)) == 0:
        return f"{_SWITCH}=0"
    return "this system has no semaphores (/dev/shm)"


def workers(wanted: int) -> int:
    """Worker processes that can be had: `wanted`, or 1 with a warning where there are none."""
    reason = why_no_workers()
    if reason is None or wanted == 1:
        return wanted
    warnings.warn(
        f"{wanted} workers are not available because {reason}: the work is done in one process",
        stacklevel=2,
    )
    return 1


def require_workers(command: str) -> None:
    """Refuse a command that measures worker processes where there are none.

    Raises
    ------
    UsageError
        If joblib cannot start worker processes.
    """
    if (reason := why_no_workers()) is not None:
        raise UsageError(f"{command} needs worker processes, not available because {reason}")
