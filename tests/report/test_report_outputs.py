"""The report's other formats: CSV, Markdown and LaTeX, from the analysis and from the command."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from _stored import copy_example, few_rows, sequential_example
from _sweep_analysis import CONTEXT, HOSTILE, Recipe, source_recipes, sweep
from markdown_it import MarkdownIt

from bench import cli
from bench.analysis.results import RunTable, SweepAnalysis
from bench.report.context import ReportContext
from bench.report.formats.csv import rows_csv
from bench.report.formats.latex import latex_table
from bench.report.formats.markdown import markdown
from bench.report.text import format as fmt
from bench.report.text.lines import leader_lines, pair_line
from bench.report.text.wording import headline

pytestmark = pytest.mark.usefixtures("undrawn")
#: Names that mean something to Markdown, LaTeX, HTML or a spreadsheet.
NASTY = (
    *HOSTILE,
    "a|b",
    "`code` ``more``",
    "[link](http://evil.example)",
    "![image](x.png)",
    "*bold* _slanted_ ~~gone~~",
    "\\input{/etc/passwd} \\\\ & % # ^ ~",
    "new\nline\rand\ttab",
    "# heading",
    "- item",
    "1. item",
    "@everyone https://evil.example www.evil.example",
    "&amp; &#60;",
    "a--b---c,,d ``e'' ?`f",
    "bell\x07 escape\x1b[0m direction\u202e",
    "=1+1",
)
ANALYSES: dict[str, Callable[[], SweepAnalysis]] = {
    "source": lambda: sweep(),
    "one seed": lambda: sweep(n=1),
    "one optimizer": lambda: sweep([Recipe("sgd", 9570, 10)]),
    "troubled": lambda: sweep(
        (*source_recipes()[:3], Recipe("rmsprop", 9700, 9, diverged=3, failed=2))
    ),
    "no margin": lambda: sweep(margin=None),
    "nasty": lambda: sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(NASTY)], n=12),
    "no origin": lambda: replace(
        sweep(n=3), variants=(), provenance=replace(sweep(n=3).provenance, facts=())
    ),
    "sequential": sequential_example,
}
ALL = pytest.mark.parametrize("case", ANALYSES)


def with_runs(columns: tuple[str, ...], *rows: tuple[Any, ...]) -> SweepAnalysis:
    return replace(sweep(n=1), runs=RunTable(columns=columns, rows=rows))


# ---------------------------------------------------------------- CSV


CELLS = [
    ("sgd", "sgd"),
    ("=1+1", "'=1+1"),
    ("+cmd", "'+cmd"),
    ("-cmd", "'-cmd"),
    ("@SUM(A1)", "'@SUM(A1)"),
    ("\tx", "'\tx"),
    ("\rx", "'\rx"),
    (" =1+1", "' =1+1"),
    ("＝1+1", "'＝1+1"),
    ("'=1+1", "''=1+1"),
    ("'quoted", "'quoted"),
    ("a=b", "a=b"),
    ("-inf", "-inf"),
    ("-1.5e-3", "-1.5e-3"),
    ("-1.5e-3x", "'-1.5e-3x"),
    ("-1-1", "'-1-1"),
    ('a,"b"', 'a,"b"'),
    ("two\nlines", "two\nlines"),
    ("\x00\x1b", "\ufffd\ufffd"),
    (-5, "-5"),
    (0.1 + 0.2, "0.30000000000000004"),
    (-1e-300, "-1e-300"),
    (None, ""),
]


@pytest.mark.parametrize(("cell", "read"), CELLS, ids=[repr(c) for c, _ in CELLS])
def test_cells_of_the_csv(cell: Any, read: str) -> None:
    text = rows_csv(with_runs(("x", "y"), (cell, 1)))
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True))[1] == [read, "1"]
    assert text.startswith("x,y\r\n")
    assert text.endswith("\r\n")


def test_a_quotation_mark_is_doubled_and_columns_are_made_inert() -> None:
    assert rows_csv(with_runs(("=x",), ('a,"b"',))) == '\'=x\r\n"a,""b"""\r\n'


def test_every_run_is_in_the_csv_with_all_digits() -> None:
    analysis = sweep()
    rows = list(csv.DictReader(io.StringIO(rows_csv(analysis), newline="")))
    assert [float(row["test_accuracy"]) for row in rows] == [s.value for s in analysis.scores]


def test_no_two_names_become_one() -> None:
    names = ["=x", "'=x", "''=x", "x", "'x"]
    text = rows_csv(with_runs(("optimizer",), *((name,) for name in names)))
    assert len(set(text.split("\r\n"))) == len(names) + 2


# ---------------------------------------------------------------- Markdown


class Plain(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data


def rendered(analysis: SweepAnalysis) -> Plain:
    """As a reader sees it, without what cannot be seen."""
    html = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(markdown(analysis, CONTEXT))
    )
    return Plain(html.replace("\u2060", ""))


def visible(text: str) -> str:
    """A name as it should be read: on one line, without control characters."""
    spaced = re.sub(r"[\n\r\t\xa0]+", " ", text)
    return "".join(c if c.isprintable() else "\ufffd" for c in spaced)


@ALL
def test_markdown_holds_the_leaderboard_and_all_pairs(case: str) -> None:
    analysis = ANALYSES[case]()
    page = rendered(analysis)
    comparison = analysis.comparison
    for line in leader_lines(analysis):
        cells = [line.rank, visible(line.name), line.mean, line.interval, line.std, line.median]
        cells += [line.worst, line.mean_rank, line.letters, line.runs, line.diverged, line.failed]
        assert cells in page.rows
    for pair in comparison.pairs:
        line = pair_line(pair, comparison)
        cells = [visible(f"{line.a} against {line.b}"), line.difference, line.interval]
        cells += [line.simultaneous, line.p_labelled, line.dz, line.win_rate, line.verdict]
        assert cells in page.rows


@ALL
def test_nothing_in_a_name_is_markdown(case: str) -> None:
    analysis = ANALYSES[case]()
    page = rendered(analysis)
    ours = {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "pre", "code"}
    assert page.tags <= ours
    for sentence in (*headline(analysis), *analysis.comparison.warnings):
        assert visible(sentence) in page.text.replace(fmt.NBSP, " ")
    assert CONTEXT.command in page.text


@pytest.mark.parametrize("text", ["- x", "+ x", "= x", "1. x", "12) x", "# x", "> x", "``` x"])
def test_no_paragraph_begins_something_else(text: str) -> None:
    analysis = sweep(n=3)
    changed = replace(analysis, comparison=replace(analysis.comparison, warnings=(text,)))
    html = MarkdownIt("commonmark").render(markdown(changed))
    assert f"<li>{text.replace('>', '&gt;')}</li>" in html


def test_sites_link_neither_people_nor_addresses_nor_issues() -> None:
    text = markdown(ANALYSES["nasty"](), CONTEXT)
    outside = text[: text.index("## Reproduce")]
    assert re.findall(r"@\w|https?://|www\.|#\d", outside) == []


def test_the_command_stays_one_block_of_code() -> None:
    command = "python a.py '````\n# no heading'"
    text = markdown(sweep(n=3), ReportContext(command=command))
    assert text.endswith(f"`````\n{command}\n`````\n")


MARKDOWN_SAYS = [
    ("source", "# mnist: which optimizer?"),
    ("source", "&lt;\u00a00.001"),
    ("source", "Results of single seeds"),
    ("source", "the leader over all 20"),
    ("source", "equivalence within ±0.2"),
    ("source", "torch version 2.13.0+cpu"),
    ("one seed", "- Only one seed: nothing can be tested."),
    ("no margin", "no equivalence margin was declared"),
    ("sequential", "| 2 | 12 | 4 | 16 | 5 | 1 |"),
    ("sequential", "Over 12 to 20\N{NO-BREAK SPACE}seeds"),
    ("sequential", "98.33\N{NO-BREAK SPACE}% interval"),
    (
        "sequential",
        "It took 64\N{NO-BREAK SPACE}runs, 20\N{NO-BREAK SPACE}% fewer",
    ),
    ("sequential", "look 3 of 3, after 8, 12 and 20 seeds; p-values are adjusted for the looks"),
    ("sequential", "The mean of each optimizer is over its own seeds"),
]


@pytest.mark.parametrize(("case", "part"), MARKDOWN_SAYS)
def test_markdown_says(case: str, part: str) -> None:
    assert part in markdown(ANALYSES[case]()).replace(
        "\N{NO-BREAK SPACE}", " "
    ) or part in markdown(ANALYSES[case]())


LATEX_SAYS = [
    "over 12 to 20~seeds, best mean first",
    "after an adjustment for 3 looks and Holm’s correction over 6~pairs",
    "after Bonferroni’s method for the looks and Holm’s method",
    "each for itself and, at 95~\\%, for all 3 looks together",
    " & optimizer & runs & mean & 98.33~\\% interval & std & letters & minus first & ",
    "3 & sgd & 12 & 95.6",
]


@pytest.mark.parametrize("part", LATEX_SAYS)
def test_the_latex_of_a_sequential_comparison_says(part: str) -> None:
    assert part in latex_table(ANALYSES["sequential"]())


@pytest.mark.parametrize("write", [markdown, latex_table])
def test_the_p_value_that_decides_is_labelled(write: Callable[[SweepAnalysis], str]) -> None:
    for case, kinds in (("source", {"diff", "equiv"}), ("no margin", {"diff"})):
        rows = [s for s in write(ANALYSES[case]()).splitlines() if s.startswith("| ") or " & " in s]
        assert set(re.findall(r"p (diff|equiv) ", "\n".join(rows))) == kinds


MARKDOWN_LEAVES_OUT = [
    ("one seed", "Results of single seeds"),
    ("one optimizer", "## Pair by pair"),
    ("no origin", "## Environment"),
    ("source", "## Warnings"),
]


@pytest.mark.parametrize(("case", "part"), MARKDOWN_LEAVES_OUT)
def test_markdown_omits_empty_sections(case: str, part: str) -> None:
    assert part not in markdown(ANALYSES[case]())


@pytest.mark.parametrize("write", [markdown, latex_table, rows_csv])
def test_the_same_analysis_gives_the_same_bytes(write: Callable[[SweepAnalysis], str]) -> None:
    text = write(ANALYSES["nasty"]())
    assert text == write(ANALYSES["nasty"]())
    assert text.encode()
    assert "\x1b" not in text


# ---------------------------------------------------------------- LaTeX


COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)")
KNOWN = {
    *("begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule"),
    *("par", "medskip", "footnotesize", "pm"),
    *("textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater"),
    *("textbar", "textquotedbl", "textquotesingle", "textasciigrave"),
    *"{}$&#%_\\",
}


def problems(latex: str) -> list[str]:
    """What a compiler would stumble over, or print otherwise than it was written."""
    body = latex.partition("\n")[2]
    bare = COMMAND.sub("", body)
    found = [f"unknown {c}" for c in COMMAND.findall(body) if c[1:] not in KNOWN]
    found += [f"bare {c}" for c in "#%_^\"'`<>|" if c in re.sub(r"tab:[\w-]+", "", bare)]
    found += [f"odd number of $ in {line}" for line in bare.splitlines() if line.count("$") % 2]
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        found += ["closes too early"] if depth < 0 else []
    return found + (["never closed"] if depth else [])


@ALL
def test_latex_is_sound(case: str) -> None:
    analysis = ANALYSES[case]()
    latex = latex_table(analysis)
    assert problems(latex) == []
    rows = latex[latex.index("\\midrule") : latex.index("\\bottomrule")].splitlines()[1:]
    assert len(rows) == len(analysis.comparison.treatments)
    for row in rows:
        assert row.endswith(r" \\")
        n_columns = 9 if analysis.comparison.sequential is None else 10
        assert len(re.findall(r"(?<!\\)&", row)) == n_columns - 1
    for part in (r"\toprule", r"\caption{", r"\label{tab:", r"% needs \usepackage{booktabs}"):
        assert part in latex


BROKEN = [
    ("\\&", "&&&"),
    ("\\_", "_"),
    ("{tabular}", "{tabular"),
    ("$-$", "$-"),
    ("\\caption", "\\input"),
]


@pytest.mark.parametrize(("ours", "theirs"), BROKEN)
def test_the_checker_of_latex_can_fail(ours: str, theirs: str) -> None:
    latex = latex_table(ANALYSES["nasty"]())
    broken = latex.replace(ours, theirs, 1)
    assert broken != latex
    assert problems(broken) or len(re.findall(r"(?<!\\)&", broken)) != latex.count(" & ")


LETTERS = [
    ("a_b", r"a\_b"),
    ("50%", r"50\%"),
    ("a\\b", r"a\textbackslash{}b"),
    ("x^2~", r"x\textasciicircum{}2\textasciitilde{}"),
    ("a--b", r"a-{}-b"),
    ("a–b", r"a--b"),
    ("“''", r"“\textquotesingle{}\textquotesingle{}"),
    ("a\n\nb", "a b"),
    ("\x00", "?"),
]


@pytest.mark.parametrize(("name", "printed"), LETTERS)
def test_latex_escapes_names(name: str, printed: str) -> None:
    latex = latex_table(sweep([Recipe(name, 9750, 5), Recipe("other", 9500, 5)]))
    assert f"\n1 & {printed} & 97." in latex


def test_latex_compares_with_the_first_in_its_direction() -> None:
    analysis = sweep()
    rows = latex_table(analysis).splitlines()
    leader = next(row for row in rows if row.startswith("1 & "))
    last = next(row for row in rows if row.startswith("8 & "))
    assert leader.endswith(r" & a &  &  &  \\")
    assert re.search(r"& h & \$-\$2\.\d\d & \[\$-\$.*\\textless\{\}~0\.001 \\\\$", last)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here")
def test_latex_compiles(tmp_path: Path) -> None:
    names = [name for name in NASTY if name.isascii()]
    table = latex_table(sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(names)]))
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
    (tmp_path / "a.tex").write_text(f"{head}\n{table}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# ---------------------------------------------------------------- the command


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("kind", "ending", "beginning"),
    [
        ("html", "html", "<!doctype html>"),
        ("json", "json", '{\n  "schema_version": 1,'),
        ("markdown", "md", "# few: which optimizer?\n"),
        ("csv", "csv", "run_key,optimizer,"),
    ],
)
def test_each_format_has_its_file(
    kind: str, ending: str, beginning: str, in_tmp: Path, capsys: Capture
) -> None:
    rows = few_rows(in_tmp)
    assert cli.main(["report", str(rows), "--format", kind]) == 0
    assert capsys.readouterr().out == f"report: reports/few.{ending}\n"
    written = (in_tmp / "reports" / f"few.{ending}").read_bytes().decode()
    assert written.startswith(beginning)
    if kind != "html":
        assert cli.main(["report", str(rows), "--format", kind, "--output", "-"]) == 0
        assert capsys.readouterr().out == written


def test_json_is_what_analyze_writes(in_tmp: Path) -> None:
    results = copy_example(in_tmp)
    assert cli.main(["report", str(results), "--format", "json", "--output", "a.json"]) == 0
    assert cli.main(["analyze", str(results), "--json", "b.json"]) == 0
    assert (in_tmp / "a.json").read_bytes() == (in_tmp / "b.json").read_bytes()


def test_the_csv_gives_the_same_results_as_the_sweep(in_tmp: Path) -> None:
    results = copy_example(in_tmp)
    assert cli.main(["report", str(results), "--format", "csv"]) == 0
    assert cli.main(["analyze", str(results), "--json", "sweep.json"]) == 0
    assert cli.main(["analyze", "reports/example.csv", "--json", "csv.json"]) == 0
    sweep, table = (json.loads(Path(f).read_text()) for f in ("sweep.json", "csv.json"))
    for part in ("treatments", "pairs", "omnibus", "single_seed", "time_to_target"):
        assert sweep[part] is not None
        assert table[part] == sweep[part], part


def test_further_files_are_written_beside_the_report(in_tmp: Path, capsys: Capture) -> None:
    rows = few_rows(in_tmp)
    more = ["--latex", "deep/table.tex", "--rows", "all.parquet", "--format", "markdown"]
    assert cli.main(["report", str(rows), *more]) == 0
    printed = "report: reports/few.md\nlatex:  deep/table.tex\nrows:   all.parquet\n"
    assert capsys.readouterr().out == printed
    assert problems((in_tmp / "deep" / "table.tex").read_text()) == []
    assert pq.read_table(in_tmp / "all.parquet").num_rows == 60


def test_nothing_else_is_on_standard_output(in_tmp: Path, capsys: Capture) -> None:
    rows = few_rows(in_tmp)
    more = ["--latex", "t.tex", "--rows", "all.parquet", "--format", "json", "--output", "-"]
    assert cli.main(["report", str(rows), *more]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["k"] == 3
    assert (in_tmp / "t.tex").exists()
    assert (in_tmp / "all.parquet").exists()
