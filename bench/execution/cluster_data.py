"""Arrays of a dataset on the workers of a Dask cluster.

A worker uses the arrays of its own cache if their content hash is that of the sweep; MNIST and
scikit-learn's digits are part of installed packages. Other arrays are sent to it. It writes them to
its temporary directory, compares their content hash, and maps them as every worker does.
"""

from __future__ import annotations

import atexit
import io
import os
import shutil
import tempfile
import threading
import time
import warnings
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.datasets import cache as datasets
from bench.datasets.content import FILES, PINNED, file_versions, hash_files
from bench.errors import BenchError, DataError
from bench.execution.pool import process_exists

#: A directory in memory, where the disk is full.
_SHARED_MEMORY = Path("/dev/shm")
#: Beginning of the names of temporary directories; the number of their process follows.
_PREFIX = "optimizer-bench-"
#: Seconds after which the directory of a process that does not exist is removed.
_OLD = 600.0

_lock = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A directory of arrays, and the versions that its files had before they were verified."""

    directory: Path
    versions: object

    def are_unchanged(self) -> bool:
        """Return whether the files are still those that were verified."""
        return file_versions(self.directory) == self.versions


#: The verified arrays of this process by their content hash.
_found: dict[str, Arrays] = {}


def pack(arrays: Path) -> bytes:
    """Return the files of the arrays in a directory as one compressed archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in FILES:
            archive.write(arrays / name, name)
    return packed.getvalue()


def find(dataset: str, directory: str, content_hash: str, packed: bytes) -> Arrays | None:
    """Return the arrays with this content hash, or None if they must be sent.

    Parameters
    ----------
    dataset, directory
        Name of the dataset, and of the directory of its arrays in a cache.
    packed
        The arrays as :func:`pack` returns them, or nothing.

    Raises
    ------
    DataError
        If no directory has room for the arrays, or the hash of what was sent is another one.
    """
    with _lock:
        arrays = _found.get(content_hash)
        if arrays is None or not arrays.are_unchanged():
            arrays = _in_cache(dataset, directory, content_hash)
        if arrays is None and packed:
            arrays = _unpacked(packed, content_hash)
        if arrays is not None:
            _found[content_hash] = arrays
        return arrays


def _in_cache(dataset: str, directory: str, content_hash: str) -> Arrays | None:
    """The arrays in the cache of this machine; nothing is downloaded."""
    arrays = datasets.default_data_dir() / directory
    if PINNED.get(dataset) == content_hash:
        with suppress(BenchError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a cache that cannot be written
            arrays = datasets.prepare(dataset)
    with suppress(Exception):  # missing or damaged
        versions = file_versions(arrays)
        if hash_files(arrays) == content_hash:
            return Arrays(directory=arrays, versions=versions)
    return None


def _unpacked(packed: bytes, content_hash: str) -> Arrays:
    reason = "no temporary directory"
    for parent in (worker_directory(), *memory_directories()):
        directory = None
        try:
            directory = make_temporary(parent)
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                archive.extractall(directory)
            versions = file_versions(directory)
            found = hash_files(directory)
        except OSError as error:
            reason = f"cannot keep the dataset in {parent}: {error.strerror or error}"
        else:
            if found == content_hash:
                atexit.register(shutil.rmtree, directory, ignore_errors=True)
                return Arrays(directory=directory, versions=versions)
            reason = f"the arrays that were sent have SHA-256 {found}, expected {content_hash}"
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
    raise DataError(reason)


def worker_directory() -> Path:
    """The temporary directory of the worker of Dask, which Dask removes."""
    from distributed import get_worker

    return Path(get_worker().local_directory)


@cache
def memory_directories() -> tuple[Path, ...]:
    """The directory in memory where the system has one; removes what killed workers left in it."""
    if not _SHARED_MEMORY.is_dir():
        return ()
    for left in _SHARED_MEMORY.glob(f"{_PREFIX}*"):
        with suppress(OSError, ValueError):
            number, status = int(left.name.split("-")[2]), left.stat()
            is_old = time.time() - status.st_mtime > _OLD  # or it is of another container
            if is_old and status.st_uid == os.getuid() and not process_exists(number):
                shutil.rmtree(left, ignore_errors=True)
    return (_SHARED_MEMORY,)


def make_temporary(parent: Path) -> Path:
    """Make a directory that :func:`memory_directories` recognizes."""
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
