"""What the seed of a run decides: its initial weights, and the order of its images.

Each comes from a random stream of its own, derived from the seed alone, and so is the same whatever
the optimizer, the device, and the runs beside it. A third stream is for networks that draw random
numbers while they train (:mod:`bench.networks.module`).
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from bench.networks.build import Network
from bench.networks.flat import flatten
from bench.networks.mlp import MLP
from bench.networks.module import trainable
from bench.spec.generator_state import GeneratorState

_LATEST = threading.RLock()


@dataclass(frozen=True)
class Starts:
    """Where the runs of a stack start.

    Attributes
    ----------
    modules
        A freshly initialised one for each run.
    weights
        Their trained parameters in the network's layout, (K, P).
    sha256
        Hash of the weights of each run.
    """

    modules: tuple[nn.Module, ...]
    weights: Tensor
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class Orders:
    """Which images the runs of a stack take.

    Attributes
    ----------
    rows
        Their indices, int32 (iterations, K * B): one row holds those of one update of all runs.
    sha256
        Hash of the order of each run.
    """

    rows: Tensor
    sha256: tuple[str, ...]


def starts(network: Network, seeds: Sequence[int]) -> Starts:
    """Where the runs of these seeds start.

    The optimizers of a sweep start alike: of a stack, the latest result is kept for the next one,
    unless training changes the modules.
    """
    if len(seeds) == 1 or not isinstance(network, MLP):
        return _starts(network, tuple(seeds), torch.get_default_dtype())
    with _LATEST:
        return _latest_starts(network, tuple(seeds), torch.get_default_dtype())


def _starts(network: Network, seeds: tuple[int, ...], _default_dtype: torch.dtype) -> Starts:
    modules = tuple(initial_module(network, seed) for seed in seeds)
    return Starts(
        modules=modules,
        weights=torch.stack([network.layout.pack(trainable(module)) for module in modules]),
        sha256=tuple(map(weights_sha256, modules)),
    )


def orders(n_images: int, batch_size: int, iterations: int, seeds: Sequence[int]) -> Orders:
    """Which of `n_images` the runs of these seeds take; of a stack, the latest result is kept."""
    if len(seeds) == 1:
        return _orders(n_images, batch_size, iterations, tuple(seeds))
    with _LATEST:
        return _latest_orders(n_images, batch_size, iterations, tuple(seeds))


def _orders(n_images: int, batch_size: int, iterations: int, seeds: tuple[int, ...]) -> Orders:
    found = [data_order(n_images, batch_size, iterations, seed) for seed in seeds]
    return Orders(rows=torch.stack(found, dim=1).flatten(1), sha256=tuple(map(order_sha256, found)))


_latest_starts = lru_cache(maxsize=1)(_starts)
_latest_orders = lru_cache(maxsize=1)(_orders)


def initial_module(network: Network, seed: int) -> nn.Module:
    """`network` with its own initialisation, by default torch's, from the weight stream of `seed`.

    A user's network may draw from the global generators of torch (on the CPU only), numpy and
    Python.
    """
    with GeneratorState(stream_seed("weights", seed)).active():
        return network.module()


def initial_weights(network: Network, seed: int) -> Tensor:
    """The weights of :func:`initial_module` that are trained, (n_parameters,), without padding."""
    return flatten(initial_module(network, seed))


def data_order(n_images: int, batch_size: int, iterations: int, seed: int) -> Tensor:
    """Indices of the images of every update, int32 (iterations, batch_size).

    Every epoch is a new permutation from the order stream of `seed`. Where the batch size does
    not divide the number of images, the remainder of an epoch is left out, so that every update
    averages over the same number of images.
    """
    per_epoch = n_images // batch_size
    generator = torch.Generator().manual_seed(stream_seed("order", seed))
    epochs = [
        torch.randperm(n_images, generator=generator, dtype=torch.int32)[: per_epoch * batch_size]
        for _ in range(math.ceil(iterations / per_epoch))
    ]
    return torch.cat(epochs).view(-1, batch_size)[:iterations].contiguous()


def stream_seed(purpose: str, seed: int) -> int:
    """The seed of one random stream of a run.

    torch's CPU generator keeps 32 bits of its seed, so a longer hash would let two seeds collide
    unnoticed. XOR with a constant of the purpose is one-to-one on 32 bits.
    """
    return seed ^ int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])


def weights_sha256(module: nn.Module) -> str:
    """Of the weights that are trained, followed by those that are not, if there are any."""
    digest = hashlib.sha256(flatten(module).numpy().tobytes())
    for parameter in module.parameters():
        if not parameter.requires_grad:
            values = parameter.detach().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def order_sha256(order: Tensor) -> str:
    return hashlib.sha256(order.contiguous().numpy().tobytes()).hexdigest()
