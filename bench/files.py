"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError, UsageError


def write_atomically(content: bytes, file: Path) -> None:
    """Replace `file` by `content`: temporary file beside it, fsync, rename, fsync of the directory.

    Missing directories above `file` are made. Of a symbolic link the target is replaced; what is
    there and is not a regular file (a directory, a device) is refused.

    Raises
    ------
    StoreError
        If the file cannot be written; nothing is left behind.
    """
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        raise StoreError(f"cannot write {file}: it is not a regular file")
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(file)
        _sync_directory(file.parent)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # what stands in the way of writing may stand in the way here too
            temporary.unlink(missing_ok=True)


def require_writable(directory: Path, what: str) -> None:
    """Make `directory`, and prove that `what` can be written to it: better now than after hours.

    Raises
    ------
    UsageError
        If not.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write {what} to {directory}: {error.strerror or error}"
        ) from error


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; not every system can open a directory."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
