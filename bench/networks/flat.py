"""Parameters of a network as a flat vector.

Networks of linear layers with ReLU between them have a gradient in closed form
(:mod:`bench.networks.mlp`). All other networks are torch modules and use autograd
(:mod:`bench.networks.module`).

The parameters of K runs that differ only in their seed are one tensor of shape (K, P). The weight
and the bias of each layer are views into it, and so are their gradients. One step of an elementwise
optimizer over the flat tensor updates all K runs and all layers. For K = 1 a batched matrix product
takes as long as a plain one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.networks.module import trainable


def flatten(module: nn.Module) -> Tensor:
    """Return the trained parameters of `module`, in its order, as a detached vector (P,)."""
    return torch.cat([p.detach().reshape(-1) for p in trainable(module)])
