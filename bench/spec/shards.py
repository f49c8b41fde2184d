"""Shards: parts of the plan of a sweep that are trained in different places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.errors import SpecError
from bench.spec.expressions import QUOTED

#: Largest number of shards.
MAX_SHARDS = 10_000
_Run = TypeVar("_Run")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `total` parts of a plan, numbered from 1.

    >>> Shard(number=2, total=3).of(range(8))
    range(2, 5)
    """

    number: int
    total: int

    def of(self, plan: Sequence[_Run]) -> Sequence[_Run]:
        """Return the runs of this shard, whole seeds where possible to balance the durations.

        The sizes of two shards differ by at most 1, and every run is in one shard.
        """
        start, end = (len(plan) * n // self.total for n in (self.number - 1, self.number))
        return plan[start:end]

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


def directory_name(sweep: str, shard: Shard | None) -> str:
    """Return the name of the results directory of a sweep, or of a shard of it.

    >>> directory_name("mnist", Shard(number=3, total=16)), directory_name("mnist", None)
    ('mnist-shard3of16', 'mnist')
    """
    return sweep if shard is None else f"{sweep}-shard{shard.number}of{shard.total}"


def shard_of_directory(name: str, sweep: str) -> Shard | None:
    """Return the shard of `sweep` whose directory has this name; None for any other directory."""
    found = re.fullmatch(rf"{re.escape(sweep)}-shard([0-9]+)of([0-9]+)", name, re.ASCII)
    return parse_shard("/".join(found.groups())) if found else None


def parse_shard(text: str) -> Shard:
    """Return the shard that is written as 3/16; raise SpecError if it is not one."""
    if not isinstance(text, str):
        raise SpecError(f"a shard must be text such as '3/16', got {text!r:.80}")
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
    if found:
        number, total = map(int, found.groups())
        if 1 <= number <= total <= MAX_SHARDS:
            return Shard(number=number, total=total)
    raise SpecError(
        f"a shard must be written as 3/16: a number from 1 to the number of shards, which is at "
        f"most {MAX_SHARDS}, got {text[:QUOTED]!r}"
    )
