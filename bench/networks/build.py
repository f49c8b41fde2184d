"""Create a network from its name and the shape of the images."""

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

#: Smallest height and width for which LeNet's last pooling has at least one pixel.
LENET_MIN_PIXELS = 12


class Network(Protocol):
    """Interface of a network in training."""

    @property
    def layout(self) -> FlatLayout:
        """Layout of the trained parameters in a row of the flat tensor."""

    def module(self) -> nn.Module:
        """Return a new torch module, initialised with torch's global generator."""

    def runs(
        self,
        modules: Sequence[nn.Module],
        seeds: Sequence[int],
        parameters: Tensor,
        gradient: Tensor,
        batch_size: int,
        /,
    ) -> Runs:
        """Return the computations of K runs.

        `modules` and `seeds` are the module of each run and the seed of its random numbers.
        `parameters` (K, P) are the weights of the modules; `gradient` (K, P) is overwritten by
        that of `batch_size` images.
        """


def has_closed_form(name: str) -> bool:
    """Return whether a stack of this network is computed by batched products, not run by run."""
    return not is_external(name) and parse_architecture(name).name != "lenet"


def make_network(
    name: str,
    image_shape: tuple[int, int, int],
    n_classes: int,
    *,
    batch_size: int = 2,
    device: torch.device | None = None,
) -> Network:
    """Create the network called `name` for images of shape (channels, height, width).

    A user-defined network is tested with one update of `batch_size` random images on `device`, by
    default the CPU. Raise SpecError if the name is unknown, or the network does not accept these
    images.
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
    """Return a user-defined network, tested once per process."""
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
    """Create LeNet-5 with ReLU and max pooling for images of this shape."""
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
