"""Resolve optimizer expressions to checked specifications."""

from __future__ import annotations

from collections.abc import Mapping

from bench.errors import SpecError, suggestion
from bench.optimizers.catalogue import CATALOGUE, CatalogueEntry
from bench.optimizers.signature import IMPLEMENTATION_FLAGS, Arguments, torch_arguments
from bench.optimizers.sources import available_arguments
from bench.optimizers.trial import try_one_step
from bench.spec.expressions import Literal, OptimizerExpression, variant_name
from bench.spec.model import OptimizerSpec
from bench.spec.plugins import is_external, load_external


def resolve(expression: OptimizerExpression) -> OptimizerSpec:
    """Resolve an expression: add all defaults, and test one step.

    Overrides that equal the default are omitted from the name, so each variant has one name. Raise
    SpecError if the name is unknown, or a hyperparameter is unknown, missing or invalid.
    """
    if is_external(expression.name):
        return _resolve_external(expression)
    entry = CATALOGUE.get(expression.name)
    if entry is None:
        module, dot, name = expression.name.rpartition(".")
        hint = suggestion(expression.name, CATALOGUE)
        if dot:
            hint = f"write {module}:{name} for a class of a module"
        raise SpecError(f"unknown optimizer {expression.name!r}: {hint}")
    arguments = _arguments_of(entry)
    spec = _specified(expression, expression.name, f"torch.optim.{entry.algorithm}", arguments)
    if spec.name != expression.name:
        # entries of the catalogue without overrides are not tested: a first step takes a second
        try_one_step(spec, expression.text, "torch rejects these settings")
    return spec


def settings(name: str) -> Mapping[str, Literal]:
    """Return the arguments of the catalogue entry `name`, including defaults."""
    defaults = _arguments_of(CATALOGUE[name]).defaults
    return {k: v for k, v in defaults.items() if k not in IMPLEMENTATION_FLAGS}


def _arguments_of(entry: CatalogueEntry) -> Arguments:
    """Return its arguments; raise SpecError if the installed torch lacks its class."""
    arguments = available_arguments(entry.algorithm) or torch_arguments(entry.algorithm)
    return arguments.with_preset(entry.preset)


def available() -> dict[str, CatalogueEntry]:
    """Return the entries that the installed torch has; Muon requires torch 2.9."""
    return {name: e for name, e in CATALOGUE.items() if available_arguments(e.algorithm)}


def _resolve_external(expression: OptimizerExpression) -> OptimizerSpec:
    found = load_external(expression.name, "optimizer")
    text, value = expression.text, found.value
    if not callable(value):
        raise SpecError(f"{text!r}: an optimizer must be a class or a factory, got {value!r:.80}")
    try:
        arguments = Arguments.of(value)
    except (ValueError, TypeError):
        raise SpecError(f"{text!r}: its signature cannot be read (inspect.signature)") from None
    missing = sorted(arguments.required - expression.overrides.keys())
    if missing:
        raise SpecError(f"{text!r}: a value is required for {', '.join(missing)}")
    spec = _specified(expression, found.name.partition("@")[0], found.name, arguments)
    try_one_step(spec, text, "a step with these settings fails")
    return spec


def _specified(
    expression: OptimizerExpression, name: str, algorithm: str, arguments: Arguments
) -> OptimizerSpec:
    """Return the specification of an expression, with all defaults of `arguments`."""
    overrides = {
        key: _checked(expression, key, value, arguments)
        for key, value in expression.overrides.items()
    }
    defaults = arguments.defaults
    changed = {k: v for k, v in overrides.items() if k not in defaults or v != defaults[k]}
    chosen = {
        key: value
        for key, value in {**defaults, **changed}.items()
        if key in changed or key not in IMPLEMENTATION_FLAGS
    }
    return OptimizerSpec(
        name=variant_name(name, changed),
        algorithm=algorithm,
        hyperparameters=tuple(sorted(chosen.items())),
    )


def _checked(
    expression: OptimizerExpression, key: str, value: Literal, arguments: Arguments
) -> Literal:
    """Convert `value` to the type of the default of `key`: lr=1 and lr=1.0 are one variant."""
    if key not in arguments.names and not arguments.takes_any:
        raise SpecError(
            f"{expression.text!r}: {expression.name} has no hyperparameter {key!r}: "
            f"{suggestion(key, arguments.names)}"
        )
    if key not in arguments.defaults:
        return value
    default = arguments.defaults[key]
    try:
        if key in IMPLEMENTATION_FLAGS:
            return _flag(value)
        value = _like(default, value)
        if key in arguments.whole and isinstance(value, float):
            raise ValueError("a whole number")
        return value
    except ValueError as error:
        raise SpecError(
            f"{expression.text!r}: {key} must be {error} (default {default!r}), got {value!r}"
        ) from None


def _flag(value: Literal) -> Literal:
    if value is not None and not isinstance(value, bool):
        raise ValueError("True, False or None")
    return value


def _like(default: Literal, value: Literal) -> Literal:
    """Return `value` in the type of `default`, or raise ValueError with the expected type."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError("True or False")
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("a number")
        if isinstance(default, float):
            return float(value)
        return int(value) if value == int(value) else value
    elif isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise ValueError(f"a tuple of {len(default)}")
        return tuple(_like(d, v) for d, v in zip(default, value, strict=True))
    return value
