"""Images as arrays that every worker memory-maps.

MNIST ships inside the package. At first use its files are verified, unpacked into a cache in the
layout that :class:`torchvision.datasets.MNIST` reads, and read through torchvision. Other datasets
are downloaded by torchvision, come with scikit-learn, or are the user's. All are stored as ``.npy``
files beside a manifest of their hashes. The manifest is checked at every start: a damaged
or half-written cache is rebuilt, under a lock, in a directory that is renamed into place whole.
Workers only map the arrays; they never import torchvision.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from bench.datasets.arrays import KEYS, checked, count_classes
from bench.datasets.arrays import Dataset as Dataset
from bench.datasets.custom import call_function, is_npz, read_npz
from bench.datasets.downloads import fetch
from bench.datasets.mnist import read_mnist, sha256
from bench.datasets.names import N_TRAIN, resolve_dataset
from bench.errors import DataError
from bench.spec.plugins import is_external

#: Overrides the cache directory, like ``--data-dir``.
DATA_DIR_VARIABLE = "OPTIMIZER_BENCH_DATA"


_MANIFEST = "manifest.json"


_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def n_train_images(name: str, data_dir: Path | None = None) -> int:
    """The number of training images, before anything is downloaded.

    A dataset of the user's is prepared for it. Raises what :func:`prepare` does.
    """
    if name in N_TRAIN:
        return N_TRAIN[name]
    return len(load(prepare(name, data_dir)).train_labels)


def prepare(name: str, data_dir: Path | None = None, *, quiet: bool = True) -> Path:
    """Make sure that the arrays of a dataset are in the cache, and return their directory.

    Parameters
    ----------
    name
        What :func:`resolve_dataset` takes or gives.
    data_dir
        The cache; by default the environment variable ``OPTIMIZER_BENCH_DATA``, else the user's
        cache directory. Where it cannot be written, a temporary directory serves until the
        program ends, and one warning says so.
    quiet
        Without the progress of downloads, which is shown in terminals only.

    Raises
    ------
    SpecError
        If there is no dataset of that name, or a user's is not what it should be.
    DataError
        If files are damaged, cannot be downloaded, or can be unpacked nowhere.
    """
    name = resolve_dataset(name)
    cache = data_dir or default_data_dir()
    prepare_in = _preparation(name, quiet=quiet)
    try:
        return prepare_in(cache)
    except OSError as error:
        reason = f"cannot keep the dataset in {cache} ({error.strerror or error})"
    try:
        temporary = Path(tempfile.mkdtemp(prefix="optimizer-bench-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        warnings.warn(
            f"{reason}; unpacking it into {temporary} for this run", RuntimeWarning, stacklevel=2
        )
        return prepare_in(temporary)
    except OSError as error:
        room = "120 MB" if name == "mnist" else "it"
        raise DataError(
            f"{reason}, nor in a temporary directory ({error.strerror or error}): name a directory "
            f"with room for {room} with --data-dir"
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
    manifest = json.loads((directory / _MANIFEST).read_text())
    channels, height, width = manifest["image_shape"]
    return Dataset(
        **{name: np.load(directory / f"{name}.npy", mmap_mode="c") for name in _ARRAYS},
        image_shape=(channels, height, width),
        n_classes=manifest["n_classes"],
    )


def _preparation(name: str, *, quiet: bool) -> Callable[[Path], Path]:
    """What puts the arrays of a dataset into a cache, unless they are there."""
    if is_npz(name):
        digest = name.rpartition("@")[2]
        return partial(_prepare_in, stem=f"npz-{digest}", read=lambda _: read_npz(name))
    if is_external(name):
        # a function may return something else every time: its cache has the name of what it holds
        dataset = call_function(name)
        return partial(_prepare_in, stem=f"user-{_content_hash(dataset)}", read=lambda _: dataset)
    if name == "mnist":
        return partial(_prepare_in, stem=name, read=read_mnist)
    if name == "digits":
        return partial(_prepare_in, stem=name, read=lambda _: _read_digits())
    return partial(_prepare_in, stem=name, read=lambda cache: fetch(name, cache, quiet=quiet))


def _prepare_in(cache: Path, *, stem: str, read: Callable[[Path], Dataset]) -> Path:
    arrays = cache / f"{stem}-arrays"
    if _is_intact(arrays):
        return arrays
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{stem}.lock"):
        if not _is_intact(arrays):  # another process may have built it while we waited
            _build(read(cache), arrays)
    return arrays


def _is_intact(arrays: Path) -> bool:
    """Whether all is there as the manifest says; one of an earlier version says too little."""
    try:
        manifest = json.loads((arrays / _MANIFEST).read_text())
        digests = manifest["sha256"]
        return (
            set(digests) == set(_ARRAYS)
            and all(sha256(arrays / f"{name}.npy") == digests[name] for name in _ARRAYS)
            and _fits(load(arrays))
        )
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return False


def _fits(dataset: Dataset) -> bool:
    """Whether the manifest's shape and number of classes are those of the arrays."""
    n_pixels = math.prod(dataset.image_shape)
    return (
        dataset.train_images.shape[1:] == dataset.test_images.shape[1:] == (n_pixels,)
        and min(dataset.image_shape) > 0
        and dataset.n_classes == count_classes(dataset.train_labels, dataset.test_labels)
    )


def _build(dataset: Dataset, arrays: Path) -> None:
    with _replacing(arrays) as building:
        for name in _ARRAYS:
            np.save(building / f"{name}.npy", getattr(dataset, name))
        manifest = {
            "image_shape": dataset.image_shape,
            "n_classes": dataset.n_classes,
            "sha256": {name: sha256(building / f"{name}.npy") for name in _ARRAYS},
        }
        (building / _MANIFEST).write_text(json.dumps(manifest, indent=2))


def _content_hash(dataset: Dataset) -> str:
    digest = hashlib.sha256(repr(dataset.image_shape).encode())
    for name in _ARRAYS:
        array = getattr(dataset, name)
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _read_digits() -> Dataset:
    """scikit-learn's 8 x 8 digits, 0 to 1 in steps of 1/16; the first 80 % are for training."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the dataset digits comes with scikit-learn, which is not installed: "
            "pip install 'optimizer-bench[digits]'"
        ) from error
    digits, n = load_digits(), N_TRAIN["digits"]
    images, labels = digits.images.astype(np.float32) / 16, digits.target
    parts = (images[:n], labels[:n], images[n:], labels[n:])
    return checked(dict(zip(KEYS, parts, strict=True)), "digits")


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
