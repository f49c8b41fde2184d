"""Escape text and write tables in GitHub's dialect of Markdown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from bench.report.text.sanitize import clean, one_line

_SPECIAL = re.compile(r"[\\`*_\[\]|~$#{}!]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: What starts a list or a rule at the beginning of a line.
_LINE_START = re.compile(r"^(\d*)([-+=.)])")
#: Where GitHub finds an address; a backslash there prevents the link.
_ADDRESS = re.compile(r"(?<=\w)(?=://)|(?<=www)(?=\.)", re.IGNORECASE)
#: GitHub links even escaped mentions and issues, unless an invisible character follows the sign.
_REFERENCE = re.compile(r"[@#](?=\w)")
_WORD_JOINER = "\u2060"


def escape(text: str) -> str:
    """Put `text` on one line without markup, HTML, mentions, links and control characters.

    >>> escape("a|b <i>*c*</i>")
    'a\\\\|b &lt;i&gt;\\\\*c\\\\*&lt;/i&gt;'
    """
    escaped = _SPECIAL.sub(r"\\\g<0>", one_line(text))
    escaped = re.sub("[&<>]", lambda found: _HTML[found[0]], escaped)
    return _REFERENCE.sub(rf"\g<0>{_WORD_JOINER}", _ADDRESS.sub(r"\\", escaped))


def paragraph(text: str) -> str:
    """Write `text` as a block of its own that starts neither a list nor a rule."""
    return _LINE_START.sub(r"\1\\\2", escape(text))


def table(heads: Sequence[str], texts: Collection[int], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    Parameters
    ----------
    heads
        Names of the columns.
    texts
        Indices of the columns with text, aligned to the left and escaped. All other columns hold
        formatted numbers, aligned to the right.
    rows
        One text per column.
    """
    rules = ("---" if i in texts else "---:" for i, _ in enumerate(heads))
    lines = [map(escape, heads), rules, *(_cells(row, texts) for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Sequence[str], texts: Collection[int]) -> Iterable[str]:
    # Of all formatted numbers only a small p-value ("< 0.001") holds a special character.
    return (
        escape(cell) if i in texts else cell.replace("<", _HTML["<"]) for i, cell in enumerate(row)
    )


def code_block(text: str) -> str:
    """Write `text` as a block of code; its fence is longer than any row of backticks in `text`."""
    content = "\n".join(clean(text).splitlines())
    longest = max((len(run) for run in re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{content}\n{fence}"
