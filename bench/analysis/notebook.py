"""HTML representation of results in notebooks: tables that pandas writes, without style or script.

All text is escaped, and mathematics between dollar signs is not rendered.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeGuard

import pandas as pd

MISSING = "–"
#: Longer tables and texts are cut.
MAX_ROWS = 60
MAX_CHARACTERS = 300


class NotebookRepr:
    """Base class of result dataclasses with an HTML representation for notebooks.

    Plain fields form one table. Each field of results is a table with one row per result. The
    first of these tables is open and the others are folded, unless the class parameter `first`
    names the fields that are open and come first.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Point(NotebookRepr):
    ...     x: float
    >>> Point(0.5)._repr_html_()[:54]
    '<div class="tex2jax_ignore mathjax_ignore"><p>Point</p'
    """

    _first: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, first: tuple[str, ...] = (), **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._first = first

    def _repr_html_(self) -> str:
        # these classes disable MathJax, which would render text between dollar signs
        return f'<div class="tex2jax_ignore mathjax_ignore">{self._html(type(self).__name__)}</div>'

    def _html(self, caption: str) -> str:
        values = {name: getattr(self, name) for name in _names(self)}
        others = {name: value for name, value in values.items() if name not in self._first}
        plain = [name for name, value in others.items() if not _holds_results(value)]
        parts = [name for name in others if name not in plain]
        at_once = 0 if self._first else 1
        folded = (
            f"<details><summary>{_words(name)}</summary>{_part(name, values[name])}</details>"
            for name in parts[at_once:]
        )
        return "".join(
            (
                *(_part(name, values[name]) for name in self._first),
                _facts(caption, {name: values[name] for name in plain}) if plain else "",
                *(_part(name, values[name]) for name in parts[:at_once]),
                *folded,
            )
        )


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an HTML table with a head; the middle of a long table is left out, with a note."""
    cells = [[_text(name, x) for name, x in zip(columns, row, strict=True)] for row in rows]
    frame = pd.DataFrame(cells, columns=list(map(_printable, columns)), dtype=str)
    return _written(caption, frame, index=False)


def _facts(caption: str, values: dict[str, object]) -> str:
    """Return a table of plain values, one row each."""
    texts = [_text(name, value) for name, value in values.items()]
    frame = pd.DataFrame({"value": texts}, index=list(map(_words, values)))
    return _written(caption, frame, header=False)


def _written(caption: str, frame: pd.DataFrame, **layout: bool) -> str:
    is_long = len(frame) > MAX_ROWS
    with pd.option_context("display.max_colwidth", None):
        written = frame.to_html(border=0, max_rows=MAX_ROWS, show_dimensions=is_long, **layout)
    return f"<p>{html.escape(caption)}</p>{written}"


def _holds_results(value: object) -> bool:
    return isinstance(value, NotebookRepr) or _are_results(value)


def _are_results(value: object) -> TypeGuard[tuple[NotebookRepr, ...]]:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], NotebookRepr)


def _part(name: str, value: object) -> str:
    if isinstance(value, NotebookRepr):
        return value._html(_words(name))
    if _are_results(value):
        rows = [[getattr(result, n) for n in _names(result)] for result in value]
        return table(_words(name), list(map(_words, _names(value[0]))), rows)
    texts = value if isinstance(value, tuple) else (value,)
    return "".join(f"<p>{_words(name)}: {html.escape(_text(name, text))}</p>" for text in texts)


def _text(name: str, value: object) -> str:
    """Return a value as text without control characters, cut to MAX_CHARACTERS."""
    text = _printable(_printed(name, value))
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


def _printable(text: str) -> str:
    return "".join(
        c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _printed(name: str, value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return _number(name, value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, NotebookRepr):
        return ", ".join(_printed(n, getattr(value, n)) for n in _names(value))
    if isinstance(value, tuple):
        return ", ".join(_joined(name, item) for item in value) or MISSING
    return str(value)


def _joined(name: str, item: object) -> str:
    """Return an item of a tuple as text; the parts of a nested tuple are separated by a space."""
    if not isinstance(item, tuple):
        return _printed(name, item)
    return " ".join(_printed(name, part) for part in item)


def _number(name: str, value: float) -> str:
    """Return a number with six significant digits; a p-value with four, and never as 0."""
    if not name.startswith("pvalue"):
        return f"{value:.6g}"
    return "< 0.001" if value < 0.001 else f"{value:.4g}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _names(result: object) -> list[str]:
    if not is_dataclass(result):
        raise TypeError(f"a result must be a dataclass, got a {type(result).__name__}")
    return [field.name for field in fields(result) if "hidden" not in field.metadata]
