"""Pages of many treatments: figures and pairs of the best, a leaderboard of all."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from _pages import require_defined_p_values
from _sweep_analysis import many_recipes, sweep
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.analysis.results import SweepAnalysis
from bench.report import render
from bench.report.figures import runs
from bench.report.figures.canvas import WIDE
from bench.report.figures.styles import Style, styles_of
from bench.report.html import parts as parts_module
from bench.report.html.parts import Draw, FigureView, Parts
from bench.report.html.selection import MOST_SHOWN, best_of
from bench.report.html.views.page import page_view

PAIRS = math.comb(MOST_SHOWN, 2)


@pytest.fixture(scope="module")
def many() -> SweepAnalysis:
    return sweep(many_recipes(MOST_SHOWN + 1), n=5)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The number of treatments that each figure is given; nothing is drawn."""
    found: dict[str, int] = {}
    figure = Parts.figure

    def counted(parts: Parts, _draw: Draw, name: str, **_options: object) -> FigureView:
        def count(analysis: SweepAnalysis, *_: object) -> Figure:
            found[name] = len(analysis.comparison.treatments)
            return Figure()

        figure(parts, count, name, title="", description="")
        return FigureView(name, Markup(), Markup())

    monkeypatch.setattr(parts_module, "figure_view", lambda draw, *_, **__: draw(WIDE))
    monkeypatch.setattr(Parts, "figure", counted)
    return found


def test_as_many_treatments_as_are_shown_are_not_restricted() -> None:
    analysis = sweep(many_recipes(MOST_SHOWN), n=3)
    assert best_of(analysis) is analysis


def test_figures_and_pairs_are_those_of_the_best(
    many: SweepAnalysis, drawn: Mapping[str, int]
) -> None:
    view = page_view(many)
    assert view.selection is not None
    assert (view.selection.shown, view.selection.total) == (MOST_SHOWN, MOST_SHOWN + 1)
    assert len(view.leaders) == len(many.comparison.treatments) == MOST_SHOWN + 1
    last = view.leaders[-1].name
    assert [row.name for row in view.pairs.matrix] == [row.name for row in view.leaders[:-1]]
    assert all(len(row.cells) == MOST_SHOWN for row in view.pairs.matrix)
    assert len(view.pairs.rows) == PAIRS
    assert set(drawn.values()) == {MOST_SHOWN}
    assert "runs" in drawn
    assert any(name.startswith("curves") for name in drawn)
    assert view.curves is not None
    assert view.reaching is not None
    assert view.scope is not None
    assert len(view.curves.rows) == len(view.reaching.rows) == MOST_SHOWN
    assert len(view.reaching.pairs) == PAIRS
    assert len(view.scope.leader) + len(view.scope.others) == PAIRS
    assert last not in {row.name for row in view.curves.rows}


def test_p_values_stay_adjusted_over_all_pairs(many: SweepAnalysis) -> None:
    shown = best_of(many).comparison
    whole = {(p.a, p.b): p for p in many.comparison.pairs}
    assert len(shown.pairs) == PAIRS
    assert all(whole[p.a, p.b] is p for p in shown.pairs)


def test_the_page_says_what_it_leaves_out(many: SweepAnalysis, drawn: Mapping[str, int]) -> None:
    page = render(many)
    assert drawn
    assert f"those of the {MOST_SHOWN} best optimizers, numbers 1 to {MOST_SHOWN}" in page

    assert f"<summary>The {PAIRS} pairs with every number</summary>" in page
    found = re.search(r'id="data">(.*?)</script>', page)
    assert found is not None
    data = json.loads(found[1])
    assert len(data["treatments"]) == MOST_SHOWN + 1  # the names that can be highlighted
    assert len(data["scores"]) == len(data["analysis"]["treatments"]) == MOST_SHOWN
    assert len(data["analysis"]["pairs"]) == PAIRS
    assert len(re.findall(r'<g id="behind-\d+">', page)) == MOST_SHOWN
    assert many.comparison.treatments[-1].name in data["csv"]
    text = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)
    require_defined_p_values(" ".join(text.split()))


def test_styles_are_those_of_all_treatments(many: SweepAnalysis) -> None:
    styles: Mapping[str, Style] = styles_of(many)
    parts = Parts(many)
    names = [t.name for t in many.comparison.treatments]
    assert [parts.name(name).index for name in names] == [styles[name].index for name in names]


def test_groups_of_ranks_are_restricted(many: SweepAnalysis) -> None:
    names = [t.name for t in many.comparison.treatments]
    assert many.ranks is not None
    wide = replace(
        many.ranks,
        ranked=tuple(names),
        groups=(tuple(names[:3]), tuple(names[37:40]), tuple(names[38:41])),
    )
    found = best_of(replace(many, ranks=wide)).ranks
    assert found is not None
    assert found.ranked == tuple(names[:MOST_SHOWN])
    assert found.groups == (tuple(names[:3]), tuple(names[37:40]))  # the last is inside another


@pytest.mark.long
def test_the_page_draws_and_holds_a_part_of_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every number is that of all runs, and the page says what it leaves out."""
    analysis = sweep(many_recipes(3), n=20)
    whole = page_view(analysis)
    monkeypatch.setattr(runs, "MOST_DOTS", 20)  # every third of 20 seeds
    thinned, page = page_view(analysis), render(analysis)
    assert json.loads(thinned.data)["blocks"] == [*map(str, range(0, 20, 3))]
    for view, n in ((whole, 20), (thinned, 7)):
        data = json.loads(view.data)
        assert [len(scores) for scores in data["scores"]] == [n] * 3
        assert len(data["readings"][0]["readings"]) == 3 * n
        assert view.runs.figure.wide.count("<use ") == whole.runs.figure.wide.count("<use ") - 3 * (
            20 - n
        )
    assert json.loads(thinned.data)["analysis"] == json.loads(whole.data)["analysis"]
    assert (thinned.runs.rows, thinned.leaders) == (whole.runs.rows, whole.leaders)
    assert json.loads(thinned.data)["csv"] is None
    assert len(re.findall("7 of 20.seeds, evenly spaced", page)) == 2
    assert "dots: 7 of 20 seeds" in page
    assert "The rows of so many runs are not in this page" in page
    assert 'data-download="csv"' not in page
