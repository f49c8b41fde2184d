"""A thousand runs need no more than ten: memory, descriptors and objects stay as they are."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import pytest
from conftest import resolve_all

from bench.execution.environment import describe_machine
from bench.execution.jobs import RunContext
from bench.execution.runner import run_plan
from bench.spec.model import SweepSpec, Workload
from bench.storage.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc"),
]

EARLY, LATE = 30, 130
SPEC = SweepSpec(
    name="x",
    optimizers=resolve_all("sgd"),
    seeds=tuple(range(LATE + 10)),  # workers are still there when the late figures are taken
    workload=Workload(dataset="digits", iterations=1, eval_every=1000),
)


@dataclass(frozen=True)
class Needs:
    """What the processes of a sweep take, this one first."""

    descriptors: tuple[int, ...]
    megabytes: tuple[float, ...]
    objects: int


def needs_now() -> Needs:
    processes = ["self", *sorted(str(child.pid) for child in active_children())]
    gc.collect()
    return Needs(
        descriptors=tuple(len(os.listdir(f"/proc/{process}/fd")) for process in processes),
        megabytes=tuple(map(_own_megabytes, processes)),
        objects=len(gc.get_objects()),
    )


def _own_megabytes(process: str) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Path:
    """Few images, which are evaluated in a moment."""
    return digits


@pytest.mark.long
@pytest.mark.parametrize("n_workers", [0, 2])
def test_many_runs_need_no_more_than_few(arrays: Path, tmp_path: Path, n_workers: int) -> None:
    store = Store(tmp_path)
    store.create()
    machine = describe_machine("cpu", n_workers or 1)
    context = RunContext(arrays=arrays, machine=machine, store=store, in_process=not n_workers)
    needs = {
        number: needs_now()
        for number, _ in enumerate(run_plan(SPEC.plan(), context), start=1)
        if number in (EARLY, LATE)
    }
    early, late = needs[EARLY], needs[LATE]
    # other tests of this process may have left processes, such as the server of workers
    assert len(early.descriptors) == len(late.descriptors) >= 1 + n_workers
    for before, after in zip(early.descriptors, late.descriptors, strict=True):
        assert after <= before + 3, "a worker has a few files open while it writes a row"
    for before, after in zip(early.megabytes, late.megabytes, strict=True):
        assert after <= before + 50, "a row and its arrays take 20 MB for a moment"
    assert late.objects <= early.objects + 1000, "ten for each run, and some for the last event"
