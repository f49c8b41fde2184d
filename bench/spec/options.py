"""Options of the execution of a sweep: devices, workers and stacks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import SpecError

#: Devices for training; auto is a GPU if there is one, else the CPU.
DEVICES = ("auto", "cpu", "cuda", "mps")


#: Largest number of workers; each is a process of half a gigabyte.
MAX_JOBS = 1024


#: Largest number of jobs on one GPU; more do not train faster.
MAX_JOBS_PER_GPU = 32


#: Seconds, some thirty years: timers of operating systems take little more.
MAX_TIMEOUT = 1e9


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Options of the execution that may change the numerical results.

    Attributes
    ----------
    device
        One of :data:`DEVICES`.
    stack
        Largest number of runs that are trained together; None: the default of the device.
    tf32
        Whether factors of matrix products may be rounded to TF32.
    mix_devices
        Whether runs of several kinds of device may be in one sweep.
    """

    device: str
    stack: int | None = None
    tf32: bool = False
    mix_devices: bool = False


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
