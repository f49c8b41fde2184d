"""Runs that diverged, failed or collapsed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench.analysis.pairs import at_most
from bench.analysis.reading import is_accuracy
from bench.analysis.results import CollapseRate, Collapses, Incident
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.format import count
from bench.report.text.looks import at_secondary_level
from bench.report.text.sanitize import clean


@dataclass(frozen=True)
class IncidentRow:
    """One run that diverged or failed.

    `error` is the last line of its error message; `whole_error` is empty where that is all.
    """

    name: Name
    seed: str
    status: str
    iteration: str
    error: str
    whole_error: str


@dataclass(frozen=True)
class CollapseRow:
    """The collapse rate of a treatment: counts, and an interval in per cent."""

    name: Name
    collapsed: str
    n: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class IncidentsView:
    """How many runs diverged, failed or collapsed, and which.

    `collapses` is empty where no run collapsed. `different` says which rates differ.
    """

    sentence: str
    rows: tuple[IncidentRow, ...]
    collapsed: str
    collapses: tuple[CollapseRow, ...]
    different: str


def incidents_view(parts: Parts) -> IncidentsView:
    """All runs that diverged or failed, and the collapse rates."""
    found = parts.analysis.comparison.collapses
    any_collapsed = any(rate.collapsed for rate in found.treatments)
    return IncidentsView(
        sentence=_sentence(parts),
        rows=tuple(_incident_row(parts, incident) for incident in parts.analysis.incidents),
        collapsed=_collapsed(parts, found),
        collapses=tuple(
            CollapseRow(
                name=parts.name(rate.name),
                collapsed=str(rate.collapsed),
                n=str(rate.n),
                interval=_interval(rate),
            )
            for rate in found.treatments
            if any_collapsed
        ),
        different=_different(parts) if any_collapsed else "",
    )


def _collapsed(parts: Parts, found: Collapses) -> str:
    """State the rule, and what no collapse still allows."""
    margin = parts.analysis.comparison.parameters.margin
    beyond = "" if margin is None else " and the margin"
    rule = (
        f"A run has collapsed if it diverged, or is far worse than the others of its "
        f"{parts.nouns.treatment.one}: below their upper quartile by more than {found.limit:g} "
        f"standard deviations of the better half{beyond}."
    )
    ran = [rate for rate in found.treatments if rate.n]
    if any(rate.collapsed or rate.at_most is None for rate in ran) or not ran:
        return rule
    fewest = min(ran, key=lambda rate: rate.n)
    return (
        f"{rule} No run has. With {count(fewest.n, 'run')}, a collapse rate of up to "
        f"{fmt.level(float(f'{fewest.at_most or 1.0:.2g}'))} is still possible "
        f"({fmt.level(1 - parts.analysis.comparison.parameters.interval_alpha)} confidence)."
    )


def _interval(rate: CollapseRate) -> str:
    if rate.ci_low is None or rate.ci_high is None:
        return fmt.MISSING
    return f"[{100 * rate.ci_low:.1f}, {100 * rate.ci_high:.1f}]"


def _different(parts: Parts) -> str:
    """State between which treatments the collapse rates differ, by the adjusted p-values."""
    comparison = parts.analysis.comparison
    if comparison.parameters.test != "sign-flip":
        return "The tests of this comparison do not cover collapse rates."
    shown = [
        f"{clean(pair.a)} and {clean(pair.b)} "
        f"({fmt.p_equals(pair.pvalue_holm, comparison.parameters.alpha)})"
        for pair in comparison.collapses.pairs
        if at_most(pair.pvalue_holm, comparison.secondary_level)
    ]
    by = f"McNemar's exact test, Holm's method{at_secondary_level(comparison)}"
    if not shown:
        return f"No two collapse rates differ significantly ({by})."
    return f"Collapse rates differ significantly ({by}) between {'; '.join(shown)}."


def _sentence(parts: Parts) -> str:
    runs, nouns = parts.analysis.scores, parts.nouns
    statuses = Counter(s.status for s in runs)
    if not parts.analysis.incidents:
        return f"Nothing to report: all {count(len(runs), 'run')} finished with finite losses."
    column = parts.analysis.comparison.parameters.value
    counted = (
        "A diverged run counts with the accuracy that it ended with"
        if is_accuracy(column)
        else "A diverged run without a value ranks worst"
    )
    return (
        f"Of {count(len(runs), 'run')}, {statuses['diverged']} diverged and {statuses['failed']} "
        f"failed. {counted}; a failed run is missing, and its pairs use the {nouns.block.plural} "
        f"that both {nouns.treatment.plural} have."
    )


def _incident_row(parts: Parts, incident: Incident) -> IncidentRow:
    whole = clean(incident.error).strip()
    last = whole.splitlines()[-1].strip() if whole else fmt.MISSING
    return IncidentRow(
        name=parts.name(incident.treatment),
        seed=str(incident.seed),
        status=incident.status,
        iteration=fmt.MISSING if incident.iteration is None else f"{incident.iteration:,}",
        error=last,
        whole_error=whole if len(whole) > len(last) else "",
    )
