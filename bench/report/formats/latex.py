"""Write the leaderboard as a LaTeX table for the booktabs package."""

from __future__ import annotations

import re

from bench.analysis.correction import NAMES
from bench.analysis.results import Comparison, SweepAnalysis
from bench.report.context import described
from bench.report.text import format as fmt
from bench.report.text.format import MINUS, MISSING, NBSP
from bench.report.text.lines import LeaderLine, PairLine, leader_lines, lines_against_leader
from bench.report.text.looks import blocks_of_each
from bench.report.text.metrics import metric_of, result_label
from bench.report.text.nouns import Nouns
from bench.report.text.procedures import procedure_of, runs_each, with_article
from bench.report.text.sanitize import one_line

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    MINUS: "$-$",
    MISSING: "--",
    NBSP: "~",
    "\N{REPLACEMENT CHARACTER}": "?",
}
#: LaTeX joins two of these to a dash or a quotation mark.
_LIGATURES = "-,"
#: Columns; those with numbers of runs only after looks.
_ALIGNMENT, _ALIGNMENT_WITH_RUNS = "rlrrrlrrr", "rlrrrrlrrr"


def latex_table(results: SweepAnalysis | Comparison) -> str:
    """Write a table of all treatments with their letters and their differences to the first.

    The text is UTF-8; names in non-Latin scripts need LuaLaTeX or XeLaTeX.
    """
    analysis = described(results)
    comparison = analysis.comparison
    against = lines_against_leader(comparison)
    has_runs = comparison.sequential is not None
    alignment = _ALIGNMENT_WITH_RUNS if has_runs else _ALIGNMENT
    rows = (
        _row(line, against.get(line.name), has_runs=has_runs) for line in leader_lines(analysis)
    )
    return "\n".join(
        (
            r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(analysis)}}}",
            rf"\label{{tab:{_label(analysis.name)}}}",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _line(_heads(comparison)),
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\par\medskip",
            rf"{{\footnotesize {_note(comparison)}\par}}",
            r"\end{table}",
            "",
        )
    )


def _heads(comparison: Comparison) -> tuple[str, ...]:
    level = fmt.level(1 - comparison.parameters.interval_alpha)
    treatment = Nouns.of(comparison.parameters).treatment
    runs = ("runs",) if comparison.sequential is not None else ()
    texts = ("", treatment.one, *runs, "mean", f"{level} interval", "std", "letters", "minus first")
    return (*map(_escaped, texts), _escaped(f"{level} interval"), r"$p$, adjusted")


def _row(line: LeaderLine, against: PairLine | None, *, has_runs: bool) -> str:
    compared = (
        (against.difference, against.interval, against.p_labelled) if against else ("", "", "")
    )
    runs = (line.runs,) if has_runs else ()
    measured = (line.mean, line.interval, line.std, line.letters)
    cells = (line.rank, line.name, *runs, *measured, *compared)
    return _line(tuple(map(_escaped, cells)))


def _line(cells: tuple[str, ...]) -> str:
    return rf"{' & '.join(cells)} \\"


def _caption(analysis: SweepAnalysis) -> str:
    comparison = analysis.comparison
    p, metric, nouns = comparison.parameters, metric_of(comparison), Nouns.of(comparison.parameters)
    unit = f" in {metric.unit}" if metric.unit else ""
    correction = NAMES[p.correction].replace("'", "’")
    points = f", in {metric.difference_unit}," if metric.difference_unit else ""
    over = blocks_of_each(comparison) if p.is_paired else runs_each(comparison)
    paired = f"is paired by {nouns.block}" if p.is_paired else "is not paired"
    looks = f"an adjustment for {len(p.looks)} looks and " if p.looks else ""
    test = with_article(procedure_of(comparison).test).replace("'", "’")
    return _escaped(
        f"{analysis.name}: {result_label(analysis)}{unit} over {over}, "
        f"best mean first. The difference to the first{points} {paired}; p diff "
        f"is that of {test} after {looks}{correction} over "
        f"{fmt.count(comparison.n_family, 'pair')} at level {fmt.level(comparison.level)}"
        f"{_on_equivalence(comparison)}."
    )


def _on_equivalence(comparison: Comparison) -> str:
    """Explain the second kind of p-value where the table has one."""
    lines = lines_against_leader(comparison).values()
    if all(line.word != "equivalent" for line in lines):
        return ""
    tests = procedure_of(comparison).one_sided
    looks = "Bonferroni’s method for the looks and " if comparison.parameters.looks else ""
    return f"; p equiv is that of {tests} after {looks}Holm’s method"


def _note(comparison: Comparison) -> str:
    treatments = Nouns.of(comparison.parameters).treatment.plural
    intervals = procedure_of(comparison).intervals.replace("'", "’")
    return _escaped(
        f"Two {treatments} that share no letter differ significantly. That two share one does not "
        f"show that they perform alike. Intervals are {intervals}, each for itself"
        f"{_looks(comparison)}."
    )


def _looks(comparison: Comparison) -> str:
    """Say what the level of an interval is for in a sequential comparison."""
    p = comparison.parameters
    if comparison.sequential is None:
        return ""
    return f" and, at {fmt.level(1 - p.alpha)}, for all {len(p.looks)} looks together"


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "sweep"


def _escaped(text: str) -> str:
    """Escape `text` so that LaTeX prints every character."""
    line = one_line(text)
    return "".join(
        f"{{}}{c}" if c == before and c in _LIGATURES else _SPECIAL.get(c, c)
        for before, c in zip(f" {line}", line, strict=False)
    )
