"""Functions of torch and Python that user code has replaced, and hooks that it has added.

Every optimizer uses ``torch.optim.SGD.step`` or ``time.perf_counter`` of the same process. A
replacement by one of them would be used in the later runs of all others.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.modules.module as hooks_of_modules
import torch.optim.optimizer as hooks_of_optimizers


@dataclass(frozen=True, eq=False)
class Functions:
    """The functions and hooks at one time.

    Torch wraps its own functions, such as the step of an optimizer that is built for the first
    time. Such wrappers are equal to what they wrap.

    Attributes
    ----------
    values
        The functions, in the order of :func:`_names`.
    hooks
        The hooks for all modules and all optimizers, by their numbers.
    """

    values: tuple[object, ...]
    hooks: tuple[dict[Any, Any], ...]

    @classmethod
    def now(cls) -> Functions:
        """Return the present ones."""
        return cls(
            values=tuple(vars(place).get(name) for place, name in _names()),
            hooks=tuple(dict(hooks) for hooks in _hooks()),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Functions) and not self.names_of_changes(other)

    def __hash__(self) -> int:
        return hash(self.values)

    def restore(self) -> None:
        """Make them the present ones."""
        for i in self._replaced(Functions.now()):
            place, name = _names()[i]
            setattr(place, name, self.values[i])
        for present, hooks in zip(_hooks(), self.hooks, strict=True):
            present.clear()
            present.update(hooks)

    def names_of_changes(self, other: Functions) -> list[str]:
        """Return the names of what differs, such as "torch.optim.sgd.SGD.step"."""
        names = [_name(*_names()[i]) for i in self._replaced(other)]
        return names + ["hooks for all modules or optimizers"] * (self.hooks != other.hooks)

    def _replaced(self, other: Functions) -> Iterator[int]:
        for i, (a, b) in enumerate(zip(self.values, other.values, strict=True)):
            if a is not b and not (_is_of_torch(a) and _is_of_torch(b)):
                yield i


def _is_of_torch(value: object) -> bool:
    return str(getattr(value, "__module__", None)).partition(".")[0] == "torch"


@cache
def _names() -> tuple[tuple[Any, str], ...]:
    optimizers = [value for value in vars(torch.optim).values() if isinstance(value, type)]
    places = (
        *(builtins, time, torch, torch.Tensor, torch.nn.functional, torch.nn.Module),
        *optimizers,
    )
    return tuple((p, name) for p in places for name, value in vars(p).items() if callable(value))


def _name(place: Any, name: str) -> str:
    prefix = f"{place.__module__}." if isinstance(place, type) else ""
    return f"{prefix}{place.__name__}.{name}"


@cache
def _hooks() -> tuple[dict[Any, Any], ...]:
    return tuple(
        value
        for module in (hooks_of_modules, hooks_of_optimizers)
        for name, value in vars(module).items()
        if name.startswith("_global_") and isinstance(value, dict)
    )
