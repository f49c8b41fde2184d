from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import resolve_all, resolve_one

from bench.errors import SpecError, WorkerError
from bench.execution import jobs
from bench.execution.device_pool import DevicePool, Stopped, run_on_devices
from bench.execution.environment import describe_machine
from bench.execution.jobs import Job, RunContext, do_job, make_jobs
from bench.execution.runner import run_plan, stop_workers
from bench.spec.model import SweepSpec, Workload
from bench.storage.records import FAILED, OK
from bench.storage.store import Store
from bench.tools.fault_injection import TIMINGS

SPEC = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd,adam"),
    seeds=(0, 1, 2, 3),
    workload=Workload(iterations=60, eval_every=25),
)
PLAN = SPEC.plan()
SGD = [run for run in PLAN if run.optimizer.name == "sgd"]
#: To torch, both are the processor; to the pool, they are two devices.
DEVICES = ("cpu:0", "cpu:1")


def make_site(directory: Path, arrays: Path, **settings: Any) -> RunContext:
    store = Store(directory)
    store.create()
    return RunContext(arrays=arrays, machine=describe_machine("cpu", 1), store=store, **settings)


def rows_of(context: RunContext) -> pa.Table:
    rows = context.store.read_rows().drop_columns(list(TIMINGS))
    return rows.sort_by([("optimizer", "ascending"), ("seed", "ascending")])


def before_training(monkeypatch: pytest.MonkeyPatch, hook: Callable[[Sequence[int]], None]) -> None:
    """Call `hook` with the seeds of a stack before it is trained."""
    train = jobs.train

    def hooked(*arguments: Any, **options: Any) -> Any:
        hook(arguments[2])
        return train(*arguments, **options)

    monkeypatch.setattr(jobs, "train", hooked)


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
    """The same whoever trains the stack: this process, workers, or threads on devices."""
    here, workers, threads = (tmp_path / name for name in ("here", "workers", "threads"))
    context = make_site(here, arrays, stack=3)
    assert {event.status for job in make_jobs(PLAN, 3) for event in do_job(job, context)} == {OK}
    rows = rows_of(context)
    assert rows["run_key"].to_pylist() == [
        run.key for name in ("adam", "sgd") for run in PLAN if run.optimizer.name == name
    ]
    assert rows["stack"].to_pylist() == [3, 3, 3, 1] * 2
    assert set(rows["tf32"].to_pylist()) == {None}

    machine = describe_machine("cpu", 2)
    pool = replace(make_site(workers, arrays, stack=3), machine=machine)
    events = list(run_plan(PLAN, pool))
    stop_workers()
    assert {event.key for event in events} == {run.key for run in PLAN}
    assert rows_of(pool).equals(rows)

    devices = make_site(threads, arrays, stack=3, slots=DEVICES)
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


@pytest.mark.parametrize("place", ["this thread", "another thread"])
def test_a_stack_has_the_time_of_all_its_runs_and_then_each_its_own(
    place: str, arrays: Path, tmp_path: Path, trained: list[tuple[int, ...]]
) -> None:
    context = make_site(tmp_path, arrays, timeout=0.1)
    long = SweepSpec(
        name="x",
        optimizers=(resolve_one("sgd"),),
        seeds=(0, 1, 2),
        workload=Workload(iterations=100_000, eval_every=100_000),
    )
    (job,) = make_jobs(long.plan(), 3)
    before = time.monotonic()
    if place == "this thread":
        events = do_job(job, context)
    else:
        with ThreadPoolExecutor(1) as threads:
            events = threads.submit(do_job, job, context).result()
    assert time.monotonic() - before >= 0.3 + 3 * 0.1
    assert trained == [(0, 1, 2), (0,), (1,), (2,)]
    assert [event.status for event in events] == [FAILED] * 3
    message = "the run took longer than the 0.1 seconds of --timeout"
    assert all(message in error for error in rows_of(context)["error"].to_pylist())


def test_without_threads_rows_are_written_one_by_one(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(jobs.ThreadPoolExecutor, "submit", no_more)
    context = make_site(tmp_path, arrays)
    do_job(make_jobs(PLAN, 9)[0], context)
    assert len(rows_of(context)) == 4


# ---------------------------------------------------------------- devices


def break_device(
    monkeypatch: pytest.MonkeyPatch, *broken: str, at_seed: int | None = None
) -> list[str]:
    """These devices fail from their first job on; returns which were asked to train."""
    asked: list[str] = []
    down: set[str] = set()
    load, of_thread = jobs.load_data, threading.local()

    def load_on(arrays: Path, device: str) -> Any:
        asked.append(device)
        of_thread.device = device
        return load(arrays, device)

    def hook(seeds: Sequence[int]) -> None:
        if of_thread.device in broken and (at_seed is None or at_seed in seeds):
            down.add(of_thread.device)
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(jobs, "load_data", load_on)
    before_training(monkeypatch, hook)
    monkeypatch.setattr(jobs, "is_working", lambda device: device not in down)
    return asked


def test_the_work_of_a_failed_device_moves_to_another(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = break_device(monkeypatch, "cpu:1")
    context = make_site(tmp_path, arrays, stack=2, slots=DEVICES)
    events = list(run_on_devices(make_jobs(PLAN, 2), context))
    assert {event.status for event in events} == {OK}
    assert sorted(event.key for event in events) == sorted(run.key for run in PLAN)
    assert asked.count("cpu:1") <= 1


def test_without_a_device_the_sweep_ends_and_says_why(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_device(monkeypatch, "cpu:0")
    context = make_site(tmp_path, arrays, stack=2, slots=("cpu:0",))
    with pytest.raises(WorkerError, match=r"no GPU is left \(cpu:0 does not compute .* illegal"):
        list(run_on_devices(make_jobs(PLAN, 2), context))
    rows = rows_of(context)
    assert rows["status"].to_pylist() == [FAILED] * 2  # the job under which it broke
    assert "illegal memory access" in rows["error"][0].as_py()


@pytest.mark.parametrize("per_device", [1, 2])
def test_a_job_that_breaks_two_devices_is_to_blame_and_the_third_goes_on(
    per_device: int, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = ("cpu:0", "cpu:1", "cpu:2")
    break_device(monkeypatch, *devices, at_seed=3)
    context = make_site(tmp_path, arrays, stack=1, slots=devices * per_device)
    list(run_on_devices(make_jobs(SGD, 1), context))
    assert rows_of(context)["status"].to_pylist() == [OK, OK, OK, FAILED]


def test_nobody_is_blamed_who_shared_the_last_device(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_device(monkeypatch, "cpu:0")
    context = make_site(tmp_path, arrays, stack=2, slots=("cpu:0", "cpu:0"))
    with pytest.raises(WorkerError, match=r"no GPU is left .* --jobs-per-gpu 1"):
        list(run_on_devices(make_jobs(PLAN, 2), context))
    assert not any(context.store.run_file(run).exists() for run in PLAN)


def test_stopping_early_leaves_nobody_at_work(arrays: Path, tmp_path: Path) -> None:
    context = make_site(tmp_path, arrays, stack=1, slots=DEVICES)
    before = threading.active_count()
    events = run_on_devices(make_jobs(PLAN, 1), context)
    next(events)
    events.close()
    assert threading.active_count() == before
    stored = len(context.store.read_rows())
    assert 1 <= stored < len(PLAN)
    list(run_on_devices(make_jobs(PLAN, 1), context))
    assert len(context.store.read_rows()) == len(PLAN)


def loop(_seeds: Sequence[int]) -> None:
    while time.monotonic() > 0:
        with suppress(Exception):
            time.sleep(0.01)


def wait_outside_python(_seeds: Sequence[int]) -> None:
    time.sleep(6)


def hang_at_seed_2(hang: Callable[[Sequence[int]], None]) -> Callable[[Sequence[int]], None]:
    return lambda seeds: hang(seeds) if 2 in seeds else None


def test_what_hangs_in_python_on_a_device_has_failed_after_its_time(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before_training(monkeypatch, hang_at_seed_2(loop))
    context = make_site(tmp_path, arrays, stack=1, slots=DEVICES, timeout=4, grace=0.5)
    list(run_on_devices(make_jobs(SGD, 1), context))
    rows = rows_of(context)
    assert rows["status"].to_pylist() == [OK, OK, FAILED, OK]
    error = rows["error"][2].as_py()
    assert error.endswith("RunTimeoutError: the run took longer than the 4 seconds of --timeout\n")
    assert "in loop" in error


@pytest.mark.parametrize("hang", [loop, wait_outside_python])
def test_what_hangs_on_a_device_does_not_keep_the_program(
    hang: Callable[[Sequence[int]], None],
    arrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before_training(monkeypatch, hang_at_seed_2(hang))
    context = make_site(tmp_path, arrays, stack=1, slots=DEVICES, timeout=4, grace=0.5)
    before = set(threading.enumerate())
    events = run_on_devices(make_jobs(SGD, 1), context)
    seeds = [next(events).seed for _ in range(3)]
    events.close()
    assert sorted(seeds) == [0, 1, 3]
    left = {t for t in set(threading.enumerate()) - before if t.name.startswith("gpu")}
    assert len(left) == (hang is wait_outside_python)
    assert all(thread.daemon for thread in left)
    for thread in left:
        thread.join()
    assert rows_of(context)["seed"].to_pylist() == [0, 1, 3]


def start_some(monkeypatch: pytest.MonkeyPatch, n: int, error: BaseException) -> None:
    """After so many threads for GPUs, no more are started."""
    start, started = threading.Thread.start, []

    def start_or_raise(thread: threading.Thread) -> None:
        if thread.name.startswith("gpu"):
            if len(started) == n:
                raise error
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_raise)


def test_an_interrupt_while_threads_start_leaves_nobody_at_work(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_some(monkeypatch, 2, KeyboardInterrupt())
    context = make_site(tmp_path, arrays, stack=1, slots=DEVICES)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(run_on_devices(make_jobs(PLAN, 1), context))
    assert threading.active_count() == before
    assert sum(context.store.run_file(run).exists() for run in PLAN) < len(PLAN)


@pytest.mark.parametrize("n_started", [0, 1])
def test_where_no_more_threads_start(
    n_started: int, arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_some(monkeypatch, n_started, RuntimeError("can't start new thread"))
    context = make_site(tmp_path, arrays, stack=2, slots=DEVICES)
    events = run_on_devices(make_jobs(PLAN, 2), context)
    if n_started:
        assert {event.status for event in events} == {OK}
    else:
        with pytest.raises(WorkerError, match="can't start new thread"):
            list(events)


def test_no_room_to_draw_ahead_is_left_to_the_training(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("bench.training.seeding.orders", no_room)
    context = make_site(tmp_path, arrays, stack=2, slots=DEVICES)
    assert {e.status for e in run_on_devices(make_jobs(PLAN, 2), context)} == {OK}


def test_an_error_of_ours_ends_the_sweep(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise WorkerError("no room")

    monkeypatch.setattr("bench.execution.device_pool.store", no_room)
    context = make_site(tmp_path, arrays, stack=2, slots=DEVICES)
    with pytest.raises(WorkerError, match="no room"):
        list(run_on_devices(make_jobs(PLAN, 2), context))


class TestPool:
    def test_no_device_has_more_jobs_than_it_takes(self) -> None:
        slots = ("a", "b", "a")
        pool, held, lock, most = DevicePool(slots), [], threading.Lock(), []

        def work(_: int) -> None:
            device = pool.take()
            with lock:
                held.append(device)
                most.append({name: held.count(name) for name in "ab"})
            time.sleep(0.001)
            with lock:
                held.remove(device)
            pool.give_back(device)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(200)))
        assert max(m["a"] for m in most) == 2
        assert max(m["b"] for m in most) == 1

    def test_a_retired_device_is_not_given_to_anybody(self) -> None:
        pool = DevicePool(("a", "b", "a"))
        taken = [pool.take(), pool.take()]
        assert taken == ["a", "b"]
        pool.retire("a", "it smokes")
        pool.give_back("a")
        pool.give_back("b")
        assert pool.take() == "b"
        assert not pool.is_empty
        assert pool.takes_one("b")
        pool.retire("b", "it smokes too")
        assert pool.is_empty
        with pytest.raises(WorkerError, match="it smokes too"):
            pool.take()

    def test_who_wants_one_alone_goes_first_and_shares_with_nobody(self) -> None:
        pool = DevicePool(("a", "b", "a"))
        assert [pool.take(), pool.take()] == ["a", "b"]
        with ThreadPoolExecutor(2) as threads:
            alone = threads.submit(pool.take, alone=True)
            time.sleep(0.05)
            shared = threads.submit(pool.take)  # there is room on a, but it has to wait
            time.sleep(0.05)
            assert not alone.done()
            assert not shared.done()
            pool.give_back("a")
            assert alone.result(timeout=10) == "a"
            time.sleep(0.05)
            assert not shared.done()
            pool.give_back("a", alone=True)
            assert shared.result(timeout=10) == "a"
            assert pool.take() == "a"

    @pytest.mark.parametrize("end", ["stop", "retire"])
    def test_who_waits_is_woken(self, end: str) -> None:
        pool = DevicePool(("a",))
        pool.take()
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(pool.take) for _ in range(2)]
            time.sleep(0.05)
            if end == "stop":
                pool.stop()
            else:
                pool.retire("a", "gone")
            for future in waiting:
                with pytest.raises(Stopped if end == "stop" else WorkerError):
                    future.result(timeout=10)
