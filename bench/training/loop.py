"""Update loop of a stack: gather a batch for each run, compute its gradient, and do a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import first_line
from bench.networks.layout import aligned_empty
from bench.training.cuda_graphs import CapturedStep, capture
from bench.training.device_data import DeviceData
from bench.training.steppers import ChangingRates

#: Updates before one is captured: they create the state of the optimizer and load the kernels.
WARM_UP = 3

#: Largest number of images in the updates that Python launches between two sums of their losses.
MOST_IMAGES = 2**20
#: Function called after the gradient with the classes of the batch, (K, B, 1).
Step = Callable[[Tensor], object]


class Batches:
    """Batches of all runs of a stack: gathers pixels and computes gradients.

    Larger batches than `chunk` images per run are computed in chunks of this size. `compute`
    overwrites `gradient` (K, P): :attr:`bench.networks.module.Runs.gradient`. `images` holds the
    pixels of the latest chunk, (K, chunk, D).
    """

    def __init__(
        self,
        data: DeviceData,
        chunk: int,
        gradient: Tensor,
        compute: Callable[[Tensor, Tensor, Tensor], None],
    ) -> None:
        stack, n_pixels = len(gradient), data.train_images.shape[1]
        self._data = data
        self._gradient = gradient
        self._compute = compute
        self._bytes = data.train_images.new_empty(stack * chunk, n_pixels)
        self.images = aligned_empty(gradient, (stack, chunk, n_pixels))

    def take_gradient(self, rows: Tensor, classes: Tensor, log_likelihood: Tensor) -> None:
        """Compute the gradient and the log-likelihood (K, B, 1) of the images `rows` (K * B)."""
        if len(rows) == len(self._bytes):
            self._take(rows, classes, log_likelihood)
        else:
            self._accumulate(rows, classes, log_likelihood)

    def _take(self, rows: Tensor, classes: Tensor, log_likelihood: Tensor) -> None:
        # bytes are gathered, then converted: a quarter of the memory traffic of float rows
        torch.index_select(self._data.train_images, 0, rows, out=self._bytes)
        self._data.to_pixels(self._bytes.view(self.images.shape), self.images)
        self._compute(self.images, classes, log_likelihood)

    def _accumulate(self, rows: Tensor, classes: Tensor, log_likelihood: Tensor) -> None:
        """Compute the same in chunks, so that memory does not grow with the batch."""
        stack, chunk = self.images.shape[:2]
        total, share = torch.zeros_like(self._gradient), chunk / classes.shape[1]
        parts = (torch.split(x, chunk, 1) for x in (rows.view(stack, -1), classes, log_likelihood))
        for some, their, part in zip(*parts, strict=True):
            self._take(some.reshape(-1), their, part)
            total.add_(self._gradient, alpha=share)
        self._gradient.copy_(total)


class UpdatesInPython:
    """Updates that Python launches one by one.

    `order` holds the indices of the images of every update, int32 (iterations, K * B). `steps` are
    called after the gradient, in this order.
    """

    def __init__(
        self, data: DeviceData, batches: Batches, order: Tensor, steps: Sequence[Step]
    ) -> None:
        self._labels = data.train_labels
        self._take_gradient = batches.take_gradient
        self._stack = len(batches.images)
        self._order = order.to(data.device)
        self._steps = steps
        self._like = batches.images

    def __call__(self, start: int, end: int) -> NDArray[np.float64]:
        """Do the updates `start` + 1 to `end`; return the loss before each, (K, end - start)."""
        n_at_once = max(1, MOST_IMAGES // self._order.shape[1])
        orders = torch.split(self._order[start:end], n_at_once)
        return np.concatenate([self._update(order) for order in orders], axis=1)

    def _update(self, order: Tensor) -> NDArray[np.float64]:
        labels = self._labels[order].view(len(order), self._stack, -1, 1)
        log_likelihood, steps = self._like.new_empty(labels.shape), self._steps
        # unbind creates all views in one call, which is faster than indexing
        for rows, classes, of_batch in zip(
            order.unbind(), labels.unbind(), log_likelihood.unbind(), strict=True
        ):
            self._take_gradient(rows, classes, of_batch)
            for step in steps:
                step(classes)
        return _losses(log_likelihood.mean((2, 3)))

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


class CapturedUpdates:
    """Updates that are captured once and then replayed.

    The position in the order of the images is a tensor on the device. The steps `captured` are
    captured together with the gradient; Python launches the steps `after` after every replay, and
    they must not use the classes. `changing` are the learning rates of the captured steps, None if
    they do not change.
    """

    def __init__(
        self,
        data: DeviceData,
        batches: Batches,
        order: Tensor,
        captured: Sequence[Step] = (),
        after: Sequence[Step] = (),
        changing: ChangingRates | None = None,
    ) -> None:
        stack, like = len(batches.images), batches.images
        self._device = data.device
        self._labels = data.train_labels
        self._take_gradient = batches.take_gradient
        self._order = order.to(data.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=data.device)
        self._of_batch = like.new_empty(stack, order.shape[1] // stack, 1)
        self._log_likelihood = like.new_empty(len(order), stack)
        self._captured, self._after = captured, after
        self._done = 0
        self._graph: CapturedStep | None = None
        self._is_refused = False
        self._rates, self._rate = like.new_empty(0), like.new_empty(1)
        if changing is not None:
            self._rates = torch.tensor(changing.rates).to(self._rate)
            changing.set(self._rate[0])

    def __call__(self, start: int, end: int) -> NDArray[np.float64]:
        """Do the updates `start` + 1 to `end`; return the loss before each, (K, end - start)."""
        for _ in range(start, end):
            self._next()
            for step in self._after:
                step(self._labels)
        return _losses(self._log_likelihood[start:end])

    def close(self) -> None:
        """Free the memory of the graph."""
        if self._graph is not None:
            self._graph.reset()

    def _next(self) -> None:
        if self._graph is None and self._done == WARM_UP and not self._is_refused:
            self._try_capture()
        if self._graph is None:
            self._update()
        else:
            self._graph.replay()
        self._done += 1

    def _try_capture(self) -> None:
        try:
            self._graph = capture(self._update, self._device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._is_refused = True
            warnings.warn(
                f"updates on {self._device} cannot be captured ({first_line(error)}): they are "
                "launched one by one, which is slower",
                stacklevel=2,
            )

    def _update(self) -> None:
        """Do the update at the position on the device, and increase the position by one."""
        rows = self._order.index_select(0, self._position).view(-1)
        classes = self._labels.index_select(0, rows).view(self._of_batch.shape)
        if len(self._rates):
            torch.index_select(self._rates, 0, self._position, out=self._rate)
        self._take_gradient(rows, classes, self._of_batch)
        for step in self._captured:
            step(classes)
        mean = self._of_batch.mean((1, 2))
        self._log_likelihood.index_copy_(0, self._position, mean.view(1, -1))
        self._position.add_(1)


def _losses(log_likelihood: Tensor) -> NDArray[np.float64]:
    """Convert mean log-likelihoods (n, K) to losses (K, n)."""
    losses: NDArray[np.float64] = -log_likelihood.T.cpu().double().numpy()
    return losses
