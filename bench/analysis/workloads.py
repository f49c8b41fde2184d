"""One value for each optimizer on each workload: what a comparison over workloads rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from bench.analysis.table import pair_up
from bench.errors import TableError
from bench.storage.records import DIVERGED, OK


def means_over_seeds(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The mean test accuracy of each optimizer on each dataset.

    Seeds are no further evidence on how an optimizer fares on other datasets: they say how well its
    mean on this one is known. So a comparison over datasets has one value for each (dataset,
    optimizer), and the dataset is its block (Demsar 2006, JMLR 7, section 3.2).

    >>> runs = pd.DataFrame({"optimizer": ["sgd", "adam"] * 2, "seed": [0, 0, 1, 1],
    ...                      "test_accuracy": [0.95, 0.97, 0.96, 0.98]})
    >>> means_over_seeds({"mnist": runs})[["optimizer", "test_accuracy", "n_seeds"]].values.tolist()
    [['adam', 0.975, 2], ['sgd', 0.955, 2]]

    Parameters
    ----------
    tables
        The runs on each dataset, by its name: as :func:`bench.analysis.compare` takes them.

    Returns
    -------
    pandas.DataFrame
        Columns `dataset`, `optimizer`, `test_accuracy` (a fraction, the mean), `status` and
        `n_seeds`: the seeds on which no optimizer's run failed, since means over other seeds would
        not be paired. Where a run diverged before anything was measured the status is ``diverged``
        and there is no mean.

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
            # no mean where a run diverged before anything was measured: it ranks worst
            is_known = math.isfinite(mean)
            value, status = (float(mean), OK) if is_known else (None, DIVERGED)
            rows.append((dataset, optimizer, value, status, len(complete)))
    columns = ["dataset", "optimizer", "test_accuracy", "status", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)
