"""The notebook among the examples: valid, without results, and its code runs from top to bottom."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench

NOTEBOOK = Path(bench.__file__).parents[1] / "examples" / "optimizers.ipynb"

#: Cells share one namespace, as in a kernel; what stands on the last line of one is shown.
KERNEL = """
import ast, json, sys

space = {"__name__": "__main__"}
for cell in json.loads(sys.stdin.read()):
    lines = [line for line in cell["source"] if not line.startswith("%")]
    tree = ast.parse("".join(lines))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), space)
    shown = last and eval(compile(ast.Expression(last.value), cell["id"], "eval"), space)
    if shown is not None:
        html = getattr(shown, "_repr_html_", lambda: None)()
        print("shown:", cell["id"], type(shown).__name__, "as text" if html is None else "as HTML")
"""


#: What is replaced in the code: a shorter sweep shows the same, without processes of its own.
CHEAPER = {
    "iterations=300": "iterations=60, dataset='digits'",
    "bench.sweep(spec)": "bench.sweep(spec, in_process=True)",
}


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    return dict(json.loads(NOTEBOOK.read_text(encoding="utf-8")))


def test_it_is_a_notebook(notebook: dict[str, Any]) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell["id"])
        wanted = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            wanted |= {"execution_count", "outputs"}
        assert set(cell) == wanted
        assert all(line.endswith("\n") for line in cell["source"][:-1])


def test_it_is_stored_without_results(notebook: dict[str, Any]) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}


def test_its_paths_hold_anywhere(notebook: dict[str, Any]) -> None:
    text = "".join(line for cell in notebook["cells"] for line in cell["source"])
    assert re.findall(r"(?:^|[\s\"'(=])(?:~?/|[A-Za-z]:\\|file:)\w*", text) == []
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link


@pytest.mark.slow
def test_its_code_runs(notebook: dict[str, Any], tmp_path: Path) -> None:
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    text = json.dumps(code)
    for given, cheaper in CHEAPER.items():
        assert text.count(given) == 1
        text = text.replace(given, cheaper)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KERNEL],
        input=text,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line for line in done.stdout.splitlines() if line.startswith("shown: ")]
    assert shown == [
        "shown: specify list as text",
        "shown: sweep DataFrame as HTML",
        "shown: compare Comparison as HTML",
        "shown: power Power as HTML",
        "shown: figure Figure as text",  # an image, once %matplotlib inline says so
    ]
    assert "0 differ significantly and 3 are inconclusive" in done.stdout
    assert len(bench.load_runs(tmp_path / "results" / "three")) == 12
    assert "inconclusive" in (tmp_path / "reports" / "three.html").read_text()
