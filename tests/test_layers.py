"""Imports point one way only: this table is the architecture."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bench

PACKAGE = Path(bench.__file__).parent

#: What each module or subpackage of bench may import of bench.
ALLOWED = {
    "__init__": {"analysis", "report", "spec", "store", "stored", "sweeps"},  # when asked for
    "__main__": {"cli"},
    "errors": set(),
    "spec": {"errors"},
    "external": {"errors"},
    "files": {"errors"},
    "records": set(),
    "words": set(),
    "machine": {"_joblib", "devices"},
    "_joblib": {"errors"},
    "_torchvision": set(),
    "images": {"errors"},
    "owndata": {"errors", "external", "images"},
    "downloads": {"errors", "images", "_torchvision"},
    "datasets": {"errors", "external", "images", "owndata", "downloads", "_torchvision"},
    "architectures": {"errors", "external"},
    "generators": set(),
    "layout": set(),
    "modules": {"errors", "generators", "layout"},
    "networks": {"errors", "external", "architectures", "layout", "modules"},
    "optimizers": {"errors", "external", "generators", "spec"},
    "schedules": {"errors", "spec"},
    "variants": {"errors", "spec", "optimizers", "schedules"},
    "probe": {"generators", "optimizers", "spec"},
    "device_data": {"datasets"},
    "streams": {"generators", "modules", "networks"},
    "steppers": {"generators", "optimizers", "spec"},
    "interrupts": set(),
    "graphs": set(),
    "updates": {"errors", "device_data", "graphs", "steppers"},
    "training": {
        *("spec", "device_data", "networks", "optimizers", "probe", "schedules", "steppers"),
        *("generators", "graphs", "streams", "updates"),
    },
    "store": {"errors", "files", "integrity", "spec", "records"},
    "integrity": {"records"},
    "ledger": {"errors", "files", "spec"},
    "delimited": {"errors"},
    "tables": {"analysis", "delimited", "errors", "records", "spec", "store"},
    "devices": {"errors", "graphs"},
    "jobs": {
        *("errors", "spec", "records", "machine", "datasets", "device_data", "devices", "training"),
        *("interrupts", "store"),
    },
    "device_pool": {"devices", "errors", "interrupts", "jobs", "machine", "streams"},
    "runner": {"_joblib", "device_pool", "errors", "jobs", "spec", "store"},
    "benchmark": {
        *("_joblib", "analysis"),
        *("errors", "spec", "machine", "_torchvision", "datasets", "optimizers", "training"),
        *("store", "runner", "jobs"),
    },
    "gpu_benchmark": {
        *("benchmark", "datasets", "device_data", "devices", "hardware", "jobs", "machine"),
        *("optimizers", "runner", "spec", "store", "training"),
    },
    "options": {"errors", "optimizers", "spec"},
    "hardware": {
        "_joblib",
        *("errors", "devices", "jobs", "machine", "networks", "options", "spec", "training"),
    },
    "stored": {
        *("analysis", "errors", "ledger", "options", "records", "spec", "store", "words"),
    },
    "sweeps": {
        *(
            "errors",
            "external",
            "spec",
            "training",
            "options",
            "machine",
            "datasets",
            "architectures",
            "optimizers",
        ),
        *("records", "variants", "store", "runner", "hardware", "jobs"),
    },
    "soak": {"errors", "records", "store"},
    "analysis": {"errors", "records", "words"},
    "validation": {"_joblib", "errors", "machine", "analysis"},
    "report": {"errors", "files", "analysis", "words"},
    "cli": {
        *(
            "__init__",
            "_joblib",
            "errors",
            "files",
            "spec",
            "records",
            "machine",
            "datasets",
            "optimizers",
        ),
        *(
            "options",
            "variants",
            "schedules",
            "architectures",
            "networks",
            "store",
            "stored",
            "ledger",
        ),
        *("devices", "gpu_benchmark", "hardware", "jobs"),
        *("tables", "runner", "sweeps", "benchmark", "soak", "analysis", "validation", "report"),
        "words",
    },
}


def imports_of(file: Path) -> set[str]:
    """First-level names of bench that a file imports, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            module = node.module or ""
            modules = [f"{module}.{a.name}" for a in node.names] if module == "bench" else [module]
        for module in modules:
            top, _, rest = module.partition(".")
            if top == "bench":
                name = rest.partition(".")[0]
                known = (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()
                found.add(name if name and known else "__init__")
    return found


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", files(), ids=lambda f: str(f.relative_to(PACKAGE)))
def test_imports_point_upstream(file: Path) -> None:
    name = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert name in ALLOWED, f"{name} is new: give it its place in the table"
    assert imports_of(file) <= ALLOWED[name] | {name}


def test_the_table_names_only_what_exists() -> None:
    present = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in files()}
    assert present == set(ALLOWED)


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {name for name, needs in ALLOWED.items() if name not in done and needs <= done}
        assert ready, f"a circle among {sorted(set(ALLOWED) - done)}"
        done |= ready


HEAVY = {"torch", "torchvision", "pandas", "matplotlib", "seaborn", "scipy"}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("bench", {*HEAVY, "numpy", "pyarrow", "bench.spec"}),
        ("bench.cli", HEAVY),
        ("bench.cli.arguments", HEAVY),
        ("bench.cli.config", {*HEAVY, "yaml"}),
        ("bench.architectures", HEAVY),
        ("bench.options", HEAVY),
        ("bench.runner", {"torchvision", "pandas", "matplotlib", "seaborn", "scipy"}),
        ("bench.analysis", {"torch", "torchvision", "matplotlib", "seaborn"}),
        ("bench.report", {"torch", "torchvision"}),
        ("bench.stored", {"torch", "torchvision"}),
        ("bench.cli.report", {"torch", "torchvision"}),
        ("bench.cli.analyze", {"torch", "torchvision"}),
        ("bench.cli.compare", {"torch", "torchvision", "matplotlib", "seaborn"}),
    ],
)
def test_what_an_import_does_not_bring_along(module: str, unwanted: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({unwanted!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
