"""Check all rows of a table at once, column by column.

A table is accepted only if the checks of each row (:mod:`bench.storage.consistency`) would accept
all of its rows. What is not accepted here may still be sound: the checks of each row decide, and
name the first row that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.errors import SpecError
from bench.spec.model import Workload, run_keys
from bench.storage.compatibility import run_spec_of
from bench.storage.consistency import EVALUATIONS, FIRST_YEAR, LAST_YEAR, MEASURED, RESULTS
from bench.storage.records import DIVERGED, FAILED, MAX_SECONDS, OK

#: Rows that are checked at a time.
_AT_A_TIME = 8192
#: Columns of the specification of a run, except its seed.
_SETTINGS = ("optimizer", "algorithm", "hyperparameters", "schedule", *vars(Workload()))
_FIRST = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_LAST = datetime(LAST_YEAR, 12, 31, tzinfo=UTC)
_Numbers = NDArray[Any]


def have_own_keys(rows: pa.Table) -> bool:
    """Return whether no two rows have the same key, and each key is the hash of its settings."""
    keys = rows["run_key"].to_pylist()
    if rows["seed"].null_count or len(set(keys)) < len(keys):
        return False
    settings = rows.select([*_SETTINGS, "seed"])
    groups, first = _groups(settings)
    try:
        runs = [run_spec_of(row) for row in settings.take(pa.array(first)).to_pylist()]
    except SpecError:
        return False
    seeds, found = _array(rows["seed"]), np.array(keys, dtype=object)
    return all(
        run_keys(run.workload, run.optimizer, seeds[groups == group].tolist())
        == found[groups == group].tolist()
        for group, run in enumerate(runs)
    )


def _groups(rows: pa.Table) -> tuple[_Numbers, _Numbers]:
    """Return a number for each row, the same for equal settings, and the first row of each."""
    groups, first = np.zeros(len(rows), np.int64), np.zeros(1, np.int64)
    for name in _SETTINGS:
        codes = _whole(rows[name]).dictionary_encode(null_encoding="encode")
        if len(codes.dictionary) > 1:
            groups = groups * len(codes.dictionary) + codes.indices.to_numpy(zero_copy_only=False)
            _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
    return groups, first


def are_consistent(rows: pa.Table) -> bool:
    """Return True only if :func:`bench.storage.consistency.contradiction` finds nothing."""
    starts = range(0, len(rows), _AT_A_TIME)
    return all(_are_consistent(rows.slice(start, _AT_A_TIME)) for start in starts)


def _are_consistent(rows: pa.Table) -> bool:
    status, started = rows["status"], pc.min_max(rows["started_at"]).as_py()
    if status.null_count or rows["started_at"].null_count:
        return False
    if not _FIRST <= started["min"] <= started["max"] <= _LAST:
        return False
    is_failed = pc.equal(status, FAILED)
    failed, done = rows.filter(is_failed), rows.filter(pc.invert(is_failed))
    if any(failed[name].null_count < len(failed) for name in RESULTS):
        return False
    if not len(done):
        return True
    is_ok = _array(pc.equal(done["status"], OK))
    is_known = np.all(is_ok | _array(pc.equal(done["status"], DIVERGED)))
    if not is_known or any(done[name].null_count for name in MEASURED):
        return False
    return bool(
        np.array_equal(_array(pc.is_null(done["diverged_at"])), is_ok)
        and _have_outcomes(done)
        and _have_evaluations(done, is_ok)
        and all(_has_losses(done, name) for name in ("test_loss", "train_loss"))
        and _have_times(done)
        and _have_rates(done)
    )


def _have_outcomes(done: pa.Table) -> bool:
    correct, total = _array(done["test_correct"]), _array(done["test_total"])
    if not np.all((total >= 1) & (correct >= 0) & (correct <= total)):
        return False
    is_close = np.abs(_array(done["test_accuracy"]) - correct / total) <= 1e-9
    seconds = (_array(done[name]) for name in ("train_seconds", "eval_seconds"))
    are_times = all(np.all((times >= 0) & (times <= MAX_SECONDS)) for times in seconds)
    return bool(np.all(is_close)) and are_times and _have_bits(done, correct, total)


def _have_bits(done: pa.Table, correct: _Numbers, total: _Numbers) -> bool:
    column = _whole(done["correct_bits"])
    lengths = _array(pc.binary_length(column)).astype(np.int64)
    spare, length = 8 * lengths - total, int(lengths[0])
    if not np.all((lengths == length) & (spare >= 0) & (spare < 8)):
        return False
    _, offsets, content = column.buffers()
    start = np.frombuffer(offsets, np.int32)[column.offset]
    octets = np.frombuffer(content, np.uint8, length * len(column), start)
    padded = np.zeros((len(column), -(-length // 8) * 8), np.uint8)
    padded[:, :length] = octets.reshape(len(column), length)
    found = np.bitwise_count(padded.view(np.uint64)).sum(axis=1, dtype=np.int64)
    is_padded = padded[:, length - 1] & ((1 << spare) - 1) == 0
    return bool(np.array_equal(found, correct) and np.all(is_padded))


def _have_evaluations(done: pa.Table, is_ok: _Numbers) -> bool:
    at, budget = _Lists.of(done["eval_iterations"]), _array(done["iterations"])
    lengths = (_array(pc.list_value_length(done[name])) for name in EVALUATIONS)
    if not all(np.array_equal(of, at.lengths) for of in lengths) or not at.ascend():
        return False
    accuracies = _Lists.of(done["eval_test_accuracy"])
    return bool(
        np.all((at.last() == budget) | (~is_ok & (at.last() < budget)))
        and np.array_equal(accuracies.last(), _array(done["test_accuracy"]))
    )


def _has_losses(done: pa.Table, name: str) -> bool:
    values, lists = done[name], _Lists.of(done[f"eval_{name}"])
    known, numbers = ~_array(pc.is_null(values)), _array(values)
    same_nulls = np.array_equal(known, ~lists.is_null[lists.ends - 1])
    losses = np.concatenate([numbers[known], lists.values[~lists.is_null]])
    return bool(
        same_nulls
        and np.all((losses >= 0) & (losses < np.inf))
        and np.array_equal(numbers[known], lists.last()[known])
    )


def _have_times(done: pa.Table) -> bool:
    seconds = _Lists.of(done["eval_train_seconds"])
    return bool(
        not seconds.is_null.any()
        and np.all(seconds.previous() <= seconds.values)
        and np.all(seconds.last() <= _array(done["train_seconds"]))
    )


def _have_rates(done: pa.Table) -> bool:
    names = ("learning_rate_iterations", "learning_rates")
    has_none = pc.is_null(done["schedule"])
    without, scheduled = done.filter(has_none), done.filter(pc.invert(has_none))
    if any(without[name].null_count < len(without) for name in names):
        return False
    if not len(scheduled):
        return True
    if any(scheduled[name].null_count for name in names):
        return False
    at, rates = (_Lists.of(scheduled[name]) for name in names)
    last = _Lists.of(scheduled["eval_iterations"]).last()
    return bool(
        np.array_equal(at.lengths, rates.lengths)
        and at.ascend()
        and np.all(at.last() <= last)
        and np.all(np.isfinite(rates.values))
    )


@dataclass(frozen=True, kw_only=True)
class _Lists:
    """Lists of numbers as one array; no list is null.

    Attributes
    ----------
    values, is_null
        All numbers, NaN where they are null, and where they are.
    lengths, ends
        The length of each list, and where it ends in `values`.
    """

    values: _Numbers
    is_null: _Numbers
    lengths: _Numbers
    ends: _Numbers

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> _Lists:
        lists = _whole(column)
        flat, lengths = pc.list_flatten(lists), _array(pc.list_value_length(lists))
        return cls(
            values=_array(flat),
            is_null=_array(pc.is_null(flat)),
            lengths=lengths,
            ends=np.cumsum(lengths, dtype=np.int64),
        )

    def last(self) -> _Numbers:
        """The last number of each list, none of which is empty."""
        return np.asarray(self.values[self.ends - 1])

    def previous(self) -> _Numbers:
        """The number before each; 0 before the first of a list."""
        shifted = np.concatenate([self.values[:1], self.values[:-1]])
        shifted[self.ends - self.lengths] = 0
        return shifted

    def ascend(self) -> bool:
        """Return whether each list has whole numbers that ascend from 1 or more."""
        is_filled = bool(np.all(self.lengths >= 1)) and not self.is_null.any()
        return is_filled and bool(np.all(self.previous() < self.values))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _array(column: pa.Array | pa.ChunkedArray) -> _Numbers:
    """Convert a column to numpy; null becomes NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = _whole(column)
    found: _Numbers = column.to_numpy(zero_copy_only=False)
    return found
