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
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from bench.downloads import DOWNLOADS, fetch
from bench.errors import DataError, SpecError, suggestion
from bench.external import is_external
from bench.images import KEYS, checked, count_classes
from bench.images import Dataset as Dataset
from bench.owndata import call_function, function_name, is_npz, npz_name, read_npz

#: Training images of the datasets that can be named.
_N_TRAIN: Mapping[str, int] = {
    "mnist": 60_000,
    **{name: download.n_train for name, download in DOWNLOADS.items()},
    "digits": 1_437,
}

#: The datasets that can be named; users may bring others along.
NAMES: tuple[str, ...] = tuple(_N_TRAIN)

#: Overrides the cache directory, like ``--data-dir``.
DATA_DIR_VARIABLE = "OPTIMIZER_BENCH_DATA"

_MANIFEST = "manifest.json"
_HASH_CHUNK = 1 << 20

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def resolve_dataset(text: str) -> str:
    """The name of a dataset that says what it is: what is stored, and what :func:`prepare` takes.

    Parameters
    ----------
    text
        One of :data:`NAMES`, the path of an .npz file, or ``module:function``. The last two are
        given a hash, or keep the one they have.

    Raises
    ------
    SpecError
        If there is none, or it is another one by now than the hash says.
    """
    if text in _N_TRAIN:
        return text
    if is_npz(text):
        return npz_name(text)
    if is_external(text):
        return function_name(text)
    raise SpecError(
        f"unknown dataset {text[:120]!r}: {suggestion(text, NAMES)} (your own is the path of an "
        ".npz file, or module:function)"
    )


def resolve_datasets(text: str) -> tuple[str, ...]:
    """The names of one dataset or of several, separated by commas: see :func:`resolve_dataset`.

    Raises
    ------
    SpecError
        If one of them is unknown, or given twice.
    """
    parts = [text] if os.path.exists(text) else [part.strip() for part in text.split(",")]
    names = tuple(map(resolve_dataset, parts))
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"every dataset may be given once, got {name[:120]!r} twice")
    return names


def short_name(name: str) -> str:
    """The name of a dataset as a part of file names: letters, digits, ``.``, ``_`` and ``-``.

    >>> short_name("emnist-digits"), short_name("my data/cats & dogs.npz@1a2b3c4d5e6f")
    ('emnist-digits', 'cats-dogs-1a2b3c4d5e6f')
    >>> short_name("mypkg.data:load@1a2b3c4d5e6f")
    'load-1a2b3c4d5e6f'
    """
    what, _, digest = name.rpartition("@") if "@" in name else (name, "", "")
    if name in _N_TRAIN:
        return name
    what = Path(what).stem if is_npz(what) else what.rpartition(":")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", what)[:40].strip("._-") or "data"
    return f"{plain}-{digest}" if digest else plain


def n_train_images(name: str, data_dir: Path | None = None) -> int:
    """The number of training images, before anything is downloaded.

    A dataset of the user's is prepared for it. Raises what :func:`prepare` does.
    """
    if name in _N_TRAIN:
        return _N_TRAIN[name]
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
        return partial(_prepare_in, stem=name, read=_read_mnist)
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
            and all(_sha256(arrays / f"{name}.npy") == digests[name] for name in _ARRAYS)
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
            "sha256": {name: _sha256(building / f"{name}.npy") for name in _ARRAYS},
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
    digits, n = load_digits(), _N_TRAIN["digits"]
    images, labels = digits.images.astype(np.float32) / 16, digits.target
    parts = (images[:n], labels[:n], images[n:], labels[n:])
    return checked(dict(zip(KEYS, parts, strict=True)), "digits")


def _read_mnist(cache: Path) -> Dataset:
    _unpack(cache / "MNIST" / "raw")
    return _read_through_torchvision(cache)


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
