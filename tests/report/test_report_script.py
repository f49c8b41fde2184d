"""What the page's script adds, feature by feature, in a real browser.

After each test the page must have had no error, dialog or request.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from _browser import Opened, Report, Reports, visit, visiting
from _cases import some
from PIL import Image

from bench.analysis import to_json
from bench.analysis.results import Pair
from bench.report.figures.differences import differences_to
from bench.report.text.sanitize import clean

pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"
ALL = pytest.mark.parametrize("opened", some(["hostile", "small", "table"], 3), indirect=True)


@pytest.fixture(scope="module")
def tabs(browser: Any, reports: Reports) -> Iterator[Callable[[str], Opened]]:
    made: dict[str, Opened] = {}

    def tab(name: str) -> Opened:
        if name not in made:
            made[name] = visit(browser, reports[name])
        return made[name]

    yield tab
    for opened in made.values():
        opened.page.context.close()


@pytest.fixture
def opened(request: pytest.FixtureRequest, tabs: Callable[[str], Opened]) -> Iterator[Opened]:
    """The page of the named report, as good as new; checked after the test."""
    found = tabs(getattr(request, "param", "small"))
    found.problems.clear()
    found.requests.clear()
    found.page.mouse.move(0, 0)
    found.page.set_viewport_size({"width": 1400, "height": 900})
    found.go()
    yield found
    found.check()


def active(page: Any, selector: str) -> bool:
    """Whether what has the focus is the first element that `selector` finds."""
    return bool(
        page.evaluate("s => document.activeElement === document.querySelector(s)", selector)
    )


# ---------------------------------------------------------------- one pair

BUTTONS = "[data-matrix] td button"


def cell(page: Any, row: int, column: int) -> Any:
    return page.locator(f"[data-matrix] tbody tr:nth-child({row + 1}) td").nth(column)


def pair_of(opened: Opened, index: int) -> tuple[Pair, list[tuple[Any, float, float]]]:
    """A pair, and what both scored on each seed that both have."""
    report = opened.report
    pair = report.analysis.comparison.pairs[index]
    first, second = report.scores(pair.a), report.scores(pair.b)
    return pair, [(seed, first[seed], second[seed]) for seed in first if seed in second]


#: Cells of the matrix by page.
CELLS = {
    # of small: one below the diagonal, and an optimizer that diverged and failed on some seeds
    "small": [(0, 1), (3, 1), (0, 3)],
    "table": [(0, 1), (2, 0)],  # differences that two digits would not show
    "hostile": [(0, 2), (7, 6)],
}


@pytest.mark.parametrize(("opened", "cells"), some(CELLS.items(), 2), indirect=["opened"])
def test_a_cell_shows_its_pair(opened: Opened, cells: list[tuple[int, int]]) -> None:
    page = opened.page
    columns = page.eval_on_selector_all("[data-column]", "all => all.map(c => c.dataset.column)")
    for row, column in cells:
        chosen = cell(page, row, column)
        chosen.get_by_role("button").click()
        pair, rows = pair_of(opened, int(chosen.get_attribute("data-pair")))
        names = opened.report.names
        assert {pair.a, pair.b} == {names[row], names[column]}
        slots, printed = page.evaluate(SLOTS, chosen.get_attribute("data-pair"))
        assert {slot for slot, _ in slots} == set(columns)
        assert sorted(text for _, text in slots) == sorted(printed)
        assert "" not in printed
        check_pair(opened, pair, dict(slots), rows)
        check_drawing(opened, rows)
        page.keyboard.press("Escape")


#: (slot, text) of what is shown of a pair, and the texts of its row in the table of all pairs.
SLOTS = """index => [
  [...document.querySelectorAll('[data-slot]')].map(e => [e.dataset.slot, e.textContent.trim()]),
  [...document.querySelector('[data-pairs]').tBodies[0].rows[index].cells]
    .map(cell => cell.textContent.trim()),
]"""


def check_pair(
    opened: Opened, pair: Pair, slots: dict[str, str], rows: list[tuple[Any, float, float]]
) -> None:
    """The names, the difference, and a row for each seed that both have."""
    page, metric = opened.page, opened.report.metric
    assert (slots["a"], slots["b"]) == (clean(pair.a), clean(pair.b))
    assert slots["difference"] == metric.difference(pair.mean_difference)
    page.evaluate("document.querySelector('#pair-details details').open = true")
    table = page.locator("[data-pair-table] tbody tr").evaluate_all(
        "all => all.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert table == [
        [str(seed), metric.score(a), metric.score(b), metric.difference(a - b)]
        for seed, a, b in rows
    ]


def check_drawing(opened: Opened, rows: list[tuple[Any, float, float]]) -> None:
    """One dot for each seed that both have, as far up as its difference is large."""
    dots = opened.page.locator("[data-pair-drawing] use").evaluate_all(
        "all => all.map(dot => dot.getAttribute('transform').match(/[-\\d.]+/g).map(Number))"
    )
    assert len(dots) == len(rows) > 1
    assert [x for x, *_ in dots] == sorted({x for x, *_ in dots})
    differences = [(a - b) * opened.report.metric.factor for _, a, b in rows]
    slope, start = np.polyfit(differences, [y for _, y, *_ in dots], 1)
    assert slope < 0
    np.testing.assert_allclose([y for _, y, *_ in dots], start + slope * np.array(differences))


def test_arrow_keys_move_in_the_matrix_and_jump_over_its_diagonal(opened: Opened) -> None:
    page = opened.page
    page.locator(BUTTONS).first.focus()
    last = len(opened.report.names) - 1
    walk = [
        ("ArrowLeft", (0, 1)),  # the diagonal and the edge beyond it: stays
        ("ArrowUp", (0, 1)),
        ("ArrowRight", (0, 2)),
        ("ArrowDown", (1, 2)),
        ("ArrowLeft", (1, 0)),
        ("ArrowRight", (1, 2)),
        *(("ArrowUp", (0, 2)), ("ArrowDown", (1, 2))),
        *(("ArrowLeft", (1, 0)), ("ArrowDown", (2, 0))),
        *(("ArrowDown", (min(row, last), 0)) for row in range(3, last + 2)),
    ]
    for key, (row, column) in walk:
        page.keyboard.press(key)
        at = page.evaluate(
            """() => { const cell = document.activeElement.closest('td');
              return [cell.parentElement.rowIndex - 1, cell.cellIndex - 1]; }"""
        )
        assert at == [row, column], key
        assert page.locator(f"{BUTTONS}[tabindex='0']").count() == 1
    assert page.locator("td.shown").count() == 0


#: What has the focus when a key closes the pair, or None for a click beside it.
CLOSE = (
    ("[data-pair-close]", "Escape"),
    ("summary", "Escape"),
    ("[data-pair-close]", "Enter"),
    None,
)


@pytest.mark.parametrize("opened", ["troubled"], indirect=True)
@pytest.mark.parametrize(("width", "ways"), some([(1400, CLOSE), (400, CLOSE[:1])], 2))
def test_a_pair_is_shown_in_the_window_and_gives_the_focus_back(
    opened: Opened, width: int, ways: Sequence[tuple[str, str] | None]
) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 900})
    panel, button = page.locator("#pair-details"), cell(page, 6, 3).get_by_role("button")
    assert not panel.is_visible()
    for closing in ways:
        cell(page, 6, 2).get_by_role("button").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        panel.wait_for()
        box = panel.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900
        assert active(page, "[data-pair-close]")
        assert page.locator("td.shown").count() == 1
        if closing is None:
            page.mouse.click(2, 450)
        else:
            panel.locator(closing[0]).focus()
            page.keyboard.press(closing[1])
        panel.wait_for(state="hidden")
        assert button.evaluate("button => button === document.activeElement")
        assert page.locator("td.shown").count() == 0


def test_another_cell_shows_another_pair(opened: Opened) -> None:
    page = opened.page
    for row, column in ((0, 1), (2, 3)):
        cell(page, row, column).get_by_role("button").click()
        title = page.locator("#pair-title").inner_text()
        for name in (opened.report.names[row], opened.report.names[column]):
            assert name in title
        page.get_by_role("button", name="Close").click()


# ---------------------------------------------------------------- words and folded sections


def test_words_explain_themselves(opened: Opened) -> None:
    page, tip = opened.page, opened.page.locator(".term-tip")
    word = page.get_by_role("button", name="p-value").first
    described = word.get_attribute("aria-describedby")
    meaning = page.locator(f"#{described}").text_content()
    assert meaning.startswith("A p-value is the probability")
    word.hover()
    assert tip.text_content() == meaning
    assert tip.is_visible()
    page.mouse.move(0, 0)
    assert not tip.is_visible()
    word.focus()
    assert tip.is_visible()
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert page.locator("[title]").count() == 0


def test_a_tap_explains_a_word(browser: Any, reports: Reports) -> None:
    with visiting(browser, reports["small"], width=400, has_touch=True) as opened:
        opened.page.get_by_role("button", name="p-value").first.tap()
        assert opened.page.locator(".term-tip").is_visible()


@pytest.mark.parametrize("opened", ["small"], indirect=True)
def test_links_open_what_is_folded(opened: Opened) -> None:
    page = opened.page
    for name in ("scope", "methods", "equivalence"):
        fold = page.locator(f"#{name}")
        assert not fold.is_visible()
        page.evaluate("name => { location.hash = name; }", name)
        fold.wait_for()
    link = page.get_by_role("link", name="What was compared")
    for _ in range(2):  # the second time the address stays as it is
        link.click()
        page.locator("#compared").wait_for()
        page.locator("details:has(> #compared)").evaluate("fold => { fold.open = false; }")


# ---------------------------------------------------------------- highlighting

TRIGGERS = {
    "a name of the leaderboard": ".sortable tbody th button.choose >> nth=2",
    "a name of a legend": ".legend button.choose >> nth=2",
    "a name of the matrix": "[data-matrix] thead .name >> nth=2",
    "a name beside its difference": "[data-variant='0'] .strips .name >> nth=1",
    "a mark of a figure": "[data-figure=runs] .for-desk [data-part=mean] use >> nth=1",
    "a label of a figure": "[data-figure=runs] .for-desk [data-optimizer] text >> nth=1",
}


def highlighted(page: Any) -> str | None:
    """The optimizer that is lit up, after a check that it alone is, and everywhere."""
    state = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll('[data-optimizer]')];
          const lit = all.filter(e => e.classList.contains('chosen'));
          const buttons = [...document.querySelectorAll('button.choose')];
          const pressed = buttons.filter(b => b.getAttribute('aria-pressed') === 'true');
          return {
            lit: [...new Set(lit.map(e => e.dataset.optimizer))],
            complete: all.every(e => lit.includes(e) === (e.dataset.optimizer ===
              lit[0]?.dataset.optimizer)),
            strays: document.querySelectorAll('.chosen:not([data-optimizer])').length,
            pressed: [...new Set(pressed.map(b => b.dataset.choose))],
            unpressed: buttons.filter(b => b.getAttribute('aria-pressed') !== 'true')
              .some(b => b.dataset.choose === lit[0]?.dataset.optimizer),
            faded: [...new Set(all.filter(e => e.closest('.plot') && !lit.includes(e))
              .map(e => getComputedStyle(e).opacity))],
            full: lit.filter(e => e.closest('.plot'))
              .every(e => getComputedStyle(e).opacity !== '0.13'),
          };
        }"""
    )
    status = page.locator("[data-chosen-status]")
    assert state["complete"]
    assert state["strays"] == 0
    if not state["lit"]:
        assert "0.13" not in state["faded"]
        assert not status.is_visible()
        return None
    (index,) = state["lit"]
    assert state["pressed"] == [index]
    assert not state["unpressed"]
    assert state["faded"] == ["0.13"]
    assert state["full"]
    said = status.locator("[data-chosen-name]").text_content()
    names = page.evaluate(
        "Object.fromEntries(report.data().treatments.map(t => [t.index, t.name]))"
    )
    assert said == f"Highlighted: {names[index]}"
    return str(names[index])


def test_a_click_highlights_everything_of_that_optimizer(opened: Opened) -> None:
    page = opened.page
    assert highlighted(page) is None
    names = page.evaluate(
        "Object.fromEntries(report.data().treatments.map(t => [t.index, t.name]))"
    )
    for what, selector in TRIGGERS.items():
        element = page.locator(selector)
        index = element.evaluate(
            """e => { const of = e.closest('[data-optimizer], button').dataset;
              return of.choose ?? of.optimizer; }"""
        )
        element.click(force=True)  # markers of a figure may lie upon each other
        assert highlighted(page) == names[index], what
        element.click(force=True)
        assert highlighted(page) is None, what


def test_highlighting_moves_on_and_is_cleared(opened: Opened) -> None:
    page, names = opened.page, opened.report.names
    button = lambda i: page.locator(".sortable button.choose").nth(i)  # noqa: E731
    clear = page.get_by_role("button", name="Clear")
    button(0).click()
    button(3).click()
    assert highlighted(page) == names[3]
    clear.click()
    assert highlighted(page) is None
    button(1).focus()
    page.keyboard.press("Enter")
    assert highlighted(page) == names[1]
    page.keyboard.press("Escape")
    assert highlighted(page) is None
    page.keyboard.press("Space")
    assert highlighted(page) == names[1]
    clear.focus()
    page.keyboard.press("Enter")
    assert highlighted(page) is None
    assert button(1).evaluate("button => button === document.activeElement")


def test_escape_undoes_one_thing_at_a_time(opened: Opened) -> None:
    page = opened.page
    page.locator(".sortable button.choose").first.click()
    page.locator(BUTTONS).first.click()
    assert page.locator("#pair-title .name.chosen").count() == 1
    page.keyboard.press("Escape")
    page.locator("#pair-details").wait_for(state="hidden")
    assert highlighted(page) == opened.report.names[0]
    page.keyboard.press("Escape")
    assert highlighted(page) is None


# ---------------------------------------------------------------- variants of a figure


def shown_variants(page: Any, figure: str) -> list[str]:
    return list(
        page.locator(f"[data-figure={figure}] [data-variant]:visible").evaluate_all(
            "all => all.map(v => v.dataset.variant)"
        )
    )


def title_of(page: Any, figure: str) -> str:
    return str(page.locator(f"[data-figure={figure}] .plot:visible").get_attribute("aria-label"))


CURVES = {"updates": "over the updates", "seconds": "over the seconds of training"}


def test_learning_curves_are_shown_one_variant_at_a_time(opened: Opened) -> None:
    page = opened.page
    assert shown_variants(page, "curves") == ["updates"]
    assert page.locator("[data-figure=curves] [data-variant]").count() == len(CURVES)
    for key in ("seconds", "updates"):
        page.locator(f"[data-figure=curves] input[value={key}]").check()
        assert shown_variants(page, "curves") == [key]
        assert CURVES[key] in title_of(page, "curves")


def test_learning_curves_are_chosen_by_keyboard(opened: Opened) -> None:
    page = opened.page
    page.locator("[data-figure=curves] input[value=updates]").focus()
    for key, shown in (("ArrowRight", "seconds"), ("ArrowLeft", "updates")):
        page.keyboard.press(key)
        assert shown_variants(page, "curves") == [shown], key


def test_each_reference_can_be_chosen(opened: Opened) -> None:
    page, names = opened.page, opened.report.names
    choice = page.get_by_role("combobox", name="Differences to")
    assert choice.locator("option").all_text_contents() == [clean(n) for n in names]
    for place in reversed(range(len(names))):
        choice.select_option(str(place))
        check_reference(opened, place)
    choice.focus()
    page.keyboard.press("ArrowDown")
    check_reference(opened, 1)


def check_reference(opened: Opened, place: int) -> None:
    """The rows are the differences to this reference, and lie where their numbers are."""
    names, report = opened.report.names, opened.report
    rows = opened.page.locator("[data-variant]:visible > .strips")
    assert rows.count() == 1
    assert rows.get_attribute("aria-label") == f"Mean differences to {clean(names[place])}"
    shown = rows.locator("li:not(.scale)").evaluate_all(
        """all => all.map(e => [e.querySelector('bdi').textContent,
          e.querySelector('.value').textContent,
          parseFloat(e.querySelector('.strip > use.f')?.getAttribute('x'))])"""
    )
    pairs = differences_to(report.analysis.comparison.pairs, names[place])
    assert [row[:2] for row in shown] == [
        [clean(p.a), report.metric.difference(p.mean_difference)] for p in pairs
    ]
    places = [place for *_, place in shown]
    known = [(p.mean_difference, x) for p, x in zip(pairs, places, strict=True) if x == x]
    assert len(known) > len(pairs) / 2
    differences, xs = (np.array(values) for values in zip(*known, strict=True))
    slope, start = np.polyfit(differences, xs, 1)
    assert slope > 0
    np.testing.assert_allclose(xs, start + slope * differences, atol=0.02)


def test_a_highlight_stays_when_the_reference_changes(opened: Opened) -> None:
    page = opened.page
    page.locator(".sortable button.choose").nth(2).click()
    page.get_by_role("combobox", name="Differences to").select_option("1")
    lit = page.locator("[data-variant] .strips:visible .chosen")
    assert lit.all_inner_texts() == [opened.report.names[2]]


def test_what_was_chosen_is_shown_after_coming_back(opened: Opened) -> None:
    page = opened.page
    page.get_by_role("combobox", name="Differences to").select_option("2")
    page.locator("[data-figure=curves] input[value=seconds]").check()
    page.reload(wait_until="load")
    place = page.get_by_role("combobox", name="Differences to").input_value()
    over = page.locator("[data-figure=curves] [name=curves-over]:checked").input_value()
    check_reference(opened, int(place))
    assert shown_variants(page, "curves") == [over]


# ---------------------------------------------------------------- readings

HOVER = """(drawing, [i, dx]) => {
  const name = drawing.dataset.drawing, plot = drawing.querySelector('svg');
  const view = report.data().readings.find(r => name in r.points);
  const [x, y] = view.points[name].slice(2 * i, 2 * i + 2);
  drawing.scrollIntoView({block: 'center'});
  const box = plot.getBoundingClientRect(), scale = box.width / plot.viewBox.baseVal.width;
  return [box.left + (x + dx) * scale, box.top + y * scale];
}"""
#: Centres of what is drawn and of the rings, in pixels of the window.
CENTRES = """([drawing, selector]) => [...document.querySelectorAll(
  `[data-drawing="${drawing}"] ${selector}`)].map(e => {
    const box = e.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + box.height / 2];
  })"""


def readings(opened: Opened, drawing: str) -> list[tuple[int, list[Any]]]:
    """(place in the list, reading) of those that are drawn."""
    found = opened.page.evaluate(
        """name => { const view = report.data().readings.find(r => name in r.points);
          return view.readings.map((r, i) => [i, r, view.points[name][2 * i]]); }""",
        drawing,
    )
    return [(i, reading) for i, reading, x in found if x is not None]


def tip(page: Any) -> list[str] | None:
    """Name and text of the reading that is shown."""
    shown = page.locator(".tip:visible")
    if shown.count() == 0:
        return None
    return [shown.locator("b").text_content(), shown.locator("> span").text_content()]


def expected_runs(report: Report) -> dict[tuple[str, str], Any]:
    """What there is to read of each run, by name and text; the value is its seed."""
    said = {}
    for s in report.analysis.scores:
        status = "" if s.status == "ok" else f" ({s.status})"
        block = report.analysis.comparison.parameters.block
        text = f"{block} {s.seed}: {report.metric.score_with_unit(s.value)}{status}"
        said[clean(s.treatment), text] = s.seed
    return said


@pytest.mark.parametrize("opened", some(["table", "small"], 2), indirect=True)
def test_a_pointer_near_a_dot_reads_it_and_rings_its_seed(opened: Opened) -> None:
    page, said = opened.page, expected_runs(opened.report)
    for width, name in ((1400, "runs-wide"), (400, "runs-narrow")):
        page.set_viewport_size({"width": width, "height": 900})
        drawing, drawn = page.locator(f"[data-drawing={name}]"), readings(opened, name)
        assert len(drawn) > 0.8 * len([s for s in opened.report.analysis.scores if s.value])
        for i, reading in drawn[:: max(1, len(drawn) // 3)]:
            page.mouse.move(*drawing.evaluate(HOVER, [i, 0]))
            shown = tip(page)
            assert shown is not None
            assert shown[1] == reading[4]
            same = [r for _, r in drawn if r[3] == reading[3]]
            assert all(f" {said[shown[0], shown[1]]}: " in r[4] for r in same)
            check_rings(page, name, len(same), len(drawn))
        page.mouse.move(1, 1)
        assert tip(page) is None
        assert page.locator(".ring").count() == 0


def check_rings(page: Any, drawing: str, n_rings: int, n_dots: int) -> None:
    """Each ring lies upon a dot."""
    rings = page.evaluate(CENTRES, [drawing, ".ring"])
    dots = np.array(page.evaluate(CENTRES, [drawing, "[data-part=runs] use"]))
    assert (len(rings), len(dots)) == (n_rings, n_dots)
    for ring in rings:
        assert np.abs(dots - ring).max(axis=1).min() < 2.5


def test_a_pointer_near_a_curve_reads_its_mean(opened: Opened) -> None:
    page, metric = opened.page, opened.report.metric
    curve = next(c for c in opened.report.analysis.curves if c.treatment == "momentum")
    band, last = curve.test_accuracy, len(curve.iterations) - 1
    (index,) = page.evaluate(
        "report.data().treatments.filter(t => t.name === 'momentum').map(t => t.index)"
    )
    for key in CURVES:
        page.locator(f"[data-figure=curves] input[value={key}]").check()
        name = f"curves-{key}-wide"
        means = [i for i, r in readings(opened, name) if r[0] == index and r[2] == last]
        page.mouse.move(*page.locator(f"[data-drawing={name}]").evaluate(HOVER, [means[0], 0]))
        shown = tip(page)
        assert shown is not None
        assert shown[0] == "momentum"
        assert shown[1].startswith("3,000")
        assert metric.score_with_unit(band.mean[last]) in shown[1]
        assert metric.score_interval(band.low[last], band.high[last]) in shown[1]


def test_arrow_keys_read_along_a_series_and_between_series(opened: Opened) -> None:
    page, name = opened.page, "runs-wide"
    drawn = [reading for _, reading in readings(opened, name)]
    texts = {(r[1], r[2]): r for r in drawn}
    page.locator(f"[data-drawing={name}]").focus()
    assert tip(page) is None
    page.keyboard.press("ArrowRight")
    series, place = drawn[0][1], drawn[0][2]
    names = page.evaluate(
        "Object.fromEntries(report.data().treatments.map(t => [t.index, t.name]))"
    )
    for key, along, down in (
        ("ArrowRight", 1, 0),
        ("ArrowRight", 1, 0),
        ("ArrowDown" if series == 0 else "ArrowUp", 0, 1 if series == 0 else -1),
        ("ArrowLeft", -1, 0),
        ("ArrowUp" if series == 0 else "ArrowDown", 0, -1 if series == 0 else 1),
    ):
        page.keyboard.press(key)
        series, place = series + down, place + along
        reading = texts[series, place]
        assert tip(page) == [names[str(reading[0])], reading[4]], key
    page.keyboard.press("Enter")
    assert highlighted(page) == names[str(texts[series, place][0])]
    page.keyboard.press("Escape")
    assert tip(page) is None
    assert highlighted(page) is not None
    page.keyboard.press("ArrowLeft")
    assert tip(page) is not None
    page.keyboard.press("Tab")
    assert tip(page) is None


def test_a_click_on_a_dot_highlights_its_optimizer(opened: Opened) -> None:
    page, name = opened.page, "runs-wide"
    drawing = page.locator(f"[data-drawing={name}]")
    for i, _ in readings(opened, name)[::15]:
        for dx in (0, 7):  # upon it, and beside it
            at = drawing.evaluate(HOVER, [i, dx])
            page.mouse.move(*at)
            shown = tip(page)
            page.mouse.click(*at)
            assert shown is not None
            assert highlighted(page) == shown[0]
            page.mouse.click(*at)
            assert highlighted(page) is None


#: (drawing, reading, whether it is shown inside) of a third of the readings.
INSIDE = """() => report.data().readings.flatMap(({readings, points}) =>
  Object.entries(points).flatMap(([name, places]) => {
    const drawing = document.querySelector(`[data-drawing="${name}"]`);
    const box = drawing.getBoundingClientRect(), plot = drawing.querySelector('svg');
    if (box.width === 0) return [];
    const scale = box.width / plot.viewBox.baseVal.width;
    return readings.flatMap((_, i) => {
      if (places[2 * i] === null || i % 3) return [];
      drawing.dispatchEvent(new PointerEvent('pointermove', {
        clientX: box.left + places[2 * i] * scale,
        clientY: box.top + places[2 * i + 1] * scale,
      }));
      const tip = drawing.querySelector('.tip').getBoundingClientRect();
      return [[name, i, tip.width > 20 && tip.left >= box.left - 1
        && tip.right <= box.right + 1 && tip.top >= box.top - 1
        && tip.bottom <= box.bottom + 1]];
    });
  }))"""


@pytest.mark.parametrize("opened", ["hostile"], indirect=True)  # it has the longest names
def test_a_reading_stays_inside_its_drawing(opened: Opened) -> None:
    for width in (400, 1400):
        opened.page.set_viewport_size({"width": width, "height": 900})
        found = opened.page.evaluate(INSIDE)
        assert len(found) > 60
        assert [where for *where, inside in found if not inside] == []
        assert opened.overflow() == 0


def test_a_tap_reads_and_the_reading_stays(browser: Any, reports: Reports) -> None:
    with visiting(browser, reports["small"], width=400, has_touch=True) as opened:
        page = opened.page
        drawing = page.locator("[data-drawing=runs-narrow]")
        i, reading = readings(opened, "runs-narrow")[3]
        page.touchscreen.tap(*drawing.evaluate(HOVER, [i, 0]))
        page.locator(".tip:visible").wait_for()
        shown = tip(page)
        assert shown is not None
        assert shown[1] == reading[4]
        assert highlighted(page) == shown[0]


# ---------------------------------------------------------------- downloads


def download(page: Any, button: Any) -> tuple[str, bytes]:
    """The name under which a browser would save it, and what is in it."""
    with page.expect_download() as coming:
        button.click()
    return str(coming.value.suggested_filename), Path(coming.value.path()).read_bytes()


@ALL
def test_downloads_are_the_rows_and_the_comparison(opened: Opened) -> None:
    page, analysis = opened.page, opened.report.analysis
    name, content = download(page, page.get_by_role("button", name="Rows, CSV"))
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    assert tuple(header) == analysis.runs.columns
    assert rows == [["" if v is None else str(v) for v in row] for row in analysis.runs.rows]
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]*\.csv", name)
    name, content = download(page, page.get_by_role("button", name="Analysis, JSON"))
    assert json.loads(content) == json.loads(to_json(analysis.comparison))
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]*\.json", name)


FIGURES = {"runs": "Every run", "curves": "Learning curves"}
SHOWN = """figure => {
  const plot = [...document.querySelectorAll(`[data-figure=${figure}] .plot`)]
    .find(p => p.getBoundingClientRect().width > 0);
  return {
    size: [plot.viewBox.baseVal.width, plot.viewBox.baseVal.height],
    marks: [...plot.querySelectorAll('[data-optimizer]')].map(
      e => [e.dataset.optimizer, e.dataset.part]),
    texts: [...plot.querySelectorAll('text')].map(e => e.textContent),
  };
}"""


@pytest.mark.parametrize("opened", some(["hostile", "small"], 2), indirect=True)
def test_figures_are_saved_as_svg(opened: Opened) -> None:
    for figure in FIGURES:
        check_svg(opened.page, figure)


def check_svg(page: Any, figure: str) -> None:
    """The file is a whole picture of its own, with everything that the page shows in it."""
    save = page.locator(f"[data-figure={figure}] .save")
    name, content = download(page, save.get_by_text("SVG"))
    shown = page.evaluate(SHOWN, figure)
    root = ElementTree.fromstring(content)
    assert root.tag == f"{SVG}svg"
    assert [float(root.get(side, "")) for side in ("width", "height")] == shown["size"]
    assert [(e.get("data-optimizer"), e.get("data-part")) for e in root.iter() if
            e.get("data-optimizer")] == [tuple(mark) for mark in shown["marks"]]  # fmt: skip
    assert [e.text for e in root.iter(f"{SVG}text")] == shown["texts"]
    ids = {e.get("id") for e in root.iter()}
    for element in root.iter():
        assert element.tag.startswith(SVG)
        assert element.tag not in (f"{SVG}script", f"{SVG}image", f"{SVG}foreignObject")
        for attribute, value in element.attrib.items():
            assert attribute.rpartition("}")[2] not in ("src", "style")
            if attribute.endswith("href"):
                assert value[0] == "#"
                assert value[1:] in ids, "a marker is taken along"
            for target in re.findall(r"url\(([^)]*)\)", value):
                assert target.lstrip("#") in ids
    assert re.fullmatch(rf"[A-Za-z0-9][\w.-]*-{figure}(-\w+)*\.svg", name)


def test_figures_are_saved_as_png(opened: Opened) -> None:
    opened.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    for figure in ("runs", "curves"):
        check_png(opened.page, figure)


def check_png(page: Any, figure: str) -> None:
    """A picture on white paper, of twice the size, in which something is drawn."""
    button = page.locator("[data-figures]").get_by_role("button", name=f"PNG: {FIGURES[figure]}")
    name, content = download(page, button)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.format == "PNG"
    width, height = page.evaluate(SHOWN, figure)["size"]
    assert image.size == (round(2 * width), round(2 * height))
    colours = {c: n for n, c in image.convert("RGBA").getcolors(maxcolors=1 << 20)}
    drawn = image.width * image.height - colours[255, 255, 255, 255]
    assert 0.005 < drawn / (image.width * image.height) < 0.5
    assert all(alpha == 255 for *_, alpha in colours), "white paper in the dark theme too"
    assert len(colours) > 100
    assert re.fullmatch(rf"mnist-{figure}(-\w+)*\.png", name)


@pytest.mark.long
def test_a_highlighted_figure_is_saved_as_it_was_drawn(opened: Opened) -> None:
    page = opened.page
    save = page.locator("[data-figure=runs] .save").get_by_text("PNG")
    _, plain = download(page, save)
    page.locator(".sortable button.choose").first.click()
    _, lit = download(page, save)
    assert plain == lit
