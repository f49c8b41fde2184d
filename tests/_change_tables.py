"""Pairs of sweeps made by hand, for tests of their comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from _tables import long_table

TOTAL = 10_000
Counts = Mapping[str, Sequence[float | None]]


def sweep_of(counts: Counts, **more: Any) -> pd.DataFrame:
    """A sweep's rows from the counts of correct test images, one for each seed from 0 on.

    A seed fixes the same weights and order in every such sweep. `more` are further columns, or
    other ones in place of these.
    """
    columns: dict[str, Any] = {
        "status": "ok",
        "test_loss": lambda t: 1 - t["test_accuracy"],
        "train_seconds": 2.0,
        "initial_weights_sha256": lambda t: "weights " + t["seed"].astype(str),
        "data_order_sha256": lambda t: "order " + t["seed"].astype(str),
        "algorithm": lambda t: "torch.optim." + t["optimizer"],
        "hyperparameters": '{"lr": 0.1}',
        "dataset": "mnist",
        "network": "mlp",
        "batch_size": 100,
        "iterations": 3000,
    }
    return long_table(counts, total=TOTAL, **{**columns, **more})


def noisy(mean: float, n: int, seed: int, spread: float = 15.0) -> list[int]:
    rng = np.random.default_rng([seed, n])
    return np.rint(rng.normal(mean, spread, n)).astype(int).tolist()


N = 20
BASE = noisy(9700, N, 0)


def shifted(mean: float, seed: int, spread: float) -> list[int]:
    return (np.array(BASE) + noisy(mean, N, seed, spread)).tolist()


#: What BASE becomes, by the verdict on it.
AFTER = {
    "better": shifted(60, 1, 15),
    "worse": shifted(-60, 1, 15),
    "equivalent": shifted(0, 5, 15),
    "inconclusive": shifted(15, 3, 80),
    "identical": BASE,
}
