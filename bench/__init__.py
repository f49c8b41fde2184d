"""Compare PyTorch optimizers over many seeds: train, test, report.

Data flow::

    command line -> SweepSpec -> plan of RunSpecs -> runner -> train -> RunRecord -> store (parquet)
                                                                                          |
                                                        HTML, terminal <- report <- analysis

:func:`specify` declares a sweep and :func:`sweep` trains its missing runs. :func:`load_runs` and
:func:`analyse` read stored runs, :mod:`bench.analysis` compares them and :mod:`bench.report`
presents the results. :func:`tune` compares optimizers that had equal tuning. Each name is imported
when it is first used.

>>> import bench
>>> from tempfile import TemporaryDirectory
>>> spec = bench.specify(optimizers="sgd,adam[lr=0.003]", seeds=3, iterations=20)
>>> with TemporaryDirectory() as results:
...     runs = bench.sweep(spec, results=results, n_jobs=1)
...     bench.report.write(bench.analyse(f"{results}/{spec.name}"), f"{results}/report.html")
>>> bench.analysis.compare(runs).pairs[0].verdict
'inconclusive'
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "Declaration",
    "OptimizerSpec",
    "SweepSpec",
    "Workload",
    "__version__",
    "analyse",
    "analysis",
    "load_runs",
    "load_tuning",
    "merge",
    "report",
    "specify",
    "sweep",
    "tune",
]

if TYPE_CHECKING:
    from bench import analysis, report
    from bench.spec.model import Declaration, OptimizerSpec, SweepSpec, Workload
    from bench.storage.store import load_runs
    from bench.sweeps.load import analyse
    from bench.sweeps.merge import merge
    from bench.sweeps.run import sweep
    from bench.sweeps.specify import specify
    from bench.sweeps.tune import tune
    from bench.sweeps.tuned import load_tuning
else:  # hidden from type checkers, which would accept any name with a module __getattr__
    _MODULES = {
        **dict.fromkeys(
            ("Declaration", "OptimizerSpec", "SweepSpec", "Workload"), "bench.spec.model"
        ),
        "load_runs": "bench.storage.store",
        "analyse": "bench.sweeps.load",
        "specify": "bench.sweeps.specify",
        "load_tuning": "bench.sweeps.tuned",
        "merge": "bench.sweeps.merge",
        "sweep": "bench.sweeps.run",
        "tune": "bench.sweeps.tune",
    }

    def __getattr__(name):
        """Import the module of a public name at first use: importing torch takes a second."""
        if name in ("analysis", "report"):
            return import_module(f"bench.{name}")
        if name not in _MODULES:
            raise AttributeError(f"module 'bench' has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
