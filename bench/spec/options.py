"""Options that say where and how a sweep runs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import SpecError

#: Where runs can be trained; auto takes a GPU where there is one.
DEVICES = ("auto", "cpu", "cuda", "mps")


#: Every worker is a process of half a gigabyte.
MAX_JOBS = 1024


#: More than a GPU has use for.
MAX_JOBS_PER_GPU = 32


#: Seconds, some thirty years: timers of operating systems take little more.
MAX_TIMEOUT = 1e9


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """With what runs are trained, as far as their numbers depend on it.

    Attributes
    ----------
    device
        One of :data:`DEVICES`.
    stack
        Runs that are trained as one, at most; None: what is usual on the device.
    tf32, mix_devices
        Whether factors of products may be rounded, and runs of several kinds of device be mixed.
    """

    device: str
    stack: int | None = None
    tf32: bool = False
    mix_devices: bool = False


def parse_gpus(text: str) -> tuple[int, ...]:
    """Read numbers of GPUs.

    >>> parse_gpus("0,1")
    (0, 1)

    Raises
    ------
    SpecError
        If a part is no number, or one is given twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"\d{1,4}", part, re.ASCII) for part in parts):
        raise SpecError(f"must be numbers of GPUs such as 0,1, got {text[:40]!r}")
    gpus = tuple(map(int, parts))
    if len(set(gpus)) < len(gpus):
        raise SpecError(f"every GPU may be given once, got {text[:40]!r}")
    return gpus
