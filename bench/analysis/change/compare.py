"""Comparison of two sweeps, for example before and after an upgrade or on two machines.

Every optimizer that both sweeps have is compared with itself, "after minus before", in final test
accuracy. The optimizers form one family of tests:

1. Runs of one seed are paired where both sweeps have the same workload and the stored hashes show
   that the seed fixed the same initial weights and the same order of the data. This holds for all
   runs or for none, and does not depend on the results.
2. Paired runs are compared by the same tests and intervals as a pair of optimizers of one sweep
   (:mod:`bench.analysis.pairs`).
3. Otherwise the sweeps are two independent samples, compared by Welch's t test
   (:mod:`bench.analysis.stats.welch`).
4. Holm's method adjusts the p-values over all optimizers
   (:mod:`bench.analysis.stats.multiplicity`).

Training times are compared as ratios (:mod:`bench.analysis.change.speed`); they are exploratory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.analysis.change.cautions import change_cautions
from bench.analysis.change.facts import changed_facts, workload_differs
from bench.analysis.change.runs import VALUE, Run, SweepRuns
from bench.analysis.change.speed import speed_change, speed_change_of_all
from bench.analysis.comparison import check_alpha, check_margin
from bench.analysis.pairs import decide_verdict, flip_tests_of, measure_pair, measure_samples
from bench.analysis.results import Change, Obstacle, Pair, Parameters, SweepChange
from bench.analysis.stats.differences import paired_differences
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Moments
from bench.analysis.table import sort_blocks
from bench.errors import TableError

#: Largest number of names in a message.
_MANY = 8
#: The sides of a test, and the attributes of a pair that a :class:`Change` has too.
_SIDES = ("after", "before")
_TESTED = (
    *("mean_difference", "ci_low", "ci_high", "simultaneous_ci_low", "simultaneous_ci_high"),
    *("pvalue", "pvalue_equivalence", "verdict"),
)
#: Meaning of the hashes of a run, in their order.
_HASHED: tuple[Obstacle, ...] = ("initial weights", "order of the data")


def compare_sweeps(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    alpha: float = 0.05,
    margin: float | None = 0.002,
    names: tuple[str, str] = ("before", "after"),
    command: str = "",
    same_settings: bool = True,
    block: str = "seed",
) -> SweepChange:
    """Compare every optimizer that two sweeps have with itself.

    Parameters
    ----------
    before, after
        One row per run, with the columns of :class:`bench.storage.records.RunRecord`. Columns that
        describe the machine are optional.
    alpha
        Family-wise error rate over all optimizers.
    margin
        Equivalence margin as a fraction of the test images: smaller differences do not matter in
        practice. None means no equivalence tests.
    names, command
        Names of the two sweeps, and the command line that compares them; copied to the result.
    same_settings
        Whether the hyperparameters should be the same, so that a warning names those that differ.
    block
        What the column `seed` numbers, for the sentences of the result.

    Raises
    ------
    TableError
        If a column is missing or has invalid cells, or if no optimizer is in both sweeps.
    MixedRunsError
        If the sweeps have different datasets, or one of them has more than one workload.
    SpecError
        If `alpha` or `margin` is out of range.

    Notes
    -----
    Verdicts are those of :func:`bench.analysis.compare`. Independent samples are `not testable`
    where either has fewer than three runs, and `identical` where all of their values are equal.
    """
    check_alpha(alpha)
    check_margin(margin)
    old, new = SweepRuns.of(before), SweepRuns.of(after)
    is_other_workload = workload_differs(before, after)
    common = _common_optimizers(old, new)
    parameters = Parameters(
        alpha=alpha,
        margin=margin,
        direction="higher",
        value=VALUE,
        treatment="optimizer",
        block=block,
        n_blocks=len(old.seeds & new.seeds),
        k=len(common),
    )
    obstacle = "workload" if is_other_workload else _obstacle(old, new, common)
    is_paired = obstacle is None
    changes = [_change(name, old, new, parameters, is_paired=is_paired) for name in common]
    found = SweepChange(
        before=names[0],
        after=names[1],
        command=command,
        parameters=parameters,
        obstacle=obstacle,
        changes=_judged(changes, alpha),
        only_before=tuple(name for name in old.runs if name not in new.runs),
        only_after=tuple(name for name in new.runs if name not in old.runs),
        facts=changed_facts(before, after, common),
        time=speed_change_of_all(old.logs, new.logs, common, is_paired=is_paired, alpha=alpha),
        warnings=(),
    )
    is_copy = _is_copy(old, new, common)
    warnings = change_cautions(found, is_copy=is_copy, same_settings=same_settings)
    return replace(found, warnings=warnings)


def _common_optimizers(old: SweepRuns, new: SweepRuns) -> tuple[str, ...]:
    common = tuple(name for name in old.runs if name in new.runs)
    if not common:
        raise TableError(
            "both sweeps must have an optimizer in common, got "
            f"{_names(old.runs)} before and {_names(new.runs)} after"
        )
    return common


def _names(names: Iterable[str]) -> str:
    known = list(names)
    more = f" and {len(known) - _MANY} more" if len(known) > _MANY else ""
    return f"{', '.join(known[:_MANY])}{more}"


def _obstacle(old: SweepRuns, new: SweepRuns, optimizers: Sequence[str]) -> Obstacle | None:
    """Return why runs of a seed are not paired, or None; runs without a hash are not paired."""
    matched = [runs for name in optimizers for runs in _matched(old, new, name)]
    if not matched:
        return "seeds"
    for place, hashed in enumerate(_HASHED):
        if any(a.hashes[place] is None or a.hashes[place] != b.hashes[place] for a, b in matched):
            return hashed
    return None


def _matched(old: SweepRuns, new: SweepRuns, name: str) -> list[tuple[Run, Run]]:
    """Return the runs (before, after) of each seed with a result in both, in order of seeds."""
    common = sort_blocks(old.scores(name).keys() & new.scores(name).keys())
    return [(old.runs[name][seed], new.runs[name][seed]) for seed in common]


def _is_copy(old: SweepRuns, new: SweepRuns, optimizers: Sequence[str]) -> bool:
    """Return whether all common runs started in the same microsecond, so are the same runs."""
    matched = [runs for name in optimizers for runs in _matched(old, new, name)]
    return bool(matched) and all(a.started_at and a.started_at == b.started_at for a, b in matched)


def _change(
    name: str, old: SweepRuns, new: SweepRuns, parameters: Parameters, *, is_paired: bool
) -> Change:
    """Compute all results of an optimizer that do not depend on the other optimizers."""
    matched = _matched(old, new, name)
    before, after = old.scores(name), new.scores(name)
    if is_paired:
        x, y = _scores(b for b, _ in matched), _scores(a for _, a in matched)
        test = _paired_test(x, y, old.total if old.total == new.total else None, parameters)
    else:
        x, y = np.array([*before.values()]), np.array([*after.values()])
        single_level = parameters.alpha / parameters.k
        test = measure_samples(_SIDES, (y, x), parameters=parameters, single_level=single_level)
    old_moments, new_moments = Moments.of(x), Moments.of(y)
    return Change(
        optimizer=name,
        is_paired=is_paired,
        n_before=len(before),
        n_after=len(after),
        n=len(matched),
        n_same=sum(a.ended_like(b) for a, b in matched) if is_paired else None,
        n_newly_failed=len(before.keys() & new.failed(name)),
        n_diverged_before=old.n_diverged(name),
        n_diverged_after=new.n_diverged(name),
        mean_before=old_moments.mean,
        mean_after=new_moments.mean,
        std_before=old_moments.std,
        std_after=new_moments.std,
        **{name: getattr(test, name) for name in _TESTED},
        pvalue_holm=None,
        pvalue_equivalence_holm=None,
        time=speed_change(old.logs, new.logs, name, is_paired=is_paired, alpha=parameters.alpha),
        missing_seeds=tuple(sort_blocks(old.runs[name].keys() - new.runs[name].keys())),
    )


def _scores(runs: Iterable[Run]) -> FloatArray:
    return np.array([run.score for run in runs], dtype=np.float64)


def _paired_test(
    before: FloatArray, after: FloatArray, total: int | None, parameters: Parameters
) -> Pair:
    differences = paired_differences(after, before, total)
    return measure_pair(
        _SIDES,
        (after, before),
        differences=differences,
        parameters=parameters,
        single_level=parameters.alpha / parameters.k,
        tests=flip_tests_of([differences], parameters)[0],
    )


def _judged(changes: Sequence[Change], level: float) -> tuple[Change, ...]:
    """Return the changes with their verdicts: one Holm family, and one for equivalence."""
    difference = holm([change.pvalue for change in changes])
    equivalence = holm([change.pvalue_equivalence for change in changes])
    return tuple(
        replace(
            change,
            pvalue_holm=p,
            pvalue_equivalence_holm=q,
            verdict=decide_verdict(change.verdict, p, q, level),
        )
        for change, p, q in zip(changes, difference, equivalence, strict=True)
    )
