"""Images as uint8 arrays that every worker memory-maps.

MNIST ships inside the package. At first use its files are verified, unpacked into a cache in the
layout that :class:`torchvision.datasets.MNIST` reads, read through torchvision, and stored as
``.npy`` files beside a manifest of their hashes. The manifest is checked at every start: a damaged
or half-written cache is rebuilt, under a lock, in a directory that is renamed into place whole.
Workers only map the arrays; they never import torchvision.
"""

from __future__ import annotations

import atexit
import gzip
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock
from numpy.typing import NDArray

from bench.errors import DataError, SpecError, suggestion

#: The datasets that can be named, with their numbers of training images.
N_TRAIN_IMAGES: Mapping[str, int] = {"mnist": 60_000}

#: Overrides the cache directory, like ``--data-dir``.
DATA_DIR_VARIABLE = "OPTIMIZER_BENCH_DATA"

_MANIFEST = "manifest.json"
_HASH_CHUNK = 1 << 20

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Dataset:
    """Training and test images: rows of pixels (n, D) and classes (n,), all uint8.

    `image_shape` is (channels, height, width), whose product is D.
    """

    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes
    image_shape: tuple[int, int, int] = (1, 28, 28)
    n_classes: int = 10


_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def prepare(name: str, data_dir: Path | None = None) -> Path:
    """Make sure that the arrays of a dataset are in the cache, and return their directory.

    Parameters
    ----------
    name
        One of :data:`N_TRAIN_IMAGES`.
    data_dir
        The cache; by default the environment variable ``OPTIMIZER_BENCH_DATA``, else the user's
        cache directory. Where it cannot be written, a temporary directory serves until the
        program ends, and one warning says so.

    Raises
    ------
    SpecError
        If there is no dataset of that name.
    DataError
        If the embedded files are damaged, or can be unpacked nowhere.
    """
    if name not in N_TRAIN_IMAGES:
        raise SpecError(f"unknown dataset {name!r}: {suggestion(name, N_TRAIN_IMAGES)}")
    cache = data_dir or default_data_dir()
    try:
        return _prepare_in(cache)
    except OSError as error:
        reason = f"cannot keep the dataset in {cache} ({error.strerror or error})"
    try:
        temporary = Path(tempfile.mkdtemp(prefix="optimizer-bench-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        warnings.warn(
            f"{reason}; unpacking it into {temporary} for this run", RuntimeWarning, stacklevel=2
        )
        return _prepare_in(temporary)
    except OSError as error:
        raise DataError(
            f"{reason}, nor in a temporary directory ({error.strerror or error}): name a directory "
            "with room for 120 MB with --data-dir"
        ) from error


def default_data_dir() -> Path:
    """Where datasets are cached unless the user says otherwise."""
    override = os.environ.get(DATA_DIR_VARIABLE)
    return Path(override) if override else platformdirs.user_cache_path("optimizer-bench")


def load(directory: Path) -> Dataset:
    """Map the arrays that :func:`prepare` put into `directory`.

    They are mapped copy-on-write: all workers share the pages, and torch may wrap them without
    a warning about read-only memory.
    """
    return Dataset(*(np.load(directory / f"{name}.npy", mmap_mode="c") for name in _ARRAYS))


def _prepare_in(cache: Path) -> Path:
    arrays = cache / "mnist-arrays"
    if _is_intact(arrays):
        return arrays
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "mnist.lock"):
        if not _is_intact(arrays):  # another process may have built it while we waited
            _build(cache, arrays)
    return arrays


def _is_intact(arrays: Path) -> bool:
    try:
        manifest = json.loads((arrays / _MANIFEST).read_text())
        return set(manifest) == set(_ARRAYS) and all(
            _sha256(arrays / f"{name}.npy") == digest for name, digest in manifest.items()
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _build(cache: Path, arrays: Path) -> None:
    _unpack(cache / "MNIST" / "raw")
    dataset = _read_through_torchvision(cache)
    with _replacing(arrays) as building:
        for name in _ARRAYS:
            np.save(building / f"{name}.npy", getattr(dataset, name))
        manifest = {name: _sha256(building / f"{name}.npy") for name in _ARRAYS}
        (building / _MANIFEST).write_text(json.dumps(manifest, indent=2))


def _unpack(raw: Path) -> None:
    """Write the raw IDX files that are missing or damaged, each verified before and after."""
    raw.mkdir(parents=True, exist_ok=True)
    source = resources.files("bench") / "data" / "mnist"
    sums = _published_sums(source.joinpath("SHA256SUMS").read_text())
    for packed_name in sorted(name for name in sums if name.endswith(".gz")):
        name = packed_name.removesuffix(".gz")
        if _has_sum(raw / name, sums[name]):
            continue
        packed = source.joinpath(packed_name).read_bytes()
        _verify(packed, sums[packed_name], f"{source}/{packed_name}")
        unpacked = gzip.decompress(packed)
        _verify(unpacked, sums[name], f"{source}/{packed_name}, unpacked")
        partial = raw / f"{name}.partial"
        partial.write_bytes(unpacked)
        partial.replace(raw / name)


def _published_sums(text: str) -> Mapping[str, str]:
    pairs = (line.split() for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def _has_sum(path: Path, digest: str) -> bool:
    try:
        return _sha256(path) == digest
    except OSError:
        return False


def _verify(content: bytes, digest: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DataError(f"{what} is damaged: SHA-256 is {found}, expected {digest}; reinstall")


def _read_through_torchvision(cache: Path) -> Dataset:
    from bench._torchvision import import_datasets

    mnist = import_datasets().MNIST
    train, test = mnist(cache, train=True), mnist(cache, train=False)
    return Dataset(
        train_images=train.data.numpy().reshape(len(train.data), -1),
        train_labels=train.targets.numpy().astype(np.uint8),
        test_images=test.data.numpy().reshape(len(test.data), -1),
        test_labels=test.targets.numpy().astype(np.uint8),
    )


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """A temporary sibling that takes the place of `directory` once it is complete."""
    building = directory.with_name(f"{directory.name}-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()  # with the user's umask: a cache may be shared, unlike what mkdtemp makes
    try:
        yield building
        shutil.rmtree(directory, ignore_errors=True)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
