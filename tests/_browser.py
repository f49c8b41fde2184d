"""Reports in a real browser: made once, opened with whatever goes wrong written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _pages import ANALYSES, page_of

from bench.analysis.results import SweepAnalysis
from bench.report.text.format import Metric
from bench.report.text.metrics import metric_of

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def browser_path() -> str | None:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("CHROMIUM") or next((path for path in found if path), None)


# ---------------------------------------------------------------- reports


@dataclass(frozen=True)
class Page:
    """A page that was written."""

    path: Path

    @property
    def url(self) -> str:
        return self.path.as_uri()


@dataclass(frozen=True)
class Report(Page):
    """An analysis and the page that was written of it."""

    analysis: SweepAnalysis

    @property
    def names(self) -> list[str]:
        return [t.name for t in self.analysis.comparison.treatments]

    @property
    def metric(self) -> Metric:
        return metric_of(self.analysis.comparison)

    def scores(self, name: str) -> dict[Any, float]:
        """By seed, of the runs that have one."""
        scores = self.analysis.scores
        return {s.seed: s.value for s in scores if s.treatment == name and s.value is not None}


class Reports:
    """Each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Report] = {}

    def __getitem__(self, name: str) -> Report:
        if name not in self._made:
            report = Report(self._folder / f"{name}.html", ANALYSES[name]())
            report.path.write_text(page_of(name), encoding="utf-8")
            self._made[name] = report
        return self._made[name]


# ---------------------------------------------------------------- pages


@dataclass
class Opened:
    """A page of a report, with what went wrong on it."""

    page: Any
    report: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """By how many pixels it can be scrolled sideways."""
        return int(
            self.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def open_details(self) -> None:
        self.page.locator("details").evaluate_all("all => all.forEach(d => { d.open = true; })")

    def go(self) -> None:
        """Open the page anew; nothing is left of what was done on it."""
        self.page.goto(self.report.url, wait_until="domcontentloaded")

    def check(self) -> None:
        """No message, error or dialog, and no request but for the page."""
        assert self.problems == []
        away = [url for url in self.requests if not url.startswith(("blob:", self.report.url))]
        assert away == []
        assert len(self.page.context.pages) == 1


def visit(browser: Any, report: Page, *, width: int = 1400, **options: Any) -> Opened:
    """A page in a context of its own; options are those of a context."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_default_timeout(10_000)
    opened = Opened(context.new_page(), report)

    def dialog(shown: Any) -> None:
        opened.problems.append(f"dialog: {shown.message}")
        shown.dismiss()

    context.on("console", lambda m: opened.problems.append(m.text))
    context.on("weberror", lambda e: opened.problems.append(str(e.error)))
    context.on("dialog", dialog)
    context.on("request", lambda r: opened.requests.append(r.url))
    opened.go()
    return opened


@contextmanager
def visiting(browser: Any, report: Page, **options: Any) -> Iterator[Opened]:
    """A page that is checked at the end, and closed."""
    opened = visit(browser, report, **options)
    try:
        yield opened
        opened.check()
    finally:
        opened.page.context.close()
