"""Optimizers that a program gives to specify as objects; each becomes an expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from bench.errors import SpecError
from bench.spec.expressions import (
    QUOTED,
    Literal,
    OptimizerExpression,
    checked_literal,
    parse_optimizer,
    parse_optimizers,
    variant_name,
)
from bench.spec.plugins import name_of

#: A class or a function.
Code = Callable[..., Any]
#: Hyperparameters by their names.
Settings = Mapping[str, Any]
#: An optimizer: an expression, a class or function, or one with hyperparameters and a name.
Optimizer = str | Code | tuple[str | Code, Settings] | tuple[str, str | Code, Settings]
#: The arrays x_train, y_train, x_test and y_test of a dataset, by name or in this order.
Arrays = Mapping[str, Any] | tuple[Any, Any, Any, Any]

_SHAPES = '("sgd", {"lr": 0.1}) or ("mine", MyClass, {"lr": 0.1})'


def expressions_of(optimizers: object) -> tuple[OptimizerExpression, ...]:
    """Return the expressions of one optimizer or of a sequence of them.

    Raise SpecError if one is neither text, a class or function, nor a tuple of the shapes of
    :data:`Optimizer`.
    """
    is_sequence = isinstance(optimizers, Sequence) and not isinstance(optimizers, str)
    items: Sequence[object] = optimizers if is_sequence else [optimizers]  # type: ignore[assignment]
    return tuple(expression for item in items for expression in _expressions(item))


def _expressions(item: object) -> tuple[OptimizerExpression, ...]:
    match item:
        case str():
            return parse_optimizers(item)
        case (str() as label, what, Mapping() as given):
            return (_expression(what, given, label),)
        case (what, Mapping() as given):
            return (_expression(what, given),)
        case _ if callable(item):
            return (_expression(item, {}),)
    raise SpecError(
        f"an optimizer must be text, a class or a function, or a tuple such as {_SHAPES}, got "
        f"{_quoted(item)}"
    )


def _expression(what: object, given: Settings, label: str | None = None) -> OptimizerExpression:
    if not isinstance(what, str):
        name = name_of(what, "optimizer")
    elif parse_optimizer(what).text == parse_optimizer(what).name:
        name = what.strip()
    else:
        raise SpecError(f"an optimizer in a tuple must be a name alone, got {what[:QUOTED]!r}")
    prefix = "" if label is None else f"{label}="
    expression = parse_optimizer(prefix + variant_name(name, _checked(given, name)))
    shown = name.partition("@")[0]
    return replace(expression, text=expression.text.replace(name, shown, 1))


def _checked(given: Settings, name: str) -> dict[str, Literal]:
    """Return hyperparameters as literals of Python, numbers of numpy too."""
    settings = {}
    for key, value in given.items():
        if not isinstance(key, str) or not key.isidentifier():
            raise SpecError(
                f"hyperparameters of {name!r} must have names such as 'lr', got {_quoted(key)}"
            )
        try:
            settings[key] = checked_literal(_plain(value))
        except (ValueError, OverflowError):
            raise SpecError(
                f"{key} of {name!r} must be a finite number, True, False, None, text or a tuple of "
                f"these, got {_quoted(value)}"
            ) from None
    return settings


def _plain(value: object) -> object:
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _quoted(value: object) -> str:
    return " ".join(repr(value).split())[:QUOTED]
