"""Measure how many runs per second are trained with other workers, batches, networks and stacks."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from bench.cli import run_guarded
from bench.cli.arguments import Parser
from bench.cli.converters import MAX_COUNT, file_path, up_to
from bench.storage.files import require_output, write_atomically


def main(words: Sequence[str] | None = None) -> int:
    """Print a line for each measurement and a Markdown table of medians; write a figure."""
    return run_guarded(lambda: _run(_make_parser().parse_args(words)))


def _make_parser() -> Parser:
    parser = Parser(
        prog="scripts/scaling.py",
        description="Measure the runs of SGD per second with 1 and 2 workers, 1 to 1,000 images "
        "per batch, 10 to 1,000 hidden units, and stacks of 1 and 20 runs.",
    )
    parser.add_argument(
        "--repeats",
        type=up_to(MAX_COUNT),
        default=3,
        metavar="N",
        help="repetitions of each measurement (default: 3)",
    )
    parser.add_argument(
        "--output",
        type=file_path,
        default=Path("scaling.svg"),
        metavar="FILE",
        help="figure to write, as SVG (default: scaling.svg)",
    )
    return parser


def _run(arguments: Namespace) -> int:
    from bench.execution._joblib import require_workers
    from bench.execution.environment import available_cores, processor_name
    from bench.tools import scaling

    require_output(arguments.output, "the figure")
    require_workers("scaling")
    print(f"{processor_name()}, {available_cores()} cores; medians of {arguments.repeats} repeats")
    samples = []
    for sample in scaling.measure(arguments.repeats):
        samples.append(sample)
        print(f"  {sample.factor} {sample.value}: {sample.runs_per_second:.3g} runs/s", flush=True)
    points = scaling.summarise(samples)
    print(scaling.markdown(points))
    write_atomically(scaling.svg(points), arguments.output)
    print(f"figure: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
