"""Tables that fit the terminal: whole columns go before a name or a word is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.cli.printing import printable

#: Names up to this width stay on one line; longer ones are folded where there is no room.
NAME_WIDTH = 24
#: Spaces between two columns.
_GAP = 2
#: Narrower terminals are left to wrap lines of this width.
_NARROWEST = 40
#: Characters in a line of a file or a pipe, which have no width to fit.
_UNLIMITED = 100_000


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    head, cells
        Its texts; every column of a table has as many cells.
    drop
        Where a table is too wide, columns with the greatest `drop` go first, those with the same
        together. Columns with 0 stay; they hold words and are aligned to the left.
    is_name
        Whether it holds the names of the rows, which are folded where they are too wide.
    """

    head: str
    cells: Sequence[str]
    drop: int = 0
    is_name: bool = False

    @property
    def width(self) -> int:
        """Cells of the terminal that it needs; wide characters need two."""
        width = max(cell_len(printable(text)) for text in (self.head, *self.cells))
        return min(width, NAME_WIDTH) if self.is_name else width


@dataclass(frozen=True)
class FittedTable:
    """A table for rich to print: the columns that the terminal has room for."""

    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table in the width at hand."""
        yield _table(fitting(self.columns, options.max_width))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that are kept in a terminal of `width` cells."""
    kept = list(columns)
    while _needed(kept) > width and (last := max(column.drop for column in kept)):
        kept = [column for column in kept if column.drop < last]
    return kept


def new_console() -> Console:
    """Standard output: as wide as the terminal, and without limit in a file or a pipe."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    elif console.width < _NARROWEST:  # COLUMNS=0 too
        console.width = _NARROWEST
    return console


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    for column in columns:
        is_words = column.drop == 0
        table.add_column(
            Text(printable(column.head)),
            justify="left" if is_words else "right",
            no_wrap=not is_words,
            overflow="fold",
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
