"""Render the report as one self-contained HTML page that makes no requests.

The content security policy of the page allows its own style and script by their hashes and nothing
else. The page states the versions that its numbers and figures depend on. The same analysis and
versions give the same bytes.
"""

from __future__ import annotations

import base64
import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.analysis.results import Comparison, SweepAnalysis
from bench.report.context import NO_CONTEXT, ReportContext, described
from bench.report.figures.svg import figure_style
from bench.report.html.views.page import page_view
from bench.storage.files import write_atomically

#: Scripts of the page in this order; each uses only the helpers of page.js.
SCRIPTS = (
    *("page.js", "terms.js", "choices.js", "highlight.js"),
    *("readings.js", "pairs.js", "downloads.js"),
)


def render(results: SweepAnalysis | Comparison, context: ReportContext = NO_CONTEXT) -> str:
    """Render the report of a sweep, or of the comparison of any table, as HTML."""
    with figure_style(), _without_collection():
        view = page_view(described(results), context)
    return fill("report.html.j2", view)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Disable garbage collection in the block: it takes an eighth of the time of drawing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def fill(template: str, page: object) -> str:
    """Render a template that extends base.html.j2.

    Parameters
    ----------
    template
        File name in templates/.
    page
        The view to print, with at least a `title` and the `markers` of names.
    """
    css, script = _static("report.css"), "".join(_static(name) for name in SCRIPTS)
    html = (
        _environment()
        .get_template(template)
        .render(
            page=page,
            css=Markup(css),
            script=Markup(script),
            policy=_policy(css, script),
            generator=_generator(),
        )
    )
    return html if html.endswith("\n") else html + "\n"


def write(
    results: SweepAnalysis | Comparison, path: Path | str, context: ReportContext = NO_CONTEXT
) -> None:
    """Write the report of a sweep, or of the comparison of any table, by an atomic write.

    Missing parent directories are created.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    write_atomically(render(results, context).encode(), Path(path))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bench.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _static(name: str) -> str:
    """Read a file of static/."""
    return (resources.files("bench.report.html") / "static" / name).read_text(encoding="utf-8")


@cache
def _generator() -> str:
    """Versions of this program and of the libraries that compute and draw the page."""
    packages = ("optimizer-bench", "matplotlib", "numpy", "scipy")
    return "; ".join(f"{package} {_version(package)}" for package in packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def _policy(css: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
