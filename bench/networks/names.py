"""Parse the names of networks (``--network``) and return their canonical form.

This module does not import torch, so errors in names are reported without a delay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import SpecError, suggestion
from bench.spec.plugins import is_external, load_external

#: Built-in networks.
NETWORKS = ("mlp", "logistic", "lenet")
#: Hidden layers of ``mlp`` by default, as in the tutorial.
DEFAULT_HIDDEN = (100,)
#: Largest network; larger ones are taken for a mistake.
MAX_LAYERS, MAX_UNITS = 10, 10_000

_EXPRESSION = re.compile(r"([A-Za-z_][\w-]*)\s*(?:\[(.*)\])?", re.ASCII | re.DOTALL)
_OPTION = re.compile(r"\s*(\w+)\s*=\s*([^\s,]*)\s*", re.ASCII)
QUOTED = 120


@dataclass(frozen=True)
class Architecture:
    """A built-in network; `hidden` are the units of hidden layers, empty for other than ``mlp``."""

    name: str
    hidden: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.hidden in ((), DEFAULT_HIDDEN):
            return self.name
        return f"{self.name}[hidden={'x'.join(map(str, self.hidden))}]"


def resolve_network(text: str) -> str:
    """Return the canonical name of a network.

    Raise SpecError if there is no such network, or a user-defined one cannot be imported.

    >>> resolve_network("mlp[hidden=100]"), resolve_network("mlp[hidden=128x64]")
    ('mlp', 'mlp[hidden=128x64]')
    """
    if is_external(text):
        return load_external(text.strip(), "network").name
    return str(parse_architecture(text))


def parse_architecture(text: str) -> Architecture:
    """Parse ``name`` or ``name[hidden=128x64]``.

    Raise SpecError if there is no such network, or it has no such option.
    """
    given = f"network {text[:QUOTED]!r}"
    match = _EXPRESSION.fullmatch(text.strip())
    if match is None:
        raise SpecError(
            "a network is written name, name[hidden=128x64] or module:object, got "
            f"{text[:QUOTED]!r}"
        )
    name, inside = match[1], (match[2] or "").strip()
    if name not in NETWORKS:
        own = "or write your own as module:function, such as mymodule:make_net, which returns it"
        raise SpecError(f"unknown {given}: {suggestion(name, NETWORKS)} {own}")
    if name != "mlp":
        if inside:
            raise SpecError(f"{given}: {name} takes no options")
        return Architecture(name)
    return Architecture(name, _hidden(inside, given) if inside else DEFAULT_HIDDEN)


def _hidden(inside: str, given: str) -> tuple[int, ...]:
    option = _OPTION.fullmatch(inside)
    if option is None:
        raise SpecError(f"{given}: the only option of mlp is written hidden=256 or hidden=128x64")
    key, value = option[1], option[2]
    if key != "hidden":
        raise SpecError(f"{given}: mlp has no option {key!r}: {suggestion(key, ['hidden'])}")
    is_short = re.fullmatch(r"\d{1,9}(?:x\d{1,9})*", value, re.ASCII) is not None
    units = tuple(map(int, value.split("x"))) if is_short else ()
    if not 1 <= len(units) <= MAX_LAYERS or not all(1 <= n <= MAX_UNITS for n in units):
        raise SpecError(
            f"{given}: hidden must be 1 to {MAX_LAYERS} whole numbers from 1 to {MAX_UNITS} with "
            f"x between them, such as 128x64, got {value[:QUOTED]!r}"
        )
    return units
