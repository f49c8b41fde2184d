"""Describe places in a page by section, table or figure, row and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_HEADINGS = ("h1", "h2", "h3")
_CELLS = ("td", "th")
#: Elements that have no closing tag.
_VOID = ("br", "col", "hr", "img", "input", "link", "meta", "source", "wbr")


@dataclass(frozen=True)
class Piece:
    """A tag and the texts up to the next tag; that of a closing tag begins with a slash."""

    tag: str
    attributes: Mapping[str, str]
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The texts as one."""
        return "".join(self.texts)


def places_of(pieces: Sequence[Piece]) -> list[str]:
    """The place of every piece of a well-formed page, such as ``Leaderboard, adam, mean``."""
    guide = _Guide(pieces)
    return [guide.place(index) for index in range(len(pieces))]


def inner_text(pieces: Sequence[Piece], index: int) -> str:
    """All text inside the element that begins at `index`, on one line."""
    inside = pieces[index : _end(pieces, index)]
    return " ".join("".join(piece.text for piece in inside).split())


class _Guide:
    """Walk through a page once and keep track of the open elements.

    `_open` holds their (tag, label); a label may be empty.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._open: list[tuple[str, str]] = []
        self._heading = ""
        self._outer_headings: list[str] = []
        self._heads: Sequence[str] = ()
        self._column = 0

    def place(self, index: int) -> str:
        """Describe the place of the next piece; call in the order of the pieces."""
        piece = self._pieces[index]
        if piece.tag.startswith("/"):
            self._open.pop()
            if piece.tag == "/section":
                self._heading = self._outer_headings.pop()
        else:
            label = self._label(index, piece)
            if piece.tag not in _VOID:
                self._open.append((piece.tag, label))
        labels = (self._heading, *(label for _, label in self._open))
        return ", ".join(dict.fromkeys(label for label in labels if label)) or "head of the page"

    def _label(self, index: int, piece: Piece) -> str:
        label = " ".join(piece.attributes.get("aria-label", "").split())
        if label.removeprefix("Table: ").lower() == self._heading.lower():
            label = self._heading
        if piece.tag == "section":
            self._outer_headings.append(self._heading)
        elif piece.tag in _HEADINGS:
            self._heading = inner_text(self._pieces, index)
        elif piece.tag == "table":
            self._heads = _column_heads(self._pieces, index)
            in_region = any(tag == "div" and text for tag, text in self._open)
            label = "" if in_region else _first(self._pieces, index, "caption")
        elif piece.tag == "tr":
            self._column = 0
            label = _row_head(self._pieces, index)
        elif piece.tag in _CELLS:
            label = self._heads[self._column] if self._column < len(self._heads) else ""
            self._column += _span(piece, "colspan")
        elif piece.tag == "dd":
            label = _term_before(self._pieces, index)
        elif piece.tag == "script":
            label = f"data block {piece.attributes.get('id', '')}".strip()
        return label


def _end(pieces: Sequence[Piece], index: int) -> int:
    """Index of the end tag of the element that begins at `index`."""
    tag, depth = pieces[index].tag, 0
    for at in range(index, len(pieces)):
        depth += (pieces[at].tag == tag) - (pieces[at].tag == f"/{tag}")
        if depth == 0:
            return at
    return len(pieces)


def _inside(pieces: Sequence[Piece], index: int, *tags: str) -> Iterator[int]:
    """The elements with these tags inside the one that begins at `index`."""
    return (at for at in range(index + 1, _end(pieces, index)) if pieces[at].tag in tags)


def _first(pieces: Sequence[Piece], index: int, tag: str) -> str:
    return next((inner_text(pieces, at) for at in _inside(pieces, index, tag)), "")


def _row_head(pieces: Sequence[Piece], row: int) -> str:
    """Names in a row, or else its header."""
    cells = list(_inside(pieces, row, *_CELLS))
    named = [_name(pieces, at) for at in cells if any(_inside(pieces, at, "bdi"))]
    heads = [inner_text(pieces, at) for at in cells if pieces[at].attributes.get("scope") == "row"]
    return " against ".join(named) or "".join(heads)


def _name(pieces: Sequence[Piece], cell: int) -> str:
    return " against ".join(inner_text(pieces, at) for at in _inside(pieces, cell, "bdi"))


def _column_heads(pieces: Sequence[Piece], table: int) -> list[str]:
    """Header of each column, with that of the columns that it belongs to."""
    head = next(_inside(pieces, table, "thead"), None)
    if head is None:
        return []
    grid: dict[tuple[int, int], str] = {}
    for level, row in enumerate(_inside(pieces, head, "tr")):
        column = 0
        for cell in _inside(pieces, row, *_CELLS):
            while (level, column) in grid:
                column += 1
            for right in range(_span(pieces[cell], "colspan")):
                for down in range(_span(pieces[cell], "rowspan")):
                    grid[level + down, column + right] = inner_text(pieces, cell)
            column += _span(pieces[cell], "colspan")
    width = 1 + max((column for _, column in grid), default=-1)
    levels = sorted({level for level, _ in grid})
    return [
        ", ".join(dict.fromkeys(filter(None, (grid.get((level, c), "") for level in levels))))
        for c in range(width)
    ]


def _span(cell: Piece, name: str) -> int:
    return int(cell.attributes.get(name, "1"))


def _term_before(pieces: Sequence[Piece], index: int) -> str:
    """Term of the description that begins at `index`."""
    terms = [at for at in range(index) if pieces[at].tag == "dt"]
    return inner_text(pieces, terms[-1]) if terms else ""
