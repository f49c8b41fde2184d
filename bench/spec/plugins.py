"""What users bring along: an optimizer, a network or a dataset of their own, named module:object.

A name alone does not say what ran: its source may change between two runs. So what is stored is
``mypkg.mymodule:MyOptimizer@1a2b3c4d5e6f``, where the last part is a hash of the source file. Such
a name is accepted too, and refused where the source is another by now.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from bench.errors import SpecError, kind_and_line, suggestion

_NAME = re.compile(
    r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<object>[A-Za-z_][\w.]*)(?:@(?P<hash>[0-9a-f]{12}))?"
)


@dataclass(frozen=True, kw_only=True)
class External:
    """An object of a user's module.

    Attributes
    ----------
    name
        ``module:object@hash``: what is stored.
    value
        The object.
    """

    name: str
    value: object


def is_external(name: str) -> bool:
    """Whether `name` names an object of a user's module, rather than one of this program.

    >>> is_external("mypkg.mymodule:MyOptimizer"), is_external("adam")
    (True, False)
    """
    return ":" in name


@cache
def load_external(name: str, what: str) -> External:
    """Import what ``module:object`` names; modules are looked for where Python does, and here.

    Parameters
    ----------
    name
        With or without ``@`` and the hash of the source.
    what
        What it should be, for the message: ``"optimizer"``.

    Raises
    ------
    SpecError
        If the name is not of that form, cannot be imported, or its source has changed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise SpecError(f"your own {what} is written module:object, got {name[:120]!r}")
    module = _import(match["module"], name, what)
    value: object = module
    for part in match["object"].split("."):
        if not hasattr(value, part):
            raise SpecError(
                f"{what} {name!r}: {match['module']} has no {part!r}: "
                f"{suggestion(part, [n for n in vars(value) if not n.startswith('_')])}"
            )
        value = getattr(value, part)
    found = _source_hash(value, module)
    if match["hash"] not in (None, found):
        raise SpecError(
            f"{what} {name!r}: the source has changed since, its hash is {found} now; leave the "
            "hash out to use the source as it is"
        )
    return External(name=f"{match['module']}:{match['object']}@{found}", value=value)


def _import(module: str, name: str, what: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # behind all others: a file here must not hide a library
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's module does
        advice = "it is looked for among the installed packages and in the current directory"
        if module.endswith(".py"):
            advice = f"a module is named without .py: {name.replace('.py:', ':', 1)}"
        raise SpecError(
            f"{what} {name!r}: cannot import {module} ({kind_and_line(error)}); {advice}"
        ) from error


def _source_hash(value: object, module: ModuleType) -> str:
    """Of the file that defines `value`, else of that of the module it was found in."""
    for thing in (value, module):
        with suppress(TypeError, OSError):
            source = inspect.getsourcefile(thing)  # type: ignore[arg-type]
            if source is not None:
                return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]
    version = str(getattr(module, "__version__", module.__name__))
    return hashlib.sha256(version.encode()).hexdigest()[:12]
