"""Lease of a directory in a storage: one sweep at a time writes to it.

URI/NAME/.lease/000001    who holds it, since when, and when it was last renewed

A storage has no locks that end with their process. The holder therefore renews its lease all the
time, and a lease that was not renewed for :data:`STALE_AFTER` seconds may be taken over. Every
takeover creates the file with the next number, which only one process can, on condition that it
does not exist. A holder that finds another lease, or a higher number, has lost its own.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import StoreError, UsageError
from bench.storage.files import replace_file
from bench.storage.remote import RemoteDirectory

#: Seconds between two renewals.
RENEW_EVERY = 20.0
#: Seconds without a renewal after which a lease may be taken over.
STALE_AFTER = 180.0
_FOLDER = ".lease"
_FILE = re.compile(_FOLDER + r"/([0-9]{6,12})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Content of a lease.

    Attributes
    ----------
    copy
        A random name of the copies of this user on this machine. Only the process that has locked
        the copy may take a lease, so that another lease with this name is left from an ended one.
    token
        A random name of the lease.
    since, renewed
        Seconds since 1970.
    """

    host: str
    process: int
    copy: str
    token: str
    since: float
    renewed: float

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC)
        return f"host {self.host}, process {self.process}, since {since:%Y-%m-%d %H:%M:%S} UTC"


class Lease:
    """The lease of a directory that this process asks for or holds."""

    def __init__(self, remote: RemoteDirectory, copies: Path) -> None:
        self._remote = remote
        now = time.time()
        self._own = Holder(
            host=socket.gethostname(),
            process=os.getpid(),
            copy=_name_of(copies),
            token=secrets.token_hex(8),
            since=now,
            renewed=now,
        )
        self._number = 0
        self._in_use = threading.Lock()
        self._is_released = False
        self.is_lost = False

    def acquire(self) -> bool:
        """Take the lease; return whether the storage guarantees that only one process holds it.

        Raise UsageError if another process holds it. The copy of the directory must be locked.
        """
        number, found = _newest(self._remote)
        if found is not None and not self._may_replace(found):
            raise self._held_by(found)
        self._number, content = number + 1, _content(self._own)
        # the answer to a request may be lost, so that its repetition finds the own lease
        is_created = self._remote.create(self._name, content)
        if not is_created and self._holder_of(self._number) != self._own:
            raise self._held_by(_newest(self._remote)[1])
        # where a file is seen before its content, another process can take the next number
        newest, other = _newest(self._remote)
        if newest > self._number:
            raise self._given_way(other)
        before = self._holder_of(number) if number and found is None else None
        if before is not None and not self._may_replace(before):
            raise self._given_way(before)
        return not self._remote.create(self._name, content)

    def renew(self) -> None:
        """Renew the lease if its last renewal was a while ago.

        Raise StoreError if another process has taken it over, or it was released.
        """
        with self._in_use:
            if self._is_released:
                raise StoreError(f"the lock of {self._remote.uri} was released")
            if self.is_lost or time.time() - self._own.renewed >= RENEW_EVERY:
                self._renew()

    def _renew(self) -> None:
        number, found = _newest(self._remote)
        is_own = number == self._number and found is not None and found.token == self._own.token
        if self.is_lost or not is_own:
            self.is_lost = True
            who = f" by {found}" if found else ""
            raise StoreError(
                f"the lock of {self._remote.uri} was taken over{who}, because it was not renewed "
                "for a while or was removed: rows that were not sent are in the copy on this "
                "machine, and the same command sends them"
            )
        renewed = replace(self._own, renewed=time.time())
        self._remote.put({self._name: _content(renewed)})
        self._own = renewed

    def release(self) -> None:
        """Remove the lease, and those before it, unless it is lost.

        A renewal by another thread ends before. Raise UsageError or StoreError if the storage does
        not remove them.
        """
        with self._in_use:
            self._is_released = True
            if self.is_lost:
                return
            numbers = [number for number in _numbers(self._remote) if number <= self._number]
            self._remote.remove([_file_name(number) for number in numbers])

    @property
    def _name(self) -> str:
        return _file_name(self._number)

    def _holder_of(self, number: int) -> Holder | None:
        """Return the content of the file with a number."""
        name = _file_name(number)
        return _holder(self._remote.fetch([name]).get(name, b""))

    def _may_replace(self, found: Holder) -> bool:
        is_of_ended_process = (found.host, found.copy) == (self._own.host, self._own.copy)
        return is_of_ended_process or is_stale(found)

    def _given_way(self, other: Holder | None) -> UsageError:
        self._remote.remove([self._name])
        return self._held_by(other)

    def _held_by(self, found: Holder | None) -> UsageError:
        who = f" ({found})" if found else ""
        return UsageError(
            f"another sweep{who} is writing to {self._remote.uri}: wait for it, or use another "
            f"--name; if it was killed, its lock ends {STALE_AFTER / 60:g} minutes after its last "
            "renewal"
        )


def is_leased(remote: RemoteDirectory) -> bool:
    """Return whether a process holds the lease of a directory, as far as its renewals show.

    Raise UsageError or UnavailableError if the lease cannot be read.
    """
    _, found = _newest(remote)
    return found is not None and not is_stale(found)


def is_stale(found: Holder) -> bool:
    """Return whether a lease was not renewed for :data:`STALE_AFTER` seconds."""
    return abs(time.time() - found.renewed) > STALE_AFTER


def _numbers(remote: RemoteDirectory) -> list[int]:
    matches = map(_FILE.fullmatch, remote.listed(_FOLDER))
    return sorted(int(match[1]) for match in matches if match)


def _newest(remote: RemoteDirectory) -> tuple[int, Holder | None]:
    """Return the highest number and its holder; 0 without a lease, None if it cannot be read."""
    numbers = _numbers(remote)
    if not numbers:
        return 0, None
    name = _file_name(numbers[-1])
    return numbers[-1], _holder(remote.fetch([name]).get(name, b""))


def _file_name(number: int) -> str:
    return f"{_FOLDER}/{number:06d}"


def _content(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _holder(content: bytes) -> Holder | None:
    """Return the content of a lease; None if it is not one."""
    try:
        found: Mapping[str, object] = json.loads(content)
        times = {name: float(str(found[name])) for name in ("since", "renewed")}
        if not all(0 <= time < 1e11 for time in times.values()):
            return None
        return Holder(
            host=str(found["host"]),
            process=int(str(found["process"])),
            copy=str(found["copy"]),
            token=str(found["token"]),
            **times,
        )
    except (ValueError, TypeError, LookupError):
        return None


def _name_of(copies: Path) -> str:
    """Return the random name of a directory of copies, which is written when it is first needed."""
    file = copies / ".name"
    with suppress(OSError, UnicodeDecodeError):
        if name := file.read_text(encoding="ascii"):
            return name
    name = secrets.token_hex(8)
    with suppress(OSError):  # a lease that a killed process leaves must then become stale
        replace_file(name.encode(), file)
    return name
