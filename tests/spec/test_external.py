"""User-defined objects: names, imports and the hash of the source."""

from __future__ import annotations

import linecache
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
