"""Examples in docstrings and documentation are run; documented commands, links and paths exist."""

from __future__ import annotations

import doctest
import pkgutil
import re
import shlex
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

import bench
from bench.cli.arguments import make_parser

pytestmark = pytest.mark.usefixtures("undrawn")
ROOT = Path(bench.__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
COMMAND = re.compile(r"^    \.venv/bin/python scripts/(\w+)\.py([^|#\n]*)", re.M)
COMMANDS = sorted({found for page in PAGES for found in COMMAND.findall(page.read_text())})
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


def has_examples(module: str) -> bool:
    """Whether its source may have some; most modules have none."""
    place = ROOT.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ">>> " in file.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def cheap_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of the examples start no processes."""
    monkeypatch.setattr(bench, "sweep", partial(bench.sweep, in_process=True))


@pytest.mark.parametrize("name", [name for name in MODULES if has_examples(name)])
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
    found = {
        name
        for name in MODULES
        if any(test.examples for test in finder.find(import_module(name), name))
    }
    assert len(found) > 15
    assert found <= set(filter(has_examples, MODULES))


@pytest.mark.parametrize(("script", "words"), COMMANDS)
def test_documented_commands_are_accepted(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.npz").write_bytes(b"")
    make_parser().parse_args([script, *shlex.split(words)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text()):
        if target.startswith("https:"):
            continue
        file = page.parent / target if target else page
        assert file.is_file(), target
        assert not anchor or anchor in anchors_of(file), f"{target}#{anchor}"


def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_paths_exist(page: Path) -> None:
    named = re.findall(r"`((?:bench|tests|scripts|docs|examples)/[^\s`]*)[^`]*`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
