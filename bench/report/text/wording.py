"""Sentences on the results of a comparison.

A test that finds no difference is reported as "inconclusive", never as equality. Only the
equivalence test gives "equivalent", always with its margin.
"""

from __future__ import annotations

import math
from collections import Counter

from bench.analysis.correction import NAMES
from bench.analysis.results import Comparison, Correction, Power, SweepAnalysis, Treatment
from bench.report.text import format as fmt
from bench.report.text.format import Metric, count, listing
from bench.report.text.looks import blocks_of_each, looks_summary
from bench.report.text.metrics import metric_of
from bench.report.text.nouns import Nouns
from bench.report.text.procedures import procedure_of, runs_each, with_article
from bench.report.text.published import luck_sentence, settings_words
from bench.report.text.top_group import MANY, lead_sentence, names_in_words

_PROCEDURES: dict[Correction, str] = {"holm": "Holm's procedure", "max-t": "Step-down max-T"}


def headline(analysis: SweepAnalysis) -> tuple[str, ...]:
    """Summarise an analysis like :func:`verdict`, with settings and the tutorial's luck."""
    first, *others = verdict(analysis.comparison, settings_words(analysis.variants))
    return (first, *luck_sentence(analysis), *others)


def verdict(comparison: Comparison, settings: str = "") -> tuple[str, ...]:
    """Summarise a comparison in one to four sentences, the most important first.

    `settings` says at which settings the treatments were compared, if that is known.
    """
    found = _found(comparison, f", {settings}," if settings else "")
    if comparison.sequential is None:
        return found
    return (*found, looks_summary(comparison, comparison.sequential))


def _found(comparison: Comparison, at: str) -> tuple[str, ...]:
    measured = tuple(t for t in comparison.treatments if t.n)
    if not measured:
        return _nothing_measured(comparison)
    needed = comparison.power.seeds_to_reject
    if len(measured) > 1 and comparison.parameters.test != "sign-flip":
        return _by_t_test(comparison, measured, at)
    if len(measured) == 1 or needed is None:
        return _nothing_to_compare(comparison, measured[0])
    if comparison.parameters.n_blocks == 1:
        return _one_seed(comparison, measured, needed, at)
    if all(pair.verdict == "not testable" for pair in comparison.pairs):
        nouns = Nouns.of(comparison.parameters)
        return (
            f"No two {nouns.treatment.plural} have enough common {nouns.block.plural} for a test.",
            *_so_far(comparison, measured, at),
        )
    if comparison.n_common < needed and not _has_differences(comparison):
        return (
            _too_few(comparison, needed),
            *_so_far(comparison, measured, at),
            *_tally(comparison),
        )
    return (
        lead_sentence(comparison, measured),
        _best_mean(comparison, measured, at),
        *_tally(comparison),
    )


def _has_differences(comparison: Comparison) -> bool:
    """Whether a sequential comparison found a difference.

    The number of seeds to reject is that of Bonferroni's method over the looks; p-values that are
    adjusted exactly can be smaller.
    """
    return comparison.sequential is not None and any(
        pair.verdict in ("better", "worse") for pair in comparison.pairs
    )


def _by_t_test(comparison: Comparison, measured: tuple[Treatment, ...], at: str) -> tuple[str, ...]:
    """Summarise a comparison by a test other than the sign-flip test, which has no least size."""
    if all(pair.verdict == "not testable" for pair in comparison.pairs):
        treatments = Nouns.of(comparison.parameters).treatment.plural
        return (
            f"No two {treatments} can be tested by {with_article(procedure_of(comparison).test)}.",
            *_so_far(comparison, measured, at),
        )
    return (
        lead_sentence(comparison, measured),
        _best_mean(comparison, measured, at),
        *_tally(comparison),
    )


def runs_description(analysis: SweepAnalysis) -> str:
    """Alternative text of the figure of all runs."""
    metric = metric_of(analysis.comparison)
    return f"From best to worst mean. {_enumerate(analysis, metric)}"


def curves_description(analysis: SweepAnalysis) -> str:
    """Alternative text of the learning curves."""
    parts = [
        f"{c.treatment} ends at {fmt.ACCURACY.score_with_unit(_last(c.test_accuracy.mean))}, "
        f"loss {fmt.number(_last(c.test_loss.mean), 3)}"
        for c in analysis.curves[:MANY]
    ]
    rest = _rest(len(analysis.curves) - MANY)
    return (
        f"Mean over {Nouns.of(analysis.comparison.parameters).block.plural} at each evaluation, "
        "with pointwise intervals. "
        f"After the last update: {'; '.join(parts)}{rest}."
    )


def power_sentences(power: Power, comparison: Comparison) -> tuple[str, ...]:
    """Describe what this number of seeds can show; empty without a test."""
    if comparison.parameters.test != "sign-flip":
        return _power_of_t_test(comparison)
    if power.seeds_to_reject is None:
        return ()
    nouns = Nouns.of(comparison.parameters)
    common, family = nouns.block.count(comparison.n_common), count(comparison.n_family, "pair")
    procedure = _PROCEDURES[comparison.parameters.correction]
    looks = comparison.parameters.looks
    sentences = [
        f"With {common} the sign-flip test cannot give a p-value below "
        f"{fmt.tiny(power.smallest_pvalue)}, however large a difference is."
        if power.smallest_pvalue is not None
        else f"With this number of {nouns.block.plural} no test is possible.",
        f"{procedure} over {family} at level {fmt.level(comparison.level)} "
        f"can find a significant difference from {nouns.block.count(power.seeds_to_reject)} on"
        f"{f', at each of the {len(looks)} looks' if looks else ''}.",
    ]
    if power.minimum_detectable_dz is not None:
        is_max_t = comparison.parameters.correction == "max-t"
        at_a_look = f" at a look with {common}" if looks else ""
        and_looks = " over the pairs and looks" if looks else ""
        sentences.append(
            f"The smallest effect found with a probability of 80 %{at_a_look}, at the level of a "
            f"single comparison after Bonferroni{and_looks}, is "
            f"{fmt.number(power.minimum_detectable_dz, 3)}: "
            "a mean difference of that many standard deviations of the paired differences."
            + (" Under max-T, smaller effects can be found." if is_max_t else "")
        )
    if power.variance_ratio is not None:
        sentences.append(_gain_of_pairing(power.variance_ratio, comparison, nouns))
    return tuple(sentences)


def _power_of_t_test(comparison: Comparison) -> tuple[str, ...]:
    if not comparison.pairs:
        return ()
    test, nouns = procedure_of(comparison).test, Nouns.of(comparison.parameters)
    return (
        f"Pairs are compared by {with_article(test)}. Its p-value has no smallest value, but with "
        f"few {nouns.block.plural} it relies on approximately normal means. The numbers of "
        f"{nouns.block.plural} that inconclusive pairs would need are not computed for this test.",
    )


def _gain_of_pairing(ratio: float, comparison: Comparison, nouns: Nouns) -> str:
    median = ", in the median over the pairs," if len(comparison.pairs) > 1 else ""
    return (
        f"The variance of a difference paired by {nouns.block} is{median} {fmt.number(ratio)} "
        "times that of a difference of unpaired runs."
    )


def _nothing_measured(comparison: Comparison) -> tuple[str, ...]:
    failed = sum(t.n_failed for t in comparison.treatments)
    if not failed:
        return ("There are no runs yet, so there is nothing to compare.",)
    what = "The only run failed" if failed == 1 else f"All {count(failed, 'run')} failed"
    return (f"{what}: there is no result, and nothing to compare.",)


def _nothing_to_compare(comparison: Comparison, only: Treatment) -> tuple[str, ...]:
    metric = metric_of(comparison)
    level = fmt.level(1 - comparison.parameters.interval_alpha)
    interval = (
        f" ({level} interval {metric.score_interval(only.ci_low, only.ci_high)})"
        if only.ci_low is not None
        else ""
    )
    nouns = Nouns.of(comparison.parameters)
    reason = (
        f"There is one {nouns.treatment}, so there is nothing to compare it with."
        if len(comparison.treatments) == 1
        else f"Only {only.name} has results, so there is nothing to compare it with."
    )
    over = f"Over {nouns.block.count(only.n)}, {only.name}"
    if only.mean is None:
        return f"{over} has no mean {metric.noun}: {_diverged(only)}.", reason
    return (
        f"{over} reaches a mean {metric.noun} of {metric.score_with_unit(only.mean)}{interval}.",
        reason,
    )


def _one_seed(
    comparison: Comparison, measured: tuple[Treatment, ...], needed: int, at: str
) -> tuple[str, ...]:
    metric, nouns = metric_of(comparison), Nouns.of(comparison.parameters)
    best = measured[0]
    scored = (
        f"On this {nouns.block}{at} no run has a value: {_diverged(best)}."
        if best.mean is None
        else f"On this {nouns.block}{at} {best.name} scored {_best(comparison)} "
        f"({metric.score_with_unit(best.mean)}). With another {nouns.block} it may be another."
    )
    return (
        f"With one {nouns.block} no difference can be tested, so no {nouns.treatment} can be "
        "called better than another.",
        scored,
        f"From {nouns.block.count(needed)} on a difference between "
        f"{nouns.treatment.count(len(measured))} can be significant.",
    )


def _too_few(comparison: Comparison, needed: int) -> str:
    nouns, present = Nouns.of(comparison.parameters), comparison.n_present
    if comparison.sequential is not None:
        return (
            f"No difference is significant with {nouns.block.count(comparison.n_common)}. A look "
            f"with {nouns.block.count(needed)} or more can find one."
        )
    is_whole = comparison.n_family == math.comb(present, 2)
    tested = (
        f"with {nouns.treatment.count(present)}"
        if is_whole
        else f"over {count(comparison.n_family, 'tested pair')}"
    )
    shared = "" if comparison.n_common == comparison.parameters.n_blocks else " in common"
    return (
        f"{nouns.block.count(comparison.n_common)}{shared} are too few: {tested}, no difference "
        f"can be significant below {nouns.block.count(needed)} by "
        f"{NAMES[comparison.parameters.correction]} of the exact test."
    )


def _so_far(comparison: Comparison, measured: tuple[Treatment, ...], at: str) -> tuple[str, ...]:
    return (f"So far{at} {_leader(comparison, measured)}. This is not a significant result.",)


def _diverged(treatment: Treatment) -> str:
    """``2 of 7 runs diverged``."""
    return f"{treatment.n_diverged} of {count(treatment.n, 'run')} diverged"


def _best_mean(comparison: Comparison, measured: tuple[Treatment, ...], at: str) -> str:
    p = comparison.parameters
    over = f"Over {blocks_of_each(comparison)}{at or ','}"
    if not p.is_paired:
        over = f"Over {runs_each(comparison)}, unpaired{at or ','}"
    return f"{over} {_leader(comparison, measured)}."


def _leader(comparison: Comparison, measured: tuple[Treatment, ...]) -> str:
    """Name the treatments with the best mean."""
    metric, best = metric_of(comparison), measured[0]
    if best.mean is None:
        treatment = Nouns.of(comparison.parameters).treatment
        return (
            f"no mean {metric.noun} is defined, since runs of every {treatment} diverged; "
            f"{best.name} is ranked first, where {_diverged(best)}"
        )
    names = [t.name for t in measured if t.mean == best.mean]
    score = metric.score_with_unit(measured[0].mean)
    who = f"{names_in_words(names)} share" if len(names) > 1 else f"{names[0]} has"
    return f"{who} the {_best(comparison)} mean {metric.noun} ({score})"


def _tally(comparison: Comparison) -> tuple[str, ...]:
    if len(comparison.pairs) < 2:
        return ()
    metric, margin = metric_of(comparison), comparison.parameters.margin
    counts = Counter(p.verdict for p in comparison.pairs)
    within = f" within {metric.margin(margin)}" if margin is not None else ""
    different = counts["better"] + counts["worse"]
    earlier = sum(p.verdict_of_look is not None for p in comparison.pairs)
    since = f" ({earlier} of them by an earlier look only)" if earlier else ""
    parts = [
        f"{different} differ{'s' if different == 1 else ''} significantly{since}",
        f"{counts['equivalent']} {_is(counts['equivalent'])} equivalent{within}",
        f"{counts['inconclusive']} {_is(counts['inconclusive'])} inconclusive",
    ]
    rare = [f"{counts[v]} {_is(counts[v])} {v}" for v in ("identical", "not testable") if counts[v]]
    if counts["equivalent"] == 0:
        del parts[1]
    return (f"Of all {len(comparison.pairs)} pairs, {listing((*parts, *rare))}.",)


def _enumerate(analysis: SweepAnalysis, metric: Metric) -> str:
    treatments = analysis.comparison.treatments
    parts = [
        f"{t.name}: mean {metric.score_with_unit(t.mean)}, interval "
        f"{metric.score_interval(t.ci_low, t.ci_high)}, {count(t.n, 'run')} from "
        f"{metric.score(t.min)} to {metric.score(t.max)}"
        if t.mean is not None
        else f"{t.name}: {f'no mean, {_diverged(t)}' if t.n else 'no result'}"
        for t in treatments[:MANY]
    ]
    return f"{'; '.join(parts)}{_rest(len(treatments) - MANY)}."


def _rest(n: int) -> str:
    return f"; and {n} more in the table below" if n > 0 else ""


def _last(values: tuple[float | None, ...]) -> float | None:
    return values[-1] if values else None


def _best(comparison: Comparison) -> str:
    return "highest" if comparison.parameters.direction == "higher" else "lowest"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"
