"""Devices for training, by their names in torch: the CPU, CUDA devices and Apple's GPU.

A device is a text such as ``cpu``, ``cuda:0`` or ``mps``; the part before the colon is its kind.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import UsageError

CPU, CUDA, MPS = KINDS = ("cpu", "cuda", "mps")
#: Setting with which cuBLAS gives reproducible sums; cuBLAS reads it at its first use.
_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def kind_of(device: str) -> str:
    """``cuda`` of ``cuda:1``."""
    return device.partition(":")[0]


def choose(wanted: str, gpus: Sequence[int] | None = None) -> tuple[str, tuple[int, ...] | None]:
    """Return the kind of device that a sweep trains on, and the numbers of the GPUs for CUDA.

    Parameters
    ----------
    wanted
        A kind, or auto: CUDA's GPUs where there are any, else Apple's, else the processor.
    gpus
        Which of CUDA's GPUs; None for all.

    Raises
    ------
    UsageError
        If there is no such device here.
    """
    if gpus is not None and not (isinstance(gpus, Sequence) and all(map(_is_number, gpus))):
        raise UsageError(f"gpus must be whole numbers such as 0 and 1, got {gpus!r:.80}")
    n_cuda, has_mps = _count_gpus()
    has = {CPU: True, CUDA: n_cuda > 0, MPS: has_mps}
    if wanted not in ("auto", *KINDS):
        raise UsageError(f"device must be one of auto, {', '.join(KINDS)}, got {wanted!r}")
    kind = next(k for k in (CUDA, MPS, CPU) if has[k]) if wanted == "auto" else wanted
    if not has[kind]:
        raise UsageError(f"--device {kind}: torch finds no such device here; use auto or cpu")
    if kind != CUDA:
        if gpus is not None:
            raise UsageError(
                f"--gpus {','.join(map(str, gpus))}: torch finds no CUDA device here"
                if not n_cuda
                else f"--gpus are CUDA's, got --device {wanted}"
            )
        return kind, None
    wanted_gpus = tuple(range(n_cuda) if gpus is None else dict.fromkeys(gpus))
    for gpu in wanted_gpus:
        if gpu >= n_cuda:
            raise UsageError(f"--gpus: there are GPUs 0 to {n_cuda - 1} here, got {gpu}")
    if not wanted_gpus:
        raise UsageError("gpus must name at least one GPU, got none")
    return kind, wanted_gpus


def _count_gpus() -> tuple[int, bool]:
    """Return the number of CUDA devices, and whether there is a GPU of Apple."""
    if "torch" not in sys.modules and sys.platform != "darwin" and is_cpu_build():
        return 0, False
    import torch

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return n_cuda, torch.backends.mps.is_available()


def is_cpu_build() -> bool:
    """Return whether torch is known to be a build without GPUs; torch is not imported."""
    build = torch_build()
    return build is not None and not build.get("cuda") and not build.get("hip")


@cache
def torch_build() -> Mapping[str, Any] | None:
    """Return the names in ``torch/version.py``; None if it cannot be read.

    Importing torch takes two seconds, and the program that only starts workers does not need it.
    """
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        names = runpy.run_path(str(Path(found.origin).with_name("version.py")))
    except OSError:
        return None
    return names if isinstance(names.get("__version__"), str) and "cuda" in names else None


def _is_number(gpu: object) -> bool:
    return isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0


def free_bytes(device: str) -> int:
    """Free memory of a GPU, including what torch caches in this process."""
    import torch

    if kind_of(device) == CUDA:
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()


def release_memory(device: str) -> None:
    """Free the memory that a failed training held."""
    import torch

    gc.collect()
    if kind_of(device) == CUDA:
        with suppress(RuntimeError):  # a broken device; is_working detects it
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
    elif kind_of(device) == MPS:
        torch.mps.empty_cache()


def is_working(device: str) -> bool:
    """Whether a device computes; after some errors it does so only in a new process."""
    import torch

    if kind_of(device) == CPU:
        return True
    try:
        return bool(torch.ones(2, device=device).sum().item() == 2)
    except (RuntimeError, AssertionError):  # AssertionError: torch finds no such device
        return False


@contextmanager
def exact_numbers(kind: str, *, tf32: bool) -> Iterator[None]:
    """Use full float32 precision and deterministic kernels in the block.

    With `tf32`, a GPU may round the factors of products to ten bits, which is faster.
    """
    if kind != CUDA:
        yield
        return
    os.environ.setdefault(*_WORKSPACE)
    switches = _switches(tf32=tf32)
    before = [(switch, switch.read()) for switch in switches]
    for switch in switches:
        switch.set(switch.value)
    try:
        yield
    finally:
        for switch, value in before:
            if value is not None:
                switch.set(value)


@dataclass(frozen=True)
class _Switch:
    """A setting of torch, and its value in :func:`exact_numbers`."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    value: object

    @classmethod
    def at(cls, place: object, name: str, value: object) -> _Switch:
        """Return the setting that is an attribute of `place`."""
        return cls(partial(getattr, place, name), partial(setattr, place, name), value)

    def read(self) -> object:
        """Return the current value; None if it was set through torch's newer settings only."""
        with suppress(RuntimeError):
            return self.get()
        return None


def _switches(*, tf32: bool) -> list[_Switch]:
    """Return the settings; torch 2.9 has introduced other names, which come last.

    Both are set, because code that reads the older ones, such as torch.compile, raises an error if
    the two disagree.
    """
    import torch

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    get, set_ = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    switches = [
        _Switch.at(cudnn, "deterministic", True),
        _Switch.at(cudnn, "benchmark", False),
        _Switch.at(cudnn, "allow_tf32", tf32),
        _Switch(get, set_, "high" if tf32 else "highest"),
    ]
    if hasattr(matmul, "fp32_precision"):
        words = "tf32" if tf32 else "ieee"
        places = (matmul, cudnn.conv, cudnn.rnn)  # type: ignore[attr-defined]
        switches += [_Switch.at(place, "fp32_precision", words) for place in places]
    return switches
