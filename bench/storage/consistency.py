"""Check the consistency of stored rows: redundant values must agree, and values be in range.

A valid file may still have been edited or assembled from other files. Values that a row holds in
two forms (accuracy and count, count and bits of the images, a loss and that of the last evaluation)
are compared before the row is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bench.storage.records import DIVERGED, FAILED, MAX_SECONDS, OK, STATUSES

#: Allowed years of the start of a run.
FIRST_YEAR, LAST_YEAR = 1970, 2200
#: Columns with one value for each evaluation.
EVALUATIONS = ("eval_test_accuracy", "eval_test_loss", "eval_train_loss", "eval_train_seconds")
#: Columns that are not null unless the run failed.
MEASURED = (
    *("test_correct", "test_total", "test_accuracy", "correct_bits", "train_seconds"),
    *("eval_seconds", "eval_iterations", *EVALUATIONS),
)
#: Columns that are null in the row of a failed run.
RESULTS = (*MEASURED, "test_loss", "train_loss")


def contradiction(row: Mapping[str, Any]) -> str | None:
    """Return a description of the first inconsistency in a stored row, or None."""
    return next(_contradictions(row), None)


def _contradictions(row: Mapping[str, Any]) -> Iterator[str]:
    status = row["status"]
    if status not in STATUSES:
        yield f"status must be {', '.join(STATUSES)}, got {str(status)[:40]!r}"
    if not FIRST_YEAR <= row["started_at"].year <= LAST_YEAR:
        yield f"started_at lies in the year {row['started_at'].year}"
    if status == FAILED:
        for name in RESULTS:
            if row[name] is not None:
                yield f"{name} is not null, though the status is {status}"
        return
    for name in MEASURED:
        if row[name] is None:
            yield f"{name} is null, though the status is {status}"
    if (row["diverged_at"] is None) != (status == OK):
        yield f"diverged_at is {row['diverged_at']}, though the status is {status}"
    yield from _wrong_outcome(row)
    yield from _wrong_evaluations(row)
    yield from _wrong_losses(row)
    yield from _wrong_times(row)
    yield from _wrong_rates(row)


def _wrong_outcome(row: Mapping[str, Any]) -> Iterator[str]:
    correct, total, bits = row["test_correct"], row["test_total"], row["correct_bits"]
    if not 0 <= correct <= total or total < 1:
        yield f"test_correct is {correct} of {total}"
    if not math.isclose(row["test_accuracy"], correct / total, abs_tol=1e-9):
        yield f"test_accuracy is {row['test_accuracy']}, though {correct} of {total} are correct"
    number = int.from_bytes(bits)
    spare = 8 * len(bits) - total
    if not 0 <= spare < 8 or number.bit_count() != correct or number & ((1 << spare) - 1):
        yield f"correct_bits do not have {correct} of {total} bits set"
    for name in ("train_seconds", "eval_seconds"):
        if not 0 <= row[name] <= MAX_SECONDS:
            yield f"{name} is {row[name]}"


def _wrong_evaluations(row: Mapping[str, Any]) -> Iterator[str]:
    at = row["eval_iterations"]
    for name in EVALUATIONS:
        if len(row[name]) != len(at):
            yield f"{name} has {len(row[name])} entries, eval_iterations {len(at)}"
    if not at or not _ascend(at) or at[-1] > row["iterations"]:
        yield f"eval_iterations must ascend from 1 to at most {row['iterations']}, got {at[:8]}"
    if row["status"] != DIVERGED and at[-1] != row["iterations"]:
        yield f"the last evaluation is at {at[-1]} of {row['iterations']} updates"
    if row["eval_test_accuracy"][-1] != row["test_accuracy"]:
        yield "the last of eval_test_accuracy is not test_accuracy"


def _wrong_losses(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("test_loss", "train_loss"):
        value, values = row[name], row[f"eval_{name}"]
        for loss in (value, *values):
            if loss is not None and not 0 <= loss < math.inf:
                yield f"{name} must be null or finite and at least 0, got {loss}"
        if values[-1] != value:
            yield f"the last of eval_{name} is {values[-1]}, though {name} is {value}"


def _wrong_times(row: Mapping[str, Any]) -> Iterator[str]:
    seconds = row["eval_train_seconds"]
    times = (0.0, *seconds, row["train_seconds"])
    if None in times or not all(a <= b for a, b in pairwise(times)):
        yield (
            "eval_train_seconds must not decrease and end at most at train_seconds "
            f"{row['train_seconds']}, got {seconds[-8:]}"
        )


def _ascend(at: Sequence[int]) -> bool:
    """Return whether the updates ascend from 1 or more."""
    return None not in at and all(a < b for a, b in zip([0, *at], at, strict=False))


def _wrong_rates(row: Mapping[str, Any]) -> Iterator[str]:
    at, rates = row["learning_rate_iterations"], row["learning_rates"]
    if row["schedule"] is None:
        if at is not None or rates is not None:
            yield "there are learning rates, though no schedule"
        return
    if at is None or rates is None or len(at) != len(rates):
        yield "learning_rate_iterations and learning_rates must be lists of equal length"
        return
    if not at or not _ascend(at) or at[-1] > row["eval_iterations"][-1]:
        yield f"learning_rate_iterations must ascend from 1 to the last update, got {at[:8]}"
    if not all(rate is not None and math.isfinite(rate) for rate in rates):
        yield "learning_rates must be finite"
