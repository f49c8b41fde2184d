"""Capture of CUDA graphs and its errors, with a fake torch.cuda, as no GPU is required."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from bench.training import cuda_graphs as graphs
from bench.training.cuda_graphs import capture

GPU = torch.device("cuda", 0)
POOL = (0, 7)
MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
REFUSED = RuntimeError("operation not permitted when stream is capturing")
STOPPED = KeyboardInterrupt()
AFTERWARDS = RuntimeError("operation failed due to a previous error during capture")


@dataclass
class FakeCuda:
    """Calls of CUDA in their order; the calls in `fails` raise."""

    fails: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def capture_begin(self, *, pool: tuple[int, int], capture_error_mode: str) -> None:
        assert (pool, capture_error_mode) == (POOL, "thread_local")
        self.call("begin")

    def capture_end(self) -> None:
        self.call("end")

    def step(self) -> None:
        self.call("step")

    def free(self, name: str, index: int, pool: tuple[int, int]) -> None:
        assert (index, pool) == (0, POOL)
        self.call(name)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(graphs, "_refused", set())
    monkeypatch.setattr("torch.cuda.CUDAGraph", lambda: fake)
    monkeypatch.setattr("torch.cuda.graph_pool_handle", lambda: POOL)
    monkeypatch.setattr("torch.cuda.synchronize", lambda _device: fake.call("wait"))
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: fake.call("empty"))
    for name, function in (("stop", "endAllocateToPool"), ("release", "releasePool")):
        monkeypatch.setattr(
            f"torch._C._cuda_{function}",
            lambda index, pool, name=name: fake.free(name, index, pool),
            raising=False,
        )
    return fake


START = ["wait", "empty", "begin"]


@pytest.mark.parametrize(
    ("fails", "raised", "calls", "is_refused"),
    [
        ({}, None, [*START, "step", "end"], False),
        ({"step": REFUSED}, REFUSED, [*START, "step", "end"], True),
        (
            {"step": REFUSED, "end": AFTERWARDS},
            REFUSED,
            [*START, "step", "end", "stop", "release"],
            True,
        ),
        ({"end": AFTERWARDS}, AFTERWARDS, [*START, "step", "end", "stop", "release"], True),
        # the allocator has ended the capture: the pool must not be released twice
        (
            {"end": AFTERWARDS, "stop": RuntimeError("not capturing")},
            AFTERWARDS,
            [*START, "step", "end", "stop"],
            True,
        ),
        (
            {"begin": REFUSED, "end": AFTERWARDS, "stop": RuntimeError("not capturing")},
            REFUSED,
            [*START, "end", "stop"],
            True,
        ),
        ({"step": MEMORY}, MEMORY, [*START, "step", "end"], False),
        ({"step": STOPPED}, STOPPED, [*START, "step", "end"], False),
    ],
)
def test_a_capture_restores_the_allocator(
    cuda: FakeCuda,
    fails: dict[str, BaseException],
    raised: BaseException | None,
    calls: list[str],
    is_refused: bool,
) -> None:
    cuda.fails = fails
    if raised is None:
        assert capture(cuda.step, GPU) is cuda
    else:
        with pytest.raises(type(raised)) as caught:
            capture(cuda.step, GPU)
        assert caught.value is raised
    assert cuda.calls == calls
    assert (GPU in graphs._refused) == is_refused


def test_a_failed_capture_is_the_last_one_on_its_device(cuda: FakeCuda) -> None:
    """This includes stacks that were in their warm-up at that time."""
    cuda.fails = {"step": REFUSED}
    with pytest.raises(RuntimeError):
        capture(cuda.step, GPU)
    cuda.fails, n = {}, len(cuda.calls)
    with pytest.raises(RuntimeError, match="an earlier capture failed"):
        capture(cuda.step, GPU)
    assert len(cuda.calls) == n
    assert not graphs.can_capture(GPU)
