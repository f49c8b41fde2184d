"""What holds the repository together: the same commands everywhere, and no secret path."""

from __future__ import annotations

import subprocess
import tomllib
from configparser import ConfigParser
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import bench

ROOT = Path(bench.__file__).parent.parent

SWEEP_COMMAND = (
    "python -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python scripts/sweep.py "
    "--seeds 20"
)
TEST_COMMAND = (
    "python -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest "
    "-n 2 --dist worksteal"
)


def test_readme_and_ci_hold_the_same_test_command() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert f"    {SWEEP_COMMAND}\n" in readme
    assert f"    {TEST_COMMAND}\n" in readme
    assert f"\n{TEST_COMMAND}\n" in ci


@pytest.mark.parametrize("command", ["sweep", "report", "analyze", "compare", "benchmark"])
def test_scripts_are_the_console_command(command: str) -> None:
    (script,) = entry_points(group="console_scripts", name="optimizer-bench")
    assert script.value == "bench.cli:main"
    source = (ROOT / "scripts" / f"{command}.py").read_text()
    assert source.strip().splitlines() == [
        "import sys",
        "",
        "from bench.cli import main",
        "",
        f'sys.exit(main(["{command}", *sys.argv[1:]]))',
    ]


def test_one_version() -> None:
    assert version("optimizer-bench") == bench.__version__
    assert f"## [{bench.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_settings_are_where_they_belong() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(pyproject) == {"build-system", "tool"}
    assert set(pyproject["tool"]) == {"ruff"}
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert {"metadata", "options", "tool:pytest", "mypy"} <= set(setup.sections())


#: The reports that are committed: those of results/example and of its tuned track.
#: The committed reports, with the directories of their results.
EXAMPLES = {
    "reports/example.html": "example",
    "reports/example-tuned.html": "example-tuned",
    "reports/example-tuning.html": "example-trials",
    "reports/schedules.html": "schedules/schedules",
    "reports/schedules-tuned.html": "schedules/schedules-tuned",
    "reports/schedules-tuning.html": "schedules/schedules-trials",
}


def test_no_large_or_generated_file_is_tracked() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    allowed = (
        "bench/data/mnist",
        "results/example",
        "results/schedules",
        "results/until-decided",
        *EXAMPLES,
        "docs/images",
    )
    for file in files:
        inside = str(file.relative_to(ROOT))
        assert "__pycache__" not in inside
        if file.exists() and not inside.startswith(allowed):
            assert file.stat().st_size < 100_000, inside


#: The other pages are made by the same code from other rows.
CHECKED = ("reports/example.html", "reports/example-tuning.html")


@pytest.mark.parametrize(
    "page",
    [page if page in CHECKED else pytest.param(page, marks=pytest.mark.long) for page in EXAMPLES],
)
def test_a_committed_report_is_right(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bench import cli

    results = ROOT / "results" / EXAMPLES[page]
    assert cli.main(["report", str(results), "--check", str(ROOT / page)]) == 0
    assert capsys.readouterr().out.startswith("ok: ")


def test_the_committed_example_is_small_and_whole() -> None:
    """:func:`test_a_committed_report_is_right` compares all that it says with its rows."""
    assert sum(f.stat().st_size for f in (ROOT / "results" / "example").iterdir()) < 5_000_000
    committed = (ROOT / "reports" / "example.html").read_text()
    for text in ("Leaderboard", "Every run", "160\u00a0runs"):
        assert text in committed


def test_the_findings_on_numbers_of_seeds_follow_from_the_rows() -> None:
    import bench

    found = bench.analyse(ROOT / "results" / "until-decided").comparison.sequential
    assert found is not None
    assert found.is_finished
    rows, before = [], 0
    for look in found.looks:
        added, before = len(look.treatments) * (look.n_blocks - before), look.n_blocks
        n_open = len(look.open_pairs)
        counts = (look.look, look.n_blocks, len(look.treatments), added)
        rows.append(f"| {' | '.join(map(str, (*counts, len(look.pairs) - n_open, n_open)))} |")
    findings = (ROOT / "docs" / "findings.md").read_text()
    for row in rows:
        assert row in findings
    assert f"after {found.n_runs} runs, {100 * found.saved:.0f} % fewer" in findings
