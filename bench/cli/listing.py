"""``optimizer-bench list``: the optimizers that have a name, and what each of them does."""

from __future__ import annotations

import json
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from bench.optimizers import CatalogueEntry, available, settings
from bench.spec import variant_name

_WIDTH = 100
_INDENT = 12


def run(arguments: Namespace) -> int:
    """Print the catalogue, as text or as JSON."""
    rows = [_row(name, entry) for name, entry in available().items()]
    if arguments.json:
        print(json.dumps({"optimizers": rows}, indent=2, allow_nan=False))
    else:
        print("\n\n".join("\n".join(_lines(row)) for row in rows))
    return 0


def _row(name: str, entry: CatalogueEntry) -> dict[str, Any]:
    return {
        "name": name,
        "algorithm": f"torch.optim.{entry.algorithm}",
        "update_rule": entry.update_rule,
        "paper": entry.paper,
        "defaults": dict(settings(name)),
        "elementwise": entry.elementwise,
        "needs_closure": entry.needs_closure,
    }


def _lines(row: dict[str, Any]) -> Iterator[str]:
    defaults = variant_name("", row["defaults"]).strip("[]").replace(",", ", ").replace("=", " = ")
    elementwise = "yes" if row["elementwise"] else "no: every run is stepped by itself"
    yield from _wrapped(row["name"], row["update_rule"])
    yield from _wrapped("", f"paper: {row['paper']}")
    yield from _wrapped("", f"defaults: {defaults}")
    yield from _wrapped("", f"elementwise: {elementwise}")


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{head:{_INDENT}}", subsequent_indent=" " * (_INDENT + 2)
    )
