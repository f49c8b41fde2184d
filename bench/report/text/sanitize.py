"""Make text of users safe to print: names, labels and error messages may hold any character.

Each output format escapes its own markup afterwards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from bench.report.text.format import NBSP

#: Control characters except tab and line ends, surrogates and noncharacters: not allowed in XML.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
#: The start of a word in a name.
_WORD = re.compile(r"(?<=[_:,\[=-])(?=.)|(?<=\.)(?=\D)|(?<=[a-z0-9])(?=[A-Z])")
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


def abbreviated(names: Iterable[str], length: int) -> dict[str, str]:
    """Shorten names to a width of at most `length` characters, so that different ones stay so.

    Names that :func:`elide` makes equal keep their beginning and the word where they first differ.
    If they are equal still, they are numbered.

    >>> names = ["lib.optim:Adam[lr=0.1,eps=1e-08]", "lib.optim:Adam[lr=0.2,eps=1e-08]"]
    >>> list(abbreviated(names, 20).values())
    ['lib.op…0.1,ep…1e-08]', 'lib.op…0.2,ep…1e-08]']
    """
    short = {name: elide(name, length) for name in names}
    for group in _equal(short):
        columns = enumerate(zip(*group, strict=False))
        place = next((i for i, column in columns if len(set(column)) > 1), min(map(len, group)))
        start = _word_start(group[0], place)
        head = length // 3
        for name in group:
            rest = elide(name[start:], length - head - 1)
            short[name] = f"{_first(name, head)}…{rest}"
    for group in _equal(short):
        for number, name in enumerate(group, start=1):
            short[name] = f"{_first(name, length - len(str(number)) - 1)}…{number}"
    return short


def _equal(short: Mapping[str, str]) -> list[list[str]]:
    """Group the names whose short forms are equal."""
    groups: dict[str, list[str]] = {}
    for name, text in short.items():
        groups.setdefault(text, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _word_start(text: str, place: int) -> int:
    """Return the start of the word at a place: after a sign, or at a change of case."""
    starts = [found.start() for found in _WORD.finditer(text) if found.start() <= place]
    return starts[-1] if starts else 0


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
