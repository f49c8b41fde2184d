"""``optimizer-bench list``: the named optimizers and learning rate schedules."""

from __future__ import annotations

import json
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from bench.cli.options import Command
from bench.optimizers.catalogue import CatalogueEntry
from bench.optimizers.schedules import SCHEDULES, ScheduleEntry
from bench.spec.expressions import variant_name
from bench.tuning.space import known_ranges

#: Maximum length of a line, in a terminal that is at least as wide.
_WIDTH = 100
_INDENT = 12


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the list."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(arguments: Namespace) -> int:
    """Print the catalogue, as text or as JSON."""
    from bench.optimizers.resolve import available

    rows = [_row(name, entry) for name, entry in available().items()]
    schedules = [_schedule_row(name, entry) for name, entry in SCHEDULES.items()]
    if arguments.json:
        found = {"optimizers": rows, "schedules": schedules}
        print(json.dumps(found, indent=2, allow_nan=False))
        return 0
    head = "Schedules of the learning rate, such as sgd[schedule=cosine]: update t of n, from 0"
    blocks = [*map(_lines, rows), textwrap.wrap(head, _width()), *map(_schedule_lines, schedules)]
    print("\n\n".join(map("\n".join, blocks)))
    return 0


def _row(name: str, entry: CatalogueEntry) -> dict[str, Any]:
    from bench.optimizers.resolve import settings

    return {
        "name": name,
        "algorithm": f"torch.optim.{entry.algorithm}",
        "update_rule": entry.update_rule,
        "paper": entry.paper,
        "defaults": dict(settings(name)),
        "elementwise": entry.elementwise,
        "needs_closure": entry.needs_closure,
        "tuning_ranges": {
            found.name: {"low": found.low, "high": found.high, "is_log": found.is_log}
            for found in known_ranges(settings(name))
        },
    }


def _lines(row: dict[str, Any]) -> Iterator[str]:
    defaults = variant_name("", row["defaults"]).strip("[]").replace(",", ", ").replace("=", " = ")
    elementwise = "yes" if row["elementwise"] else "no: every run is stepped by itself"
    yield from _wrapped(row["name"], row["update_rule"])
    yield from _wrapped("", f"paper: {row['paper']}")
    yield from _wrapped("", f"defaults: {defaults}")
    yield from _wrapped("", f"elementwise: {elementwise}")
    ranges = (f"{key} {r['low']:g} to {r['high']:g}" for key, r in row["tuning_ranges"].items())
    yield from _wrapped("", f"tuning ranges: {', '.join(ranges) or 'none by default'}")


def _schedule_row(name: str, entry: ScheduleEntry) -> dict[str, Any]:
    return {
        "name": name,
        "rule": entry.rule,
        "source": entry.source,
        "settings": {
            key: {"default": setting.default, "allowed": setting.allowed}
            for key, setting in entry.settings.items()
        },
    }


def _schedule_lines(row: dict[str, Any]) -> Iterator[str]:
    yield from _wrapped(row["name"], f"lr times {row['rule']}")
    yield from _wrapped("", f"source: {row['source']}")
    for key, setting in row["settings"].items():
        yield from _wrapped("", f"{key} = {setting['default']}: {setting['allowed']}")


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, _width(), initial_indent=f"{head:{_INDENT}}", subsequent_indent=" " * (_INDENT + 2)
    )


def _width() -> int:
    from bench.cli.terminal import new_console

    return min(_WIDTH, new_console().width)


COMMAND = Command(
    help="show the named optimizers and schedules",
    description="Show every named optimizer with its update rule, its paper, its hyperparameters "
    "and their defaults, whether it acts elementwise, and the ranges that a tuning searches; then "
    "every learning rate schedule.",
    add_arguments=add_arguments,
    run=run,
)
