"""The network as a function of a flat parameter vector, and its gradient.

Linear layers with ReLU between them have their gradient in closed form, whatever their number;
every other network is a torch module and goes through autograd (:mod:`bench.networks.module`).

The parameters of K runs that differ only in their seed are one tensor of shape (K, P); every
layer's weight and bias is a view into it, and so is the gradient. One elementwise optimizer step
over the flat tensor then serves all K runs and all layers. With K = 1 a batched product costs
what a plain one does.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.networks.module import trainable


def flatten(module: nn.Module) -> Tensor:
    """The trained parameters of `module` as one detached vector (P,), in its own order."""
    return torch.cat([p.detach().reshape(-1) for p in trainable(module)])
