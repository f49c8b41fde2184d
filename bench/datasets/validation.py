"""Hold out a part of the training images for validation.

The dataset ``mnist/validation`` has the training images of ``mnist`` without one sixth of them, and
this sixth as its test images. The test images of ``mnist`` are not in it, so that nothing that is
selected by its results can depend on them. ``mnist/validation-2`` and so on are other such splits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.datasets.arrays import Dataset
from bench.errors import SpecError

#: One image in this many is held out.
HELD_OUT = 6
_KEY = 0x76616C


def n_held_out(n_images: int) -> int:
    """Return the number of images that are held out of `n_images`."""
    return n_images // HELD_OUT


def hold_out(dataset: Dataset, where: str, split: int = 1) -> Dataset:
    """Split the training images, stratified by class, into training and validation images.

    A split, counted from 1, is the same at every call. Raise SpecError, which names the source
    `where`, if a class cannot have at least one image on both sides.
    """
    labels = dataset.train_labels.astype(np.int64)
    sizes = _sizes(labels, n_held_out(len(labels)), where)
    order = np.argsort(np.random.Generator(np.random.Philox(_KEY + split - 1)).random(len(labels)))
    held_out = np.zeros(len(labels), dtype=bool)
    for label, size in sizes.items():
        members = order[labels[order] == label]
        held_out[members[:size]] = True
    return replace(
        dataset,
        train_images=dataset.train_images[~held_out],
        train_labels=dataset.train_labels[~held_out],
        test_images=dataset.train_images[held_out],
        test_labels=dataset.train_labels[held_out],
    )


def _sizes(labels: NDArray[np.int64], total: int, where: str) -> dict[int, int]:
    """Return how many images of each class are held out: in proportion, at least one."""
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2 or total < len(classes):
        raise SpecError(
            f"{where}: one sixth of the training images is held out for validation, and every "
            f"class needs at least one image on both sides; class {classes[counts.argmin()]} has "
            f"{counts.min()} of {len(labels)} images"
        )
    shares = counts * total / len(labels)
    sizes = np.maximum(np.floor(shares).astype(int), 1)
    while sizes.sum() != total:
        step = 1 if sizes.sum() < total else -1
        # the class that is farthest from its share; one that would lose its last image is not
        distance = np.where((step < 0) & (sizes <= 1), -np.inf, step * (shares - sizes))
        sizes[int(distance.argmax())] += step
    return {int(label): int(size) for label, size in zip(classes, sizes, strict=True)}
