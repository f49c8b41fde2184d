"""Conversion of results to strict JSON: undefined values are null, and there is no NaN."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any

from bench import __version__
from bench.analysis.results import HIDDEN, OMIT_DEFAULT, Comparison, SweepChange
from bench.analysis.results.tuning import Tuning

#: Version of the keys of a comparison in JSON: increased when a key is removed, or changes its type
#: or meaning.
SCHEMA_VERSION = 1
#: Control characters, invisible characters and bidirectional controls: they are escaped in JSON.
_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def to_dict(result: object) -> Any:
    """Convert a result dataclass to dicts, lists, text, numbers and None.

    A number that is not finite becomes None; a time becomes ISO 8601 text.

    Raises
    ------
    TypeError
        If the result holds a value of another type.
    """
    if type(result) is float:  # the fast paths: a comparison of k treatments has k^2 * 10 of these
        return result if math.isfinite(result) else None
    if result is None or type(result) in (str, int):
        return result
    if is_dataclass(result) and not isinstance(result, type):
        return {
            name: to_dict(value)
            for name, omitted in _attributes(type(result))
            for value in (getattr(result, name),)
            if omitted is MISSING or value != omitted
        }
    if isinstance(result, Mapping):
        return {str(key): to_dict(value) for key, value in result.items()}
    if isinstance(result, tuple | list):
        return [to_dict(item) for item in result]
    if isinstance(result, datetime):
        return result.isoformat()
    if isinstance(result, float):
        return float(result) if math.isfinite(result) else None
    if result is None or isinstance(result, str | int):
        return result
    raise TypeError(f"a result may not hold a {type(result).__name__}, got {result!r}")


@cache
def _attributes(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """Return the name of each attribute, and the value with which it is left out."""
    shown = (f for f in fields(kind) if f.metadata != HIDDEN)
    return tuple((f.name, f.default if f.metadata == OMIT_DEFAULT else MISSING) for f in shown)


def document(result: object) -> Any:
    """Convert a result dataclass as :func:`to_dict` does.

    The comparison of a table or of two sweeps, or a tuning, begins with the version of its keys
    and that of this package.
    """
    content = to_dict(result)
    if isinstance(result, Comparison | SweepChange | Tuning):
        return {"schema_version": SCHEMA_VERSION, "optimizer_bench": __version__, **content}
    return content


def to_json(result: object, *, indent: int | None = 2) -> str:
    """Convert a result dataclass to JSON text that ends in a newline; see :func:`document`."""
    text = json.dumps(document(result), indent=indent, ensure_ascii=False, allow_nan=False)
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
