"""Schema of the rows, one per run: names, Arrow types, units and descriptions of the columns.

:class:`RunRecord` holds a row as Python values. :data:`SCHEMA` is the Arrow schema, with the
description of each column in its metadata, and therefore in every parquet file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import pyarrow as pa

from bench.spec.resampling import WHOLE

#: Increased when a column changes its name, type or meaning.
SCHEMA_VERSION = 1

#: Largest duration of a run in seconds: 30 years.
MAX_SECONDS = 1e9

#: Column that :func:`bench.storage.store.load_runs` adds: the path of the file of a row.
FILE_COLUMN = "run_file"
#: Column that readers of other tables add: the number of a row in its file, from 1.
ROW_COLUMN = "run_row"

OK, DIVERGED, FAILED = "ok", "diverged", "failed"
STATUSES = (OK, DIVERGED, FAILED)

_TEXT, _INTEGER, _FLOAT = pa.string(), pa.int64(), pa.float64()
_INTEGERS, _FLOATS = pa.list_(_INTEGER), pa.list_(_FLOAT)


def _column(arrow_type: pa.DataType, description: str) -> Any:
    return field(metadata={"arrow": arrow_type, "description": description})


def _measured(arrow_type: pa.DataType, description: str) -> Any:
    """Define a column that is None if a run failed before it was measured."""
    return field(default=None, metadata={"arrow": arrow_type, "description": description})


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Row of one finished run. Values that a failed run did not measure are None."""

    run_key: str = _column(_TEXT, "SHA-256 of the run's specification, in hexadecimal")
    # the run's specification
    optimizer: str = _column(_TEXT, "the variant's name, such as adam[lr=0.003]")
    algorithm: str = _column(_TEXT, "import path of the optimizer's class")
    hyperparameters: str = _column(_TEXT, "JSON object of all hyperparameters")
    seed: int = _column(_INTEGER, "seed of the initial weights and of the data order")
    dataset: str = _column(_TEXT, "name of the dataset")
    network: str = _column(_TEXT, "name of the network")
    batch_size: int = _column(_INTEGER, "images per update")
    iterations: int = _column(_INTEGER, "updates in the budget")
    eval_every: int = _column(_INTEGER, "updates between two evaluations")
    resample_train: str = _column(
        _TEXT, "how the training set of each seed was drawn; none: all images, as in older rows"
    )
    # what proves the pairing
    initial_weights_sha256: str | None = _measured(_TEXT, "hash of the initial float32 weights")
    data_order_sha256: str | None = _measured(_TEXT, "hash of the int32 indices of all images used")
    # what it was trained on
    data_hash: str | None = _measured(
        _TEXT, "SHA-256 of the arrays of the dataset; null in older rows"
    )
    # the outcome
    status: str = _column(_TEXT, "ok, diverged (a loss was not finite) or failed (an error)")
    error: str | None = _measured(_TEXT, "what went wrong, else null")
    diverged_at: int | None = _measured(_INTEGER, "first update whose loss was not finite")
    test_correct: int | None = _measured(_INTEGER, "test images classified correctly at the end")
    test_total: int | None = _measured(_INTEGER, "test images")
    test_accuracy: float | None = _measured(_FLOAT, "test_correct / test_total, a fraction")
    test_loss: float | None = _measured(_FLOAT, "mean cross entropy on the test images, nats")
    train_loss: float | None = _measured(
        _FLOAT,
        "mean cross entropy over the updates since the evaluation before the last, nats",
    )
    eval_iterations: list[int] | None = _measured(_INTEGERS, "updates done at each evaluation")
    eval_test_accuracy: list[float] | None = _measured(_FLOATS, "fraction, per evaluation")
    eval_test_loss: list[float | None] | None = _measured(_FLOATS, "nats, per evaluation")
    eval_train_loss: list[float | None] | None = _measured(
        _FLOATS, "mean over the updates since the previous evaluation, nats"
    )
    correct_bits: bytes | None = _measured(
        pa.binary(),
        "one bit per test image, first image in the highest bit: 1 = correct at the end",
    )
    # the learning rate, where a schedule changes it
    schedule: str | None = _measured(
        _TEXT, "how the learning rate changes, with every setting; null: it does not"
    )
    learning_rate_iterations: list[int] | None = _measured(
        _INTEGERS, "some updates, counted from 1; null without a schedule"
    )
    learning_rates: list[float] | None = _measured(_FLOATS, "the learning rate of each of them")
    # what it cost, and where it ran
    eval_train_seconds: list[float] | None = _measured(
        _FLOATS, "seconds of training before each evaluation"
    )
    train_seconds: float | None = _measured(
        _FLOAT, "wall time of training, evaluations left out; of a stack, the run's share"
    )
    eval_seconds: float | None = _measured(_FLOAT, "wall time of all evaluations")
    started_at: datetime = _column(pa.timestamp("us", tz="UTC"), "when the run started")
    device: str = _column(_TEXT, "cpu, cuda or mps")
    device_name: str = _column(_TEXT, "model of the processor or GPU")
    tf32: bool | None = _measured(
        pa.bool_(), "whether factors of products were rounded to TF32; null: not on a CUDA GPU"
    )
    stack: int | None = _measured(
        _INTEGER, "runs that were trained side by side as one stack; null in older rows"
    )
    cores: int = _column(_INTEGER, "processor cores this sweep was allowed to use")
    n_jobs: int = _column(_INTEGER, "workers that ran side by side")
    torch_version: str = _column(_TEXT, "version of PyTorch")
    numpy_version: str = _column(_TEXT, "version of NumPy")
    python_version: str = _column(_TEXT, "version of Python")
    git_commit: str | None = _measured(_TEXT, "commit of this program, with -dirty where changed")
    schema_version: int = _column(_INTEGER, "version of this table's layout")


#: Columns that were added later, with their value in older rows.
LATER_COLUMNS: Mapping[str, str | None] = {
    **dict.fromkeys(("schedule", "learning_rate_iterations", "learning_rates")),
    **dict.fromkeys(("tf32", "stack", "data_hash")),
    "resample_train": WHOLE,
}

SCHEMA = pa.schema(
    [
        pa.field(
            f.name,
            f.metadata["arrow"],
            nullable="None" in str(f.type),
            metadata={"description": f.metadata["description"]},
        )
        for f in fields(RunRecord)
    ]
)
#: Columns that a table of stored runs has.
REQUIRED_COLUMNS = frozenset(SCHEMA.names) - set(LATER_COLUMNS)
