"""Atomic writes, and checks of paths that are read or written."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from bench.errors import StoreError, UsageError

#: Files in the directory of a sweep that are not rows.
DECLARATIONS = ("spec.json", "sweep.yaml", "looks.json")
#: Suffixes of output files, which may be written next to rows.
HARMLESS = (".html", ".json", ".md", ".tex")
#: Names of the temporary files of :func:`replace_file`.
_TEMPORARY = re.compile(r"\..+\.\d+(-\d+)?\.tmp")
#: Errors of file systems without fsync. They are ignored: there is no alternative.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
_NOT_REGULAR = "it is not a regular file"


def require_regular(file: Path) -> None:
    """Check that `file` is a regular file, because opening a pipe would wait for its writer.

    Raise OSError if it does not exist, or is a directory, a pipe, a socket or a device.
    """
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(file))


def write_atomically(content: bytes, file: Path) -> None:
    """Write an output file of a user atomically; see :func:`replace_file`.

    Missing parent directories are created. The target of a symbolic link is replaced. A path that
    is not a regular file (a directory, a device) is rejected. Raise StoreError if the file cannot
    be written. The temporary file is removed.
    """
    file = Path(os.path.realpath(file))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror or error}") from error
    write_stored(content, file)


def write_stored(content: bytes, file: Path) -> None:
    """Write a file of a results directory atomically; see :func:`replace_file`.

    Raises
    ------
    StoreError
        If the file cannot be written, such as because its directory was removed.
    """
    try:
        replace_file(content, file)
    except OSError as error:
        raise StoreError(f"cannot write {file.absolute()}: {error.strerror or error}") from error


def replace_file(content: bytes, file: Path, *, is_durable: bool = True) -> None:
    """Write `content` to `file` atomically.

    Steps: temporary file in the same directory, fsync, rename, fsync of the directory. Without
    `is_durable`, a loss of power may damage the file, as nothing is synchronized. The directory
    must exist. A symbolic link is replaced, not followed: in a shared directory its
    target may be any file of the user.

    Raises
    ------
    OSError
        If the file cannot be written. The temporary file is removed.
    """
    if os.path.lexists(file) and not (file.is_symlink() or file.is_file()):
        raise OSError(errno.EINVAL, _NOT_REGULAR, str(file))
    # unique per thread: the rows of a stack are written by several threads
    temporary = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        _discard(temporary)  # left by a killed process of this number, or placed by another user
        with temporary.open("xb") as sink:
            sink.write(content)
            sink.flush()
            if is_durable:
                _sync(sink.fileno())
        temporary.replace(file)
        if is_durable:
            _sync_directory(file.parent)
    finally:
        _discard(temporary)


def _discard(file: Path) -> None:
    with suppress(OSError):  # the cause of a failed write may make this fail too
        file.unlink(missing_ok=True)


def move_aside(file: Path, directory: Path) -> Path:
    """Move a file into another directory, under a name that is free there; return its new path.

    Raise StoreError if it cannot be moved.
    """
    target, number = directory / file.name, 1
    while os.path.lexists(target):
        number += 1
        target = directory / f"{file.stem}-{number}{file.suffix}"
    return move(file, target)


def move(file: Path, target: Path) -> Path:
    """Move a file within a results directory, and return its new path.

    Raise StoreError if it cannot be moved.
    """
    try:
        target.parent.mkdir(exist_ok=True)
        return file.rename(target)
    except OSError as error:
        why = error.strerror or error
        raise StoreError(f"cannot move {file} to {target}: {why}") from error


def require_output(file: Path, what: str, inputs: Path | None = None) -> None:
    """Check, before hours of training, that `what` can be written to `file`.

    Raise UsageError if `file` is a directory or a device, belongs to `inputs` (a file or directory
    that must not be overwritten), or cannot be written.
    """
    if file.exists() and not file.is_file():
        raise UsageError(f"cannot write {what} to {file}: {_NOT_REGULAR}")
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
    """Remove temporary files of :func:`replace_file` that a killed process left.

    No other process may write to `directory`.
    """
    for file in directory.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(file.name):  # other files belong to the user
            _discard(file)


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
