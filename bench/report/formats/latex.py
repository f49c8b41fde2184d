"""Write the leaderboard as a LaTeX table for the booktabs package."""

from __future__ import annotations

import re

from bench.analysis.correction import NAMES
from bench.analysis.results import Comparison, SweepAnalysis
from bench.report.context import described
from bench.report.text import format as fmt
from bench.report.text.format import MINUS, MISSING, NBSP
from bench.report.text.lines import LeaderLine, PairLine, leader_lines, lines_against_leader
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
_ALIGNMENT = "rlrrrlrrr"


def latex_table(results: SweepAnalysis | Comparison) -> str:
    """Write a table of all treatments with their letters and their differences to the first.

    The text is UTF-8; names in non-Latin scripts need LuaLaTeX or XeLaTeX.
    """
    analysis = described(results)
    comparison = analysis.comparison
    against = lines_against_leader(comparison)
    rows = (_row(line, against.get(line.name)) for line in leader_lines(analysis))
    return "\n".join(
        (
            r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(analysis)}}}",
            rf"\label{{tab:{_label(analysis.name)}}}",
            rf"\begin{{tabular}}{{{_ALIGNMENT}}}",
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
    texts = ("", treatment.one, "mean", f"{level} interval", "std", "letters", "minus first")
    return (*map(_escaped, texts), _escaped(f"{level} interval"), r"$p$, adjusted")


def _row(line: LeaderLine, against: PairLine | None) -> str:
    compared = (
        (against.difference, against.interval, against.p_labelled) if against else ("", "", "")
    )
    cells = (line.rank, line.name, line.mean, line.interval, line.std, line.letters, *compared)
    return _line(tuple(map(_escaped, cells)))


def _line(cells: tuple[str, ...]) -> str:
    return rf"{' & '.join(cells)} \\"


def _caption(analysis: SweepAnalysis) -> str:
    comparison = analysis.comparison
    p, metric, nouns = comparison.parameters, metric_of(comparison), Nouns.of(comparison.parameters)
    unit = f" in {metric.unit}" if metric.unit else ""
    correction = NAMES[p.correction].replace("'", "’")
    points = f", in {metric.difference_unit}," if metric.difference_unit else ""
    over = nouns.block.count(p.n_blocks) if p.is_paired else runs_each(comparison)
    paired = f"is paired by {nouns.block}" if p.is_paired else "is not paired"
    test = with_article(procedure_of(comparison).test).replace("'", "’")
    return _escaped(
        f"{analysis.name}: {result_label(analysis)}{unit} over {over}, "
        f"best mean first. The difference to the first{points} {paired}; p diff "
        f"is that of {test} after {correction} over "
        f"{fmt.count(comparison.n_family, 'pair')} at level {fmt.level(comparison.level)}"
        f"{_on_equivalence(comparison)}."
    )


def _on_equivalence(comparison: Comparison) -> str:
    """Explain the second kind of p-value where the table has one."""
    lines = lines_against_leader(comparison).values()
    if all(line.word != "equivalent" for line in lines):
        return ""
    tests = procedure_of(comparison).one_sided
    return f"; p equiv is that of {tests} after Holm’s method"


def _note(comparison: Comparison) -> str:
    treatments = Nouns.of(comparison.parameters).treatment.plural
    intervals = procedure_of(comparison).intervals.replace("'", "’")
    return _escaped(
        f"Two {treatments} that share no letter differ significantly. That two share one does not "
        f"show that they perform alike. Intervals are {intervals}, each for itself."
    )


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "sweep"


def _escaped(text: str) -> str:
    """Escape `text` so that LaTeX prints every character."""
    line = one_line(text)
    return "".join(
        f"{{}}{c}" if c == before and c in _LIGATURES else _SPECIAL.get(c, c)
        for before, c in zip(f" {line}", line, strict=False)
    )
