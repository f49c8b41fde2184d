"""Rows of marks on a common scale, which a template draws as small SVG elements.

Positions are per cent of the width of the row, so that one drawing fits every window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.report.figures.canvas import Range, round_ticks
from bench.report.text.format import MINUS

#: Top and height of each style of an interval, in per cent of the row.
_BANDS = {"margin": (0, 100), "thin": (48, 4), "thick": (43, 14), "bar": (24, 52), "mean": (41, 18)}


@dataclass(frozen=True)
class Span:
    """A part of a row: its style and its box."""

    css: str
    left: str
    width: str
    top: str
    height: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Marks of one row.

    `at` is the place of the marker; it is empty where the marker is beyond the scale or unknown.
    `beyond` is then ``left`` or ``right``, or empty.
    """

    spans: tuple[Span, ...]
    at: str = ""
    beyond: str = ""


@dataclass(frozen=True)
class Scale:
    """The part of an axis that a row shows."""

    shown: Range

    def place(self, value: float) -> float:
        """Convert a value on the scale to per cent of the width."""
        low, high = self.shown.low, self.shown.high
        return 100 * (min(max(value, low), high) - low) / (high - low)

    def span(self, css: str, low: float | None, high: float | None) -> tuple[Span, ...]:
        """The part of an interval that is shown; empty where there is none."""
        if low is None or high is None or high < self.shown.low or low > self.shown.high:
            return ()
        left, right = self.place(low), self.place(high)
        top, height = _BANDS[css.split()[0]]
        return (Span(css, _percent(left), _percent(right - left), f"{top}%", f"{height}%"),)

    def strip(self, value: float | None, spans: Iterable[Span]) -> Strip:
        """A row with a marker at `value`; intervals of a value beyond the scale are left out."""
        if value is None:
            return Strip(spans=())
        if not self.shown.holds(value):
            return Strip(spans=(), beyond="left" if value < self.shown.low else "right")
        return Strip(spans=tuple(spans), at=_percent(self.place(value)))

    def ticks(self, most: int, factor: float = 1.0) -> tuple[tuple[str, str], ...]:
        """Places and texts of round ticks, of values times `factor`."""
        found = round_ticks(self.shown.low, self.shown.high, most, factor)
        return tuple(
            (_percent(self.place(at)), text.replace("-", MINUS)) for at, text in found.items()
        )


def column(css: str, left: float, right: float, height: float) -> Span:
    """A column that stands on the lower edge of its row; all in per cent."""
    width = _percent(right - left)
    return Span(css, _percent(left), width, _percent(100 - height), _percent(height))


def _percent(value: float) -> str:
    return f"{value:.2f}%"
