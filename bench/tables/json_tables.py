"""Read tables from JSON and JSON lines, as text cells like those of a CSV file.

JSON can hold a list of objects, an object of columns (pandas' orients columns, index, split and
table), or an object of objects, {treatment: {block: result}}. Names of nested objects are joined by
dots.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.errors import TableError

_SHAPES = (
    "a list of objects, one object per line, an object of columns, or "
    '{"treatment": {"block": result}}'
)
Columns = dict[str, list[str]]


def read_json(file: Path, text: str, *, block: str, has_roles: Callable[[Any], bool]) -> Columns:
    """Return the columns of a JSON document, or of JSON lines.

    `block` is the name for the inner keys of an object of objects. `has_roles` returns whether
    names contain all columns of a comparison. Raise TableError if the document has another shape.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise TableError(f"{file} is not a table: its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        if error.msg != "Extra data":
            raise TableError(f"{file} is not a table: line {error.lineno}: {error.msg}") from None
        return _records(file, list(_lines(file, text)))
    return _columns_of(file, document, block, has_roles)


def _columns_of(file: Path, document: Any, block: str, has_roles: Callable[[Any], bool]) -> Columns:
    if isinstance(document, list):
        return _records(file, document)
    if not isinstance(document, dict) or not document:
        raise _other_shape(file)
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
        if not _is_split(document["columns"], document["data"]):
            raise _other_shape(file)
        rows = [dict(zip(document["columns"], row, strict=True)) for row in document["data"]]
        return _records(file, rows)
    values = list(document.values())
    if all(isinstance(value, Mapping) for value in values):
        return _of_objects(file, document, block, has_roles)
    if _are_columns(values):
        return {name: [_cell(cell) for cell in cells] for name, cells in document.items()}
    lists = [v for v in values if isinstance(v, list) and v and isinstance(v[0], dict)]
    if len(lists) == 1:
        return _records(file, lists[0])
    if has_roles(dict(_flat(document))):
        return _records(file, [document])
    raise _other_shape(file)


def _is_split(columns: Sequence[Any], data: Sequence[Any]) -> bool:
    """Return whether these are names of columns, and rows of that length."""
    names = all(isinstance(name, str) for name in columns)
    return names and all(isinstance(row, list) and len(row) == len(columns) for row in data)


def _are_columns(values: Sequence[Any]) -> bool:
    """Return whether values are lists of one length without objects."""
    if not all(isinstance(value, list) for value in values) or len(set(map(len, values))) > 1:
        return False
    return not any(isinstance(cell, dict) for value in values for cell in value)


def _of_objects(
    file: Path, document: Mapping[str, Any], block: str, has_roles: Callable[[Any], bool]
) -> Columns:
    """Read an object of objects: records by name, columns by index, or treatments by block."""
    inner = list(document.values())
    if has_roles(dict(_flat(inner[0]))):
        return _records(file, inner)
    keys = list(dict.fromkeys(key for cells in inner for key in cells))
    if all(name.isdecimal() for name in document) and not any(key.isdecimal() for key in keys):
        by_block = {key: [_cell(cells.get(key)) for cells in inner] for key in keys}
        return by_block if has_roles(by_block) else {block: list(document), **by_block}
    columns = {name: [_cell(cells.get(k)) for k in keys] for name, cells in document.items()}
    return columns if has_roles(columns) else {block: keys, **columns}


def _records(file: Path, records: Sequence[Any]) -> Columns:
    if not records or not all(isinstance(record, dict) for record in records):
        raise _other_shape(file)
    flat = [dict(_flat(record)) for record in records]
    names = dict.fromkeys(name for record in flat for name in record)
    return {name: [_cell(record.get(name)) for record in flat] for name in names}


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _lines(file: Path, text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line, object_pairs_hook=_unique)
            except json.JSONDecodeError as error:
                message = f"{file} is not a table: line {number}: {error.msg}"
                raise TableError(message) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"an object of the JSON has {twice!r} twice")
    return found


def _cell(value: Any) -> str:
    """Write a value as the cell of a CSV file: null is empty, and NaN is nan."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    return json.dumps(value) if isinstance(value, bool | list | dict) else repr(value)


def _other_shape(file: Path) -> TableError:
    return TableError(f"{file} is not a table: JSON must hold {_SHAPES}")
