"""Arguments of optimizer classes and factories."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import SpecError
from bench.spec.expressions import Literal

if TYPE_CHECKING:
    import torch

#: Arguments that select an implementation of the same step. :func:`build` sets them unless the user
#: does.
IMPLEMENTATION_FLAGS = frozenset({"foreach", "fused", "capturable", "differentiable"})


def optimizer_class(algorithm: str) -> type[torch.optim.Optimizer]:
    """Return a class of :mod:`torch.optim`; raise SpecError if the installed torch lacks it."""
    import torch

    found: type[torch.optim.Optimizer] | None = getattr(torch.optim, algorithm, None)
    if found is None:
        raise SpecError(f"torch {torch.__version__} has no optimizer {algorithm}")
    return found


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Arguments of a class or factory, except the parameters.

    `defaults` holds those whose default is a literal. `required` have no default, `free` have one
    that is not a literal, and `whole` are annotated as int. `takes_any`: it has ``**kwargs``.
    """

    defaults: Mapping[str, Literal]
    required: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    takes_any: bool = False

    @classmethod
    def of(cls, value: Callable[..., object], *, torchs: bool = False) -> Arguments:
        """Read the signature; for classes of torch, ints are floats unless annotated as int."""
        return cls.of_parameters(inspect.signature(value).parameters.values(), torchs=torchs)

    @classmethod
    def of_parameters(
        cls, parameters: Iterable[inspect.Parameter], *, torchs: bool = False
    ) -> Arguments:
        """Sort the parameters of a signature; see :meth:`of`."""
        signature = list(parameters)
        named = [p for p in signature if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if named and named[0].kind is not named[0].KEYWORD_ONLY:
            named = named[1:]  # the parameters
        given = {p.name: p for p in named if p.default is not p.empty}
        whole = frozenset(n for n, p in given.items() if p.annotation in (int, "int"))
        defaults: dict[str, Literal] = {}
        for name, p in given.items():
            if _is_literal(p.default):
                as_float = name not in whole and (torchs or "float" in str(p.annotation))
                defaults[name] = _as_float(p.default) if as_float else p.default
        return cls(
            defaults=defaults,
            required=frozenset(p.name for p in named if p.default is p.empty),
            free=frozenset(given.keys() - defaults.keys()),
            whole=whole,
            takes_any=any(p.kind is p.VAR_KEYWORD for p in signature),
        )

    def with_preset(self, preset: Mapping[str, Literal]) -> Arguments:
        """Return the same arguments with other defaults."""
        return Arguments(defaults={**self.defaults, **preset}, whole=self.whole)

    @property
    def names(self) -> list[str]:
        """Names of all arguments, sorted."""
        return sorted({*self.defaults, *self.required, *self.free})


def torch_arguments(algorithm: str) -> Arguments:
    """Return the arguments of a class of :mod:`torch.optim`."""
    return Arguments.of(optimizer_class(algorithm), torchs=True)


def _is_literal(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def _as_float(value: Literal) -> Literal:
    """Convert ints to floats: torch declares ``weight_decay: float = 0``."""
    if isinstance(value, tuple):
        return tuple(map(_as_float, value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
