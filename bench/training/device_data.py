"""Dataset as tensors on the device that trains."""

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
        """Copy the arrays to `device`; on the CPU, wrap the images without a copy."""
        data = cls(
            train_images=torch.from_numpy(dataset.train_images).to(device),
            train_labels=torch.from_numpy(dataset.train_labels).to(device, torch.int64),
            test_images=torch.from_numpy(dataset.test_images).to(device),
            test_labels=torch.from_numpy(dataset.test_labels).to(device, torch.int64),
            image_shape=dataset.image_shape,
            n_classes=dataset.n_classes,
        )
        if device.type == "cuda":  # other CUDA streams will read the data
            _on_device(data.scale, torch.get_default_dtype(), data.device)
            torch.cuda.synchronize(device)
        return data

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.train_images.device

    @property
    def scale(self) -> int:
        """Divisor of the pixels: 255 for bytes, 1 for floats."""
        return 255 if self.train_images.dtype == torch.uint8 else 1

    def to_pixels(self, images: Tensor, pixels: Tensor) -> None:
        """Write `images` divided by :attr:`scale` to `pixels`, both (n, D)."""
        # for a Python number torch takes longer on the CPU, and multiplies by its inverse on a GPU
        scale = _on_device(self.scale, pixels.dtype, pixels.device)
        if self.device.type == "cuda":
            torch.div(images, scale, out=pixels)  # one kernel
        else:
            pixels.copy_(images).div_(scale)


@cache
def _on_device(number: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(number, dtype=dtype, device=device)
