"""Datasets that users bring along: an .npz file, or a function of a module of theirs.

Both have names that say what was read: ``path/to/mine.npz@1a2b3c4d5e6f`` ends with a hash of the
file, ``mypkg:load_data@1a2b3c4d5e6f`` with a hash of the source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.datasets.arrays import KEYS, Dataset, checked
from bench.errors import SpecError, kind_and_line
from bench.spec.plugins import load_external

_NPZ = re.compile(r"(?P<path>.*\.npz)(?:@(?P<hash>[^/\\]*))?", re.DOTALL | re.IGNORECASE)
_HASH = re.compile("[0-9a-f]{12}")


def is_npz(name: str) -> bool:
    """Whether `name` is the path of an .npz file, with or without a hash.

    >>> is_npz("C:/data/mine.npz@1a2b3c4d5e6f"), is_npz("mypkg:load_data")
    (True, False)
    """
    return _NPZ.fullmatch(name) is not None


def npz_name(name: str) -> str:
    """`name` with the hash of the file as it is now.

    Raises
    ------
    SpecError
        If it cannot be read, or `name` has the hash of another file.
    """
    path, wanted = _parted(name)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except (OSError, ValueError) as error:  # a path with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"dataset {str(path)[:200]!r} cannot be read: {reason}") from error
    if wanted not in (None, found):
        raise SpecError(
            f"dataset {name!r}: the file has changed since, its hash is {found} now; leave the "
            "hash out to use the file as it is"
        )
    return f"{path}@{found}"


def read_npz(name: str) -> Dataset:
    """What the file holds; object arrays are refused, as unpickling them could run anything.

    Raises
    ------
    SpecError
        If it is not an .npz file, is damaged, or holds something else than labelled images.
    """
    path, _ = _parted(name)
    where = f"dataset {str(path)!r}"
    try:
        with path.open("rb") as file:  # numpy leaves a damaged one open
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise SpecError(f"{where} is not an .npz file: numpy.savez makes one")
            arrays = {key: _member(content, key, where) for key in KEYS if key in content.files}
            others = dict.fromkeys(set(content.files) - set(KEYS))
    except SpecError:
        raise
    except Exception as error:  # whatever a damaged file makes zipfile, zlib or numpy raise
        raise SpecError(
            f"{where} is not an .npz file, or damaged: {kind_and_line(error)}"
        ) from error
    return checked({**others, **arrays}, where)


def function_name(name: str) -> str:
    """`name` with the hash of the source.

    Raises
    ------
    SpecError
        If it cannot be imported or is no function, or `name` has the hash of another source.
    """
    external = load_external(name, "dataset")
    if not callable(external.value):
        raise SpecError(
            f"dataset {name!r}: it must be a function that returns {', '.join(KEYS)}, got an "
            f"object of {type(external.value).__name__}"
        )
    return external.name


def call_function(name: str) -> Dataset:
    """What the function returns: a mapping or a tuple, by or in the order of the four keys.

    Raises
    ------
    SpecError
        If it raises anything, or returns something else than labelled images.
    """
    external, where = load_external(function_name(name), "dataset"), f"dataset {name!r}"
    try:
        returned = external.value()  # type: ignore[operator]
    except (Exception, SystemExit) as error:  # whatever a user's function does
        raise SpecError(f"{where}: the function failed ({kind_and_line(error)})") from error
    if isinstance(returned, tuple | list) and len(returned) == len(KEYS):
        return checked(dict(zip(KEYS, returned, strict=True)), where)
    if isinstance(returned, Mapping):
        return checked(returned, where)
    size = f" of {len(returned)}" if isinstance(returned, tuple | list) else ""
    raise SpecError(
        f"{where}: the function must return a mapping or a tuple of {', '.join(KEYS)}, got "
        f"{type(returned).__name__}{size}"
    )


def _parted(name: str) -> tuple[Path, str | None]:
    match = _NPZ.fullmatch(name)
    if match is None or (match["hash"] is not None and not _HASH.fullmatch(match["hash"])):
        raise SpecError(
            f"your own dataset is written FILE.npz or FILE.npz@ and 12 digits 0-9a-f, got "
            f"{name[:120]!r}"
        )
    return Path(match["path"]), match["hash"]


def _member(content: np.lib.npyio.NpzFile, key: str, where: str) -> object:
    try:
        return content[key]
    except Exception as error:
        raise SpecError(f"{where}: {key} cannot be read: {kind_and_line(error)}") from error
