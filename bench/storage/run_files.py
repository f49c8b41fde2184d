"""Files of single runs: their names, and reading many of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import pyarrow as pa

from bench.errors import MixedRunsError, StoreError
from bench.storage.rows import read_together

#: Hexadecimal digits of the hash in the name of a file: 64 bits. Older files have 24 bits.
_DIGITS, OLD_DIGITS = 16, 6
#: Characters of the name of a variant in the name of its files.
_LONGEST_STEM = 60


def run_file_name(optimizer: str, seed: int, n_digits: int = _DIGITS) -> str:
    """Return the name of the file for the row of one run.

    >>> run_file_name("adam", 7)
    'adam-seed0007.parquet'
    """
    return f"{file_stem(optimizer, n_digits)}-seed{seed:04d}.parquet"


def file_stem(variant: str, n_digits: int = _DIGITS) -> str:
    """Return a file name for a variant: valid on every system, and unique per variant.

    >>> file_stem("adam")
    'adam'
    >>> file_stem("adam[lr=0.003]")
    'adam-lr=0.003-d51208e16147bdb4'
    """
    safe = re.sub(r"[^A-Za-z0-9._=+-]+", "-", variant).strip("-.")[:_LONGEST_STEM]
    if safe == variant:
        return safe
    return f"{safe}-{hashlib.sha256(variant.encode()).hexdigest()[:n_digits]}"


def sound_rows(files: Sequence[Path]) -> pa.Table | None:
    """Return the rows of files of single runs, one each; None if not all are sound."""
    try:
        rows = read_together(files)
    except StoreError:
        return None
    if rows is None:
        return None
    names = [run_file_name(**row) for row in rows.select(["optimizer", "seed"]).to_pylist()]
    return rows if names == [file.name for file in files] else None


def refuse_second_names(single: Mapping[Path, pa.Table], files: Set[Path]) -> None:
    """Raise MixedRunsError if the run of a file with an older name has another one in `files`."""
    for file in filter(_is_older_name, single):
        for row in single[file].select(["optimizer", "seed"]).to_pylist():
            other = file.with_name(run_file_name(**row))
            if other in files:
                raise MixedRunsError(f"{file} and {other} hold the same run: remove one of them")


def _is_older_name(file: Path) -> bool:
    return re.fullmatch(rf".*-[0-9a-f]{{{OLD_DIGITS}}}-seed[0-9]+\.parquet", file.name) is not None
