"""Slots: places on devices, each for one worker process.

A worker claims a slot when it starts, and trains all its jobs on the device of this slot. The claim
is a file lock, which the operating system releases when the process ends, however it ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.execution.devices import CPU, kind_of

#: Seconds between two attempts to claim a slot.
_PAUSE = 0.1

_claimed: tuple[FileLock, str] | None = None


@dataclass(frozen=True)
class Slots:
    """The slots of a pool of workers.

    Attributes
    ----------
    directory
        The directory of the lock files.
    devices
        The device of each slot; one that trains several jobs at a time is repeated.
    """

    directory: Path
    devices: tuple[str, ...]

    @property
    def are_gpus(self) -> bool:
        """Whether a slot is on a GPU; tests have slots on the CPU."""
        return any(kind_of(device) != CPU for device in self.devices)

    def claim(self) -> None:
        """Claim the first free slot for this process; wait where none is free."""
        global _claimed
        while True:
            for number, device in enumerate(self.devices):
                lock = FileLock(self.directory / f"slot{number}.lock", timeout=0)
                try:
                    lock.acquire()
                except Timeout:
                    continue
                _claimed = lock, device
                return
            time.sleep(_PAUSE)


def claimed_device(devices: tuple[str, ...]) -> str:
    """The device of the slot of this process; the first of `devices` if it has none of them."""
    if _claimed is not None and _claimed[1] in devices:
        return _claimed[1]
    return devices[0]
