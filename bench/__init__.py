"""Compare PyTorch optimizers over many seeds: train, test, report.

The direction of the data::

    command line -> SweepSpec -> plan of RunSpecs -> runner -> train -> RunRecord -> store (parquet)
                                                                                          |
                                                        HTML, terminal <- report <- analysis

From Python: :func:`specify` declares a sweep, :func:`sweep` trains what is missing of it,
:func:`load_runs` and :func:`analyse` read what is stored, :mod:`bench.analysis` compares and
:mod:`bench.report` shows. Each is imported when it is first used.

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
    "report",
    "specify",
    "sweep",
]

if TYPE_CHECKING:
    from bench import analysis, report
    from bench.spec.model import Declaration, OptimizerSpec, SweepSpec, Workload
    from bench.storage.store import load_runs
    from bench.sweeps.load import analyse
    from bench.sweeps.run import sweep
    from bench.sweeps.specify import specify
else:  # a type checker that saw this function would believe in every name
    _HOMES = {
        **dict.fromkeys(
            ("Declaration", "OptimizerSpec", "SweepSpec", "Workload"), "bench.spec.model"
        ),
        "load_runs": "bench.storage.store",
        "analyse": "bench.sweeps.load",
        "specify": "bench.sweeps.specify",
        "sweep": "bench.sweeps.run",
    }

    def __getattr__(name):
        """A public name, whose module is imported now: torch alone takes a second."""
        if name in ("analysis", "report"):
            return import_module(f"bench.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'bench' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
