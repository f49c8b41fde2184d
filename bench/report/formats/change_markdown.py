"""How two sweeps differ, in GitHub's Markdown: short enough for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bench.analysis.results import SweepChange
from bench.report.html.change import change_rows, change_verdict, fact_rows, speed_rows
from bench.report.text import format as fmt

#: What Markdown gives a meaning of its own within a line.
_MARKUP = re.compile(r"([\\`*_\[\]|~$#])")
#: Behind these GitHub looks for a user, an issue or an address to link to.
_LINKS = re.compile(r"([@#]|://|\bwww\.)(?=\w)")
_WORD_JOINER = "\u2060"
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def change_markdown(found: SweepChange) -> str:
    """The verdict, a table of the optimizers, what differs, and what limits the verdict."""
    level = fmt.level(1 - found.parameters.alpha)
    head = (
        "optimizer",
        "verdict",
        "seeds",
        "after − before",
        f"{level} interval",
        "adj. p",
        "time",
    )
    times = {row.optimizer: row.ratio for row in speed_rows(found)}
    rows = [
        (
            *(row.optimizer, row.verdict, row.n, row.difference, row.interval, row.p_holm),
            times.get(row.optimizer, fmt.MISSING),
        )
        for row in change_rows(found)
    ]
    facts = [
        (f"{f.optimizer}: {f.term}" if f.optimizer is not None else f.term, f.before, f.after)
        for f in fact_rows(found)
    ]
    lead, *others = map(escape, change_verdict(found))
    title = f"**{escape(found.before)} → {escape(found.after)}:** {lead}"
    parts = [
        " ".join([title, *others]),
        _table(head, rows, text_columns=2),
        "Test accuracy in points; only adjusted p-values decide; time is after / before.",
        _table(("what differs", "before", "after"), facts, text_columns=3) if facts else "",
        "\n".join(f"- {escape(warning)}" for warning in found.warnings),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """`text` on one line, without markup, HTML, mentions, links and control characters.

    >>> escape("a|b <i>*c*</i>")
    'a\\\\|b &lt;i&gt;\\\\*c\\\\*&lt;/i&gt;'
    """
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    unlinked = _LINKS.sub(rf"\1{_WORD_JOINER}", line)
    return _MARKUP.sub(r"\\\1", unlinked).translate(_HTML)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int) -> str:
    marks = [":--" if i < text_columns else "--:" for i in range(len(head))]
    lines = [head, marks, *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
