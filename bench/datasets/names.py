"""Parse the names of datasets, without loading data or importing numpy."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import SpecError, suggestion
from bench.spec.plugins import is_external, load_external
from bench.storage.files import require_regular

#: Overrides the cache directory, like ``--data-dir``.
DATA_DIR_VARIABLE = "OPTIMIZER_BENCH_DATA"
#: Names of the arrays of a dataset in user files and functions.
KEYS = ("x_train", "y_train", "x_test", "y_test")

#: Ending of the dataset whose test images are held out of the training images of another one.
VALIDATION = "/validation"

_SPLIT = re.compile(rf"(?P<base>.+){VALIDATION}(?:-(?P<number>[1-9][0-9]{{0,3}}))?", re.DOTALL)
_NPZ = re.compile(r"(?P<path>.*\.npz)(?:@(?P<hash>[^/\\]*))?", re.DOTALL | re.IGNORECASE)
_HASH = re.compile("[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class Download:
    """A dataset of torchvision.

    `class_name` is its class in :mod:`torchvision.datasets`, and its directory in the cache;
    `options` are further arguments of the class.
    """

    class_name: str
    n_train: int
    options: Mapping[str, Any] = field(default_factory=dict)


#: By the names on the command line. The test set of QMNIST is all 60,000 images.
DOWNLOADS: Mapping[str, Download] = {
    "fashion-mnist": Download(class_name="FashionMNIST", n_train=60_000),
    "kmnist": Download(class_name="KMNIST", n_train=60_000),
    "qmnist": Download(class_name="QMNIST", n_train=60_000),
    "emnist-digits": Download(class_name="EMNIST", n_train=240_000, options={"split": "digits"}),
    "usps": Download(class_name="USPS", n_train=7_291),
}

#: Number of training images of each built-in dataset.
N_TRAIN: Mapping[str, int] = {
    "mnist": 60_000,
    **{name: download.n_train for name, download in DOWNLOADS.items()},
    "digits": 1_437,
}
#: Built-in datasets.
NAMES: tuple[str, ...] = tuple(N_TRAIN)


def resolve_dataset(text: str) -> str:
    """Return the stored name of a dataset, which :func:`prepare` accepts.

    `text` is one of :data:`NAMES`, the path of an .npz file, or ``module:function``. The last two
    get a hash, or keep the one that they have. ``/validation`` behind a dataset is
    :mod:`bench.datasets.validation`. Raise SpecError if there is no such dataset, or its
    hash has changed.
    """
    if (base := base_name(text)) is not None:
        return validation_name(resolve_dataset(base), split_number(text))
    if text in N_TRAIN:
        return text
    if is_npz(text):
        return npz_name(text)
    if is_external(text):
        return function_name(text)
    raise SpecError(
        f"unknown dataset {text[:120]!r}: {suggestion(text, NAMES)} (a user-defined dataset is the "
        "path of an .npz file, or module:function)"
    )


def base_name(name: str) -> str | None:
    """Return the dataset that another one holds images out of; None if it is no such dataset.

    >>> base_name("mnist/validation"), base_name("mnist/validation-2"), base_name("mnist")
    ('mnist', 'mnist', None)
    """
    match = _SPLIT.fullmatch(name)
    return match["base"] if match else None


def split_number(name: str) -> int:
    """Return which split of its base a dataset with held-out images is, from 1.

    >>> split_number("mnist/validation"), split_number("mnist/validation-2")
    (1, 2)
    """
    match = _SPLIT.fullmatch(name)
    return int(match["number"] or 1) if match else 1


def validation_name(base: str, split: int = 1) -> str:
    """Return the name of a dataset that holds images of `base` out.

    >>> validation_name("mnist"), validation_name("mnist", 2)
    ('mnist/validation', 'mnist/validation-2')
    """
    return f"{base}{VALIDATION}" if split == 1 else f"{base}{VALIDATION}-{split}"


def resolve_datasets(text: str) -> tuple[str, ...]:
    """Return the stored names of one or more datasets, separated by commas.

    See :func:`resolve_dataset`. Raise SpecError if one of them is unknown, or given twice.
    """
    parts = [text] if os.path.exists(text) else [part.strip() for part in text.split(",")]
    names = tuple(map(resolve_dataset, parts))
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"every dataset may be given once, got {name[:120]!r} twice")
    return names


def short_name(name: str) -> str:
    """Return a short name for file names, of letters, digits, ``.``, ``_`` and ``-``.

    >>> short_name("emnist-digits"), short_name("my data/cats & dogs.npz@1a2b3c4d5e6f")
    ('emnist-digits', 'cats-dogs-1a2b3c4d5e6f')
    >>> short_name("mypkg.data:load@1a2b3c4d5e6f")
    'load-1a2b3c4d5e6f'
    """
    if (base := base_name(name)) is not None:
        return validation_name(short_name(base), split_number(name)).replace("/", "-")
    what, _, digest = name.rpartition("@") if "@" in name else (name, "", "")
    if name in N_TRAIN:
        return name
    what = Path(what).stem if is_npz(what) else what.rpartition(":")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", what)[:40].strip("._-") or "data"
    return f"{plain}-{digest}" if digest else plain


def is_npz(name: str) -> bool:
    """Return whether `name` is the path of an .npz file, with or without a hash.

    >>> is_npz("C:/data/mine.npz@1a2b3c4d5e6f"), is_npz("mypkg:load_data")
    (True, False)
    """
    return _NPZ.fullmatch(name) is not None


def npz_name(name: str) -> str:
    """Return `name` with the hash of the current content of the file.

    Raise SpecError if the file cannot be read, or `name` has a different hash.
    """
    path, wanted = split_npz_name(name)
    try:
        require_regular(path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"dataset {str(path)[:200]!r} cannot be read: {reason}") from error
    if wanted not in (None, found):
        raise SpecError(
            f"dataset {name!r}: the file has changed, its hash is now {found}; omit the hash to "
            "use the current file"
        )
    return f"{path}@{found}"


def function_name(name: str) -> str:
    """Return `name` with the hash of the source.

    Raise SpecError if it cannot be imported, is not callable, or `name` has a different hash.
    """
    external = load_external(name, "dataset")
    if not callable(external.value):
        raise SpecError(
            f"dataset {name!r}: it must be a function that returns {', '.join(KEYS)}, got an "
            f"object of {type(external.value).__name__}"
        )
    return external.name


def split_npz_name(name: str) -> tuple[Path, str | None]:
    """Return the path and the hash in `name`."""
    match = _NPZ.fullmatch(name)
    if match is None or (match["hash"] is not None and not _HASH.fullmatch(match["hash"])):
        raise SpecError(
            "a user-defined dataset is written FILE.npz, or FILE.npz@ and 12 digits 0-9a-f, got "
            f"{name[:120]!r}"
        )
    return Path(match["path"]), match["hash"]
