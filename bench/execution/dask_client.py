"""Connection to a Dask cluster: the calls of distributed that a sweep needs.

distributed is an optional package. It logs what is reported here as warnings and errors.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import pickle
import queue
import socket
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

from bench.errors import first_line, kind_and_line
from bench.execution.cluster_job import Answer

_Result = TypeVar("_Result")
#: The keys of tasks with their results, or None for those that were lost.
_Transfer: TypeAlias = "Future[Iterable[tuple[str, bytes | None]]]"

#: Loggers to which distributed gives a level.
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")
#: Seconds for the end of a connection, and between two attempts to open one.
_END, _PAUSE = 5.0, 0.2
#: Errors of a closed connection; attributes of a closed client are None.
_CLOSED = (
    OSError,
    RuntimeError,
    AttributeError,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
)


class SchedulerLostError(Exception):
    """There is no connection to the scheduler."""


@contextmanager
def silent() -> Iterator[None]:
    """Let distributed log nothing in the block."""
    import distributed  # noqa: F401 - it sets the levels

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def connect(scheduler: str, seconds: float) -> Iterator[Connection]:
    """A connection to the scheduler at an address, which must answer within some seconds.

    Raise SchedulerLostError if it does not.
    """
    from distributed import Client
    from distributed.security import Security
    from distributed.versions import VersionMismatchWarning

    try:
        if not scheduler.startswith("tls://"):
            _wait_for_greeting(scheduler, seconds)
        elif Security().get_connection_args("client")["ssl_context"] is None:
            raise SchedulerLostError("tls:// needs certificates in the configuration of Dask")
        with warnings.catch_warnings():  # each worker compares the versions that matter
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(scheduler, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise SchedulerLostError(first_line(error)) from error
    connection = Connection(client)
    try:
        yield connection
    finally:
        connection.stop()
        with suppress(*_CLOSED):
            client.close(timeout=_END)


def _wait_for_greeting(scheduler: str, seconds: float) -> None:
    """Wait until something listens at an address and sends a greeting, as a scheduler does.

    distributed would wait for ever for that of another program. Raise OSError after some seconds.
    """
    host, _, port = scheduler.removeprefix("tcp://").rpartition(":")
    end = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), seconds) as opened:
                opened.settimeout(seconds)
                if opened.recv(1):
                    return
            raise ConnectionError("another program listens there")
        except TimeoutError:
            raise TimeoutError(f"nothing was received for {seconds:g} seconds") from None
        except (OSError, UnicodeError, OverflowError) as error:  # such as a host without a name
            if time.monotonic() > end:
                raise OSError(first_line(error)) from error
        time.sleep(_PAUSE)


class Connection:
    """A connection to a scheduler. Every method raises SchedulerLostError if it is lost."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._tasks: dict[str, tuple[Any, str]] = {}  # futures, and addresses of their workers
        self._ended: queue.SimpleQueue[str | _Transfer] = queue.SimpleQueue()
        self._transfers: set[_Transfer] = set()

    def threads(self) -> Mapping[str, int]:
        """The number of threads of each worker, by its address."""
        return dict(self._call(self._client.nthreads))

    def ask_all(self, request: bytes) -> Mapping[str, Answer]:
        """The answer of every worker to a request, beside its tasks."""
        ask = partial(self._client.run, pickle.loads, request, buffers=[b""], on_error="return")
        return {address: _answer(found) for address, found in self._call(ask).items()}

    def scatter(self, data: bytes) -> Any:
        """Send data to a worker, and return what represents them as an argument."""
        return self._call(partial(self._client.scatter, data, hash=False))

    def submit(self, request: bytes, address: str, data: Any = b"") -> str:
        """Give a request to a worker, and return the key of this task.

        `data` are the result of :meth:`scatter`, or nothing.
        """
        submit = partial(self._client.submit, pickle.loads, request, buffers=[data])
        future = self._call(partial(submit, workers=[address], pure=False))
        self._tasks[future.key] = future, address
        future.add_done_callback(lambda ended: self._ended.put(ended.key))
        return str(future.key)

    def cancel(self, keys: Collection[str]) -> None:
        """Cancel tasks, which have no answer then."""
        futures = [self._tasks.pop(key)[0] for key in keys if key in self._tasks]
        if futures:
            self._call(partial(self._client.cancel, futures, force=True))

    def stop(self) -> None:
        """End the transfers of answers."""
        for transfer in self._transfers:
            transfer.cancel()

    def answers(self, seconds: float) -> Mapping[str, Answer | None]:
        """Wait for answers, at most so long, and return them by the keys of their tasks.

        None: the answer was lost. That of a worker that is lost during the transfer may not arrive.
        """
        found: dict[str, Answer | None] = {}
        finished: dict[str, dict[str, Any]] = {}  # futures of each worker
        for ended in self._wait(seconds):
            if isinstance(ended, Future):
                self._transfers.discard(ended)
                results = self._call(ended.result)
                found |= {key: _answer(result) if result else None for key, result in results}
            elif ended in self._tasks:
                future, address = self._tasks[ended]
                if future.status == "finished":
                    finished.setdefault(address, {})[ended] = future
                else:
                    is_error = future.status == "error"
                    found[ended] = _answer(self._call(future.exception)) if is_error else None
        for futures in finished.values():
            self._begin_transfer(futures)
        for key in found:
            self._tasks.pop(key, None)
        return found

    def _begin_transfer(self, futures: Mapping[str, Any]) -> None:
        """Fetch the results of one worker beside those of others: they may take long."""

        async def fetch() -> Iterable[tuple[str, bytes | None]]:
            gather = self._client.gather
            found = await gather(dict(futures), errors="skip", asynchronous=True)
            return [(key, found.get(key)) for key in futures]

        loop = self._client.loop.asyncio_loop
        transfer = self._call(lambda: asyncio.run_coroutine_threadsafe(fetch(), loop))
        self._transfers.add(transfer)
        transfer.add_done_callback(self._ended.put)

    def _wait(self, seconds: float) -> Iterator[str | _Transfer]:
        """Yield the keys of the tasks that have ended, and transfers; wait for the first."""
        with suppress(queue.Empty):
            yield self._ended.get(timeout=seconds)
            while True:
                yield self._ended.get_nowait()

    def _call(self, function: Callable[[], _Result]) -> _Result:
        if self._client.status != "running":
            raise SchedulerLostError("the connection was closed")
        try:
            return function()
        except _CLOSED as error:
            raise SchedulerLostError(first_line(error)) from error


def _answer(found: bytes | BaseException) -> Answer:
    """The answer of a task; a task that raises an error cannot call this package."""
    if isinstance(found, BaseException):
        return Answer(unfit=f"it cannot use optimizer-bench ({kind_and_line(found)})")
    answer: Answer = pickle.loads(found)
    return answer
