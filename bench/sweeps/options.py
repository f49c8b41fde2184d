"""Where and how the runs of a sweep are made."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from bench.errors import UsageError
from bench.execution.resources import Hardware
from bench.spec.options import MAX_TIMEOUT, ExecutionOptions
from bench.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """Where and how the runs of a sweep are made.

    Attributes
    ----------
    store, hardware
        Where the rows go, and what trains them (:func:`bench.execution.resources.choose_hardware`).
    mix_devices
        Whether stored runs may be of another kind of device.
    data_dir
        Cache of the unpacked dataset; None for the default.
    timeout
        Seconds after which a run is recorded as failed, at most
        :data:`bench.spec.options.MAX_TIMEOUT`; None for no limit.
    force
        Whether stored runs are done again.
    quiet
        Without the progress of downloads.
    """

    store: Store
    hardware: Hardware
    mix_devices: bool = False
    data_dir: Path | None = None
    timeout: float | None = None
    force: bool = False
    quiet: bool = True

    def __post_init__(self) -> None:
        if self.timeout is None:
            return
        is_number = isinstance(self.timeout, Real) and not isinstance(self.timeout, bool)
        if not is_number or not 0 < self.timeout <= MAX_TIMEOUT:
            raise UsageError(
                f"timeout must be positive and at most {MAX_TIMEOUT:,.0f} seconds, or None, "
                f"got {self.timeout!r:.80}"
            )

    @property
    def means(self) -> ExecutionOptions:
        """What of this the spec file of the sweep declares."""
        machine = self.hardware.machine
        return ExecutionOptions(
            device=machine.device,
            stack=self.hardware.stack,
            tf32=bool(machine.tf32),
            mix_devices=self.mix_devices,
        )
