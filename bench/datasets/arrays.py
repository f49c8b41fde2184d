"""Arrays of labelled images, and checks of arrays from user files and functions.

Integer pixels are bytes, 0 to 255, and are divided by 255 for training. Float pixels are not
scaled. Error messages are one line: the source, what is allowed and what was given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.datasets.names import KEYS
from bench.errors import SpecError, kind_and_line

#: Largest number of classes; larger labels are probably regression targets, pixels or identifiers.
MAX_CLASSES = 1000

#: Rows of pixels: bytes, or floats that are not scaled.
Pixels = NDArray[np.uint8] | NDArray[np.float32]
#: Class indices: bytes for up to 256 classes.
Labels = NDArray[np.uint8] | NDArray[np.int64]

_BYTES = "integers 0 to 255"
#: Allowed contents of an array by the kind of its dtype.
_KINDS = {"b": "booleans", "u": _BYTES, "i": _BYTES, "f": "floats"}
#: Allowed shapes of images by their number of axes.
_RANKS = {2: "(n, D)", 3: "(n, H, W)", 4: "(n, C, H, W)"}
#: Usual numbers of channels, by which images (n, H, W, C) are recognised.
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Dataset:
    """Training and test images: rows of pixels (n, D) and classes (n,).

    `image_shape` is (channels, height, width), whose product is D.
    """

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    image_shape: tuple[int, int, int] = (1, 28, 28)
    n_classes: int = 10


def checked(arrays: Mapping[str, object], where: str) -> Dataset:
    """Check the arrays of :data:`KEYS` and return them as a dataset; other keys are ignored.

    The objects can be anything that numpy converts to arrays. Images are (n, H, W), (n, C, H, W) or
    flat, (n, D); square images of 1, 3 or 4 channels can be (n, H, W, C). Boolean pixels become 0
    and 255. Labels are integers (n,). Raise SpecError, which names the source `where`, if an array
    is missing or is not of this form.
    """
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        held = ", ".join(map(repr, sorted(map(str, arrays))))[:120] or "nothing"
        raise SpecError(
            f"{where} lacks {', '.join(missing)}: it must hold {', '.join(KEYS)}, it holds {held}"
        )
    x_train, y_train, x_test, y_test = (_array(arrays[key], key, where) for key in KEYS)
    _check_alike(x_train, x_test, where)
    if _is_channels_last(x_train.shape, where):
        x_train, x_test = (np.moveaxis(images, -1, 1) for images in (x_train, x_test))
    train_labels, test_labels = _labels(y_train, "train", where), _labels(y_test, "test", where)
    for part, images, labels in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(images) != len(labels):
            raise SpecError(
                f"{where}: x_{part} and y_{part} must be of one length, got {len(images)} images "
                f"and {len(labels)} labels"
            )
    unseen = np.setdiff1d(test_labels, train_labels)
    if len(unseen):
        raise SpecError(
            f"{where}: every class of y_test must be in y_train, class {unseen[0]} is not"
        )
    n_classes = count_classes(train_labels, test_labels)
    return Dataset(
        train_images=_rows(x_train, "x_train", where),
        train_labels=_stored(train_labels, n_classes),
        test_images=_rows(x_test, "x_test", where),
        test_labels=_stored(test_labels, n_classes),
        image_shape=_image_shape(x_train),
        n_classes=n_classes,
    )


def count_classes(*labels: Labels) -> int:
    """Return one more than the largest class index, at least 2."""
    return max(2, *(int(part.max()) + 1 for part in labels))


def _array(value: object, key: str, where: str) -> NDArray[np.generic]:
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged lists, tensors on other devices, any user object
        raise SpecError(f"{where}: {key} is not an array ({kind_and_line(error)})") from error
    if array.dtype.kind not in _KINDS:
        raise SpecError(f"{where}: {key} must hold numbers, got an array of {array.dtype}")
    if array.size == 0:
        raise SpecError(f"{where}: {key} is empty, its shape is {array.shape}")
    return array


def _check_alike(x_train: NDArray[np.generic], x_test: NDArray[np.generic], where: str) -> None:
    for key, images in (("x_train", x_train), ("x_test", x_test)):
        if images.ndim not in _RANKS:
            raise SpecError(
                f"{where}: {key} must be of shape {', '.join(_RANKS.values())}, got {images.shape}"
            )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise SpecError(
            f"{where}: the images of x_train and x_test must be of one shape, got "
            f"{x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    kinds = [_KINDS[images.dtype.kind] for images in (x_train, x_test)]
    if kinds[0] != kinds[1]:
        raise SpecError(
            f"{where}: x_train and x_test must hold the same kind of numbers, got "
            f"{x_train.dtype} and {x_test.dtype}"
        )


def _is_channels_last(shape: tuple[int, ...], where: str) -> bool:
    """Return whether images are (n, H, W, C); raise SpecError if they may also be (n, C, H, W)."""
    if len(shape) < 4 or shape[1] in _CHANNELS or shape[3] not in _CHANNELS:
        return False
    is_last, is_first = shape[1] == shape[2], shape[2] == shape[3]
    if is_last == is_first:
        raise SpecError(
            f"{where}: images of shape {shape} can be (n, C, H, W) or (n, H, W, C): transpose them "
            "to (n, C, H, W) with at most 4 channels, or flatten them to (n, D)"
        )
    return is_last


def _image_shape(images: NDArray[np.generic]) -> tuple[int, int, int]:
    sizes = images.shape[1:]
    channels, height, width = (1,) * (3 - len(sizes)) + sizes
    return channels, height, width


def _rows(images: NDArray[np.generic], key: str, where: str) -> Pixels:
    flat = images.reshape(len(images), math.prod(images.shape[1:]))
    if flat.dtype.kind == "f":
        return _float_rows(flat, key, where)
    if flat.dtype.kind == "b":
        return np.ascontiguousarray(flat).astype(np.uint8) * np.uint8(255)
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high > 255:
        raise SpecError(
            f"{where}: {key} must hold {_BYTES}, or floats, which are not scaled; got integers "
            f"{low} to {high}"
        )
    return np.ascontiguousarray(flat, dtype=np.uint8)


def _float_rows(flat: NDArray[np.generic], key: str, where: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # values that are infinite in float32 are rejected below
        rows = np.ascontiguousarray(flat, dtype=np.float32)
    extremes = float(rows.min()), float(rows.max())  # NaN if any value is NaN
    if not all(map(math.isfinite, extremes)):
        raise SpecError(f"{where}: {key} must hold finite numbers of float32, got one that is not")
    return rows


def _labels(labels: NDArray[np.generic], part: str, where: str) -> NDArray[np.int64]:
    key = f"y_{part}"
    if labels.ndim != 1:
        raise SpecError(f"{where}: {key} must be of shape (n,), got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise SpecError(f"{where}: {key} must hold integers, the classes, got {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= MAX_CLASSES:
        raise SpecError(
            f"{where}: {key} must hold classes 0 to {MAX_CLASSES - 1}, got {low} to {high}"
        )
    return labels.astype(np.int64)


def _stored(labels: NDArray[np.int64], n_classes: int) -> Labels:
    return labels.astype(np.uint8) if n_classes <= 256 else labels
