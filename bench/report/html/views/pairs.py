"""The pairwise matrix and the table of all pairs."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.pairs import at_most
from bench.analysis.results import Pair
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.lines import PairLine, pair_line
from bench.report.text.looks import at_secondary_level
from bench.report.text.pairs import MARKS, Mark, flip, mark_of
from bench.report.text.sanitize import clean


@dataclass(frozen=True)
class MatrixCell:
    """Row against column; `pair` is the index of the two in the table of all pairs."""

    pair: int
    mark: Mark
    cells: PairLine


@dataclass(frozen=True)
class MatrixRow:
    """A row of the pairwise matrix; None on the diagonal."""

    name: Name
    cells: tuple[MatrixCell | None, ...]


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """A pair with the names as the page shows them; `remarks` are sentences on its numbers."""

    a: Name
    b: Name
    mark: Mark
    cells: PairLine
    remarks: str


@dataclass(frozen=True, kw_only=True)
class PairsView:
    """The matrix, the table of all pairs, and the rows of it that are inconclusive.

    `width` is the style of the matrix and `marks` are the signs in it, from better to worse.
    `next_level` is the level of the next look. `threshold` is the declared share of wins and `wins`
    the result of its tests; both are empty without one.
    `has_remarks` says whether any row has remarks: without one, the table has no column for them.
    """

    matrix: tuple[MatrixRow, ...]
    width: str
    marks: tuple[Mark, ...]
    rows: tuple[PairRow, ...]
    inconclusive: tuple[PairRow, ...]
    next_level: str
    threshold: str
    wins: str
    has_remarks: bool


def pairs_view(parts: Parts) -> PairsView:
    """All pairs as a matrix and as a table."""
    comparison = parts.shown.comparison
    k = len(comparison.treatments)
    rows = tuple(pair_row(parts, pair) for pair in comparison.pairs)
    matrix, threshold = _matrix(parts), comparison.parameters.win_threshold
    shown = {cell.mark for row in matrix for cell in row.cells if cell}
    return PairsView(
        matrix=matrix,
        width="dense" if k > 9 else "even" if k > 3 else "",
        marks=tuple(mark for mark in MARKS if mark in shown),
        rows=rows,
        inconclusive=tuple(
            row
            for row, pair in zip(rows, comparison.pairs, strict=True)
            if pair.verdict == "inconclusive"
        ),
        next_level=fmt.level(float(f"{comparison.power.next_level or comparison.level:.3g}")),
        threshold="" if threshold is None else fmt.level(threshold),
        wins="" if threshold is None else _wins(parts, threshold),
        has_remarks=any(row.remarks for row in rows),
    )


def _wins(parts: Parts, threshold: float) -> str:
    """Count the pairs in which one side was shown to win more than the declared share."""
    comparison = parts.analysis.comparison
    shown = sum(
        at_most(pair.pvalue_wins_holm, comparison.secondary_level) for pair in comparison.pairs
    )
    block = parts.nouns.block
    return (
        f"In {shown} of {fmt.count(len(comparison.pairs), 'pair')}, one of the two was shown to be "
        f"better on more than {fmt.level(threshold)} of all {block.plural} (exact binomial test, "
        f"adjusted by Holm's method in a family of its own{at_secondary_level(comparison)})."
    )


def pair_row(parts: Parts, pair: Pair) -> PairRow:
    """One pair, seen from either side."""
    comparison = parts.analysis.comparison
    return PairRow(
        a=parts.name(pair.a),
        b=parts.name(pair.b),
        mark=mark_of(pair, comparison.parameters.margin),
        cells=pair_line(pair, comparison),
        remarks=clean(" ".join(pair.remarks)),
    )


def _matrix(parts: Parts) -> tuple[MatrixRow, ...]:
    comparison = parts.shown.comparison
    lookup = {(p.a, p.b): (i, p) for i, p in enumerate(comparison.pairs)}
    lookup |= {(p.b, p.a): (i, flip(p)) for i, p in enumerate(comparison.pairs)}
    names = [t.name for t in comparison.treatments]

    def cell(row: str, column: str) -> MatrixCell | None:
        if (row, column) not in lookup:
            return None
        index, pair = lookup[row, column]
        mark = mark_of(pair, comparison.parameters.margin)
        return MatrixCell(index, mark, pair_line(pair, comparison))

    return tuple(
        MatrixRow(parts.name(row), tuple(cell(row, column) for column in names)) for row in names
    )
