"""The optimizers that can be compared, by the names used on the command line.

:data:`CATALOGUE` can be read without torch; :func:`resolve` and :func:`build` need it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.errors import SpecError, suggestion
from bench.spec import Literal, OptimizerExpression, OptimizerSpec, variant_name

if TYPE_CHECKING:
    import torch

#: Arguments that choose how a step is computed, not what it computes. They are left to
#: :func:`build` unless the user sets them.
IMPLEMENTATION_FLAGS = frozenset({"foreach", "fused", "capturable", "differentiable"})


#: Classes whose fused step torch has had on CUDA all along; Adagrad's came after 2.8.
FUSED_ON_CUDA = frozenset({"SGD", "Adam", "AdamW"})


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One named optimizer.

    Attributes
    ----------
    algorithm
        Name of the class in :mod:`torch.optim`.
    update_rule
        The step in plain mathematics: w weights, g gradient, squares and divisions elementwise.
    paper
        Where the method was published.
    preset
        Arguments that differ from the class's defaults.
    """

    algorithm: str
    update_rule: str
    paper: str
    preset: Mapping[str, Literal] = field(default_factory=dict)


#: Every optimizer that has a name; the tutorial's eight have its settings.
CATALOGUE: Mapping[str, CatalogueEntry] = {
    "sgd": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1},
        update_rule="w -= lr g",
        paper="Robbins & Monro 1951, Annals of Mathematical Statistics 22",
    ),
    "momentum": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9},
        update_rule="v = momentum v + g;  w -= lr v",
        paper="Polyak 1964, USSR Computational Mathematics and Mathematical Physics 4",
    ),
    "nesterov": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9, "nesterov": True},
        update_rule="v = momentum v + g;  w -= lr (g + momentum v)",
        paper="Nesterov 1983, Soviet Mathematics Doklady 27; Sutskever et al. 2013, ICML",
    ),
    "adam": CatalogueEntry(
        algorithm="Adam",
        update_rule="m, v = running means of g and g^2, bias-corrected;  "
        "w -= lr m / (sqrt(v) + eps)",
        paper="Kingma & Ba 2015, ICLR",
    ),
    "adagrad": CatalogueEntry(
        algorithm="Adagrad",
        update_rule="s += g^2;  w -= lr g / (sqrt(s) + eps)",
        paper="Duchi, Hazan & Singer 2011, JMLR 12",
    ),
    "adadelta": CatalogueEntry(
        algorithm="Adadelta",
        update_rule="d = g sqrt(u + eps) / sqrt(v + eps);  u, v = running means of d^2 and g^2;  "
        "w -= lr d",
        paper="Zeiler 2012, arXiv:1212.5701",
    ),
    "adamax": CatalogueEntry(
        algorithm="Adamax",
        update_rule="m = running mean of g;  u = max(beta2 u, |g| + eps);  "
        "w -= lr m / ((1 - beta1^t) u)",
        paper="Kingma & Ba 2015, ICLR, section 7.1",
    ),
    "rmsprop": CatalogueEntry(
        algorithm="RMSprop",
        update_rule="v = running mean of g^2;  w -= lr g / (sqrt(v) + eps)",
        paper="Tieleman & Hinton 2012, Coursera lecture 6.5",
    ),
}

#: The tutorial's eight, in its order: what is compared unless the user says otherwise.
DEFAULT_OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adam"),
    *("adagrad", "adadelta", "adamax", "rmsprop"),
)


def resolve(expression: OptimizerExpression) -> OptimizerSpec:
    """Look an expression up, fill in every default, and prove that torch accepts the result.

    Overrides that repeat a default are dropped from the name, so that one variant has one name.

    Raises
    ------
    SpecError
        If the name is unknown, or a hyperparameter is unknown, ill-typed or refused by torch.
    """
    entry = CATALOGUE.get(expression.name)
    if entry is None:
        raise SpecError(
            f"unknown optimizer {expression.name!r}: {suggestion(expression.name, CATALOGUE)}"
        )
    defaults = {**_class_defaults(entry.algorithm), **entry.preset}
    overrides = {
        key: _checked(expression, key, value, defaults)
        for key, value in expression.overrides.items()
    }
    changed = {k: v for k, v in overrides.items() if v != defaults[k]}
    settings = {
        key: value
        for key, value in {**defaults, **changed}.items()
        if key in changed or key not in IMPLEMENTATION_FLAGS
    }
    spec = OptimizerSpec(
        name=variant_name(expression.name, changed),
        algorithm=f"torch.optim.{entry.algorithm}",
        hyperparameters=tuple(sorted(settings.items())),
    )
    if changed:  # a catalogue entry as it stands needs no proof, and a first step takes a second
        _try_one_step(spec, expression.text)
    return spec


def build(spec: OptimizerSpec, parameter: torch.nn.Parameter) -> torch.optim.Optimizer:
    """The torch optimizer of `spec` over one flat parameter.

    torch's fused kernels are used where the class has them: on CPU they take about half the
    time of the default for momentum SGD, Adam and Adagrad (docs/performance.md).
    """
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    arguments: dict[str, Any] = dict(spec.hyperparameters)
    if not IMPLEMENTATION_FLAGS & arguments.keys() and _has_fused(algorithm, parameter.device):
        arguments["fused"] = True
    return _optimizer_class(algorithm)([parameter], **arguments)


def _has_fused(algorithm: str, device: torch.device) -> bool:
    """Whether every torch of the supported range has a fused step of this class on this device."""
    if device.type == "cpu":
        return "fused" in _class_defaults(algorithm)
    return device.type == "cuda" and algorithm in FUSED_ON_CUDA


def _optimizer_class(algorithm: str) -> type[torch.optim.Optimizer]:
    import torch

    found: type[torch.optim.Optimizer] = getattr(torch.optim, algorithm)
    return found


def _class_defaults(algorithm: str) -> dict[str, Literal]:
    signature = inspect.signature(_optimizer_class(algorithm))
    return {
        name: _as_float(parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def _as_float(value: Literal) -> Literal:
    """Numbers as floats: torch writes ``weight_decay: float = 0``, and 0 is 0.0."""
    if isinstance(value, tuple):
        return tuple(map(_as_float, value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _checked(
    expression: OptimizerExpression, key: str, value: Literal, defaults: Mapping[str, Literal]
) -> Literal:
    """`value` in the type of the default of `key`, so that lr=1 and lr=1.0 are one variant."""
    if key not in defaults:
        raise SpecError(
            f"{expression.text!r}: {expression.name} has no hyperparameter {key!r}: "
            f"{suggestion(key, sorted(defaults))}"
        )
    try:
        if key in IMPLEMENTATION_FLAGS:
            return _flag(value)
        return _like(defaults[key], value)
    except ValueError as error:
        raise SpecError(
            f"{expression.text!r}: {key} must be {error} (default {defaults[key]!r}), got {value!r}"
        ) from None


def _flag(value: Literal) -> Literal:
    if value is not None and not isinstance(value, bool):
        raise ValueError("True, False or None")
    return value


def _like(default: Literal, value: Literal) -> Literal:
    """`value` if it is of the kind of `default`; the ValueError says which kind that is."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError("True or False")
    elif isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("a number")
        return float(value)
    elif isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise ValueError(f"a tuple of {len(default)}")
        return tuple(_like(d, v) for d, v in zip(default, value, strict=True))
    return value


def _try_one_step(spec: OptimizerSpec, text: str) -> None:
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1, 2))
    parameter.grad = torch.ones(1, 2)
    try:
        build(spec, parameter).step()
    except Exception as error:  # whatever torch objects to is the user's to read
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError(f"{text!r}: torch refuses these settings: {reason[0]}") from error
