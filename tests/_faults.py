"""Faults of workers, apart from the tests, which every worker would import for seconds."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from bench.errors import StoreError
from bench.execution import runner, train_job
from bench.execution.pool import start_worker
from bench.execution.slots import Slots, claimed_device
from bench.spec.model import RunSpec
from bench.storage.records import FAILED, RunRecord
from bench.storage.store import Store


@dataclass(frozen=True)
class DeadlyStore(Store):
    """Kills the worker that comes to store a run of this seed, at most so many times."""

    seed: int = 0
    times: int = 1

    def write_run(self, run: RunSpec, record: RunRecord) -> None:
        deaths = self.directory / "deaths"
        died = deaths.stat().st_size if deaths.exists() else 0
        if run.seed == self.seed and record.status != FAILED and died < self.times:
            with deaths.open("ab") as file:
                file.write(b"x")
            os.kill(os.getpid(), signal.SIGKILL)
        super().write_run(run, record)


@dataclass(frozen=True)
class FullStore(Store):
    """Has no room for the row of a failed run."""

    def write_run(self, run: RunSpec, record: RunRecord) -> None:
        if record.status == FAILED:
            raise StoreError("no room")
        super().write_run(run, record)


class HangingSeed(int):
    """Hangs as soon as a stream is derived from it, with signals blocked if it is odd."""

    def __xor__(self, other: int) -> int:
        if self % 2:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(120)
        return int(self) ^ other


def start_breaking(
    broken: tuple[str, ...], at_seed: int | None, stays_broken: bool, parent: int, slots: Slots
) -> None:
    """Start a worker whose device fails if it is one of `broken`, at a seed or at any."""
    start_worker(parent, slots)
    train, failed = train_job.train, slots.directory / "failed"
    runner.is_working = lambda _device: not (stays_broken and failed.exists())

    def train_or_break(workload: Any, optimizer: Any, seeds: Any, data: Any) -> Any:
        if claimed_device(slots.devices) in broken and (at_seed is None or at_seed in seeds):
            failed.touch()
            train_job.is_working = lambda _device: False
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return train(workload, optimizer, seeds, data)

    train_job.train = train_or_break


def start_without_gpus(parent: int, slots: Slots) -> None:
    """Start a worker on pretended GPUs, whose work the CPU does."""
    import torch

    from bench.training.device_data import DeviceData

    of = DeviceData.of
    torch.cuda.get_device_name = lambda device=None: f"model of {device}"
    runner.is_working = lambda _device: True
    DeviceData.of = lambda dataset, _device: of(dataset, torch.device("cpu"))  # type: ignore[method-assign,assignment]
    start_worker(parent, slots)
