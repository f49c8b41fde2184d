"""Options of the execution of a sweep: devices, workers and stacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.errors import SpecError

#: Devices for training; auto is a GPU if there is one, else the CPU.
DEVICES = ("auto", "cpu", "cuda", "mps")


#: What carries runs to workers: processes of this machine, or a Dask cluster.
LOKY, DASK = BACKENDS = ("loky", "dask")


#: Largest number of workers; each is a process of half a gigabyte.
MAX_JOBS = 1024


#: Largest number of jobs on one GPU; more do not train faster.
MAX_JOBS_PER_GPU = 32


#: Seconds, some thirty years: timers of operating systems take little more.
MAX_TIMEOUT = 1e9


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Requested execution of a sweep.

    Attributes
    ----------
    device
        One of :data:`DEVICES`.
    n_jobs
        Largest number of jobs at a time; -1: the number of available cores, or of jobs that the
        memory of the GPUs holds.
    gpus
        Numbers of the CUDA devices; None: all.
    jobs_per_gpu
        Jobs at a time on one GPU; None: as many as its memory holds, at most two.
    stack
        Largest number of runs in a job; None: 1 on the CPU, and on a GPU all seeds of a variant
        that its memory holds.
    tf32
        Whether factors of matrix products may be rounded to TF32.
    mix_devices
        Whether runs of several kinds of device may be in one sweep.
    timeout
        Seconds after which a run is recorded as failed; None: no limit.
    in_process
        Whether runs are trained in the calling process, one after the other.
    backend
        One of :data:`BACKENDS`. With dask, `n_jobs` is the number of threads of the cluster once it
        is known, and the device is that of its workers.
    scheduler
        Address of the scheduler of the Dask cluster.
    """

    device: str = "auto"
    n_jobs: int = -1
    gpus: Sequence[int] | None = None
    jobs_per_gpu: int | None = None
    stack: int | None = None
    tf32: bool = False
    mix_devices: bool = False
    timeout: float | None = None
    in_process: bool = False
    backend: str = LOKY
    scheduler: str | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices in torch, such as ``cuda:0``; ``auto`` must be replaced before.

        With a cluster, this machine only tries networks, on the CPU.
        """
        if self.backend == DASK:
            return ("cpu",)
        if self.gpus is None:
            return (self.device,)
        return tuple(f"{self.device}:{gpu}" for gpu in self.gpus)


def parse_gpus(text: str) -> tuple[int, ...]:
    """Parse a comma-separated list of GPU numbers.

    >>> parse_gpus("0,1")
    (0, 1)

    Raises
    ------
    SpecError
        If a part is not a number, or a number is given twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d{1,4}", part, re.ASCII) for part in parts):
        raise SpecError(f"must be numbers of GPUs such as 0,1, got {text[:40]!r}")
    gpus = tuple(map(int, parts))
    if len(set(gpus)) < len(gpus):
        raise SpecError(f"every GPU may be given once, got {text[:40]!r}")
    return gpus
