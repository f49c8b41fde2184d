"""Updates that are recorded once and then replayed, so that Python is out of the loop: CUDA graphs.

What a recorded step reads and writes must stay where it is, and nothing may be decided in Python
that changes from step to step: whatever does is a tensor on the device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

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
        streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.device(device), torch.cuda.stream(streams[device]):
        yield
        streams[device].synchronize()


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
    RuntimeError
        If something in it cannot be recorded. What a failed recording leaves in torch's allocator
        is not to be relied upon: nothing more is recorded on this device.
    """
    graph = torch.cuda.CUDAGraph()
    with RECORDING:
        torch.cuda.synchronize(device)
        try:
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                step()
            finally:
                graph.capture_end()
        except Exception:
            _refused.add(device)
            raise
    return graph
