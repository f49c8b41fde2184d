"""Processes of a Dask worker: they are kept, have a slot each, and end without a task."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.execution import cluster_pools
from bench.execution.cluster_pools import Pools
from bench.execution.slots import Slots, claimed_device

DEVICES = ("cpu:0", "cpu:1") * 2


@pytest.fixture
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = Pools()
    yield found
    found._close_all()


@pytest.mark.long
def test_each_process_has_a_slot_and_is_kept(pools: Pools, tmp_path: Path) -> None:
    slots = Slots(tmp_path / "of the task", DEVICES)
    with pools.pool(8, slots) as one, pools.pool(8, slots) as other:
        devices = [next(pool.map(claimed_device, [DEVICES])) for pool in (one, other)]
    assert devices == ["cpu:0", "cpu:1"]
    with pools.pool(8, slots) as again, pools.pool(8, None) as without_slots:
        assert again in (one, other)
        assert without_slots not in (one, other)
    assert len(one.processes) == len(other.processes) == 1


def test_a_process_ends_with_an_error_or_without_a_task(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError), pools.pool(1, None):
        raise ZeroDivisionError
    assert pools._all == set()
    monkeypatch.setattr(cluster_pools, "_IDLE", 0.05)
    with pools.pool(1, None) as pool:
        assert next(pool.map(abs, [-1])) == 1
    while pools._all:
        time.sleep(0.01)
