"""Cache of datasets: arrays on disk that all workers memory-map.

MNIST is included in the package. At first use its files are verified, unpacked in the layout of
:class:`torchvision.datasets.MNIST`, and read through torchvision. Other datasets are downloaded by
torchvision, loaded from scikit-learn, or defined by the user.

Each dataset is stored as ``.npy`` files with a manifest of their hashes, which is checked at every
start. A damaged or incomplete cache is rebuilt under a lock, in a temporary directory that is then
renamed. Workers only map the arrays and do not import torchvision.
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
    """Return the number of training images, without a download.

    A user-defined dataset is prepared first. Raises the errors of :func:`prepare`.
    """
    if name in N_TRAIN:
        return N_TRAIN[name]
    return len(load(prepare(name, data_dir)).train_labels)


def prepare(name: str, data_dir: Path | None = None, *, quiet: bool = True) -> Path:
    """Put the arrays of a dataset into the cache if necessary, and return their directory.

    Parameters
    ----------
    name
        Argument or result of :func:`resolve_dataset`.
    data_dir
        Cache directory; by default the environment variable ``OPTIMIZER_BENCH_DATA``, else the
        user's cache directory. If it cannot be written, a warning is shown and a temporary
        directory is used until the program ends.
    quiet
        Whether to hide the progress of downloads, which is shown in terminals only.

    Raises
    ------
    SpecError
        If the name is unknown, or a user-defined dataset is invalid.
    DataError
        If files are damaged, cannot be downloaded, or cannot be written to any directory.
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
            f"{reason}; it is unpacked into {temporary} for this run", RuntimeWarning, stacklevel=2
        )
        return prepare_in(temporary)
    except OSError as error:
        room = "120 MB" if name == "mnist" else "it"
        raise DataError(
            f"{reason}, nor in a temporary directory ({error.strerror or error}): name a directory "
            f"with room for {room} with --data-dir"
        ) from error


def default_data_dir() -> Path:
    """Return the default cache directory."""
    override = os.environ.get(DATA_DIR_VARIABLE)
    return Path(override) if override else platformdirs.user_cache_path("optimizer-bench")


def load(directory: Path) -> Dataset:
    """Memory-map the arrays in `directory`, which :func:`prepare` returned.

    They are mapped copy-on-write. All workers share the pages, and torch wraps the arrays without
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
    """Return the function that puts the arrays of a dataset into a cache if they are missing."""
    if is_npz(name):
        digest = name.rpartition("@")[2]
        return partial(_prepare_in, stem=f"npz-{digest}", read=lambda _: read_npz(name))
    if is_external(name):
        # named after the content, as the function may return different data at each call
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
        if not _is_intact(arrays):  # another process may have built it in the meantime
            _build(read(cache), arrays)
    return arrays


def _is_intact(arrays: Path) -> bool:
    """Return whether all arrays match the manifest; manifests of old versions are incomplete."""
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
    """Return whether the shape and the number of classes in the manifest match the arrays."""
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
    """Load scikit-learn's 8 x 8 digits, scaled to 0 to 1; the first 80 % are for training."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "the dataset digits is part of scikit-learn, which is not installed: "
            "pip install 'optimizer-bench[digits]'"
        ) from error
    digits, n = load_digits(), N_TRAIN["digits"]
    images, labels = digits.images.astype(np.float32) / 16, digits.target
    parts = (images[:n], labels[:n], images[n:], labels[n:])
    return checked(dict(zip(KEYS, parts, strict=True)), "digits")


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """Yield a temporary directory that replaces `directory` at the end of the block."""
    building = directory.with_name(f"{directory.name}-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()  # not mkdtemp, whose directories other users of a shared cache cannot read
    try:
        yield building
        shutil.rmtree(directory, ignore_errors=True)
        building.rename(directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
