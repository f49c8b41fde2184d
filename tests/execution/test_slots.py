"""Workers with slots: real processes, on devices that are all the CPU to torch."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from _faults import HangingSeed, start_breaking
from conftest import resolve_all

from bench.errors import WorkerError
from bench.execution import pool, runner
from bench.execution.environment import describe_machine
from bench.execution.jobs import RunContext
from bench.execution.runner import run_plan
from bench.execution.slots import Slots, claimed_device
from bench.spec.model import SweepSpec, Workload
from bench.storage.records import FAILED, OK
from bench.storage.store import Store

PLAN = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd"),
    seeds=(0, 1, 2, 3),
    workload=Workload(dataset="digits", iterations=20, eval_every=20),
).plan()
ALL_OK = [OK] * 4
THREE = ("cpu:0", "cpu:1", "cpu:2")


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Path:
    """Few images, which are evaluated in a moment."""
    return digits


def make_site(directory: Path, arrays: Path, slots: tuple[str, ...], **settings: Any) -> RunContext:
    store = Store(directory)
    store.create()
    machine = describe_machine("cpu", len(slots))
    return RunContext(arrays=arrays, machine=machine, store=store, slots=slots, **settings)


@pytest.mark.parametrize(
    ("slots", "broken", "at_seed", "stays_broken", "expected"),
    [
        (("cpu:0", "cpu:1", "cpu:0"), ("cpu:0",), None, False, ALL_OK),
        (("cpu:0",), ("cpu:0",), 2, False, [OK, OK, FAILED, OK]),
        pytest.param(("cpu:0",), ("cpu:0",), 2, True, [OK, OK, None, None], marks=pytest.mark.long),
        pytest.param(THREE, THREE, 3, False, [OK, OK, OK, FAILED], marks=pytest.mark.long),
    ],
    ids=[
        "one of two devices fails",
        "a run breaks the only device",
        "the only device cannot be used any more",
        "a run breaks two devices",
    ],
)
def test_a_device_fails(
    slots: tuple[str, ...],
    broken: tuple[str, ...],
    at_seed: int | None,
    stays_broken: bool,
    expected: list[str | None],
    arrays: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = partial(start_breaking, broken, at_seed, stays_broken)
    monkeypatch.setattr(pool, "start_worker", start)
    context = make_site(tmp_path, arrays, slots)
    events = run_plan(PLAN, context)
    if None in expected:
        reason = r"no GPU is left \(cpu:0 does not compute any more: .*illegal memory access"
        with pytest.raises(WorkerError, match=reason):
            list(events)
    else:
        assert sorted(event.seed for event in events) == [0, 1, 2, 3]
    rows = {row["seed"]: row for row in context.store.read_rows().to_pylist()}
    assert [rows[seed]["status"] if seed in rows else None for seed in range(4)] == expected
    assert all("illegal memory access" in row["error"] for row in rows.values() if row["error"])
    assert not context.store.in_flight_directory.exists()


@pytest.mark.long
def test_a_hanging_run_does_not_fail_those_on_other_devices(arrays: Path, tmp_path: Path) -> None:
    """It hangs outside Python: its worker ends, and with it the pool."""
    hanging = replace(PLAN[3], seed=HangingSeed(3))
    context = make_site(tmp_path, arrays, ("cpu:0", "cpu:1"), timeout=20.0, grace=1.0)
    events = {event.seed: event.status for event in run_plan([hanging, *PLAN[:3]], context)}
    assert events == {0: OK, 1: OK, 2: OK, 3: FAILED}


def test_stopping_early_ends_all_workers(arrays: Path, tmp_path: Path) -> None:
    before = set(active_children())
    context = make_site(tmp_path, arrays, ("cpu:0",))
    events = run_plan(PLAN, context)
    next(events)
    events.close()
    assert set(active_children()) <= before
    assert not context.store.in_flight_directory.exists()
    assert 1 <= len(context.store.read_rows()) <= len(PLAN)


def test_without_worker_processes_this_one_trains_on_one_device(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "why_no_workers", lambda: "JOBLIB_MULTIPROCESSING=0")
    context = make_site(tmp_path, arrays, ("cpu:0",))
    assert [event.status for event in run_plan(PLAN[:2], context)] == [OK, OK]

    def break_device(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("bench.execution.train_job.train", break_device)
    monkeypatch.setattr("bench.execution.train_job.is_working", lambda _device: False)
    with pytest.raises(WorkerError, match=r"no GPU is left \(cpu:0 does not compute"):
        list(run_plan(PLAN[2:], context))
    assert len(context.store.read_rows()) == 2


def claim(slots: Slots, claimed: list[str]) -> None:
    slots.claim()
    claimed.append(claimed_device(slots.devices))


def test_a_worker_waits_for_a_free_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.execution.slots._claimed", None)
    slots = Slots(tmp_path, ("cpu:0", "cpu:1"))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # a process that claims the first slot, and ends when the pipe is closed
        os.close(write)
        slots.claim()
        (tmp_path / "claimed").touch()
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    while not (tmp_path / "claimed").exists():
        pass
    claimed: list[str] = []
    claim(slots, claimed)
    waiting = threading.Thread(target=claim, args=(Slots(tmp_path, ("cpu:0",)), claimed))
    waiting.start()
    waiting.join(0.3)
    assert claimed == ["cpu:1"]
    os.close(write)
    os.waitpid(child, 0)
    waiting.join(30)
    assert claimed == ["cpu:1", "cpu:0"]
