"""The notebook among the examples: valid, without results, and its code runs from top to bottom."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import bench

NOTEBOOK = Path(bench.__file__).parents[1] / "examples" / "optimizers.ipynb"

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


def run_cells(cells: list[dict[str, Any]]) -> list[str]:
    """What cells show that share one namespace, as in a kernel: the value of their last line."""
    space: dict[str, Any] = {"__name__": "__main__"}
    results = []
    for cell in cells:
        lines = [line for line in cell["source"] if not line.startswith("%")]
        tree = ast.parse("".join(lines))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, cell["id"], "exec"), space)
        shown = last and eval(compile(ast.Expression(last.value), cell["id"], "eval"), space)
        if shown is not None:
            kind = "HTML" if getattr(shown, "_repr_html_", lambda: None)() else "text"
            results.append(f"{cell['id']}: {type(shown).__name__} as {kind}")
    return results


@pytest.mark.usefixtures("undrawn")
def test_its_code_runs(
    notebook: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps([cell for cell in notebook["cells"] if cell["cell_type"] == "code"])
    for given, cheaper in CHEAPER.items():
        assert text.count(given) == 1
        text = text.replace(given, cheaper)
    assert run_cells(json.loads(text)) == [
        "specify: list as text",
        "sweep: DataFrame as HTML",
        "compare: Comparison as HTML",
        "power: Power as HTML",
        "figure: Figure as text",  # an image, once %matplotlib inline says so
    ]
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "0 differ significantly and 3 are inconclusive" in printed.out
    assert len(bench.load_runs(tmp_path / "results" / "three")) == 12
    assert "inconclusive" in (tmp_path / "reports" / "three.html").read_text()
