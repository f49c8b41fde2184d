"""User-defined objects: names, imports and the hash of the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SpecError
from bench.spec.plugins import is_external, load_external


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
        ("__main__:Mine", "put it into a file such as mine.py beside it, and write mine:Mine"),
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
