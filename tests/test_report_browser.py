"""The page in a real browser: no request, no error, both themes, a phone's width."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _sweep_analysis import HOSTILE, Recipe, source_recipes, sweep

from bench.report import write

pytestmark = pytest.mark.browser

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _browser_path() -> str | None:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("CHROMIUM") or next((path for path in found if path), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install playwright"
    )
    path = _browser_path()
    if path is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("needs Chromium: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as running:
        instance = running.chromium.launch(executable_path=path, args=list(FLAGS))
        yield instance
        instance.close()


@dataclass
class Opened:
    """A page with what went wrong on it."""

    page: Any
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )


def visit(browser: Any, path: Path, *, width: int = 1400, **options: Any) -> Opened:
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    opened = Opened(context.new_page())
    opened.page.on("console", lambda m: opened.problems.append(m.text))
    opened.page.on("pageerror", lambda e: opened.problems.append(str(e)))
    opened.page.on("request", lambda r: opened.requests.append(r.url))
    opened.page.goto(path.as_uri())
    return opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    troubled = (*source_recipes()[:7], Recipe("rmsprop", 9700, 9, diverged=3, failed=2))
    analyses = {
        "source": sweep(troubled),
        "hostile": sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(HOSTILE)]),
    }
    for name, analysis in analyses.items():
        write(analysis, folder / f"{name}.html")
    return {name: folder / f"{name}.html" for name in analyses}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("name", ["source", "hostile"])
def test_no_error_no_request_no_sideways_scrolling(
    browser: Any, reports: dict[str, Path], name: str, width: int, script: bool
) -> None:
    path = reports[name]
    opened = visit(browser, path, width=width, java_script_enabled=script)
    opened.page.locator("summary").evaluate_all(
        "all => all.forEach(s => s.parentElement.open = true)"
    )
    assert opened.problems == []
    assert opened.requests == [path.as_uri()]
    assert opened.overflow() == 0
    figure = "phone" if width == 400 else "desk"
    assert opened.page.locator(f".for-{figure} svg").first.is_visible()
    assert opened.page.locator(".plot:visible").count() == 6
    opened.page.context.close()


@pytest.mark.parametrize(("scheme", "back"), [("light", "255, 255, 255"), ("dark", "20, 23, 28")])
def test_theme_follows_the_system_and_the_switch(
    browser: Any, reports: dict[str, Path], scheme: str, back: str
) -> None:
    opened = visit(browser, reports["source"], color_scheme=scheme)
    page = opened.page
    colour = "getComputedStyle(document.body).backgroundColor"
    first_dot = "getComputedStyle(document.querySelector('.for-desk [data-part=runs] use')).fill"
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
    assert opened.problems == []
    page.context.close()


def test_leaderboard_sorts_by_mouse_and_keyboard(browser: Any, reports: dict[str, Path]) -> None:
    opened = visit(browser, reports["source"])
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
    page.context.close()


def test_copy_button_copies_the_command(browser: Any, reports: dict[str, Path]) -> None:
    opened = visit(browser, reports["source"], permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("python scripts/sweep.py --name mnist")
    page.context.close()


@pytest.mark.parametrize("width", [400, 1400])
def test_no_name_of_the_source_is_broken(
    browser: Any, reports: dict[str, Path], width: int
) -> None:
    opened = visit(browser, reports["source"], width=width)
    opened.page.locator("details").evaluate_all("all => all.forEach(d => d.open = true)")
    broken = opened.page.evaluate(
        """() => [...document.querySelectorAll('.name bdi')].filter(name => {
          const text = document.createRange();
          text.selectNodeContents(name);
          return text.getClientRects().length > 1;
        }).map(name => name.textContent)"""
    )
    assert broken == []
    opened.page.context.close()


def test_text_in_figures_is_not_clipped(browser: Any, reports: dict[str, Path]) -> None:
    for width in (400, 1400):
        opened = visit(browser, reports["source"], width=width)
        outside = opened.page.evaluate(
            """() => [...document.querySelectorAll('.plot')].flatMap(plot => {
              const box = plot.getBoundingClientRect();
              if (box.width === 0) return [];
              return [...plot.querySelectorAll('text')].filter(text => {
                const b = text.getBoundingClientRect();
                return b.left < box.left - 1 || b.right > box.right + 1
                    || b.top < box.top - 1 || b.bottom > box.bottom + 1;
              }).map(text => text.textContent);
            })"""
        )
        assert outside == []
        opened.page.context.close()
