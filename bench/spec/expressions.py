"""Parse optimizer expressions and lists of seeds, as written in options and spec files."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import SpecError

#: Value of a hyperparameter: a Python literal.
Literal = bool | int | float | str | None | tuple["Literal", ...]


class Word(str):
    """A string that is written without quotes in an expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


#: Seeds have 32 bits: torch's CPU generator ignores higher bits.
MAX_SEED = 2**32 - 1


#: Largest number of seeds: the plan is listed before it starts, and more are taken for a mistake.
MAX_SEEDS = 10_000


#: Largest number of characters of the input that a message quotes.
QUOTED = 120


@dataclass(frozen=True, kw_only=True)
class OptimizerExpression:
    """Parsed optimizer expression: a name and overrides, not yet resolved.

    `label` is the user's name of the variant; None: its canonical expression is its name.
    """

    text: str
    name: str
    overrides: Mapping[str, Literal]
    label: str | None = None


def parse_optimizers(text: str) -> tuple[OptimizerExpression, ...]:
    """Parse a comma-separated list of optimizer expressions.

    Values are Python literals, unquoted words, or a word with settings such as
    ``step(gamma=0.5)``. They are parsed, not evaluated as code.

    >>> [e.name for e in parse_optimizers("sgd,adam[lr=0.003,betas=(0.9,0.99)]")]
    ['sgd', 'adam']
    >>> parse_optimizers("adam[lr=0.003]")[0].overrides
    {'lr': 0.003}
    >>> parse_optimizers("fast=adam[lr=0.003]")[0].label
    'fast'

    Raises
    ------
    SpecError
        If an expression is not of the form ``name`` or ``name[key=value,...]``, or the label before
        it holds other characters than letters, digits, ``.``, ``_`` and ``-``.
    """
    return tuple(parse_optimizer(part) for part in _split_outside_brackets(text))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Parse a list of seeds and inclusive ranges.

    >>> parse_seeds("0-3,15")
    (0, 1, 2, 3, 15)

    Raises
    ------
    SpecError
        If a part is neither a whole number nor an ascending range, or there are more than
        :data:`MAX_SEEDS` seeds.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", part, re.ASCII)
        if not match:
            raise SpecError(
                "seeds must be whole numbers or ranges such as 0-9,15, got "
                f"{part[:QUOTED]!r} in {text[:QUOTED]!r}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SpecError(f"a range of seeds must ascend, got {part.strip()!r}")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise SpecError(f"a sweep may have at most {MAX_SEEDS} seeds, got {text[:QUOTED]!r}")
        seeds.extend(range(first, last + 1))
    return tuple(seeds)


def parse_overrides(inside: str, expression: str) -> dict[str, Literal]:
    """Parse ``key=value,...``, the part of `expression` in brackets.

    Raises
    ------
    SpecError
        If it is not of that form, or a value is not a literal.
    """
    source, given = f"_({inside})", f"{expression[:QUOTED]!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a SyntaxWarning is an error in the expression too
            call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        call = None
    if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
        raise SpecError(f"hyperparameters are written key=value,..., got {given}")
    values: dict[str, Literal] = {}
    for keyword in call.keywords:
        key = str(keyword.arg)
        if key in values:
            raise SpecError(f"every hyperparameter may be given once, got {given}")
        try:
            values[key] = _literal(keyword.value)
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
            # quoted from the source: ast.unparse may also fail on deeply nested values
            value = ast.get_source_segment(source, keyword.value) or ""
            raise SpecError(
                f"{key} in {given} must be a finite number, True, False, None, a word or a tuple "
                f"of these, got {value[:QUOTED]!r}"
            ) from None
    return values


def format_seeds(seeds: Sequence[int]) -> str:
    """Return the shortest text that :func:`parse_seeds` parses to these seeds.

    >>> format_seeds((0, 1, 2, 3, 15))
    '0-3,15'
    """
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def variant_name(name: str, overrides: Mapping[str, Literal]) -> str:
    """Return the canonical expression of a variant, which is its name.

    >>> variant_name("adam", {"lr": 0.003, "betas": (0.9, 0.99)})
    'adam[betas=(0.9,0.99),lr=0.003]'
    """
    if not overrides:
        return name
    return f"{name}[{written_overrides(overrides)}]"


def written_overrides(overrides: Mapping[str, Literal]) -> str:
    """Return the text that :func:`parse_overrides` parses to `overrides`.

    >>> written_overrides({"lr": 0.003, "betas": (0.9, 0.99)})
    'betas=(0.9,0.99),lr=0.003'
    """
    return ",".join(
        f"{key}={repr(value).replace(', ', ',')}" for key, value in sorted(overrides.items())
    )


def _split_outside_brackets(text: str) -> list[str]:
    """Split at commas that stand outside brackets, parentheses and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[({":
            depth += 1
        elif character in "])}":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def is_label(name: str) -> bool:
    """Return whether users may give this name to a variant.

    >>> is_label("adam-fast"), is_label("adam[lr=0.003]"), is_label("mine:Adam")
    (True, False, False)
    """
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,39}", name) is not None


def parse_optimizer(text: str) -> OptimizerExpression:
    """Parse one optimizer expression; see :func:`parse_optimizers`."""
    match = re.fullmatch(
        r"\s*(?:([^\[=]*?)\s*=\s*)?([A-Za-z_][\w.:-]*(?:@\w*)?)\s*(?:\[(.*)\])?\s*",
        text,
        re.ASCII | re.DOTALL,
    )
    if not match:
        raise SpecError(
            "an optimizer is written name or name[key=value,...], or with a name of your own as in "
            f"fast=adam[lr=0.003], got {text[:QUOTED]!r}"
        )
    label = match[1]
    if label is not None and not is_label(label):
        raise SpecError(
            "the name of a variant must be 1 to 40 letters, digits, '.', '_' or '-' and start with "
            f"a letter, got {label[:QUOTED]!r} in {text[:QUOTED]!r}"
        )
    return OptimizerExpression(
        text=text.strip(),
        name=match[2],
        overrides=parse_overrides(match[3] or "", text.strip()),
        label=label,
    )


def _literal(node: ast.expr) -> Literal:
    word = _word(node)
    return checked_literal(ast.literal_eval(node)) if word is None else word


def _word(node: ast.expr) -> str | None:
    """Return ``cosine``, ``one-cycle`` or ``step(gamma=0.5)``; None for any other node."""
    match node:
        case ast.Name(name):
            return name
        case ast.BinOp(left, ast.Sub(), right):
            first, rest = _word(left), _word(right)
            return f"{first}-{rest}" if first and rest and "(" not in first else None
        case ast.Call(ast.Name(name), [], keywords) if all(k.arg for k in keywords):
            settings = {str(k.arg): _literal(k.value) for k in keywords}
            if len(settings) < len(keywords):
                raise ValueError(name)
            return f"{name}({written_overrides(settings)})"
    return None


def checked_literal(value: object) -> Literal:
    """Return `value` with lists as tuples; raise ValueError if it is not a finite literal."""
    if isinstance(value, tuple | list):
        return tuple(checked_literal(item) for item in value)
    if isinstance(value, str):
        value.encode()  # raises for a lone surrogate, which UTF-8 cannot encode
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):  # OverflowError for a huge int
        return value
    raise ValueError(value)
