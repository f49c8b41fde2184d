"""Compare a report with the page rendered from its rows.

Both pages are parsed and compared tag by tag: every text, every attribute that can hold a result
and every block of data. Numbers with decimals have a tolerance, because other versions of scipy
round their last digits differently; coordinates of figures have one for matplotlib. Whole numbers
must be equal. Differences in style, script, classes and ids are only noted as such.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import zip_longest
from typing import Any

from bench.report.html.places import Piece, places_of

#: Tolerance of a coordinate: in pixels, and as a share of the figure's width.
TOLERANCE = 0.1
_SHARE = 0.001
#: Relative tolerance of a number with a decimal point or an exponent.
RELATIVE_TOLERANCE = 1e-9
_NOTHING = "nothing"
_NUMBER = re.compile(r"[-−+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
#: A number that has a tolerance; never part of a whole number, a date or a hash.
_FRACTION = re.compile(r"(?<![\w.])(\d++(?:\.\d++(?:e[-+]?\d++)?|e[-+]\d++))(?![\w.])")
_COORDINATE = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?")
_COORDINATES = frozenset(
    (
        *("d", "x", "y", "dx", "dy", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry"),
        *("width", "height", "points", "transform", "viewbox", "stroke-width"),
        *("stroke-dasharray", "stroke-dashoffset"),
    )
)
_LOOKS = frozenset(
    (
        *("class", "id", "href", "for", "role", "scope", "type", "tabindex", "lang", "hidden"),
        *("open", "fill", "stroke", "clip-path", "xmlns", "download", "target", "rel"),
        *("aria-labelledby", "aria-describedby", "aria-controls", "aria-hidden", "aria-live"),
    )
)
_HEAD = ("meta", "link", "style")
_SCRIPTS = ("", "module", "text/javascript", "application/javascript")
#: Texts up to this length are shown whole; of longer ones the words that differ.
_SHORT = 40
_WORDS_AROUND = 3
_LONGEST = 160


@dataclass(frozen=True)
class Mismatch:
    """One difference between the report and its rows.

    `place` names the section, the table or figure, the row and the column. `is_coordinate` means
    that a coordinate of a figure differs, not a text.
    """

    place: str
    said: str
    given: str
    is_coordinate: bool = False

    def __str__(self) -> str:
        return f"{self.place}: the report says {self.said}, the rows give {self.given}"


@dataclass(frozen=True, kw_only=True)
class ReportCheck:
    """Result of the comparison.

    Attributes
    ----------
    n_numbers
        Numbers of the page that were compared, coordinates of figures included.
    mismatches
        Differences, in the order of the page.
    built_otherwise_from
        Place of the first tag that differs between the pages; nothing is compared then. None if
        all tags agree.
    has_own_looks
        Whether the report's style, script or classes differ from those of this version.
    """

    n_numbers: int
    mismatches: tuple[Mismatch, ...]
    built_otherwise_from: str | None
    has_own_looks: bool

    @property
    def is_right(self) -> bool:
        """Whether everything that was compared agrees."""
        return not self.mismatches and self.built_otherwise_from is None

    @property
    def differs_in_drawing(self) -> bool:
        """Whether coordinates of figures differ, and nothing else."""
        return bool(self.mismatches) and all(m.is_coordinate for m in self.mismatches)


def check_report(report: str, rendered: str) -> ReportCheck:
    """Compare a report with the page that its rows give.

    Parameters
    ----------
    report
        The HTML to check; it is only read.
    rendered
        The HTML that :func:`bench.report.render` makes of the rows.
    """
    due = _read(rendered)
    try:
        said = _read(report)
    except AssertionError:  # raised by html.parser on what is not HTML
        said = []
    places = places_of(due)
    for index, (ours, theirs) in enumerate(zip_longest(due, said)):
        if ours is None or theirs is None or ours.tag != theirs.tag:
            return ReportCheck(
                n_numbers=0,
                mismatches=(),
                built_otherwise_from=places[min(index, len(places) - 1)],
                has_own_looks=True,
            )
    return _compare(said, due, places)


def _read(page: str) -> list[Piece]:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.pieces


class _Reader(HTMLParser):
    """Collects the pieces of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces = [Piece("", {})]  # for what stands before the first tag

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # browsers use the first of duplicate attributes
        attributes = {name: value or "" for name, value in reversed(attrs)}
        self.pieces.append(Piece(tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        self.pieces.append(Piece(f"/{tag}", {}))

    def handle_data(self, data: str) -> None:
        self.pieces[-1].texts.append(data)


def _compare(said: Sequence[Piece], due: Sequence[Piece], places: Sequence[str]) -> ReportCheck:
    tally = _Tally()
    for theirs, ours, place in zip(said, due, places, strict=True):
        tally.compare(theirs, ours, place)
    return ReportCheck(
        n_numbers=tally.n_numbers,
        mismatches=tuple(tally.mismatches),
        built_otherwise_from=None,
        has_own_looks=tally.has_own_looks,
    )


@dataclass
class _Tally:
    """Differences found so far; `widths` are those of the enclosing figures."""

    n_numbers: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    has_own_looks: bool = False
    widths: list[float] = field(default_factory=list)

    def compare(self, said: Piece, due: Piece, place: str) -> None:
        if due.tag == "svg":
            self.widths.append(_width(due))
        elif due.tag == "/svg":
            self.widths.pop()
        if _is_looks(due):
            self.has_own_looks |= (said.attributes, said.text) != (due.attributes, due.text)
            return
        self._compare_attributes(said, due, place)
        if due.tag == "script":
            self._add(due.text, _data_differences(place, said.text, due.text))
        else:
            self._add(due.text, _text_differences(place, said.text, due.text))

    def _compare_attributes(self, said: Piece, due: Piece, place: str) -> None:
        for name in sorted({*said.attributes, *due.attributes}):
            theirs, ours = said.attributes.get(name, ""), due.attributes.get(name, "")
            if name in _LOOKS and not (theirs + ours).startswith("data:"):
                self.has_own_looks |= theirs != ours
            elif name in _COORDINATES and self.widths:
                tolerance = min(TOLERANCE, self.widths[-1] * _SHARE)
                self._add(ours, _shifts(f"{place}, coordinate {name}", theirs, ours, tolerance))
            else:
                what = "sort key" if name == "data-sort" else name
                self._add(ours, _text_differences(f"{place}, {what}", theirs, ours))

    def _add(self, compared: str, differences: Iterator[Mismatch]) -> None:
        self.n_numbers += len(_NUMBER.findall(compared))
        self.mismatches.extend(differences)


def _is_looks(piece: Piece) -> bool:
    if piece.tag == "script":
        return piece.attributes.get("type", "").lower() in _SCRIPTS
    return piece.tag in _HEAD


def _width(svg: Piece) -> float:
    """Width of a figure in its own coordinates; 1 without a view box, as for a marker."""
    box = _COORDINATE.findall(svg.attributes.get("viewbox", ""))
    return float(box[2]) if len(box) == 4 else 1.0


def _text_differences(place: str, said: str, due: str) -> Iterator[Mismatch]:
    theirs, ours = said.split(), due.split()
    if not _agree(" ".join(theirs), " ".join(ours)):
        yield Mismatch(place, *_shown(theirs, ours))


def _agree(said: str, due: str) -> bool:
    """Whether two texts are the same but for the rounding of the numbers in them."""
    if said == due:
        return True
    theirs, ours = _FRACTION.split(said), _FRACTION.split(due)
    if theirs[::2] != ours[::2]:
        return False
    return all(map(_is_rounding, theirs[1::2], ours[1::2]))


def _is_rounding(said: str, due: str) -> bool:
    """Whether two numbers differ by rounding only; False for numbers beyond the range of floats."""
    x, y = float(said), float(due)
    return said == due or (0 < y < math.inf and math.isclose(x, y, rel_tol=RELATIVE_TOLERANCE))


def _shown(said: Sequence[str], due: Sequence[str]) -> tuple[str, str]:
    """Two texts, or the words in which they differ and a few around them."""
    texts = " ".join(said), " ".join(due)
    if max(map(len, texts)) <= _SHORT:
        return texts[0] or _NOTHING, texts[1] or _NOTHING
    ahead = _common(said, due)
    behind = _common(said[ahead:][::-1], due[ahead:][::-1])
    return _excerpt(said, ahead, behind), _excerpt(due, ahead, behind)


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words two texts have in common at the start."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _excerpt(words: Sequence[str], ahead: int, behind: int) -> str:
    start = max(0, ahead - _WORDS_AROUND)
    end = min(len(words), len(words) - behind + _WORDS_AROUND)
    text = " ".join(words[start:end])
    if len(text) > _LONGEST:
        text, end = text[:_LONGEST], 0
    left, right = "… " if start else "", " …" if end < len(words) else ""
    return f"{left}{text}{right}" if text else _NOTHING


def _shifts(place: str, said: str, due: str, tolerance: float) -> Iterator[Mismatch]:
    """The first coordinate that is off; none where the figures look the same."""
    if said == due:
        return
    theirs, ours = _COORDINATE.findall(said), _COORDINATE.findall(due)
    if _COORDINATE.sub("0", said).split() != _COORDINATE.sub("0", due).split():
        yield Mismatch(place, *_shown(said.split(), due.split()))
        return
    for x, y in zip(theirs, ours, strict=True):
        if not abs(float(x) - float(y)) <= tolerance:
            yield Mismatch(place, x, y, is_coordinate=True)
            return


def _data_differences(place: str, said: str, due: str) -> Iterator[Mismatch]:
    """What differs in a block of data: value by value in JSON, line by line in anything else."""
    try:
        ours = json.loads(due)
    except ValueError:
        yield from _line_differences(place, said, due)
        return
    try:
        theirs = json.loads(said)
    except (ValueError, RecursionError):
        yield Mismatch(place, "what is not JSON", "JSON")
        return
    yield from _json_differences(place, theirs, ours)


def _line_differences(place: str, said: str, due: str) -> Iterator[Mismatch]:
    lines = zip_longest(said.splitlines(), due.splitlines(), fillvalue="")
    for number, (theirs, ours) in enumerate(lines, start=1):
        if not _agree(theirs, ours):
            yield Mismatch(f"{place}, line {number}", *_shown([theirs], [ours]))


def _json_differences(place: str, said: Any, due: Any) -> Iterator[Mismatch]:
    ours = _members(due)
    if ours is None or type(said) is not type(due):
        texts = [json.dumps(value, ensure_ascii=False) for value in (said, due)]
        if not _agree(*texts):
            yield Mismatch(place, *_shown(texts[:1], texts[1:]))
        return
    theirs = _members(said) or {}
    for key in {**ours, **theirs}:
        inside = f"{place}, {key}"
        if key in theirs and key in ours:
            yield from _json_differences(inside, theirs[key], ours[key])
        else:
            yield Mismatch(inside, *_shown(_printed(theirs, key), _printed(ours, key)))


def _printed(members: Mapping[str, Any], key: str) -> list[str]:
    return [json.dumps(members[key], ensure_ascii=False)] if key in members else []


def _members(value: Any) -> Mapping[str, Any] | None:
    """The parts of a JSON object or array by their names; None for a plain value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(index): item for index, item in enumerate(value, start=1)}
    return None
