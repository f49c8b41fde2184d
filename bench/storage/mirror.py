"""Keep the copy of a directory of results equal to the one in its storage.

CACHE/results/<hash of the URI>/.state/NAME.json    what is known to be equal
CACHE/results/<hash of the URI>/.state/NAME.lock    held while the copy of NAME is changed
CACHE/results/<hash of the URI>/.state/NAME.sweep   held too while a sweep writes to the copy

Every file is read or written as a whole, and only if it has changed: for the storage, its size or
version differs from what is known; for the copy, its size or time of change does. The file of a
run is removed from the storage only after another file with its row was sent, or if the run was set
aside. So no row is missing in the storage at any time.

If a file has changed on both sides, that of the storage is taken. No row is lost by that: a sweep
sends the files of all runs before it puts their rows together, and files with many rows are taken
from one side only. The file of a run that was not sent is moved to the quarantine if these have
other rows than before, and among them one of the same run that has not failed.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from bench.errors import StoreError, UsageError
from bench.storage.files import move_aside, replace_file, write_stored
from bench.storage.remote import Listed, RemoteDirectory, UnavailableError, remote_of
from bench.storage.row_files import finished_runs, holds_many_rows
from bench.storage.rows import read_keys, read_rows

T = TypeVar("T")

#: Files that are in the storage, beside those of many rows: nothing else is sent or fetched.
_MIRRORED = re.compile(
    r"(runs|quarantine)/[A-Za-z0-9_=+-][A-Za-z0-9._=+-]*\.parquet"
    r"|spec\.json|looks\.json|tuning\.json|sweep\.yaml|warnings\.log",
    re.ASCII,
)
_FOLDERS = ("", "runs", "quarantine")
#: Number of files, and of their bytes, that are sent or fetched at the same time.
_MOST_FILES, _MOST_BYTES = 256, 64_000_000
#: Number of times that a listing is repeated if files have vanished since.
_MOST_LISTINGS = 5
#: Seconds between two times that the state is written while files are sent.
_STATE_EVERY = 30.0
#: Seconds before an operation is tried again: the first time, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
#: Seconds that a command which only reads waits for a storage or for another command.
READING_PATIENCE = 20.0
#: Seconds that a command waits for another one that fetches the same files.
_LOCK_PATIENCE = 300.0
#: Seconds to look whether a sweep holds a lock: another command may look at the same time.
_LOOKING = 0.3

#: Size and time of change of a file.
_Stamp = tuple[int, int]


@dataclass(frozen=True)
class _Known:
    """A file that was equal on both sides.

    `version` is that of the storage; empty for a file that was sent, until it is listed.
    """

    stamp: _Stamp
    version: str


class Mirror:
    """The copy of a directory in a storage. One process at a time may change it.

    Attributes
    ----------
    may_write
        Called before each change of the storage; it raises StoreError if another process may
        write to it.
    """

    may_write: Callable[[], None]

    def __init__(self, directory: Path, remote: RemoteDirectory) -> None:
        self.directory = directory
        self.remote = remote
        self.may_write = lambda: None
        self._state_file = _state_path(directory, ".json")
        self._known = self._read_state()
        self._stored_at = time.monotonic()

    def pull(self, *, checks_all: bool = False) -> None:
        """Fetch what is new or has changed in the storage, and remove what it no longer has.

        Files that were never sent stay, and so do changed ones, if the storage has their old
        version. Of these, and of all with `checks_all`, files that cannot be read are fetched
        again.

        Raises
        ------
        UsageError
            If the storage refuses.
        StoreError
            If the copy cannot be read or written.
        UnavailableError
            If the storage does not answer, or its files vanish all the time.
        """
        for _ in range(_MOST_LISTINGS):
            everything = self.remote.listed()
            listed = {name: found for name, found in everything.items() if _is_mirrored(name)}
            local = self._scanned()
            large_files_are_known = self._has_known_rows(listed)
            wanted = {
                name: found.size
                for name, found in listed.items()
                if not self._is_current(name, found, local.get(name), large_files_are_known)
                or (checks_all and not self._is_sound(name, check=False))
            }
            n_vanished = self._fetch(wanted, listed)
            self._remove(listed, local, large_files_are_known)
            if not large_files_are_known:
                self._set_repeated_aside()
            self._write_state()
            if not n_vanished:
                return
        raise UnavailableError(f"{self.remote.uri} is changing: files vanish while it is fetched")

    def push(self, *, is_complete: bool = False) -> None:
        """Send what is new or has changed in the copy, then remove the files of some runs.

        These are runs that were set aside and, if `is_complete`, those whose rows were put
        together. Nothing else is removed, because somebody may remove the copy at any time.

        Raises
        ------
        UsageError
            If the storage refuses.
        StoreError
            If a file cannot be read, or `may_write` does not allow it.
        UnavailableError
            If the storage does not answer.
        """
        local = self._scanned()
        changed = self._changed(local)
        # a file of many rows is sent alone: another sweep may have written to it since the last one
        large = [name for name in changed if holds_many_rows(name)]
        others = {name: local[name][0] for name in changed if name not in large}
        for names in (*_batches(others), *([name] for name in large)):
            contents = {}
            for name in names:
                if (content := self._content(name)) is not None:
                    contents[name] = content
            self.may_write()
            self.remote.put(contents)
            self._known |= {name: _Known(local[name], "") for name in contents}
            if time.monotonic() - self._stored_at > _STATE_EVERY:
                self._write_state()
        has_many = is_complete and any(map(holds_many_rows, local))
        gone = [
            name
            for name in self._known.keys() - local.keys()
            if name.startswith("runs/") and (has_many or _is_set_aside(name, local))
        ]
        if gone:
            self.may_write()
            self.remote.remove(gone)
            for name in gone:
                del self._known[name]

    def unsent(self) -> list[str]:
        """Return the names of the files that the storage lacks, or has in another version.

        Raise StoreError if the copy cannot be read.
        """
        return self._changed(self._scanned())

    def confirm(self) -> None:
        """Check by a listing that the storage has all that was sent, and send again what it lacks.

        Names and sizes are compared, not contents. Raise as :meth:`push`, and UnavailableError if
        the storage still lacks a file.
        """
        for _ in range(2):
            listed = self.remote.listed()
            for name, known in [*self._known.items()]:
                if name not in listed or listed[name].size != known.stamp[0]:
                    del self._known[name]
                elif not known.version:
                    self._known[name] = _Known(known.stamp, listed[name].version)
            self._write_state()
            if not self.unsent():
                return
            self.push()
        raise UnavailableError(f"{self.remote.uri} does not list all files that were sent to it")

    def _content(self, name: str) -> bytes | None:
        """The content of a file; None if a sweep has put its row into another file."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read {self.directory / name}: {error.strerror}") from error

    def _changed(self, local: Mapping[str, _Stamp]) -> list[str]:
        known = self._known
        return sorted(n for n, stamp in local.items() if n not in known or known[n].stamp != stamp)

    def _has_known_rows(self, listed: Mapping[str, Listed]) -> bool:
        """Return whether the files of many rows in the storage are those that are known."""
        before, now = (
            {name: found.version for name, found in files.items() if holds_many_rows(name)}
            for files in (self._known, listed)
        )
        return before == now

    def _is_current(
        self, name: str, listed: Listed, stamp: _Stamp | None, large_files_are_known: bool
    ) -> bool:
        """Return whether a file need not be fetched; note the version of one that was sent."""
        known = self._known.get(name)
        if stamp is None or known is None:
            return False
        if not large_files_are_known and holds_many_rows(name):
            return (known.stamp, known.version) == (stamp, listed.version)
        if not known.version:  # sent by a killed command: the row of a run does not change
            if not name.startswith("runs/") or listed.size != known.stamp[0]:
                return False
            self._known[name] = _Known(known.stamp, listed.version)
        elif known.version != listed.version:
            return False
        return stamp == known.stamp or self._is_sound(name)

    def _is_sound(self, name: str, *, check: bool = True) -> bool:
        """Return whether a file can be read; `check`: and its rows are consistent."""
        if not name.endswith(".parquet"):
            return True
        try:
            read_rows(self.directory / name, check=check)
        except StoreError:
            return False
        return True

    def _fetch(self, wanted: Mapping[str, int], listed: Mapping[str, Listed]) -> int:
        """Fetch files, given with their sizes; return how many no longer exist."""
        n_vanished = 0
        for names in _batches(wanted):
            contents = self.remote.fetch(names)
            n_vanished += len(names) - len(contents)
            for name, content in contents.items():
                file = self.directory / name
                try:
                    file.parent.mkdir(parents=True, exist_ok=True)
                    replace_file(content, file, is_durable=False)
                    self._known[name] = _Known(_stamp(file.stat()), listed[name].version)
                except OSError as error:
                    raise StoreError(
                        f"cannot store the copy of {self.remote.uri}/{name}: "
                        f"{error.strerror or error}"
                    ) from error
        return n_vanished

    def _remove(
        self, listed: Mapping[str, Listed], local: Mapping[str, _Stamp], large_files_are_known: bool
    ) -> None:
        """Remove the unchanged files that the storage no longer has."""
        for name in self._known.keys() - listed.keys():
            if local.get(name) == self._known.pop(name).stamp:
                (self.directory / name).unlink(missing_ok=True)
        for name in local.keys() - listed.keys():
            if not large_files_are_known and holds_many_rows(name):
                (self.directory / name).unlink(missing_ok=True)

    def _set_repeated_aside(self) -> None:
        """Move unsent files of runs which another machine has finished and put together."""
        unsent = [name for name in self.unsent() if name.startswith("runs/")]
        with suppress(StoreError):  # the sweep command sets damaged files aside
            finished = finished_runs(self.directory) if unsent else set()
            for name in unsent:
                file = self.directory / name
                if finished.issuperset(read_keys(file).to_pylist()):
                    move_aside(file, self.directory / "quarantine")

    def _scanned(self) -> dict[str, _Stamp]:
        """Return the files of the copy that belong into the storage."""
        return dict(_files_of(self.directory))

    def _read_state(self) -> dict[str, _Known]:
        """Return what is known; nothing if the file is missing or damaged."""
        try:
            stored = json.loads(self._state_file.read_bytes())
            return {
                str(name): _Known((int(size), int(changed)), str(version))
                for name, (size, changed, version) in stored.items()
                if _is_mirrored(name)
            }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def _write_state(self) -> None:
        content = {name: (*known.stamp, known.version) for name, known in self._known.items()}
        with suppress(OSError):  # without it everything is fetched again
            self._state_file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(json.dumps(content).encode(), self._state_file, is_durable=False)
        self._stored_at = time.monotonic()


def pulled(directory: Path) -> Path:
    """Make the copy of a directory in a storage current, and return its path.

    Any other directory is returned as it is, and so is a copy to which a sweep of this machine is
    writing: it is newer than the storage. Raise UsageError or StoreError if the storage does not
    answer.
    """
    remote = remote_of(directory)
    if remote is None:
        return directory
    with mirror_lock(directory) as is_held:
        if is_held:
            mirror = Mirror(directory, remote)
            patiently(mirror.pull, READING_PATIENCE)
    return directory


def write_shared(content: bytes, file: Path) -> None:
    """Write a file of a directory atomically; if this is a copy, in the storage first.

    Raise StoreError if it cannot be written.
    """
    remote = remote_of(file.parent)
    if remote is not None:
        try:
            patiently(lambda: remote.put({file.name: content}), READING_PATIENCE)
        except UsageError as error:  # such as no permission to write
            raise StoreError(str(error)) from error
    write_stored(content, file)


@contextmanager
def mirror_lock(directory: Path, *, is_sweep: bool = False) -> Iterator[bool]:
    """Lock the copy `directory` in the block.

    Yield False, and lock nothing, if a sweep of this machine holds it: a sweep changes the copy for
    hours, any other command only while it fetches. Raise UsageError if another command does not
    end.
    """
    file = _state_path(directory, ".lock")
    lock, sweep = FileLock(file), FileLock(_state_path(directory, ".sweep"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_held = _is_acquired(lock, None if is_sweep else sweep)
        if is_sweep:
            sweep.acquire(_LOCK_PATIENCE)
    except Timeout:
        raise UsageError(f"another command is reading {directory}: try again") from None
    except OSError as error:
        raise UsageError(f"cannot lock {file}: {error.strerror or error}") from error
    try:
        yield is_held
    finally:
        sweep.release()
        lock.release()


def _is_acquired(lock: FileLock, sweep: FileLock | None) -> bool:
    """Wait for a lock; return False if the lock `sweep` is held, so that a sweep holds both."""
    for _ in range(round(_LOCK_PATIENCE)):
        with suppress(Timeout):
            lock.acquire(timeout=1.0)
            return True
        if sweep is not None:
            try:
                with sweep.acquire(timeout=_LOOKING):
                    pass
            except Timeout:
                return False
    raise Timeout(lock.lock_file)


def patiently(operation: Callable[[], T], patience: float) -> T:
    """Call `operation` until the storage answers, with growing pauses; return its result.

    Raise UnavailableError if it does not answer for `patience` seconds.
    """
    started, pause = time.monotonic(), _FIRST_PAUSE
    while True:
        try:
            return operation()
        except UnavailableError:
            if time.monotonic() - started + pause > patience:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _state_path(directory: Path, ending: str) -> Path:
    return directory.parent / ".state" / f"{directory.name}{ending}"


def _files_of(directory: Path) -> Iterator[tuple[str, _Stamp]]:
    for folder in _FOLDERS:
        try:
            with os.scandir(directory / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if _is_mirrored(name) and entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            yield name, _stamp(entry.stat(follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StoreError(f"cannot read {directory / folder}: {error.strerror}") from error


def _is_mirrored(name: str) -> bool:
    return holds_many_rows(name) or _MIRRORED.fullmatch(name) is not None


def _is_set_aside(name: str, local: Collection[str]) -> bool:
    """Return whether the file of a run was moved to the quarantine."""
    stem = re.escape(name.removeprefix("runs/").removesuffix(".parquet"))
    return any(re.fullmatch(rf"quarantine/{stem}(-[0-9]+)?\.parquet", other) for other in local)


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_size, found.st_mtime_ns


def _batches(sizes: Mapping[str, int]) -> Iterator[Collection[str]]:
    """Divide files, given with their sizes, into groups that are transferred together."""
    batch: list[str] = []
    n_bytes = 0
    for name, size in sizes.items():
        if batch and (len(batch) == _MOST_FILES or n_bytes + size > _MOST_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(name)
        n_bytes += size
    if batch:
        yield batch
