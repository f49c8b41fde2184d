"""Parse the names of datasets, without loading data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from bench.datasets.custom import function_name, is_npz, npz_name
from bench.datasets.downloads import DOWNLOADS
from bench.errors import SpecError, suggestion
from bench.spec.plugins import is_external

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
    get a hash, or keep the one that they have. Raise SpecError if there is no such dataset, or its
    hash has changed.
    """
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
    what, _, digest = name.rpartition("@") if "@" in name else (name, "", "")
    if name in N_TRAIN:
        return name
    what = Path(what).stem if is_npz(what) else what.rpartition(":")[2]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", what)[:40].strip("._-") or "data"
    return f"{plain}-{digest}" if digest else plain
