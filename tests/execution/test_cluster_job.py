"""Answers of a Dask worker, without a cluster."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import resolve_all

from bench.datasets.cache import prepare_verified
from bench.datasets.content import FILES
from bench.datasets.names import DATA_DIR_VARIABLE
from bench.execution import cluster_data, cluster_job
from bench.execution.cluster_job import Answer, Request, StoredRow, Versions
from bench.execution.environment import describe_machine
from bench.execution.jobs import RunContext, RunEvent
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.storage.store import Store

pytestmark = pytest.mark.skipif(not cluster_data._SHARED_MEMORY.is_dir(), reason="a Dask worker")


def test_runs_on_arrays_that_another_thread_has_verified_again_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arrays change while runs are trained on them, and are repaired."""
    dataset = prepare_verified("digits")
    shutil.copytree(dataset.directory, tmp_path / "own")
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setattr(cluster_data, "_found", {})
    monkeypatch.setattr(cluster_data, "worker_directory", lambda: tmp_path)
    file = tmp_path / "own" / FILES[0]

    def repaired(_runs: tuple[RunSpec, ...], _context: RunContext) -> tuple[StoredRow, ...]:
        content = file.read_bytes()
        np.save(file, np.zeros(3))
        file.write_bytes(content)
        assert cluster_data.find("own", "own", dataset.content_hash, b"")
        event = RunEvent(key="x", optimizer="sgd", seed=0, status="ok", test_accuracy=0.5)
        return (StoredRow(event=event, content=b""),)

    monkeypatch.setattr(cluster_job, "_train", repaired)
    machine = describe_machine("cpu", 1)
    context = RunContext(
        arrays=tmp_path / "own",
        machine=machine,
        store=Store(tmp_path / "x"),
        data_hash=dataset.content_hash,
    )
    spec = SweepSpec(
        name="x",
        optimizers=resolve_all("sgd"),
        seeds=(0,),
        workload=Workload(dataset="digits"),
    )
    request = Request(
        versions=Versions.of(machine), context=context, dataset="own", runs=tuple(spec.plan())
    )
    found: Answer = pickle.loads(cluster_job.respond(request, b""))
    assert found == Answer(needs_data=True)
