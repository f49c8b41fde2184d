"""Conversion of results to strict JSON: undefined values are null, and there is no NaN."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import datetime
from typing import Any

from bench.analysis.results import OMIT_EMPTY

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
    if is_dataclass(result) and not isinstance(result, type):
        named = {
            f.name: getattr(result, f.name) for f in fields(result) if not _is_left_out(f, result)
        }
        return {name: to_dict(value) for name, value in named.items()}
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


def _is_left_out(attribute: Field[Any], result: object) -> bool:
    return attribute.metadata == OMIT_EMPTY and not getattr(result, attribute.name)


def to_json(result: object, *, indent: int | None = 2) -> str:
    """Convert a result dataclass to JSON text that ends in a newline."""
    text = json.dumps(to_dict(result), indent=indent, ensure_ascii=False, allow_nan=False)
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"
