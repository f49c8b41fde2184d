"""Examples in docstrings are run: they must be true."""

from __future__ import annotations

import doctest
import pkgutil
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

import bench

DOCS = Path(bench.__file__).parents[1] / "docs"
MODULES = sorted(
    (
        "bench",
        *(
            module.name
            for module in pkgutil.walk_packages(bench.__path__, "bench.")
            if not module.name.endswith("__main__")
        ),
    )
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name))
    assert result.failed == 0


def test_examples_of_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = doctest.testfile(str(DOCS / "api.md"), module_relative=False)
    assert result.failed == 0
    assert result.attempted > 5


@pytest.mark.parametrize("name", bench.__all__)
def test_the_api_is_documented(name: str) -> None:
    rows = [line for line in (DOCS / "api.md").read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}" in row.split("|")[1] for row in rows)


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) > 15
