"""Context of a report: what it shows in addition to the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.results import Comparison, SweepAnalysis


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


def described(results: SweepAnalysis | Comparison) -> SweepAnalysis:
    """Return an analysis, also for the comparison of any table; its name is the compared column.

    Raise UsageError if the comparison has no table.
    """
    from bench.analysis import describe_runs
    from bench.analysis.results import SweepAnalysis

    if isinstance(results, SweepAnalysis):
        return results
    if results.table is None:
        raise UsageError("a report needs a comparison with its table, as compare() returns it")
    return describe_runs(results.table, results, name=results.parameters.value)
