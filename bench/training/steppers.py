"""Optimizer steps over all runs of a stack, or over one run."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.optimizers.build import Steps, build_for_layers, is_users, set_mode
from bench.spec.generator_state import GeneratorState
from bench.spec.model import OptimizerSpec


class Stepper(Protocol):
    """Interface of the step after a gradient."""

    @property
    def optimizers(self) -> tuple[Steps, ...]:
        """The optimizers that do the step."""

    def step(self, labels: Tensor, /) -> object:
        """Do one update; `labels` (K, B, 1) are the classes of the batch."""

    def set_mode(self, mode: str, /) -> None:
        """Set the mode before (``eval``) and after (``train``) an evaluation."""


class FlatRuns:
    """Step of an elementwise optimizer of torch over all runs of a stack as one parameter.

    Call it without gradient tracking. The step is torch's, without the decorators of the method:
    they disable gradients, record the step for torch's profiler and call hooks, and on a processor
    take longer than a step of SGD (docs/performance.md).
    """

    def __init__(self, optimizer: Steps) -> None:
        self.optimizers = (optimizer,)
        self._step = partial(inspect.unwrap(type(optimizer).step), optimizer)

    def step(self, _labels: Tensor) -> None:
        self._step()

    def set_mode(self, mode: str) -> None:
        """Do nothing: optimizers of torch have no modes."""


class LayeredRun:
    """Step over one run whose optimizer has a parameter for each weight and bias.

    `values` are the weights of each layer, views into the rows of the stack, and `gradients` their
    gradients. `generators` are the random generators of a user-defined optimizer. `evaluate`
    overwrites the gradient of this run for its current batch with the given classes, and returns
    the loss. `capturable` says whether the step will be captured.
    """

    def __init__(
        self,
        optimizer: OptimizerSpec,
        values: Sequence[Tensor],
        gradients: Sequence[Tensor],
        generators: GeneratorState,
        evaluate: Callable[[Tensor], Tensor] | None = None,
        *,
        capturable: bool = False,
    ) -> None:
        self._values, self._gradients = values, gradients
        self._layers = [torch.nn.Parameter(value) for value in self._values]
        self._evaluate = evaluate
        # optimizers of torch draw no random numbers
        self._generators = generators if is_users(optimizer) else None
        self._attach_gradients()
        with self._active_generators():
            self.optimizers = build_for_layers(optimizer, self._layers, capturable=capturable)

    def step(self, labels: Tensor) -> None:
        self._attach_gradients()
        with self._active_generators():
            for optimizer in self.optimizers:
                if self._evaluate is None:
                    optimizer.step()
                else:
                    optimizer.step(partial(self._closure, self._evaluate, labels))
        self._copy_replaced()

    def set_mode(self, mode: str) -> None:
        # without keep, as the number of evaluations must not change the updates
        with self._active_generators(keep=False):
            for optimizer in self.optimizers:
                set_mode(optimizer, mode)
        self._copy_replaced()

    def _active_generators(self, *, keep: bool = True) -> AbstractContextManager[None]:
        return nullcontext() if self._generators is None else self._generators.active(keep=keep)

    def _closure(self, evaluate: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
        self._copy_replaced()
        loss = evaluate(labels)
        self._attach_gradients()
        return loss

    def _attach_gradients(self) -> None:
        """Attach the gradients again, as an optimizer may have set them to None."""
        for layer, gradient in zip(self._layers, self._gradients, strict=True):
            layer.grad = gradient

    def _copy_replaced(self) -> None:
        """Copy weights back into the views, if an optimizer has replaced the tensors."""
        for layer, value in zip(self._layers, self._values, strict=True):
            if layer.data_ptr() != value.data_ptr():
                value.copy_(layer.detach())
                layer.data = value


@dataclass(frozen=True)
class ChangingRates:
    """The learning rate of every update, and the parameter groups that hold the current one."""

    rates: NDArray[np.float64]
    groups: Sequence[dict[str, Any]]

    def setter(self) -> Callable[[Tensor], None]:
        """Return a function that sets the rate of the next update; call it before each step."""
        upcoming = iter(self.rates.tolist())

        def set_rate(_labels: Tensor) -> None:
            self.set(next(upcoming))

        return set_rate

    def set(self, rate: float | Tensor) -> None:
        """Set the rate of the optimizers; a tensor may change its value later."""
        for group in self.groups:
            group["lr"] = rate
