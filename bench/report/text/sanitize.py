"""Make text of users safe to print: names, labels and error messages may hold any character.

Each output format escapes its own markup afterwards.
"""

from __future__ import annotations

import re
import unicodedata

from bench.report.text.format import NBSP

#: Control characters except tab and line ends, surrogates and noncharacters: not allowed in XML.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Replace each character that XML forbids by a replacement character.

    >>> clean("a\\x00b") == "a\\ufffdb"
    True
    """
    return _NOT_XML.sub(_REPLACEMENT, text)


def one_line(text: str) -> str:
    """Replace line breaks and tabs by spaces, and characters that cannot be printed.

    Marks of text direction are among those that are replaced; no-break spaces stay.

    >>> one_line("a\\n\\tb")
    'a b'
    """
    spaced = " ".join(re.split(r"[ \t\r\n\u2028\u2029]+", clean(text)))
    return "".join(c if c.isprintable() or c == NBSP else _REPLACEMENT for c in spaced)


def isolated(text: str) -> str:
    """Enclose `text` in isolating marks: it then cannot reorder the text around it."""
    return text if text.isascii() else f"\u2068{text}\u2069"


def elide(text: str, length: int) -> str:
    """Shorten `text` to a width of at most `length` characters by leaving out its middle.

    Both ends stay because variants of one optimizer differ at the end. Wide East Asian characters
    count twice.

    >>> elide("adam[betas=(0.9,0.99),lr=0.003]", 20)
    'adam[betas…lr=0.003]'
    >>> elide("日本語の最適化", 9)
    '日本…適化'
    """
    if sum(map(_width, text)) <= length:
        return text
    tail = (length - 1) // 2
    return f"{_first(text, length - 1 - tail)}…{_first(text[::-1], tail)[::-1]}"


def _width(c: str) -> int:
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _first(text: str, width: int) -> str:
    """The longest beginning of `text` that is at most `width` wide."""
    taken = ""
    for c in text:
        width -= _width(c)
        if width < 0:
            break
        taken += c
    return taken
