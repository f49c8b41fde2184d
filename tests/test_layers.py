"""Imports point one way only: this table is the architecture."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _stored import three_seeds

import bench
from bench.datasets.names import DATA_DIR_VARIABLE
from bench.execution.devices import is_cpu_build

PACKAGE = Path(bench.__file__).parent

#: What each package or root module of bench may import of bench.
ALLOWED = {
    "errors": set(),
    "words": set(),
    "spec": {"errors"},
    "datasets": {"errors", "spec", "storage"},
    "networks": {"errors", "spec"},
    "optimizers": {"errors", "spec"},
    "storage": {"errors", "spec"},
    "training": {"errors", "spec", "datasets", "networks", "optimizers"},
    "execution": {"errors", "spec", "datasets", "networks", "optimizers", "storage", "training"},
    "analysis": {"errors", "spec", "storage", "words"},
    "report": {"errors", "analysis", "storage", "words"},
    "tables": {"errors", "spec", "storage", "analysis", "words"},
    "sweeps": {
        *("errors", "spec", "datasets", "networks", "optimizers", "storage", "training"),
        *("execution", "analysis", "tuning", "words"),
    },
    "tuning": {"errors", "spec", "datasets", "optimizers", "words"},
    "tools": {
        *("errors", "spec", "datasets", "optimizers", "storage", "training", "execution"),
        "analysis",
    },
    "__init__": {"analysis", "report", "spec", "storage", "sweeps"},  # when a name is first used
    "cli": {
        *("__init__", "errors", "spec", "datasets", "networks", "optimizers", "storage"),
        *("execution", "analysis", "report", "sweeps", "tables", "tools", "tuning", "words"),
    },
    "__main__": {"cli"},
}


def imports_of(file: Path) -> set[str]:
    """First-level names of bench that a file imports, in functions too.

    The version of the package is no import of a name: it exists before anything else.
    """
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
            if top == "bench" and rest != "__version__":
                name = rest.partition(".")[0]
                known = (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()
                found.add(name if name and known else "__init__")
    return found


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_imports_point_upstream() -> None:
    wrong = {}
    for file in files():
        name = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert name in ALLOWED, f"{name} is new: give it its place in the table"
        if found := imports_of(file) - ALLOWED[name] - {name}:
            wrong[str(file.relative_to(PACKAGE))] = found
    assert wrong == {}


def test_the_table_names_only_what_exists() -> None:
    present = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in files()}
    assert present == set(ALLOWED)


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(ALLOWED):
        ready = {name for name, needs in ALLOWED.items() if name not in done and needs <= done}
        assert ready, f"a circle among {sorted(set(ALLOWED) - done)}"
        done |= ready


def test_the_text_of_reports_imports_no_format() -> None:
    for file in (PACKAGE / "report" / "text").glob("*.py"):
        assert not re.search(r"bench\.report\.(html|formats|figures)", file.read_text()), file


HEAVY = {"torch", "torchvision", "pandas", "matplotlib", "seaborn", "scipy"}


TORCH = {"torch", "torchvision"}
FIGURES = {"matplotlib", "seaborn"}
SLOW_SCIPY = {"scipy.stats", "scipy.optimize"}

#: Modules that one interpreter imports one after the other, and what none of them may bring along.
#: A module may bring along only more than those before it.
IMPORTS = {
    "command line": [
        ("bench", {*HEAVY, "numpy", "pyarrow", "yaml", "bench.spec.model"}),
        ("bench.cli", {*HEAVY, "yaml", "pyarrow"}),
        ("bench.cli.config", {*HEAVY, "yaml", "pyarrow"}),
        ("bench.cli.arguments", HEAVY),
        ("bench.networks.names", HEAVY),
        ("bench.sweeps.reproduce", HEAVY),
        ("bench.report", HEAVY),
        ("bench.execution.runner", HEAVY - {"torch"}),
    ],
    "analysis": [
        ("bench.analysis", {*TORCH, *FIGURES, *SLOW_SCIPY}),
        ("bench.report.formats.markdown", {*TORCH, *FIGURES, *SLOW_SCIPY}),
        ("bench.sweeps.load", TORCH),
        ("bench.report.html.check", TORCH),
        ("bench.tables.read", TORCH),
    ],
}


@pytest.mark.parametrize("modules", IMPORTS.values(), ids=IMPORTS)
def test_what_an_import_does_not_bring_along(modules: list[tuple[str, set[str]]]) -> None:
    lines = ["import sys, importlib"]
    for module, unwanted in modules:
        lines.append(f"importlib.import_module({module!r})")
        lines.append(f"print({module!r}, *sorted({unwanted!r} & set(sys.modules)))")
    code = "\n".join(lines)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == [module for module, _ in modules]


#: A sweep; other builds of torch are imported to look for GPUs.
SWEEP = "sweep --quiet --seeds 1 --optimizers sgd --iterations 5 --no-report --dataset digits"
#: Commands that one interpreter runs one after the other, and what none of them may import. A
#: command may import only more than those before it.
COMMANDS: list[tuple[str, set[str]]] = [
    ("--help", {*HEAVY, "numpy", "pyarrow", "rich", "yaml"}),
    ("sweep --help", {*HEAVY, "numpy", "pyarrow", "rich", "yaml"}),
    ("sweep --seed", {*HEAVY, "numpy", "pyarrow", "rich", "yaml"}),
    ("report", {*HEAVY, "numpy", "pyarrow", "rich", "yaml"}),
    ("list", {*HEAVY, "numpy", "pyarrow", "yaml"}),
    ("analyze results/three", {*TORCH, *FIGURES, *SLOW_SCIPY, "jinja2"}),
    ("report results/three --format markdown", {*TORCH, *FIGURES, *SLOW_SCIPY, "jinja2"}),
    ("compare results/three results/copy", {*TORCH, *FIGURES, *SLOW_SCIPY, "jinja2"}),
    ("report results/three", TORCH),
    (SWEEP, TORCH if is_cpu_build() and sys.platform == "linux" else set()),
]
#: Number of those that neither draw nor train.
N_FAST = 8
_RUN = """
import contextlib, io, sys
from bench.cli import main
for words, unwanted in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            code = main(words.split())
        except SystemExit as end:  # of --help
            code = end.code
    print(words, code, *sorted(unwanted & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "commands", [COMMANDS[:N_FAST], pytest.param(COMMANDS, marks=pytest.mark.long)]
)
def test_what_a_command_does_not_import(
    commands: list[tuple[str, set[str]]],
    tmp_path: Path,
    digits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(digits.parent))  # unpacking imports scikit-learn
    stored = three_seeds(tmp_path, ("adam", "momentum", "sgd"))
    shutil.copytree(stored, tmp_path / "results" / "copy")
    code = _RUN.format(commands=commands)
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    wrong = {"sweep --seed", "report"}
    assert found.stdout.splitlines() == [f"{w} {2 if w in wrong else 0}" for w, _ in commands]
