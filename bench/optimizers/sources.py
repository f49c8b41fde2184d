"""Arguments of the classes of torch.optim, read from torch's source, as importing torch is slow."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from inspect import Parameter
from itertools import chain
from pathlib import Path

from bench.optimizers.signature import Arguments, torch_arguments


@cache
def available_arguments(algorithm: str) -> Arguments | None:
    """Return what :func:`torch_arguments` returns; None if the installed torch lacks the class.

    torch is imported only if its source is missing or has another form.
    """
    try:
        if algorithm not in (files := _files_of_classes()):
            return None
        return Arguments.of_parameters(_parameters(files[algorithm], algorithm), torchs=True)
    except (OSError, SyntaxError, LookupError, ValueError):
        import torch

        return torch_arguments(algorithm) if hasattr(torch.optim, algorithm) else None


@cache
def _files_of_classes() -> Mapping[str, Path]:
    """Return the source file of everything that :mod:`torch.optim` imports from its modules."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        raise LookupError("torch")
    directory = Path(found.origin).parent / "optim"
    return {
        alias.name: directory / f"{node.module.rpartition('.')[2]}.py"
        for node in _parsed(directory / "__init__.py").body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _parameters(file: Path, algorithm: str) -> Iterator[Parameter]:
    """Yield the parameters of the constructor of a class, without ``self``.

    Raise LookupError or ValueError if the class has no constructor, or a default is not a literal.
    """
    module = _parsed(file)
    constants = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name)
    }
    classes = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    methods = {n.name: n for n in classes[algorithm].body if isinstance(n, ast.FunctionDef)}
    given = methods["__init__"].args
    named = [*given.posonlyargs, *given.args][1:]
    missing = [None] * (len(named) - len(given.defaults))
    for argument, default in chain(
        zip(named, [*missing, *given.defaults], strict=True),
        zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ):
        yield Parameter(
            argument.arg,
            Parameter.POSITIONAL_OR_KEYWORD if argument in named else Parameter.KEYWORD_ONLY,
            default=Parameter.empty if default is None else _value(default, constants),
            annotation=ast.unparse(argument.annotation) if argument.annotation else Parameter.empty,
        )


def _value(default: ast.expr, constants: Mapping[str, ast.expr]) -> object:
    """Evaluate a literal, whose parts may be named constants of the module."""
    if isinstance(default, ast.Name):
        return ast.literal_eval(constants[default.id])
    if isinstance(default, ast.Tuple):
        return tuple(_value(part, constants) for part in default.elts)
    return ast.literal_eval(default)


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
