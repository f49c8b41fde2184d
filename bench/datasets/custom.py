"""User-defined datasets: an .npz file, a function, or arrays of a program.

Their stored names end with a hash: of the file in ``path/to/mine.npz@1a2b3c4d5e6f``, of the source
in ``mypkg:load_data@1a2b3c4d5e6f``, of the content in ``__main__:arrays@1a2b3c4d5e6f``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.datasets.arrays import Dataset, checked
from bench.datasets.content import hash_dataset
from bench.datasets.names import KEYS, function_name, split_npz_name
from bench.errors import SpecError, kind_and_line
from bench.spec.plugins import load_external, name_of, registered


def read_npz(name: str) -> Dataset:
    """Read an .npz file; object arrays are rejected, as unpickling could run any code.

    Raise SpecError if it is not an .npz file, is damaged, or does not hold labelled images.
    """
    path, _ = split_npz_name(name)
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
    return _labelled(returned, f"{where}: the function must return", where)


def name_given(value: object) -> str:
    """Return the name of a dataset that is given as a function, or as its arrays.

    Arrays are registered under their content hash. Raise SpecError if they are not labelled images.
    """
    if callable(value):
        return name_of(value, "dataset", is_sent=False)
    dataset = _labelled(value, "dataset must be text, a function, or", "dataset")
    return registered(f"arrays@{hash_dataset(dataset)[:12]}", lambda: value)


def _labelled(arrays: object, rule: str, where: str) -> Dataset:
    """Check a mapping or a tuple of the arrays of :data:`KEYS`; `rule` introduces the message."""
    if isinstance(arrays, tuple | list) and len(arrays) == len(KEYS):
        return checked(dict(zip(KEYS, arrays, strict=True)), where)
    if isinstance(arrays, Mapping):
        return checked(arrays, where)
    size = f" of {len(arrays)}" if isinstance(arrays, tuple | list) else ""
    raise SpecError(
        f"{rule} a mapping or a tuple of {', '.join(KEYS)}, got {type(arrays).__name__}{size}"
    )


def _member(content: np.lib.npyio.NpzFile, key: str, where: str) -> object:
    try:
        return content[key]
    except Exception as error:
        raise SpecError(f"{where}: {key} cannot be read: {kind_and_line(error)}") from error
