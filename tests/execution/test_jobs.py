from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import resolve_all, resolve_one

from bench.errors import SpecError, UsageError
from bench.execution import timeouts, train_job
from bench.execution.environment import describe_machine
from bench.execution.jobs import Job, RunContext, make_jobs
from bench.execution.runner import run_plan
from bench.execution.train_job import do_job
from bench.spec.model import SweepSpec, Workload
from bench.storage.records import FAILED, OK
from bench.storage.store import Store
from bench.tools.fault_injection import TIMINGS

SPEC = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd,adam"),
    seeds=(0, 1, 2, 3),
    workload=Workload(dataset="digits", iterations=60, eval_every=25),
)
PLAN = SPEC.plan()
#: Takes minutes.
LONG = SweepSpec(
    name="x",
    optimizers=(resolve_one("sgd"),),
    seeds=(0, 1, 2),
    workload=Workload(dataset="digits", iterations=10_000_000, eval_every=10_000_000),
)


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Path:
    """Few images, which are evaluated in a moment."""
    return digits


def make_site(directory: Path, arrays: Path, **settings: Any) -> RunContext:
    store = Store(directory)
    store.create()
    settings = {"machine": describe_machine("cpu", 1), "in_process": True} | settings
    return RunContext(arrays=arrays, store=store, **settings)


def rows_of(context: RunContext) -> pa.Table:
    rows = context.store.read_rows().drop_columns(list(TIMINGS))
    return rows.sort_by([("optimizer", "ascending"), ("seed", "ascending")])


def before_training(monkeypatch: pytest.MonkeyPatch, hook: Callable[[Sequence[int]], None]) -> None:
    """Call `hook` with the seeds of a stack before it is trained."""
    train = train_job.train

    def hooked(*arguments: Any, **options: Any) -> Any:
        hook(arguments[2])
        return train(*arguments, **options)

    monkeypatch.setattr(train_job, "train", hooked)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The seeds of every stack whose training was begun."""
    seen: list[tuple[int, ...]] = []
    before_training(monkeypatch, lambda seeds: seen.append(tuple(seeds)))
    return seen


# ---------------------------------------------------------------- jobs


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (1, [(name, (seed,)) for seed in SPEC.seeds for name in ("sgd", "adam")]),
        (3, [("sgd", (0, 1, 2)), ("adam", (0, 1, 2)), ("sgd", (3,)), ("adam", (3,))]),
        (9, [("sgd", (0, 1, 2, 3)), ("adam", (0, 1, 2, 3))]),
    ],
)
def test_jobs_hold_the_seeds_of_a_variant(stack: int, expected: list[object]) -> None:
    made = make_jobs(PLAN, stack)
    assert [(job.runs[0].optimizer.name, tuple(r.seed for r in job.runs)) for job in made] == (
        expected
    )
    for job in made:
        assert len({(run.optimizer, run.workload) for run in job.runs}) == 1


def test_halves_and_singles_lose_nobody() -> None:
    (job, _) = make_jobs(PLAN, 9)
    assert [len(half.runs) for half in Job(runs=job.runs[:3]).halves()] == [2, 1]
    for parts in (job.halves(), job.alone()):
        assert tuple(run for part in parts for run in part.runs) == job.runs


def test_every_run_of_a_stack_has_its_own_row(arrays: Path, tmp_path: Path) -> None:
    """The same in this process, in workers, and in workers with slots."""
    here, workers, slots = (tmp_path / name for name in ("here", "workers", "slots"))
    context = make_site(here, arrays, stack=3)
    assert {event.status for job in make_jobs(PLAN, 3) for event in do_job(job, context)} == {OK}
    rows = rows_of(context)
    assert rows["run_key"].to_pylist() == [
        run.key for name in ("adam", "sgd") for run in PLAN if run.optimizer.name == name
    ]
    assert rows["stack"].to_pylist() == [3, 3, 3, 1] * 2
    assert set(rows["tf32"].to_pylist()) == {None}

    machine = describe_machine("cpu", 2)
    pool = make_site(workers, arrays, stack=3, machine=machine, in_process=False)
    events = list(run_plan(PLAN, pool))
    assert {event.key for event in events} == {run.key for run in PLAN}
    assert rows_of(pool).equals(rows)

    devices = replace(pool, store=Store(slots), slots=("cpu:0", "cpu:1"))
    devices.store.create()
    assert {event.key for event in run_plan(PLAN, devices)} == {run.key for run in PLAN}
    assert rows_of(devices).equals(rows)


def test_memory_that_runs_out_halves_the_stack(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[int, ...]]
) -> None:
    fail_where(monkeypatch, lambda seeds: len(seeds) > 2, "CUDA out of memory. Tried to allocate")
    context = make_site(tmp_path, arrays)
    (job, _) = make_jobs(PLAN, 9)
    assert [event.status for event in do_job(job, context)] == [OK] * 4
    assert trained == [(0, 1), (2, 3)]
    assert rows_of(context)["stack"].to_pylist() == [2] * 4


def test_one_run_that_fails_does_not_take_its_stack_along(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[int, ...]]
) -> None:
    fail_where(monkeypatch, lambda seeds: 2 in seeds, "I dislike the number 2")
    context = make_site(tmp_path, arrays)
    (job, _) = make_jobs(PLAN, 9)
    assert [event.status for event in do_job(job, context)] == [OK, OK, FAILED, OK]
    assert trained == [(0,), (1,), (3,)]
    assert "I dislike the number 2" in rows_of(context)["error"][2].as_py()


@pytest.mark.parametrize(
    ("cause", "ending"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), None),
        (SystemExit(143), SystemExit),
        (ValueError("no network for such images"), SpecError),
        (None, SpecError),
    ],
)
def test_a_trial_that_ends_by_chance_is_no_fault_of_the_network(
    cause: BaseException | None,
    ending: type[BaseException] | None,
    arrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def try_out(seeds: Sequence[int]) -> None:
        if len(seeds) > 2:
            raise SpecError("network 'mine': a trial update fails") from cause

    monkeypatch.setitem(globals(), "__name__", "bench.networks.build")  # which raises it
    before_training(monkeypatch, try_out)
    context = make_site(tmp_path, arrays)
    (job, _) = make_jobs(PLAN, 9)
    if ending is None:
        assert [event.status for event in do_job(job, context)] == [OK] * 4
    else:
        with pytest.raises(ending):
            do_job(job, context)


def fail_where(
    monkeypatch: pytest.MonkeyPatch, bad: Callable[[Sequence[int]], bool], message: str
) -> None:
    def hook(seeds: Sequence[int]) -> None:
        if bad(seeds):
            raise RuntimeError(message)

    before_training(monkeypatch, hook)


def test_a_stack_has_the_time_of_all_its_runs_and_then_each_its_own(
    arrays: Path, tmp_path: Path, trained: list[tuple[int, ...]]
) -> None:
    context = make_site(tmp_path, arrays, timeout=0.1)
    (job,) = make_jobs(LONG.plan(), 3)
    before = time.monotonic()
    events = do_job(job, context)
    assert time.monotonic() - before >= 0.3 + 3 * 0.1
    assert trained == [(0, 1, 2), (0,), (1,), (2,)]
    assert [event.status for event in events] == [FAILED] * 3
    message = "the run took longer than the 0.1 seconds of --timeout"
    assert all(message in error for error in rows_of(context)["error"].to_pylist())


def test_a_run_is_interrupted_again_if_the_first_time_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python ignores exceptions in destructors, and user code may catch any."""
    monkeypatch.setattr(timeouts, "_AGAIN", 0.05)
    lost: list[BaseException] = []

    def run() -> None:
        with timeouts.time_limit(0.05, "too long"):
            try:
                time.sleep(60)
            except BaseException as error:
                lost.append(error)
            time.sleep(60)

    with pytest.raises(timeouts.RunTimeoutError, match="too long"):
        run()
    assert len(lost) == 1


def test_a_timeout_holds_in_another_thread_too(arrays: Path, tmp_path: Path) -> None:
    """No signal interrupts that thread, but the run is trained in a worker."""
    context = make_site(tmp_path, arrays, timeout=0.1, in_process=False)
    with ThreadPoolExecutor(1) as threads:
        events = threads.submit(lambda: list(run_plan(LONG.plan()[:1], context))).result()
        assert [event.status for event in events] == [FAILED]
        here = replace(context, in_process=True)
        with pytest.raises(UsageError, match="needs the main thread"):
            threads.submit(lambda: list(run_plan(LONG.plan()[:1], here))).result()


def test_without_threads_rows_are_written_one_by_one(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", no_more)
    context = make_site(tmp_path, arrays)
    do_job(make_jobs(PLAN, 9)[0], context)
    assert len(rows_of(context)) == 4
