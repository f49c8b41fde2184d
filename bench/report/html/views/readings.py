"""Values of a figure that can be read by pointing at it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report.html.parts import FigureView, Name


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value that is shown when a reader points at its place in a figure.

    Attributes
    ----------
    name
        Of its optimizer.
    series, place
        The line of readings that it is on, and its place on it: what arrow keys move along.
    group
        Readings that are marked together, such as those of one seed.
    text
        Text that is shown.
    """

    name: Name
    series: int
    place: int
    group: int
    text: str


@dataclass(frozen=True, kw_only=True)
class ReadingsView:
    """The readings of one or several drawings; a drawing's points are in the same order."""

    readings: tuple[Reading, ...]
    figures: tuple[FigureView, ...]
