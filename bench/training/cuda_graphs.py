"""Capture updates as CUDA graphs, which are replayed without Python code.

A captured step always reads and writes the same memory. Values that change from step to step must
be tensors on the device, as Python values are fixed at capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch.cuda.graphs import _POOL_HANDLE  # type: ignore[attr-defined]

_refused: set[torch.device] = set()


class CapturedStep(Protocol):
    """Interface of a captured step: a CUDA graph."""

    def replay(self) -> None:
        """Do the step, on the stream on which it was captured."""

    def reset(self) -> None:
        """Free the memory of the graph."""


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Use a separate CUDA stream for `device` in the block; no effect on the CPU.

    Graphs can be captured only on a stream that is not the default.
    """
    if device.type != "cuda":
        yield
        return
    stream = _stream(device)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
        stream.synchronize()


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Create a stream and do a matrix product on it, so that cuBLAS allocates its workspace."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.device(device), torch.cuda.stream(stream):
        factor = torch.ones(1, 1, 1, device=device)
        torch.bmm(factor, factor)
        stream.synchronize()
    return stream


def can_capture(device: torch.device) -> bool:
    """Return whether steps on `device` can be captured on the current stream."""
    if device.type != "cuda" or device in _refused:
        return False
    return torch.cuda.current_stream(device) != torch.cuda.default_stream(device)


def capture(step: Callable[[], object], device: torch.device) -> CapturedStep:
    """Capture the operations of `step` on `device` without doing them.

    The step must have run on the same stream before, so that kernels are loaded and buffers of the
    first step exist. Raise torch.OutOfMemoryError if there is not enough memory for the
    intermediate results, which the graph keeps. Raise RuntimeError if the step cannot be captured.
    The state of torch's allocator is then not reliable, so later captures on this device fail too.
    """
    graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
    if device in _refused:
        raise RuntimeError("an earlier capture failed")
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()  # the graph has its own memory pool and cannot use cached blocks
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
        with suppress(RuntimeError):  # would hide the first error
            _end(graph, device, pool)
        raise
    _end(graph, device, pool)


def _end(graph: torch.cuda.CUDAGraph, device: torch.device, pool: _POOL_HANDLE) -> None:
    """End a capture; if that fails, tell torch's allocator that the capture has ended."""
    try:
        graph.capture_end()
    except RuntimeError:
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(device.index, pool)
            torch._C._cuda_releasePool(device.index, pool)
        raise
