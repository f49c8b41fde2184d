"""User-defined objects: names, imports and the hash of the source."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import SpecError
from bench.spec import plugins
from bench.spec.plugins import is_external, load_external, name_of


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user module in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    load_external.cache_clear()
    (tmp_path / "mine_alone.py").write_text("class Mine:\n    class Inner:\n        pass\n")
    (tmp_path / "mine_broken.py").write_text("raise RuntimeError('first\\nsecond')\n")
    (tmp_path / "mine_exits.py").write_text("import sys\nsys.exit(3)\n")
    return tmp_path / "mine_alone.py"


def test_the_name_contains_the_hash_of_the_source(mine: Path) -> None:
    found = load_external("mine_alone:Mine", "optimizer")
    assert isinstance(found.value, type)
    name, _, digest = found.name.partition("@")
    assert (name, len(digest)) == ("mine_alone:Mine", 12)
    assert load_external(found.name, "optimizer") == found
    assert load_external("mine_alone:Mine.Inner", "optimizer").name.endswith(
        f":Mine.Inner@{digest}"
    )
    load_external.cache_clear()
    mine.write_text(mine.read_text() + "# changed\n")
    assert load_external("mine_alone:Mine", "optimizer").name != found.name
    with pytest.raises(SpecError, match="the source has changed"):
        load_external(found.name, "optimizer")


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine_alone:", "a user-defined network is written module:object, got 'mine_alone:'"),
        ("mine_alone:Mine@xyz", "a user-defined network is written module:object"),
        ("mine_alone:mine", "mine_alone has no 'mine': did you mean Mine"),
        ("mine_absent:Mine", "cannot import mine_absent (ModuleNotFoundError: No module named"),
        ("mine_broken:Mine", "cannot import mine_broken (RuntimeError: first);"),
        ("mine_exits:Mine", "cannot import mine_exits (SystemExit: 3);"),
        ("__main__:Mine", "put it into a file such as mine.py and write mine:Mine"),
        ("mine_alone.py:Mine", "; write the module without .py: mine_alone:Mine"),
    ],
)
def test_invalid_names(name: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        load_external(name, "network")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_built_in_names_are_not_external() -> None:
    assert is_external("mypkg.mymodule:MyOptimizer")
    assert not is_external("adam")


#: A cell of a notebook that defines an optimizer, and changes of it: (before, after, whether the
#: optimizer is another one).
CELL = """
import torch
from torch import no_grad
import numpy
SCALE, unused = 1.0, 1
class Config:
    pass
config = Config()
config.rates = {"a": [1, (2, {3})], "b": numpy.zeros(2)}
config.itself = config
def scaled(gradient):
    return SCALE * gradient * config.rates["a"][0]
class Base(torch.optim.SGD):
    factor = 2
def make(power=2):
    root = 1
    class Mine(Base):
        @no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(sum(scaled(g) for g in [p.grad] * root))
        def inherit(self):
            super().step()
        flat = staticmethod(lambda value: value + 1)
        half = property(lambda self: 2)
    return Mine
Mine = make()
"""
CHANGES = {
    "lines": ("import torch", "# moved\n\nimport torch", False),
    "other code": ("unused = 1.0, 1", "unused = 1.0, 2", False),
    "its step": ("p.sub_(", "p.add_(", True),
    "a function that it calls": ("SCALE * gradient", "gradient", True),
    "a number that this uses": ("1.0, 1", "1.5, 1", True),
    "a value in a container": ("{3}", "{4}", True),
    "an array": ("zeros(2)", "zeros(3)", True),
    "a variable around it": ("root = 1", "root = 2", True),
    "a class that it is derived from": ("factor = 2", "factor = 3", True),
    "its bases": ("Mine(Base)", "Mine(torch.optim.SGD)", True),
    "a lambda": ("value + 1", "value + 2", True),
    "a property": ("self: 2", "self: 3", True),
    "its name": ("Mine", "Other", True),
}


def run_cell(source: str, name: str = "Mine") -> object:
    """What a cell of a notebook defines; like IPython, keep the source."""
    file = f"<cell {len(source)} {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), space)
    return space[name]


@pytest.mark.parametrize(("before", "after", "is_other"), CHANGES.values(), ids=CHANGES)
def test_the_name_of_an_object_of_a_notebook_changes_with_what_it_does(
    before: str, after: str, is_other: bool
) -> None:
    assert before in CELL
    name = name_of(run_cell(CELL), "optimizer")
    assert name.startswith("__main__:Mine@")
    changed = CELL.replace(before, after)
    found = name_of(run_cell(changed, "Other" if "Other" in changed else "Mine"), "optimizer")
    assert (found != name) == is_other


#: Definitions of `mine` with a value that its own source does not contain.
HIDDEN = {
    "an attribute of a function": "def mine(p): mine.k\nmine.k = VALUE",
    "an attribute of a list": (
        "class L(list): pass\nitems = L([1])\nitems.k = VALUE\ndef mine(p): items"
    ),
    "an attribute of a mapping": (
        "class L(dict): pass\nitems = L(a=1)\nitems.k = VALUE\ndef mine(p): items"
    ),
    "an attribute of a number": (
        "class F(float): pass\nrate = F(1)\nrate.k = VALUE\ndef mine(p): rate"
    ),
    "a slot": (
        "class S:\n    __slots__ = ('k',)\nslots = S()\nslots.k = VALUE\ndef mine(p): slots"
    ),
    "a default of a mapping": (
        "from collections import defaultdict\n"
        "items = defaultdict(lambda: VALUE)\ndef mine(p): items"
    ),
    "the nesting of lists": "items = [[1], [2]] if VALUE == 1 else [[1, [2]]]\ndef mine(p): items",
    "which of two lists": "a, b = [1], [2]\nitems = [a, b, (a, b)[VALUE - 1]]\ndef mine(p): items",
    "a function in a set": "def f(): pass\nf.k = VALUE\nitems = {f, 'a', 'b'}\ndef mine(p): items",
    "a set in a lambda": "mine = lambda p: p in {'a', 'b', 'c', VALUE}",
    "an argument of a partial": (
        "from functools import partial\ndef f(x): pass\nf2 = partial(f, VALUE)\ndef mine(p): f2"
    ),
    "an argument of a partial method": (
        "from functools import partialmethod\ndef f(self, x): pass\n"
        "class mine:\n    f = partialmethod(f, x=VALUE)"
    ),
    "what a decorator of another module binds": (
        "from own_decorator import times\nk = VALUE\n@times(k)\ndef mine(p): pass"
    ),
    "a decorator of a method": (
        "from own_decorator import times\nk = VALUE\n"
        "class mine:\n    @times(k)\n    def step(self): pass"
    ),
    "an attribute of a wrapper": (
        "from own_decorator import times\n@times(3)\ndef mine(p): pass\nmine.k = VALUE"
    ),
}
DECORATOR = """
import functools
def times(k):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*given):
            return k * f(*given)
        return wrapper
    return decorate
"""
PRINT_NAMES = """
import sys
from pathlib import Path
from bench.spec.plugins import name_of
for file in sys.argv[1:]:
    space = {"__name__": "__main__"}
    exec(compile(Path(file).read_text(), file, "exec"), space)
    print(name_of(space["mine"], "optimizer"))
"""


@pytest.fixture
def decorator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_decorator.py").write_text(DECORATOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_the_name_covers_values_outside_the_source_and_is_that_of_another_process(
    decorator: Path,
) -> None:
    names = [
        [
            name_of(run_cell(source.replace("VALUE", value), "mine"), "optimizer")
            for source in HIDDEN.values()
        ]
        for value in ("1", "2")
    ]
    same = [label for label, one, two in zip(HIDDEN, *names, strict=True) if one == two]
    assert not same
    files = [decorator / f"{i}.py" for i in range(len(HIDDEN))]
    for file, source in zip(files, HIDDEN.values(), strict=True):
        file.write_text("# moved\n" + source.replace("VALUE", "1"))
    path = os.pathsep.join([str(decorator), *sys.path])
    finished = subprocess.run(
        [sys.executable, "-c", PRINT_NAMES, *files],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == names[0]


def test_two_objects_with_the_same_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "def make(k, is_class=False):\n"
        "    def mine(params):\n        return k\n"
        "    class Mine:\n        def step(self):\n            return k\n"
        "    return Mine if is_class else mine\n"
    )
    make: Any = run_cell(source, "make")
    again: Any = run_cell("\n" + source, "make")
    monkeypatch.setattr(plugins, "_objects", {})
    monkeypatch.setattr(plugins, "_pickles", {})
    monkeypatch.setattr(plugins, "content_hash", lambda _: "0123456789ab")
    for is_class in (False, True):
        name = name_of(make(1, is_class), "optimizer")
        assert name_of(make(1, is_class), "optimizer") == name
        assert name_of(again(1, is_class), "optimizer") == name
        with pytest.raises(SpecError, match="is given as two objects that differ") as raised:
            name_of(make(2, is_class), "optimizer")
        assert "\n" not in str(raised.value)


def test_the_name_stays_when_torch_has_changed_the_class() -> None:
    mine: Any = run_cell(
        "import torch\nclass Base(torch.optim.Optimizer):\n    def step(self):\n        pass\n"
        "class Mine(Base):\n    pass\n"
    )
    name = name_of(mine, "optimizer")
    mine([torch.ones(1, requires_grad=True)], {})
    assert "step" in vars(mine)
    assert name_of(mine, "optimizer") == name


def test_a_worker_receives_what_it_cannot_import(monkeypatch: pytest.MonkeyPatch) -> None:
    name = name_of(run_cell(CELL), "optimizer")
    pickles = plugins.pickles_of([name, "adam"])
    assert list(pickles) == [name]
    monkeypatch.setattr(plugins, "_objects", {})
    monkeypatch.setattr(plugins, "_pickles", {})
    load_external.cache_clear()
    with pytest.raises(SpecError, match="is defined in a script or notebook"):
        load_external(name, "optimizer")
    plugins.receive(pickles)
    found: Any = load_external(name, "optimizer").value
    assert (found.__name__, found.flat(1)) == ("Mine", 2)
