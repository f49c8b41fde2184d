"""What follows a gradient: the optimizer's step over all runs of a stack, or over one of them."""

from __future__ import annotations

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
    """What follows a gradient."""

    @property
    def optimizers(self) -> tuple[Steps, ...]:
        """What does the steps."""

    def step(self, labels: Tensor, /) -> object:
        """Do one update; `labels` (K, B, 1) are those of the batch."""

    def set_mode(self, mode: str, /) -> None:
        """Before (``eval``) and after (``train``) an evaluation."""


class FlatRuns:
    """All runs of a stack as one parameter, whose optimizer acts elementwise."""

    def __init__(self, optimizer: Steps) -> None:
        self.optimizers = (optimizer,)
        self._step = optimizer.step

    def step(self, _labels: Tensor) -> None:
        self._step()

    def set_mode(self, mode: str) -> None:
        """torch's own optimizers have no modes."""


class LayeredRun:
    """One run whose optimizer sees its layers one by one: views into its rows of the stack.

    Parameters
    ----------
    optimizer
        What it is trained with.
    values, gradients
        The weights of each layer and their gradients, in the shapes of the layers.
    stream
        What the optimizer of a user draws its random numbers from.
    evaluate
        Overwrites the gradient of this run on its batch with these classes; gives the loss.
    recordable
        Whether its step will be recorded.
    """

    def __init__(
        self,
        optimizer: OptimizerSpec,
        values: Sequence[Tensor],
        gradients: Sequence[Tensor],
        stream: GeneratorState,
        evaluate: Callable[[Tensor], Tensor] | None = None,
        *,
        recordable: bool = False,
    ) -> None:
        self._values, self._gradients = values, gradients
        self._layers = [torch.nn.Parameter(value) for value in self._values]
        self._evaluate = evaluate
        # torch's optimizers draw no random numbers
        self._stream = stream if is_users(optimizer) else None
        self._attach()
        with self._drawn():
            self.optimizers = build_for_layers(optimizer, self._layers, recordable=recordable)

    def step(self, labels: Tensor) -> None:
        self._attach()
        with self._drawn():
            for optimizer in self.optimizers:
                if self._evaluate is None:
                    optimizer.step()
                else:
                    optimizer.step(partial(self._closure, self._evaluate, labels))
        self._take_over()

    def set_mode(self, mode: str) -> None:
        with self._drawn(keep=False):  # the number of evaluations must not change the updates
            for optimizer in self.optimizers:
                set_mode(optimizer, mode)
        self._take_over()

    def _drawn(self, *, keep: bool = True) -> AbstractContextManager[None]:
        return nullcontext() if self._stream is None else self._stream.active(keep=keep)

    def _closure(self, evaluate: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
        self._take_over()
        loss = evaluate(labels)
        self._attach()
        return loss

    def _attach(self) -> None:
        """An optimizer may have set its gradients to None."""
        for layer, gradient in zip(self._layers, self._gradients, strict=True):
            layer.grad = gradient

    def _take_over(self) -> None:
        """An optimizer may have put other tensors in the place of these views."""
        for layer, value in zip(self._layers, self._values, strict=True):
            if layer.data_ptr() != value.data_ptr():
                value.copy_(layer.detach())
                layer.data = value


@dataclass(frozen=True)
class ChangingRates:
    """The learning rate of every update, and where optimizers look theirs up."""

    rates: NDArray[np.float64]
    groups: Sequence[dict[str, Any]]

    def setter(self) -> Callable[[Tensor], None]:
        """What stands before each step in Python: it sets the learning rate of the next update."""
        upcoming = iter(self.rates.tolist())

        def set_rate(_labels: Tensor) -> None:
            self.set(next(upcoming))

        return set_rate

    def set(self, rate: float | Tensor) -> None:
        """Let the optimizers step with this rate; a tensor may change its value later."""
        for group in self.groups:
            group["lr"] = rate
