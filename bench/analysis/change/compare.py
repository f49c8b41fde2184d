"""Two sweeps against each other: did an upgrade, other code or another machine change anything?

Every optimizer that both sweeps have is compared with itself, "after minus before", in final test
accuracy. The family of tests is the optimizers:

1. runs of one seed are paired where both sweeps have the same workload and the stored hashes prove
   that the seed fixed the same initial weights and the same order of the data; this holds for both
   sweeps as a whole or not at all, and is never decided by looking at results;
2. paired runs go through the same test, intervals and equivalence test as a pair of optimizers of
   one sweep (:mod:`bench.analysis.pairs`);
3. else the sweeps are independent samples, compared by Welch's t
(:mod:`bench.analysis.stats.welch`); 4. Holm's method adjusts over all optimizers
(:mod:`bench.analysis.stats.multiplicity`).

Training times are compared as ratios (:mod:`bench.analysis.change.speed`), and are exploratory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analysis.change.cautions import change_cautions
from bench.analysis.change.facts import changed_facts, workload_differs
from bench.analysis.change.runs import VALUE, Run, SweepRuns
from bench.analysis.change.speed import speed_change, speed_change_of_all
from bench.analysis.comparison import check_alpha, check_margin
from bench.analysis.pairs import MIN_BLOCKS_FOR_VERDICT, decide_verdict, measure_pair
from bench.analysis.results import Change, Obstacle, Parameters, SweepChange, Verdict
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Moments
from bench.analysis.stats.welch import MeanDifference
from bench.analysis.table import sort_blocks
from bench.errors import TableError

#: At most this many names in a message.
_MANY = 8
#: What the hashes of a run stand for, in their order.
_HASHED: tuple[Obstacle, ...] = ("initial weights", "order of the data")


def compare_sweeps(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    alpha: float = 0.05,
    margin: float | None = 0.002,
    names: tuple[str, str] = ("before", "after"),
    command: str = "",
) -> SweepChange:
    """Compare every optimizer that two sweeps have with itself.

    Parameters
    ----------
    before, after
        One row per run, with the columns of :class:`bench.storage.records.RunRecord`; of those that
        describe the machine, whatever is there is used.
    alpha
        Family-wise error rate over all optimizers.
    margin
        Differences inside plus or minus this, a fraction of the test images, do not matter in
        practice; None tests no equivalence.
    names, command
        What the two sweeps are called, and the command line that compares them: passed on.

    Raises
    ------
    TableError
        If a column is missing or holds what it may not, or if no optimizer is in both sweeps.
    MixedRunsError
        If the sweeps are of different datasets, or one of them of more than one workload.
    SpecError
        If `alpha` or `margin` is not allowed.

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
        block="seed",
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
    return replace(found, warnings=change_cautions(found, is_copy=_is_copy(old, new, common)))


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
    """Why the runs of a seed are not paired: a hash that is not known proves nothing."""
    twins = [twin for name in optimizers for twin in _twins(old, new, name)]
    if not twins:
        return "seeds"
    for place, hashed in enumerate(_HASHED):
        if any(a.hashes[place] is None or a.hashes[place] != b.hashes[place] for a, b in twins):
            return hashed
    return None


def _twins(old: SweepRuns, new: SweepRuns, name: str) -> list[tuple[Run, Run]]:
    """The runs before and after of every seed that has a result in both, in the seeds' order."""
    common = sort_blocks(old.scores(name).keys() & new.scores(name).keys())
    return [(old.runs[name][seed], new.runs[name][seed]) for seed in common]


def _is_copy(old: SweepRuns, new: SweepRuns, optimizers: Sequence[str]) -> bool:
    """Whether all common runs started in the same microsecond: then they are the same runs."""
    twins = [twin for name in optimizers for twin in _twins(old, new, name)]
    return bool(twins) and all(a.started_at and a.started_at == b.started_at for a, b in twins)


def _change(
    name: str, old: SweepRuns, new: SweepRuns, parameters: Parameters, *, is_paired: bool
) -> Change:
    """Everything about an optimizer that does not depend on the others; not yet judged."""
    twins = _twins(old, new, name)
    before, after = old.scores(name), new.scores(name)
    if is_paired:
        values = _scores(b for b, _ in twins), _scores(a for _, a in twins)
        test = _paired_test(*values, old.total if old.total == new.total else None, parameters)
    else:
        test = _independent_test(
            np.array([*before.values()]), np.array([*after.values()]), parameters
        )
    return Change(
        optimizer=name,
        is_paired=is_paired,
        n_before=len(before),
        n_after=len(after),
        n=len(twins),
        n_same=sum(a.ended_like(b) for a, b in twins) if is_paired else None,
        n_newly_failed=len(before.keys() & new.failed(name)),
        n_diverged_before=old.n_diverged(name),
        n_diverged_after=new.n_diverged(name),
        **vars(test),
        pvalue_holm=None,
        pvalue_equivalence_holm=None,
        time=speed_change(old.logs, new.logs, name, is_paired=is_paired, alpha=parameters.alpha),
    )


def _scores(runs: Iterable[Run]) -> FloatArray:
    return np.array([run.score for run in runs], dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class _Test:
    """What is in a :class:`Change` whether runs are paired or not."""

    mean_before: float | None
    mean_after: float | None
    mean_difference: float | None
    ci_low: float | None
    ci_high: float | None
    simultaneous_ci_low: float | None
    simultaneous_ci_high: float | None
    pvalue: float | None
    pvalue_equivalence: float | None
    verdict: Verdict


def _paired_test(
    before: FloatArray, after: FloatArray, total: int | None, parameters: Parameters
) -> _Test:
    pair = measure_pair(
        ("after", "before"),
        (after, before),
        total=total,
        parameters=parameters,
        single_level=parameters.alpha / parameters.k,
    )
    return _Test(
        mean_before=Moments.of(before).mean,
        mean_after=Moments.of(after).mean,
        mean_difference=pair.mean_difference,
        ci_low=pair.ci_low,
        ci_high=pair.ci_high,
        simultaneous_ci_low=pair.simultaneous_ci_low,
        simultaneous_ci_high=pair.simultaneous_ci_high,
        pvalue=pair.pvalue,
        pvalue_equivalence=pair.pvalue_equivalence,
        verdict=pair.verdict,
    )


def _independent_test(before: FloatArray, after: FloatArray, parameters: Parameters) -> _Test:
    old, new = Moments.of(before), Moments.of(after)
    gap, margin = MeanDifference.of(new, old), parameters.margin
    interval = gap.interval(parameters.alpha)
    simultaneous = gap.interval(parameters.alpha / parameters.k)
    return _Test(
        mean_before=old.mean,
        mean_after=new.mean,
        mean_difference=gap.difference,
        ci_low=interval.low,
        ci_high=interval.high,
        simultaneous_ci_low=simultaneous.low,
        simultaneous_ci_high=simultaneous.high,
        pvalue=gap.pvalue(),
        pvalue_equivalence=(None if margin is None else gap.equivalence_pvalue(-margin, margin)),
        verdict=_nominal_verdict(before, after, gap),
    )


def _nominal_verdict(before: FloatArray, after: FloatArray, gap: MeanDifference) -> Verdict:
    """What independent samples would be called if their difference were significant."""
    if min(len(before), len(after)) < MIN_BLOCKS_FOR_VERDICT:
        return "not testable"
    if len({*before, *after}) == 1:
        return "identical"
    if not gap.difference:
        return "inconclusive"
    return "better" if gap.difference > 0 else "worse"


def _judged(changes: Sequence[Change], level: float) -> tuple[Change, ...]:
    """The changes with their verdicts: one Holm family, and one for equivalence."""
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
