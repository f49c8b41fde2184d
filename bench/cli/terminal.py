"""Tables that fit the terminal: columns are dropped before a name or word is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.cli.printing import printable

#: Names up to this width stay on one line; longer ones are folded if the table is too wide.
NAME_WIDTH = 24
#: Spaces between two columns.
_GAP = 2
#: Minimum width of a table; narrower terminals wrap its lines.
_NARROWEST = 40
#: Width of output to a file or a pipe.
_UNLIMITED = 100_000


@dataclass(frozen=True)
class Column:
    """One column of a table; all columns of a table have the same number of cells.

    If a table is too wide, the columns with the greatest `drop` are left out first, those with
    equal `drop` together. Columns with 0 stay; they hold words and are aligned to the left. A
    column that `is_name` holds the names of the rows, which are folded if they are too wide.
    """

    head: str
    cells: Sequence[str]
    drop: int = 0
    is_name: bool = False

    @property
    def width(self) -> int:
        """Width in cells of the terminal; wide characters take two."""
        width = max(cell_len(printable(text)) for text in (self.head, *self.cells))
        return min(width, NAME_WIDTH) if self.is_name else width


@dataclass(frozen=True)
class FittedTable:
    """A table that rich prints with the columns that fit the terminal."""

    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table in the available width."""
        yield _table(fitting(self.columns, options.max_width))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that are kept in a terminal of `width` cells."""
    kept = list(columns)
    while _needed(kept) > width and (last := max(column.drop for column in kept)):
        kept = [column for column in kept if column.drop < last]
    return kept


def new_console() -> Console:
    """A console on standard output: as wide as the terminal; unlimited in a file or a pipe."""
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
