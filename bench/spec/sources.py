"""Hash what a class or function does that no other process can import.

It is described by the source of its functions and by what they use: defaults, attributes,
variables around them, and globals that their code reads. Functions and classes of the same script
or notebook are described in the same way, everything importable by its name, numbers and text by
their values, and other objects by their pickle. Names of files and numbers of lines are left out,
so that a script may be edited elsewhere. A lambda, and a function whose source is not kept, is
described by its bytecode, which another version of Python may compile differently. The wrapper
that a decorator of another module returns is described by its name and what it binds.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import copy
from functools import partial, partialmethod
from importlib import import_module
from types import CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from weakref import WeakKeyDictionary

_ATOMS = (int, float, complex, str, bytes)
#: Their wrappers hold state of the process: the hooks around `step` that torch adds when an
#: optimizer is first used, and numbers of compiled functions.
_PROCESS_WRAPPERS = ("torch.optim.optimizer", "torch._dynamo.eval_frame")


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


def have_common_code(one: object, other: object) -> bool:
    """Return whether one definition made two objects, as two calls of the function around it do.

    The code of a script or cell that runs again is new.
    """
    return one is not other and not _codes(one).isdisjoint(_codes(other))


def _codes(value: object) -> set[int]:
    """Identities of the code of a function, or of the methods of a class."""
    members = vars(value).values() if isinstance(value, type) else (value,)
    inner = [inspect.unwrap(m) for m in members if isinstance(m, FunctionType)]
    own = [f for f in inner if f.__module__ == getattr(value, "__module__", None)]
    return {id(f.__code__) for f in own if isinstance(f, FunctionType)}


class _Description:
    """Describes `root` line by line; functions, classes, containers and own objects only once."""

    def __init__(self, root: object) -> None:
        self._module = getattr(root, "__module__", None)
        self._seen: dict[int, object] = {}  # keeps them, so that no other object gets their id

    def lines(self, value: object) -> Iterator[str]:
        value = _unwrapped(value)
        if isinstance(value, ModuleType) or is_importable(value):
            yield f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', value)}"
        elif isinstance(value, _ATOMS) and not _is_own(type(value)):
            yield f"{type(value).__name__} {value!r}"
        elif id(value) in self._seen:
            yield f"again {list(self._seen).index(id(value))}"
        else:
            if isinstance(value, FunctionType | type | list | Mapping) or _is_own(type(value)):
                self._seen[id(value)] = value
            yield type(value).__name__
            for part in self._parts(value):
                yield from [part] if isinstance(part, _Line) else self.lines(part)
            yield "end"

    def _parts(self, value: object) -> Iterator[object]:
        match value:
            case FunctionType():
                yield from self._function(value)
            case type():
                yield from self._class(value)
            case MethodType():
                yield from (value.__func__, value.__self__)
            case staticmethod() | classmethod():
                yield value.__func__
            case property():
                yield from (value.fget, value.fset, value.fdel)
            case _:
                yield from self._instance(value)

    def _class(self, value: type) -> Iterator[object]:
        yield _Line(value.__qualname__)
        yield from value.__bases__
        for name, member in sorted(vars(value).items()):
            is_code = callable(member) or isinstance(member, staticmethod | classmethod | property)
            own = _unwrapped(member)
            # torch puts a wrapper of an inherited step into the class when it is first used
            inherited = _unwrapped(getattr(super(value, value), name, None))
            if own is not inherited and (is_code or not name.startswith(("__", "_abc_"))):
                yield from (_Line(name), member)

    def _function(self, value: FunctionType) -> Iterator[object]:
        code, module = value.__code__, value.__globals__.get("__name__")
        is_wrapper = "__wrapped__" in value.__dict__ and module != self._module
        if is_wrapper:
            yield _Line(f"{module}:{code.co_name}")
        else:
            yield from _source(code)
        yield from (value.__defaults__, value.__kwdefaults__)
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield from (_Line(name), cell.cell_contents)
            except ValueError:  # not filled yet
                yield _Line("empty")
        for name in sorted(set() if is_wrapper else _globals(code)):
            if name in value.__globals__:
                yield from (_Line(name), value.__globals__[name])
        # functools.wraps copies attributes
        copied = getattr(value.__dict__.get("__wrapped__"), "__dict__", {})
        for name, attribute in sorted(value.__dict__.items()):
            if name not in copied or copied[name] is not attribute:
                yield from (_Line(name), attribute)

    def _instance(self, value: object) -> Iterator[object]:
        """The content, class and attributes of an object that is no function or class."""
        attributes = getattr(value, "__dict__", {})
        match value:
            case list() | tuple():
                yield from value
            case WeakKeyDictionary():  # a cache, such as that of functools.singledispatch
                return
            case Mapping():
                yield getattr(value, "default_factory", None)
                for item in value.items():
                    yield from item
            case set() | frozenset():
                yield from map(_Line, sorted(map(self._alone, value)))
            case partial() | partialmethod():
                yield from (value.func, value.args, value.keywords)
            case int() | float() | complex() | str() | bytes():
                yield from (_Line(a.__repr__(value)) for a in _ATOMS if isinstance(value, a))
            case _ if is_importable(type(value)) and "__wrapped__" not in attributes:
                yield _of_pickle(value)
                return
        if _is_own(type(value)):
            yield type(value)
            yield from _slots(value)
        if attributes:
            yield attributes

    def _alone(self, element: object) -> str:
        """Describe an element of a set, whose order differs from process to process."""
        description = copy(self)
        description._seen = dict(self._seen)
        return "\n".join(description.lines(element))


class _Line(str):
    """A line of a description; other text is a value, which is described."""


def _unwrapped(value: object) -> object:
    """What torch wrapped, if `value` is a wrapper that depends on the process."""
    while isinstance(value, FunctionType) and "__wrapped__" in value.__dict__:
        if value.__globals__.get("__name__") not in _PROCESS_WRAPPERS:
            break
        value = value.__dict__["__wrapped__"]
    return value


def _is_own(kind: type) -> bool:
    """Return whether other processes cannot import a type, and Python does not have it either."""
    return not is_importable(kind) and kind.__module__ != "builtins"


def _slots(value: object) -> Iterator[object]:
    """Names and values of the attributes that `__slots__` declares."""
    for kind in type(value).__mro__:
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, MemberDescriptorType) and hasattr(value, name):
                yield from (_Line(name), getattr(value, name))


def _source(code: CodeType) -> Iterator[object]:
    """The source of a function; of a lambda its bytecode, as its lines hold more than itself."""
    if code.co_name != "<lambda>":
        with suppress(OSError, TypeError, SyntaxError, IndexError):
            yield _Line(textwrap.dedent(inspect.getsource(code)).rstrip())
            return
    yield _Line(f"{code.co_code.hex()} {code.co_names} {code.co_varnames}")
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _source(constant)
        else:
            yield constant


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
