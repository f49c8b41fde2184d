"""What several sections of the page are made of: names with their styles, figures, pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.analysis.results import SweepAnalysis
from bench.report.canvas import NARROW, WIDE, Layout
from bench.report.format import clean, elide
from bench.report.metrics import metric_of
from bench.report.nouns import Nouns
from bench.report.styles import Style, marker_name, styles_of
from bench.report.svg import inline_svg

#: Names up to this length stay on one line.
_UNBROKEN = 16
#: Names in the heads of the matrix have at most this many characters.
_BRIEF = 24
Draw = Callable[[SweepAnalysis, Layout, Mapping[str, Style]], Figure]


@dataclass(frozen=True)
class Name:
    """An optimizer's name, whole and in brief, with its colour and marker.

    `css` says whether it may be broken into lines.
    """

    text: str
    brief: str
    css: str
    index: int
    slot: int
    marker: str


@dataclass(frozen=True)
class FigureView:
    """One figure, drawn for a desk and for a phone."""

    wide: Markup
    narrow: Markup


class Parts:
    """Makes the parts of one analysis; holds what every section needs."""

    def __init__(self, analysis: SweepAnalysis) -> None:
        self.analysis = analysis
        self.metric = metric_of(analysis.comparison)
        self.nouns = Nouns.of(analysis.comparison.parameters)
        self._styles = styles_of(analysis)

    def name(self, name: str) -> Name:
        """`name` as it is shown everywhere."""
        return name_view(name, self._styles[name])

    def figure(self, draw: Draw, name: str, *, title: str, description: str) -> FigureView:
        """The figure that `draw` makes; `name` opens the ids in it."""

        def drawn(layout: Layout) -> Figure:
            return draw(self.analysis, layout, self._styles)

        return figure_view(drawn, name, title=title, description=description)


def name_view(name: str, style: Style) -> Name:
    """An optimizer's name as it is shown everywhere."""
    text = clean(name)
    css = "short" if len(name) <= _UNBROKEN else "long"
    brief = elide(text, _BRIEF)
    return Name(text, brief, css, style.index, style.slot, marker_name(style.marker))


def figure_view(
    draw: Callable[[Layout], Figure], name: str, *, title: str, description: str
) -> FigureView:
    """The figure that `draw` makes, for a desk and for a phone; `name` opens the ids in it."""

    def drawn(layout: Layout, kind: str) -> Markup:
        svg = inline_svg(
            draw(layout), prefix=f"{name}-{kind}", title=title, description=description
        )
        return Markup(svg)

    return FigureView(wide=drawn(WIDE, "wide"), narrow=drawn(NARROW, "narrow"))
