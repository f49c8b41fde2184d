"""What goes wrong in workers: apart from the tests, which every worker would import for seconds."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

from bench.errors import StoreError
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
