"""User code that crashes, hangs, or changes the process: no other run is affected."""

from __future__ import annotations

import functools
import os
import re
import signal
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from _cases import some
from conftest import DIGITS, CommandLine, resolve_all

import bench
from bench.errors import TrainingError, WorkerError
from bench.execution import train_job, worker_warnings
from bench.execution.environment import describe_machine
from bench.execution.jobs import Job, RunContext
from bench.execution.runner import run_plan
from bench.execution.train_job import do_job
from bench.spec import process_state
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.spec.process_state import restored
from bench.spec.replaced import Functions
from bench.storage.records import FAILED, OK
from bench.storage.store import Store
from bench.sweeps.run import logging_warnings
from bench.tools.fault_injection import TIMINGS

WORKLOAD = Workload(dataset="digits", iterations=20, eval_every=20)
HERE = os.getcwd()


def expression(*names: str) -> str:
    """Optimizers of the catalogue are in lower case."""
    return ",".join(n if n.islower() else f"bench.tools.misbehaving:{n}" for n in names)


def plan_of(*names: str) -> tuple[RunSpec, ...]:
    text = expression(*names)
    return SweepSpec(name="x", optimizers=resolve_all(text), seeds=(0,), workload=WORKLOAD).plan()


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Path:
    """Few images, which are evaluated in a moment."""
    return digits


def make_context(directory: Path, arrays: Path, n_jobs: int = 1, **settings: Any) -> RunContext:
    store = Store(directory)
    store.create()
    machine = describe_machine("cpu", n_jobs)
    return RunContext(arrays=arrays, machine=machine, store=store, **settings)


def rows_of(context: RunContext) -> dict[str, dict[str, Any]]:
    """The rows by the names of their optimizers, without times."""
    rows = context.store.read_rows().drop_columns(list(TIMINGS)).to_pylist()
    return {row["optimizer"].rpartition(":")[2].partition("@")[0]: row for row in rows}


CHANGES = "the code of the optimizer or the network changed settings of the process"


@pytest.mark.parametrize(
    ("name", "status", "text"),
    some(
        [
            ("Threads", FAILED, f"{CHANGES}.*: the number of threads from 1 to 2"),
            (
                "Dtype",
                FAILED,
                f"{CHANGES}.*: the default dtype from torch.float32 to torch.float64",
            ),
            ("Anomalies", FAILED, f"{CHANGES}.*: the detection of anomalies from False to True"),
            (
                "Denormals",
                FAILED,
                f"{CHANGES}.*: the rounding of denormals to 0 from False to True",
            ),
            (
                "Autocast",
                FAILED,
                f"{CHANGES}.*: the automatic casts to another dtype from False to",
            ),
            (
                "Step",
                FAILED,
                rf"{CHANGES}.*: functions of torch or Python \(torch.optim.sgd.SGD.step\)",
            ),
            ("Clock", FAILED, rf"{CHANGES}.*: functions of torch or Python \(time.perf_counter\)"),
            ("Hook", FAILED, rf"{CHANGES}.*: functions .*\(hooks for all modules or optimizers\)"),
            ("Recursion", OK, "the recursion limit from [0-9]+ to 120"),
            ("Files", OK, "the limits of resources"),
            ("Umask", OK, "the permissions of new files"),
            ("NoSuchDevice", FAILED, "the default device|device|mps|MPS"),
            ("Leaving", FAILED, "GeneratorExit"),
            ("Masked", OK, "the blocked signals"),
            ("Elsewhere", OK, f"the working directory from {HERE} to /"),
            ("Variables", OK, "the environment variables"),
            ("Handlers", OK, "the handler of SIGTERM"),
            ("Cancelled", FAILED, "CancelledError"),
            ("Surrogate", FAILED, r"RuntimeError: \?x{400}x* \[\.\.\.\]"),
            ("NoText", FAILED, r"_NoTextError: <exception str\(\) failed>"),
        ],
        2,
    ),
)
def test_a_run_that_misbehaves_changes_no_other(
    name: str, status: str, text: str, arrays: Path, tmp_path: Path
) -> None:
    undisturbed = make_context(tmp_path / "undisturbed", arrays, in_process=True)
    list(run_plan(plan_of("adam"), undisturbed))
    context = make_context(tmp_path / "disturbed", arrays, in_process=True)
    with restored() as changes:
        events = list(run_plan((*plan_of(name), *plan_of("adam")), context))
    assert [event.status for event in events] == [status, OK]
    assert changes.numeric == changes.other == []
    rows = rows_of(context)
    assert rows["adam"] == rows_of(undisturbed)["adam"]
    said = "\n".join([rows[name]["error"] or "", *events[0].notes])
    assert re.search(text, said)
    assert len(said) < 5000


@pytest.mark.long
def test_exceptions_that_end_programs_fail_only_their_run_in_a_worker(
    arrays: Path, tmp_path: Path
) -> None:
    """The aborted one is tried again, and the one that holds the GIL is ended too."""
    names = ("Interrupted", "Exiting", "Abort", "adam", "sgd")
    context = make_context(tmp_path, arrays, 2)
    events = list(run_plan(plan_of(*names), context))
    assert len(events) == len(names)
    limited = replace(context, timeout=2.0, grace=0.5)  # which others may miss on a busy machine
    assert [event.status for event in run_plan(plan_of("HoldGil"), limited)] == [FAILED]
    rows = rows_of(context)
    assert {name: row["status"] for name, row in rows.items()} == {
        **dict.fromkeys(("Interrupted", "Exiting", "Abort", "HoldGil"), FAILED),
        **dict.fromkeys(("adam", "sgd"), OK),
    }
    assert "KeyboardInterrupt" in rows["Interrupted"]["error"]
    assert "SystemExit: 143" in rows["Exiting"]["error"]
    assert "died twice in this run" in rows["Abort"]["error"]
    assert "longer than the 2 seconds of --timeout and did not react" in rows["HoldGil"]["error"]
    assert "in _hold_gil" in rows["HoldGil"]["error"], "where it was"


def test_a_worker_whose_settings_cannot_be_restored_trains_nothing_else(
    arrays: Path, tmp_path: Path
) -> None:
    context = make_context(tmp_path, arrays)
    list(run_plan(plan_of("Inference", "adam"), context))
    rows = rows_of(context)
    assert {name: row["status"] for name, row in rows.items()} == {"Inference": FAILED, "adam": OK}
    assert f"{CHANGES}, and every run" in rows["Inference"]["error"]
    assert "the modes of torch" in rows["Inference"]["error"]


def test_the_program_ends_if_its_settings_cannot_be_restored(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_state, "_permanent", ["the modes of torch"])
    context = make_context(tmp_path, arrays, in_process=True)
    with pytest.raises(WorkerError, match=r"code of adam .* changed the modes of torch .* without"):
        list(run_plan(plan_of("adam"), context))
    assert len(rows_of(context)) == 1, "it was trained under the settings of all others"


def test_functions_that_torch_wraps_have_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Functions.now()
    wrapped = functools.wraps(torch.optim.Adam.step)(lambda *_: None)
    monkeypatch.setattr(torch.optim.Adam, "step", wrapped)
    assert Functions.now() == before


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="needs torch 2.9")
@pytest.mark.parametrize("name", ["conv", "rnn", "matmul"])
def test_the_precision_of_every_part_is_restored(name: str) -> None:
    part = getattr(torch.backends.mkldnn, name)
    before = part.fp32_precision
    with restored() as changes:
        part.fp32_precision = "bf16"
    assert part.fp32_precision == before
    # after a test that sets the precision of products, that of products is what has changed
    assert any(text.startswith("the precision of float32") for text in changes.numeric)


@pytest.mark.long
def test_the_text_of_an_exception_has_a_time_limit_too(arrays: Path, tmp_path: Path) -> None:
    context = make_context(tmp_path, arrays, in_process=True, timeout=1.0)
    (event,) = run_plan(plan_of("HangingText"), context)
    assert event.status == FAILED
    assert "_HangingTextError" in rows_of(context)["HangingText"]["error"]


@pytest.mark.parametrize("error", ["StoreError", "DataError", "UsageError"])
def test_an_error_of_this_program_may_be_raised_by_user_code(
    error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: Path
) -> None:
    """Such as by a class that calls this program."""
    (tmp_path / f"raises{error}.py").write_text(
        "import torch, bench.errors\n"
        "class Raises(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        "        if self.param_groups[0]['params'][0].numel() > 100:\n"
        f"            raise bench.errors.{error}('of the user')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    optimizers = resolve_all(f"raises{error}:Raises,adam")
    plan = SweepSpec(name="x", optimizers=optimizers, seeds=(0,), workload=WORKLOAD).plan()
    context = make_context(tmp_path, arrays, in_process=True)
    events = list(run_plan(plan, context))
    assert [event.status for event in events] == [FAILED, OK]
    (text,) = (row["error"] for row in rows_of(context).values() if row["error"])
    assert f"{error}: of the user" in text


def specify(name: str, seeds: int) -> SweepSpec:
    return bench.specify(
        optimizers=expression(name), seeds=seeds, iterations=20, eval_every=20, dataset="digits"
    )


@pytest.mark.long  # the aborted run above is tried again alone, and is the last one then too
def test_the_last_run_does_not_end_the_program_that_calls(tmp_path: Path, data_dir: Path) -> None:
    spec = specify("Abort", seeds=1)
    with pytest.raises(TrainingError):
        bench.sweep(spec, results=tmp_path, n_jobs=2, data_dir=data_dir)
    (error,) = Store(tmp_path / spec.name).read_rows()["error"].to_pylist()
    assert "died twice in this run" in error


def test_a_change_of_the_process_is_told_once(tmp_path: Path, data_dir: Path) -> None:
    spec = specify("Elsewhere", seeds=2)
    with pytest.warns(UserWarning, match="Elsewhere.* changed the working directory from") as said:
        bench.sweep(spec, results=tmp_path, in_process=True, data_dir=data_dir)
    assert len(said) == 1


def test_a_module_may_change_the_environment_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrays: Path
) -> None:
    (tmp_path / "early.py").write_text(
        "import os, torch\n"
        "os.environ['EARLY'] = '1'\n"
        "os.chdir('/')\n"
        "torch.set_num_threads(2)\n"
        "class Early(torch.optim.Optimizer):\n"
        "    def __init__(self, params):\n"
        "        super().__init__(params, {})\n"
        "    def step(self, closure=None):\n"
        "        assert os.environ['EARLY'] == '1'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("EARLY", "0")
    plan = SweepSpec(
        name="x", optimizers=resolve_all("early:Early"), seeds=(0, 1), workload=WORKLOAD
    ).plan()
    assert os.getcwd() == HERE
    events = list(run_plan(plan, make_context(tmp_path, arrays)))
    assert [(event.status, event.notes) for event in events] == [(OK, ())] * 2


def test_the_time_of_a_run_does_not_include_the_imports_of_its_process(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is slow once, before the first update, is not counted, not even by the timeout."""
    warmed: list[object] = []

    def slow(data: object) -> None:
        warmed.append(data)
        time.sleep(1.0)

    train_job._warm_up.cache_clear()
    monkeypatch.setattr(train_job, "warm_up", slow)
    context = make_context(tmp_path, arrays, in_process=True, timeout=0.9)
    brief = replace(WORKLOAD, iterations=2, eval_every=2)
    plan = SweepSpec(name="x", optimizers=resolve_all("sgd"), seeds=(0, 1), workload=brief).plan()
    for run in plan:
        do_job(Job(runs=(run,)), context)
    assert len(warmed) == 1
    assert [row["status"] for row in context.store.read_rows().to_pylist()] == [OK, OK]


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's death signal")
@pytest.mark.long
def test_a_worker_that_holds_the_gil_ends_with_its_parent(run_command: CommandLine) -> None:
    words = (
        "--optimizers",
        "bench.tools.misbehaving:HoldGil",
        "--seeds",
        "1",
        "--iterations",
        "20",
        "--no-report",
        *DIGITS,
    )
    with run_command.start("sweep", *words, "-j", "1") as process:
        running = run_command.directory / "results"
        wait_for(lambda: list(running.glob("*/.running/*")))
        workers = children_of(process.pid)
        assert workers
        time.sleep(0.5)  # the run is in its first update
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: not any(map(is_worker_alive, workers)))


@pytest.mark.long
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_second_interruption_ends_the_program_in_the_same_way(
    pause: float, run_command: CommandLine
) -> None:
    """The terminal sends both to all processes of the program."""
    words = ("--optimizers", "sgd", "--seeds", "2", "--iterations", "1000000", "--no-report")
    with run_command.start("sweep", *words, *DIGITS) as process:
        wait_for(lambda: list(run_command.directory.glob("results/*/.running/*")))
        workers = children_of(process.pid)
        for wait in (pause, 0.01, 0.01):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(wait)
        _, err = process.communicate(timeout=120)
    kept = r"\noptimizer-bench: interrupted(: 0 of 2 runs kept; the same command resumes)?\n"
    assert (process.returncode, bool(re.fullmatch(kept, err))) == (130, True), err
    assert workers
    assert not any(map(is_worker_alive, workers))


def wait_for(condition: Any) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


def children_of(parent: int) -> list[int]:
    """The workers of a program, which are forked from a process that it has started."""
    return [
        pid
        for server in _started_by(parent)
        for pid in _started_by(server)
        if Path(f"/proc/{pid}/comm").read_text() == "bench-worker\n"
    ]


def _started_by(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def is_worker_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_warnings_of_a_worker_come_with_its_events_and_are_logged_once(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stepped(*_: object, **__: object) -> None:
        warnings.warn("this is\nold", FutureWarning, stacklevel=1)
        raise ValueError("no")

    worker_warnings.keep_warnings.cache_clear()
    monkeypatch.setattr(train_job, "is_worker", lambda: True)
    monkeypatch.setattr(train_job, "train", stepped)
    context = make_context(tmp_path, arrays)
    plan = SweepSpec(name="x", optimizers=resolve_all("sgd"), seeds=(0, 1)).plan()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        events = [event for run in plan for event in do_job(Job(runs=(run,)), context)]
    (text,) = {warning for event in events for warning in event.warnings}
    assert text.startswith("FutureWarning: this is old (")

    def logged() -> None:
        with logging_warnings(context.store) as warned:
            for event in events:
                warned.update(event.warnings)

    with pytest.warns(UserWarning, match="2 warnings of libraries or user code, 1 of them diff"):
        logged()
    assert context.store.warnings_file.read_text() == f"2 times  {text}\n"
