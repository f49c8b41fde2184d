"""CUDA graphs emulated on the CPU: a step that a GPU cannot capture fails here too.

As on a GPU, a capture does not change tensors: they are restored at its end. A replay repeats the
captured operations with the same tensors and numbers. It does not run the Python code of the step,
so a Python number keeps its value at capture.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_OPTIMIZERS = ("adadelta", "adam", "adamax", "asgd", "nadam", "radam", "rmsprop", "rprop")
#: Operations that read a value from the device, or whose shape depends on one: CUDA cannot capture
#: them.
_READING = ("_local_scalar_dense", "nonzero", "item", "_to_copy_to_host")


class CPUGraph(TorchDispatchMode):
    """Operations of a step in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in _READING:
            raise RuntimeError(f"{func} reads from the device while a graph is captured")
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            self._save(argument, value)
        for argument in func._schema.arguments:
            if argument.name in kwargs:
                self._save(argument, kwargs[argument.name])
        result = func(*args, **kwargs)
        if not func.is_view:
            self._calls.append((func, args, kwargs, result))
        return result

    def _save(self, argument: Any, value: Any) -> None:
        if argument.alias_info is None or not argument.alias_info.is_write:
            return
        for tensor in tree_flatten(value)[0]:
            place = tensor.untyped_storage().data_ptr()
            if place not in self._before:
                whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
                self._before[place] = (whole, whole.clone())

    def restore(self) -> None:
        for tensor, before in self._before.values():
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, captured in self._calls:
            result = func(*args, **kwargs)
            for old, new in zip(tree_flatten(captured)[0], tree_flatten(result)[0], strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def reset(self) -> None:
        self._calls.clear()


def capture(step: Callable[[], object], _device: torch.device) -> CPUGraph:
    graph = CPUGraph()
    with graph:
        step()
    graph.restore()
    return graph


@contextmanager
def cpu_graphs() -> Iterator[list[CPUGraph]]:
    """Capture and replay stacks on the CPU in the block; yield the list of captured graphs."""
    made: list[CPUGraph] = []

    def remember(step: Callable[[], object], device: torch.device) -> CPUGraph:
        made.append(capture(step, device))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.stack.can_capture", lambda _device: True)
        patch.setattr("bench.training.loop.capture", remember)
        for module in _OPTIMIZERS:
            patch.setattr(
                sys.modules[f"torch.optim.{module}"],
                "_get_capturable_supported_devices",
                lambda *_, **__: ["cpu"],
            )
        yield made
