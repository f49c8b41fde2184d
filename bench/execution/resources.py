"""Resolve the requested execution on this machine, and place runs on its devices."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from numbers import Real
from pathlib import Path

from bench.errors import UsageError
from bench.execution import devices
from bench.execution._joblib import why_no_workers, workers
from bench.execution.devices import CPU, CUDA, kind_of
from bench.execution.environment import Machine, available_cores, describe_machine
from bench.execution.jobs import make_jobs
from bench.spec.expressions import MAX_SEEDS
from bench.spec.model import RunSpec
from bench.spec.options import (
    BACKENDS,
    DASK,
    MAX_JOBS,
    MAX_JOBS_PER_GPU,
    MAX_TIMEOUT,
    ExecutionOptions,
)

#: Share of the free memory of a GPU that runs may use.
_COUNTED_ON = 0.8
#: A second job fills the gaps between the kernels of the first; a third gains little.
_MOST_JOBS_PER_GPU = 2
#: Address of a Dask scheduler: a host name, an IPv4 address or an IPv6 address in brackets.
_ADDRESS = re.compile(r"(tcp://|tls://)?([^\s/:@\[\]]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Decided execution of the missing runs.

    Attributes
    ----------
    n_jobs
        Number of jobs at a time.
    stack
        Largest number of runs in a job.
    slots
        The device of each worker process on GPUs; empty on the CPU.
    is_on_cluster
        Whether the jobs run in the threads of Dask workers.
    """

    n_jobs: int
    stack: int
    slots: tuple[str, ...] = ()
    is_on_cluster: bool = False

    @property
    def n_devices(self) -> int:
        """Number of GPUs, or of workers on the CPU."""
        return len(set(self.slots)) or self.n_jobs


def resolve_execution(requested: ExecutionOptions) -> ExecutionOptions:
    """Check the options, and replace the device, the GPUs and `n_jobs` by those of this machine.

    Raises
    ------
    UsageError
        If a value is not allowed, or this machine has no such device.
    """
    n_jobs, jobs_per_gpu = requested.n_jobs, requested.jobs_per_gpu
    _check("n_jobs", None if n_jobs == -1 else n_jobs, MAX_JOBS, ", or -1 for every core")
    _check("jobs_per_gpu", jobs_per_gpu, MAX_JOBS_PER_GPU)
    _check("stack", requested.stack, MAX_SEEDS)
    _check_timeout(requested.timeout)
    _check_backend(requested)
    if requested.backend == DASK and requested.device in devices.KINDS:
        kind, gpus = requested.device, None  # that of the workers, which this machine may not have
    else:
        kind, gpus = devices.choose(requested.device, requested.gpus)
    if jobs_per_gpu is not None and kind == CPU:
        raise UsageError(
            f"--jobs-per-gpu {jobs_per_gpu}: this sweep trains on the processor: give --n-jobs"
        )
    if requested.tf32 and kind != CUDA:
        raise UsageError(f"--tf32 is for GPUs of CUDA, and this sweep trains on {kind}")
    if requested.backend == DASK:
        return replace(requested, device=kind, n_jobs=1)
    if requested.in_process:
        if n_jobs not in (-1, 1):
            raise UsageError(
                f"--in-process trains one run at a time: n_jobs must be 1 or omitted, got {n_jobs}"
            )
        n_jobs = 1
    if n_jobs == -1:
        n_jobs = available_cores() if kind == CPU else MAX_JOBS
    if kind == CPU:
        n_jobs = workers(n_jobs)
    elif (reason := why_no_workers()) is not None and not requested.in_process:
        warnings.warn(f"one job at a time runs on one GPU because {reason}", stacklevel=2)
        n_jobs = 1
    return replace(requested, device=kind, gpus=gpus, n_jobs=n_jobs)


def _check(name: str, value: object, most: int, also: str = "") -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
    if value is not None and not is_number:
        raise UsageError(f"{name} must be at least 1 and at most {most}{also}, got {value!r}")


def _check_backend(requested: ExecutionOptions) -> None:
    backend, scheduler = requested.backend, requested.scheduler
    if backend not in BACKENDS:
        raise UsageError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r:.80}")
    if backend != DASK:
        if scheduler is not None:
            raise UsageError(f"--scheduler needs --backend dask, got --backend {backend}")
        return
    if not (isinstance(scheduler, str) and _ADDRESS.fullmatch(scheduler)):
        got = "an address with @" if "@" in str(scheduler) else f"{scheduler!r:.80}"
        raise UsageError(
            "--backend dask needs the address of a scheduler, such as --scheduler "
            f"tcp://127.0.0.1:8786 or tls://127.0.0.1:8786, got {got}"
        )
    local = {
        "--n-jobs": requested.n_jobs != -1,
        "--gpus": requested.gpus is not None,
        "--jobs-per-gpu": requested.jobs_per_gpu is not None,
        "--in-process": requested.in_process,
    }
    if given := [option for option, is_given in local.items() if is_given]:
        raise UsageError(
            f"{given[0]} cannot be given with --backend dask: a run has a thread of a Dask worker"
        )
    if find_spec("distributed") is None:
        raise UsageError(
            "--backend dask needs the package distributed: pip install 'optimizer-bench[dask]'"
        )


def _check_timeout(timeout: float | None) -> None:
    is_number = isinstance(timeout, Real) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and 0 < timeout <= MAX_TIMEOUT):
        raise UsageError(
            f"timeout must be positive and at most {MAX_TIMEOUT:,.0f} seconds, or None, "
            f"got {timeout!r:.80}"
        )


def describe_resources(execution: ExecutionOptions) -> Machine:
    """Describe this machine as used with these options, which must be resolved.

    For a Dask cluster it is what all of its workers have in common.
    """
    if execution.backend == DASK:
        machine = describe_machine(CPU, execution.n_jobs)
        tf32 = execution.tf32 if execution.device == CUDA else None
        return replace(machine, device=execution.device, device_name="a Dask worker", tf32=tf32)
    return describe_machine(execution.devices[0], execution.n_jobs, tf32=execution.tf32)


def lay_out(runs: Sequence[RunSpec], execution: ExecutionOptions, arrays: Path) -> Placement:
    """Decide where runs are trained, and how many in a job; the options must be resolved.

    On the CPU, each run is a job, unless a stack was requested. On GPUs, all seeds of a variant are
    one job, if memory allows this and no GPU is left without a job.
    """
    names, stack, per_gpu = execution.devices, execution.stack, execution.jobs_per_gpu
    if execution.backend == DASK:
        return _lay_out_on_cluster(runs, execution)
    if kind_of(names[0]) == CPU:
        stack = stack or 1
        n_jobs = min(execution.n_jobs, max(1, len(make_jobs(runs, stack))))
        return Placement(n_jobs=n_jobs, stack=stack)
    from bench.networks.build import has_closed_form

    seeds = max(1, len({run.seed for run in runs}))
    held = _held(runs, names, arrays)
    if per_gpu is None:
        wanted = min(seeds, stack or seeds)
        fits_twice = held >= _MOST_JOBS_PER_GPU * wanted
        is_stacked = all(has_closed_form(run.workload.network) for run in runs)
        per_gpu = _MOST_JOBS_PER_GPU if fits_twice and is_stacked else 1
    slots = (names * per_gpu)[: execution.n_jobs]
    share = math.ceil(len(runs) / len(names))  # every GPU gets a job
    stack = stack or max(1, min(seeds, held // per_gpu, share))
    slots = slots[: max(1, len(make_jobs(runs, stack)))]
    return Placement(n_jobs=len(slots), stack=stack, slots=slots)


def _lay_out_on_cluster(runs: Sequence[RunSpec], execution: ExecutionOptions) -> Placement:
    """Let every thread of the cluster have a job; one that a GPU cannot hold is divided there."""
    stack = execution.stack
    if stack is None:
        is_cpu = execution.device == CPU
        seeds = len({run.seed for run in runs})
        stack = 1 if is_cpu else max(1, min(seeds, math.ceil(len(runs) / execution.n_jobs)))
    return Placement(n_jobs=execution.n_jobs, stack=stack, is_on_cluster=True)


def _held(runs: Sequence[RunSpec], names: Sequence[str], arrays: Path) -> int:
    """Number of these runs that the memory of each GPU holds at a time."""
    from bench.execution.train_job import load_data
    from bench.training.stack import bytes_per_run

    data = load_data(arrays, CPU)
    variants = {(run.workload, run.optimizer) for run in runs}
    most = max((bytes_per_run(*variant, data) for variant in variants), default=1)
    return int(min(map(devices.free_bytes, names)) * _COUNTED_ON / most)
