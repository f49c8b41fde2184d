"""Which runs a sweep needs that adds seeds until every pair of optimizers is decided.

It is a function of the declaration and of the stored rows alone, so that an interrupted sweep goes
on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench.analysis.results import Parameters, SequentialLook
from bench.analysis.sequential import expected_seeds, replay
from bench.analysis.table import pair_up
from bench.errors import BenchError
from bench.spec.model import RunSpec, SweepSpec
from bench.storage.records import FAILED
from bench.storage.store import Store
from bench.sweeps.rows import planned_rows
from bench.words import count

_COLUMNS = ("optimizer", "seed", "test_accuracy", "test_correct", "test_total", "status")


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The runs that a sweep needs, given those that it has.

    Attributes
    ----------
    n_seeds
        Number of seeds of each optimizer, those of the look in progress included.
    looks
        The looks that were taken.
    """

    n_seeds: Mapping[str, int]
    looks: tuple[SequentialLook, ...] = ()

    def runs(self, spec: SweepSpec) -> tuple[RunSpec, ...]:
        """Return the runs, seed by seed."""
        places = {seed: i for i, seed in enumerate(spec.seeds)}
        return tuple(
            run for run in spec.plan() if places[run.seed] < self.n_seeds[run.optimizer.name]
        )


def demand(spec: SweepSpec, rows: pa.Table) -> Demand:
    """Return the runs that a sweep needs for the look in progress, and for those before it.

    Without :attr:`~bench.spec.model.Declaration.until_decided`, it needs all runs of its plan.
    """
    names, stages = [o.name for o in spec.optimizers], spec.declaration.until_decided
    if not stages:
        return Demand(n_seeds=dict.fromkeys(names, len(spec.seeds)))
    rows = planned_rows(rows, spec)
    rows = rows.filter(pc.not_equal(rows["status"], FAILED)).select(list(_COLUMNS))
    if set(rows["optimizer"].to_pylist()) != set(names):
        return Demand(n_seeds=dict.fromkeys(names, stages[0]))
    found = replay(pair_up(rows.to_pandas()), parameters_of(spec))
    goes_on = len(found.looks) < len(stages)
    following = dict.fromkeys(found.open_treatments, stages[len(found.looks)]) if goes_on else {}
    return Demand(n_seeds={**found.n_blocks, **following}, looks=found.looks)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Expected number of runs of a sweep, and the directory of the sweep that it is based on."""

    n_runs: int
    source: Path


def forecast(spec: SweepSpec, results: Path) -> Forecast | None:
    """Predict the number of runs from a stored sweep of the same optimizers and workload.

    Of several in `results`, it is the one with the most runs; None without one.
    """
    found: list[tuple[int, Path, pa.Table]] = []
    for file in sorted(results.glob("*/spec.json")):
        store = Store(file.parent)
        with suppress(BenchError):
            other = store.read_spec()
            if other is None or not _is_comparable(spec, other):
                continue
            rows = store.read_rows()
            rows = rows.filter(pc.not_equal(rows["status"], FAILED)).select(list(_COLUMNS))
            rows = rows.filter(
                pc.is_in(rows["optimizer"], pa.array([o.name for o in spec.optimizers]))
            )
            if min(Counter(rows["optimizer"].to_pylist()).values(), default=0) > 1:
                found.append((len(rows), file.parent, rows))
    if not found:
        return None
    _, source, rows = max(found, key=lambda of: of[0])
    n_seeds = expected_seeds(pair_up(rows.to_pandas()), parameters_of(spec))
    return Forecast(n_runs=sum(n_seeds.values()), source=source)


def _is_comparable(spec: SweepSpec, other: SweepSpec) -> bool:
    same = (other.workload, other.budget) == (spec.workload, spec.budget)
    return same and set(spec.optimizers) <= set(other.optimizers)


def parameters_of(spec: SweepSpec) -> Parameters:
    """Return the declared settings of the analysis of a sweep."""
    declared = spec.declaration
    return Parameters(
        alpha=declared.alpha,
        margin=declared.margin,
        direction="higher",
        value="test_accuracy",
        treatment="optimizer",
        block="seed",
        n_blocks=len(spec.seeds),
        k=len(spec.optimizers),
        looks=declared.until_decided,
    )


def describe_look(looks: Sequence[SequentialLook]) -> str:
    """Return a sentence on the last of the looks.

    >>> describe_look([SequentialLook(look=1, n_blocks=13, treatments=("adam", "sgd"), pairs=())])
    'look 1 (13 seeds): all pairs are decided'
    """
    look = looks[-1]
    start = f"look {look.look} ({count(look.n_blocks, 'seed')})"
    if not look.open_pairs:
        return f"{start}: all pairs are decided"
    n_pairs, n_open = len(looks[0].pairs), len(look.open_pairs)
    more = f"{', '.join(look.open_treatments)} get more seeds"
    return f"{start}: {n_pairs - n_open} of {count(n_pairs, 'pair')} are decided; {more}"
