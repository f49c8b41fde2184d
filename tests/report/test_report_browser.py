"""The page as a whole in a real browser: errors, requests, themes, paper, keyboard, no script.

What the script adds is in test_report_script.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from _browser import Opened, Page, Reports, visit, visiting
from _cases import some
from _tunings import tuning_of

from bench.report.html.tuning_page import write_tuning
from bench.report.text.sanitize import clean
from bench.report.text.wording import headline

pytestmark = pytest.mark.browser


# ---------------------------------------------------------------- errors, requests, widths


@pytest.mark.parametrize("name", some(["hostile", "troubled"], 2))
def test_no_error_no_request_no_sideways_scrolling(
    browser: Any, reports: Reports, name: str
) -> None:
    with visiting(browser, reports[name], width=400) as opened:
        opened.open_details()
        assert opened.requests == [reports[name].url]
        for width, figure in ((400, "phone"), (1400, "desk")):
            opened.page.set_viewport_size({"width": width, "height": 900})
            assert opened.overflow() == 0
            assert opened.page.locator(f".for-{figure} svg").first.is_visible()
            assert opened.page.locator(".plot:visible").count() == 2
            if name == "troubled":  # hostile names are too long for a line and for a figure
                assert opened.page.evaluate(BROKEN) == []
                assert opened.page.evaluate(CLIPPED) == []
        long_names = name == "hostile"
        check_widths_with_a_pair(opened, (761, 760, 320) if long_names else (761, 320))


def check_widths_with_a_pair(opened: Opened, widths: Sequence[int]) -> None:
    """No sideways scrolling with a pair and a highlight."""
    page = opened.page
    page.locator("button.choose").nth(3).click()
    page.locator("[data-matrix] td button").first.click()
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        assert opened.overflow() == 0, width
        panel = page.locator("#pair-details").bounding_box()
        assert panel["x"] >= 0
        assert panel["x"] + panel["width"] <= width


#: Names that are broken into lines.
BROKEN = """() => [...document.querySelectorAll('.name bdi')].filter(name => {
  const text = document.createRange();
  text.selectNodeContents(name);
  return text.getClientRects().length > 1;
}).map(name => name.textContent)"""
#: Texts of figures that lie outside of them.
CLIPPED = """() => [...document.querySelectorAll('.plot')].flatMap(plot => {
  const box = plot.getBoundingClientRect();
  if (box.width === 0) return [];
  return [...plot.querySelectorAll('text')].filter(text => {
    const b = text.getBoundingClientRect();
    return b.left < box.left - 1 || b.right > box.right + 1
        || b.top < box.top - 1 || b.bottom > box.bottom + 1;
  }).map(text => text.textContent);
})"""

#: What a page that was tampered with might try; each answers when it was tried.
ATTEMPTS = {
    "an inline script": "const s = make('script'); s.textContent = 'window.pwned = 1'; add(s)",
    "a script from elsewhere": "const s = make('script'); s.src = 'https://x.test/a.js'; add(s)",
    "an event handler": "const b = make('b'); b.setAttribute('onclick', 'window.pwned = 1'); "
    "add(b); b.click()",
    "an image from elsewhere": "const i = make('img'); i.src = 'https://x.test/a.png'; add(i)",
    "a style attribute": "const b = make('b'); b.setAttribute('style', 'top: 7px'); add(b)",
    "a style sheet": "const s = make('style'); s.textContent = 'b { top: 7px }'; add(s)",
    "a frame": "const f = make('iframe'); f.src = 'https://x.test/'; add(f)",
    "a request": "fetch('https://x.test/').catch(() => null)",
    "a form": "const f = make('form'); f.action = 'https://x.test/'; add(f); f.submit()",
    "another base": "const b = make('base'); b.href = 'https://x.test/'; add(b)",
}


#: Tries one and waits until the browser tells that it was blocked.
TRY = (
    """attempt => new Promise((blocked, failed) => {
      document.addEventListener('securitypolicyviolation', blocked, {once: true});
      setTimeout(() => failed(new Error('nothing was blocked')), 3000);
      const make = tag => document.createElement(tag), add = e => document.body.append(e);
      // an arrow function made from text would need a policy that allows it
      ({
"""
    + ",\n".join(f"{name!r}: () => {{ {code} }}" for name, code in ATTEMPTS.items())
    + """
      })[attempt]();
    })"""
)


def test_the_policy_blocks_attempts(browser: Any, reports: Reports) -> None:
    """Requests that get through to the network are counted and aborted."""
    opened, went_out = visit(browser, reports["small"]), []

    def abort(route: Any) -> None:
        went_out.append(route.request.url)
        route.abort()

    opened.page.context.route("https://x.test/**", abort)
    for attempt in ATTEMPTS:
        opened.page.evaluate(TRY, attempt)
        assert opened.page.evaluate("window.pwned === undefined"), attempt
        assert went_out == [], attempt
        assert opened.page.url == opened.report.url, attempt
    opened.page.context.close()


# ---------------------------------------------------------------- themes, sorting, copying


@pytest.mark.parametrize(
    ("scheme", "back"),
    [
        pytest.param("light", "255, 255, 255", marks=pytest.mark.long),
        ("dark", "20, 23, 28"),  # all other tests have the light one
    ],
)
def test_theme_follows_the_system_and_the_switch(
    browser: Any, reports: Reports, scheme: str, back: str
) -> None:
    with visiting(browser, reports["small"], color_scheme=scheme) as opened:
        page = opened.page
        colour = "getComputedStyle(document.body).backgroundColor"
        first_dot = (
            "getComputedStyle(document.querySelector('.for-desk [data-part=runs] use')).fill"
        )
        assert back in page.evaluate(colour)
        before = page.evaluate(first_dot)
        page.get_by_role("button", name="theme").click()
        assert back not in page.evaluate(colour)
        assert page.evaluate(first_dot) != before
        for _ in range(20):  # Chromium hands storage to a page's next process with some delay
            page.reload()
            if back not in page.evaluate(colour):
                break
            page.wait_for_timeout(100)
        assert back not in page.evaluate(colour), "the choice is remembered"


def test_leaderboard_sorts_by_mouse_and_keyboard(browser: Any, reports: Reports) -> None:
    with visiting(browser, reports["small"]) as opened:
        page = opened.page
        names = lambda: page.locator("table.sortable tbody th bdi").all_inner_texts()  # noqa: E731
        best_first = names()
        page.get_by_role("button", name="optimizer").click()
        assert names() == sorted(best_first)
        page.get_by_role("button", name="mean", exact=True).focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        assert names() == best_first
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_copy_button_copies_the_command(browser: Any, reports: Reports) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with visiting(browser, reports["small"], permissions=permissions) as opened:
        page = opened.page
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("python scripts/sweep.py --name mnist")


# ---------------------------------------------------------------- names and figures


def test_hostile_names_are_text_wherever_they_are_shown(browser: Any, reports: Reports) -> None:
    report = reports["hostile"]
    with visiting(browser, report) as opened:
        page = opened.page
        names = [clean(name) for name in report.names]
        assert page.title().startswith(clean(report.analysis.name))
        assert page.locator("table.sortable tbody th bdi").all_text_contents() == names
        assert page.locator("main script:not([type='application/json']), main img").count() == 0
        assert page.locator("bdi *, .plot text *").count() == 0
        heads = page.locator("[data-matrix] thead .name")
        for place, name in enumerate(names):
            head = heads.nth(place)
            assert name in (head.get_attribute("title"), head.inner_text().strip())
        references = page.get_by_role("combobox", name="Differences to").locator("option")
        assert references.all_text_contents() == names
        page.locator(".sortable button.choose").nth(2).click()
        assert page.locator("[data-chosen-name]").text_content() == f"Highlighted: {names[2]}"


# ---------------------------------------------------------------- keyboard

#: Where a Tab may stop, in the order of the page: of radio buttons only the chosen one.
STOPS = """() => [...document.querySelectorAll(
    'a[href], button, input, select, summary, [tabindex]')].filter(e => {
  if (e.tabIndex < 0 || !e.checkVisibility({visibilityProperty: true})) return false;
  return e.type !== 'radio' || e.checked;
})"""
#: Whether what has the focus can be seen: outlined, in the window, and nothing lies over it.
SEEN = """() => {
  const element = document.activeElement, style = getComputedStyle(element);
  const box = element.getClientRects()[0];
  const x = Math.min(Math.max(box.left + box.width / 2, 1), innerWidth - 1);
  const y = Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 1);
  return {
    place: window.stops.indexOf(element), what: element.outerHTML.slice(0, 120),
    box: [box.x, box.y, box.width, box.height],
    hit: document.elementFromPoint(x, y)?.outerHTML.slice(0, 120),
    outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    onTop: element.contains(document.elementFromPoint(x, y)),
  };
}"""


@pytest.mark.parametrize("width", [pytest.param(1400, marks=pytest.mark.long), 400])
def test_tab_reaches_every_control_in_order(browser: Any, reports: Reports, width: int) -> None:
    with visiting(browser, reports["small"], width=width) as opened:
        page = opened.page
        page.locator("button.choose").first.click()
        page.locator(".skip").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")  # now it has the focus by keyboard
        count = page.evaluate(f"window.stops = ({STOPS})(); window.stops.length")
        assert count > 50
        for place in range(count):
            seen = page.evaluate(SEEN)
            assert seen["place"] == place, seen
            assert seen["outlined"], seen
            assert seen["inside"], seen
            assert seen["onTop"], seen
            page.keyboard.press("Tab")
        assert page.evaluate("!window.stops.includes(document.activeElement)"), "no trap"
        page.locator("[data-chosen-status] button").focus()
        page.keyboard.press("Shift+Tab")
        assert page.evaluate(SEEN)["place"] == count - 2
        positive = "all => all.filter(e => e.tabIndex > 0).length"
        assert page.locator("[tabindex]").evaluate_all(positive) == 0


def test_the_skip_link_leads_to_the_verdict(browser: Any, reports: Reports) -> None:
    with visiting(browser, reports["small"]) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        skip = page.get_by_role("link", name="Skip to the verdict")
        assert skip.evaluate("e => e === document.activeElement")
        assert skip.bounding_box()["y"] >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")
        assert page.locator(".verdict").bounding_box()["y"] < 900


def test_arrow_keys_never_lose_the_cell_behind_a_head(browser: Any, reports: Reports) -> None:
    """On a phone the matrix scrolls under its first column."""
    with visiting(browser, reports["troubled"], width=400) as opened:
        page = opened.page
        page.locator("[data-matrix] td button").first.focus()
        page.evaluate("window.stops = []")
        for key in (*("ArrowRight",) * 7, *("ArrowDown",) * 8, *("ArrowLeft",) * 7):
            page.keyboard.press(key)
            seen = page.evaluate(SEEN)
            assert seen["inside"], (key, seen)
            assert seen["onTop"], (key, seen)


# ---------------------------------------------------------------- accessibility


@pytest.fixture(scope="module")
def audited(browser: Any, reports: Reports) -> Any:
    """All there is, opened; the policy of the page would keep axe-core out."""
    opened = visit(browser, reports["small"], bypass_csp=True)
    opened.open_details()
    opened.page.locator("button.choose").nth(1).click()
    yield opened
    opened.page.context.close()


#: Rules that depend on the width and the theme; of the contrast axe-core does not judge figures.
LOOKS = ("color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size")


@pytest.mark.parametrize(
    ("width", "theme", "rules"),
    [
        (1400, "light", ()),
        pytest.param(400, "dark", LOOKS, marks=pytest.mark.long),
        pytest.param(400, "light", (), marks=pytest.mark.long),
        pytest.param(1400, "dark", (), marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_violation(
    audited: Opened, width: int, theme: str, rules: Sequence[str]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = audited.page
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
    assert violations(axe, page, rules=rules) == []
    page.locator("[data-matrix] td button").first.click()
    assert violations(axe, page, "#pair-details", rules=rules) == []
    page.keyboard.press("Escape")


@pytest.mark.long
def test_axe_finds_no_violation_in_the_table_of_looks(browser: Any, reports: Reports) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with visiting(browser, reports["sequential"], bypass_csp=True, width=400) as opened:
        assert violations(axe, opened.page, "#looks") == []


def test_the_page_of_a_sequential_comparison(browser: Any, reports: Reports) -> None:
    with visiting(browser, reports["sequential"], width=400) as opened:
        page = opened.page
        assert page.locator("#looks .plot:visible").count() == 1
        assert opened.page.evaluate(BROKEN) == []
        page.locator("[data-matrix] td button").nth(1).click()
        verdict = page.locator(".pair-verdict").inner_text()
        assert "better (decided at look 2): mean difference" in " ".join(verdict.split())
        page.keyboard.press("Escape")
        for width in (400, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            assert opened.page.evaluate(CLIPPED) == []
            assert opened.overflow() == 0


@pytest.mark.parametrize(
    ("width", "theme"), [(400, "light"), pytest.param(1400, "dark", marks=pytest.mark.long)]
)
def test_axe_finds_no_violation_on_the_page_of_a_tuning(
    browser: Any, tmp_path: Path, width: int, theme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    counts = {"sgd": [9500, 9510], "own.optimizers:Mine[lr=0.003]": [9700, 9702]}
    tuned = dict(zip(counts, [[9760, 9770], [9750, 9751]], strict=True))
    written = Page(tmp_path / "tuning.html")
    write_tuning(tuning_of(counts, tuned), written.path)
    with visiting(browser, written, bypass_csp=True, width=width, color_scheme=theme) as opened:
        opened.open_details()
        assert violations(axe, opened.page) == []
        assert opened.page.evaluate(CLIPPED) == []
        assert opened.overflow() == 0


def violations(
    axe: Any, page: Any, where: str = "html", rules: Sequence[str] = ()
) -> list[tuple[str, list[str]]]:
    """What axe-core finds in a part of the page: by all rules, or by some outside of figures."""
    some = {"runOnly": list(rules)} if rules else {}
    part = {"include": [[where]], "exclude": [["svg"]] if rules else []}
    found = axe.run(page, part, options={"resultTypes": ["violations"], "preload": False, **some})
    assert found.response["passes"], "something was looked at"
    return [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found.response["violations"]
    ]


# ---------------------------------------------------------------- paper

#: What is only of use on a screen: words anywhere on paper, and lines of their own.
CONTROLS = (
    "Save as",
    "Rows, CSV",
    "Highlighted",
    "Dark theme",
    "Light theme",
    "Skip to",
    "Choose a cell",
    "seconds of",
)
BUTTON_LINES = {"Copy", "Clear", "Close", "SVG", "PNG", "Over", "Scale", "Differences to"}


@pytest.mark.long
def test_everything_is_printed_but_controls(browser: Any, reports: Reports, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    report = reports["small"]
    with visiting(browser, report, color_scheme="dark") as opened:
        page = opened.page
        page.locator("button.choose").first.click()
        heads = page.locator("h2, h3").filter(visible=True).all_text_contents()
        page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    pages = pypdf.PdfReader(tmp_path / "report.pdf").pages
    texts = [printed.extract_text() for printed in pages]
    text = squeezed(" ".join(texts))
    assert 5 < len(pages) < 20
    assert [i for i, words in enumerate(texts) if len(words) < 100] == []
    for sentence in headline(report.analysis):
        assert squeezed(sentence) in text
    for head in heads:
        assert (squeezed(head) in text) == (head != "Downloads"), head
    for treatment in report.analysis.comparison.treatments:
        for value in (treatment.mean, treatment.std, treatment.median):
            assert report.metric.score(value) in text
    for pair in report.analysis.comparison.pairs:
        assert squeezed(report.metric.difference(pair.mean_difference)) in text
    for control in CONTROLS:
        assert control not in "\n".join(texts)
    assert BUTTON_LINES.isdisjoint("\n".join(texts).splitlines())


def squeezed(text: str) -> str:
    """Without white space and ligatures: a PDF breaks lines anywhere, and fi is one glyph in it."""
    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", text))


@pytest.mark.long
def test_paper_is_wide_enough(browser: Any, reports: Reports) -> None:
    """Nothing but the table of all pairs, which has pages of its own, is wider than A4."""
    with visiting(browser, reports["troubled"], width=688) as opened:
        page = opened.page
        page.emulate_media(media="print")
        wide = page.evaluate(
            """() => [...document.querySelectorAll('main *')].filter(e => {
              const box = e.getBoundingClientRect();
              return box.width > 1 && box.right > innerWidth + 1 && !e.closest('.pairs-box');
            }).map(e => e.outerHTML.slice(0, 120))"""
        )
        assert wide == []


# ---------------------------------------------------------------- without script


def test_without_script_the_page_reads_well(browser: Any, reports: Reports) -> None:
    report = reports["hostile"]
    with visiting(browser, report, java_script_enabled=False) as opened:
        page = opened.page
        controls = page.locator("button, input, select, [role=button]")
        assert controls.count() > 0
        assert controls.filter(visible=True).count() == 0
        assert page.locator("#pair-details").is_hidden()
        assert page.locator("noscript").filter(visible=True).count() == 1
        assert page.get_by_text("Choose a cell").is_hidden()
        assert page.locator(".plot:visible").count() == 2
        for sentence in headline(report.analysis):
            assert clean(sentence) in page.locator(".verdict").text_content()
        opened.open_details()
        tables = page.locator("table")
        assert tables.count() > 9
        in_panel = page.locator("#pair-details table").count()
        assert tables.filter(visible=True).count() == tables.count() - in_panel
        for width in (1400, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert opened.overflow() == 0
