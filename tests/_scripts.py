"""Import a script of scripts/ as a module."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import bench

DIRECTORY = Path(bench.__file__).parents[1] / "scripts"


def load_script(name: str) -> ModuleType:
    """The script ``scripts/NAME.py``, executed but not run as the main program."""
    spec = spec_from_file_location(f"script_{name}", DIRECTORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
