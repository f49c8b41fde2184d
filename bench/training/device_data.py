"""A dataset as training reads it: tensors on the device that trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from bench.datasets.cache import Dataset


@dataclass(frozen=True)
class DeviceData:
    """A dataset on a device: images (n, D) as bytes or float32, classes (n,) as int64.

    `image_shape` is (channels, height, width), whose product is D.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    image_shape: tuple[int, int, int]
    n_classes: int

    @classmethod
    def of(cls, dataset: Dataset, device: torch.device) -> DeviceData:
        """Wrap the arrays on CPU without a copy of the images; copy them to other devices."""
        data = cls(
            train_images=torch.from_numpy(dataset.train_images).to(device),
            train_labels=torch.from_numpy(dataset.train_labels).to(device, torch.int64),
            test_images=torch.from_numpy(dataset.test_images).to(device),
            test_labels=torch.from_numpy(dataset.test_labels).to(device, torch.int64),
            image_shape=dataset.image_shape,
            n_classes=dataset.n_classes,
        )
        if device.type == "cuda":  # other streams than this one will read it
            _on_device(data.scale, torch.get_default_dtype(), data.device)
            torch.cuda.synchronize(device)
        return data

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.train_images.device

    @property
    def scale(self) -> int:
        """What pixels are divided by: bytes by 255, while floats are taken as they are."""
        return 255 if self.train_images.dtype == torch.uint8 else 1

    def to_pixels(self, images: Tensor, pixels: Tensor) -> None:
        """Fill `pixels` from `images`, (n, D) both: byte / 255; floats are taken as they are."""
        scale = self.scale
        if self.device.type == "cuda":  # one kernel; a number would be multiplied by its inverse
            torch.div(images, _on_device(scale, pixels.dtype, pixels.device), out=pixels)
        else:
            pixels.copy_(images).div_(scale)


@cache
def _on_device(number: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(number, dtype=dtype, device=device)
