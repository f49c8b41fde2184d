"""Benchmark of how the cost of training on a CPU grows with its settings.

One setting at a time differs from a run of the default sweep: the number of workers, the batch
size, the number of hidden units, or the number of runs in a stack. All values are measured in
turn, because the speed of a shared machine varies over time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from statistics import median
from typing import TYPE_CHECKING

from bench.datasets.cache import prepare
from bench.execution.train_job import load_data
from bench.spec.model import Workload
from bench.tools.benchmark import one_thread, resolved, runs_per_second, seconds
from bench.training.stack import train, warm_up

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Values of each factor.
FACTORS: Mapping[str, tuple[int, ...]] = {
    "workers": (1, 2),
    "images per batch": (1, 10, 100, 1000),
    "hidden units": (10, 100, 1000),
    "runs in a stack": (1, 20),
}
#: The value of each factor in the default sweep.
REFERENCE = {"workers": 1, "images per batch": 100, "hidden units": 100, "runs in a stack": 1}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measurement of a factor's value: whole runs of SGD per second, with evaluations."""

    factor: str
    value: int
    runs_per_second: float


@dataclass(frozen=True, kw_only=True)
class ScalingPoint:
    """Throughput at one value of a factor: medians over the repeats.

    `relative` is the ratio to the throughput at the factor's reference value in the same repeat.
    """

    factor: str
    value: int
    runs_per_second: float
    relative: float


def measure(repeats: int, *, workload: Workload | None = None) -> Iterator[Sample]:
    """Measure every value of every factor in turn, `repeats` times.

    By default a run has 3,000 updates and six evaluations.
    """
    workload = workload or Workload()
    warm_up(load_data(prepare("mnist"), "cpu"))
    for _ in range(repeats):
        for factor, values in FACTORS.items():
            for value in values:
                rate = _rate(factor, value, workload)
                yield Sample(factor=factor, value=value, runs_per_second=rate)


def summarise(samples: Sequence[Sample]) -> tuple[ScalingPoint, ...]:
    """Return the medians of every value, in the order of :data:`FACTORS`."""
    rates: dict[tuple[str, int], list[float]] = {}
    for sample in samples:
        rates.setdefault((sample.factor, sample.value), []).append(sample.runs_per_second)
    return tuple(
        ScalingPoint(
            factor=factor,
            value=value,
            runs_per_second=median(found),
            relative=median(
                rate / reference
                for rate, reference in zip(found, rates[factor, REFERENCE[factor]], strict=True)
            ),
        )
        for (factor, value), found in rates.items()
    )


def markdown(points: Sequence[ScalingPoint]) -> str:
    """Return a table of the points in Markdown."""
    lines = ["| factor | value | runs per second | relative |", "|---|---|---|---|"]
    lines += [
        f"| {p.factor} | {p.value:,} | {p.runs_per_second:.3g} | {p.relative:.3g} |" for p in points
    ]
    return "\n".join(lines)


def svg(points: Sequence[ScalingPoint]) -> bytes:
    """Plot runs per second over each factor, on logarithmic axes; the vertical one is shared."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # text as text, and the same file for the same points
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "optimizer-bench"}):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        panels = figure.subplots(1, len(FACTORS), sharey=True)
        for axes, factor in zip(panels, FACTORS, strict=True):
            _draw(axes, [p for p in points if p.factor == factor])
            axes.set_xlabel(factor)
        panels[0].set_ylabel("runs per second")
        buffer = BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _draw(axes: Axes, points: Sequence[ScalingPoint]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = [p.value for p in points]
    axes.plot(values, [p.runs_per_second for p in points], "o-")
    axes.set_xticks(values, [f"{value:,}" for value in values])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _rate(factor: str, value: int, workload: Workload) -> float:
    """Return runs of SGD per second; except for workers, in this process with one thread."""
    if factor == "workers":
        return runs_per_second(value, workload)
    if factor == "images per batch":
        workload = replace(workload, batch_size=value)
    if factor == "hidden units":
        workload = replace(workload, network=f"mlp[hidden={value}]")
    stack = value if factor == "runs in a stack" else 1
    (sgd,) = resolved("sgd")
    data = load_data(prepare("mnist"), "cpu")
    with one_thread():
        return stack / seconds(partial(train, workload, sgd, range(stack), data))
