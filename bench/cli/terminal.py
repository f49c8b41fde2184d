"""Tables that fit the terminal: columns are dropped before a name or word is broken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.cli.printing import printable

#: Names up to this width stay on one line. Longer ones are folded if the table is too wide without
#: all columns that can be dropped before :data:`ESSENTIAL`.
NAME_WIDTH = 24
#: Largest `drop` of a column that is worth more than unbroken names.
ESSENTIAL = 1
#: Where a name is folded: after a character that separates words, and between two words in
#: CamelCase.
_BREAKS = re.compile(r"(?<=[_:,\[=-])(?=.)|(?<=\.)(?=\D)|(?<=[a-z0-9])(?=[A-Z])")
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
        """Width in cells of the terminal without folding; wide characters take two."""
        return max(cell_len(printable(text)) for text in (self.head, *self.cells))

    @property
    def narrowest(self) -> int:
        """Width where long names are folded."""
        return min(self.width, NAME_WIDTH) if self.is_name else self.width

    def printed(self, width: int) -> Column:
        """The column with cells that are safe to print, and names that are folded to `width`."""
        cells = [printable(text) for text in self.cells]
        return replace(self, cells=[fold(c, width) for c in cells] if self.is_name else cells)


@dataclass(frozen=True)
class FittedTable:
    """A table that rich prints with the columns that fit the terminal."""

    columns: Sequence[Column]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table in the available width."""
        yield _table(fitting(self.columns, options.max_width))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that are kept in a terminal of `width` cells, with names folded if they must."""
    essential = [column for column in columns if column.drop <= ESSENTIAL]
    is_unbroken = _needed([column.width for column in essential]) <= width
    kept = [(column, column.width if is_unbroken else column.narrowest) for column in columns]
    while _needed([w for _, w in kept]) > width and (last := max(c.drop for c, _ in kept)):
        kept = [(column, w) for column, w in kept if column.drop < last]
    room = max(0, width - _needed([w for _, w in kept]))
    return [column.printed(w + room) for column, w in kept]


def fold(text: str, width: int) -> str:
    """Break a name into lines of at most `width` cells, between words where that is possible.

    >>> fold("heavyball.ForeachSOAP[lr=0.003]", 20).splitlines()
    ['heavyball.Foreach', 'SOAP[lr=0.003]']
    """
    lines = [""]
    for word in _BREAKS.split(text):
        if cell_len(lines[-1] + word) <= width:
            lines[-1] += word
            continue
        lines.append("")
        for character in word:
            if cell_len(lines[-1] + character) > width:
                lines.append("")
            lines[-1] += character
    return "\n".join(line for line in lines if line)


def new_console() -> Console:
    """A console on standard output: as wide as the terminal; unlimited in a file or a pipe."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _UNLIMITED
    elif console.width < _NARROWEST:  # COLUMNS=0 too
        console.width = _NARROWEST
    return console


def _needed(widths: Sequence[int]) -> int:
    return sum(width + _GAP for width in widths) - _GAP


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
        table.add_row(*(Text(cell) for cell in row))
    return table
