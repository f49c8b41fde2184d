"""Parts of a stored sweep: a command with fewer of its optimizers or seeds.

A quick look at a part must not replace the declaration and the report of the whole. This holds once
every run of the whole is stored. Before, fewer optimizers or seeds correct the declaration.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pyarrow as pa

from bench.spec.expressions import format_seeds
from bench.spec.model import SweepSpec
from bench.words import count

#: Longest list of optimizers or seeds in a name; longer ones are counted.
_LONGEST = 40


def is_part(spec: SweepSpec, declared: SweepSpec | None, rows: pa.Table) -> bool:
    """Return whether a sweep is a part of the declared one, of which `rows` holds every run."""
    if declared is None or declared.declaration != spec.declaration:
        return False
    if declared.declaration.until_decided:  # its optimizers and seeds are fixed
        return False
    is_same = replace(declared, optimizers=spec.optimizers, seeds=spec.seeds) == spec
    is_fewer = len(spec.optimizers) * len(spec.seeds) < len(declared.optimizers) * len(
        declared.seeds
    )
    is_within = set(spec.optimizers) <= set(declared.optimizers)
    if not (is_same and is_fewer and is_within and set(spec.seeds) <= set(declared.seeds)):
        return False
    return {run.key for run in declared.plan()} <= set(rows["run_key"].to_pylist())


def part_name(part: SweepSpec, whole: SweepSpec) -> str:
    """Return the name of the report on a part: that of the whole and what was chosen.

    >>> from bench import specify
    >>> whole = specify(optimizers="sgd,adam,adam[lr=0.01]", seeds=20)
    >>> part_name(specify(optimizers="sgd,adam", seeds=5), whole)
    'mnist-sgd-adam-seeds0-4'
    """
    words = [whole.name]
    if len(part.optimizers) < len(whole.optimizers):
        names = "-".join(optimizer.name for optimizer in part.optimizers)
        words.append(_short(names, len(part.optimizers), "optimizer"))
    if len(part.seeds) < len(whole.seeds):
        words.append(_short(f"seeds{format_seeds(part.seeds)}", len(part.seeds), "seed"))
    return "-".join(words)[:100]


def _short(text: str, n: int, noun: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-")
    return name if len(name) <= _LONGEST else count(n, noun, space="")
