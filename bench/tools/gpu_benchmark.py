"""Benchmark of stacks of runs on a device, for `optimizer-bench benchmark --device cuda`.

Whole sweeps include the start of their worker processes. Everything else is measured in this
process, with torch's kernels loaded and the data on the device. Ratios are of times that are
measured alternately, and are medians of several repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch

from bench.datasets.cache import prepare
from bench.execution.devices import CUDA, exact_numbers, kind_of
from bench.execution.environment import name_of
from bench.execution.resources import lay_out
from bench.execution.runner import run_plan
from bench.execution.train_job import load_data
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.spec.model import OptimizerSpec, SweepSpec, Workload
from bench.spec.options import MAX_JOBS, ExecutionOptions
from bench.tools.benchmark import Tutorial, resolved, seconds, temporary_context
from bench.training.device_data import DeviceData
from bench.training.stack import train

#: Numbers of seeds of the timed sweeps; widths of the stacks with timed steps; width of the widest.
SWEEPS, WIDTHS, WIDEST = (20, 1000), (1, 20), 1000
#: Ablations: the full method, and the method without one of its parts.
FULL, NO_GRAPH, NOT_FUSED, AS_FLOATS = "full", "no graph", "not fused", "floats"


@dataclass(frozen=True, kw_only=True)
class SweepTiming:
    """Seconds of a sweep with this number of runs, from the start of the workers to its end."""

    runs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class GpuFigures:
    """Results of the benchmark of one device, see :func:`measure`.

    `sweeps` are times of whole sweeps, with evaluations and storing of rows. `step_microseconds` is
    the time of one update of SGD, by the width of the stack. `wide_over_single` is the time of a
    step of a stack of 20 divided by that of a stack of 1. `share_of_products` is the time of the
    batched matrix products alone divided by the time of a step, at the widest stack. `times_faster`
    is the time of a run of the tutorial's script on the same device divided by that of a run in a
    stack of 20: median over the optimizers. `ablations` are microseconds of a step of Adam in a
    stack of 20, by ablation.
    """

    device: str
    torch_version: str
    sweeps: tuple[SweepTiming, ...]
    step_microseconds: Mapping[int, float]
    wide_over_single: float
    share_of_products: float
    times_faster: float
    ablations: Mapping[str, float]


def measure(
    device: str,
    repeats: int,
    say: Callable[[str], None],
    *,
    workload: Workload | None = None,
    optimizers: Sequence[str] = DEFAULT_OPTIMIZERS,
    sweeps: Sequence[int] = SWEEPS,
    widest: int = WIDEST,
) -> GpuFigures:
    """Run the benchmark on `device`, such as ``"cuda"``; call `say` with a line after each result.

    Every measurement is repeated `repeats` times. The other arguments say what is measured.
    """
    workload = workload or Workload()
    arrays = prepare("mnist")
    with exact_numbers(kind_of(device), tf32=False):
        data = load_data(arrays, device)
        specs = resolved(",".join(optimizers))
        for spec in specs:  # loads the kernels
            train(replace(workload, iterations=10), spec, range(2), data)
        timings = []
        for n_seeds in sweeps:
            timings.append(_time_sweep(specs, n_seeds, device, workload))
            say(f"{timings[-1].runs} runs: {timings[-1].seconds:.2f} s")
        (sgd, adam) = resolved("sgd,adam")
        widths = (*WIDTHS, widest)
        laps = [{w: _step_seconds(sgd, w, data, workload) for w in widths} for _ in range(repeats)]
        steps = {w: median(lap[w] for lap in laps) * 1e6 for w in widths}
        wide = median(lap[WIDTHS[1]] / lap[WIDTHS[0]] for lap in laps)
        for width, microseconds in steps.items():
            say(f"a step of a stack of {width}: {microseconds:.1f} microseconds")
        shares = [_products_seconds(widest, workload, data.device) / lap[widest] for lap in laps]
        say(f"share of the rate of products alone: {median(shares):.2f}")
        faster = _times_faster(specs, data, arrays.parent, workload)
        say(f"times faster than the tutorial's script on {device}: {faster:.0f}")
        ablations = _ablations(adam, data, workload, repeats)
        say("; ".join(f"{name}: {us:.1f} microseconds" for name, us in ablations.items()))
    return GpuFigures(
        device=name_of(device),
        torch_version=torch.__version__,
        sweeps=tuple(timings),
        step_microseconds=steps,
        wide_over_single=wide,
        share_of_products=median(shares),
        times_faster=faster,
        ablations=ablations,
    )


def _time_sweep(
    specs: Sequence[OptimizerSpec], n_seeds: int, device: str, workload: Workload
) -> SweepTiming:
    seeds = tuple(range(n_seeds))
    plan = SweepSpec(name="x", optimizers=tuple(specs), seeds=seeds, workload=workload).plan()
    with temporary_context(1024, device) as context:
        execution = ExecutionOptions(device=device, n_jobs=MAX_JOBS)
        layout = lay_out(plan, execution, context.arrays)
        context = replace(
            context,
            machine=replace(context.machine, n_jobs=layout.n_jobs),
            stack=layout.stack if layout.slots else n_seeds,
            slots=layout.slots or (device,),
        )
        return SweepTiming(runs=len(plan), seconds=seconds(lambda: list(run_plan(plan, context))))


def _step_seconds(
    spec: OptimizerSpec,
    width: int,
    data: DeviceData,
    workload: Workload,
    *,
    is_captured: bool = True,
) -> float:
    """Seconds of one update of a stack, from its second half, when the updates are replayed."""
    half = workload.iterations // 2
    sample = replace(workload, eval_every=half, iterations=2 * half)
    run, *_ = train(sample, spec, range(width), data, is_captured=is_captured)
    first, last = run.evaluations
    return (last.train_seconds - first.train_seconds) * width / half


def _products_seconds(width: int, workload: Workload, device: torch.device) -> float:
    """Return the seconds of the batched matrix products of one update.

    These are the forward products of both layers, the gradients of both weights, and the error of
    the hidden layer. The rest of the arithmetic is negligible.
    """
    batch, sizes = workload.batch_size, (784, 100, 10)

    def random(rows: int, columns: int) -> torch.Tensor:
        return torch.rand(width, rows, columns, device=device)

    made = [(random(batch, n_in), random(n_out, n_in)) for n_in, n_out in pairwise(sizes)]
    outputs = [random(batch, n_out) for n_out in sizes[1:]]
    gradients = [torch.empty_like(weight) for _, weight in made]
    error = torch.empty_like(outputs[0])

    def products() -> None:
        for (inputs, weight), output, gradient in zip(made, outputs, gradients, strict=True):
            torch.bmm(inputs, weight.mT, out=output)
            torch.bmm(output.mT, inputs, out=gradient)
        torch.bmm(outputs[1], made[1][1], out=error)

    def repeated(n: int) -> None:
        for _ in range(n):
            products()
        _wait(device)

    repeated(1)
    n = max(1, min(200, math.ceil(20_000 / width)))
    return seconds(lambda: repeated(n)) / n


def _wait(device: torch.device) -> None:
    if device.type == CUDA:
        torch.cuda.synchronize(device)


def _times_faster(
    specs: Sequence[OptimizerSpec], data: DeviceData, root: Path, workload: Workload
) -> float:
    tutorial = Tutorial(root, data.device)
    ratios = []
    for spec in specs:
        theirs = tutorial.seconds_per_run(spec)
        run, *_ = train(workload, spec, range(WIDTHS[1]), data)
        ours = (run.train_seconds + run.eval_seconds) * Workload().iterations / workload.iterations
        ratios.append(theirs / ours)
    return median(ratios)


def _ablations(
    adam: OptimizerSpec, data: DeviceData, workload: Workload, repeats: int
) -> Mapping[str, float]:
    """Return the microseconds of a step of a stack of 20, by ablation."""
    (unfused,) = resolved("adam[fused=False]")
    images = {n: getattr(data, n).float() / 255 for n in ("train_images", "test_images")}
    floats = replace(data, **images)
    _wait(data.device)  # the copies are read on another CUDA stream
    ways: Mapping[str, Callable[[], float]] = {
        FULL: lambda: _step_seconds(adam, WIDTHS[1], data, workload),
        NO_GRAPH: lambda: _step_seconds(adam, WIDTHS[1], data, workload, is_captured=False),
        NOT_FUSED: lambda: _step_seconds(unfused, WIDTHS[1], data, workload),
        AS_FLOATS: lambda: _step_seconds(adam, WIDTHS[1], floats, workload),
    }
    laps = [{name: way() for name, way in ways.items()} for _ in range(repeats)]
    return {name: median(lap[name] for lap in laps) * 1e6 for name in ways}
