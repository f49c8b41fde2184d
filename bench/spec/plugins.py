"""Load user-defined optimizers, networks and datasets, which are named ``module:object``.

The source of such an object may change between two runs. The stored name therefore ends with a
hash of the source file: ``mypkg.mymodule:MyOptimizer@1a2b3c4d5e6f``. A name with a hash is rejected
if the source has changed.

What a script, a notebook or a function defines cannot be imported by workers. It is registered
under a name such as ``__main__:MyOptimizer@1a2b3c4d5e6f`` (:func:`name_of`), whose hash is that of
:mod:`bench.spec.sources`, and sent to them as a pickle.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import pickle
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from bench.errors import SpecError, kind_and_line, suggestion
from bench.spec.model import RunSpec
from bench.spec.sources import content_hash, have_common_code, is_importable, pickled

_NAME = re.compile(
    r"(?P<module>[A-Za-z_]\w*(?:\.\w+)*):(?P<object>[A-Za-z_][\w.]*)(?:@(?P<hash>[0-9a-f]{12}))?"
)

#: Module in the names of registered objects.
_REGISTERED = "__main__"
#: Objects of this program by their names, and their pickles, which workers receive.
_objects: dict[str, object] = {}
_pickles: dict[str, bytes] = {}


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


def is_registered_name(name: str) -> bool:
    """Return whether `name` is that of an object which only its own program has.

    >>> is_registered_name("__main__:Mine@1a2b3c4d5e6f"), is_registered_name("mine:Mine")
    (True, False)
    """
    return name.startswith(f"{_REGISTERED}:")


def name_of(value: object, what: str, *, is_sent: bool = True) -> str:
    """Return the name of a class or function, which :func:`load_external` accepts.

    It is ``module:object`` if that can be imported; otherwise the object is registered. Raise
    SpecError if it is no class or function, or workers cannot receive it (unless not `is_sent`).
    """
    name = getattr(value, "__qualname__", None)  # instances have none
    if not callable(value) or name is None:
        kind = type(value).__name__
        raise SpecError(f"{what} must be text, a class or a function, got an object of {kind}")
    if is_importable(value):
        return f"{value.__module__}:{name}"
    plain = name.rpartition("<locals>.")[2].replace("<lambda>", "function")
    try:
        found = f"{plain}@{content_hash(value)}"
        sent = pickled(value) if is_sent else None
    except Exception as error:  # objects that it uses may raise anything
        raise SpecError(
            f"{what} {plain!r} cannot be sent to the workers ({kind_and_line(error)}): put it into "
            "a file such as mine.py, or make what it uses inside of it"
        ) from error
    name = registered(found, value)
    if sent is not None:
        first = _pickles.setdefault(name, sent)
        if have_common_code(_objects[name], value) and _are_different(first, sent):
            raise SpecError(
                f"{what} {plain!r} is given as two objects that differ in what their hash "
                f"{name[-12:]} does not cover: give them different code or different names"
            )
    return name


def _are_different(one: bytes, other: bytes) -> bool:
    """Compare two pickles without the random identifiers of cloudpickle's classes."""
    first, second = (re.sub(rb"\x8c\x20[0-9a-f]{32}", b"", pickle) for pickle in (one, other))
    return first != second


def registered(name: str, value: object) -> str:
    """Register an object under ``object@hash``, and return its whole name."""
    name = f"{_REGISTERED}:{name}"
    _objects.setdefault(name, value)
    return name


def pickles_of(names: Iterable[str]) -> dict[str, bytes]:
    """Return the pickles of those of `names` that are registered, for :func:`receive`."""
    return {name: _pickles[name] for name in names if name in _pickles}


def pickles_of_runs(runs: Iterable[RunSpec]) -> dict[str, bytes]:
    """Return the pickles of the optimizers and networks of runs that are registered."""
    return pickles_of({n for run in runs for n in (run.optimizer.algorithm, run.workload.network)})


def receive(pickles: Mapping[str, bytes]) -> None:
    """Register objects of the program that started this worker, which unpickles them when used."""
    _pickles.update(pickles)


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
    if match["module"] == _REGISTERED:
        return External(name=name, value=_registered_object(name, match["object"], what))
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


def _registered_object(name: str, plain: str, what: str) -> object:
    if name not in _objects:
        if name not in _pickles:
            raise SpecError(
                f"{what} {name!r} is defined in a script or notebook: pass the object itself to "
                "bench.specify there, or put it into a file such as mine.py and write "
                f"mine:{plain}"
            )
        _objects[name] = pickle.loads(_pickles[name])
    return _objects[name]


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
