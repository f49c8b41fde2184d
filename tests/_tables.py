"""Tables of runs made by hand, for tests of the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.table import PairedTable


def long_table(
    columns: Mapping[str, Sequence[float | None]], *, total: int | None = None, **more: Any
) -> pd.DataFrame:
    """A long table from one list of scores per optimizer, one for each seed from 0 on.

    Scores are accuracies, or counts of `total` test images. None is a run that is missing, NaN one
    that has no score. `more` are further columns.
    """
    score = "test_accuracy" if total is None else "test_correct"
    rows = [
        {"optimizer": name, "seed": seed, score: value}
        for name, column in columns.items()
        for seed, value in enumerate(column)
        if value is not None
    ]
    table = pd.DataFrame(rows)
    if total is not None:
        table = table.assign(test_total=total, test_accuracy=table["test_correct"] / total)
    return table.assign(**more)


def complete_table(values: np.ndarray) -> PairedTable:
    """Scores of shape (n, k) where no run is missing; pairing a long table up takes far longer."""
    no_run = np.zeros(values.shape, dtype=bool)
    return PairedTable(
        treatments=tuple(f"o{i}" for i in range(values.shape[1])),
        blocks=tuple(range(len(values))),
        values=values,
        cells=np.arange(values.size).reshape(values.shape),
        diverged=no_run,
        failed=no_run,
        total=None,
        direction="higher",
    )
