"""Measure what a large sweep costs beside its training, with artificial rows."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import run_guarded
from bench.cli.arguments import Parser
from bench.cli.converters import MAX_COUNT, up_to

if TYPE_CHECKING:
    from bench.spec.model import SweepSpec
    from bench.storage.store import Store

OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta"),
    *("adamax", "rmsprop", "adamw", "nadam", "radam", "asgd"),
)


def main(words: Sequence[str] | None = None) -> int:
    """Print a line for each measurement."""
    return run_guarded(lambda: _run(_make_parser().parse_args(words)))


def _make_parser() -> Parser:
    parser = Parser(
        prog="scripts/scale.py",
        description="Measure the plan, the files, the analysis and the report of a sweep of "
        f"{len(OPTIMIZERS)} optimizers with artificial rows, and the overhead of runs of one "
        "update. Each measurement has a process of its own, whose largest memory is printed.",
    )
    parser.add_argument(
        "--seeds",
        type=up_to(MAX_COUNT),
        default=8333,
        metavar="N",
        help="seeds of each optimizer (default: 8333, which are 99,996 runs)",
    )
    parser.add_argument(
        "--singles",
        type=up_to(MAX_COUNT),
        default=2000,
        metavar="N",
        help="rows in files of their own that are read and put together (default: 2000)",
    )
    parser.add_argument(
        "--runs",
        type=up_to(MAX_COUNT),
        default=1000,
        metavar="N",
        help="runs of one update on digits, with one worker (default: 1000)",
    )
    parser.add_argument(
        "--only",
        choices=[*STEPS],
        action="append",
        metavar="STEP",
        help=f"measure only this, repeatable: {', '.join(STEPS)}",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where the rows of an earlier call are, or are written and kept",
    )
    return parser


def _run(arguments: Namespace) -> int:
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="optimizer-bench-scale-"))
    steps = arguments.only or [*STEPS]
    try:
        for name in steps:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                line, megabytes = pool.submit(_measure, name, directory, arguments).result()
            print(f"{name}: {line}; largest memory {megabytes:.0f} MB", flush=True)
    finally:
        if arguments.directory is None:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def _measure(name: str, directory: Path, arguments: Namespace) -> tuple[str, float]:
    """Take one measurement in a process of its own; return its line and its largest memory."""
    line = STEPS[name](directory, arguments)
    return line, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _spec(n_seeds: int, **settings: object) -> SweepSpec:
    from bench import specify

    return specify(optimizers=OPTIMIZERS, seeds=n_seeds, name="scale", **settings)  # type: ignore[arg-type]


def _stored(directory: Path, arguments: Namespace) -> tuple[SweepSpec, Store]:
    """The stored sweep; its rows are written by the first call."""
    import pyarrow as pa

    from bench.storage.row_files import MOST_ROWS, add_rows
    from bench.storage.store import Store
    from bench.tools.artificial import artificial_rows

    spec, store = _spec(arguments.seeds), Store(directory / f"scale-{arguments.seeds}")
    if not store.rows_files():
        store.directory.mkdir(parents=True)
        store.write_spec(spec)
        waiting: list[pa.Table] = []
        for rows in artificial_rows(spec):
            waiting.append(rows)
            if sum(map(len, waiting)) >= MOST_ROWS:
                add_rows(pa.concat_tables(waiting), store.directory)
                waiting = []
        if waiting:
            add_rows(pa.concat_tables(waiting), store.directory)
    return spec, store


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the processor time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def _plan(_directory: Path, arguments: Namespace) -> str:
    spec = _spec(arguments.seeds)
    wall, processor = _seconds(lambda: [run.key for run in spec.plan()])
    return f"{len(spec.plan())} runs with their keys in {wall:.2f} s ({processor:.2f} s)"


def _missing(directory: Path, arguments: Namespace) -> str:
    from bench.execution.environment import describe_machine
    from bench.sweeps.resume import find_missing

    spec, store = _stored(directory, arguments)
    found = []
    machine = describe_machine("cpu", 1)
    wall, processor = _seconds(lambda: found.append(find_missing(spec, store, machine)))
    return (
        f"{len(found[0].missing)} of {len(found[0].planned)} runs are missing, found in "
        f"{wall:.2f} s ({processor:.2f} s); {len(store.rows_files())} files of "
        f"{sum(file.stat().st_size for file in store.rows_files()) / 1e6:.0f} MB"
    )


def _singles(directory: Path, arguments: Namespace) -> str:
    """Write rows into files of their own, read them, and put them together."""
    from bench.storage.records import RunRecord
    from bench.storage.store import Store
    from bench.tools.artificial import artificial_rows

    n = -(-arguments.singles // len(OPTIMIZERS))
    spec, store = _spec(n), Store(directory / "singles")
    shutil.rmtree(store.directory, ignore_errors=True)
    store.create()
    rows = [row for table in artificial_rows(spec) for row in table.to_pylist()]
    runs = {run.key: run for run in spec.plan()}

    def write() -> None:
        for row in rows:
            store.write_run(runs[row["run_key"]], RunRecord(**row))

    times = {"written": _seconds(write), "read": _seconds(store.read_rows)}
    times["put together"] = _seconds(store.compact)
    each = (f"{what} in {1e3 * wall / len(rows):.2f} ms" for what, (wall, _) in times.items())
    return f"{len(rows)} rows in files of their own, each {', '.join(each)}"


def _analysis(directory: Path, arguments: Namespace) -> str:
    from bench.sweeps.load import analyse_stored, open_sweep

    _, store = _stored(directory, arguments)
    loaded = []
    opened = _seconds(lambda: loaded.append(open_sweep(store.directory)))
    wall, processor = _seconds(lambda: analyse_stored(loaded[0], recorded=False))
    return f"read in {opened[0]:.2f} s, analysed in {wall:.2f} s ({processor:.2f} s)"


def _report(directory: Path, arguments: Namespace) -> str:
    from bench.report import write
    from bench.sweeps.load import analyse_stored, open_sweep

    _, store = _stored(directory, arguments)
    analysis = analyse_stored(open_sweep(store.directory), recorded=False)
    page = directory / "page.html"
    wall, processor = _seconds(lambda: write(analysis, page))
    return f"page of {page.stat().st_size / 1e6:.2f} MB in {wall:.2f} s ({processor:.2f} s)"


def _overhead(directory: Path, arguments: Namespace) -> str:
    """Train runs of one update with one worker; the start and the first runs are not measured."""
    from bench import load_runs, specify
    from bench.datasets.cache import prepare
    from bench.execution.environment import describe_machine
    from bench.execution.jobs import RunContext
    from bench.execution.runner import run_plan
    from bench.storage.store import Store

    shutil.rmtree(directory / "overhead", ignore_errors=True)
    store, n_first = Store(directory / "overhead"), max(1, arguments.runs // 10)
    store.create()
    context = RunContext(arrays=prepare("digits"), machine=describe_machine("cpu", 1), store=store)
    n = n_first + arguments.runs
    spec = specify(optimizers="sgd", seeds=n, dataset="digits", iterations=1)
    marks = []
    for number, _ in enumerate(run_plan(spec.plan(), context), start=1):
        if number in (n_first, n):
            marks.append((time.perf_counter(), time.process_time()))
    wall, processor = (1e3 * (b - a) / arguments.runs for a, b in zip(*marks, strict=True))
    runs = load_runs(store.directory)
    trained = 1e3 * float((runs["train_seconds"] + runs["eval_seconds"]).mean())
    return (
        f"{arguments.runs} runs with one worker, each in {wall:.1f} ms, of which {trained:.1f} ms "
        f"are training; processor time of the program that schedules them {processor:.2f} ms"
    )


STEPS: Mapping[str, Callable[[Path, Namespace], str]] = {
    "plan": _plan,
    "missing": _missing,
    "singles": _singles,
    "analysis": _analysis,
    "report": _report,
    "overhead": _overhead,
}


if __name__ == "__main__":
    sys.exit(main())
