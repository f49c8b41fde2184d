"""Tables in terminals of any width: columns go, names and verdicts stay."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pyarrow as pa
import pytest
from _stored import sequential_example
from _sweep_analysis import Recipe, sweep
from conftest import CommandCall, resolve_all
from rich.cells import cell_len
from rich.console import Console

from bench import specify
from bench.analysis.results import PairAtLook, SequentialLook, SweepAnalysis
from bench.cli.console import _ranking, print_conclusion
from bench.cli.progress import LiveTable, open_pairs
from bench.cli.terminal import NAME_WIDTH, Column, FittedTable, fitting, fold
from bench.spec.model import SweepSpec
from bench.sweeps.resume import SweepStatus

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


def test_the_conclusion_of_a_sequential_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    print_conclusion(sequential_example(), "the command", None)
    printed = capsys.readouterr().out
    for part in (
        "No pair is open after look 3 of 3: the comparison is finished.\n",
        "looks:     It took 64 runs, 20 % fewer than the 80 runs of 20 seeds of every optimizer.\n",
        "looks:     The mean of each optimizer is over its own seeds, as many as it has runs.",
    ):
        assert part in printed.replace("\N{NO-BREAK SPACE}", " ")
    assert "98.33" in _ranking(sequential_example()).columns[3].head


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


def names_of(*names: str) -> Column:
    return Column("optimizer", names, is_name=True)


LONG = "adam[betas=(0.9,0.99),lr=0.003,weight_decay=0.01]"
NAMES_AT_80 = [
    # a name of 49 leaves no room for the interval, and stays whole
    (LONG, "optimizer runs mean verdict", [LONG]),
    # with a longer one no column would stay: it is folded between its words
    (
        f"mylibrary.optimizers:{LONG}",
        "optimizer runs mean verdict",
        ["mylibrary.optimizers:adam[betas=(0.9,0.99),lr=0.003,", "weight_decay=0.01]"],
    ),
    ("x" * 100, "optimizer runs mean verdict", ["x" * 52, "x" * 48]),
]


@pytest.mark.parametrize(("name", "heads", "lines"), NAMES_AT_80)
def test_columns_go_before_a_name_is_folded(name: str, heads: str, lines: list[str]) -> None:
    columns = [names_of(name, "sgd"), column("runs", 4, 4), column("mean", 6, 1)]
    columns += [column("interval", 28, 5), Column("verdict", ["inconclusive"] * 2)]
    kept = fitting(columns, 80)
    assert [column.head for column in kept] == heads.split()
    assert kept[0].cells[0].splitlines() == lines
    assert all(cell_len(line) <= 80 for line in printed(FittedTable(columns), 80))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("lion_pytorch:Lion", ["lion_", "pytorch:", "Lion"]),
        ("ForeachSOAP", ["Foreach", "SOAP"]),
        ("a.bc.def-ghi", ["a.bc.", "def-ghi"]),
        ("最適化手法", ["最適化手", "法"]),
    ],
)
def test_names_are_folded_between_words(name: str, lines: list[str]) -> None:
    assert fold(name, 8).splitlines() == lines


def status_of(accuracy: float) -> SweepStatus:
    done = pa.table({"optimizer": ["sgd"], "test_accuracy": [accuracy]})
    return SweepStatus(planned=(), missing=(), done=done)


def test_open_pairs_are_listed_with_the_seeds_they_may_need() -> None:
    spec = specify(optimizers="sgd,adam,adamw", until_decided=(9, 18, 40))
    pair = PairAtLook(
        **{"a": "adam", "b": "adamw", "n": 9, "mean_difference": 0.004, "std": 0.006},
        **dict.fromkeys(("ci_low", "ci_high", "pvalue", "pvalue_sequential", "pvalue_holm")),
        **dict.fromkeys(("pvalue_equivalence", "pvalue_equivalence_sequential")),
        pvalue_equivalence_holm=None,
        verdict="inconclusive",
    )
    decided = replace(pair, b="sgd", verdict="better")
    pairs = (pair, decided, replace(decided, a="adamw"))
    look = SequentialLook(look=1, n_blocks=9, treatments=("adam", "adamw", "sgd"), pairs=pairs)
    assert open_pairs(spec, ()) == []
    (line,) = open_pairs(spec, [look])
    found = re.fullmatch(r"open: adam and adamw, probably decided with (\d+) seeds", line)
    assert found
    assert 9 < int(found[1]) < 60
    (line,) = open_pairs(spec, [replace(look, pairs=(replace(pair, std=0.0), *pairs[1:]))])
    assert line == "open: adam and adamw, no prediction"


def test_the_counts_are_the_last_to_be_cut_in_a_low_terminal() -> None:
    spec = SweepSpec(name="x", optimizers=resolve_all("sgd,adam"), seeds=(0, 1))
    display = LiveTable(3, spec, status_of(0.9))
    display.done = 1
    first = Console(width=80).render_lines(display.render())[0]
    assert re.match(r"1/3 runs, 0 failed, .* runs/s, about .* left", "".join(s.text for s in first))


@pytest.mark.parametrize("width", [1, 5, 20])
def test_hardly_any_room_is_no_error(width: int) -> None:
    assert printed(FittedTable([LONG_NAME, *NUMBERS, VERDICT]), width)


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_live_table_shows_its_counts(width: int) -> None:
    spec = SweepSpec(name="x", optimizers=resolve_all("sgd,adam"), seeds=(0, 1))
    console = Console(file=io.StringIO(), width=width, color_system="standard", force_terminal=True)
    lines = console.render_lines(LiveTable(3, spec, status_of(0.9)).render())
    texts = ["".join(segment.text for segment in line).rstrip() for line in lines]
    assert texts[0] == "0/3 runs, 0 failed, 0 runs/s"
    assert set(texts[1]) == {"━"}
    assert texts[3].startswith("sgd ")


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
    assert re.search(r"\noptimizer +runs +mean % +95\s% interval +std +minus first", out)
    assert re.search(f"^{'b' * 150} .*inconclusive$", out, re.MULTILINE)


def test_colour_by_force_takes_the_width_given(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call_command.directory / "runs.csv").write_text(TABLE.replace("a" * 150, "alpha"))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    lines = call_command("analyze", "runs.csv", "--value", "accuracy").out.splitlines()
    plain = re.sub(r"\x1b\[\d*m", "", lines[3])  # behind the three lines on the file
    assert plain.split() == ["optimizer", "mean", "%", "minus", "first", "verdict"]


def test_the_catalogue_is_as_wide_as_the_terminal(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    for columns, width in (("0", 40), ("60", 60), ("200", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = call_command("list").out.splitlines()
        assert max(map(len, lines)) in range(width - 10, width + 1)
