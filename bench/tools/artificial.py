"""Artificial rows of large sweeps: consistent, but no run was trained."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from bench.execution.environment import Machine, describe_machine
from bench.execution.jobs import columns_of
from bench.spec.model import RunSpec, SweepSpec
from bench.storage.records import OK, SCHEMA

#: Number of test images.
N_IMAGES = 10_000
#: Number of rows of a table.
AT_A_TIME = 1000


def artificial_rows(spec: SweepSpec, n_images: int = N_IMAGES) -> Iterator[pa.Table]:
    """Yield the rows of all runs of a sweep, in tables of at most :data:`AT_A_TIME`.

    Half of the optimizers are equally good, which is the slow case of the analysis.
    """
    rng, machine = np.random.default_rng(0), describe_machine("cpu", 1)
    difficulty = rng.random(n_images, dtype=np.float32) ** 8
    share = {
        optimizer.name: np.float32(0.3 + 0.01 * max(0.0, i - len(spec.optimizers) / 2))
        for i, optimizer in enumerate(spec.optimizers)
    }
    plan = spec.plan()
    for start in range(0, len(plan), AT_A_TIME):
        rows = []
        for run in plan[start : start + AT_A_TIME]:
            luck = rng.random(n_images, dtype=np.float32)
            correct = luck > difficulty * share[run.optimizer.name]
            rows.append(_row(run, machine, correct, rng))
        yield pa.Table.from_pylist(rows, schema=SCHEMA)


def _row(
    run: RunSpec, machine: Machine, correct: np.ndarray[Any, Any], rng: np.random.Generator
) -> dict[str, Any]:
    at = run.workload.eval_iterations
    accuracy = int(correct.sum()) / len(correct)
    losses = (1 - accuracy) * (3 + np.arange(len(at))[::-1]) + rng.random(len(at)) * 0.01
    seconds = 1e-3 * np.array(at) * (1 + 0.1 * rng.random())
    return {
        **columns_of(run, machine, datetime(2026, 1, 1, tzinfo=UTC)),
        "initial_weights_sha256": f"{run.seed:064x}",
        "data_order_sha256": f"{run.seed:064x}",
        "data_hash": "0" * 64,
        "status": OK,
        "test_correct": int(correct.sum()),
        "test_total": len(correct),
        "test_accuracy": accuracy,
        "test_loss": losses[-1],
        "train_loss": losses[-1],
        "eval_iterations": list(at),
        "eval_test_accuracy": [*(accuracy - 0.02 * rng.random(len(at) - 1)), accuracy],
        "eval_test_loss": losses,
        "eval_train_loss": losses,
        "correct_bits": np.packbits(correct).tobytes(),
        "eval_train_seconds": seconds,
        "train_seconds": seconds[-1],
        "eval_seconds": 0.05,
        "stack": 1,
    }
