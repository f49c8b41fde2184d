"""Pages of analyses made by hand, each rendered once in a test run, and their figures.

Drawing the figures takes nearly all of the time of a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import pytest
from _stored import sequential_example
from _sweep_analysis import CONTEXT, HOSTILE, Recipe, source_recipes, sweep
from markupsafe import Markup

from bench.analysis.results import SweepAnalysis
from bench.report import render, write
from bench.report.html import tuning_page
from bench.report.html.parts import FigureView, Parts

HOSTILE_NAME = '../.<img src=x onerror=alert(1)> "sweep": 日本 %00 * ?\\..'
TROUBLED = Recipe("rmsprop", 9700, 9, diverged=3, failed=2)


def _hostile() -> SweepAnalysis:
    recipes = [Recipe(name, 9750 - 20 * i, 15) for i, name in enumerate(HOSTILE)]
    return replace(sweep(recipes), name=HOSTILE_NAME)


def _small() -> SweepAnalysis:
    """Every section, few elements."""
    recipes = [*source_recipes()[:3], Recipe("rmsprop", 9706, 22, diverged=1, failed=1)]
    return sweep(recipes, n=8)


def _table() -> SweepAnalysis:
    """A column of a user: below zero, and with differences too small for its digits."""
    analysis = sweep(source_recipes()[:3], n=6)
    shifts = {"sgd": 0.0, "momentum": 0.002, "nesterov": 0.002002}
    scores = tuple(
        replace(s, value=round(shifts[s.treatment] * (1 + i % 3) - 0.5 + 0.01 * (i % 6), 9))
        for i, s in enumerate(analysis.scores)
    )
    parameters = replace(analysis.comparison.parameters, value="gain", block="fold")
    comparison = replace(analysis.comparison, parameters=parameters)
    return replace(analysis, scores=scores, comparison=comparison, curves=(), variants=())


ANALYSES: dict[str, Callable[[], SweepAnalysis]] = {
    "source": sweep,
    "troubled": lambda: sweep((*source_recipes()[:7], TROUBLED)),
    "hostile": _hostile,
    "three": lambda: sweep(source_recipes()[:3]),
    "small": _small,
    "table": _table,
    "one seed": lambda: sweep(source_recipes()[:4], n=1),
    "one optimizer": lambda: sweep([Recipe("sgd", 9570, 10)]),
    "all failed": lambda: sweep([Recipe("a", 0, 0, failed=3), Recipe("b", 0, 0, failed=3)], n=3),
    "no margin": lambda: sweep(margin=None),
    "sequential": sequential_example,
    "sequential, open": lambda: sequential_example(seeds=13),
}


_draw_figure = Parts.figure


class Pages:
    """Pages with their figures, in a directory that the processes of a test run share."""

    directory: ClassVar[Path]


@cache
def page_of(case: str) -> str:
    """The page of a case with its figures."""
    file = Pages.directory / f"{case}.html"
    if not file.exists():
        with figures_from(figure_drawn_once):
            write(ANALYSES[case](), file, CONTEXT)
    return file.read_text(encoding="utf-8")


@cache
def undrawn_page_of(case: str) -> str:
    """The page of a case with empty figures, for tests of its text."""
    with figures_from(empty_figure):
        return render(ANALYSES[case](), CONTEXT)


@contextmanager
def figures_from(figure: Callable[..., FigureView]) -> Iterator[None]:
    """Replace :meth:`Parts.figure`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parts, "figure", figure)
        yield


@contextmanager
def empty_figures_of_tunings() -> Iterator[None]:
    """Draw no figures of pages of tunings, which have no :class:`Parts`."""

    def empty(_draw: object, name: str, **_options: object) -> FigureView:
        return FigureView(name, Markup(), Markup())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning_page, "figure_view", empty)
        yield


def empty_figure(_parts: Parts, _draw: object, name: str, **_options: object) -> FigureView:
    """Draw nothing."""
    return FigureView(name, Markup(), Markup())


def require_defined_p_values(text: str) -> None:
    """In the text of a page, the definition follows the first p-value."""
    first = text.index("p-value")
    definition = text.index("the probability of a mean difference at least this far from zero if")
    assert definition - first < 120


def require_sound_svg(text: str) -> ElementTree.Element:
    """Well formed, drawn with numbers, and with the looks that the style sheet gives it."""
    assert "nan" not in text
    for unwanted in ("style=", "<style", "font-family"):
        assert unwanted not in text
    return ElementTree.fromstring(text)


_drawn: dict[object, FigureView] = {}


def figure_drawn_once(parts: Parts, draw: Any, name: str, **options: Any) -> FigureView:
    """Return the same figure again for an equal analysis; a name stands for one `draw`."""
    key = (parts.analysis, name, options["title"], options["description"])
    if key not in _drawn:
        _drawn[key] = _draw_figure(parts, draw, name, **options)
    return _drawn[key]
