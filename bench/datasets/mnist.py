"""Read MNIST from the files inside the package."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import numpy as np

from bench.datasets.arrays import Dataset as Dataset
from bench.errors import DataError
from bench.storage.files import replace_file, require_regular


def read_mnist(cache: Path) -> Dataset:
    """Unpack the files of MNIST into `cache` and read them through torchvision.

    Raise DataError if a file in the package is damaged.
    """
    from bench.datasets._torchvision import import_datasets

    _unpack(cache / "MNIST" / "raw")
    mnist = import_datasets().MNIST
    train, test = mnist(cache, train=True), mnist(cache, train=False)
    return Dataset(
        train_images=train.data.numpy().reshape(len(train.data), -1),
        train_labels=train.targets.numpy().astype(np.uint8),
        test_images=test.data.numpy().reshape(len(test.data), -1),
        test_labels=test.targets.numpy().astype(np.uint8),
    )


def _unpack(raw: Path) -> None:
    """Write the raw IDX files that are missing or damaged; verify packed and unpacked content."""
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
        replace_file(unpacked, raw / name)


def _published_sums(text: str) -> Mapping[str, str]:
    pairs = (line.split() for line in text.splitlines())
    return {name: digest for digest, name in pairs}


def _has_sum(path: Path, digest: str) -> bool:
    try:
        return sha256(path) == digest
    except OSError:
        return False


def _verify(content: bytes, digest: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DataError(f"{what} is damaged: SHA-256 is {found}, expected {digest}; reinstall")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
