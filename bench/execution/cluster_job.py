"""Train runs on a worker of a Dask cluster.

A task of Dask is one call of :func:`respond` in a thread of the worker. The runs are trained by
:func:`bench.execution.runner.run_plan` in a process that this thread starts, as on one machine: a
crash, a timeout or a failure of a device concerns this process and not the worker of Dask. The
process is kept for the tasks that follow.

The rows are written to a temporary directory of the worker. The answer contains their files.
"""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from bench import __version__
from bench.errors import BenchError, UsageError, WorkerError, kind_and_line
from bench.execution import cluster_data, devices
from bench.execution.cluster_pools import Pools
from bench.execution.devices import CPU
from bench.execution.environment import Machine, describe_machine
from bench.execution.jobs import RunContext, RunEvent
from bench.execution.runner import run_plan
from bench.spec import plugins
from bench.spec.model import RunSpec
from bench.spec.options import MAX_JOBS_PER_GPU, ExecutionOptions
from bench.storage.store import Store

#: Free bytes of a directory that takes the rows of a task.
_ROOM = 2**24

#: The processes of this worker.
_pools = Pools()


@dataclass(frozen=True, kw_only=True)
class Versions:
    """Versions that must be equal on all machines of a sweep."""

    bench: str
    commit: str | None
    torch: str

    @classmethod
    def of(cls, machine: Machine) -> Versions:
        """The versions on a machine."""
        return cls(bench=__version__, commit=machine.git_commit, torch=machine.torch_version)

    def difference(self, other: Versions) -> str | None:
        """Describe what differs from the versions of the program that gives the tasks."""
        if self.torch != other.torch:
            return f"it has torch {self.torch}, this program has torch {other.torch}"
        is_other_code = self.commit and other.commit and self.commit != other.commit
        if self.bench != other.bench or is_other_code:
            return f"it has optimizer-bench {self}, this program is optimizer-bench {other}"
        return None

    def __str__(self) -> str:
        return self.bench + (f" of commit {self.commit}" if self.commit else "")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request to a worker: compare the versions, find the data, and train runs.

    Attributes
    ----------
    versions
        Those of the program that gives the tasks.
    context
        The context of the runs, with paths of that program. None: only compare the versions.
    dataset
        Name of the dataset.
    runs
        Without any, the worker only finds the data.
    pickles
        Optimizers and networks of a script or notebook: see :mod:`bench.spec.plugins`.
    """

    versions: Versions
    context: RunContext | None = None
    dataset: str = ""
    runs: tuple[RunSpec, ...] = ()
    pickles: Mapping[str, bytes] = field(default_factory=dict)

    def packed(self) -> bytes:
        """Return a pickle that answers the request when it is loaded; see :class:`_Call`."""
        return pickle.dumps(_Call(self), protocol=5, buffer_callback=_leave_out)


class _Call:
    """A call of :func:`respond`, made by ``pickle.loads(call, buffers=[data])``.

    The scheduler of a cluster unpickles the function of a task. It can do so without this package
    if the function is one of Python's, and what belongs to this package is in bytes.
    """

    def __init__(self, request: Request) -> None:
        self._request = request

    def __reduce__(self) -> tuple[object, ...]:
        return respond, (self._request, pickle.PickleBuffer(b""))


def _leave_out(_buffer: pickle.PickleBuffer) -> bool:
    """Leave a buffer out of the pickle: the caller of pickle.loads gives it."""
    return False


@dataclass(frozen=True, kw_only=True)
class StoredRow:
    """The event of a run, and the content of the file of its row."""

    event: RunEvent
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer of a worker to a request.

    Attributes
    ----------
    rows, seconds
        The runs, and how long they took.
    needs_data
        Whether the worker does not have the arrays; nothing was trained.
    unfit
        Why this worker cannot train runs of this sweep, where another one may.
    error
        An error that every worker would have.
    """

    rows: tuple[StoredRow, ...] = ()
    seconds: float = 0.0
    needs_data: bool = False
    unfit: str | None = None
    error: UsageError | None = None


def respond(request: Request, packed: bytes) -> bytes:
    """Return the answer to a request as a pickle.

    `packed` are the arrays as :func:`bench.execution.cluster_data.pack` returns them, or nothing.
    """
    try:
        answer = _answer(request, bytes(packed))
    except UsageError as error:
        answer = Answer(error=error)
    except BenchError as error:
        answer = Answer(unfit=str(error).partition(";")[0])
    except Exception as error:  # such as a full disk: the other workers go on
        answer = Answer(unfit=kind_and_line(error))
    return pickle.dumps(answer)


def _answer(request: Request, packed: bytes) -> Answer:
    if difference := Versions.of(_machine(CPU, 1, tf32=False)).difference(request.versions):
        return Answer(unfit=difference)
    context = request.context
    if context is None:
        return Answer()
    content_hash = str(context.data_hash)
    arrays = cluster_data.find(request.dataset, context.arrays.name, content_hash, packed)
    if arrays is None:
        return Answer(needs_data=True)
    slots = _slots(context.device)
    if not request.runs:
        return Answer()
    plugins.receive(request.pickles)
    started = time.monotonic()
    with _scratch() as directory:
        machine = _machine(context.device, context.machine.n_jobs, tf32=bool(context.machine.tf32))
        store = Store(directory)
        store.runs_directory.mkdir()
        rows = _train(
            request.runs,
            replace(context, arrays=arrays.directory, machine=machine, store=store, slots=slots),
        )
    if not arrays.are_unchanged():  # what the runs were trained on is unknown
        return Answer(needs_data=True)
    return Answer(rows=rows, seconds=time.monotonic() - started)


def _train(runs: tuple[RunSpec, ...], context: RunContext) -> tuple[StoredRow, ...]:
    files = {run.key: context.store.run_file(run) for run in runs}
    return tuple(
        StoredRow(event=event, content=files[event.key].read_bytes())
        for event in run_plan(runs, context, _pools.pool)
    )


@cache
def _machine(device: str, n_jobs: int, *, tf32: bool) -> Machine:
    return describe_machine(device, n_jobs, tf32=tf32)


@cache
def _slots(kind: str) -> tuple[str, ...]:
    """The GPUs that this process sees, in turn, for as many processes as may use them.

    Raise WorkerError if there are none.
    """
    if kind == CPU:
        return ()
    try:
        found, gpus = devices.choose(kind)
    except UsageError as error:
        raise WorkerError(f"torch finds no device {kind}") from error
    return ExecutionOptions(device=found, gpus=gpus).devices * MAX_JOBS_PER_GPU


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary directory for the rows of a task, in memory if there is room."""
    for parent in (*cluster_data.memory_directories(), cluster_data.worker_directory()):
        with suppress(OSError):
            if shutil.disk_usage(parent).free > _ROOM:
                directory = cluster_data.make_temporary(parent)
                break
    else:
        raise WorkerError("no temporary directory has room for the rows of a task")
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
