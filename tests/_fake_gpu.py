"""A stand-in for a GPU that computes nothing, but knows which tensor is where.

On the processor all tensors are in one place, so a test there cannot see that two of them are not.
Here torch's own fake tensors say that they are on a GPU, and torch refuses what it would refuse
there: operands in two places, and values read back to Python.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from bench.training import device_data
from bench.training.device_data import DeviceData

GPU = torch.device("cuda", 0)
#: A build of torch without CUDA does these on no fake tensor; they return their first argument.
_IN_PLACE = (torch.Tensor.copy_, torch.Tensor.__setitem__)
_THRESHOLD = torch.ops.aten.threshold_backward
#: With `out`, under another name.
_WITH_OUT = {_THRESHOLD.grad_input: (_THRESHOLD.default, "grad_input")}


class FakeGPU(TorchFunctionMode):
    """Does by other means what torch without CUDA cannot do with fake tensors of a GPU.

    Attributes
    ----------
    on_host
        Functions that were given, or gave, a tensor of the processor since this was emptied. A
        graph would not record what they do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_host: list[str] = []

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = self._call(func, args, dict(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        if callable(func) and any(tensor.device.type == "cpu" for tensor in tensors):
            self.on_host.append(getattr(func, "__name__", str(func)))
        return result

    def _call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        func, out = _WITH_OUT.get(func, (func, "out"))
        target = kwargs.pop(out, None)
        if target is not None:
            return _the_same(func(*args, **kwargs), target)
        if func is torch.Tensor.__getitem__:
            return _indexed(*args)
        name = getattr(func, "__name__", "")
        if func in _IN_PLACE or name.startswith("_fused_"):
            return _in_place(args, kwargs)
        return func(*args, **kwargs)


def _the_same(result: Tensor, target: Tensor) -> Tensor:
    """What `out` becomes: it must be where the result is, and like it."""
    for name in ("device", "dtype", "shape"):
        assert getattr(result, name) == getattr(target, name), name
    return target


def _in_place(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    assert len({tensor.device for tensor in tensors}) == 1, tensors
    return args[0]


def _indexed(tensor: Tensor, index: Any) -> Tensor:
    """``tensor[index]``, whose own code asks CUDA which GPU is the current one."""
    dim = 0
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, slice):
            tensor = torch.ops.aten.slice(tensor, dim, i.start, i.stop, i.step or 1)
            dim += 1
        elif isinstance(i, Tensor):
            tensor = torch.ops.aten.index(tensor, [*[None] * dim, i])
            dim += i.ndim
        else:
            tensor = torch.ops.aten.select(tensor, dim, i)
    return tensor


def _place(tensor: Tensor) -> Any:
    """What stands for the address of a fake tensor, which has none."""
    return tensor.untyped_storage()._cdata, tensor.storage_offset()


@contextmanager
def fake_gpu() -> Iterator[FakeGPU]:
    """Inside, tensors may be on :data:`GPU`, and steps can be recorded there."""
    mode, optimizer = FakeGPU(), sys.modules["torch.optim.optimizer"]  # torch deletes the attribute
    device_data._on_device.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.training.stack.can_record", lambda _device: True)
        patch.setattr(Tensor, "data_ptr", _place)
        patch.setattr(Tensor, "numpy", lambda tensor: tensor)
        supported = [*optimizer._foreach_supported_types, FakeTensor]
        patch.setattr(optimizer, "_foreach_supported_types", supported)
        with FakeTensorMode(allow_non_fake_inputs=True), mode, torch.no_grad():
            yield mode
    device_data._on_device.cache_clear()


def on_gpu(data: DeviceData) -> DeviceData:
    """As many images, of the same types, on the GPU."""

    def moved(tensor: Tensor) -> Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=GPU)

    return DeviceData(
        train_images=moved(data.train_images),
        train_labels=moved(data.train_labels),
        test_images=moved(data.test_images),
        test_labels=moved(data.test_labels),
        image_shape=data.image_shape,
        n_classes=data.n_classes,
    )
