from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from _faults import DeadlyStore, FullStore, HangingSeed
from conftest import resolve_all, resolve_one
from joblib.externals import loky

from bench.errors import StoreError
from bench.execution import fork_server
from bench.execution.environment import describe_machine
from bench.execution.error_text import without_user
from bench.execution.jobs import Job, RunContext
from bench.execution.runner import run_plan
from bench.execution.train_job import do_job, estimate_seconds, load_data
from bench.spec.model import SweepSpec, Workload
from bench.storage.records import DIVERGED, FAILED, OK
from bench.storage.store import Store
from bench.tools.fault_injection import TIMINGS

SPEC = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd,adam,adadelta"),
    seeds=(0, 1),
    workload=Workload(dataset="digits", iterations=60, eval_every=25),
)


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Path:
    """Few images, which are evaluated in a moment."""
    return digits


def make_site(directory: Path, arrays: Path, n_jobs: int = 1) -> RunContext:
    store = Store(directory)
    store.create()
    machine = describe_machine("cpu", n_jobs)
    return RunContext(arrays=arrays, machine=machine, store=store, in_process=n_jobs == 1)


@pytest.fixture(scope="module")
def undisturbed(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """Where two workers made the rows of the plan, and nothing went wrong."""
    context = make_site(tmp_path_factory.mktemp("undisturbed"), arrays, 2)
    assert len(list(run_plan(SPEC.plan(), context))) == len(SPEC.plan())
    return context


def timeless(context: RunContext) -> pa.Table:
    rows = context.store.read_rows().drop_columns(list(TIMINGS))
    return rows.sort_by([("optimizer", "ascending"), ("seed", "ascending")])


def test_rows_do_not_depend_on_workers_order_or_interruption(
    arrays: Path, tmp_path: Path, undisturbed: RunContext
) -> None:
    plan = SPEC.plan()
    one, resumed = make_site(tmp_path / "1", arrays, 1), make_site(tmp_path / "r", arrays, 2)
    assert len(list(run_plan(plan, one))) == len(plan)
    events = run_plan(plan[::-1], resumed)
    next(events)
    events.close()  # as Ctrl-C does
    done = set(resumed.store.read_rows()["run_key"].to_pylist())
    assert 0 < len(done) < len(plan)
    list(run_plan([run for run in plan if run.key not in done], resumed))

    assert timeless(one).equals(timeless(undisturbed))
    assert timeless(one).equals(timeless(resumed))


def test_a_row_holds_what_the_run_was(arrays: Path, tmp_path: Path) -> None:
    context = make_site(tmp_path, arrays)
    (run, *_) = SPEC.plan()
    (event,) = do_job(Job(runs=(run,)), context)
    (row,) = context.store.read_rows().to_pylist()
    assert (event.status, event.optimizer, event.seed) == (OK, "sgd", 0)
    assert event.test_accuracy == row["test_accuracy"] == row["test_correct"] / 360
    assert row["eval_iterations"] == [25, 50, 60]
    assert row["eval_test_accuracy"][-1] == row["test_accuracy"]
    assert row["eval_test_loss"][-1] == row["test_loss"]
    assert row["eval_train_loss"][-1] == row["train_loss"]
    assert row["eval_train_seconds"] == sorted(row["eval_train_seconds"])
    assert row["eval_train_seconds"][-1] == row["train_seconds"] > 0
    bits = "".join(f"{byte:08b}" for byte in row["correct_bits"])
    assert len(bits) == 360
    assert bits.count("1") == row["test_correct"]
    assert row["hyperparameters"].startswith('{"dampening":')
    assert row["error"] is row["diverged_at"] is None


def test_a_diverged_run_is_a_row(arrays: Path, tmp_path: Path) -> None:
    context = make_site(tmp_path, arrays)
    spec = replace(SPEC, optimizers=(resolve_one("sgd[lr=1e9]"),), seeds=(0,))
    (event,) = do_job(Job(runs=spec.plan()[:1]), context)
    (row,) = context.store.read_rows().to_pylist()
    assert event.status == row["status"] == DIVERGED
    assert row["error"] == f"loss not finite at update {row['diverged_at']}"
    assert row["test_loss"] is None
    assert row["eval_test_loss"] == [None]
    assert row["test_accuracy"] < 0.2


def test_an_error_in_training_is_a_row_with_its_traceback(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(f"the optimizer in {Path.home()}/x exploded")

    monkeypatch.setattr("bench.execution.train_job.train", explode)
    context = make_site(tmp_path, arrays)
    (event,) = do_job(Job(runs=SPEC.plan()[:1]), context)
    (row,) = context.store.read_rows().to_pylist()
    assert event.status == row["status"] == FAILED
    assert row["error"].startswith("Traceback")
    assert row["error"].strip().endswith("RuntimeError: the optimizer in ~/x exploded")
    assert str(Path.home()) not in row["error"]
    assert row["test_accuracy"] is row["eval_iterations"] is None


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_row_that_cannot_be_written_ends_the_sweep(
    arrays: Path, tmp_path: Path, n_jobs: int
) -> None:
    context = make_site(tmp_path / "gone", arrays, n_jobs)
    (tmp_path / "gone" / "runs").rmdir()
    (tmp_path / "gone" / "runs").write_text("a file where a directory should be")
    with pytest.raises(StoreError, match=r"cannot write .*sgd-seed0000\.parquet: "):
        list(run_plan(SPEC.plan()[:1] * 2, context))


def deadly_site(directory: Path, arrays: Path, times: int) -> RunContext:
    store = DeadlyStore(directory, seed=1, times=times)
    store.create()
    return RunContext(arrays=arrays, machine=describe_machine("cpu", 2), store=store)


@pytest.mark.long
def test_a_worker_that_dies_does_not_take_the_sweep_with_it(
    arrays: Path, tmp_path: Path, undisturbed: RunContext
) -> None:
    plan = SPEC.plan()
    disturbed = deadly_site(tmp_path / "once", arrays, times=1)
    events = list(run_plan(plan, disturbed))
    assert sorted(event.key for event in events) == sorted(run.key for run in plan)
    assert {event.status for event in events} == {OK}
    assert timeless(disturbed).equals(timeless(undisturbed))
    assert not disturbed.store.in_flight_directory.exists()


@pytest.mark.long
def test_a_run_that_kills_its_worker_twice_has_failed_and_the_rest_goes_on(
    arrays: Path, tmp_path: Path
) -> None:
    spec = replace(SPEC, seeds=(0, 1, 2), optimizers=resolve_all("sgd"))
    context = deadly_site(tmp_path, arrays, times=99)
    events = {event.seed: event for event in run_plan(spec.plan(), context)}
    assert {seed: event.status for seed, event in events.items()} == {0: OK, 1: FAILED, 2: OK}
    assert (tmp_path / "deaths").stat().st_size == 2, "retried once"
    (row,) = (row for row in context.store.read_rows().to_pylist() if row["seed"] == 1)
    assert row["error"] == "the worker process died twice in this run: out of memory, or a crash"


@pytest.mark.long
def test_runs_that_hang_end_at_their_timeout(arrays: Path, tmp_path: Path) -> None:
    """One in Python, one outside it, at the same time in two workers; a third comes after them."""
    spec = replace(SPEC, seeds=(0, 2, 3), optimizers=resolve_all("sgd"))
    first, *others = spec.plan()
    hanging = [replace(run, seed=HangingSeed(run.seed)) for run in others]
    context = replace(make_site(tmp_path, arrays, 2), timeout=20.0, grace=1.0)
    events = {event.seed: event.status for event in run_plan([*hanging, first], context)}
    assert events == {0: OK, 2: FAILED, 3: FAILED}
    for row in context.store.read_rows().to_pylist():
        if row["seed"] != 0:
            assert "the run took longer than the 20 seconds of --timeout" in row["error"]


@pytest.mark.slow
def test_a_hanging_run_ends_even_where_its_row_cannot_be_stored(
    arrays: Path, tmp_path: Path
) -> None:
    (run,) = replace(SPEC, seeds=(3,), optimizers=resolve_all("sgd")).plan()
    context = make_site(tmp_path, arrays, 2)
    context = replace(context, store=FullStore(tmp_path), timeout=1.0, grace=0.5)
    with pytest.raises(StoreError, match="no room"):
        list(run_plan([replace(run, seed=HangingSeed(3))], context))


def test_a_worker_may_die_while_the_others_are_started(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [BrokenProcessPool("a worker died")]
    submit = loky.ProcessPoolExecutor.submit

    def dying(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        return submit(*arguments)

    monkeypatch.setattr(loky.ProcessPoolExecutor, "submit", dying)
    plan = replace(SPEC, optimizers=resolve_all("sgd")).plan()
    context = make_site(tmp_path, arrays, 2)
    assert {event.status for event in run_plan(plan, context)} == {OK}
    assert len(context.store.read_rows()) == len(plan)


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_may_die_before_it_has_read_what_it_is_for(
    number: int, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork, forked = fork_server.fork, count(1)

    def break_off(descriptors: Sequence[int]) -> tuple[int, int]:
        if next(forked) == number:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return fork(descriptors)

    monkeypatch.setattr(fork_server, "fork", break_off)
    plan = replace(SPEC, optimizers=resolve_all("sgd")).plan()
    context = make_site(tmp_path, arrays, 2)
    assert sorted(event.key for event in run_plan(plan, context)) == sorted(run.key for run in plan)
    assert set(context.store.read_rows()["status"].to_pylist()) == {OK}
    assert next(forked) > 3


def test_a_timeout_ends_a_run_in_this_process_too(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> None:
        while True:
            with suppress(Exception):  # its own errors, and no others
                time.sleep(60)

    monkeypatch.setattr("bench.execution.train_job.train", hang)
    before = signal.getsignal(signal.SIGALRM)
    context = replace(make_site(tmp_path, arrays), timeout=0.2)
    (event,) = run_plan(SPEC.plan()[:1], context)
    assert event.status == FAILED
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_no_row_tells_whose_home_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'File "/home/ada/x/y.py", in /home/adamax, see /home/ada'
    monkeypatch.setenv("HOME", "/home/ada")
    assert without_user(text) == 'File "~/x/y.py", in /home/adamax, see ~'
    monkeypatch.setenv("HOME", "/")
    assert without_user("a/b /c") == "a/b /c"
    monkeypatch.setattr(Path, "home", _no_home)
    assert without_user("a/b /c") == "a/b /c"


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_estimates_are_for_whole_runs(arrays: Path) -> None:
    workload = replace(SPEC.workload, iterations=600)
    estimates = estimate_seconds(workload, SPEC.optimizers, load_data(arrays, "cpu"))
    assert list(estimates) == ["sgd", "adam", "adadelta"]
    assert all(0.005 < seconds < 60 for seconds in estimates.values())
