"""A Dask cluster of real processes on loopback."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.datasets.names import DATA_DIR_VARIABLE
from bench.execution.dask_client import connect, silent

#: Programs of Dask, started after some statements.
_SCHEDULER = "from distributed.cli.dask_scheduler import main; main()"
_WORKER = "from distributed.cli.dask_worker import main; main()"
#: A statement after which this package cannot be imported.
WITHOUT_BENCH = "import sys; sys.modules['bench'] = None"
#: A statement after which this process and its children cannot write to files.
FULL_DISK = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"


class DaskCluster:
    """A scheduler and workers, each in a process group of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.address = ""

    def start_scheduler(self) -> None:
        """Start a scheduler that cannot import this package; again at the same address."""
        port = self.address.rpartition(":")[2] or "0"
        file = self._directory / "scheduler.json"
        file.unlink(missing_ok=True)
        words = ["--host", "127.0.0.1", "--port", port, "--no-dashboard"]
        code = f"{WITHOUT_BENCH}; {_SCHEDULER}"
        self.scheduler = self._start(code, [*words, "--scheduler-file", str(file)])
        while not self.address or not file.exists():
            assert self.scheduler.poll() is None
            with suppress(OSError, ValueError):
                self.address = json.loads(file.read_text())["address"]
            time.sleep(0.05)

    def start_worker(
        self, *, before: str = "", threads: int = 1, nanny: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start a worker; `before` are statements that its process runs first, without a nanny."""
        words = [self.address, "--nthreads", str(threads), "--no-dashboard"]
        words += ["--nanny" if nanny else "--no-nanny", "--local-directory", str(self._directory)]
        return self._start(f"{before}; {_WORKER}" if before else _WORKER, words)

    def _start(self, code: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        cache = {DATA_DIR_VARIABLE: str(self._directory / "cache")}
        with (self._directory / f"process{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                env={**os.environ, **cache},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def wait_for_workers(self, number: int) -> None:
        """Wait until the scheduler has this number of workers."""
        with silent(), connect(self.address, 10) as connection:
            while len(connection.threads()) != number:
                time.sleep(0.05)

    def kill_scheduler(self) -> None:
        """Kill the scheduler; its workers end."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def kill_workers(self) -> None:
        """Kill all workers, but not the processes that they started."""
        for process in self._processes:
            if process is not self.scheduler:
                process.kill()
                process.wait()

    @staticmethod
    def processes_of(worker: subprocess.Popen[bytes]) -> list[int]:
        """The processes in the group of a worker."""
        found = []
        for number in psutil.pids():
            with suppress(ProcessLookupError):
                if os.getpgid(number) == worker.pid:
                    found.append(number)
        return found

    def fill_disk(self, worker: subprocess.Popen[bytes]) -> None:
        """Let the processes of a worker write to no file any more."""
        for number in self.processes_of(worker):
            resource.prlimit(number, resource.RLIMIT_FSIZE, (0, 0))

    def close(self) -> None:
        """Kill all processes."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
