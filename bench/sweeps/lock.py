"""Lock of a results directory: one sweep at a time writes to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import StoreError, UsageError
from bench.storage.files import replace_file, require_regular
from bench.storage.lease import is_leased
from bench.storage.mirror import READING_PATIENCE, patiently
from bench.storage.remote import remote_of

#: The lock must be a file of this directory, and opening a pipe must not wait for its writer.
_FLAGS = os.O_RDONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True)
class DirectoryLock:
    """The lock that this process holds.

    Attributes
    ----------
    directory
        The locked directory, for messages.
    file
        Absolute path of the lock file.
    descriptor
        The lock file, held open so that no other file gets its inode number.
    """

    directory: Path
    file: Path
    descriptor: int

    def verify(self) -> None:
        """Check that the directory is still at its path.

        Raises
        ------
        StoreError
            If it was moved, removed or replaced by another one, which this process has not locked.
        """
        if self.is_lost():
            raise StoreError(
                f"{self.directory} was moved, removed or replaced while this sweep was writing to "
                "it: move it back and give the same command again"
            )

    def is_lost(self) -> bool:
        """Return whether the path of the lock file is that of another file, or of none."""
        try:
            found = os.stat(self.file, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # such as no permission: writing gives the reason
            return False
        return not os.path.samestat(found, os.fstat(self.descriptor))


@contextmanager
def locked(directory: Path) -> Iterator[DirectoryLock]:
    """Lock `directory` in the block; the lock ends with the process at the latest.

    Raises
    ------
    UsageError
        If another process holds the lock, or the directory cannot be locked.
    StoreError
        If the directory was moved, removed or replaced before the end of the block.
    """
    file = directory.absolute() / ".lock"
    with _opened(file, directory) as descriptor, _acquired(file, directory):
        lock = DirectoryLock(directory, file, descriptor)
        owner = _owner_file(file)
        lock.verify()
        with suppress(OSError):  # the number only adds to a message
            replace_file(f"{os.getpid()}\n".encode(), owner)
        try:
            yield lock
            lock.verify()
        except StoreError:
            lock.verify()  # the reason why a file could not be written
            raise
        finally:
            if not lock.is_lost():
                with suppress(OSError):  # it may be read-only; the first error matters more
                    owner.unlink(missing_ok=True)


@contextmanager
def _opened(file: Path, directory: Path) -> Iterator[int]:
    try:
        descriptor = os.open(file, _FLAGS, 0o666)
    except OSError as error:
        raise _cannot_lock(directory, error.strerror or error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _cannot_lock(directory, f"{file.name} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _acquired(file: Path, directory: Path) -> Iterator[None]:
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another sweep{_owner(_owner_file(file))} is writing to {directory}: wait for it, or "
            "use another --name"
        ) from None
    except OSError as error:
        raise _cannot_lock(directory, error.strerror or error) from error
    try:
        yield
    finally:
        lock.release()


def _cannot_lock(directory: Path, reason: object) -> UsageError:
    return UsageError(f"cannot lock {directory}: {reason}")


def _owner_file(file: Path) -> Path:
    """The file with the number of the process that holds the lock.

    Some systems do not allow reading a locked file.
    """
    return file.with_name(f"{file.name}.pid")


def names_process(directory: Path) -> bool:
    """Return whether the directory names a process that writes to it, on this machine or another.

    A killed process leaves its number until the next one writes to the directory. The process that
    writes to a storage has its lease. Raise UsageError or UnavailableError if it cannot be read.
    """
    if _owner(_owner_file(directory / ".lock")):
        return True
    remote = remote_of(directory)
    return remote is not None and patiently(lambda: is_leased(remote), READING_PATIENCE)


def _owner(file: Path) -> str:
    try:
        require_regular(file)
        return f" (process {int(file.read_text())})"
    except (OSError, ValueError):
        return ""
