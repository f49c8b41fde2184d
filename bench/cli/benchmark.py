"""``optimizer-bench benchmark``: speed on this machine."""

from __future__ import annotations

from argparse import Namespace
from statistics import median
from typing import TYPE_CHECKING

from bench.analysis.export import to_json
from bench.cli.terminal import Column, FittedTable, new_console
from bench.execution import devices
from bench.execution._joblib import require_workers
from bench.execution.environment import available_cores, name_of, processor_name
from bench.storage.files import require_output, write_atomically
from bench.tools import benchmark
from bench.tools.benchmark import EngineTiming, Figures

if TYPE_CHECKING:
    from bench.tools.gpu_benchmark import GpuFigures


def run(arguments: Namespace) -> int:
    """Measure, print as it goes, and write JSON where that is asked for."""
    if arguments.json:
        require_output(arguments.json, "the figures")
    (device, *_) = devices.choose(arguments.device)
    figures: Figures | GpuFigures
    if device == devices.CPU:
        require_workers("benchmark")
        figures = _measure(arguments.repeats, full=arguments.full)
    else:
        from bench.tools import gpu_benchmark

        _say(f"{name_of(device)}; medians of {arguments.repeats} repeats")
        figures = gpu_benchmark.measure(device, arguments.repeats, _say)
    if arguments.json:
        write_atomically(to_json(figures).encode(), arguments.json)
    return 0


def _measure(repeats: int, *, full: bool) -> Figures:
    cores = available_cores()
    _say(f"{processor_name()}, {cores} cores; medians of {repeats} repeats")
    engine = _measure_engine(repeats)
    scaling = benchmark.time_scaling(cores)
    for row in scaling:
        _say(
            f"{row.n_jobs} workers: {row.runs_per_second:.2f} runs/s, "
            f"efficiency {row.efficiency:.2f}"
        )
    analysis = tuple(benchmark.time_analysis(repeats))
    for timing in analysis:
        _say(
            f"comparison of {timing.optimizers} optimizers x {timing.seeds} seeds: "
            f"{timing.seconds:.2f} s"
        )
    first_row = median(benchmark.seconds_to_first_row() for _ in range(repeats))
    _say(f"command to first row: {first_row:.1f} s")
    memory = benchmark.worker_peak_megabytes()
    _say(f"peak memory of a worker: {memory:.0f} MB")
    sweep = benchmark.seconds_of_default_sweep() if full else None
    if sweep is not None:
        _say(f"default sweep with report: {sweep:.0f} s")
    return Figures(
        processor=processor_name(),
        cores=cores,
        repeats=repeats,
        engine=engine,
        scaling=scaling,
        analysis=analysis,
        first_row_seconds=first_row,
        worker_peak_megabytes=memory,
        default_sweep_seconds=sweep,
    )


def _measure_engine(repeats: int) -> tuple[EngineTiming, ...]:
    laps = []
    for lap in benchmark.time_laps(repeats):
        laps.append(lap)
        _say(
            f"  {lap.optimizer}: tutorial {lap.tutorial:.1f} s, ours {lap.ours:.2f} s, "
            f"floor {lap.floor:.2f} s"
        )
    engine = benchmark.summarise(laps)
    new_console().print(_engine_table(engine))
    return engine


def _say(line: str) -> None:
    print(line, flush=True)


def _engine_table(timings: tuple[EngineTiming, ...]) -> FittedTable:
    return FittedTable(
        (
            Column("optimizer", [t.optimizer for t in timings], is_name=True),
            Column("tutorial s", [f"{t.tutorial_seconds:.1f}" for t in timings], drop=4),
            Column("ours s", [f"{t.seconds:.2f}" for t in timings], drop=3),
            Column("times faster", [f"{t.times_faster:.1f}" for t in timings], drop=1),
            Column("times the floor", [f"{t.times_floor:.2f}" for t in timings], drop=2),
        )
    )
