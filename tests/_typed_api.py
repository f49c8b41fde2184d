"""The API as somebody's code would use it: mypy --strict reads this file, and a test runs it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import torch

import bench
from bench.analysis import Comparison, SweepAnalysis


def declare() -> bench.SweepSpec:
    """Every kind of argument that :func:`bench.specify` takes."""
    spec = bench.specify(
        optimizers=["sgd", ("adam", {"lr": 0.003}), ("mine", torch.optim.SGD, {"lr": 0.1})],
        seeds=range(2),
        dataset="digits",
        network="mlp[hidden=8]",
        batch_size=50,
        iterations=20,
        name="typed",
        looks=None,
        correction="max-t",
        data_dir=None,
    )
    assert_type(spec.optimizers, tuple[bench.OptimizerSpec, ...])
    assert_type(spec.workload, bench.Workload)
    assert_type(spec.declaration, bench.Declaration)
    return spec


def compare(results: Path) -> Comparison:
    """Train, analyse, write and compare."""
    spec = declare()
    runs = bench.sweep(spec, results=results, n_jobs=1, timeout=60.0, device="cpu", backend="loky")
    analysis = bench.analyse(results / spec.name)
    assert_type(analysis, SweepAnalysis)
    bench.report.write(analysis, results / "report.html")
    assert len(bench.load_runs(results / spec.name)) == len(runs)
    return bench.analysis.compare(runs)


def mistakes() -> None:
    """What a type checker must find: an ignored error that is none would be one."""
    bench.swep  # type: ignore[attr-defined]  # noqa: B018
    bench.specify(seeds=0.5)  # type: ignore[arg-type]
