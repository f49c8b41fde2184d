"""Datasets that torchvision downloads, checked by their published MD5.

The packed files stay in the cache in torchvision's layout, so users can also copy them there. Files
are always unpacked again, because an interrupted run may have left an incomplete file.
"""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from bench.datasets._torchvision import import_datasets
from bench.datasets.arrays import Dataset, checked
from bench.datasets.names import DOWNLOADS, KEYS
from bench.errors import DataError

#: Timeout of a connection in seconds.
TIMEOUT = 30.0


@dataclass(frozen=True)
class _File:
    """A packed file: its name, its MD5, and the name of the unpacked file, if there is one."""

    name: str
    md5: str
    unpacked: str | None


def fetch(name: str, cache: Path, *, quiet: bool) -> Dataset:
    """Download the files of `name` (see :data:`DOWNLOADS`) that are not in `cache`, and read them.

    With `quiet`, torchvision's progress bars are hidden; they are shown in terminals only. Raise
    DataError if a file cannot be downloaded or is damaged; the message names the directory to copy
    files to.
    """
    download, module = DOWNLOADS[name], import_datasets()
    cls = getattr(module, download.class_name)
    root, directory = _places(cls, cache)
    directory.mkdir(parents=True, exist_ok=True)
    files = _files(cls)
    damaged = _remove_unverified(directory, files)
    show = not quiet and sys.stderr.isatty()
    try:
        with nullcontext() if show else redirect_stderr(io.StringIO()), _timeout():
            train, test = (
                cls(root, train=is_train, download=True, **download.options)
                for is_train in (True, False)
            )
    except _FAILURES as error:
        wrong = f"; MD5 differs from the published one: {', '.join(damaged)}" if damaged else ""
        names = ", ".join(file.name for file in files)
        raise DataError(
            f"cannot download {name} ({_reason(error)}): check the network and try again, or put "
            f"{names} into {directory}{wrong}"
        ) from error
    dataset = checked(dict(zip(KEYS, (*_arrays(train), *_arrays(test)), strict=True)), name)
    if len(dataset.train_labels) != download.n_train:
        raise DataError(
            f"{name} in {directory} is damaged: it has {len(dataset.train_labels)} training "
            f"images, expected {download.n_train}; delete that directory"
        )
    return dataset


#: Errors of torchvision without a network or with a damaged file; not those of a full disk.
_FAILURES = (
    *(URLError, HTTPException, TimeoutError, ConnectionError, ssl.SSLError, socket.gaierror),
    *(RuntimeError, AssertionError, EOFError, ValueError, RecursionError),
)


def _places(cls: type, cache: Path) -> tuple[Path, Path]:
    """Return the root argument of a class, and the directory of its packed files."""
    if cls.__name__ == "USPS":  # the only class that puts its files into the root
        return cache / "USPS", cache / "USPS"
    return cache, cache / cls.__name__ / "raw"


def _files(cls: Any) -> list[_File]:
    """Return the packed files of a torchvision class."""
    if cls.__name__ == "USPS":
        return [_File(name, md5, None) for _, name, md5 in cls.split_list.values()]
    if cls.__name__ == "EMNIST":
        part = "emnist-digits-train-images-idx3-ubyte"  # if one is missing, all are unpacked
        return [_File(cls.url.rpartition("/")[2], cls.md5, part)]
    if cls.__name__ == "QMNIST":
        resources = [*cls.resources["train"], *cls.resources["test"]]
    else:
        resources = cls.resources
    names = [(url.rpartition("/")[2], md5) for url, md5 in resources]
    return [_File(name, md5, name.rpartition(".")[0]) for name, md5 in names]


def _remove_unverified(directory: Path, files: list[_File]) -> list[str]:
    """Remove files that torchvision would read unchecked; return the damaged packed files."""
    damaged = []
    for file in files:
        packed = directory / file.name
        if not packed.is_file():
            continue
        if _md5(packed) != file.md5:
            damaged.append(file.name)
            if file.unpacked is None:  # torchvision checks it only when it downloads it
                packed.unlink()
        elif file.unpacked is not None:
            (directory / file.unpacked).unlink(missing_ok=True)
    return damaged


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _arrays(part: Any) -> tuple[Any, Any]:
    """Return images and classes of a torchvision dataset."""
    images, labels = np.asarray(part.data), np.asarray(part.targets)
    if labels.ndim == 2:  # QMNIST: the class, and seven columns about the writer
        labels = labels[:, 0]
    if type(part).__name__ == "EMNIST":  # its images are stored transposed
        images = images.transpose(0, 2, 1)
    return images, labels


@contextmanager
def _timeout() -> Iterator[None]:
    """Set the default timeout of connections, as torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    """Return the last line of a message: torchvision lists its mirrors before the cause."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:160]
