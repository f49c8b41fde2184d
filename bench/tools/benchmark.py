"""Benchmark of training, scaling and analysis on a CPU, as ratios of times.

The speed of a shared machine varies over time. Compared programs are therefore timed alternately,
and the result is the median of the ratios.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.datasets._torchvision import import_datasets
from bench.datasets.cache import prepare
from bench.errors import WorkerError
from bench.execution.environment import describe_machine
from bench.execution.jobs import Job, RunContext
from bench.execution.pool import WorkerPool
from bench.execution.runner import run_plan
from bench.execution.train_job import do_job, load_data
from bench.optimizers.catalogue import DEFAULT_OPTIMIZERS
from bench.optimizers.resolve import resolve
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, RunSpec, Workload
from bench.storage.store import Store
from bench.training.stack import train

if TYPE_CHECKING:
    import pandas as pd

#: Number of timed updates of the tutorial's script; the time of a run is extrapolated from them.
TUTORIAL_SAMPLE = 300
#: Number of runs per worker of the timed sweeps.
RUNS_PER_WORKER = 8
#: Numbers of optimizers and seeds of the analysed tables, and number of test images.
ANALYSED, N_IMAGES = ((12, 20), (30, 30), (8, 1000)), 10_000


@dataclass(frozen=True, kw_only=True)
class EngineTiming:
    """Times of one optimizer: medians over the repeats.

    `tutorial_seconds` and `seconds` are for one run, with evaluations; `times_faster` is their
    ratio. `times_floor` is the ratio of `seconds` to the time of the large matrix products alone.
    """

    optimizer: str
    tutorial_seconds: float
    seconds: float
    times_faster: float
    times_floor: float


@dataclass(frozen=True, kw_only=True)
class ScalingTiming:
    """Throughput of a sweep with `n_jobs` workers.

    `efficiency` is the throughput divided by `n_jobs` times the throughput of one worker.
    """

    n_jobs: int
    runs_per_second: float
    efficiency: float


@dataclass(frozen=True, kw_only=True)
class AnalysisTiming:
    """Median seconds of the comparison of a table of `optimizers` x `seeds` runs."""

    optimizers: int
    seeds: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Results of a benchmark; `default_sweep_seconds` is None where it was not measured."""

    processor: str
    cores: int
    repeats: int
    engine: tuple[EngineTiming, ...]
    scaling: tuple[ScalingTiming, ...]
    analysis: tuple[AnalysisTiming, ...]
    first_row_seconds: float
    worker_peak_megabytes: float | None
    default_sweep_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Lap:
    """Seconds of one run of an optimizer: tutorial's script, this program, matrix products."""

    optimizer: str
    tutorial: float
    ours: float
    floor: float


def time_laps(repeats: int) -> Iterator[Lap]:
    """Time all default optimizers in turn, `repeats` times."""
    arrays = prepare("mnist")
    specs = resolved(",".join(DEFAULT_OPTIMIZERS))
    data = load_data(arrays, "cpu")
    tutorial = Tutorial(arrays.parent)
    for _ in range(repeats):
        for spec in specs:
            tutorial_seconds = tutorial.seconds_per_run(spec)
            with one_thread():
                (run,) = train(Workload(), spec, [0], data)
                floor = seconds_of_products(Workload()) + run.eval_seconds
            yield Lap(
                optimizer=spec.name,
                tutorial=tutorial_seconds,
                ours=run.train_seconds + run.eval_seconds,
                floor=floor,
            )


def summarise(laps: Sequence[Lap]) -> tuple[EngineTiming, ...]:
    """Return medians of the times and of the ratios, one entry for each optimizer."""
    names = dict.fromkeys(lap.optimizer for lap in laps)
    return tuple(_summarise([lap for lap in laps if lap.optimizer == name]) for name in names)


def _summarise(laps: Sequence[Lap]) -> EngineTiming:
    return EngineTiming(
        optimizer=laps[0].optimizer,
        tutorial_seconds=median(lap.tutorial for lap in laps),
        seconds=median(lap.ours for lap in laps),
        times_faster=median(lap.tutorial / lap.ours for lap in laps),
        times_floor=median(lap.ours / lap.floor for lap in laps),
    )


class Tutorial:
    """Training loop of the tutorial: a DataLoader that decodes and scales each image, and autograd.

    As in the tutorial, the images require a gradient, and evaluation builds an autograd graph.
    """

    def __init__(self, root: Path, device: torch.device | None = None) -> None:
        from torch.utils.data import DataLoader

        mnist = import_datasets().MNIST
        from torchvision import transforms  # after import_datasets, which prepares the import

        scale = transforms.ToTensor()
        self._device = device or torch.device("cpu")
        self._train = DataLoader(
            mnist(root, train=True, transform=scale), batch_size=100, shuffle=True
        )
        self._test = DataLoader(mnist(root, train=False, transform=scale), batch_size=100)

    def seconds_per_run(self, spec: OptimizerSpec) -> float:
        """Return the seconds of a run, extrapolated from some updates and one evaluation."""
        workload = Workload()
        model = nn.Sequential(nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10)).to(self._device)
        algorithm = getattr(torch.optim, spec.algorithm.removeprefix("torch.optim."))
        optimizer = algorithm(model.parameters(), **dict(spec.hyperparameters))
        updates = seconds(lambda: self._update(model, optimizer, TUTORIAL_SAMPLE))
        evaluation = seconds(lambda: self._evaluate(model))
        n_evaluations = len(workload.eval_iterations)
        return updates * workload.iterations / TUTORIAL_SAMPLE + evaluation * n_evaluations

    def _update(self, model: nn.Module, optimizer: torch.optim.Optimizer, updates: int) -> None:
        loss_of = nn.CrossEntropyLoss()
        for _, (images, classes) in zip(range(updates), self._train, strict=False):
            labels = classes.to(self._device)
            pixels = images.view(-1, 28 * 28).to(self._device).requires_grad_()
            optimizer.zero_grad()
            loss = loss_of(model(pixels), labels)
            loss.backward()
            optimizer.step()

    def _evaluate(self, model: nn.Module) -> float:
        correct = total = 0
        for images, classes in self._test:
            labels = classes.to(self._device)
            pixels = images.view(-1, 28 * 28).to(self._device).requires_grad_()
            _, predicted = torch.max(model(pixels).data, 1)
            total += labels.size(0)
            correct += int((predicted == labels).sum())
        return correct / total


def seconds_of_products(workload: Workload) -> float:
    """Return the seconds of the two large matrix products of all updates of a run."""
    n_hidden = 100
    images = torch.rand(workload.batch_size, 784)
    weight, delta = torch.rand(n_hidden, 784), torch.rand(workload.batch_size, n_hidden)
    hidden, gradient = torch.empty_like(delta), torch.empty_like(weight)

    def products() -> None:
        for _ in range(workload.iterations):
            torch.mm(images, weight.T, out=hidden)
            torch.mm(delta.T, images, out=gradient)

    return seconds(products)


def time_scaling(cores: int) -> tuple[ScalingTiming, ...]:
    """Measure the throughput of a sweep with 1, 2, 4, ... `cores` workers, without start-up."""
    doublings = [2**i for i in range(cores.bit_length()) if 2**i < cores]
    rates = {n: runs_per_second(n, Workload()) for n in [*doublings, cores]}
    return tuple(
        ScalingTiming(n_jobs=n, runs_per_second=rate, efficiency=rate / (n * rates[1]))
        for n, rate in rates.items()
    )


def runs_per_second(n_jobs: int, workload: Workload) -> float:
    """Return the throughput of a sweep of SGD with `n_jobs` workers, without start-up."""
    (sgd,) = resolved("sgd")
    with temporary_context(n_jobs) as context:
        warm_up = _runs(sgd, 2 * n_jobs, replace(workload, iterations=min(10, workload.iterations)))
        list(run_plan(warm_up, context))
        runs = _runs(sgd, n_jobs * RUNS_PER_WORKER, workload)
        return len(runs) / seconds(lambda: list(run_plan(runs, context)))


def time_analysis(repeats: int) -> Iterator[AnalysisTiming]:
    """Time the comparison of tables with all optional columns: bits and evaluations."""
    from bench.analysis import compare

    for optimizers, seeds in ANALYSED:
        table = simulated_runs(optimizers, seeds)
        times = [seconds(partial(compare, table)) for _ in range(repeats)]
        yield AnalysisTiming(optimizers=optimizers, seeds=seeds, seconds=median(times))


def simulated_runs(n_optimizers: int, n_seeds: int) -> pd.DataFrame:
    """Return a table of simulated runs with equal means of half of the optimizers.

    Equal means are the slow case: the exact test counts fewer subsets for a small p-value.
    """
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    difficulty = rng.random(N_IMAGES) ** 8
    rows = []
    for i in range(n_optimizers):
        for seed in range(n_seeds):
            share = 0.3 + 0.01 * max(0, i - n_optimizers / 2)
            correct = rng.random(N_IMAGES) > difficulty * share
            accuracy = correct.mean()
            rows.append(
                {
                    "optimizer": f"optimizer{i:02}",
                    "seed": seed,
                    "test_correct": int(correct.sum()),
                    "test_total": N_IMAGES,
                    "test_accuracy": accuracy,
                    "correct_bits": np.packbits(correct).tobytes(),
                    "iterations": 3000,
                    "eval_iterations": [1000, 2000, 3000],
                    "eval_test_accuracy": [*(accuracy + rng.normal(-0.01, 0.01, 2)), accuracy],
                }
            )
    return pd.DataFrame(rows)


def worker_peak_megabytes() -> float | None:
    """Return the peak resident memory of a worker of a sweep, in MB; None where it is unknown."""
    (adam,) = resolved("adam")
    with temporary_context(2) as context, closing(WorkerPool(2)) as pool:
        jobs = [Job(runs=(run,)) for run in _runs(adam, 2, Workload())]
        list(pool.map(partial(do_job, context=context), jobs))
        peaks = [_peak_megabytes(process) for process in pool.processes]
    known = [peak for peak in peaks if peak is not None]
    return max(known, default=None)


def _peak_megabytes(process: int) -> float | None:
    """Return what Linux says about a running process."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return None


def seconds_to_first_row() -> float:
    """Return seconds from the start of the default command to its first row; data are cached."""
    prepare("mnist")
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench", "sweep", "--no-report", "--results", directory]
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while not any(Path(directory).glob("*/runs/*.parquet")):
                    if process.poll() is not None:
                        raise WorkerError(f"the sweep ended early with code {process.returncode}")
                    time.sleep(0.01)
                return time.perf_counter() - started
            finally:
                process.terminate()


def seconds_of_default_sweep() -> float:
    """Return the seconds of the default command: 160 runs and the report."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench", "sweep", "--quiet"]
        folders = ["--results", f"{directory}/results", "--reports", f"{directory}/reports"]
        started = time.perf_counter()
        code = subprocess.call([*command, *folders], stdout=subprocess.DEVNULL)
        if code:
            raise WorkerError(f"the default sweep ended with code {code}")
        return time.perf_counter() - started


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def temporary_context(n_jobs: int, device: str = "cpu") -> Iterator[RunContext]:
    """Return a run context with a store that is removed after the block."""
    with tempfile.TemporaryDirectory() as directory:
        store = Store(Path(directory))
        store.create()
        machine = describe_machine(device, n_jobs)
        yield RunContext(arrays=prepare("mnist"), machine=machine, store=store, device=device)


def resolved(text: str) -> tuple[OptimizerSpec, ...]:
    """Return the optimizers of an expression."""
    return tuple(map(resolve, parse_optimizers(text)))


def _runs(optimizer: OptimizerSpec, n: int, workload: Workload) -> tuple[RunSpec, ...]:
    return tuple(RunSpec(workload=workload, optimizer=optimizer, seed=seed) for seed in range(n))
