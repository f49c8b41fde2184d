"""The report as Markdown (GitHub's dialect): for a pull request, or the appendix of a paper.

What names hold is text: nothing in them is taken for Markdown, HTML, a link or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from bench.analysis.results import Comparison, SweepAnalysis
from bench.report.text import format as fmt
from bench.report.text.format import NBSP, clean
from bench.report.text.lines import LeaderLine, PairLine, leader_lines, pair_line
from bench.report.text.metrics import metric_of, result_label
from bench.report.text.nouns import Nouns
from bench.report.text.wording import verdict

_SPECIAL = re.compile(r"[\\`*_\[\]|~$#{}!]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: What opens a list or a rule at the start of a line.
_OPENING = re.compile(r"^(\d*)([-+=.)])")
_LINK = re.compile(r"(?<=\w)(?=://)|(?<=www)(?=\.)", re.IGNORECASE)
#: A mention, an address or an issue: sites link them whatever is escaped, unless something that
#: cannot be seen follows.
_REFERENCE = re.compile(r"[@#](?=\w)")
_WORD_JOINER = "\u2060"


def markdown(analysis: SweepAnalysis) -> str:
    """The verdict, the leaderboard, all pairs, and where they come from; ends in a newline."""
    comparison = analysis.comparison
    nouns = Nouns.of(comparison.parameters)
    blocks = (
        f"# {_escaped(analysis.name)}: which {_escaped(nouns.treatment.one)}?",
        *map(_paragraph, verdict(comparison)),
        *_listed("## Before you rely on this", comparison.warnings),
        "## Leaderboard",
        _leaderboard(analysis, nouns),
        _sentence_on_letters(nouns),
        *_pairs(comparison, nouns),
        *_one_seed(comparison, nouns),
        "## Method",
        _method(analysis, nouns),
        *_environment(analysis),
        "## Reproduce",
        _code(analysis.command),
    )
    return "\n\n".join(blocks) + "\n"


def _leaderboard(analysis: SweepAnalysis, nouns: Nouns) -> str:
    comparison = analysis.comparison
    unit = metric_of(comparison).unit
    level = fmt.level(1 - comparison.parameters.alpha)
    heads = (
        *("#", nouns.treatment.one, f"mean, {unit}" if unit else "mean", f"{level} interval"),
        *("std", "median", f"worst {nouns.block}", "mean rank", "letters"),
        *("runs", "diverged", "failed"),
    )
    return _table(heads, (1, 8), map(_leader_cells, leader_lines(analysis)))


def _leader_cells(line: LeaderLine) -> tuple[str, ...]:
    return (
        *(line.rank, line.name, line.mean, line.interval, line.std, line.median, line.worst),
        *(line.mean_rank, line.letters, line.runs, line.diverged, line.failed),
    )


def _sentence_on_letters(nouns: Nouns) -> str:
    return _paragraph(
        f"Two {nouns.treatment.plural} that share no letter differ significantly. That two share "
        "one does not show that they perform alike."
    )


def _pairs(comparison: Comparison, nouns: Nouns) -> tuple[str, ...]:
    if not comparison.pairs:
        return ()
    unit = metric_of(comparison).difference_unit
    level = fmt.level(1 - comparison.parameters.alpha)
    heads = (
        *("pair", f"mean difference, {unit}" if unit else "mean difference", f"{level} interval"),
        *("simultaneous interval", "p, adjusted", "d_z", "win rate", "verdict"),
    )
    cells = (_pair_cells(pair_line(pair, comparison)) for pair in comparison.pairs)
    note = (
        "A difference is first minus second, and the verdict that of the first. “Inconclusive” "
        f"means that neither a difference nor its smallness was shown with this many "
        f"{nouns.block.plural}: it does not mean “the same”."
    )
    return "## Pair by pair", _table(heads, (0, 7), cells), _paragraph(note)


def _pair_cells(line: PairLine) -> tuple[str, ...]:
    return (
        *(f"{line.a} against {line.b}", line.difference, line.interval, line.simultaneous),
        *(line.p, line.dz, line.win_rate, line.verdict),
    )


def _one_seed(comparison: Comparison, nouns: Nouns) -> tuple[str, ...]:
    """Whom one seed names, where there is more than one."""
    told = comparison.single_seed
    if told is None or told.n_blocks < 2:
        return ()
    share = fmt.percent(told.curve[0].probability)
    sentence = (
        f"{told.leader}, the leader over all {nouns.block.count(told.n_blocks)} that every "
        f"{nouns.treatment} has, scores best of all on a single one in {share} of the cases."
    )
    return f"## What one {_escaped(nouns.block.one)} would have told you", _paragraph(sentence)


def _method(analysis: SweepAnalysis, nouns: Nouns) -> str:
    comparison = analysis.comparison
    p, metric = comparison.parameters, metric_of(comparison)
    margin = (
        "no equivalence margin was declared"
        if p.margin is None
        else f"equivalence within {metric.margin(p.margin)} by two one-sided paired t tests, "
        "adjusted likewise"
    )
    return _paragraph(
        f"Primary metric: {result_label(analysis)}, {p.direction} is better. Exact paired "
        f"sign-flip tests over {nouns.block.plural}, two-sided, with Holm's correction over "
        f"{fmt.count(comparison.n_family, 'pair')} at level {fmt.level(comparison.level)} "
        f"(family-wise α {fmt.level(p.alpha)}, look {comparison.looks[-1].look}); {margin}. "
        + " ".join(
            (
                "Intervals are Student's t; simultaneous ones hold together after Bonferroni.",
                *comparison.notes,
            )
        )
    )


def _environment(analysis: SweepAnalysis) -> tuple[str, ...]:
    facts = analysis.provenance.facts
    if not facts:
        return ()
    parts = (f"{column.replace('_', ' ')} {' or '.join(values)}" for column, values in facts)
    return "## Environment", _paragraph("; ".join(parts) + ".")


def _listed(heading: str, sentences: Sequence[str]) -> tuple[str, ...]:
    if not sentences:
        return ()
    return heading, "\n".join(f"- {_paragraph(sentence)}" for sentence in sentences)


def _table(heads: Sequence[str], texts: Collection[int], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns are numbers, aligned to the right, except those numbered in `texts`."""
    rules = ("---" if i in texts else "---:" for i, _ in enumerate(heads))
    lines = [map(_escaped, heads), rules, *(_cells(row, texts) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Sequence[str], texts: Collection[int]) -> Iterable[str]:
    """Numbers hold nothing to interpret but the sign of a small p-value."""
    return (
        _escaped(cell) if i in texts else cell.replace("<", _HTML["<"])
        for i, cell in enumerate(row)
    )


def _paragraph(text: str) -> str:
    """`text` as a block of its own, which no list or rule begins."""
    return _OPENING.sub(r"\1\\\2", _escaped(text))


def _escaped(text: str) -> str:
    """`text` on one line, with nothing left to interpret within it."""
    line = _SPECIAL.sub(r"\\\g<0>", _one_line(text))
    line = re.sub("[&<>]", lambda found: _HTML[found[0]], line)
    return _REFERENCE.sub(rf"\g<0>{_WORD_JOINER}", _LINK.sub(r"\\", line))


def _one_line(text: str) -> str:
    """Without line breaks, control characters and marks of text direction."""
    spaced = " ".join(re.split(r"[ \t\r\n\u2028\u2029]+", clean(text)))
    return "".join(
        c if c.isprintable() or c == NBSP else "\N{REPLACEMENT CHARACTER}" for c in spaced
    )


def _code(text: str) -> str:
    """A block of code whose fence is longer than any row of backticks in it."""
    content = "\n".join(clean(text).splitlines())
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{content}\n{fence}"
