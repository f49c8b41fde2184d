"""What a reader must know before reading the numbers, as plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.analysis.reading import scale_of
from bench.analysis.results import Look, Pair, Parameters, Power, Treatment
from bench.analysis.stats.descriptives import count_outliers
from bench.analysis.stats.multiplicity import family_size
from bench.analysis.stats.power import smallest_pvalue
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.words import count, plural, spoken


def cautions(
    paired: PairedTable,
    parameters: Parameters,
    treatments: tuple[Treatment, ...],
    pairs: tuple[Pair, ...],
    power: Power,
    looks: tuple[Look, ...],
) -> tuple[str, ...]:
    """All warnings, the most important first.

    First what limits every verdict (too few blocks, earlier looks), then what limits some of them
    (runs that diverged, failed or are missing), then what an average would hide (outliers,
    constants).
    """
    column = {name: i for i, name in enumerate(paired.treatments)}
    n_family = family_size([pair.pvalue for pair in pairs], sum(t.n > 0 for t in treatments))
    runs = [_Runs.of(t, column[t.name], paired, parameters) for t in treatments]
    return (
        *_too_few_blocks(parameters, pairs, power, n_family),
        *_overspent(parameters, looks),
        *_outside_the_family(pairs),
        *(
            sentence
            for caution in (_diverged, _missing, _outliers, _constant)
            for r in runs
            for sentence in caution(r)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """The runs of one treatment, and what a sentence about them needs to know.

    `converged` has shape (n_converged,); `blocks` counts all blocks, `complete` those in which no
    treatment is missing; `fractions` says whether the scores are accuracies as fractions.
    """

    treatment: Treatment
    converged: FloatArray
    sign: int
    blocks: int
    complete: int
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
            blocks=len(paired.blocks),
            complete=len(paired.complete),
            fractions=scale_of(parameters.value, paired.values) == 1,
            parameters=parameters,
        )

    def score(self, value: float) -> str:
        """A score for a sentence: an accuracy in per cent, as everywhere else on the page."""
        return f"{100 * value:.2f} %" if self.fractions else f"{value:.6g}"


def _too_few_blocks(
    parameters: Parameters, pairs: tuple[Pair, ...], power: Power, n_family: int
) -> Iterator[str]:
    if power.seeds_to_reject is None:
        return
    common = max(pair.n for pair in pairs)
    block = spoken(parameters.block)
    family = count(n_family, "pair")
    needed = f"Holm's method over {family} needs {power.seeds_to_reject}"
    if common < 2:
        yield (
            f"Nothing can be tested: no pair has more than {count(common, block)} in "
            f"common, and one run says nothing about the spread of its kind; {needed}."
        )
    elif common < power.seeds_to_reject:
        yield (
            f"No difference can be significant with {count(common, block)}: the "
            f"smallest attainable p is {smallest_pvalue(common):.3g}, and {needed}."
        )


def _overspent(parameters: Parameters, looks: tuple[Look, ...]) -> Iterator[str]:
    now = looks[-1]
    if now.spent > parameters.alpha * (1 + 1e-9):
        alpha = _percent(parameters.alpha)
        yield (
            f"Look {now.look} at these results was not declared: it judges at "
            f"{_percent(now.level)} instead of {alpha}, and over all looks the chance of a false "
            f"better or worse may still reach {_percent(now.spent)}. A new sweep can declare its "
            f"looks with --looks, which keeps it at {alpha}."
        )


def _outside_the_family(pairs: tuple[Pair, ...]) -> Iterator[str]:
    tested = sum(pair.pvalue is not None for pair in pairs)
    if 0 < tested < len(pairs):
        yield (
            f"Holm's family has {tested} of {len(pairs)} pairs: "
            "the others have too few runs in common for a p-value."
        )


def _diverged(runs: _Runs) -> Iterator[str]:
    t, converged = runs.treatment, runs.converged
    if not t.n_diverged:
        return
    start = f"{t.name}: {t.n_diverged} of {count(t.n + t.n_failed, 'run')} diverged"
    them = "it" if t.n_diverged == 1 else "them"
    with_them = (
        f"{'it ranks' if t.n_diverged == 1 else 'they rank'} worst in {runs.parameters.value}, and "
        f"a mean with {them} is undefined"
        if t.mean is None
        else f"the mean with {them} is {runs.score(t.mean)}"
    )
    if len(converged):
        mean = runs.score(converged.mean())
        yield f"{start}: the mean of the {len(converged)} that converged is {mean}; {with_them}."
    else:
        yield f"{start}: none converged; {with_them}."


def _missing(runs: _Runs) -> Iterator[str]:
    failed, absent = runs.treatment.n_failed, runs.blocks - runs.treatment.n
    reasons = [f"{failed} failed"] if failed else []
    reasons += [f"{absent - failed} missing"] if absent > failed else []
    if reasons:
        friedman = f", Friedman's test the {runs.complete} that all have"
        yield (
            f"{runs.treatment.name}: {' and '.join(reasons)} of {count(runs.blocks, 'run')}; each "
            f"of its pairs uses the {plural(spoken(runs.parameters.block))} that both sides have"
            f"{friedman if runs.parameters.k > 2 else ''}."
        )


def _outliers(runs: _Runs) -> Iterator[str]:
    n = count_outliers(runs.converged, runs.sign)
    if n:
        side, quartile = ("below", "first") if runs.sign > 0 else ("above", "third")
        verb, them = ("lies", "it") if n == 1 else ("lie", "them")
        yield (
            f"{runs.treatment.name}: {n} of {count(len(runs.converged), 'run')} {verb} far {side} "
            f"the others (more than three interquartile ranges {side} the {quartile} quartile); "
            f"the median and the interquartile mean hide {them}."
        )


def _constant(runs: _Runs) -> Iterator[str]:
    t = runs.treatment
    if t.n > 1 and t.std == 0 and t.mean is not None:
        score = runs.score(t.mean)
        yield f"{t.name}: all {t.n} runs have the same {runs.parameters.value}, {score}."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
