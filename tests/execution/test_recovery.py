"""How a plan continues after its pools broke. Pools are simulated; test_slots.py has real ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import resolve_all

from bench.errors import WorkerError
from bench.execution import runner
from bench.execution.environment import describe_machine
from bench.execution.in_flight import DeviceFailure, InFlight
from bench.execution.jobs import Job, RunContext, RunEvent
from bench.spec.model import RunSpec, SweepSpec
from bench.storage.records import FAILED, OK
from bench.storage.store import Store

PLAN = SweepSpec(name="x", optimizers=resolve_all("sgd,adam"), seeds=(0, 1, 2, 3)).plan()
Pool = Callable[[Sequence[Job], RunContext, InFlight], Generator[RunEvent]]


def event_of(run: RunSpec) -> RunEvent:
    return RunEvent(
        key=run.key, optimizer=run.optimizer.name, seed=run.seed, status=OK, test_accuracy=0.5
    )


def mark(in_flight: InFlight, runs: Sequence[RunSpec]) -> None:
    """Mark runs as in flight, and die."""
    with suppress(ZeroDivisionError), in_flight.during(runs):
        raise ZeroDivisionError


class Simulation:
    """Replaces the pools of the runner; `pools` act one after the other."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch, **settings: object):
        store = Store(directory)
        store.create()
        machine = describe_machine("cpu", 2)
        self.context = RunContext(arrays=directory, machine=machine, store=store, **settings)  # type: ignore[arg-type]
        self.stored: set[str] = set()
        self.started: list[tuple[bool, int]] = []  # whether alone, and the number of runs
        self.pool: Pool = complete
        monkeypatch.setattr(runner, "_in_pool", self._start)
        monkeypatch.setattr(runner, "_stored_event", self._stored_event)

    def run(self) -> dict[str, str]:
        """The status of each run; every run must have one event."""
        events = list(runner.run_plan(PLAN, self.context))
        assert sorted(event.key for event in events) == sorted(run.key for run in PLAN)
        assert not self.context.store.in_flight_directory.exists()
        return {event.key: event.status for event in events}

    def _start(
        self,
        jobs: Sequence[Job],
        context: RunContext,
        in_flight: InFlight,
        _pools: object,
        *,
        is_alone: bool,
    ) -> Generator[RunEvent]:
        self.started.append((is_alone, sum(len(job.runs) for job in jobs)))
        return self.pool(jobs, context, in_flight)

    def _stored_event(self, run: RunSpec, *_: object) -> RunEvent | None:
        return event_of(run) if run.key in self.stored else None


def complete(
    jobs: Sequence[Job], _context: RunContext, _in_flight: InFlight
) -> Generator[RunEvent]:
    for job in jobs:
        yield from map(event_of, job.runs)


def breaking(script: str) -> Pool:
    """Pools that break: b with their first run begun, n with none begun; then . completes."""
    letters = iter(script)

    def pool(jobs: Sequence[Job], context: RunContext, in_flight: InFlight) -> Generator[RunEvent]:
        letter = next(letters, ".")
        if letter == ".":
            yield from complete(jobs, context, in_flight)
            return
        if letter == "b":
            mark(in_flight, jobs[0].runs)
        raise BrokenProcessPool

    return pool


@pytest.mark.parametrize(
    ("script", "status", "started"),
    [
        ("b.", OK, [(False, 8), (True, 1), (False, 7)]),
        ("bb.", FAILED, [(False, 8), (True, 1), (False, 7)]),
        ("bn.", OK, [(False, 8), (True, 1), (True, 1), (False, 7)]),
        ("bnb.", FAILED, [(False, 8), (True, 1), (True, 1), (False, 7)]),
        ("nn.", OK, [(False, 8)] * 3),
        ("nnn", None, [(False, 8)] * 3),
        ("bnnn", None, [(False, 8), *[(True, 1)] * 3]),
    ],
)
def test_a_run_has_failed_only_if_two_workers_died_that_had_begun_it(
    script: str,
    status: str | None,
    started: list[tuple[bool, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = Simulation(tmp_path, monkeypatch)
    simulation.pool = breaking(script)
    if status is None:
        with pytest.raises(WorkerError, match="worker processes die or do not start"):
            simulation.run()
        assert not any(simulation.context.store.run_file(run).exists() for run in PLAN)
    else:
        statuses = simulation.run()
        assert statuses.pop(PLAN[0].key) == status
        assert set(statuses.values()) == {OK}
    assert simulation.started == started


def test_the_last_device_is_not_used_again_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(jobs: Sequence[Job], context: RunContext, in_flight: InFlight) -> Generator[RunEvent]:
        yield from ()
        keys = tuple(run.key for run in jobs[0].runs)
        in_flight.report(DeviceFailure(device=context.slots[0], reason="Xid", runs=keys))
        raise BrokenProcessPool

    simulation = Simulation(tmp_path, monkeypatch, slots=("cpu:0",) * 2)
    simulation.pool = pool
    with pytest.raises(WorkerError, match=r"no GPU is left \(Xid\)"):
        simulation.run()
    assert [n_runs for _, n_runs in simulation.started] == [8, 8, 7, 7, 6]
    stored = [simulation.context.store.run_file(run).exists() for run in PLAN]
    assert stored == [True, True, *[False] * 6]


class Unreliable:
    """Pools whose workers die, whose devices fail, and whose events get lost, at random.

    `deadly` runs always end their worker and `breaking` runs the device; others do so by chance.
    """

    def __init__(self, simulation: Simulation, rng: random.Random) -> None:
        self._simulation, self._rng = simulation, rng
        keys = [run.key for run in PLAN]
        self.deadly = set(rng.sample(keys, rng.choice((0, 0, 1, 2))))
        self.breaking = set(rng.sample(keys, rng.choice((0, 0, 1)))) - self.deadly
        self.deaths: Counter[str] = Counter()  # of workers that had begun the run, by run
        self.failures: Counter[str] = Counter()  # of devices on which the run was, by run
        self.broken: set[str] = set()

    def __call__(
        self, jobs: Sequence[Job], context: RunContext, in_flight: InFlight
    ) -> Generator[RunEvent]:
        assert not self.broken & set(context.slots) or set(context.slots) <= self.broken
        slots, waiting, begun = context.slots, list(jobs), []
        while waiting or begun:
            while waiting and len(begun) < len(slots):
                begun.append(waiting.pop(0))
            number = self._rng.randrange(len(begun))
            keys = {run.key for run in begun[number].runs}
            if keys & self.breaking or self._rng.random() < 0.05:
                device = slots[number]
                self.broken.add(device)
                self.failures.update(keys)
                for job in begun:
                    mark(in_flight, job.runs)
                in_flight.report(DeviceFailure(device=device, reason="Xid", runs=tuple(keys)))
                raise BrokenProcessPool
            if keys & self.deadly or self._rng.random() < 0.05:
                for job in begun:
                    mark(in_flight, job.runs)
                    self.deaths.update(run.key for run in job.runs)
                raise BrokenProcessPool
            job = begun.pop(number)
            self._simulation.stored |= keys
            if self._rng.random() < 0.9:
                yield from map(event_of, job.runs)
            elif self._rng.random() < 0.5:  # the worker dies after it stored the rows
                raise BrokenProcessPool
            else:
                yield from map(event_of, job.runs)


@pytest.mark.parametrize("seed", range(40))
def test_no_run_is_lost_and_none_is_blamed_for_another(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    slots = tuple(f"cpu:{i}" for i in range(rng.randint(1, 4))) * rng.randint(1, 2)
    simulation = Simulation(tmp_path, monkeypatch, slots=slots, stack=rng.randint(1, 3))
    simulation.pool = unreliable = Unreliable(simulation, rng)
    try:
        statuses = simulation.run()
    except WorkerError:
        assert unreliable.broken == set(slots)
        return
    for key, status in statuses.items():
        is_blamed = unreliable.deaths[key] >= 2 or unreliable.failures[key] >= 2
        assert status == OK or is_blamed
        assert status == FAILED or key not in unreliable.deadly | unreliable.breaking
