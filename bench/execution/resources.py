"""What of this machine a sweep uses, and how its runs are laid out on it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.execution import devices
from bench.execution._joblib import why_no_workers, workers
from bench.execution.devices import CPU, CUDA, kind_of
from bench.execution.environment import Machine, available_cores, describe_machine
from bench.execution.jobs import load_data, make_jobs
from bench.networks.build import has_closed_form
from bench.spec.expressions import MAX_SEEDS
from bench.spec.model import RunSpec
from bench.spec.options import MAX_JOBS, MAX_JOBS_PER_GPU
from bench.training.stack import bytes_per_run

#: Of a GPU's free memory, this share is counted on.
_COUNTED_ON = 0.8
#: One job leaves gaps between its kernels that another fills; a third finds few.
_MOST_JOBS_PER_GPU = 2


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What a sweep may use.

    Attributes
    ----------
    machine
        What its rows say about this machine; `n_jobs` is the most that may work side by side.
    devices
        What trains: see :mod:`bench.execution.devices`.
    jobs_per_gpu, stack
        Jobs that a GPU trains at a time, and runs in a job at most; None: :func:`lay_out` chooses.
    """

    machine: Machine
    devices: tuple[str, ...] = (CPU,)
    jobs_per_gpu: int | None = None
    stack: int | None = None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where runs are placed; `slots` and `stack` are those of a RunContext."""

    n_jobs: int
    stack: int
    slots: tuple[str, ...] = ()

    @property
    def n_devices(self) -> int:
        """GPUs, or workers on the processor: jobs beside each other on one GPU share its time."""
        return len(set(self.slots)) or self.n_jobs


def choose_hardware(
    device: str = "auto",
    n_jobs: int = -1,
    *,
    gpus: Sequence[int] | None = None,
    jobs_per_gpu: int | None = None,
    stack: int | None = None,
    tf32: bool = False,
) -> Hardware:
    """This machine as a sweep will use it.

    Parameters
    ----------
    device
        One of :data:`bench.spec.options.DEVICES`; auto takes a GPU where there is one.
    n_jobs
        The most that may work side by side; -1 for every core that this process may use, or for
        what the GPUs hold.
    gpus
        Which of CUDA's GPUs; None for all.
    jobs_per_gpu
        Jobs that a GPU trains at a time; None for what its memory holds, at most two.
    stack
        Runs in a job at most; None for one on the processor, and on a GPU for all seeds of a
        variant that its memory holds.
    tf32
        Let a GPU round the factors of products to ten bits.

    Raises
    ------
    UsageError
        If there is no such device here, or something else is not allowed.
    """
    _check("n_jobs", None if n_jobs == -1 else n_jobs, MAX_JOBS, ", or -1 for every core")
    _check("jobs_per_gpu", jobs_per_gpu, MAX_JOBS_PER_GPU)
    _check("stack", stack, MAX_SEEDS)
    chosen = devices.choose(device, gpus)
    kind = kind_of(chosen[0])
    if jobs_per_gpu is not None and kind == CPU:
        raise UsageError(
            f"--jobs-per-gpu {jobs_per_gpu}: this sweep trains on the processor: give --n-jobs"
        )
    if tf32 and kind != CUDA:
        raise UsageError(f"--tf32 is for GPUs of CUDA, and this sweep trains on {kind}")
    if n_jobs == -1:
        n_jobs = available_cores() if kind == CPU else MAX_JOBS
    if kind == CPU:
        n_jobs = workers(n_jobs)
    elif (reason := why_no_workers()) is not None:
        warnings.warn(f"one job at a time runs on one GPU because {reason}", stacklevel=2)
        n_jobs = 1
    machine = describe_machine(chosen[0], n_jobs, tf32=tf32)
    return Hardware(machine=machine, devices=chosen, jobs_per_gpu=jobs_per_gpu, stack=stack)


def _check(name: str, value: object, most: int, also: str = "") -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
    if value is not None and not is_number:
        raise UsageError(f"{name} must be at least 1 and at most {most}{also}, got {value!r}")


def lay_out(runs: Sequence[RunSpec], hardware: Hardware, arrays: Path) -> Placement:
    """How these runs are laid out on the hardware.

    On the processor, each is a job of a worker, unless a stack was asked for. On GPUs, all seeds of
    a variant are one job, but for what its memory holds, and for GPUs that would have none.
    """
    most = hardware.machine.n_jobs
    if kind_of(hardware.devices[0]) == CPU:
        stack = hardware.stack or 1
        return Placement(n_jobs=min(most, max(1, len(make_jobs(runs, stack)))), stack=stack)
    seeds = max(1, len({run.seed for run in runs}))
    held = _held(runs, hardware, arrays)
    per_gpu = hardware.jobs_per_gpu
    if per_gpu is None:
        wanted = min(seeds, hardware.stack or seeds)
        fits_twice = held >= _MOST_JOBS_PER_GPU * wanted
        is_stacked = all(has_closed_form(run.workload.network) for run in runs)
        per_gpu = _MOST_JOBS_PER_GPU if fits_twice and is_stacked else 1
    slots = (hardware.devices * per_gpu)[:most]
    share = math.ceil(len(runs) / len(hardware.devices))  # no GPU shall be without work
    stack = hardware.stack or max(1, min(seeds, held // per_gpu, share))
    slots = slots[: max(1, len(make_jobs(runs, stack)))]
    return Placement(n_jobs=len(slots), stack=stack, slots=slots)


def _held(runs: Sequence[RunSpec], hardware: Hardware, arrays: Path) -> int:
    """How many of these runs the memory of every GPU holds at a time."""
    data = load_data(arrays, CPU)
    variants = {(run.workload, run.optimizer) for run in runs}
    most = max((bytes_per_run(*variant, data) for variant in variants), default=1)
    return int(min(map(devices.free_bytes, hardware.devices)) * _COUNTED_ON / most)
