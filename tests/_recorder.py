"""A stand-in for CUDA graphs on the processor, as strict: what cannot be recorded there fails here.

Recording does not do the step, as on a GPU: what it writes is put back. A replay does the recorded
operations again with the very same tensors and numbers, and never enters Python's own code: a
number that Python changes from step to step stays what it was when it was recorded.
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
#: They read a value of the device, or its shape depends on one: CUDA refuses to record that.
_READING = ("_local_scalar_dense", "nonzero", "item", "_to_copy_to_host")


class ProcessorGraph(TorchDispatchMode):
    """Operations of a step, in the order in which they were done."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in _READING:
            raise RuntimeError(f"{func} reads from the device while a graph is recorded")
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
        for func, args, kwargs, recorded in self._calls:
            result = func(*args, **kwargs)
            for old, new in zip(tree_flatten(recorded)[0], tree_flatten(result)[0], strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def reset(self) -> None:
        self._calls.clear()


def record(step: Callable[[], object], _device: torch.device) -> ProcessorGraph:
    graph = ProcessorGraph()
    with graph:
        step()
    graph.restore()
    return graph


@contextmanager
def graphs_on_the_processor() -> Iterator[list[ProcessorGraph]]:
    """Inside, stacks on the processor are recorded and replayed; yields what was recorded."""
    made: list[ProcessorGraph] = []

    def remember(step: Callable[[], object], device: torch.device) -> ProcessorGraph:
        made.append(record(step, device))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.stack.can_record", lambda _device: True)
        patch.setattr("bench.training.loop.record", remember)
        for module in _OPTIMIZERS:
            patch.setattr(
                sys.modules[f"torch.optim.{module}"],
                "_get_capturable_supported_devices",
                lambda *_, **__: ["cpu"],
            )
        yield made
