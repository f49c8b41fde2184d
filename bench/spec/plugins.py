"""Load user-defined optimizers, networks and datasets, which are named ``module:object``.

The source of such an object may change between two runs. The stored name therefore ends with a
hash of the source file: ``mypkg.mymodule:MyOptimizer@1a2b3c4d5e6f``. A name with a hash is rejected
if the source has changed.
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
    """An object from a user's module.

    Attributes
    ----------
    name
        Stored name: ``module:object@hash``.
    value
        The object.
    """

    name: str
    value: object


def is_external(name: str) -> bool:
    """Return whether `name` is the name of a user-defined object.

    >>> is_external("mypkg.mymodule:MyOptimizer"), is_external("adam")
    (True, False)
    """
    return ":" in name


@cache
def load_external(name: str, what: str) -> External:
    """Import a user-defined object.

    Modules are searched for on Python's path, then in the current directory.

    Parameters
    ----------
    name
        ``module:object``, with or without ``@`` and the hash of the source.
    what
        Kind of object, for messages, such as ``"optimizer"``.

    Raises
    ------
    SpecError
        If the name is malformed, cannot be imported, or its source has changed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise SpecError(f"a user-defined {what} is written module:object, got {name[:120]!r}")
    if match["module"] == "__main__":
        raise SpecError(
            f"{what} {name!r}: workers cannot import what a script or notebook defines: put it "
            f"into a file such as mine.py beside it, and write mine:{match['object']}"
        )
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
            f"{what} {name!r}: the source has changed, its hash is now {found}; omit the hash to "
            "use the current source"
        )
    return External(name=f"{match['module']}:{match['object']}@{found}", value=value)


def _import(module: str, name: str, what: str) -> ModuleType:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # last, so that a file here does not shadow a library
    from bench.spec import process_state  # imports torch

    try:
        with process_state.restored(is_import=True):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # user code may raise anything
        advice = "installed packages and the current directory were searched"
        if module.endswith(".py"):
            advice = f"write the module without .py: {name.replace('.py:', ':', 1)}"
        raise SpecError(
            f"{what} {name!r}: cannot import {module} ({kind_and_line(error)}); {advice}"
        ) from error


def _source_hash(value: object, module: ModuleType) -> str:
    """Hash the file that defines `value`, else the file of `module`."""
    for thing in (value, module):
        with suppress(TypeError, OSError):
            source = inspect.getsourcefile(thing)  # type: ignore[arg-type]
            if source is not None:
                return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:12]
    version = str(getattr(module, "__version__", module.__name__))
    return hashlib.sha256(version.encode()).hexdigest()[:12]
