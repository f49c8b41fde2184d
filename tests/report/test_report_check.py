"""The comparison of a report with its rows finds every manual change."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from random import Random

import pytest
from _cases import some
from _pages import ANALYSES, empty_figure, figures_from, page_of, undrawn_page_of
from _stored import few_rows, three_seeds

from bench import cli
from bench.report import render
from bench.report.context import ReportContext
from bench.report.html.check import TOLERANCE, ReportCheck, check_report

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize(
    "case", ["three", "hostile", "troubled", "one seed", "one optimizer", "sequential"]
)
def test_a_report_is_right_about_its_own_rows(case: str) -> None:
    page = page_of(case) if case in ("three", "hostile", "sequential") else undrawn_page_of(case)
    found = check_report(page, page)
    assert found.is_right
    assert found.is_complete
    assert found.made_by == found.rendered_by
    assert found.n_numbers > 200


def changed(page: str, pattern: str) -> str:
    """`page` with the digit that `pattern` ends in replaced by another one."""
    match = re.search(pattern, page, re.DOTALL)
    assert match is not None, pattern
    at = match.end() - 1
    digit = str((int(page[at]) + 5) % 10)
    return page[:at] + digit + page[at + 1 :]


def assert_one_mismatch(found: ReportCheck, place: str) -> None:
    """The page is wrong in one place, whose section or row begins so and whose line is told."""
    assert not found.is_right
    (mismatch,) = found.mismatches
    assert re.fullmatch(re.escape(place) + r".*, line \d+", mismatch.place), mismatch.place
    assert mismatch.said != mismatch.given


#: A digit of the page, and the beginning of where it is.
DIGITS = {
    "verdict": (r'class="verdict">.*?97\.\d', "mnist: which optimizer?"),
    "table cell": (r'class="number strong" data-sort="[^"]*">97\.\d', "Leaderboard, nesterov"),
    "sort key": (r'class="number strong" data-sort="0\.\d', "Leaderboard, nesterov"),
    "eighth digit of a sort key": (r'strong" data-sort="0\.\d{8}', "Leaderboard, nesterov"),
    "p-value": (r">p diff (?:&lt;|<)?\xa0?0\.\d", "Pair by pair"),
    "text of a figure": (r"<text [^>]*>9\d\.\d", "Every run, Final test accuracy"),
    "description of a figure": (r"<desc [^>]*>[^<]*97\.\d", "Every run, Final"),
    "size of the text of a figure": (r'<text [^>]*font-size="1\d', "Every run, Final"),
    "coordinate of a dot": (r'<use x="\d', "Every run, Final test"),
    "point of a path": (r'<path d="M \d', "Every run, Final test"),
    "box of a figure": (r'viewBox="0 0 82\d', "Every run"),
    "colour of a dot": (r'<use [^>]*fill="#[^"]*?\d', "Every run, "),
    "shape of a marker": (r'<path id="marker-\d" d="[^"]*?\d', "head"),
    "seconds": (r">[\d.]*\d(?=\sm?s</td>)", "Leaderboard, nesterov"),
    "number of seeds": (r'<td class="number" data-sort="20">\d', "Leaderboard, nesterov"),
    "data block": (r'<script type="application/json".*?"scores":\[\[0\.9\d', "Environment, data"),
    "command": (r"--seed-list 0-1\d", "Reproduce"),
    "environment": (r"<dd>2\.1\d(?=\.0\+cpu)", "Environment, PyTorch"),
    "policy": (r"script-src &#39;sha256-\D*\d", "head"),
    "style": (r"--paper: light-dark\([^)]*?\d", "head"),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "place"), DIGITS.values(), ids=DIGITS)
def test_one_digit_is_found(pattern: str, place: str) -> None:
    page = page_of("three")
    assert_one_mismatch(check_report(changed(page, pattern), page), place)


#: A digit of the section on looks of a sequential comparison.
DIGITS_OF_LOOKS = {
    "runs": (r"It took 6\d", "Looks at the results"),
    "table of looks": (r'"number">1\d</td>\n<td class="number">4', "Looks at the results"),
    "interval": (r'id="looks".*?>\[−0\.\d', "Looks at the results, momentum"),
    "point of the figure": (r'<desc id="looks-wide.*?<path d="M \d', "Looks at the results, Mean"),
    "description": (r'<desc id="looks-wide[^>]*>[^<]*\+0\.\d', "Looks at the results, Mean"),
}  # fmt: skip


@pytest.mark.parametrize(("pattern", "place"), DIGITS_OF_LOOKS.values(), ids=DIGITS_OF_LOOKS)
def test_one_digit_of_the_looks_is_found(pattern: str, place: str) -> None:
    page = page_of("sequential")
    assert_one_mismatch(check_report(changed(page, pattern), page), place)


def test_any_digit_that_is_read_is_found() -> None:
    page = page_of("three")
    start = page.index("<h1")
    digits = [m.end() - 1 for m in re.finditer(r">[^<>]*?\d", page) if m.end() > start]
    for at in Random(0).sample(digits, 12):
        digit = str((int(page[at]) + 5) % 10)
        found = check_report(page[:at] + digit + page[at + 1 :], page)
        assert len(found.mismatches) == 1, page[at - 40 : at + 20]


#: A text of the page, and what it is replaced by.
TEXTS = {
    "verdict of a pair": ("</span> better</td>", "</span> worse</td>"),
    "sign of a verdict": ("▲", "▼"),
    "minus sign": ("−", "+"),
    "name": ("<bdi>momentum</bdi>", "<bdi>momentun</bdi>"),
    "attribute": ('data-part="runs"', 'data-part="mean"'),
    "label of a figure": ('aria-label="Final test', 'aria-label="First test'),
    "doubled sort key": ('data-sort="', 'data-sort="0.5" data-sort="'),
    "no sort key": (' data-sort="0', ' data-other="0'),
    "before all else": ("<html", "99 <html"),
    "no number": (">20</td>", "></td>"),
    "thousands": (">20</td>", ">2,0</td>"),
    "digits of another script": (">20</td>", ">2٠</td>"),
    "invisible character": (">20</td>", ">20\u200b</td>"),
    "line separator": ("</tr>\n", "</tr>\u2028"),
    "carriage return": ("</tr>\n", "</tr>\r"),
    "entity": ("<bdi>momentum", "<bdi>&#109;omentum"),
    "capital tag": ("<td ", "<TD "),
    "space in a tag": ("<td ", "<td  "),
    "hidden row": ("<tr data-optimizer", "<tr hidden data-optimizer"),
    "hidden section": ('<section class="hero"', '<section hidden class="hero"'),
    "hidden figure": ('<svg xmlns="', '<svg display="none" xmlns="'),
    "style attribute": ("<tr data-optimizer", '<tr style="display:none" data-optimizer'),
    "event handler": ("<main ", '<main onclick="x()" '),
    "open details": ("<details", "<details open"),
    "class": ('class="lead"', 'class="led"'),
    "id": ('<h2 id="runs"', '<h2 id="rums"'),
    "colour": ('fill="#', 'fill="#f'),
    "address": ('href="#pairs"', 'href="https://example.org"'),
    "style": ("</style>", "td { font-size: 0 } td::after { content: '99' }</style>"),
    "script": ("</script>", "// 99\n</script>"),
    "number in a style": (": 1.5", ": 1.50"),
    "type of the data": ('type="application/json"', 'type="text/plain"'),
    "type of the script": ("<script>", '<script type="text/plain">'),
    "policy": ("default-src &#39;none&#39;", "default-src *"),
    "no policy": ('http-equiv="Content-Security-Policy"', 'name="policy"'),
    "refresh": ("<title>", '<meta http-equiv="refresh" content="0;url=x"><title>'),
    "base": ("<title>", "<base href=x><title>"),
    "end of the page": ("</html>\n", "</html>\n\n"),
    "no end of line": ("</html>\n", "</html>"),
    "behind the page": ("</html>\n", "</html><p>99</p>\n"),
    "generator elsewhere": ("<title>", '<meta name="generator" content="x 1"><title>'),
    "generator in the text": ("<h1", '<meta name="generator" content="x 1"><h1'),
    "attribute of the generator": ('content="optimizer-bench', 'content="x" lang="'),
    "text in the generator": ('content="optimizer-bench', 'content="&lt;'),
    **{
        f"behind {bogus}": ("<li>", f"<li>{bogus}99.99 % ")
        for bogus in ("<!-->", "<!--->", "<!-- --!>", "<![CDATA[>", "<![if >", "<?x>", "</ x>")
    },
}  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), TEXTS.values(), ids=TEXTS)
def test_every_other_character_is_compared(ours: str, theirs: str) -> None:
    page = page_of("three")
    assert ours in page
    found = check_report(page.replace(ours, theirs, 1), page)
    assert not found.is_right
    assert re.search(r"(head|which optimizer|[A-Z]).*, line \d+$", found.mismatches[0].place)
    assert found.mismatches[0].said != found.mismatches[0].given


def test_a_mismatch_says_where_and_what() -> None:
    page = page_of("three")
    (cell,) = re.findall(r'<th scope="row" data-sort="sgd">.*?>(95\.\d\d)<', page, re.DOTALL)
    tampered = page.replace(f">{cell}<", ">99.99<", 1)
    line = tampered[: tampered.index(">99.99<")].count("\n") + 1
    (mismatch,) = check_report(tampered, page).mismatches
    assert str(mismatch) == (
        f"Leaderboard, sgd, line {line}: the report says 99.99, the rows give {cell}"
    )


def test_of_long_texts_what_differs_is_shown_quoted() -> None:
    page = "<h1>Title</h1><p>one two three four five six seven eight nine ten eleven twelve 1</p>"
    (mismatch,) = check_report(page.replace("six", "s\u202ex"), page).mismatches
    assert mismatch.place == "Title, line 1"
    assert (
        mismatch.said
        == r"'one two three four five s\u202ex seven eight nine ten eleven twelve 1</p>'"
    )
    assert (
        mismatch.given == "'one two three four five six seven eight nine ten eleven twelve 1</p>'"
    )


def test_every_number_and_the_first_text_of_a_line_are_listed() -> None:
    page = "<h2>S</h2>\n<p>1 and 2.5, a b c 3\n<p>4\n"
    report = "<h2>S</h2>\n<p>7 and 8.5, x y z 9\n<p>5\n"
    assert [str(m) for m in check_report(report, page).mismatches] == [
        "S, line 2: the report says 7, the rows give 1",
        "S, line 2: the report says 8.5, the rows give 2.5",
        "S, line 2: the report says '<p>7 and 8.5, x y z 9', the rows give '<p>1 and 2.5, a b c 3'",
        "S, line 3: the report says 5, the rows give 4",
    ]


def test_the_body_is_compared_where_the_head_has_other_lines() -> None:
    page = "<style>a</style>\n</head>\n<h2>S</h2>\n<p>1\n"
    found = check_report(page.replace("a<", "\nb<").replace("1", "2"), page)
    assert not found.is_complete
    assert [m.place for m in found.mismatches] == ["head, line 1", "S, line 5"]


OTHER_LINES = {
    "other optimizers": lambda: undrawn_page_of("one optimizer"),
    "fewer rows": lambda: re.sub(
        r"<tr data-optimizer.*?</tr>", "", page_of("three"), count=1, flags=re.DOTALL
    ),
    "cut off": lambda: page_of("three")[:99_999],
    "cut off at a line": lambda: page_of("three").rpartition("\n</body>")[0],
    "something behind": lambda: page_of("three") + "<p>99</p>\n",
    "no page": lambda: "<!doctype html><p>99.99 %</p>",
    "nothing": lambda: "",
    "unfinished markup": lambda: "<!doctype html><![what",
}


@pytest.mark.parametrize("other", OTHER_LINES.values(), ids=OTHER_LINES)
def test_a_page_with_other_lines_is_compared_up_to_the_first_text(
    other: Callable[[], str],
) -> None:
    found = check_report(other(), page_of("three"))
    assert not found.is_right
    assert not found.is_complete
    assert found.mismatches


# ---------------------------------------------------------------- honest differences


def body_with(page: str, pattern: str, change: Callable[[float], float]) -> str:
    """`page` with the last group of every match of `pattern` in its body changed."""
    head, end, body = page.partition("</head>")
    body, n = re.subn(pattern, lambda m: m[1] + repr(change(float(m[2]))), body)
    assert n > 10, pattern
    return head + end + body


LONG_FRACTION = r"((?<![\w.]))(\d\.\d{12,}(?:e-\d+)?)(?![\w.])"
HONEST = {
    "numbers": lambda page: body_with(page, LONG_FRACTION, lambda x: x * (1 + 1e-10)),
    "dots": lambda page: body_with(page, r'(<use x=")(\d+(?:\.\d+)?)', lambda x: x + 0.05),
    "paths": lambda page: body_with(page, r'(<path d="M )(\d+(?:\.\d+)?)', lambda x: x - 0.05),
    "labels": lambda page: body_with(page, r'(<text x=")(\d+(?:\.\d+)?)', lambda x: x + 0.05),
    "line endings of Windows": lambda page: page.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("differ", HONEST.values(), ids=HONEST)
def test_what_other_libraries_round_and_draw_is_right(differ: Callable[[str], str]) -> None:
    page = page_of("three")
    assert differ(page) != page
    assert check_report(differ(page), page).is_right


OTHERWISE = {
    "numbers": lambda page: body_with(page, LONG_FRACTION, lambda x: x * (1 + 2e-9)),
    "dots": lambda page: body_with(page, r'(<use x=")(\d+(?:\.\d+)?)', lambda x: x + 0.2),
    "paths": lambda page: body_with(page, r'(<path d="M )(\d+(?:\.\d+)?)', lambda x: x - 0.2),
}


@pytest.mark.parametrize("differ", OTHERWISE.values(), ids=OTHERWISE)
def test_larger_differences_are_wrong(differ: Callable[[str], str]) -> None:
    page = page_of("three")
    assert not check_report(differ(page), page).is_right


GENERATOR = re.compile(r'(?<=<meta name="generator" content=")[^"]*')


def test_a_page_states_the_versions_of_its_makers() -> None:
    found = check_report(page_of("three"), page_of("three"))
    packages = ("optimizer-bench", "matplotlib", "numpy", "scipy")
    assert found.made_by == "; ".join(f"{name} {version(name)}" for name in packages)


@pytest.mark.parametrize(("shift", "same"), [(0.05, True), (0.4, True), (0.6, False)])
def test_another_matplotlib_may_draw_half_a_pixel_apart(shift: float, same: bool) -> None:
    page = page_of("three")
    moved = body_with(page, r'(<text x=")(\d+(?:\.\d+)?)', lambda x: x + shift)
    found = check_report(GENERATOR.sub("optimizer-bench 0.0.9; matplotlib 3.10.9", moved), page)
    assert found.made_by == "optimizer-bench 0.0.9; matplotlib 3.10.9"
    assert found.is_right == same
    assert found.is_complete
    assert check_report(moved, page).is_right == (shift < TOLERANCE)


FIGURE = '<h2>S</h2><svg xmlns="x" viewBox="0 0 900 9" role="img" aria-label="F"><path d="M {} 5"/>'
SHIFTS = [
    ("500", "500", True),
    ("500", "500.09", True),
    ("500", "500.11", False),
    ("500", "499.89", False),
    ("500", "5e2", True),
    ("0", "-0.05", True),
    ("500", "500 1", False),
    ("500", "", False),
    ("500", "nan", False),
    ("500", "9" * 400, False),
]


@pytest.mark.parametrize(("due", "said", "same"), SHIFTS)
def test_coordinates_may_be_off_by_what_nobody_sees(due: str, said: str, same: bool) -> None:
    assert TOLERANCE == 0.1
    found = check_report(FIGURE.format(said), FIGURE.format(due))
    assert found.is_right == same
    assert [m.place for m in found.mismatches] == ([] if same else ["S, F, line 1"])
    outside = FIGURE.replace(" xmlns=", " class=")
    assert check_report(outside.format(said), outside.format(due)).is_right == (said == due)


DATA = '<h2>S</h2><script type="application/json" id="runs">{}</script>'
BLOCKS = [
    ('{"a": [0.5, 1]}', '{ "a":[0.50,1] }'),
    ('{"a": [0.5, 1]}', '{"a": [0.6, 1]}'),
    ('{"a": [1, 2]}', '{"a": [1]}'),
    ('{"a": [1]}', '{"a": [1, 2]}'),
    ('{"a": 1}', '{"a": true}'),
    ('{"a": 1}', '{"a": null}'),
    ('{"a": 1}', '{"a": {"b": 1}}'),
    ('{"a": 1}', '{"b": 1}'),
    ('{"a": 1}', '{"a": 1, "a": 2}'),
    ('{"a": 1}', '{"a": 1'),
    ('{"a": 1}', "[" * 100_000),
    ("x,y\n1,2\n", "x,y\n1,3\n"),
    ("x,y\n1,2\n3,4\n", "x,y\n1,2\n"),
]


@pytest.mark.parametrize(("due", "said"), BLOCKS)
def test_blocks_of_data_are_compared(due: str, said: str) -> None:
    found = check_report(DATA.format(said), DATA.format(due))
    assert len(found.mismatches) == 1
    assert found.mismatches[0].place.startswith("S, data block runs, line ")


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
    ("97.25", "97.26", False),  # one unit in the last digit is no rounding
    ("0.5", "0." + "5" + "0" * 100, False),
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


@pytest.mark.parametrize(
    ("due", "said", "same"),
    [(0.9633732758853952, 0.9633732758853953, True), (1.0, 1 + 1.1e-9, False), (1.0, 1, False),
     (2**60, 2**60 + 1, False), (1e-05, 1.0000000000000001e-05, True), (1e16, 2e16, False)],
)  # fmt: skip
def test_numbers_in_json_may_be_off_by_rounding(due: float, said: float, same: bool) -> None:
    found = check_report(DATA.format(json.dumps([said])), DATA.format(json.dumps([due])))
    assert found.is_right == same


LONG = {
    "digits": "1",
    "points": "1.",
    "coordinates": ' x="',
    "figures": "<svg xmlns=",
    "tags": "<",
    "numbers": "1 ",
}


@pytest.mark.parametrize("part", some(LONG.values(), 3))
def test_long_repetitions_take_linear_time(part: str) -> None:
    page, text = "<p>{}</p>", part * 10**5 * 2
    assert check_report(page.format(text), page.format(text)).is_right
    assert not check_report(page.format(text), page.format(text + "2")).is_right


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
<h2>Rest</h2><ul><li>6</li></ul><br><p>7 of <bdi>b</bdi></p>
<svg xmlns="x" role="img" aria-label="Dots"><text>8</text></svg></div><p>9</p>
"""
WHERE = {
    ">1<": "Title, line 2",
    ">2<": "Pairs, a against b, line 7",
    ">3<": "Pairs, a against b, line 7",
    ">4<": "Pairs, one, line 11",
    ">5<": "Pairs, PyTorch, line 12",
    ">6<": "Rest, line 13",
    ">7 of": "Rest, line 13",
    ">8<": "Rest, Dots, line 14",
    ">9<": "Rest, line 14",
}


@pytest.mark.parametrize(("number", "place"), WHERE.items())
def test_places_are_told_as_a_reader_would(number: str, place: str) -> None:
    assert PLACES.count(number) == 1
    found = check_report(PLACES.replace(number, number.replace(number[1], "99")), PLACES)
    assert [str(m) for m in found.mismatches] == [
        f"{place}: the report says 99, the rows give {number[1]}"
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
    with figures_from(empty_figure):
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


def test_a_report_with_a_diagram_is_right(made: tuple[str, Path]) -> None:
    results = str(three_seeds(made[1].parent, ("adam", "sgd", "momentum")))
    pages = {}
    for name, options in (("plain", ()), ("cd", ("--diagrams", "cd"))):
        assert cli.main(["report", results, "--output", f"{name}.html", *options]) == 0
        assert cli.main(["report", results, "--check", f"{name}.html"]) == 0
        pages[name] = Path(f"{name}.html").read_text()
    assert ['data-figure="ranks"' in page for page in pages.values()] == [False, True]


def test_wrong_numbers_are_listed_and_exit_1(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    page = report.read_text()
    report.write_text(re.sub(r"(mean accuracy \(97\.)\d\d", r"\g<1>99", page, count=1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert re.match(r"few: which optimizer\?, line \d+: the report says 97\.99, the rows give", out)


def test_at_most_twenty_lines(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    report.write_text(re.sub(r' data-sort="(\d)', r' data-sort="1\1', report.read_text()))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert re.fullmatch(r"and [\d,]+ more", lines[-1])


def test_other_versions_are_named_first(made: tuple[str, Path], capsys: Capture) -> None:
    rows, report = made
    page = report.read_text()
    for stated in ("optimizer-bench 0.0.9; matplotlib 3.10.9; scipy 1.15.0", "optimizer-bench"):
        other = GENERATOR.sub(stated, page)
        report.write_text(other)
        assert cli.main(["report", rows, "--check", "r.html"]) == 0
        note, ok = capsys.readouterr().out.splitlines()
        assert note.startswith(f"note: r.html was made by {stated}; it is compared with optimizer-")
        assert f"scipy {version('scipy')}" in note
        assert ok.startswith("ok: ")
    report.write_text(other.replace("<li>", "<li>99 ", 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    assert [line[:5] for line in capsys.readouterr().out.splitlines()] == ["note:", "head,"]


def test_reports_of_other_runs_are_wrong(made: tuple[str, Path], capsys: Capture) -> None:
    other = str(few_rows(made[1].parent, ("adam", "sgd")))
    assert cli.main(["report", other, "--check", "r.html"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("few: which optimizer?, line ")
    assert out[-1] == (
        "r.html and the report of these rows have different numbers of lines, so not all was "
        "compared: another version of this program made it, or other runs"
    )


def test_control_characters_of_a_report_are_not_printed(
    made: tuple[str, Path], capsys: Capture
) -> None:
    rows, report = made
    report.write_text(report.read_text().replace("<li>", "<li>\x1b[2J\u202e", 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("name", ["style", "hidden warnings"])
def test_another_text_is_told_with_its_place_and_exit_1(
    name: str, made: tuple[str, Path], capsys: Capture
) -> None:
    rows, report = made
    warnings = '<div class="warnings"', '<div hidden class="warnings"'
    ours, theirs = TEXTS.get(name, warnings)
    assert ours in report.read_text()
    report.write_text(report.read_text().replace(ours, theirs, 1))
    assert cli.main(["report", rows, "--check", "r.html"]) == 1
    out = capsys.readouterr().out
    assert re.fullmatch(
        r""".+, line \d+: the report says ['"].*['"], the rows give ['"].*['"]\n""", out
    )


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
    other = ReportContext(command="python scripts/sweep.py --seeds 21")
    page = render(ANALYSES["three"](), other)
    (mismatch,) = check_report(page, undrawn_page_of("three")).mismatches
    assert mismatch.place.startswith("Reproduce")
