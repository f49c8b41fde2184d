"""Requests to the workers of a Dask cluster, with a connection that a test controls."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import resolve_all

from bench.errors import WorkerError
from bench.execution import cluster, dask_client
from bench.execution.cluster import Runs, _Dispatch, _Plan, run_on_cluster
from bench.execution.cluster_job import Answer, StoredRow
from bench.execution.dask_client import SchedulerLostError
from bench.execution.environment import describe_machine
from bench.execution.jobs import RunContext, RunEvent
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.storage.records import FAILED, OK
from bench.storage.rows import read_rows
from bench.storage.store import Store

pytest.importorskip("distributed")

RUNS = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd"),
    seeds=tuple(range(20)),
    workload=Workload(dataset="digits"),
).plan()
READY, NO_DATA, UNFIT = Answer(), Answer(needs_data=True), Answer(unfit="no disk")
#: Answer to a request: the address of the worker, the runs, and the data.
Respond = Callable[[str, Runs, Any], Answer | None]


class Connection:
    """Workers with two threads, each of whose tasks ends at once."""

    def __init__(self, *workers: str, respond: Respond) -> None:
        self.workers, self.respond = [*workers], respond
        self.tasks: dict[str, tuple[str, Runs, Any]] = {}
        self.n_looks = self.n_tasks = self.n_scattered = 0

    def threads(self) -> Mapping[str, int]:
        self.n_looks += 1
        assert self.n_looks < 200, "endless"
        return dict.fromkeys(self.workers, 2)

    def scatter(self, _data: bytes) -> str:
        self.n_scattered += 1
        return f"data {self.n_scattered}"

    def submit(self, request: Any, address: str, data: Any) -> str:
        self.n_tasks += 1
        self.tasks[str(self.n_tasks)] = address, request, data
        return str(self.n_tasks)

    def cancel(self, keys: Collection[str]) -> None:
        for key in keys:
            self.tasks.pop(key, None)

    def answers(self, _seconds: float) -> Mapping[str, Answer | None]:
        found = {}
        for key, task in tuple(self.tasks.items()):
            answer = self.respond(*task)
            if task[0] in self.workers:
                found[key] = answer
                del self.tasks[key]
        return found


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Plan:
    """Twenty runs; a request is only their tuple."""
    monkeypatch.setattr(cluster, "_POLL", 0.0)
    monkeypatch.setattr(_Plan, "request", lambda _self, runs=(): runs)
    return _Plan(RUNS, context_in(tmp_path), "tcp://x")


def context_in(directory: Path) -> RunContext:
    store = Store(directory / "x")
    store.create()
    return RunContext(arrays=directory, machine=describe_machine("cpu", 1), store=store)


def rows_of(runs: Runs) -> Answer:
    return Answer(rows=tuple(map(row_of, runs)), seconds=1e-3 * len(runs))


def row_of(run: RunSpec) -> StoredRow:
    event = RunEvent(key=run.key, optimizer="sgd", seed=run.seed, status=OK, test_accuracy=0.5)
    return StoredRow(event=event, content=b"")


def test_only_the_run_that_ends_workers_is_recorded_as_failed(plan: _Plan) -> None:
    """Every worker that has this run ends before any of its tasks."""
    sizes = set()

    def respond(address: str, runs: Runs, _data: Any) -> Answer:
        sizes.add(len(runs))
        has = [task_runs for worker, task_runs, _ in connection.tasks.values() if worker == address]
        if any(run.seed == 7 for task_runs in has for run in task_runs):
            connection.workers = [w for w in connection.workers if w != address]
            connection.workers.append(f"{address}'")
        return rows_of(runs) if runs else READY

    connection = Connection("a", "b", respond=respond)
    dispatch = _Dispatch(plan, connection)  # type: ignore[arg-type]
    dispatch._per_run = 1e-3
    found = {event.seed: event.status for event in dispatch.events()}
    assert found == {seed: FAILED if seed == 7 else OK for seed in range(20)}
    assert max(sizes) > 1
    (failed,) = read_rows(plan.context.store.run_file(RUNS[7])).to_pylist()
    assert "a crash, or the cluster has removed them" in failed["error"]


def test_data_that_was_lost_with_its_worker_is_sent_again(
    plan: _Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "pack", lambda _arrays: b"packed")

    def respond(_address: str, runs: Runs, data: Any) -> Answer | None:
        if runs:
            return rows_of(runs)
        return {b"": NO_DATA, "data 1": None}.get(data, READY)

    connection = Connection("a", respond=respond)
    assert len(list(_Dispatch(plan, connection).events())) == 20  # type: ignore[arg-type]
    assert connection.n_scattered == 2


def test_a_worker_that_was_lost_is_waited_for_where_others_are_unfit(plan: _Plan) -> None:
    def respond(address: str, runs: Runs, _data: Any) -> Answer:
        if address == "unfit":
            return UNFIT
        if runs and address == "fit":
            connection.workers = ["unfit"]
        return rows_of(runs) if runs else READY

    connection = Connection("fit", "unfit", respond=respond)
    look = connection.threads

    def later() -> Mapping[str, int]:
        if connection.n_looks == 50:
            connection.workers.append("late")
        return look()

    connection.threads = later  # type: ignore[method-assign]
    with (
        pytest.warns(UserWarning, match="waiting for workers"),
        pytest.warns(UserWarning, match="is left out") as caught,
    ):
        assert len(list(_Dispatch(plan, connection).events())) == 20  # type: ignore[arg-type]
    assert [str(warning.message) for warning in caught] == [
        "the Dask worker at unfit is left out: no disk",
        "waiting for workers of the Dask scheduler at tcp://x",
    ]


def test_a_scheduler_that_is_lost_without_a_new_row_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as by an error of every call."""
    connected = []

    class Broken(Connection):
        def threads(self) -> Mapping[str, int]:
            raise SchedulerLostError("no attribute")

    @contextmanager
    def connect(_scheduler: str, _seconds: float) -> Iterator[Connection]:
        connected.append(1)
        assert len(connected) < 9, "endless"
        yield Broken("a", respond=lambda *_: READY)

    monkeypatch.setattr(cluster, "connect", connect)
    with (
        pytest.warns(UserWarning, match="was lost: waiting"),
        pytest.raises(
            WorkerError, match=r"was lost 3 times without a new row \(no attribute\); the finished"
        ),
    ):
        list(run_on_cluster(RUNS, context_in(tmp_path), "tcp://x"))
    assert len(connected) == 3


class SlowClient:
    """The calls of a client of Dask; the answers of the worker `slow` wait for `release`."""

    status = "running"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.release = SimpleNamespace(asyncio_loop=loop), asyncio.Event()

    def submit(self, *_words: object, workers: Sequence[str], **_options: object) -> object:
        return SimpleNamespace(
            key=f"task of {workers[0]}",
            status="finished",
            add_done_callback=lambda call: call(SimpleNamespace(key=f"task of {workers[0]}")),
        )

    async def gather(self, futures: Mapping[str, Any], **_options: object) -> Mapping[str, bytes]:
        if "task of slow" in futures:
            await self.release.wait()
        return dict.fromkeys(futures, pickle.dumps(READY))


def test_an_answer_that_takes_long_delays_no_other() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        client = SlowClient(loop)
        connection = dask_client.Connection(client)
        for address in ("slow", "fast"):
            connection.submit(b"", address)
        assert connection.answers(9) == {}, "both are being fetched"
        assert connection.answers(9) == {"task of fast": READY}
        assert connection.answers(0.01) == {}
        loop.call_soon_threadsafe(client.release.set)
        assert connection.answers(9) == {"task of slow": READY}
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
