"""Warnings about the results of a comparison, as sentences for the reader."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.analysis.correction import METHODS, NAMES, blocks_to_reject, remedies
from bench.analysis.reading import scale_of
from bench.analysis.results import CollapseRate, Collapses, Look, Pair, Parameters, Power, Treatment
from bench.analysis.stats.descriptives import count_outliers, quartiles
from bench.analysis.stats.multiplicity import family_size
from bench.analysis.stats.power import smallest_pvalue
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.words import count, plural, singular, spoken

#: With fewer runs in a sample, Welch's test depends on the distribution of the runs.
FEW_RUNS = 10
#: Words in the names of columns of folds.
_FOLDS = frozenset({"fold", "split", "cv"})


def cautions(
    paired: PairedTable,
    parameters: Parameters,
    treatments: tuple[Treatment, ...],
    pairs: tuple[Pair, ...],
    power: Power,
    looks: tuple[Look, ...],
    collapses: Collapses,
) -> tuple[str, ...]:
    """Return all warnings, the most important first.

    Warnings that concern all verdicts (too few blocks, earlier looks) come first. Warnings about
    single treatments follow: diverged, failed and missing runs, outliers, constant results.
    """
    column = {name: i for i, name in enumerate(paired.treatments)}
    n_family = family_size([pair.pvalue for pair in pairs], sum(t.n > 0 for t in treatments))
    runs = [_Runs.of(t, column[t.name], paired, parameters) for t in treatments]
    collapsed = tuple(_collapsed(rate) for rate in collapses.treatments if rate.collapsed)
    return (
        *_too_few_blocks(parameters, pairs, power, n_family, looks[-1].level),
        *_undeclared_folds(parameters),
        *_few_runs(parameters, treatments),
        *_overspent(parameters, looks),
        *_outside_the_family(parameters, pairs),
        *(
            sentence
            for caution in (_diverged, _without_value, _missing, _outliers, _constant)
            for r in runs
            for sentence in caution(r)
        ),
        *collapsed,
    )


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Runs of one treatment, for its warnings.

    `converged` holds the values of the runs that did not diverge; `blocks` counts all blocks (of
    independent samples, the rows of the treatment), `complete` those in which no treatment is
    missing. `infinite` counts the diverged runs without a value. `fractions`: the scores are
    accuracies as fractions.
    """

    treatment: Treatment
    converged: FloatArray
    sign: int
    blocks: int
    complete: int
    infinite: int
    fractions: bool
    parameters: Parameters

    @classmethod
    def of(
        cls, treatment: Treatment, column: int, paired: PairedTable, parameters: Parameters
    ) -> _Runs:
        values = paired.values[:, column]
        return cls(
            treatment=treatment,
            converged=values[~np.isnan(values) & ~paired.diverged[:, column]],
            sign=paired.sign,
            blocks=len(paired.blocks)
            if paired.is_paired
            else int((paired.cells[:, column] >= 0).sum()),
            complete=len(paired.complete),
            infinite=int(np.isinf(values).sum()),
            fractions=scale_of(parameters.value, paired.values) == 1,
            parameters=parameters,
        )

    def score(self, value: float) -> str:
        """Return a score as text; an accuracy is in per cent, as in the rest of the report."""
        return f"{100 * value:.2f} %" if self.fractions else f"{value:.6g}"


def _too_few_blocks(
    parameters: Parameters, pairs: tuple[Pair, ...], power: Power, n_family: int, level: float
) -> Iterator[str]:
    if power.seeds_to_reject is None:
        return
    if parameters.looks:
        yield from _too_few_looks(parameters, n_family)
        return
    common = max(pair.n for pair in pairs)
    block = spoken(parameters.block)
    family = count(n_family, "pair")
    needed = f"{METHODS[parameters.correction]} over {family} needs {power.seeds_to_reject}"
    if common < 2:
        yield (
            f"No pair can be tested: no pair has more than {count(common, block)} in common, and "
            f"the variation between runs cannot be estimated from one run; {needed}."
            + (f" {_NO_COMMON_BLOCK}" if not common else "")
        )
    elif common < power.seeds_to_reject:
        yield (
            f"No difference can be significant with {count(common, block)} by "
            f"{NAMES[parameters.correction]} of the exact test: the smallest attainable p-value is "
            f"{smallest_pvalue(common):.3g}, and {needed}. "
            + remedies(
                parameters.correction,
                common,
                n_family,
                level,
                (spoken(parameters.treatment), block),
            )
        )


def _too_few_looks(parameters: Parameters, n_family: int) -> Iterator[str]:
    """Warn if even the last look of a sequential comparison is too small for any difference."""
    last = parameters.looks[-1]
    needed = blocks_to_reject(parameters.correction, n_family, parameters.alpha)
    if last < needed:
        yield (
            f"No look can find a difference: the last one has "
            f"{count(last, spoken(parameters.block))}, and {METHODS[parameters.correction]} over "
            f"{count(n_family, 'pair')} needs at least {needed}."
        )


_NO_COMMON_BLOCK = (
    "Runs that were never meant to be paired are independent samples: analyze --unpaired compares "
    "them by Welch's t test (in Python: test='welch')."
)


def _undeclared_folds(parameters: Parameters) -> Iterator[str]:
    words = {singular(word) for word in parameters.block.lower().replace("_", " ").split()}
    if parameters.test == "sign-flip" and words & _FOLDS:
        block = spoken(parameters.block)
        yield (
            f"If each {block} is a part of a cross-validation, or another split of one dataset, "
            f"its training data are shared with other {plural(block)}, and the p-values here are "
            "too small. analyze --folds TEST/TRAIN, such as 1/9 for ten folds, uses the corrected "
            "resampled t test (in Python: test='corrected-t')."
        )


def _few_runs(parameters: Parameters, treatments: tuple[Treatment, ...]) -> Iterator[str]:
    sizes = [t.n for t in treatments if t.n]
    if not parameters.is_paired and sizes and min(sizes) < FEW_RUNS:
        least, most = min(sizes), max(sizes)
        runs = count(most, "run") if least == most else f"{least} to {count(most, 'run')}"
        yield (
            f"Few runs ({runs} of each {spoken(parameters.treatment)}): Welch's test assumes "
            f"approximately normal means, which fewer than {FEW_RUNS} runs do not ensure."
        )


def _overspent(parameters: Parameters, looks: tuple[Look, ...]) -> Iterator[str]:
    now = looks[-1]
    if now.spent > parameters.alpha * (1 + 1e-9):
        alpha = _percent(parameters.alpha)
        yield (
            f"Look {now.look} at these results was not declared: its level is "
            f"{_percent(now.level)} instead of {alpha}, and the probability of any false 'better' "
            f"or 'worse' over all looks can still reach {_percent(now.spent)}. To keep it at "
            f"{alpha}, declare the number of looks of a new sweep with --looks."
        )


def _outside_the_family(parameters: Parameters, pairs: tuple[Pair, ...]) -> Iterator[str]:
    common = " in common" if parameters.is_paired else ""
    why = "have too few runs in common for a p-value"
    if parameters.test != "sign-flip":
        why = f"have too few runs{common}, no variation, or a diverged run without a value"
    tested = sum(pair.pvalue is not None for pair in pairs)
    if 0 < tested < len(pairs):
        yield (f"Holm's family has {tested} of {len(pairs)} pairs: the others {why}.")


def _diverged(runs: _Runs) -> Iterator[str]:
    t, converged = runs.treatment, runs.converged
    if not t.n_diverged:
        return
    start = f"{t.name}: {t.n_diverged} of {count(t.n + t.n_failed, 'run')} diverged"
    of_all = (
        f"{'it ranks' if t.n_diverged == 1 else 'they rank'} worst in {runs.parameters.value}, and "
        "the mean of all runs is undefined"
        if t.mean is None
        else f"the mean of all runs is {runs.score(t.mean)}"
    )
    if len(converged):
        mean = runs.score(converged.mean())
        yield f"{start}: the mean of the {len(converged)} that converged is {mean}; {of_all}."
    else:
        yield f"{start}: none converged; {of_all}."


def _without_value(runs: _Runs) -> Iterator[str]:
    if runs.infinite and runs.parameters.test != "sign-flip":
        yield (
            f"{runs.treatment.name}: {count(runs.infinite, 'diverged run')} "
            f"{'has' if runs.infinite == 1 else 'have'} no {runs.parameters.value}. A t test "
            "cannot rank diverged runs worst, as the paired sign-flip test does: its pairs are not "
            "testable."
        )


def _missing(runs: _Runs) -> Iterator[str]:
    failed, absent = runs.treatment.n_failed, runs.blocks - runs.treatment.n
    if runs.parameters.looks:  # no missing runs; numbers of blocks differ by design
        return
    reasons = [f"{failed} failed"] if failed else []
    reasons += [f"{absent - failed} missing"] if absent > failed else []
    if reasons:
        p = runs.parameters
        friedman = f", and Friedman's test uses the {runs.complete} that all have"
        used = (
            f"each of its pairs uses the {plural(p.unit)} that both sides have"
            f"{friedman if p.k > 2 and p.test == 'sign-flip' else ''}"
            if p.is_paired
            else "its pairs use the others"
        )
        of_runs = f"{' and '.join(reasons)} of {count(runs.blocks, 'run')}"
        yield f"{runs.treatment.name}: {of_runs}; {used}."


def _outliers(runs: _Runs) -> Iterator[str]:
    n = count_outliers(runs.converged, runs.sign, runs.parameters.margin)
    if n:
        side, quartile = ("below", "first") if runs.sign > 0 else ("above", "third")
        q1, _, q3 = quartiles(runs.converged)
        distance = "three interquartile ranges" if q1 < q3 else "the margin"
        verb, them = ("is an outlier", "it") if n == 1 else ("are outliers", "them")
        yield (
            f"{runs.treatment.name}: {n} of {count(len(runs.converged), 'run')} {verb} (more than "
            f"{distance} {side} the {quartile} quartile); the median and the "
            f"interquartile mean hardly depend on {them}."
        )


def _collapsed(rate: CollapseRate) -> str:
    interval = (
        ""
        if rate.ci_low is None or rate.ci_high is None
        else f": between {_percent(rate.ci_low)} and {_percent(rate.ci_high)} of its runs do"
    )
    return (
        f"{rate.name}: {rate.collapsed} of {count(rate.n, 'run')} collapsed (diverged, or far "
        f"worse than the others){interval}. Verdicts of its pairs depend on how many "
        "collapses these seeds happened to have."
    )


def _constant(runs: _Runs) -> Iterator[str]:
    t = runs.treatment
    if t.n > 1 and t.std == 0 and t.mean is not None:
        score = runs.score(t.mean)
        yield f"{t.name}: all {t.n} runs have the same {runs.parameters.value}, {score}."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
