"""Updates that are recorded once and then replayed, so that Python is out of the loop: CUDA graphs.

What a recorded step reads and writes must stay where it is, and nothing may be decided in Python
that changes from step to step: whatever does is a tensor on the device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch.cuda.graphs import _POOL_HANDLE  # type: ignore[attr-defined]

#: One thread of a process may record at a time.
RECORDING = threading.Lock()
_own = threading.local()
_refused: set[torch.device] = set()


class Recording(Protocol):
    """A recorded step."""

    def replay(self) -> None:
        """Do the step, on the stream on which it was recorded."""

    def reset(self) -> None:
        """Let go of the memory that is kept for it."""


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """A stream of this thread for what is done on `device` in the block; nothing on a processor.

    Graphs can be recorded on such a stream only, and jobs beside each other need not wait.
    """
    if device.type != "cuda":
        yield
        return
    streams: dict[torch.device, torch.cuda.Stream] = _own.__dict__.setdefault("streams", {})
    if device not in streams:
        with RECORDING:
            streams[device] = _new_stream(device)
    with torch.cuda.device(device), torch.cuda.stream(streams[device]):
        yield
        streams[device].synchronize()


def _new_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream on which this thread did its first product, for which cuBLAS makes what it keeps."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.device(device), torch.cuda.stream(stream):
        factor = torch.ones(1, 1, 1, device=device)
        torch.bmm(factor, factor)
        stream.synchronize()
    return stream


def can_record(device: torch.device) -> bool:
    """Whether steps on `device` can be recorded, on the current stream."""
    if device.type != "cuda" or device in _refused:
        return False
    return torch.cuda.current_stream(device) != torch.cuda.default_stream(device)


def record(step: Callable[[], object], device: torch.device) -> Recording:
    """Record what `step` does on `device`, without doing it.

    It must have been done before on the same stream, so that kernels are loaded and whatever is
    made at the first time is there.

    Raises
    ------
    torch.OutOfMemoryError
        If there is no room for what the step makes in between, all of which is kept.
    RuntimeError
        If something in it cannot be recorded. What a failed recording leaves in torch's allocator
        is not to be relied upon: nothing more is recorded on this device.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    with RECORDING:
        if device in _refused:
            raise RuntimeError("an earlier recording failed")
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()  # a recording has memory of its own, and cannot ask for this
        try:
            _capture(step, graph, device, pool)
        except torch.OutOfMemoryError:
            raise
        except Exception:
            _refused.add(device)
            raise
    return graph


def _capture(
    step: Callable[[], object],
    graph: torch.cuda.CUDAGraph,
    device: torch.device,
    pool: _POOL_HANDLE,
) -> None:
    try:
        graph.capture_begin(pool=pool, capture_error_mode="thread_local")
        step()
    except BaseException:
        with suppress(RuntimeError):  # which would say only that there was an error before
            _end(graph, device, pool)
        raise
    _end(graph, device, pool)


def _end(graph: torch.cuda.CUDAGraph, device: torch.device, pool: _POOL_HANDLE) -> None:
    """End a recording; where that fails, the allocator may not have heard that it ended."""
    try:
        graph.capture_end()
    except RuntimeError:
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(device.index, pool)
            torch._C._cuda_releasePool(device.index, pool)
        raise
