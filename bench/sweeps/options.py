"""Options of the execution of a sweep."""

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
    """Where the rows of a sweep are stored, and how its runs are trained.

    Attributes
    ----------
    store, hardware
        Directory of the rows, and the devices that train
        (:func:`bench.execution.resources.choose_hardware`).
    mix_devices
        Whether runs from different kinds of device are allowed.
    data_dir
        Cache of the unpacked dataset; None for the default.
    timeout
        Seconds after which a run is recorded as failed; None for no limit.
    force
        Whether stored runs are repeated.
    quiet
        Whether the progress of downloads is hidden.
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
    def execution(self) -> ExecutionOptions:
        """The part of the options that the spec file of the sweep declares."""
        machine = self.hardware.machine
        return ExecutionOptions(
            device=machine.device,
            stack=self.hardware.stack,
            tf32=bool(machine.tf32),
            mix_devices=self.mix_devices,
        )
