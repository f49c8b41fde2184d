"""Verify that the arrays of a dataset did not change while runs were trained on them.

Workers map the files of the arrays, so a change of a file changes what they train on. Which runs it
affected is unknown. The hash of the files is therefore compared when training ends, and all runs
that the command has trained are set aside if it differs. A file in the directory of the sweep
marks a training that has not ended: the next command does the same after a command that was killed.

A change that is undone before the end is not detected, unless other files have replaced those that
were changed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.datasets.cache import CachedDataset
from bench.datasets.content import OpenArrays
from bench.errors import DataError
from bench.storage.files import require_regular, write_stored
from bench.storage.store import Damage, Store
from bench.words import count


@dataclass(frozen=True, kw_only=True)
class UnverifiedTraining:
    """Training of a killed command whose arrays have changed since it began."""

    since: datetime
    reason: str


@contextmanager
def unchanged_arrays(dataset: CachedDataset, store: Store) -> Iterator[None]:
    """Set the rows of the block aside if the arrays of the dataset have changed at its end.

    If the block is left with an error, this is a warning and not an error of its own.

    Raises
    ------
    DataError
        If the arrays have changed.
    StoreError
        If a file cannot be written or moved.
    """
    since, is_complete = datetime.now(UTC), False
    marker = {
        "arrays": str(dataset.directory.absolute()),
        "data_hash": dataset.content_hash,
        "since": since.isoformat(),
    }
    with OpenArrays(dataset.directory) as files:
        write_stored(json.dumps(marker).encode(), store.training_file)
        try:
            yield
            is_complete = True
        finally:
            found = files.changed_hash(dataset.content_hash)
            message = None if found is None else _set_aside(dataset, found, since, store)
            with suppress(OSError):  # if it stays, the next command verifies again
                store.training_file.unlink(missing_ok=True)
            if message and not is_complete:
                warnings.warn(message, stacklevel=2)
    if message:
        raise DataError(message)


def _set_aside(dataset: CachedDataset, found: str, since: datetime, store: Store) -> str:
    reason = _reason(dataset.directory, dataset.content_hash, found)
    moved = store.set_aside_since(since, reason)
    return (
        f"{reason}: {count(len(moved), 'run')} of this command moved to "
        f"{store.quarantine_directory}; give the same command again to train them again"
    )


def find_unverified(store: Store) -> UnverifiedTraining | None:
    """Return the training of a killed command whose arrays have changed since it began.

    Call it before the arrays are repaired. Arrays that were deleted have not changed.
    """
    try:
        require_regular(store.training_file)
        marker = json.loads(store.training_file.read_text(encoding="utf-8"))
        arrays, expected = Path(marker["arrays"]), str(marker["data_hash"])
        since = datetime.fromisoformat(marker["since"]).astimezone(UTC)
        with OpenArrays(arrays) as files:
            found = files.changed_hash(expected)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if found is None:
        return None
    return UnverifiedTraining(since=since, reason=_reason(arrays, expected, found))


def set_unverified_aside(training: UnverifiedTraining | None, store: Store) -> tuple[Damage, ...]:
    """Move the rows of a killed command, and remove its mark; the directory must be locked."""
    if not store.training_file.exists():  # the command was still running, and has ended
        return ()
    moved = store.set_aside_since(training.since, training.reason) if training else ()
    store.training_file.unlink(missing_ok=True)
    return moved


def _reason(arrays: Path, expected: str, found: str) -> str:
    return (
        f"the arrays in {arrays} changed during training: their SHA-256 was {expected}, is {found}"
    )
