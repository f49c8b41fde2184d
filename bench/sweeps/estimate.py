"""Estimate how long the missing runs of a sweep take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pyarrow as pa

from bench.datasets import cache as datasets
from bench.execution.resources import Placement, lay_out
from bench.spec.model import SweepSpec
from bench.spec.options import ExecutionOptions
from bench.sweeps.resume import SweepStatus


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimated duration of the missing runs in seconds, and their placement.

    `evaluation` is the estimated duration of one evaluation of a run; None without missing runs.
    """

    seconds: float
    placement: Placement
    evaluation: float | None = None


def estimate(
    spec: SweepSpec, status: SweepStatus, execution: ExecutionOptions, data_dir: Path | None
) -> Estimate:
    """Estimate the duration of the missing runs from stored runs, or else from short trials."""
    if not status.missing:
        return Estimate(seconds=0.0, placement=Placement(n_jobs=1, stack=1))
    from bench.execution.train_job import estimate_seconds, load_data, seconds_per_evaluation

    seconds = _stored_seconds(status.done)
    arrays = datasets.prepare(spec.workload.dataset, data_dir)
    placement = lay_out(status.missing, execution, arrays)
    data = load_data(arrays, execution.devices[0])
    for optimizer in (o for o in spec.optimizers if o.name not in seconds):
        workload = spec.workload_of(optimizer)
        seconds.update(estimate_seconds(workload, [optimizer], data, placement.stack))
    total = sum(seconds[run.optimizer.name] for run in status.missing)
    evaluation = _stored_evaluation(status.done)
    if evaluation is None:
        optimizer = spec.optimizers[0]
        evaluation = seconds_per_evaluation(spec.workload_of(optimizer), optimizer, data)
    return Estimate(seconds=total / placement.n_devices, placement=placement, evaluation=evaluation)


def _stored_evaluation(done: pa.Table) -> float | None:
    """Median seconds of an evaluation of the stored runs; None without one."""
    rows = done.select(["eval_seconds", "eval_iterations"]).to_pylist()
    found = [r["eval_seconds"] / len(r["eval_iterations"]) for r in rows if r["eval_iterations"]]
    return median(found) if found else None


def _stored_seconds(done: pa.Table) -> dict[str, float]:
    """Median seconds of the stored runs of each optimizer."""
    by_optimizer: dict[str, list[float]] = {}
    for run in done.select(["optimizer", "train_seconds", "eval_seconds"]).to_pylist():
        seconds = run["train_seconds"] + run["eval_seconds"]
        by_optimizer.setdefault(run["optimizer"], []).append(seconds)
    return {name: median(values) for name, values in by_optimizer.items()}
