"""Runs that diverged or failed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench.analysis.reading import is_accuracy
from bench.analysis.results import Incident
from bench.report.html.parts import Name, Parts
from bench.report.text import format as fmt
from bench.report.text.format import count
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
class IncidentsView:
    """How many runs diverged or failed, and which."""

    sentence: str
    rows: tuple[IncidentRow, ...]


def incidents_view(parts: Parts) -> IncidentsView:
    """All runs that diverged or failed."""
    rows = tuple(_incident_row(parts, incident) for incident in parts.analysis.incidents)
    return IncidentsView(_sentence(parts), rows)


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
