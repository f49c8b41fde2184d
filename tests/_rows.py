"""One row made by hand: plausible, and true to itself."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from bench.spec.model import OptimizerSpec, RunSpec, Workload
from bench.storage.records import OK, RunRecord

SGD = OptimizerSpec(name="sgd", algorithm="torch.optim.SGD", hyperparameters=(("lr", 0.1),))
RUN = RunSpec(workload=Workload(), optimizer=SGD, seed=7)


def outcome(correct: int) -> dict[str, object]:
    """The columns of a run that got so many images right, agreeing with each other."""
    accuracy = correct / 10_000
    return {
        "test_correct": correct,
        "test_total": 10_000,
        "test_accuracy": accuracy,
        "train_loss": 0.25,
        "eval_iterations": [500, 3000],
        "eval_test_accuracy": [0.9, accuracy],
        "eval_test_loss": [0.5, None],
        "eval_train_loss": [None, 0.25],
        "eval_train_seconds": [0.5, 2.5],
        "correct_bits": np.packbits(np.arange(10_000) < correct).tobytes(),
        "train_seconds": 2.5,
        "eval_seconds": 0.5,
    }


def record(run: RunSpec = RUN, **changes: object) -> RunRecord:
    columns: dict[str, object] = {
        **vars(run.workload),
        "run_key": run.key,
        "optimizer": run.optimizer.name,
        "algorithm": run.optimizer.algorithm,
        "hyperparameters": '{"lr":0.1}',
        "seed": run.seed,
        "data_hash": "0" * 64,
        "status": OK,
        **outcome(9578),
        "started_at": datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC),
        "device": "cpu",
        "device_name": "a processor",
        "cores": 2,
        "n_jobs": 2,
        "torch_version": "2.13.0",
        "numpy_version": "2.0",
        "python_version": "3.11",
        "schema_version": 1,
        **changes,
    }
    return RunRecord(**columns)  # type: ignore[arg-type]
