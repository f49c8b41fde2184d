"""Write to the directory of a sweep, which may be the copy of one in a storage.

While a sweep writes to a copy, threads send every new file to the storage and renew the lease. A
storage that is slow or does not answer does not stop the training: rows wait in the copy, and are
sent when it answers again, or by the next command.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.errors import BenchError, StoreError
from bench.storage.lease import RENEW_EVERY, Lease
from bench.storage.mirror import Mirror, mirror_lock, patiently
from bench.storage.remote import RemoteDirectory, remote_of
from bench.sweeps.lock import DirectoryLock, locked
from bench.words import count

#: Seconds that the beginning and the end of a sweep wait for a storage that does not answer.
FIRST_PATIENCE, PATIENCE = 60.0, 300.0
#: Seconds between two times that new files are sent: at least, and at most after failures.
_SEND_EVERY, _LONGEST_PAUSE = 1.0, 30.0
#: Seconds without success after which a warning says that rows wait in the copy.
_TROUBLE_AFTER = 30.0
#: Seconds that a command which ends with an error waits for the storage.
_LAST_WAIT = 5.0


@dataclass(frozen=True)
class WriteLock:
    """The lock of a directory, and what sends its files to its storage, if it has one."""

    lock: DirectoryLock
    sender: Sender | None = None

    def verify(self) -> None:
        """Raise StoreError if the directory was moved, or its lease was lost."""
        self.lock.verify()
        if self.sender is not None:
            self.sender.verify()

    def flush(self) -> None:
        """Wait until the storage has all files; call it before rows are put together.

        Raise StoreError if it does not take them.
        """
        self.verify()
        if self.sender is not None:
            self.sender.flush()


@contextmanager
def writing(directory: Path) -> Iterator[WriteLock]:
    """Lock a directory in the block; the copy of one in a storage is fetched before and sent after.

    Raises
    ------
    UsageError
        If another process writes to it, or the directory or the storage cannot be written.
    StoreError
        If the directory was moved, the lease was lost, or the storage did not take all files.
    """
    with locked(directory) as lock:
        remote = remote_of(directory)
        if remote is None:
            yield WriteLock(lock)
            return
        with (
            mirror_lock(directory, is_sweep=True),
            _leased(remote, directory) as lease,
            Sender(Mirror(directory, remote), lease).started() as sender,
        ):
            yield WriteLock(lock, sender)
            lock.verify()
            sender.finish()


@contextmanager
def _leased(remote: RemoteDirectory, directory: Path) -> Iterator[Lease]:
    lease = Lease(remote, directory.parent.parent)
    if not patiently(lease.acquire, FIRST_PATIENCE):
        warnings.warn(
            f"{remote.uri} cannot be locked, because its storage does not support it: make sure "
            "that no other sweep writes to it",
            stacklevel=2,
        )
    try:
        yield lease
    except BaseException:
        _in_time(lease.release, _LAST_WAIT)
        raise
    else:
        with suppress(BenchError):  # it becomes stale
            lease.release()


class Sender:
    """Threads that send the files of a copy, and renew its lease."""

    def __init__(self, mirror: Mirror, lease: Lease) -> None:
        self._mirror, self._lease = mirror, lease
        mirror.may_write = self._may_write
        self._is_ended = threading.Event()
        self._is_sending = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._failure: BenchError | None = None
        self._failing_since: float | None = None

    @contextmanager
    def started(self) -> Iterator[Sender]:
        """Fetch what is new, and send in the block what changes; renew the lease all the time."""
        self._start(self._renew_in_background)
        try:
            # a damaged file of the copy would be set aside, and replace the one in the storage
            patiently(partial(self._mirror.pull, checks_all=True), FIRST_PATIENCE)
            self._start(self._send_in_background)
            try:
                yield self
            except StoreError:
                raise
            except BaseException:
                _in_time(lambda: self._send(self._mirror.push), _LAST_WAIT)
                raise
        finally:
            self._is_ended.set()
            for thread in self._threads:  # one may wait for a storage that does not answer
                thread.join(_LAST_WAIT)

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True, name="storage"))
        self._threads[-1].start()

    def verify(self) -> None:
        """Raise StoreError if the lease was lost; warn once if the storage does not answer."""
        if self._lease.is_lost:
            self._lease.renew()  # it raises the reason
        failure, since = self._failure, self._failing_since
        if failure and since is not None and time.monotonic() - since > _TROUBLE_AFTER:
            self._failing_since = None
            warnings.warn(f"{failure}; rows wait on this machine and are sent later", stacklevel=2)

    def flush(self) -> None:
        """Send what the storage lacks; raise StoreError if it does not take all of it."""
        self._complete(self._mirror.push)

    def finish(self) -> None:
        """Send what the storage lacks, remove what was put together, and check by a listing."""
        self._complete(partial(self._mirror.push, is_complete=True))
        self._complete(self._mirror.confirm)

    def _complete(self, work: Callable[[], None]) -> None:
        try:
            patiently(lambda: self._send(work), PATIENCE)
        except BenchError as error:
            if self._lease.is_lost:
                raise
            names = self._mirror.unsent()
            what = count(sum(name.startswith("runs/") for name in names), "row")
            raise StoreError(
                f"not everything could be sent to {self._mirror.remote.uri}, and {what} of "
                f"{count(len(names), 'file')} are on this machine only: give the same command "
                f"again to send them ({error})"
            ) from error

    def _send(self, work: Callable[[], None]) -> None:
        with self._is_sending:
            if not self._is_ended.is_set():
                self._may_write()
                work()

    def _may_write(self) -> None:
        """Raise StoreError if another sweep may write to the storage."""
        if self._is_ended.is_set():
            raise StoreError(f"the lock of {self._mirror.remote.uri} was released")
        self._lease.renew()  # another sweep may hold it after a pause of this machine

    def _send_in_background(self) -> None:
        pause = _SEND_EVERY
        while not self._is_ended.wait(pause):
            started = time.monotonic()
            try:
                self._send(self._mirror.push)
                # a scan of many files must not take most of the time
                pause = max(_SEND_EVERY, 5 * (time.monotonic() - started))
                self._failure = self._failing_since = None
            except BenchError as error:
                if self._failure is None:
                    self._failing_since = started
                self._failure, pause = error, min(2 * pause, _LONGEST_PAUSE)

    def _renew_in_background(self) -> None:
        while not self._is_ended.wait(RENEW_EVERY / 4):
            with suppress(BenchError):  # a lost lease is noted, and another try follows
                self._lease.renew()


def _in_time(work: Callable[[], None], seconds: float) -> None:
    """Call `work` in a thread, and wait at most this long for its end."""

    def quietly() -> None:
        with suppress(BenchError):
            work()

    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    thread.join(seconds)
