"""Files by which workers tell the parent process what they were doing, in case they die."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.spec.model import RunSpec
from bench.storage.files import replace_file
from bench.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class DeviceFailure:
    """A device stopped computing in a worker.

    Attributes
    ----------
    device, reason
        The device, and the error in one line.
    runs
        Keys of the runs that the worker was training; empty: the device failed before them.
    """

    device: str
    reason: str
    runs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A run that was in flight when its worker died.

    Attributes
    ----------
    run
        The run.
    dump
        Where it was in the code when its worker was ended because it did not react to its timeout;
        empty if the worker died otherwise.
    """

    run: RunSpec
    dump: str


@dataclass(frozen=True)
class InFlight:
    """The directory of these files: one for each run in flight, one for each device failure."""

    directory: Path

    @classmethod
    def make(cls, store: Store) -> InFlight:
        """An empty directory."""
        shutil.rmtree(store.in_flight_directory, ignore_errors=True)
        with suppress(OSError):
            store.in_flight_directory.mkdir()
        return cls(store.in_flight_directory)

    def mark_of(self, run: RunSpec) -> Path:
        """Return the file that marks a run as in flight, and takes the dump of its mark."""
        return self.directory / run.key

    @contextmanager
    def during(self, runs: Sequence[RunSpec]) -> Iterator[None]:
        """Mark the runs as in flight in the block; the marks stay if the process ends in it."""
        marks = [self.mark_of(run) for run in runs]
        with suppress(OSError):  # a full disk must not end a run that may still be stored
            for mark in marks:
                mark.touch()
        yield
        with suppress(OSError):
            for mark in marks:
                mark.unlink(missing_ok=True)

    def take(self, runs: Mapping[str, RunSpec]) -> tuple[Mark, ...]:
        """Return the marks of those of the given runs that are in flight, and remove them."""
        files = sorted(file for file in self.directory.glob("*") if file.name in runs)
        marks = tuple(
            Mark(run=runs[file.name], dump=file.read_text(errors="replace")) for file in files
        )
        for file in files:
            file.unlink(missing_ok=True)
        return marks

    def report(self, failure: DeviceFailure) -> None:
        """Write a device failure."""
        with suppress(OSError):  # a full disk: then this is a worker that died
            content = json.dumps(asdict(failure)).encode()
            replace_file(content, self.directory / f"{os.getpid()}.failure")

    def take_failures(self) -> tuple[DeviceFailure, ...]:
        """The device failures that workers have written; removes them."""
        failures = []
        for file in sorted(self.directory.glob("*.failure")):
            found = json.loads(file.read_text())
            failures.append(DeviceFailure(**found | {"runs": tuple(found["runs"])}))
            file.unlink()
        return tuple(failures)

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)
