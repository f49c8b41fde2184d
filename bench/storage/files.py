"""Atomic writes, and checks of output paths."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError, UsageError

#: Files in the directory of a sweep that are not rows.
DECLARATIONS = ("spec.json", "sweep.yaml", "looks.json")
#: Suffixes of output files, which may be written next to rows.
HARMLESS = (".html", ".json", ".md", ".tex")
#: Names of the temporary files of :func:`write_atomically`.
_TEMPORARY = re.compile(r"\..+\.\d+(-\d+)?\.tmp")
#: Errors of file systems without fsync. They are ignored: there is no alternative.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def write_atomically(content: bytes, file: Path) -> None:
    """Write `content` to `file` atomically.

    Steps: temporary file in the same directory, fsync, rename, fsync of the directory. Missing
    parent directories are created. The target of a symbolic link is replaced. A path that is not a
    regular file (a directory, a device) is rejected. Raise StoreError if the file cannot be
    written. The temporary file is removed.
    """
    file = Path(os.path.realpath(file))
    if file.exists() and not file.is_file():
        raise StoreError(f"cannot write {file}: it is not a regular file")
    # unique per thread, as the watchdog of a run may write the same row as the run itself
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
        with suppress(OSError):  # the cause of a failed write may make this fail too
            temporary.unlink(missing_ok=True)


def require_output(file: Path, what: str, inputs: Path | None = None) -> None:
    """Check, before hours of training, that `what` can be written to `file`.

    Raise UsageError if `file` is a directory or a device, belongs to `inputs` (a file or directory
    that must not be overwritten), or cannot be written.
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
    # output files may be written into the directory of the rows
    harmless = target.suffix in HARMLESS and target.name not in DECLARATIONS
    return target.is_relative_to(source) and not harmless


def require_writable(directory: Path, what: str) -> None:
    """Create `directory`, and raise UsageError if `what` cannot be written to it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write {what} to {directory}: {error.strerror or error}"
        ) from error


def remove_temporaries(directory: Path) -> None:
    """Remove temporary files of :func:`write_atomically` that a killed process left.

    No other process may write to `directory`.
    """
    for file in directory.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(file.name):  # other files belong to the user
            with suppress(OSError):
                file.unlink()


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; some systems cannot open a directory."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
