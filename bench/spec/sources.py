"""Hash what a class or function does that no other process can import.

It is described by the source of its functions and by what they use: defaults, variables around
them, and globals that their code reads. Functions and classes of the same script or notebook are
described in the same way, everything importable by its name, numbers and text by their values, and
other objects by their pickle. Names of files and numbers of lines are left out, so that a script
may be edited elsewhere. A lambda, and a function whose source is not kept, is described by its
bytecode, which another version of Python may compile differently.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import CodeType, FunctionType, MethodType, ModuleType

_ATOMS = (int, float, complex, str, bytes, type(None), type(...))


def is_importable(value: object) -> bool:
    """Return whether other processes find `value` under its name in its module."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return False
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def content_hash(value: object) -> str:
    """Return 12 hexadecimal digits of the SHA-256 of the description of a class or function."""
    text = "\n".join(_Description(value).lines(value))
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:12]


def pickled(value: object) -> bytes:
    """Pickle `value` by value where it is not importable, as joblib does for its workers."""
    return bytes(import_module("joblib.externals.loky.backend.reduction").dumps(value))


class _Description:
    """Describes `root` line by line; a function, class, list or mapping only once."""

    def __init__(self, root: object) -> None:
        self._module = getattr(root, "__module__", None)
        self._seen: set[int] = set()

    def lines(self, value: object) -> Iterator[str]:
        value = self._unwrapped(value)
        if isinstance(value, ModuleType) or is_importable(value):
            yield f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', value)}"
        elif isinstance(value, _ATOMS):
            yield f"{type(value).__name__} {value!r}"
        elif id(value) in self._seen:
            yield f"again {type(value).__name__} {getattr(value, '__qualname__', '')}"
        else:
            if isinstance(value, FunctionType | type | list | dict):
                self._seen.add(id(value))
            yield type(value).__name__
            for part in self._parts(value):
                yield from [part] if isinstance(part, _Line) else self.lines(part)

    def _unwrapped(self, value: object) -> object:
        """What a decorator of another module, such as ``torch.no_grad``, was given."""
        while (inner := getattr(value, "__dict__", {}).get("__wrapped__")) is not None:
            if getattr(value, "__globals__", {}).get("__name__") == self._module:
                break
            value = inner
        return value

    def _parts(self, value: object) -> Iterator[object]:
        match value:
            case FunctionType():
                yield from _function(value)
            case type():
                yield from self._class(value)
            case MethodType():
                yield from (value.__func__, value.__self__)
            case staticmethod() | classmethod():
                yield value.__func__
            case property():
                yield from (value.fget, value.fset, value.fdel)
            case list() | tuple():
                yield from value
            case Mapping():
                for item in value.items():
                    yield from item
            case set() | frozenset():
                yield from map(_Line, sorted(map(repr, value)))
            case _ if not is_importable(type(value)):
                yield from (type(value), getattr(value, "__dict__", ()))
            case _:
                yield _of_pickle(value)

    def _class(self, value: type) -> Iterator[object]:
        yield _Line(value.__qualname__)
        yield from value.__bases__
        for name, member in sorted(vars(value).items()):
            is_code = isinstance(member, FunctionType | staticmethod | classmethod | property)
            own = self._unwrapped(member)
            # torch puts a wrapper of an inherited step into the class when it is first used
            inherited = self._unwrapped(getattr(super(value, value), name, None))
            if own is not inherited and (is_code or not name.startswith(("__", "_abc_"))):
                yield from (_Line(name), member)


class _Line(str):
    """A line of a description; other text is a value, which is described."""


def _function(value: FunctionType) -> Iterator[object]:
    code = value.__code__
    yield _Line(_source(code))
    yield from (value.__defaults__, value.__kwdefaults__)
    for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
        try:
            yield from (_Line(name), cell.cell_contents)
        except ValueError:  # not filled yet
            yield _Line("empty")
    for name in sorted(_globals(code)):
        if name in value.__globals__:
            yield from (_Line(name), value.__globals__[name])


def _source(code: CodeType) -> str:
    """The source of a function; of a lambda its bytecode, as its lines hold more than itself."""
    if code.co_name != "<lambda>":
        try:
            return textwrap.dedent(inspect.getsource(code))
        except (OSError, TypeError, SyntaxError, IndexError):
            pass
    constants = [_source(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _globals(code: CodeType) -> set[str]:
    """Names of the globals that a function and the functions inside it read."""
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    found = {str(i.argval) for i in dis.get_instructions(code) if i.opname in loads}
    return found.union(*(_globals(c) for c in code.co_consts if isinstance(c, CodeType)))


def _of_pickle(value: object) -> _Line:
    try:
        return _Line(hashlib.sha256(pickled(value)).hexdigest())
    except Exception:  # any error of __reduce__: a lock, an open file
        return _Line(f"{type(value).__module__}:{type(value).__qualname__}")
