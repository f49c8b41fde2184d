"""Parts that several sections of the page share: names with their styles, and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.analysis.results import SweepAnalysis
from bench.analysis.table import sort_blocks
from bench.report.figures.canvas import NARROW, WIDE, Layout
from bench.report.figures.runs import drawn_blocks, has_too_many
from bench.report.figures.styles import Style, marker_name, styles_of
from bench.report.figures.svg import inline_svg
from bench.report.html.selection import best_of
from bench.report.text.metrics import metric_of
from bench.report.text.nouns import Nouns
from bench.report.text.sanitize import abbreviated, clean, elide

#: Names up to this length stay on one line.
_UNBROKEN = 16
#: Names in the heads of the matrix have at most this many characters.
_BRIEF = 24
Draw = Callable[[SweepAnalysis, Layout, Mapping[str, Style]], Figure]
Points = tuple[tuple[float, float] | None, ...]
Locate = Callable[[Figure, Layout], Points]


@dataclass(frozen=True)
class Name:
    """An optimizer's name, whole and in brief, with its colour and marker.

    `css` is ``short`` or ``long``: a long name may be broken into lines.
    """

    text: str
    brief: str
    css: str
    index: int
    slot: int
    marker: str


@dataclass(frozen=True)
class Row:
    """A row of a table: an optimizer and formatted numbers."""

    name: Name
    cells: tuple[str, ...]


@dataclass(frozen=True)
class FigureView:
    """One figure in a wide and a narrow layout.

    `name` is the prefix of its ids. `wide_points` and `narrow_points` are the places of its
    readings in pixels of the drawing; empty without readings.
    """

    name: str
    wide: Markup
    narrow: Markup
    wide_points: Points = ()
    narrow_points: Points = ()


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A control that selects among variants: (value, text) of each option."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Variants:
    """A figure in several variants; the first is shown until another is chosen.

    `figures` holds (key, figure): the values of the choices, joined by hyphens, are a key.
    """

    name: str
    choices: tuple[Choice, ...]
    figures: tuple[tuple[str, FigureView], ...]


class Parts:
    """Names, figures and formats of one analysis, for all sections.

    `shown` is the analysis restricted to the treatments in figures and pairs, see
    :mod:`bench.report.html.selection`. `drawn` holds the blocks whose single runs the page has;
    `is_thinned` says whether these are fewer than all.
    """

    def __init__(self, analysis: SweepAnalysis) -> None:
        self.analysis = analysis
        self.shown = best_of(analysis)
        self.metric = metric_of(analysis.comparison)
        self.nouns = Nouns.of(analysis.comparison.parameters)
        self.blocks = sort_blocks(s.seed for s in analysis.scores)
        self.is_thinned = has_too_many(self.shown)
        self.drawn = drawn_blocks(self.shown) if self.is_thinned else self.blocks
        self._styles = styles_of(analysis)
        self._briefs = abbreviated(self._styles, _BRIEF)

    def name(self, name: str) -> Name:
        """The displayed form of `name`."""
        return replace(name_view(name, self._styles[name]), brief=clean(self._briefs[name]))

    def style(self, name: str) -> Style:
        """Colour and marker of `name`."""
        return self._styles[name]

    def figure(
        self,
        draw: Draw,
        name: str,
        *,
        title: str,
        description: str,
        locate: Locate | None = None,
        wide: Layout = WIDE,
    ) -> FigureView:
        """Draw a figure; `locate` returns the places of its readings."""

        def drawn(layout: Layout) -> Figure:
            return draw(self.shown, layout, self._styles)

        return figure_view(
            drawn, name, title=title, description=description, locate=locate, wide=wide
        )


def name_view(name: str, style: Style) -> Name:
    """The displayed form of an optimizer's name."""
    text = clean(name)
    css = "short" if len(name) <= _UNBROKEN else "long"
    brief = elide(text, _BRIEF)
    return Name(text, brief, css, style.index, style.slot, marker_name(style.marker))


def figure_view(
    draw: Callable[[Layout], Figure],
    name: str,
    *,
    title: str,
    description: str,
    locate: Locate | None = None,
    wide: Layout = WIDE,
) -> FigureView:
    """Draw a figure in both layouts.

    `name` is the prefix of its ids and `locate` returns the places of its readings.
    """

    def drawn(layout: Layout, kind: str) -> tuple[Markup, Points]:
        figure = draw(layout)
        points = locate(figure, layout) if locate else ()
        svg = inline_svg(figure, prefix=f"{name}-{kind}", title=title, description=description)
        return Markup(svg), points

    (first, first_points), (second, second_points) = drawn(wide, "wide"), drawn(NARROW, "narrow")
    return FigureView(name, first, second, first_points, second_points)
