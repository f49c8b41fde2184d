"""The user's backend, matplotlibrc and rcParams: commands work without them, and they stay."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from _pages import ANALYSES, page_of
from _sweep_analysis import CONTEXT
from conftest import CommandLine, Environment

from bench import cli
from bench.report import render

TABLE = "optimizer,seed,accuracy\n" + "".join(
    f"{name},{seed},{0.95 + 0.02 * (name == 'adam') + 0.001 * seed}\n"
    for seed in range(6)
    for name in ("adam", "sgd")
)
ANALYZE = ("analyze", "runs.csv", "--value", "accuracy", "--html", "r.html")
UNDECODABLE = b"font.size: \xff\n"
#: Variables, where a matplotlibrc lies, and what it holds.
SETTINGS: dict[str, tuple[Environment, str | None, bytes]] = {
    "backend of a notebook": (
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, None, b""),
    "backend without a display": ({"MPLBACKEND": "TkAgg", "DISPLAY": None}, None, b""),
    "unknown backend": ({"MPLBACKEND": "nonsense"}, None, b""),
    "unknown backend in a file": ({}, "matplotlibrc", b"backend: nonsense\n"),
    "style in a file": ({}, "matplotlibrc", b"font.size: 30\nsvg.fonttype: path\n"),
    "no settings": ({"MATPLOTLIBRC": "rc"}, "rc", b"nothing of the kind\n"),
    "undecodable": ({}, "matplotlibrc", UNDECODABLE),
    "undecodable elsewhere": (
        {"MATPLOTLIBRC": "rc", "MPLBACKEND": "nonsense"}, "rc", UNDECODABLE),
    "unknown locale": ({"LC_ALL": "xx_YY"}, "matplotlibrc", b"axes.formatter.use_locale: True\n"),
    "no place for a cache": ({"MPLCONFIGDIR": "/proc/x", "HOME": "/proc"}, None, b""),
    "several": (
        {"MPLBACKEND": "nonsense", "LC_ALL": "xx_YY"}, "matplotlibrc",
        b"backend: nonsense\nfont.size: 30\nsvg.fonttype: path\naxes.formatter.use_locale: True\n"),
}  # fmt: skip


#: Those that are tried by default; each starts the program.
SHORT = ("several",)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """What is printed and written where nothing is set, in this process."""
    directory = tmp_path_factory.mktemp("ordinary")
    (directory / "runs.csv").write_text(TABLE)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(directory)
        assert cli.main([*ANALYZE]) == 0
    return printed.getvalue(), (directory / "r.html").read_bytes()


@pytest.mark.parametrize(
    "name", [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in SETTINGS]
)
def test_commands_need_no_settings(
    name: str, ordinary: tuple[str, bytes], run_command: CommandLine
) -> None:
    environment, file, content = SETTINGS[name]
    directory = run_command.directory
    (directory / "runs.csv").write_text(TABLE)
    if file is not None:
        (directory / file).write_bytes(content)
    done = run_command(*ANALYZE, environment=environment)
    assert (done.code, done.err) == (0, "")
    assert (done.out, (directory / "r.html").read_bytes()) == ordinary


@pytest.mark.long
def test_settings_that_cannot_be_avoided_are_one_line(run_command: CommandLine) -> None:
    styles = run_command.directory / "config" / "stylelib"
    styles.mkdir(parents=True)
    (styles / "mine.mplstyle").write_bytes(UNDECODABLE)
    (run_command.directory / "runs.csv").write_text(TABLE)
    done = run_command(*ANALYZE, environment={"MPLCONFIGDIR": "config"})
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("optimizer-bench: error: cannot import matplotlib (UnicodeDecode")


KEPT = """
import logging, os
{first}
import bench.report
import matplotlib
print(os.environ.get("MPLBACKEND"), matplotlib.get_backend(), matplotlib.rcParams["font.size"])
print(logging.getLogger("matplotlib").level, os.getcwd() == {directory!r})
"""


@pytest.mark.parametrize(
    ("first", "backend", "kept"),
    [("", "svg", "svg svg 30.0"), ("import matplotlib", None, "None agg 30.0")],
)
def test_the_users_own_figures_keep_their_settings(
    first: str, backend: str | None, kept: str, tmp_path: Path
) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\n")
    variables = {**os.environ, "MPLBACKEND": backend, "DISPLAY": None}
    code = KEPT.format(first=first, directory=str(tmp_path.resolve()))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.splitlines(), done.stderr) == ([kept, "0 True"], "")


def _odd(value: object) -> Any:
    """Another value for a setting, None for settings that are left alone."""
    if isinstance(value, bool):
        return not value
    return 2 * value + 1 if isinstance(value, (int, float)) else None


def test_a_page_is_a_function_of_its_rows() -> None:
    """The same analysis gives the same bytes, whatever the settings."""
    page_of("small")  # before the settings change
    with matplotlib.rc_context():
        changed = 0
        for name, value in dict(matplotlib.rcParamsDefault).items():
            try:
                if (odd := _odd(value)) is not None:
                    matplotlib.rcParams[name] = odd
                    changed += 1
            except (ValueError, RuntimeError):
                continue
        assert changed > 100
        assert render(ANALYSES["small"](), CONTEXT) == page_of("small")
