"""Content hashes of datasets.

The hash of a dataset covers the shape of its images, the number of classes, and the names, types,
shapes and bytes of its four arrays. It does not depend on the version of numpy that wrote them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bench.datasets.arrays import Dataset
from bench.storage.files import require_regular

if TYPE_CHECKING:
    from hashlib import _Hash

#: File in the directory of a dataset with its shape, its number of classes and its content hash.
MANIFEST = "manifest.json"
#: The arrays of a dataset; each is in a file of its own.
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
#: The files of a dataset.
FILES = (MANIFEST, *(f"{name}.npy" for name in ARRAYS))

#: Content hashes of the datasets whose files are part of a package. The others have no hash here:
#: torchvision verifies what it downloads by published MD5 sums, and files and functions of users
#: may hold anything. Their caches are compared with the hash in their manifest.
PINNED: Mapping[str, str] = {
    "mnist": "16a12e942d770f2628adffd14c834f3556b66a57e48c97b9465f92092e09d8db",
    "mnist/validation": "0e11dc1c43987ab1d83942739cd220c73c8feea9a7e612190d9c35d57d8bb06e",
    "digits": "1603f5f70bf771080e3b1c3809ad295bb9a2601c1a5c99b4203ca265d43b1c7f",
}

_CHUNK = 1 << 20


def hash_dataset(dataset: Dataset) -> str:
    """Return the content hash of arrays in memory, in hexadecimal."""
    digest = _new_digest(dataset.image_shape, dataset.n_classes)
    for name in ARRAYS:
        array = getattr(dataset, name)
        _add_description(digest, name, array.dtype, array.shape)
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def hash_files(directory: Path) -> str:
    """Return the content hash of the arrays in a directory.

    Raises
    ------
    OSError, ValueError, TypeError, KeyError, SyntaxError
        If a file cannot be read or is damaged.
    """
    with OpenArrays(directory) as files:
        return files.content_hash()


def file_versions(directory: Path) -> tuple[tuple[int, int, int], ...] | None:
    """Return what changes if a file of a dataset is written or replaced; None if one is missing."""
    try:
        found = [(directory / name).stat() for name in FILES]
    except FileNotFoundError:
        return None
    return tuple((file.st_ino, file.st_size, file.st_mtime_ns) for file in found)


class OpenArrays:
    """The files of a dataset, which stay readable if another process replaces the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with ExitStack() as stack:
            self._files: dict[str, BinaryIO] = {}
            for name in FILES:
                require_regular(directory / name)
                self._files[name] = stack.enter_context((directory / name).open("rb"))
            self._stack = stack.pop_all()

    def __enter__(self) -> OpenArrays:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def content_hash(self) -> str:
        """Return the content hash of what the files hold now; see :func:`hash_files`."""
        for file in self._files.values():
            file.seek(0)
        manifest = json.load(self._files[MANIFEST])
        digest = _new_digest(manifest["image_shape"], manifest["n_classes"])
        for name in ARRAYS:
            _add_file(digest, name, self._files[f"{name}.npy"])
        return digest.hexdigest()

    def changed_hash(self, expected: str) -> str | None:
        """Return the hash of the changed arrays, ``"unreadable"``, or None if they are as expected.

        The files that were opened are compared, and those that have replaced them. Arrays that were
        deleted have not changed.
        """
        try:
            found = self.content_hash()
            if found == expected and self._are_replaced():
                found = hash_files(self._directory)
        except FileNotFoundError:
            return None
        except Exception:  # a damaged header or manifest raises many types
            return "unreadable"
        return None if found == expected else found

    def _are_replaced(self) -> bool:
        return not all(
            os.path.samestat((self._directory / name).stat(), os.fstat(file.fileno()))
            for name, file in self._files.items()
        )


def _new_digest(image_shape: Sequence[int], n_classes: int) -> _Hash:
    return hashlib.sha256(f"{tuple(image_shape)} {n_classes}".encode())


def _add_description(
    digest: _Hash, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> None:
    digest.update(f"{name} {dtype.str} {shape}".encode())


def _add_file(digest: _Hash, name: str, file: BinaryIO) -> None:
    """Add an array as :func:`hash_dataset` does, without reading it into memory as a whole."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{name} is not in the format of numpy.save")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran:
        raise ValueError(f"{name} is not stored row by row")
    _add_description(digest, name, dtype, shape)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
