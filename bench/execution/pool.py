"""Worker processes, on the executor of joblib (loky).

joblib.Parallel trains a single run in the calling process, where a crash of user code ends the
program. The executor that it is built on always starts processes.
"""

from __future__ import annotations

import ctypes
import os
import queue
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from bench.errors import WorkerError
from bench.execution import fork_server
from bench.execution._joblib import loky
from bench.execution.slots import Slots

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Files of the semaphores of loky on Linux; the number is that of the process that made them.
_SHARED_MEMORY = Path("/dev/shm")
_SEMAPHORE = re.compile(r"sem\.loky-(\d+)-\w+")
#: Seconds after which a semaphore of a program that does not exist is removed.
_OLD = 600.0
#: Linux: the signal that a process receives when the thread that started it ends.
_PR_SET_PDEATHSIG = 1
#: Linux: the name of a thread, which ps and top show; at most 15 characters.
_PR_SET_NAME, _NAME = 15, b"bench-worker"

_is_worker = False


def is_worker() -> bool:
    """Return whether this process is a worker."""
    return _is_worker


class WorkerPool:
    """Pool of worker processes, which start with the first items of :meth:`map`.

    Parameters
    ----------
    n_workers
        Number of processes.
    slots
        Places on devices, one of which each worker claims; None on the CPU. Workers on GPUs are new
        interpreters: CUDA must not be used before a fork, and imports may do so.

    Raises
    ------
    WorkerError
        If processes cannot be started.
    """

    def __init__(self, n_workers: int, slots: Slots | None = None) -> None:
        _remove_semaphores()
        self._n_workers = n_workers
        self._started: dict[int, Any] = {}  # all processes by their numbers
        server = None if slots and slots.are_gpus else fork_server.try_to_start()
        try:
            self._executor = loky.ProcessPoolExecutor(
                n_workers,
                context=None if server is None else _forked_context(),
                initializer=start_worker,
                initargs=(server or os.getpid(), slots),
                env=fork_server.ONE_THREAD,
            )
        except OSError as error:  # /dev/shm is full or read-only
            raise _cannot_start(error) from error

    @property
    def processes(self) -> tuple[int, ...]:
        """Numbers of all worker processes that were started."""
        return tuple(self._started)

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Generator[_Result]:
        """Call `function` with each item in the workers; yield the results as they are ready.

        Raises
        ------
        BrokenProcessPool
            If a worker dies. The executor then ends the other workers too.
        WorkerError
            If processes cannot be started.
        """
        waiting = iter(items)
        with _interrupts_deferred():  # workers start, and inherit the blocked SIGINT
            pending = self._submit(function, islice(waiting, 2 * self._n_workers))
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            pending |= self._submit(function, islice(waiting, len(done)))

    def _submit(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> set[Future[_Result]]:
        try:
            return {self._executor.submit(function, item) for item in items}
        except BrokenProcessPool:
            raise
        except ConnectionError as error:  # a worker, or their server, died before it had read this
            raise BrokenProcessPool(f"a worker died as it was started ({error})") from error
        except (OSError, RuntimeError) as error:  # no more processes, no more threads
            raise _cannot_start(error) from error
        finally:
            self._started.update(self._executor._processes)

    def close(self) -> None:
        """Kill the workers and wait for their end; they write nothing afterwards."""
        try:
            with suppress(queue.Empty):  # loky's thread looks for these items, which shutdown drops
                while True:
                    self._executor._work_ids.get_nowait()
            with suppress(RuntimeError):  # its thread could not be started
                self._executor.shutdown(wait=True, kill_workers=True)
        finally:
            for process in self._started.values():  # what the executor has not ended
                if process.is_alive():
                    process.kill()
                    process.join()


def _forked_context() -> Any:
    from bench.execution.forked_process import ForkedContext  # not on Windows

    return ForkedContext()


def _cannot_start(error: Exception) -> WorkerError:
    return WorkerError(
        f"cannot start the workers ({error}): too many processes, or too little memory; the "
        "finished runs are stored: give the same command again, with fewer --n-jobs, or with "
        "--in-process"
    )


def start_worker(parent: int, slots: Slots | None) -> None:
    """Ignore Ctrl-C, end with the parent process, and claim a slot."""
    global _is_worker
    _is_worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent(parent)
    try:
        threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()
        if slots is not None:
            slots.claim()
    except (OSError, RuntimeError):  # no lock file, no more threads: the pool breaks
        os._exit(1)


def _die_with_parent(parent: int) -> None:
    """Let Linux kill this process when its parent ends, even if a run holds the GIL."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            prctl = ctypes.CDLL(None).prctl
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            prctl(_PR_SET_NAME, _NAME)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def _exit_with(parent: int) -> None:
    """End this process after its parent, on every system; a run that holds the GIL delays it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Raise KeyboardInterrupt for a Ctrl-C in the block at its end.

    SIGINT is blocked, which workers inherit: they would otherwise end with a traceback if it
    arrived before :func:`start_worker` runs. Other threads of this process may still receive it;
    the handler then only stores it.
    """
    if threading.current_thread() is not threading.main_thread() or os.name != "posix":
        yield  # only the main thread may set handlers, and only it receives Ctrl-C
        return
    received: list[int] = []

    def store(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):  # not ignored
        signal.signal(signal.SIGINT, store)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if received:
            raise KeyboardInterrupt


def _remove_semaphores(directory: Path = _SHARED_MEMORY) -> None:
    """Remove old semaphores of this user whose program was killed with its process group.

    Recent ones stay: a program in another container may have the same directory, and its number
    does not exist here.
    """
    with suppress(OSError):
        for file in directory.glob("sem.loky-*"):
            match, status = _SEMAPHORE.fullmatch(file.name), file.stat()
            is_old = time.time() - status.st_mtime > _OLD
            is_ours = status.st_uid == os.getuid()
            if match and is_old and is_ours and not process_exists(int(match[1])):
                file.unlink()


def process_exists(process: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
