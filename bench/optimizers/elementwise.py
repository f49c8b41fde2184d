"""Whether an optimizer acts elementwise: a user's claim is tried before it is believed.

What acts elementwise steps all runs of a stack and all their layers as one tensor. Of anything
else each run has an optimizer of its own, over parameters in the shapes of the network's.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from bench.optimizers.build import (
    build,
    build_for_layers,
    claims_elementwise,
    is_users,
    needs_closure,
)
from bench.spec.generator_state import GeneratorState
from bench.spec.model import OptimizerSpec

_SHAPES = ((4, 3), (4,), (2, 4), (2,))
_SIZES = (12, 4, 8, 2)
#: More than the five after which RAdam steps otherwise.
_STEPS = 8
#: Gradients of many sizes: clipping, for one, is elementwise as long as nothing is clipped.
_SCALES = (1.0, 1e-3, 1e3, 1.0, 10.0, 1e-1, 1e2, 1.0)
_TOLERANCE = 1e-6


@cache
def acts_elementwise(spec: OptimizerSpec) -> bool:
    """Whether `spec` may step a stack as one tensor; warns where a user's claim is not true."""
    if not claims_elementwise(spec):
        return False
    if not is_users(spec) or is_elementwise(spec):
        return True
    warnings.warn(
        f"{spec.name} says that it is elementwise, but two runs as one tensor are not what each "
        "is alone: every run gets an optimizer of its own",
        stacklevel=2,
    )
    return False


def is_elementwise(spec: OptimizerSpec) -> bool:
    """Whether two small runs stepped as one tensor are what the layers of each are alone.

    What needs a closure is not: two runs have two losses.
    """
    if needs_closure(spec):
        return False
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, sum(_SIZES), generator=generator, dtype=torch.float64)
    gradients = torch.randn(_STEPS, *start.shape, generator=generator, dtype=torch.float64)
    gradients *= torch.tensor(_SCALES, dtype=torch.float64).view(-1, 1, 1)
    try:
        with GeneratorState(0).active():
            together = _stepped_as_one(spec, start, gradients)
            alone = [_stepped_alone(spec, start[k], gradients[:, k]) for k in range(2)]
    except Exception:  # whatever a user's class objects to in a flat tensor
        return False
    return torch.allclose(together, torch.stack(alone), rtol=_TOLERANCE, atol=1e-12)


def _stepped_as_one(spec: OptimizerSpec, start: Tensor, gradients: Tensor) -> Tensor:
    flat = torch.nn.Parameter(start.clone())
    optimizer = build(spec, flat)
    for gradient in gradients:
        flat.grad = gradient.clone()
        optimizer.step()
    return flat.detach()


def _stepped_alone(spec: OptimizerSpec, start: Tensor, gradients: Tensor) -> Tensor:
    layers = [torch.nn.Parameter(part.clone()) for part in _parts(start)]
    optimizers = build_for_layers(spec, layers)
    for gradient in gradients:
        for layer, part in zip(layers, _parts(gradient), strict=True):
            layer.grad = part.clone()
        for optimizer in optimizers:
            optimizer.step()
    return torch.cat([layer.detach().flatten() for layer in layers])


def _parts(row: Tensor) -> list[Tensor]:
    return [part.view(s) for part, s in zip(torch.split(row, list(_SIZES)), _SHAPES, strict=True)]
