"""Initial weights, training set and order of the images, which follow from the seed of a run.

Each has a separate generator seed, derived from the seed of the run alone. They do not depend on
the optimizer, the device or the other runs of a stack. Two more generator seeds are for networks
(:mod:`bench.networks.module`) and optimizers that draw random numbers in training.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from bench.networks.build import Network
from bench.networks.mlp import MLP
from bench.networks.module import flatten, trainable
from bench.spec.generator_state import GeneratorState
from bench.spec.model import Workload
from bench.spec.resampling import BOOTSTRAP, WHOLE, n_drawn


@dataclass(frozen=True)
class Starts:
    """Initial states of the runs of a stack.

    `modules` has a newly initialised module for each run, `weights` (K, P) their trained parameters
    in the layout of the network, and `sha256` the hash of the weights of each run.
    """

    modules: tuple[nn.Module, ...]
    weights: Tensor
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class Orders:
    """Order of the images in the runs of a stack.

    `rows` are indices of the images, int32 (iterations, K * B): one row for one update of all runs.
    `sha256` has the hash of the order of each run.
    """

    rows: Tensor
    sha256: tuple[str, ...]


def starts(network: Network, seeds: Sequence[int]) -> Starts:
    """Return the initial states of the runs with these seeds.

    They are the same for all optimizers of a sweep. The latest result for a stack is therefore
    cached, unless training changes the modules.
    """
    if len(seeds) == 1 or not isinstance(network, MLP):
        return _starts(network, tuple(seeds), torch.get_default_dtype())
    return _latest_starts(network, tuple(seeds), torch.get_default_dtype())


def _starts(network: Network, seeds: tuple[int, ...], _default_dtype: torch.dtype) -> Starts:
    modules = tuple(initial_module(network, seed) for seed in seeds)
    return Starts(
        modules=modules,
        weights=torch.stack([network.layout.pack(trainable(module)) for module in modules]),
        sha256=tuple(map(weights_sha256, modules)),
    )


def orders(workload: Workload, n_images: int, seeds: Sequence[int]) -> Orders:
    """Return the order of the images for these seeds; the latest result for a stack is cached."""
    if len(seeds) == 1:
        return _orders(workload, n_images, tuple(seeds))
    return _latest_orders(workload, n_images, tuple(seeds))


def _orders(workload: Workload, n_images: int, seeds: tuple[int, ...]) -> Orders:
    found = [data_order(workload, n_images, seed) for seed in seeds]
    return Orders(rows=torch.stack(found, dim=1).flatten(1), sha256=tuple(map(order_sha256, found)))


_latest_starts = lru_cache(maxsize=1)(_starts)
_latest_orders = lru_cache(maxsize=1)(_orders)


def initial_module(network: Network, seed: int) -> nn.Module:
    """Return a new module of `network`, initialised with random numbers derived from `seed`.

    A user-defined network may draw from the global generators of torch (on the CPU only), numpy and
    Python.
    """
    with GeneratorState(derived_seed("weights", seed)).active():
        return network.module()


def data_order(workload: Workload, n_images: int, seed: int) -> Tensor:
    """Return the indices of the images of every update, int32 (iterations, batch_size).

    Every epoch is a new permutation, derived from `seed`, of the training set of this seed. If the
    batch size does not divide the number of images, the remainder of each epoch is omitted, so that
    every update uses the same number of images.
    """
    images = training_set(workload.resample_train, n_images, seed)
    n_set = n_images if images is None else len(images)
    per_epoch = n_set // workload.batch_size
    generator = torch.Generator().manual_seed(derived_seed("order", seed))
    epochs = [
        torch.randperm(n_set, generator=generator, dtype=torch.int32)[
            : per_epoch * workload.batch_size
        ]
        for _ in range(math.ceil(workload.iterations / per_epoch))
    ]
    order = torch.cat(epochs).view(-1, workload.batch_size)[: workload.iterations].contiguous()
    return order if images is None else images[order]


def training_set(resampling: str, n_images: int, seed: int) -> Tensor | None:
    """Return the indices of the images in the training set of a seed, int32; None for all."""
    if resampling == WHOLE:
        return None
    generator = torch.Generator().manual_seed(derived_seed("training set", seed))
    if resampling == BOOTSTRAP:
        return torch.randint(n_images, (n_images,), generator=generator, dtype=torch.int32)
    images = torch.randperm(n_images, generator=generator, dtype=torch.int32)
    return images[: n_drawn(resampling, n_images)]


def derived_seed(purpose: str, seed: int) -> int:
    """Return the generator seed of a run for one purpose, such as ``"weights"``.

    torch's CPU generator uses 32 bits of its seed, so with a longer hash two seeds could collide.
    XOR with a constant for the purpose is one-to-one on 32 bits.
    """
    return seed ^ int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of the trained weights, followed by the other weights if there are any."""
    digest = hashlib.sha256(flatten(module).numpy().tobytes())
    for parameter in module.parameters():
        if not parameter.requires_grad:
            values = parameter.detach().contiguous().reshape(-1)
            digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def order_sha256(order: Tensor) -> str:
    """Return the SHA-256 of the indices."""
    return hashlib.sha256(order.contiguous().numpy().tobytes()).hexdigest()
