"""Networks as a user might bring them along, good ones and bad ones."""

from __future__ import annotations

import functools
import itertools
from typing import Any

from torch import Tensor, nn


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def deep(image_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    sizes = (image_shape[1] * image_shape[2], 40, 30, 20)
    layers = [m for a, b in itertools.pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(20, n_classes))


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
