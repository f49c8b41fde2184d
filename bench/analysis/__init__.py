"""Statistical comparison of optimizers from a table of runs.

Runs with the same seed are paired: they have the same initial weights and the same order of the
data. The unit of every test is therefore the seed. The procedure
(:mod:`bench.analysis.comparison`) is fixed before the data are seen.

>>> import pandas as pd
>>> runs = pd.DataFrame({
...     "optimizer": ["adam", "sgd"] * 6,
...     "seed": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
...     "test_accuracy": [.972, .958, .971, .957, .974, .956, .970, .960, .973, .957, .975, .958],
... })
>>> comparison = compare(runs)
>>> [t.name for t in comparison.treatments]
['adam', 'sgd']
>>> pair, = comparison.pairs
>>> f"{pair.a} is {pair.verdict} than {pair.b} by {pair.mean_difference:.4f}, {pair.pvalue_holm=}"
'adam is better than sgd by 0.0148, pair.pvalue_holm=0.03125'

Any long table can be compared: give the names of its columns, and which values are better.

>>> compare(runs.rename(columns={"test_accuracy": "score"}), value="score", direction="lower",
...         margin=0.01).treatments[0].name
'sgd'

:func:`compare_sweeps` compares two sweeps, optimizer by optimizer. The classes of all parts of a
result are in :mod:`bench.analysis.results`.

This package reads no files, draws no figures, and imports neither torch nor matplotlib.
"""

from bench.analysis.change.compare import compare_sweeps
from bench.analysis.comparison import compare
from bench.analysis.export import to_dict, to_json
from bench.analysis.results import (
    Change,
    Comparison,
    Look,
    Pair,
    SweepAnalysis,
    SweepChange,
    Treatment,
)
from bench.analysis.stats.bootstrap import bca_interval
from bench.analysis.stats.omnibus import critical_difference
from bench.analysis.stats.sequential import look_levels
from bench.analysis.sweep import analyse_sweep, describe_runs
from bench.analysis.workloads import means_over_seeds

__all__ = [
    "Change",
    "Comparison",
    "Look",
    "Pair",
    "SweepAnalysis",
    "SweepChange",
    "Treatment",
    "analyse_sweep",
    "bca_interval",
    "compare",
    "compare_sweeps",
    "critical_difference",
    "describe_runs",
    "look_levels",
    "means_over_seeds",
    "to_dict",
    "to_json",
]
