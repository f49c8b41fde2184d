"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError, UsageError

#: What a sweep declares beside its rows.
DECLARATIONS = ("spec.json", "sweep.yaml", "looks.json")
#: Endings that no file of rows has.
HARMLESS = (".html", ".json", ".md", ".tex")
#: What :func:`write_atomically` calls its temporary files.
_TEMPORARY = re.compile(r"\..+\.\d+(-\d+)?\.tmp")


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
    # of this thread alone: a run's watchdog may write the same row as the run itself
    temporary = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as sink:
            sink.write(content)
            sink.flush()
            _sync(sink.fileno())
        temporary.replace(file)
        _sync_directory(file.parent)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # what stands in the way of writing may stand in the way here too
            temporary.unlink(missing_ok=True)


def require_output(file: Path, what: str, inputs: Path | None = None) -> None:
    """Prove, before hours of work, that `what` may be written to `file`.

    Parameters
    ----------
    inputs
        A file that is read, or a directory of such: what belongs to them is not overwritten.

    Raises
    ------
    UsageError
        If `file` is a directory or a device, one of the inputs, or cannot be written.
    """
    if file.exists() and not file.is_file():
        raise UsageError(f"cannot write {what} to {file}: it is not a regular file")
    if inputs is not None and _is_input(file, inputs):
        raise UsageError(f"cannot write {what} to {file}: that belongs to the results in {inputs}")
    require_writable(file.absolute().parent, what)


def _is_input(file: Path, inputs: Path) -> bool:
    target, source = Path(os.path.realpath(file)), Path(os.path.realpath(inputs))
    if target == source or (target.name in DECLARATIONS and target.exists()):
        return True
    # a page or a comparison beside the rows does no harm
    harmless = target.suffix in HARMLESS and target.name not in DECLARATIONS
    return target.is_relative_to(source) and not harmless


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


#: What a file system says that cannot sync: then its own promise is all there is.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def remove_temporaries(directory: Path) -> None:
    """Remove what :func:`write_atomically` left in `directory` when its process was killed.

    Nobody may be writing there.
    """
    for file in directory.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(file.name):  # others are the user's own
            with suppress(OSError):
                file.unlink()


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; not every system can open a directory."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
