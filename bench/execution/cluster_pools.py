"""Processes that train runs for a worker of a Dask cluster.

Every task of Dask has one process for itself. Python, torch and the data are loaded once in each
process, so it is kept for the next task.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.util import Finalize
from pathlib import Path

from bench.execution.pool import WorkerPool
from bench.execution.slots import Slots

#: Seconds after which a process without a task ends: a cluster serves other programs too.
_IDLE = 60.0
#: Variable that limits the GPUs that a process sees.
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class _Idle:
    pool: WorkerPool
    slots: Slots | None
    since: float


class Pools:
    """Pools of one process each, for the threads of a worker of Dask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[WorkerPool] = set()
        self._idle: list[_Idle] = []
        self._timer: threading.Timer | None = None
        self._end: Finalize | None = None

    def _prepare(self) -> None:
        """Let this process have children, and end them when it ends."""
        # The nanny of Dask makes its worker daemonic, and such a process must not have children.
        # Ours end with it: see start_worker in bench.execution.pool.
        multiprocessing.current_process().daemon = False
        # called before the end of the children is waited for
        self._end = Finalize(None, self._close_all, exitpriority=100)

    @contextmanager
    def pool(self, _n_workers: int, slots: Slots | None) -> Iterator[WorkerPool]:
        """A pool of one process, which is kept unless the block raises an error."""
        if slots is not None:
            slots = replace(slots, directory=_slot_directory())
        with self._lock:
            if self._end is None:
                self._prepare()
            pool = self._take(slots) or WorkerPool(1, slots)
            self._all.add(pool)
        try:
            yield pool
        except BaseException:
            self._close(pool)
            raise
        self._keep(_Idle(pool=pool, slots=slots, since=time.monotonic()))

    def _take(self, slots: Slots | None) -> WorkerPool | None:
        found = next((idle for idle in reversed(self._idle) if idle.slots == slots), None)
        if found is None:
            return None
        self._idle.remove(found)
        return found.pool

    def _keep(self, idle: _Idle) -> None:
        with self._lock:
            self._idle.append(idle)
            if self._timer is None:
                self._start_timer()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(_IDLE, self._close_idle)
        self._timer.daemon = True
        self._timer.start()

    def _close_idle(self) -> None:
        """Close the pools that had no task for a while."""
        with self._lock:
            latest = time.monotonic() - _IDLE
            old = [idle for idle in self._idle if idle.since <= latest]
            self._idle = [idle for idle in self._idle if idle.since > latest]
            self._timer = None
            if self._idle:
                self._start_timer()
        for idle in old:
            self._close(idle.pool)

    def _close_all(self) -> None:
        for pool in tuple(self._all):
            self._close(pool)

    def _close(self, pool: WorkerPool) -> None:
        self._all.discard(pool)
        pool.close()


def _slot_directory() -> Path:
    """The directory of the slots of all workers on this machine that see the same GPUs."""
    visible = hashlib.sha256(os.environ.get(_VISIBLE, "").encode()).hexdigest()[:12]
    user = getattr(os, "getuid", int)()
    directory = Path(tempfile.gettempdir()) / f"optimizer-bench-slots-{user}-{visible}"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
