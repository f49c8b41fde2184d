"""Test whether an optimizer acts elementwise.

One elementwise optimizer updates all runs of a stack, with all layers, as one tensor. For any other
optimizer each run gets its own instance, with parameters in the shapes of the network.
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
#: More than five, after which RAdam changes its step.
_STEPS = 8
#: Scales of the gradients: for example, a norm that is clipped at 1 acts only on large gradients.
_SCALES = (1.0, 1e-3, 1e3, 1.0, 10.0, 1e-1, 1e2, 1.0)
_TOLERANCE = 1e-6


@cache
def acts_elementwise(spec: OptimizerSpec) -> bool:
    """Return whether `spec` may update a stack as one tensor.

    Warns if a user-defined optimizer is declared as elementwise but is not.
    """
    if not claims_elementwise(spec):
        return False
    if not is_users(spec) or is_elementwise(spec):
        return True
    warnings.warn(
        f"{spec.name} is declared as elementwise, but two runs in one tensor give other results "
        "than each alone: every run gets its own optimizer",
        stacklevel=2,
    )
    return False


def is_elementwise(spec: OptimizerSpec) -> bool:
    """Return whether updates of two small runs as one tensor equal separate updates of layers.

    An optimizer with a closure is not elementwise, as each run has its own loss.
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
    except Exception:  # a user class may reject a flat tensor with any exception
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
