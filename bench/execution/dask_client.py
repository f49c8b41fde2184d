"""Connection to a Dask cluster: the calls of distributed that a sweep needs.

distributed is an optional package. It logs what is reported here as warnings and errors.
"""

from __future__ import annotations

import logging
import pickle
import queue
import socket
import time
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from bench.errors import first_line, kind_and_line
from bench.execution.cluster_job import Answer

_Result = TypeVar("_Result")

#: Loggers to which distributed gives a level.
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")
#: Seconds for the way of answers to this process: those of a lost worker never arrive.
_TRANSFER = 15.0
#: Seconds for the end of a connection, and between two attempts to open one.
_END, _PAUSE = 5.0, 0.2
#: Errors of a closed connection; attributes of a closed client are None.
_CLOSED = (OSError, RuntimeError, AttributeError, CancelledError)


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
    try:
        yield Connection(client)
    finally:
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
        self._futures: dict[str, Any] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

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
        self._futures[future.key] = future
        future.add_done_callback(lambda ended: self._ended.put(ended.key))
        return str(future.key)

    def cancel(self, keys: Collection[str]) -> None:
        """Cancel tasks, which have no answer then."""
        futures = [self._futures.pop(key) for key in keys if key in self._futures]
        if futures:
            self._call(partial(self._client.cancel, futures, force=True))

    def answers(self, seconds: float) -> Mapping[str, Answer | None]:
        """Wait for answers, at most so long, and return them by the keys of their tasks.

        None: the answer was lost.
        """
        ended = {key: self._futures.pop(key) for key in self._wait(seconds) if key in self._futures}
        found: dict[str, Answer | None] = dict.fromkeys(ended)
        for key, future in ended.items():
            if future.status == "error":
                found[key] = _answer(self._call(future.exception))
        finished = {key: future for key, future in ended.items() if future.status == "finished"}
        results = self._call(partial(self._gather, finished)) if finished else {}
        return found | {key: _answer(result) for key, result in results.items() if result}

    def _gather(self, futures: Mapping[str, Any]) -> Mapping[str, bytes | None]:
        """The results of tasks; None: its worker was lost. Nothing if they do not arrive."""
        gather = partial(self._client.gather, dict(futures), errors="skip", asynchronous=True)
        try:
            found: dict[str, bytes | None] = self._client.sync(gather, callback_timeout=_TRANSFER)
        except TimeoutError:
            return {}
        return found

    def _wait(self, seconds: float) -> Iterator[str]:
        """Yield the keys of the tasks that have ended; wait for the first of them."""
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
