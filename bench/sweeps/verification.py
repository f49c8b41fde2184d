"""Verify that the arrays of a dataset did not change while runs were trained on them.

Workers map the files of the arrays, so a change of a file changes what they train on. Which runs it
affected is unknown. The hash of the files is therefore compared when training ends, and all runs
that the command has trained are set aside if it differs. A file in the directory of the sweep
marks a training that has not ended: the next command does the same after a command that was killed.
The file stays until the storage of the directory, if it has one, has what was set aside: otherwise
the next command would fetch the rows again.

A change that is undone before the end is not detected, unless other files have replaced those that
were changed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.datasets.cache import CachedDataset
from bench.datasets.content import OpenArrays
from bench.errors import BenchError, DataError, StoreError
from bench.storage.files import require_regular, write_stored
from bench.storage.store import Damage, Store
from bench.words import count


@dataclass(frozen=True, kw_only=True)
class UnverifiedTraining:
    """Training of an earlier command whose arrays have changed since it began."""

    since: datetime
    reason: str


@contextmanager
def unchanged_arrays(
    dataset: CachedDataset, store: Store, flush: Callable[[], None]
) -> Iterator[None]:
    """Set the rows of the block aside if the arrays of the dataset have changed at its end.

    If the block is left with an error, this is a warning and not an error of its own. `flush` waits
    until the storage of the directory has all files.

    Raises
    ------
    DataError
        If the arrays have changed.
    StoreError
        If a file cannot be written or moved, or the storage does not take all files.
    """
    since = datetime.now(UTC)
    marker = {
        "arrays": str(dataset.directory.absolute()),
        "data_hash": dataset.content_hash,
        "since": since.isoformat(),
    }
    with OpenArrays(dataset.directory) as files:
        write_stored(json.dumps(marker).encode(), store.training_file)
        try:
            yield
        except BaseException:
            try:
                message = _verify(files, dataset, since, store, flush)
            except BenchError as error:
                message = str(error)
            if message:
                warnings.warn(message, stacklevel=2)
            raise
        message = _verify(files, dataset, since, store, flush)
    if message:
        raise DataError(message)


def _verify(
    files: OpenArrays,
    dataset: CachedDataset,
    since: datetime,
    store: Store,
    flush: Callable[[], None],
) -> str | None:
    """Set the rows since then aside if the arrays have changed; return a message about it."""
    found = files.changed_hash(dataset.content_hash)
    if found is None:
        with suppress(OSError):  # if it stays, the next command verifies again
            store.training_file.unlink(missing_ok=True)
        return None
    reason = _reason(dataset.directory, dataset.content_hash, found)
    moved = _set_aside(UnverifiedTraining(since=since, reason=reason), store)
    message = (
        f"{reason}: {count(len(moved), 'run')} of this command moved to "
        f"{store.quarantine_directory}; give the same command again to train them again"
    )
    try:
        flush()
    except StoreError as error:
        raise StoreError(f"{message} ({error})") from error
    with suppress(OSError):
        store.training_file.unlink(missing_ok=True)
    return message


def _set_aside(training: UnverifiedTraining, store: Store) -> tuple[Damage, ...]:
    """Move the rows of a training; note it before, because its arrays may be repaired soon."""
    marker = {"since": training.since.isoformat(), "reason": training.reason}
    write_stored(json.dumps(marker).encode(), store.training_file)
    return store.set_aside_since(training.since, training.reason)


def find_unverified(store: Store) -> UnverifiedTraining | None:
    """Return the training of an earlier command whose arrays have changed since it began.

    Call it before the arrays are repaired. Arrays that were deleted have not changed.
    """
    try:
        require_regular(store.training_file)
        marker = json.loads(store.training_file.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(marker["since"]).astimezone(UTC)
        if "reason" in marker:  # the storage did not take what was set aside
            return UnverifiedTraining(since=since, reason=str(marker["reason"]))
        arrays, expected = Path(marker["arrays"]), str(marker["data_hash"])
        with OpenArrays(arrays) as files:
            found = files.changed_hash(expected)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if found is None:
        return None
    return UnverifiedTraining(since=since, reason=_reason(arrays, expected, found))


def set_unverified_aside(
    training: UnverifiedTraining | None, store: Store, flush: Callable[[], None]
) -> tuple[Damage, ...]:
    """Move the rows of an earlier command, and remove its mark; the directory must be locked.

    Raise StoreError if a file cannot be moved, or the storage does not take it (`flush`).
    """
    if not store.training_file.exists():  # the command was still running, and has ended
        return ()
    moved: tuple[Damage, ...] = ()
    if training is not None:
        moved = _set_aside(training, store)
        flush()
    store.training_file.unlink(missing_ok=True)
    return moved


def _reason(arrays: Path, expected: str, found: str) -> str:
    return (
        f"the arrays in {arrays} changed during training: their SHA-256 was {expected}, is {found}"
    )
