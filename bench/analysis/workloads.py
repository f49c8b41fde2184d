"""Mean result of each optimizer on each dataset, for a comparison over datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from bench.analysis.table import pair_up
from bench.errors import TableError
from bench.storage.records import DIVERGED, OK


def means_over_seeds(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Compute the mean test accuracy of each optimizer on each dataset.

    More seeds make the mean on a dataset more precise, but give no evidence about other datasets.
    A comparison over datasets therefore has one value for each (dataset, optimizer), and the
    dataset is the block (Demsar 2006, JMLR 7, section 3.2).

    >>> runs = pd.DataFrame({"optimizer": ["sgd", "adam"] * 2, "seed": [0, 0, 1, 1],
    ...                      "test_accuracy": [0.95, 0.97, 0.96, 0.98]})
    >>> means_over_seeds({"mnist": runs})[["optimizer", "test_accuracy", "n_seeds"]].values.tolist()
    [['adam', 0.975, 2], ['sgd', 0.955, 2]]

    Parameters
    ----------
    tables
        Runs by the name of the dataset, each a table for :func:`bench.analysis.compare`.

    Returns
    -------
    pandas.DataFrame
        Columns `dataset`, `optimizer`, `test_accuracy` (mean, a fraction), `status` and `n_seeds`.
        The mean is over the `n_seeds` seeds with a result of every optimizer, so that means are
        paired. Where a run diverged before its first measurement, the status is ``diverged`` and
        there is no mean.

    Raises
    ------
    TableError
        If a table cannot be compared, or no seed of a dataset has a run of every optimizer.
    """
    rows = []
    for dataset, table in tables.items():
        paired = pair_up(table)
        complete = paired.complete
        if not len(complete):
            raise TableError(f"on {dataset} there is no seed with a run of every optimizer")
        for optimizer, mean in zip(paired.treatments, complete.mean(axis=0), strict=True):
            # the mean is infinite where a run diverged before its first measurement
            is_known = math.isfinite(mean)
            value, status = (float(mean), OK) if is_known else (None, DIVERGED)
            rows.append((dataset, optimizer, value, status, len(complete)))
    columns = ["dataset", "optimizer", "test_accuracy", "status", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)
