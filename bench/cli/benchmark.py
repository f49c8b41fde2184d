"""``optimizer-bench benchmark``: measure the speed of this program on this machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from statistics import median
from typing import TYPE_CHECKING

from bench.cli.converters import MAX_COUNT, file_or_stdout, up_to
from bench.cli.options import Command
from bench.spec.options import DEVICES, ExecutionOptions
from bench.storage.files import require_output, write_atomically

if TYPE_CHECKING:
    from bench.cli.terminal import FittedTable
    from bench.tools.benchmark import EngineTiming, Figures
    from bench.tools.gpu_benchmark import GpuFigures


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the benchmark."""
    parser.add_argument(
        "--repeats",
        type=up_to(MAX_COUNT),
        default=3,
        metavar="N",
        help="repetitions of each timing (default 3)",
    )
    parser.add_argument(
        "--full", action="store_true", help="also time the default sweep of 160 runs"
    )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="cpu",
        help="measure stacks of runs on a GPU instead (default: cpu)",
    )
    parser.add_argument(
        "--json", type=file_or_stdout, metavar="FILE", help="also write the figures as JSON"
    )


def run(arguments: Namespace) -> int:
    """Measure, print each figure, and write JSON where asked for."""
    from bench.analysis.export import to_json
    from bench.execution import devices
    from bench.execution.environment import name_of

    if arguments.json:
        require_output(arguments.json, "the figures")
    kind, gpus = devices.choose(arguments.device)
    device = ExecutionOptions(device=kind, gpus=gpus).devices[0]
    figures: Figures | GpuFigures
    if device == devices.CPU:
        from bench.execution._joblib import require_workers

        require_workers("benchmark")
        figures = _measure(arguments.repeats, full=arguments.full)
    else:
        from bench.tools import gpu_benchmark

        _print(f"{name_of(device)}; medians of {arguments.repeats} repeats")
        figures = gpu_benchmark.measure(device, arguments.repeats, _print)
    if arguments.json:
        write_atomically(to_json(figures).encode(), arguments.json)
    return 0


def _measure(repeats: int, *, full: bool) -> Figures:
    from bench.execution.environment import available_cores, processor_name
    from bench.tools import benchmark

    cores = available_cores()
    _print(f"{processor_name()}, {cores} cores; medians of {repeats} repeats")
    engine = _measure_engine(repeats)
    scaling = benchmark.time_scaling(cores)
    for row in scaling:
        _print(
            f"{row.n_jobs} workers: {row.runs_per_second:.2f} runs/s, "
            f"efficiency {row.efficiency:.2f}"
        )
    analysis = tuple(benchmark.time_analysis(repeats))
    for timing in analysis:
        _print(
            f"comparison of {timing.optimizers} optimizers x {timing.seeds} seeds: "
            f"{timing.seconds:.2f} s"
        )
    first_row = median(benchmark.seconds_to_first_row() for _ in range(repeats))
    _print(f"command to first row: {first_row:.1f} s")
    memory = benchmark.worker_peak_megabytes()
    _print(f"peak memory of a worker: {'unknown' if memory is None else f'{memory:.0f} MB'}")
    sweep = benchmark.seconds_of_default_sweep() if full else None
    if sweep is not None:
        _print(f"default sweep with report: {sweep:.0f} s")
    return benchmark.Figures(
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
    from bench.cli.terminal import new_console
    from bench.tools import benchmark

    laps = []
    for lap in benchmark.time_laps(repeats):
        laps.append(lap)
        _print(
            f"  {lap.optimizer}: tutorial {lap.tutorial:.1f} s, ours {lap.ours:.2f} s, "
            f"floor {lap.floor:.2f} s"
        )
    engine = benchmark.summarise(laps)
    new_console().print(_engine_table(engine))
    return engine


def _print(line: str) -> None:
    print(line, flush=True)


def _engine_table(timings: tuple[EngineTiming, ...]) -> FittedTable:
    from bench.cli.terminal import Column, FittedTable

    return FittedTable(
        (
            Column("optimizer", [t.optimizer for t in timings], is_name=True),
            Column("tutorial s", [f"{t.tutorial_seconds:.1f}" for t in timings], drop=4),
            Column("ours s", [f"{t.seconds:.2f}" for t in timings], drop=3),
            Column("times faster", [f"{t.times_faster:.1f}" for t in timings], drop=1),
            Column("times the floor", [f"{t.times_floor:.2f}" for t in timings], drop=2),
        )
    )


COMMAND = Command(
    help="measure the speed of this program on this machine",
    description="Compare the speed of this program on this machine with the tutorial's plain "
    "script and with the least time that the arithmetic needs.",
    add_arguments=add_arguments,
    run=run,
)
