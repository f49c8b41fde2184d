"""Cache of datasets: arrays on disk that all workers memory-map.

MNIST is included in the package. At first use its files are verified, unpacked in the layout of
:class:`torchvision.datasets.MNIST`, and read through torchvision. Other datasets are downloaded by
torchvision, loaded from scikit-learn, or defined by the user.

Each dataset is stored as ``.npy`` files with a manifest. At every start its content hash
(:mod:`bench.datasets.content`) is compared with the hash in the code, else with that in the
manifest. A damaged or incomplete cache is rebuilt under a lock, in a temporary directory that is
then renamed. Workers only map the arrays and do not import torchvision.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from bench.datasets.arrays import Dataset as Dataset
from bench.datasets.arrays import checked
from bench.datasets.content import ARRAYS, MANIFEST, PINNED, hash_dataset, hash_files
from bench.datasets.custom import call_function, read_npz
from bench.datasets.downloads import fetch
from bench.datasets.mnist import read_mnist
from bench.datasets.names import (
    DATA_DIR_VARIABLE,
    KEYS,
    N_TRAIN,
    base_name,
    is_npz,
    resolve_dataset,
    split_number,
    validation_name,
)
from bench.datasets.validation import hold_out, n_held_out
from bench.errors import DataError, SpecError
from bench.spec.plugins import is_external

#: Content hash of what the function of a user returned, by its name, when its sweep was declared.
_declared: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class CachedDataset:
    """A dataset in the cache, verified.

    Attributes
    ----------
    directory
        Directory of the arrays, for :func:`load`.
    content_hash
        Their content hash.
    is_new
        Whether this call has written them.
    """

    directory: Path
    content_hash: str
    is_new: bool


def n_train_images(name: str, data_dir: Path | None = None) -> int:
    """Return the number of training images, without a download.

    A user-defined dataset is read, and not put into the cache. Raises the errors of
    :func:`prepare`.
    """
    if (base := base_name(name)) is not None:
        n_images = n_train_images(base, data_dir)
        return n_images - n_held_out(n_images)
    if name in N_TRAIN:
        return N_TRAIN[name]
    name = resolve_dataset(name)
    source = _source(name, quiet=True)
    if source.content_hash is not None:
        _declared[name] = source.content_hash
    cache = data_dir or default_data_dir()
    arrays = cache / source.directory
    is_cached = source.content_hash is None and _verified_hash(arrays) is not None
    return len((load(arrays) if is_cached else source.read(cache)).train_labels)


def prepare(name: str, data_dir: Path | None = None, *, quiet: bool = True) -> Path:
    """Put the arrays of a dataset into the cache if necessary, and return their directory.

    See :func:`prepare_verified`.
    """
    return prepare_verified(name, data_dir, quiet=quiet).directory


def prepare_verified(
    name: str, data_dir: Path | None = None, *, quiet: bool = True
) -> CachedDataset:
    """Put the arrays of a dataset into the cache if necessary.

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
        If the name is unknown, a user-defined dataset is invalid, or a function returns other
        arrays than before.
    DataError
        If files are damaged, cannot be downloaded, or cannot be written to any directory.
    """
    name = resolve_dataset(name)
    cache, source = data_dir or default_data_dir(), _source(name, quiet=quiet)
    if is_external(name) and not is_npz(name) and base_name(name) is None:
        _refuse_other_arrays(name, source)
    try:
        return _prepare_in(cache, source)
    except OSError as error:
        reason = f"cannot keep the dataset in {cache} ({error.strerror or error})"
    try:
        temporary = Path(tempfile.mkdtemp(prefix="optimizer-bench-"))
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        warnings.warn(
            f"{reason}; it is unpacked into {temporary} for this run", RuntimeWarning, stacklevel=2
        )
        return _prepare_in(temporary, source)
    except OSError as error:
        room = "120 MB" if name == "mnist" else "it"
        raise DataError(
            f"{reason}, nor in a temporary directory ({error.strerror or error}): name a directory "
            f"with room for {room} with --data-dir"
        ) from error


def discard(dataset: CachedDataset) -> None:
    """Remove the arrays of a function if this command has written them and does not use them."""
    if dataset.is_new and dataset.directory.name.startswith("user-"):
        shutil.rmtree(dataset.directory, ignore_errors=True)


def default_data_dir() -> Path:
    """Return the default cache directory."""
    if override := os.environ.get(DATA_DIR_VARIABLE):
        return Path(override)
    try:
        return platformdirs.user_cache_path("optimizer-bench")
    except RuntimeError:  # the user has no home directory, as in some containers
        return Path(tempfile.gettempdir()) / f"optimizer-bench-{getattr(os, 'getuid', int)()}"


def load(directory: Path) -> Dataset:
    """Memory-map the arrays in `directory`, which :func:`prepare` returned.

    They are mapped copy-on-write. All workers share the pages, and torch wraps the arrays without
    a warning about read-only memory.
    """
    manifest = json.loads((directory / MANIFEST).read_text())
    channels, height, width = manifest["image_shape"]
    return Dataset(
        **{name: np.load(directory / f"{name}.npy", mmap_mode="c") for name in ARRAYS},
        image_shape=(channels, height, width),
        n_classes=manifest["n_classes"],
    )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where the arrays of a dataset come from, and their directory in a cache.

    `content_hash` is the hash that they must have; None if only their manifest has it.
    """

    stem: str
    read: Callable[[Path], Dataset]
    content_hash: str | None = None

    @property
    def directory(self) -> str:
        return f"{self.stem}-arrays"


def _source(name: str, *, quiet: bool) -> _Source:
    if (base := base_name(name)) is not None:
        return _held_out(name, _source(base, quiet=quiet))
    if is_npz(name):
        return _Source(stem=f"npz-{name.rpartition('@')[2]}", read=lambda _: read_npz(name))
    if is_external(name):
        # named after the content, as the function may read files that have changed
        dataset = call_function(name)
        content_hash = hash_dataset(dataset)
        stem = f"user-{content_hash[:16]}"
        return _Source(stem=stem, read=lambda _: dataset, content_hash=content_hash)
    own = {"mnist": read_mnist, "digits": lambda _: _read_digits()}
    read = own.get(name, lambda cache: fetch(name, cache, quiet=quiet))
    return _Source(stem=name, read=read, content_hash=PINNED.get(name))


def _held_out(name: str, base: _Source) -> _Source:
    """Return the source of a dataset that holds out training images of another one."""
    split = split_number(name)

    def read(cache: Path) -> Dataset:
        return hold_out(load(_prepare_in(cache, base).directory), f"dataset {name!r}", split)

    stem = validation_name(base.stem, split).replace("/", "-")
    return _Source(stem=stem, read=read, content_hash=PINNED.get(name))


def _refuse_other_arrays(name: str, source: _Source) -> None:
    """Refuse a function that returns other arrays than when the sweep was declared."""
    found = source.content_hash or ""
    before = _declared.setdefault(name, found)
    if found != before:
        raise SpecError(
            f"dataset {name!r}: the function must return the same arrays at every call, their "
            f"SHA-256 is {found} now and was {before} when the sweep was declared"
        )


def _prepare_in(cache: Path, source: _Source) -> CachedDataset:
    arrays = cache / source.directory
    found = _verified_hash(arrays, source.content_hash)
    if found is not None:
        return CachedDataset(directory=arrays, content_hash=found, is_new=False)
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{source.stem}.lock"):
        # another process may have built it in the meantime
        found = _verified_hash(arrays, source.content_hash)
        is_new = found is None
        if is_new:
            _build(source, cache)
            found = _verified_hash(arrays, source.content_hash)
    if found is None:
        raise DataError(f"{arrays} does not hold the arrays that were written to it: try again")
    return CachedDataset(directory=arrays, content_hash=found, is_new=is_new)


def _verified_hash(arrays: Path, expected: str | None = None) -> str | None:
    """Return the content hash of arrays in a cache, or None if it is not the expected one.

    Parameters
    ----------
    expected
        None: the hash in their manifest.
    """
    try:
        wanted = expected or json.loads((arrays / MANIFEST).read_text())["sha256"]
        found = hash_files(arrays)
    except Exception:  # a missing or damaged file raises many types, a header of numpy too
        return None
    return found if found == wanted else None


def _build(source: _Source, cache: Path) -> None:
    dataset = source.read(cache)
    content_hash = hash_dataset(dataset)
    if source.content_hash not in (None, content_hash):
        raise DataError(
            f"the arrays of {source.stem} have SHA-256 {content_hash}, expected "
            f"{source.content_hash}: reinstall the package that holds them"
        )
    with _replacing(cache / source.directory) as building:
        for name in ARRAYS:
            np.save(building / f"{name}.npy", np.ascontiguousarray(getattr(dataset, name)))
        manifest = {
            "image_shape": dataset.image_shape,
            "n_classes": dataset.n_classes,
            "sha256": content_hash,
        }
        (building / MANIFEST).write_text(json.dumps(manifest, indent=2))


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
