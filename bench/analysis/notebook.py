"""HTML representation of results in notebooks: plain tables without style, script or figures.

All text is escaped, and mathematics between dollar signs is not rendered.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeGuard

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
    '<div class="tex2jax_ignore mathjax_ignore"><table><cap'
    """

    _first: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, first: tuple[str, ...] = (), **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._first = first

    def _repr_html_(self) -> str:
        # these classes disable MathJax, which would render text between dollar signs
        return f'<div class="tex2jax_ignore mathjax_ignore">{self._html(type(self).__name__)}</div>'

    def _html(self, caption: str) -> str:
        return _result(self, caption)


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return an HTML table with a head; a long table is cut, with a note."""
    head = "".join(f'<th scope="col">{_escaped(column)}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows[:MAX_ROWS])
    note = f"<p>The first {MAX_ROWS} of {len(rows):,} rows.</p>" if len(rows) > MAX_ROWS else ""
    return (
        f"<table><caption>{_escaped(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{note}"
    )


def _result(result: NotebookRepr, caption: str) -> str:
    first = result._first
    values = {field.name: getattr(result, field.name) for field in _fields(result)}
    others = {name: value for name, value in values.items() if name not in first}
    plain = {name: value for name, value in others.items() if not _holds_results(value)}
    parts = [name for name in others if name not in plain]
    at_once = 0 if first else 1
    return "".join(
        (
            *(_part(name, values[name]) for name in first),
            _facts(caption, plain) if plain else "",
            *(_part(name, values[name]) for name in parts[:at_once]),
            *(_folded(name, values[name]) for name in parts[at_once:]),
        )
    )


def _holds_results(value: object) -> bool:
    return isinstance(value, NotebookRepr) or _are_results(value)


def _are_results(value: object) -> TypeGuard[tuple[NotebookRepr, ...]]:
    return (
        isinstance(value, tuple)
        and len(value) > 0
        and all(isinstance(v, NotebookRepr) for v in value)
    )


def _part(name: str, value: object) -> str:
    if isinstance(value, NotebookRepr):
        return value._html(_words(name))
    if _are_results(value):
        names = [field.name for field in _fields(value[0])]
        rows = [[getattr(item, n) for n in names] for item in value]
        return table(_words(name), list(map(_words, names)), rows)
    if not isinstance(value, tuple):
        return f"<p>{_escaped(_words(name))}: {_text(name, value)}</p>"
    items = "".join(f"<li>{_text(name, item)}</li>" for item in value)
    return f"<p>{_escaped(_words(name))}</p><ul>{items}</ul>" if items else ""


def _folded(name: str, value: object) -> str:
    return f"<details><summary>{_escaped(_words(name))}</summary>{_part(name, value)}</details>"


def _facts(caption: str, values: Mapping[str, object]) -> str:
    """Return a table of plain values, one row each."""
    rows = "".join(
        f'<tr><th scope="row">{_escaped(_words(name))}</th><td>{_text(name, value)}</td></tr>'
        for name, value in values.items()
    )
    return f"<table><caption>{_escaped(caption)}</caption><tbody>{rows}</tbody></table>"


def _cells(columns: Sequence[str], row: Sequence[object]) -> str:
    first, *others = (_text(name, value) for name, value in zip(columns, row, strict=True))
    return "".join((f'<th scope="row">{first}</th>', *(f"<td>{text}</td>" for text in others)))


def _text(name: str, value: object) -> str:
    """Return a value as escaped text; ``bdi`` isolates names that are written right to left."""
    text = _escaped(_printed(name, value))
    return f"<bdi>{text}</bdi>" if isinstance(value, str) else text


def _printed(name: str, value: object) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return _number(name, value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes")
    if isinstance(value, NotebookRepr):
        return ", ".join(_printed(f.name, getattr(value, f.name)) for f in _fields(value))
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


def _escaped(text: str) -> str:
    """Return `text` escaped for HTML, without control characters, cut to MAX_CHARACTERS."""
    if len(text) > MAX_CHARACTERS:
        text = text[: MAX_CHARACTERS - 1] + "…"
    visible = (c if c.isprintable() or c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return html.escape("".join(visible))


def _fields(result: object) -> tuple[Any, ...]:
    if not is_dataclass(result):
        raise TypeError(f"a result must be a dataclass, got a {type(result).__name__}")
    return fields(result)
