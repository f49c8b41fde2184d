"""Tables in terminals of any width: columns go, names and verdicts stay."""

from __future__ import annotations

import io
import re

import pyarrow as pa
import pytest
from _sweep_analysis import Recipe, sweep
from conftest import CommandCall, resolve_all
from rich.cells import cell_len
from rich.console import Console

from bench.analysis.results import SweepAnalysis
from bench.cli.console import _ranking
from bench.cli.progress import LiveTable
from bench.cli.terminal import NAME_WIDTH, Column, FittedTable, fitting
from bench.spec.model import SweepSpec

WIDTHS = (40, 60, 80, 100, 120, 200)
STEMS = {
    "short": "opt{}",
    "of 24": "optimizer-of-24-chars-{:02}",
    "long": "adam[betas=(0.9,0.99),eps=1e-08,lr=0.003,weight_decay={}]",
    "wide": "最適化手法の名前{}",
    "with escapes": "a\x1b[31m{}",
}
VERDICTS = ("better", "worse", "equivalent", "inconclusive", "not testable")


def printed(table: FittedTable, width: int) -> list[str]:
    """The lines of a table in a terminal."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def analysis(stem: str, n_treatments: int) -> SweepAnalysis:
    names = [stem.format(i) for i in range(n_treatments)]
    return sweep([Recipe(name, 9700 - 30 * i, 20) for i, name in enumerate(names)], n=6)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n_treatments", [2, 8, 30])
@pytest.mark.parametrize("stem", STEMS)
def test_no_name_and_no_verdict_is_cut(stem: str, n_treatments: int, width: int) -> None:
    columns = _RANKINGS(stem, n_treatments).columns
    lines = printed(FittedTable(columns), width)
    assert all(cell_len(line) <= width for line in lines)
    text = "\n".join(lines)
    assert "…" not in text
    assert "\x1b" not in text
    names, *_, verdicts = columns
    for name, verdict in zip(names.cells, verdicts.cells, strict=True):
        shown = name.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
        if cell_len(shown) <= NAME_WIDTH:
            (line,) = [line for line in lines if line.startswith(f"{shown} ")]
            assert line.rstrip().endswith(verdict)
    ends = [line.rstrip().rpartition("  ")[2] for line in lines]
    assert [end for end in ends if end in VERDICTS] == [v for v in verdicts.cells if v]


def test_the_p_value_beside_a_verdict_is_the_one_that_decides() -> None:
    """In this analysis nesterov leads, and momentum is equivalent to it."""
    by_head = {column.head: column.cells for column in _ranking(sweep()).columns}
    cells = zip(by_head["verdict"], by_head["adj. p"], strict=True)
    kinds = {verdict: p[:7].strip() for verdict, p in cells}
    assert kinds == {"": "", "equivalent": "p equiv", "worse": "p diff"}


class _Rankings(dict[tuple[str, int], FittedTable]):
    """One analysis for all widths."""

    def __call__(self, stem: str, n_treatments: int) -> FittedTable:
        key = stem, n_treatments
        if key not in self:
            self[key] = _ranking(analysis(STEMS[stem], n_treatments))
        return self[key]


_RANKINGS = _Rankings()


def column(head: str, width: int, drop: int) -> Column:
    return Column(head, ["x" * width] * 2, drop=drop)


NAME = Column("name", ["x" * 10] * 2, is_name=True)
LONG_NAME = Column("name", ["x" * 100] * 2, is_name=True)
NUMBERS = [column("a", 5, 1), column("b", 5, 3), column("c", 5, 2), column("d", 5, 3)]
VERDICT = column("verdict", 12, 0)
FITTING = [
    # 10 + 4 * (2 + 5) + 2 + 12
    ([NAME, *NUMBERS, VERDICT], 52, "name a b c d verdict"),
    ([NAME, *NUMBERS, VERDICT], 51, "name a c verdict"),
    ([NAME, *NUMBERS, VERDICT], 38, "name a c verdict"),
    ([NAME, *NUMBERS, VERDICT], 37, "name a verdict"),
    ([NAME, *NUMBERS, VERDICT], 30, "name verdict"),
    ([NAME, *NUMBERS, VERDICT], 1, "name verdict"),
    # a long name counts as 24
    ([LONG_NAME, *NUMBERS, VERDICT], 66, "name a b c d verdict"),
    ([LONG_NAME, *NUMBERS, VERDICT], 65, "name a c verdict"),
    ([NAME, *NUMBERS], 1, "name"),
]


@pytest.mark.parametrize(("columns", "width", "kept"), FITTING)
def test_columns_go_in_their_order(columns: list[Column], width: int, kept: str) -> None:
    assert [column.head for column in fitting(columns, width)] == kept.split()


@pytest.mark.parametrize("width", [1, 5, 20])
def test_hardly_any_room_is_no_error(width: int) -> None:
    assert printed(FittedTable([LONG_NAME, *NUMBERS, VERDICT]), width)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_live_table_shows_its_counts(width: int) -> None:
    spec = SweepSpec(name="x", optimizers=resolve_all("sgd,adam"), seeds=(0, 1))
    done = pa.table({"optimizer": ["sgd"], "test_accuracy": [0.9]})
    console = Console(file=io.StringIO(), width=width, color_system="standard", force_terminal=True)
    lines = console.render_lines(LiveTable(3, spec, done).render())
    texts = ["".join(segment.text for segment in line).rstrip() for line in lines]
    assert texts[1].startswith("sgd ")
    assert texts[3] == "0/3 runs, 0 failed, 0 runs/s"
    assert set(texts[4]) == {"━"}


TABLE = "optimizer,seed,accuracy\n" + "".join(
    f"{name},{seed},{0.9 + 0.01 * seed * (1 if name[0] == 'a' else -1)}\n"
    for seed in range(6)
    for name in ("a" * 150, "b" * 150)
)


@pytest.mark.parametrize("columns", ["40", None])
def test_a_pipe_has_no_width(
    columns: str | None, call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call_command.directory / "runs.csv").write_text(TABLE)
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(variable, raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    out = call_command("analyze", "runs.csv", "--value", "accuracy").out
    assert re.search(r"^optimizer +runs +mean % +95\s% interval +std +minus first", out)
    assert re.search(f"^{'b' * 150} .*inconclusive$", out, re.MULTILINE)


def test_colour_by_force_takes_the_width_given(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call_command.directory / "runs.csv").write_text(TABLE.replace("a" * 150, "alpha"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = call_command("analyze", "runs.csv", "--value", "accuracy").out.splitlines()
    plain = re.sub(r"\x1b\[\d*m", "", lines[0])
    assert plain.split() == ["optimizer", "mean", "%", "minus", "first", "verdict"]


def test_the_catalogue_is_as_wide_as_the_terminal(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, width in (("0", 40), ("60", 60), ("200", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = call_command("list").out.splitlines()
        assert max(map(len, lines)) in range(width - 10, width + 1)
