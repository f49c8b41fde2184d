"""The comparison of a report with its rows finds every manual change."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from random import Random

import pytest
from _stored import few_rows, three_seeds
from _sweep_analysis import HOSTILE, Recipe, source_recipes, sweep

from bench import cli
from bench.analysis.results import SweepAnalysis
from bench.report import render
from bench.report.html.check import TOLERANCE, Mismatch, check_report

ANALYSES: dict[str, Callable[[], SweepAnalysis]] = {
    "three": lambda: sweep(source_recipes()[:3]),
    "one seed": lambda: sweep(source_recipes()[:4], n=1),
    "one optimizer": lambda: sweep([Recipe("sgd", 9570, 10)]),
    "troubled": lambda: sweep(
        (*source_recipes()[:3], Recipe("rmsprop", 9700, 9, diverged=3, failed=2))
    ),
    "hostile": lambda: sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(HOSTILE)]),
}


@cache
def page_of(case: str) -> str:
    return render(ANALYSES[case]())


@pytest.mark.parametrize("case", ANALYSES)
def test_a_report_is_right_about_its_own_rows(case: str) -> None:
    found = check_report(page_of(case), page_of(case))
    assert found.is_right
    assert not found.has_own_looks
    assert found.n_numbers > 200


def changed(page: str, pattern: str) -> str:
    """`page` with the digit that `pattern` ends in replaced by another one."""
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, pattern
    at = match.end() - 1
    digit = str((int(page[at]) + 5) % 10)
    return page[:at] + digit + page[at + 1 :]


#: A digit of the page, and the beginning and the end of where it is.
DIGITS = {
    "verdict": (r'class="lead">[^<]*97\.\d', "mnist: which optimizer?", "optimizer?"),
    "table cell": (r'class="number strong" data-sort="[^"]*">97\.\d', "Leaderboard, nes", "mean"),
    "sort key": (r'class="number strong" data-sort="0\.\d', "Leaderboard, nes", "sort key"),
    "eighth digit of a sort key": (r'strong" data-sort="0\.\d{8}', "Leaderboard", "sort key"),
    "p-value": (r">[−+][\d.]+</td>\s*.*?<td[^>]*>0\.\d", "Pair by pair", ""),
    "text of a figure": (r"<text [^>]*>9\d\.\d", "Every run, Final test accuracy", "optimizer"),
    "description of a figure": (r"<desc [^>]*>[^<]*97\.\d", "Every run, Final", "optimizer"),
    "coordinate of a dot": (r'<use x="\d', "Every run, Final test", "coordinate x"),
    "point of a path": (r'<path d="M \d', "Every run, Final test", "coordinate d"),
    "box of a figure": (r'viewBox="0 0 10\d', "Every run, Final test", "coordinate viewbox"),
    "command": (r"--seed-list 0-1\d", "Reproduce", "Command"),
    "environment": (r"2\.1\d(?=\.0\+cpu)", "Environment, PyTorch", "PyTorch"),
}


@pytest.mark.parametrize(("pattern", "start", "end"), DIGITS.values(), ids=DIGITS)
def test_one_digit_is_found(pattern: str, start: str, end: str) -> None:
    page = page_of("three")
    found = check_report(changed(page, pattern), page)
    assert not found.is_right
    (mismatch,) = found.mismatches
    assert mismatch.place.startswith(start)
    assert mismatch.place.endswith(end)
    assert mismatch.said != mismatch.given


def test_any_digit_that_is_read_is_found() -> None:
    page = page_of("three")
    start = page.index("<h1")
    digits = [m.end() - 1 for m in re.finditer(r">[^<>]*?\d", page) if m.end() > start]
    for at in Random(0).sample(digits, 12):
        digit = str((int(page[at]) + 5) % 10)
        found = check_report(page[:at] + digit + page[at + 1 :], page)
        assert len(found.mismatches) == 1, page[at - 40 : at + 20]


WORDS = {
    "verdict of a pair": ("</span> better</td>", "</span> worse</td>"),
    "sign of a verdict": ("▲", "▼"),
    "name": ("<bdi>momentum</bdi>", "<bdi>momentun</bdi>"),
    "attribute": ('data-part="runs"', 'data-part="mean"'),
    "label of a figure": ('aria-label="Final test', 'aria-label="First test'),
    "doubled sort key": ('data-sort="', 'data-sort="0.5" data-sort="'),
    "no sort key": (' data-sort="0', ' data-other="0'),
    "before all else": ("<html", "99 <html"),
    "no number": (">20</td>", "></td>"),
}


@pytest.mark.parametrize(("ours", "theirs"), WORDS.values(), ids=WORDS)
def test_words_and_attributes_are_compared_too(ours: str, theirs: str) -> None:
    page = page_of("three")
    assert ours in page
    found = check_report(page.replace(ours, theirs, 1), page)
    assert found.built_otherwise_from is None
    assert 1 <= len(found.mismatches) <= 2


def test_a_mismatch_says_where_and_what() -> None:
    page = page_of("three")
    (cell,) = re.findall(r'<th scope="row" data-sort="sgd">.*?>(95\.\d\d)<', page, re.DOTALL)
    tampered = page.replace(f">{cell}<", ">99.99<", 1)
    (mismatch,) = check_report(tampered, page).mismatches
    assert str(mismatch) == (f"Leaderboard, sgd, mean: the report says 99.99, the rows give {cell}")


def test_of_long_texts_the_words_that_differ_are_shown() -> None:
    page = "<h1>Title</h1><p>one two three four five six seven eight nine ten eleven twelve 1</p>"
    found = check_report(page.replace("six", "6"), page)
    assert found.mismatches == (
        Mismatch("Title", "… three four five 6 seven eight nine …", "… three four five six seven "
                 "eight nine …"),
    )  # fmt: skip


BUILT_OTHERWISE = {
    "other optimizers": lambda: page_of("one optimizer"),
    "fewer rows": lambda: re.sub(
        r"<tr data-optimizer.*?</tr>", "", page_of("three"), count=1, flags=re.DOTALL
    ),
    "cut off": lambda: page_of("three")[:99_999],
    "something behind": lambda: page_of("three") + "<p>99</p>",
    "no page": lambda: "<!doctype html><p>99.99 %</p>",
    "nothing": lambda: "",
    "what no parser understands": lambda: "<!doctype html><![what",
}


@pytest.mark.parametrize("other", BUILT_OTHERWISE.values(), ids=BUILT_OTHERWISE)
def test_a_page_made_of_other_parts_is_not_compared(other: Callable[[], str]) -> None:
    found = check_report(other(), page_of("three"))
    assert found.built_otherwise_from
    assert not found.is_right
    assert found.mismatches == ()


FIGURE = '<h2>S</h2><svg viewBox="0 0 {} 9" aria-label="F"><path d="M {} 5 L 9 9"/></svg>'
SHIFTS = [
    ("1080", "500", "500", True),
    ("1080", "500", "500.09", True),
    ("1080", "500", "500.11", False),
    ("1080", "500", "499.89", False),
    ("1080", "5e2", "500", True),
    ("1080", "500", "500 1", False),
    ("1080", "500", "", False),
    ("2", "0.5", "0.55", False),
    ("2", "0.5", "0.501", True),
]


@pytest.mark.parametrize(("width", "due", "said", "same"), SHIFTS)
def test_coordinates_may_be_off_by_what_nobody_sees(
    width: str, due: str, said: str, same: bool
) -> None:
    assert TOLERANCE == 0.1
    found = check_report(FIGURE.format(width, said), FIGURE.format(width, due))
    assert found.is_right == same
    assert [m.place for m in found.mismatches] == ([] if same else ["S, F, coordinate d"])


DATA = '<h2>S</h2><script type="application/json" id="runs">{}</script>'
BLOCKS = [
    ('{"a": [0.5, 1]}', '{"a": [0.5, 1]}', []),
    ('{"a": [0.5, 1]}', '{ "a":[0.50,1] }', []),
    ('{"a": [0.5, 1]}', '{"a": [0.6, 1]}', ["a, 1: the report says 0.6, the rows give 0.5"]),
    ('{"a": [1, 2]}', '{"a": [1]}', ["a, 2: the report says nothing, the rows give 2"]),
    ('{"a": [1]}', '{"a": [1, 2]}', ["a, 2: the report says 2, the rows give nothing"]),
    ('{"a": 1}', '{"a": true}', ["a: the report says true, the rows give 1"]),
    ('{"a": 1}', '{"a": null}', ["a: the report says null, the rows give 1"]),
    ('{"a": 1}', '{"a": {"b": 1}}', ['a: the report says {"b": 1}, the rows give 1']),
    ('{"a": 1}', '{"b": 1}', ["a: the report says nothing, the rows give 1",
                              "b: the report says 1, the rows give nothing"]),
    ('{"a": 1}', '{"a": 1', ["the report says what is not JSON, the rows give JSON"]),
    ('{"a": 1}', "[" * 100_000, ["the report says what is not JSON, the rows give JSON"]),
    ("x,y\n1,2\n", "x,y\n1,3\n", ["line 2: the report says 1,3, the rows give 1,2"]),
    ("x,y\n1,2\n", "x,y\n1,2\n3,4\n", ["line 3: the report says 3,4, the rows give nothing"]),
]  # fmt: skip


#: What the rows give, what the report says, and whether that is the same but for rounding.
NUMBERS = [
    ("0.9633732758853952", "0.9633732758853953", True),
    ("0.9633732758", "0.9633732767", True),  # 0.93e-9 of it
    ("0.9633732758", "0.9633732748", False),  # 1.04e-9
    ("0.9633732758", "0.9633732768", False),
    ("-0.1250000000000001", "-0.125", True),
    ("-0.125", "0.125", False),
    ("1e-05", "1.0000000000000001e-05", True),
    ("1.5e-300", "1.6e-300", False),
    ("1234567890123.5", "1234567890123.6", True),
    ("12345678901.5", "12345678951.5", False),
    ("0.3", "0.30000000000000004", True),
    ("0.0", "1e-300", False),
    ("1.5e+999", "2.5e+999", False),  # both are infinite as floats
    ("1.5e-999", "2.5e-999", False),
    ("12345678901234567", "12345678901234568", False),  # a seed
    ("3", "3.0", False),
    ("1.10.0000000001", "1.10.0000000002", False),  # versions
    ("ab1.00000000001", "ab1.00000000002", False),  # hashes
]


@pytest.mark.parametrize(("due", "said", "same"), NUMBERS)
@pytest.mark.parametrize(
    "page",
    [
        "<h2>S</h2><p>between {} and 7</p>",
        '<h2>S</h2><table><tr><td data-sort="{}">x</td></tr></table>',
        '<h2>S</h2><script type="text/csv" id="runs">name,x\na,{}\n</script>',
        '<h2>S</h2><script type="application/json" id="runs">{{"a": ["x,{}"]}}</script>',
    ],
    ids=["text", "sort key", "CSV", "CSV in JSON"],
)
def test_numbers_may_be_off_by_rounding(page: str, due: str, said: str, same: bool) -> None:
    found = check_report(page.format(said), page.format(due))
    assert found.is_right == same
    assert not found.differs_in_drawing


@pytest.mark.parametrize(
    ("due", "said", "same"),
    [(0.9633732758853952, 0.9633732758853953, True), (1.0, 1 + 1.1e-9, False), (1.0, 1, False),
     (2**60, 2**60 + 1, False), (1e-05, 1.0000000000000001e-05, True), (1e16, 2e16, False)],
)  # fmt: skip
def test_numbers_in_json_may_be_off_by_rounding(due: float, said: float, same: bool) -> None:
    found = check_report(DATA.format(json.dumps([said])), DATA.format(json.dumps([due])))
    assert found.is_right == same


def test_long_runs_of_digits_take_no_long_time() -> None:
    page = "<p>{}</p>"
    assert not check_report(page.format("1" * 10**6), page.format("1" * 10**6 + "2")).is_right
    assert not check_report(page.format("1." * 10**6), page.format("1." * 10**6 + "2")).is_right


@pytest.mark.parametrize(("due", "said", "expected"), BLOCKS)
def test_blocks_of_data_are_compared_value_by_value(
    due: str, said: str, expected: list[str]
) -> None:
    found = check_report(DATA.format(said), DATA.format(due))
    told = [str(m).removeprefix("S, data block runs").lstrip(",: ") for m in found.mismatches]
    assert told == expected
    assert found.built_otherwise_from is None


def test_data_in_an_address_is_compared() -> None:
    page = '<h2>S</h2><a href="data:text/csv,{}">rows</a>'
    found = check_report(page.format("1,3"), page.format("1,2"))
    assert [m.place for m in found.mismatches] == ["S, href"]


LOOKS = {
    "style": ("</style>", "p { color: red }</style>"),
    "script": ("</script>", "// 99\n</script>"),
    "class": ('class="lead"', 'class="led"'),
    "colour": ('fill="#', 'fill="#f'),
}


@pytest.mark.parametrize(("ours", "theirs"), LOOKS.values(), ids=LOOKS)
def test_looks_are_noted_and_not_checked(ours: str, theirs: str) -> None:
    page = page_of("three")
    found = check_report(page.replace(ours, theirs, 1), page)
    assert found.is_right
    assert found.has_own_looks


PLACES = """
<h1>Title</h1><p>1</p>
<h2>Pairs</h2>
<table><caption>All pairs</caption>
<thead><tr><th rowspan="2">first</th><th rowspan="2">second</th><th colspan="2">difference</th></tr>
<tr><th>mean</th><th>interval</th></tr></thead>
<tbody><tr><th scope="row"><bdi>a</bdi></th><td><bdi>b</bdi></td><td>2</td><td>3</td></tr></tbody>
</table>
<div aria-label="Looks"><table><caption>A long caption</caption>
<thead><tr><th>look</th><th>level</th></tr></thead>
<tbody><tr><th scope="row">one</th><td>4</td></tr></tbody></table></div>
<dl><div><dt>PyTorch</dt><dd>5</dd></div></dl>
<h2>Rest</h2><ul><li>6</li></ul><br><p>7</p>
"""
WHERE = {
    "1": "Title",
    "2": "Pairs, All pairs, a against b, difference, mean",
    "3": "Pairs, All pairs, a against b, difference, interval",
    "4": "Pairs, Looks, one, level",
    "5": "Pairs, PyTorch",
    "6": "Rest",
    "7": "Rest",
}


@pytest.mark.parametrize(("number", "place"), WHERE.items())
def test_places_are_told_as_a_reader_would(number: str, place: str) -> None:
    found = check_report(PLACES.replace(f">{number}<", ">99<"), PLACES)
    assert [str(m) for m in found.mismatches] == [
        f"{place}: the report says 99, the rows give {number}"
    ]


# ---------------------------------------------------------------- the command


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(directory: Path) -> dict[Path, tuple[int, bytes]]:
    files = [file for file in directory.rglob("*") if file.is_file()]
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


@pytest.mark.parametrize("made_by", ["report", "analyze"])
def test_a_sweep_s_report_passes_and_nothing_is_written(
    made_by: str, in_tmp: Path, capsys: Capture
) -> None:
    results = str(three_seeds(in_tmp, ("adam", "sgd")))
    option = {"report": "--output", "analyze": "--html"}[made_by]
    assert cli.main([made_by, results, option, "r.html"]) == 0
    capsys.readouterr()
    before = files_in(in_tmp)
    assert cli.main(["report", results, "--check", "r.html"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"ok: [\d,]+ numbers of r\.html are those that the rows give\n", out)
    assert files_in(in_tmp) == before


@pytest.fixture(scope="module")
def rows_and_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("few")
    rows, report = few_rows(directory), directory / "r.html"
    assert cli.main(["report", str(rows), "--output", str(report)]) == 0
    return rows, report


@pytest.fixture
def made(rows_and_report: tuple[Path, Path], in_tmp: Path, capsys: Capture) -> tuple[str, Path]:
    """A file of rows and the report that they give, to be changed at will."""
    rows, report = (Path(shutil.copy(file, in_tmp)) for file in rows_and_report)
    capsys.readouterr()
    return str(rows), report


def test_a_check_is_no_look(made: tuple[str, Path]) -> None:
    results = three_seeds(made[1].parent, ("adam", "sgd"))
    assert cli.main(["report", str(results), "--check", "r.html"]) == 1  # of other rows
    assert not (results / "looks.json").exists()


def test_wrong_numbers_are_listed_and_exit_1(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    page = report.read_text()
    report.write_text(re.sub(r"(class=\"lead\">[^<]*97\.)\d\d", r"\g<1>99", page))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert re.match(r"few: which optimizer\?: the report says .*97\.99 %.*, the rows give", out)


def test_at_most_twenty_lines(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    report.write_text(report.read_text().replace(' data-sort="0.', ' data-sort="1.'))
    report.write_text(re.sub(r'<use x="(\d)', r'<use x="1\1', report.read_text()))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert re.fullmatch(r"and [\d,]+ more", lines[-1])


def test_what_drew_the_figures_is_named_where_only_they_differ(
    made: tuple[str, Path], capsys: Capture
) -> None:
    rows, report = made
    page = report.read_text()
    moved = re.sub(r'<use x="(\d+)', lambda m: f'<use x="{int(m[1]) + 1}', page)
    report.write_text(moved)
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    note = capsys.readouterr().out.splitlines()[-1]
    assert note.startswith("note: all numbers and words are right, only coordinates of figures")
    assert f"matplotlib {version('matplotlib')}" in note
    report.write_text(moved.replace("<li>", "<li>99 ", 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    assert "matplotlib" not in capsys.readouterr().out


def test_other_runs_are_one_line(made: tuple[str, Path], capsys: Capture) -> None:
    other = str(few_rows(made[1].parent, ("adam", "sgd")))
    assert cli.main(["report", other, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("r.html is built otherwise than the report of these rows, beginning with")
    assert out.count("\n") == 1


def test_control_characters_of_a_report_are_not_printed(
    made: tuple[str, Path], capsys: Capture
) -> None:
    rows, report = made
    report.write_text(report.read_text().replace("<li>", "<li>\x1b[2J\u202e", 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_own_looks_are_noted(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    report.write_text(report.read_text().replace("</style>", "p{}</style>", 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 0
    ok, note = capsys.readouterr().out.splitlines()
    assert ok.startswith("ok: ")
    assert note.startswith("note: style or script of r.html are not those of this version")


def huge(file: Path) -> None:
    file.touch()
    os.truncate(file, 10**12)


NO_REPORTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.exists, "no report at x.html: --check needs an HTML report"),
    "a directory": (Path.mkdir, "cannot check x.html: it is not a regular file"),
    "a pipe": (os.mkfifo, "cannot check x.html: it is not a regular file"),
    "empty": (Path.touch, "cannot check x.html: it is not an HTML report"),
    "not text": (
        lambda file: file.write_bytes(b"<!doctype html>\xff"),
        "cannot check x.html: it is not an HTML report",
    ),
    "not HTML": (lambda file: file.write_text("{}"), "it is not an HTML report"),
    "huge": (huge, "a report has at most 64,000,000 bytes, this file has 1,000,000,000,000"),
}


@pytest.mark.parametrize(("make", "message"), NO_REPORTS.values(), ids=NO_REPORTS)
def test_what_is_no_report_is_one_line_and_exit_2(
    make: Callable[[Path], object], message: str, in_tmp: Path, capsys: Capture
) -> None:
    make(in_tmp / "x.html")
    assert cli.main(["report", "few.parquet", "--check", "x.html"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_checks_of_changed_analyses_name_the_change() -> None:
    analysis = ANALYSES["three"]()
    other = replace(analysis, command="python scripts/sweep.py --seeds 21")
    (mismatch,) = check_report(render(other), page_of("three")).mismatches
    assert mismatch.place == "Reproduce, Command"
