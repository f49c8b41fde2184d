"""Layout of a network's parameters in one flat tensor.

Each parameter starts at a multiple of :data:`ALIGNMENT` elements: 64 bytes, the alignment of
tensors that torch allocates on the CPU. The last bits of a matrix product depend on the alignment
of its operands. Without padding, the results of a run would depend on the other runs of its stack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Elements: 64 bytes of float32.
ALIGNMENT = 16


@dataclass(frozen=True)
class FlatLayout:
    """Position of each parameter of a network in a flat tensor of `size` elements.

    `shapes` has the order of ``module.parameters()``. The elements between parameters are padding.
    They and their gradients are 0, so they change neither a norm over the flat tensor nor the step
    of an elementwise optimizer.
    """

    shapes: tuple[torch.Size, ...]

    @property
    def size(self) -> int:
        """P, the length of a row of the flat tensor, including padding."""
        return sum(_aligned(shape.numel()) for shape in self.shapes)

    def views(self, flat: Tensor) -> list[Tensor]:
        """Return views of the parameters in `flat` (..., P), each of shape (..., \\*shape)."""
        return [
            flat[..., start : start + shape.numel()].view((*flat.shape[:-1], *shape))
            for start, shape in self._starts()
        ]

    def pack(self, parameters: Sequence[Tensor]) -> Tensor:
        """Copy the parameters of one run to a new flat tensor (P,)."""
        flat = parameters[0].new_zeros(self.size)
        for view, parameter in zip(self.views(flat), parameters, strict=True):
            view.copy_(parameter.detach())
        return flat

    def unpadded(self, flat: Tensor) -> Tensor:
        """Copy the parameters in `flat` (..., P) without padding: (..., number of weights)."""
        rows = flat.shape[:-1]
        parts = [
            view.reshape((*rows, view.shape[len(rows) :].numel())) for view in self.views(flat)
        ]
        return torch.cat(parts, dim=-1)

    def _starts(self) -> Iterator[tuple[int, torch.Size]]:
        start = 0
        for shape in self.shapes:
            yield start, shape
            start += _aligned(shape.numel())


def aligned_empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Allocate a tensor of `shape` (K, ...) in which each of the K parts starts at 64 bytes."""
    stack, *rest = shape
    size = math.prod(rest)
    return like.new_empty(stack, _aligned(size))[:, :size].view(shape)


def aligned(tensor: Tensor) -> Tensor:
    """Return `tensor` if its memory starts at a multiple of 64 bytes, else an aligned copy."""
    return tensor if tensor.data_ptr() % (4 * ALIGNMENT) == 0 else tensor.clone()


def _aligned(n: int) -> int:
    """Round `n` up to a multiple of :data:`ALIGNMENT`."""
    return -(-n // ALIGNMENT) * ALIGNMENT
