"""Reports in a real browser: made once, opened with whatever goes wrong written down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from _sweep_analysis import CONTEXT, HOSTILE, Recipe, source_recipes, sweep

from bench.analysis.results import SweepAnalysis
from bench.report import write
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
HOSTILE_NAME = '../.<img src=x onerror=alert(1)> "sweep": 日本 %00 * ?\\..'


def browser_path() -> str | None:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("CHROMIUM") or next((path for path in found if path), None)


# ---------------------------------------------------------------- reports


@dataclass(frozen=True)
class Report:
    """An analysis and the page that was written of it."""

    analysis: SweepAnalysis
    path: Path

    @property
    def url(self) -> str:
        return self.path.as_uri()

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


def _source() -> SweepAnalysis:
    troubled = Recipe("rmsprop", 9700, 9, diverged=3, failed=2)
    return sweep((*source_recipes()[:7], troubled))


def _hostile() -> SweepAnalysis:
    recipes = [Recipe(name, 9750 - 20 * i, 15) for i, name in enumerate(HOSTILE)]
    return replace(sweep(recipes), name=HOSTILE_NAME)


def _small() -> SweepAnalysis:
    """Every section, few elements."""
    recipes = [*source_recipes()[:3], Recipe("rmsprop", 9706, 22, diverged=1, failed=1)]
    return sweep(recipes, n=8)


def _table() -> SweepAnalysis:
    """Somebody's own column: below zero, and with differences too small for its digits."""
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
    "source": _source,
    "hostile": _hostile,
    "small": _small,
    "table": _table,
}


class Reports:
    """Each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Report] = {}

    def __getitem__(self, name: str) -> Report:
        if name not in self._made:
            report = Report(ANALYSES[name](), self._folder / f"{name}.html")
            write(report.analysis, report.path, CONTEXT)
            self._made[name] = report
        return self._made[name]


# ---------------------------------------------------------------- pages


@dataclass
class Opened:
    """A page of a report, with what went wrong on it."""

    page: Any
    report: Report
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


def visit(browser: Any, report: Report, *, width: int = 1400, **options: Any) -> Opened:
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
def visiting(browser: Any, report: Report, **options: Any) -> Iterator[Opened]:
    """A page that is checked at the end, and closed."""
    opened = visit(browser, report, **options)
    try:
        yield opened
        opened.check()
    finally:
        opened.page.context.close()
