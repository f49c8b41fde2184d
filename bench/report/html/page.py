"""The report as one self-contained HTML page: no request leaves it.

Style and script stand in the page and are allowed by their hashes; everything else is forbidden by
the page's own content security policy. The same analysis gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.analysis.results import SweepAnalysis
from bench.report.html.views.page import page_view
from bench.storage.files import write_atomically

#: Each is a program of its own but for what page.js shares; in this order.
SCRIPTS = (
    "page.js",
    "choices.js",
    "reference.js",
    "highlight.js",
    "readings.js",
    "pairs.js",
    "downloads.js",
)


def render(analysis: SweepAnalysis, related: Sequence[tuple[str, str]] = ()) -> str:
    """The report of `analysis` as HTML.

    `related` are reports that it links to at its head: (text, address relative to its own).
    """
    return fill("report.html.j2", replace(page_view(analysis), related=tuple(related)))


def fill(template: str, page: object) -> str:
    """A template that extends base.html.j2, filled with `page`, as a whole HTML file.

    Parameters
    ----------
    template
        Its file's name in templates/.
    page
        What it prints: a view with at least a `title` and the `markers` that names refer to.
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
        )
    )
    return html if html.endswith("\n") else html + "\n"


def write(
    analysis: SweepAnalysis, path: Path | str, related: Sequence[tuple[str, str]] = ()
) -> None:
    """Write the report of `analysis` to `path`, whole or not at all.

    Missing directories above `path` are made. `related` is as in :func:`render`.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    write_atomically(render(analysis, related).encode(), Path(path))


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
    """A file of static/, as it will stand between its tags."""
    return (resources.files("bench.report.html") / "static" / name).read_text(encoding="utf-8")


def _policy(css: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
