"""Networks as a user might bring them along, good ones and bad ones."""

from __future__ import annotations

import functools
import itertools
import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def deep(image_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    sizes = (image_shape[1] * image_shape[2], 40, 30, 20)
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(20, n_classes))


def odd_sizes(image_shape: tuple[int, int, int]) -> nn.Module:
    """No layer has a size that fills 64 bytes."""
    sizes = (image_shape[1] * image_shape[2], 13, 11, 10)
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.Dropout(0.3))]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def batch_norm(**offered: Any) -> nn.Module:
    assert set(offered) == {"image_shape", "n_classes"}
    convolution = nn.Sequential(nn.Conv2d(1, 5, 3, stride=2), nn.BatchNorm2d(5), nn.ReLU())
    return nn.Sequential(convolution, nn.Flatten(), nn.Linear(5 * 13 * 13, 10))


def dropout(n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 33), nn.ReLU(), nn.Dropout(0.5), nn.Linear(33, n_classes)
    )


def frozen() -> nn.Module:
    module = perceptron()
    module[1].requires_grad_(False)
    return module


class Tied(nn.Module):
    """One layer used twice, one that is never used, and an input that is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.square = nn.Linear(784, 20), nn.Linear(20, 20)
        self.same, self.last, self.unused = self.square, nn.Linear(20, 10), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.sub_(0.1).flatten(1)).relu()
        return self.last(self.same(self.square(x).relu()).relu())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(3, 5, stride=3), nn.Flatten(), nn.LazyLinear(10))


class Parameterless(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10]


def double() -> nn.Module:
    return perceptron().double()


def meta() -> nn.Module:
    return perceptron().to("meta")


def wrong_width() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 9))


class Pair(nn.Linear):
    def __init__(self) -> None:
        super().__init__(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flatten(1)), images


class Detached(Pair):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[0].detach()


def raising() -> nn.Module:
    raise RuntimeError("out of luck\nand a second line")


def unfitting() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 10))


def needing(width: int) -> nn.Module:
    return nn.Linear(width, 10)


def nothing() -> None:
    return None


INSTANCE = perceptron()


@functools.cache
def cached() -> nn.Module:
    return perceptron()


_calls = itertools.count()


def unseeded() -> nn.Module:
    module = perceptron()
    nn.init.constant_(module[1].bias, next(_calls))
    return module


def sharing() -> nn.Module:
    module = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Linear(10, 10), nn.Linear(10, 10))
    module[3].weight = nn.Parameter(module[2].weight.data)
    return module


def varying() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=next(_calls) % 2 == 0))


class DrawsAlways(nn.Linear):
    """Draws random numbers in evaluation too."""

    def __init__(self) -> None:
        super().__init__(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(nn.functional.dropout(images.flatten(1)))


def one_pixel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 10, 28), nn.BatchNorm2d(10), nn.Flatten())


def seeds_torch() -> nn.Module:
    torch.manual_seed(0)
    return perceptron()


def seeds_torch_late() -> nn.Module:
    module = perceptron()
    torch.manual_seed(0)
    return module


def seeds_numpy() -> nn.Module:
    np.random.seed(0)
    return perceptron()


def seeds_both() -> nn.Module:
    random.seed(1)
    return seeds_torch()


class SeedsInForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = dropout(10)

    def forward(self, images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return self.inner(images)


def draws_numpy() -> nn.Module:
    """Its weights come from numpy's global generator."""
    module = perceptron()
    with torch.no_grad():
        module[1].weight.copy_(torch.from_numpy(np.random.uniform(-0.01, 0.01, (100, 784))))
    return module


class DrawsPython(nn.Module):
    """Leaves its hidden units out at random, decided by Python."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(784, 30), nn.Linear(30, 10)

    def forward(self, images: Tensor) -> Tensor:
        kept = torch.tensor([random.random() < 0.5 for _ in range(30)])
        return self.last(self.first(images.flatten(1)).relu() * kept)


def fixed_generator() -> nn.Module:
    """Starts from the same weights for every seed, as pretrained networks do."""
    module, generator = perceptron(), torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.01, generator=generator)
    return module
