"""A network's name and the images it is for become a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.errors import SpecError
from bench.networks.layout import FlatLayout
from bench.networks.mlp import MLP
from bench.networks.module import ModuleNetwork, Runs, with_accepted
from bench.networks.names import parse_architecture
from bench.spec.plugins import is_external, load_external

#: Two poolings and an unpadded convolution leave one pixel of so many.
LENET_MIN_PIXELS = 12


class Network(Protocol):
    """What training needs of a network."""

    @property
    def layout(self) -> FlatLayout:
        """Where the trained parameters lie in a row of the flat tensor."""

    def module(self) -> nn.Module:
        """The network as a torch module, freshly initialised from torch's generator."""

    def runs(
        self,
        modules: Sequence[nn.Module],
        seeds: Sequence[int],
        parameters: Tensor,
        gradient: Tensor,
        batch_size: int,
        /,
    ) -> Runs:
        """What K runs compute, from their modules and the seeds of their random numbers.

        `parameters` (K, P) hold the weights of the modules, and `gradient` is overwritten.
        """


def has_closed_form(name: str) -> bool:
    """Whether a stack of the network called `name` is a batched product: others run in turn."""
    return not is_external(name) and parse_architecture(name).name != "lenet"


def make_network(
    name: str,
    image_shape: tuple[int, int, int],
    n_classes: int,
    *,
    batch_size: int = 2,
    device: torch.device | None = None,
) -> Network:
    """The network called `name` for images of this shape (channels, height, width).

    Your own network is tried out with one update of `batch_size` random images on `device`, by
    default the CPU.

    Raises
    ------
    SpecError
        If there is no network of that name, or it does not work with these images.
    """
    if is_external(name):
        where = device or torch.device("cpu")
        dtype = torch.get_default_dtype()
        return _external(name, image_shape, n_classes, batch_size, where, dtype)
    architecture = parse_architecture(name)
    if architecture.name == "lenet":
        return _lenet(name, image_shape, n_classes)
    return MLP((math.prod(image_shape), *architecture.hidden, n_classes))


@cache
def _external(
    name: str,
    image_shape: tuple[int, int, int],
    n_classes: int,
    batch_size: int,
    device: torch.device,
    _default_dtype: torch.dtype,
) -> ModuleNetwork:
    """A user's network, tried out once in this process."""
    factory = load_external(name, "network").value
    if isinstance(factory, nn.Module) or not callable(factory):
        raise SpecError(
            f"network {name!r}: it must be a function or a class that makes a torch.nn.Module, "
            f"got an object of {type(factory).__name__}"
        )
    make = with_accepted(factory, image_shape=image_shape, n_classes=n_classes)
    network = ModuleNetwork.of(name, make, image_shape, n_classes)
    network.try_out(batch_size, device)
    return network


def _lenet(name: str, image_shape: tuple[int, int, int], n_classes: int) -> ModuleNetwork:
    """LeNet-5 with ReLU and max pooling; sizes follow the images."""
    channels, height, width = image_shape
    if min(height, width) < LENET_MIN_PIXELS:
        raise SpecError(
            f"network {name!r} needs images of at least {LENET_MIN_PIXELS} x {LENET_MIN_PIXELS} "
            f"pixels, got {height} x {width}"
        )
    pooled = (height // 2 - 4) // 2 * ((width // 2 - 4) // 2)

    def make() -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
            *(nn.Linear(16 * pooled, 120), nn.ReLU()),
            *(nn.Linear(120, 84), nn.ReLU()),
            nn.Linear(84, n_classes),
        )

    return ModuleNetwork.of(name, make, image_shape, n_classes)
