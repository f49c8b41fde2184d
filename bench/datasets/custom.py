"""User-defined datasets: an .npz file, or a function of a user's module.

Their stored names end with a hash: of the file in ``path/to/mine.npz@1a2b3c4d5e6f``, of the source
in ``mypkg:load_data@1a2b3c4d5e6f``.
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
from bench.storage.files import require_regular

_NPZ = re.compile(r"(?P<path>.*\.npz)(?:@(?P<hash>[^/\\]*))?", re.DOTALL | re.IGNORECASE)
_HASH = re.compile("[0-9a-f]{12}")


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
    path, wanted = _split_name(name)
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


def read_npz(name: str) -> Dataset:
    """Read an .npz file; object arrays are rejected, as unpickling could run any code.

    Raise SpecError if it is not an .npz file, is damaged, or does not hold labelled images.
    """
    path, _ = _split_name(name)
    where = f"dataset {str(path)!r}"
    try:
        with path.open("rb") as file:  # numpy does not close a damaged file
            content = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                raise SpecError(f"{where} is not an .npz file: write it with numpy.savez")
            arrays = {key: _member(content, key, where) for key in KEYS if key in content.files}
            others = dict.fromkeys(set(content.files) - set(KEYS))
    except SpecError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many types for damaged files
        raise SpecError(
            f"{where} is not an .npz file, or damaged: {kind_and_line(error)}"
        ) from error
    return checked({**others, **arrays}, where)


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


def call_function(name: str) -> Dataset:
    """Call a user's function, which returns a mapping or a tuple of the arrays of :data:`KEYS`.

    Raise SpecError if the function raises an exception, or does not return labelled images.
    """
    from bench.spec import process_state  # imports torch

    external, where = load_external(function_name(name), "dataset"), f"dataset {name!r}"
    try:
        with process_state.restored():
            returned = external.value()  # type: ignore[operator]
    except (Exception, SystemExit) as error:  # user code may raise anything
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


def _split_name(name: str) -> tuple[Path, str | None]:
    """Return the path and the hash in `name`."""
    match = _NPZ.fullmatch(name)
    if match is None or (match["hash"] is not None and not _HASH.fullmatch(match["hash"])):
        raise SpecError(
            "a user-defined dataset is written FILE.npz, or FILE.npz@ and 12 digits 0-9a-f, got "
            f"{name[:120]!r}"
        )
    return Path(match["path"]), match["hash"]


def _member(content: np.lib.npyio.NpzFile, key: str, where: str) -> object:
    try:
        return content[key]
    except Exception as error:
        raise SpecError(f"{where}: {key} cannot be read: {kind_and_line(error)}") from error
