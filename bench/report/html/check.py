"""Compare a report with the page rendered from its rows.

A page is a function of its rows, so both texts must be equal byte for byte, except for numbers.
Numbers with a fraction have a tolerance, because other versions of scipy round their last digits
differently; coordinates of figures have one for matplotlib. Nothing is parsed as HTML: what a
browser shows and a parser does not, or the other way round, is a difference of the texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from bench.report.html.places import Places

#: Tolerance of a coordinate in pixels, and where the report states other versions than ours:
#: matplotlib 3.10 and 3.11 place the text of a figure up to 0.42 pixels apart.
TOLERANCE = 0.1
TOLERANCE_OF_OTHER_VERSIONS = 0.5
#: Relative tolerance of a number with a decimal point or an exponent.
RELATIVE_TOLERANCE = 1e-9
#: Longer numbers are not printed by this program; they must be equal.
_LONGEST_NUMBER = 40
_END_OF_HEAD = "</head>\n"
_GENERATOR = re.compile(r'<meta name="generator" content="([\w .;+-]{1,200})">')
# Nothing in this pattern is tried twice on the same text: the time is linear in the page.
_TOKEN = re.compile(
    r'(?P<figure><svg (?:xmlns=|class="(?:strip|axis)\b)|</svg>)'
    r'|(?P<coordinates>(?: (?:d|points|x|y|width|height|viewBox|transform)="[^"]*+")++)'
    r"|(?P<number>(?<![\w.])[0-9]++(?:\.[0-9]++(?:e[-+]?[0-9]++)?+|e[-+][0-9]++)?+(?![\w.]))"
)
_COORDINATE = re.compile(r"-?[0-9]++(?:\.[0-9]++)?+(?:e[-+]?[0-9]++)?+")
#: Characters that are shown before and after the first one that differs.
_BEFORE, _AFTER = 25, 45


@dataclass(frozen=True)
class Mismatch:
    """One difference: its section, row or figure and line, and both texts."""

    place: str
    said: str
    given: str

    def __str__(self) -> str:
        return f"{self.place}: the report says {self.said}, the rows give {self.given}"


@dataclass(frozen=True, kw_only=True)
class ReportCheck:
    """Result of the comparison.

    Attributes
    ----------
    n_numbers
        Numbers of the page, coordinates of figures included.
    mismatches
        Differences, in the order of the page: all numbers, and in each line the first text.
    is_complete
        Whether the whole page was compared. The comparison stops at the first text that differs
        if the pages have different numbers of lines.
    made_by, rendered_by
        Versions that the report states, and those that rendered the rows now. Empty if not stated.
    """

    n_numbers: int
    mismatches: tuple[Mismatch, ...]
    is_complete: bool
    made_by: str
    rendered_by: str

    @property
    def is_right(self) -> bool:
        """Whether the report agrees with its rows."""
        return not self.mismatches


class _Difference(NamedTuple):
    """A difference of two lines, and its column in the line that the rows give."""

    column: int
    said: str
    given: str
    is_text: bool


class _Piece(NamedTuple):
    """A text and the token after it; the last piece of a line has an empty token."""

    start: int
    text: str
    kind: str
    token: str


def check_report(report: str, rendered: str) -> ReportCheck:
    """Compare a report with the page that its rows give.

    Parameters
    ----------
    report
        The HTML to check; it is only read. The line endings of Windows are accepted.
    rendered
        The HTML that :func:`bench.report.render` makes of the rows.
    """
    report = report.replace("\r\n", "\n")
    said, due = _GENERATOR.search(report), _GENERATOR.search(rendered)
    made_by, rendered_by = said[1] if said else "", due[1] if due else ""
    if said and due:  # the report may state other versions, but only in the place of ours
        rendered = rendered.replace(due[0], said[0], 1)
    tolerance = TOLERANCE if made_by == rendered_by else TOLERANCE_OF_OTHER_VERSIONS
    (their_head, theirs), (our_head, ours) = _parts(report), _parts(rendered)
    comparison = _Comparison(Places(rendered))
    comparison.compare(their_head, our_head, None)
    comparison.compare(theirs, ours, tolerance)
    return ReportCheck(
        n_numbers=len(_COORDINATE.findall(ours)),
        mismatches=tuple(comparison.mismatches),
        is_complete=comparison.is_complete,
        made_by=made_by,
        rendered_by=rendered_by,
    )


def _parts(page: str) -> tuple[str, str]:
    """The head of a page, with its policy, style and script, and the rest."""
    head, end, body = page.partition(_END_OF_HEAD)
    return (head + end, body) if end else ("", page)


class _Comparison:
    """Differences found so far, with their places."""

    def __init__(self, places: Places) -> None:
        self.mismatches: list[Mismatch] = []
        self.is_complete = True
        self._places = places
        self._line, self._start = 1, 0

    def compare(self, said: str, due: str, tolerance: float | None) -> None:
        """Compare a part of the pages line by line; without a tolerance all must be equal."""
        theirs, ours = said.split("\n"), due.split("\n")
        start = self._start
        for line, (their_line, our_line) in enumerate(zip_longest(theirs, ours), self._line):
            if their_line != our_line:
                differences = list(_differences(their_line, our_line, tolerance))
                for column, *texts, _ in differences:
                    place = self._places.at(start + column)
                    self.mismatches.append(Mismatch(f"{place}, line {line}", *texts))
                if len(theirs) != len(ours) and any(d.is_text for d in differences):
                    self.is_complete = False
                    break
            start += len(our_line or "") + 1
        self._line += len(theirs) - 1
        self._start += len(due)


def _differences(
    said: str | None, due: str | None, tolerance: float | None
) -> Iterator[_Difference]:
    """Differences of two lines; one of text is the last."""
    if said is None or due is None or tolerance is None:
        yield _text_difference(said, due, 0, 0)
        return
    in_figure = False
    for theirs, ours in zip(_pieces(said), _pieces(due), strict=False):
        is_aligned = (theirs.text, theirs.kind) == (ours.text, ours.kind)
        if is_aligned and ours.kind == "figure":
            in_figure = ours.token != "</svg>"
        if is_aligned and theirs.token == ours.token:
            continue
        column = ours.start + len(ours.text)
        if is_aligned and ours.kind == "number":
            if not _is_rounding(theirs.token, ours.token):
                yield _Difference(column, theirs.token, ours.token, is_text=False)
        elif is_aligned and in_figure and _without_numbers(theirs) == _without_numbers(ours):
            yield from _shifts(theirs.token, ours.token, tolerance, column)
        else:
            yield _text_difference(said, due, theirs.start, ours.start)
            return


def _pieces(line: str) -> Iterator[_Piece]:
    end = 0
    for match in _TOKEN.finditer(line):
        yield _Piece(end, line[end : match.start()], match.lastgroup or "", match[0])
        end = match.end()
    yield _Piece(end, line[end:], "end", "")


def _is_rounding(said: str, due: str) -> bool:
    """Whether two numbers with fractions or exponents differ by rounding only."""
    if said.isdigit() or due.isdigit() or max(len(said), len(due)) > _LONGEST_NUMBER:
        return False
    x, y = float(said), float(due)
    return 0 < y < math.inf and math.isclose(x, y, rel_tol=RELATIVE_TOLERANCE)


def _without_numbers(coordinates: _Piece) -> str:
    return _COORDINATE.sub("0", coordinates.token)


def _shifts(said: str, due: str, tolerance: float, column: int) -> Iterator[_Difference]:
    """The first coordinate of an element that is off, if any."""
    for x, y in zip(_COORDINATE.findall(said), _COORDINATE.findall(due), strict=True):
        if not abs(float(x) - float(y)) <= tolerance:
            yield _Difference(column, f"coordinate {x}", f"coordinate {y}", is_text=False)
            return


def _text_difference(
    said: str | None, due: str | None, their_start: int, our_start: int
) -> _Difference:
    """The first difference of two lines that are known to agree before these columns."""
    if said is None or due is None:
        return _Difference(0, _excerpt(said, 0), _excerpt(due, 0), is_text=True)
    n_common = _n_common(said[their_start:], due[our_start:])
    their_column, our_column = their_start + n_common, our_start + n_common
    texts = _excerpt(said, their_column), _excerpt(due, our_column)
    return _Difference(our_column, *texts, is_text=True)


def _n_common(a: str, b: str) -> int:
    """How many characters two texts have in common at the start."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _excerpt(line: str | None, column: int) -> str:
    """What stands around a column, quoted: invisible characters are printed as escapes."""
    if line is None:
        return "nothing"
    return repr(line[max(0, column - _BEFORE) : column + _AFTER])
