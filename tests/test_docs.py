"""Examples in docstrings are run: they must be true."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import bench

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


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(found) > 15
