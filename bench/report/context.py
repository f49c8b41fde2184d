"""Context of a report: what it shows in addition to the results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """How to repeat an analysis, and where to read more.

    Attributes
    ----------
    command
        Command line that repeats the analysis; the report omits it if empty.
    related
        Reports to link to: (text, address relative to the report).
    diagrams
        Diagrams to add: ``cd`` is the critical-difference diagram of mean ranks.
    """

    command: str = ""
    related: tuple[tuple[str, str], ...] = ()
    diagrams: tuple[str, ...] = ()


NO_CONTEXT = ReportContext()
