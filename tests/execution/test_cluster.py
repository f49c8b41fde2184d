"""Sweeps on a Dask cluster: a real scheduler and real workers on loopback."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from _dask_cluster import FULL_DISK, WITHOUT_BENCH, DaskCluster
from conftest import CommandCall, CommandLine, resolve_all

import bench
from bench.datasets.cache import prepare_verified
from bench.errors import SpecError, UsageError, WorkerError
from bench.execution import cluster
from bench.execution.cluster import run_on_cluster
from bench.execution.environment import describe_machine
from bench.execution.jobs import RunContext
from bench.execution.runner import run_plan
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.storage.records import FAILED, OK
from bench.storage.store import Store
from bench.tools.fault_injection import TIMINGS

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="starts process groups"),
    pytest.mark.filterwarnings("ignore:waiting for workers"),
]

SPEC = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd,adam,adadelta"),
    seeds=(0, 1, 2, 3),
    workload=Workload(dataset="digits", iterations=60, eval_every=25),
)
SWEEP = ("--iterations", "60", "--eval-every", "25", "--dataset", "digits", "--no-report")


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler, and a worker with two threads and the process that starts it again."""
    found = DaskCluster(tmp_path_factory.mktemp("cluster"))
    try:
        found.start_scheduler()
        found.start_worker(threads=2, nanny=True)
        found.wait_for_workers(1)
        yield found
    finally:
        found.close()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """A scheduler without workers, for one test."""
    (tmp_path / "cluster").mkdir()
    found = DaskCluster(tmp_path / "cluster")
    try:
        found.start_scheduler()
        yield found
    finally:
        found.close()


def make_context(directory: Path, **settings: object) -> RunContext:
    store = Store(directory)
    store.create()
    dataset = prepare_verified("digits")
    machine = describe_machine("cpu", 1)
    return RunContext(
        arrays=dataset.directory,
        data_hash=dataset.content_hash,
        machine=machine,
        store=store,
        **settings,  # type: ignore[arg-type]
    )


def timeless(rows: pa.Table) -> pa.Table:
    rows = rows.drop_columns(list(TIMINGS))
    return rows.sort_by([("optimizer", "ascending"), ("seed", "ascending")])


def local_rows(plan: Sequence[RunSpec], directory: Path) -> pa.Table:
    context = make_context(directory, in_process=True)
    list(run_plan(plan, context))
    return timeless(context.store.read_rows())


def test_the_rows_are_those_of_this_machine(shared_cluster: DaskCluster, tmp_path: Path) -> None:
    """They do not depend on an interruption, after which the sweep goes on."""
    plan, context = SPEC.plan(), make_context(tmp_path / "dask")
    events = run_on_cluster(plan, context, shared_cluster.address)
    next(events)
    events.close()  # as Ctrl-C does
    done = set(context.store.read_rows()["run_key"].to_pylist())
    assert 0 < len(done) < len(plan)
    rest = [run for run in plan if run.key not in done]
    found = list(run_on_cluster(rest, context, shared_cluster.address))
    assert sorted(event.key for event in found) == sorted(run.key for run in rest)
    assert timeless(context.store.read_rows()).equals(local_rows(plan, tmp_path / "local"))
    assert {file.suffix for file in context.store.runs_directory.iterdir()} == {".parquet"}


def test_the_command(
    shared_cluster: DaskCluster, call_command: CommandCall, tmp_path: Path
) -> None:
    words = ("sweep", *SWEEP, "--seeds", "2", "--optimizers", "sgd,adam", "--name", "x")
    cluster_words = ("--backend", "dask", "--scheduler", shared_cluster.address)
    found = call_command(*words, *cluster_words)
    assert (found.code, found.err) == (0, "")
    assert "4 runs; 2 threads of Dask workers" in found.out
    assert "dask" not in (tmp_path / "results" / "x" / "sweep.yaml").read_text()
    again = call_command(*words, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:1")
    assert again.code == 0, "nothing is missing: no cluster is needed"


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        pytest.param(
            "import bench; bench.__version__ = '9.9'",
            rf"it has optimizer-bench 9\.9.*, this program is optimizer-bench {bench.__version__}",
            marks=pytest.mark.long,
        ),
        (
            "import bench.execution.environment as e; e.torch_version = lambda: '1.0'",
            rf"it has torch 1\.0, this program has torch {re.escape(torch.__version__)}",
        ),
        pytest.param(
            WITHOUT_BENCH,
            r"it cannot use optimizer-bench \(ModuleNotFoundError: ",
            marks=pytest.mark.long,
        ),
    ],
    ids=["bench", "torch", "no bench"],
)
def test_a_worker_with_other_versions(
    before: str, reason: str, shared_cluster: DaskCluster, tmp_path: Path
) -> None:
    """It is refused before a sweep, and left out if it comes during one."""
    process = shared_cluster.start_worker(before=before)
    try:
        shared_cluster.wait_for_workers(2)
        with pytest.raises(UsageError, match=f"the Dask worker at tcp://.* cannot train: {reason}"):
            bench.sweep(
                bench.specify(optimizers="sgd", seeds=1, dataset="digits"),
                results=tmp_path / "refused",
                backend="dask",
                scheduler=shared_cluster.address,
            )
        assert not (tmp_path / "refused").exists()
        context = make_context(tmp_path)
        with pytest.warns(UserWarning, match=f"the Dask worker at .* is left out: {reason}"):
            events = list(run_on_cluster(SPEC.plan(), context, shared_cluster.address))
        assert {event.status for event in events} == {OK}
        assert len(context.store.read_rows()) == len(SPEC.plan())
    finally:
        process.kill()
        shared_cluster.wait_for_workers(1)


def test_arrays_that_the_workers_do_not_have(shared_cluster: DaskCluster, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((400, 5, 5), np.float32), np.arange(400) % 4
    file = tmp_path / "own.npz"
    np.savez(file, x_train=images, y_train=labels, x_test=images[:90], y_test=labels[:90])
    spec = bench.specify(optimizers="sgd,adam", seeds=2, dataset=str(file), iterations=20)
    found = bench.sweep(
        spec, results=tmp_path / "dask", backend="dask", scheduler=shared_cluster.address
    )
    local = bench.sweep(spec, results=tmp_path / "local", in_process=True)
    columns = ["run_key", "status", "test_loss", "initial_weights_sha256", "data_hash"]
    assert found[columns].equals(local[columns])


@pytest.mark.long
def test_classes_of_this_program_that_crash_and_hang(
    shared_cluster: DaskCluster, tmp_path: Path
) -> None:
    program = os.getpid()

    class Crashing(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            if os.getpid() != program:
                os._exit(1)
            super().step(closure)  # type: ignore[call-overload]

    class Hanging(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            if os.getpid() != program:
                time.sleep(600)
            super().step(closure)  # type: ignore[call-overload]

    own = [("crashing", Crashing, {"lr": 0.1}), ("hanging", Hanging, {"lr": 0.1})]
    spec = bench.specify(optimizers=["sgd", *own], seeds=1, dataset="digits", iterations=20)
    runs = bench.sweep(
        spec, results=tmp_path, backend="dask", scheduler=shared_cluster.address, timeout=30
    )
    runs = runs.set_index("optimizer")
    assert runs["status"].to_dict() == {"crashing": FAILED, "hanging": FAILED, "sgd": OK}
    assert runs["error"]["crashing"].startswith("the worker process died twice in this run")
    assert "the run took longer than the 30 seconds of --timeout" in runs["error"]["hanging"]


@pytest.mark.long
def test_code_that_only_this_machine_has(
    shared_cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("from torch.optim import SGD\nclass Mine(SGD): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = bench.specify(optimizers="only_here:Mine[lr=0.1],sgd", seeds=1, dataset="digits")
    with pytest.raises(
        SpecError, match=r"the Dask worker at tcp://.*: optimizer 'only_here:Mine@.*cannot import"
    ):
        bench.sweep(spec, results=tmp_path, backend="dask", scheduler=shared_cluster.address)


@pytest.mark.long
def test_a_tuning(shared_cluster: DaskCluster, tmp_path: Path) -> None:
    spec = bench.specify(optimizers="sgd,adam", seeds=2, iterations=20, dataset="digits")
    options = {"trials": 2, "seeds": 1}
    on_cluster = {"backend": "dask", "scheduler": shared_cluster.address}
    found = bench.tune(spec, **options, results=tmp_path / "dask", **on_cluster)
    local = bench.tune(spec, **options, results=tmp_path / "local", in_process=True)
    for one, other in zip(found.optimizers, local.optimizers, strict=True):
        assert [(tried.setting, tried.accuracies) for tried in one.tried] == [
            (tried.setting, tried.accuracies) for tried in other.tried
        ]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:1", ".*refused"),
        ("tcp://127.0.0.1:{silent}", "nothing was received for 0.3 seconds"),
        ("tls://127.0.0.1:1", "tls:// needs certificates in the configuration of Dask"),
    ],
)
def test_no_scheduler_answers(
    address: str,
    reason: str,
    call_command: CommandCall,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "_FIRST", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # another program
        address = address.format(silent=silent.getsockname()[1])
        found = call_command("sweep", *SWEEP, "--backend", "dask", "--scheduler", address)
    assert found.code == 2
    assert re.fullmatch(
        "optimizer-bench: error: --scheduler: no Dask scheduler answers at "
        rf"{address} \({reason}\)\n",
        found.err,
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("device", [(), ("--device", "cuda", "--tf32")], ids=["cpu", "cuda"])
def test_a_dry_run_asks_no_cluster(device: tuple[str, ...], call_command: CommandCall) -> None:
    """It needs no device of the cluster either."""
    found = call_command(
        *("sweep", *SWEEP, "--seeds", "1", "--optimizers", "sgd", "--dry-run", *device),
        *("--backend", "dask", "--scheduler", "tcp://127.0.0.1:1"),
    )
    assert found.code == 0
    assert found.err == (
        "optimizer-bench: note: the time is that of this machine: --dry-run does not ask the Dask "
        "cluster\n"
    )


#: Enough runs for something to happen meanwhile.
LONGER = replace(
    SPEC,
    optimizers=resolve_all("sgd,adam"),
    seeds=tuple(range(10)),
    workload=replace(SPEC.workload, iterations=300, eval_every=150),
)


def train(
    plan: Sequence[RunSpec],
    context: RunContext,
    address: str,
    acts: Mapping[int, Callable[[], object]],
) -> None:
    """Train a plan, and act after so many runs; every run must have one event."""
    events = []
    for event in run_on_cluster(plan, context, address):
        events.append(event)
        if act := acts.get(len(events)):
            act()
    assert sorted(event.key for event in events) == sorted(run.key for run in plan)


@pytest.mark.long
def test_workers_that_come_and_go(own_cluster: DaskCluster, tmp_path: Path) -> None:
    """One is killed, the disk of one fills, that of another is full, and one comes late."""
    plan, context = LONGER.plan(), make_context(tmp_path / "dask")
    killed, filled = own_cluster.start_worker(), own_cluster.start_worker()
    own_cluster.start_worker(before=FULL_DISK)
    own_cluster.wait_for_workers(3)

    def come_late() -> None:
        own_cluster.start_worker()
        own_cluster.wait_for_workers(3)

    acts = {3: killed.kill, 5: come_late, 7: partial(own_cluster.fill_disk, filled)}
    with pytest.warns(UserWarning, match="is left out: .*: File too large") as caught:
        train(plan, context, own_cluster.address, acts)
    assert len(caught) == 2
    assert timeless(context.store.read_rows()).equals(local_rows(plan, tmp_path / "local"))


@pytest.mark.long
def test_no_worker_can_train(own_cluster: DaskCluster, tmp_path: Path) -> None:
    own_cluster.start_worker(before=FULL_DISK)
    events = run_on_cluster(SPEC.plan(), make_context(tmp_path / "dask"), own_cluster.address)
    with (
        pytest.warns(UserWarning, match="is left out: .*: File too large"),
        pytest.raises(WorkerError, match=r"no worker of .* can train this sweep \(tcp:.*too large"),
    ):
        list(events)


@pytest.mark.long
def test_workers_are_waited_for(own_cluster: DaskCluster, tmp_path: Path) -> None:
    """The first comes late, and is killed; the second comes after it."""
    plan, context = LONGER.plan()[:6], make_context(tmp_path / "dask")
    threading.Timer(1.0, own_cluster.start_worker).start()

    def replace_worker() -> None:
        own_cluster.kill_workers()
        own_cluster.start_worker()

    with pytest.warns(UserWarning, match="waiting for workers of the Dask scheduler at tcp:"):
        train(plan, context, own_cluster.address, {2: replace_worker})


@pytest.mark.long
def test_the_scheduler_is_started_again(
    own_cluster: DaskCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan, context = LONGER.plan(), make_context(tmp_path / "dask")
    own_cluster.start_worker()

    def start_again() -> None:
        own_cluster.kill_scheduler()
        own_cluster.start_scheduler()
        own_cluster.start_worker()

    with pytest.warns(UserWarning, match="the Dask scheduler at tcp://.* was lost: waiting"):
        train(plan, context, own_cluster.address, {5: start_again})
    assert capfd.readouterr() == ("", ""), "Dask logs nothing here"
    assert timeless(context.store.read_rows()).equals(local_rows(plan, tmp_path / "local"))


@pytest.mark.long
def test_a_lost_scheduler(
    own_cluster: DaskCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cluster, "_AGAIN", 0.5)
    context = make_context(tmp_path / "dask")
    own_cluster.start_worker()
    events = run_on_cluster(LONGER.plan(), context, own_cluster.address)
    next(events)
    own_cluster.kill_scheduler()
    with (
        pytest.warns(UserWarning, match="was lost"),
        pytest.raises(
            WorkerError, match=r"does not answer again \(.*\); .* give the same command ag"
        ),
    ):
        list(events)
    assert len(context.store.read_rows())
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_the_client_is_killed(
    own_cluster: DaskCluster, run_command: CommandLine, tmp_path: Path
) -> None:
    own_cluster.start_worker()
    words = ("sweep", "--dataset", "digits", "--iterations", "300", "--eval-every", "150")
    words += ("--seeds", "10", "--optimizers", "sgd,adam", "--name", "x", "--no-report", "-q")
    words += ("--backend", "dask", "--scheduler", own_cluster.address)
    runs = tmp_path / "results" / "x" / "runs"
    process = run_command.start(*words)
    while len(list(runs.glob("*.parquet"))) < 4:  # others are being written
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    kept = Store(runs.parent).read_rows()
    assert 3 < len(kept) < 20
    finished = run_command(*words)
    assert (finished.code, finished.err) == (0, "")
    rows = Store(runs.parent).read_rows()
    assert timeless(rows).equals(local_rows(LONGER.plan(), tmp_path / "local"))
    started = dict(zip(rows["run_key"].to_pylist(), rows["started_at"].to_pylist(), strict=True))
    for row in kept.to_pylist():
        assert started[row["run_key"]] == row["started_at"], "not trained again"


@pytest.mark.long
def test_a_worker_leaves_nothing(own_cluster: DaskCluster, tmp_path: Path) -> None:
    """Its processes end with it: after SIGTERM, which Dask handles, and after SIGKILL."""
    for number, nanny in ((signal.SIGTERM, True), (signal.SIGTERM, False), (signal.SIGKILL, False)):
        worker = own_cluster.start_worker(nanny=nanny)
        context = make_context(tmp_path / f"{number.name} {nanny}")
        list(run_on_cluster(SPEC.plan(), context, own_cluster.address))
        assert len(own_cluster.processes_of(worker)) > 1
        worker.send_signal(number)
        worker.wait()
        while own_cluster.processes_of(worker):
            time.sleep(0.05)
    assert not list((tmp_path / "cluster").glob("**/optimizer-bench-*"))
