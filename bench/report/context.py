"""Context of a report: what it shows in addition to the results."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis import describe_runs
from bench.analysis.results import Comparison, SweepAnalysis
from bench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReportContext:
    """How to repeat an analysis, and where to read more.

    Attributes
    ----------
    command
        Command line that repeats the analysis; the report omits it if empty.
    related
        Reports to link to: (text, address relative to the report).
    """

    command: str = ""
    related: tuple[tuple[str, str], ...] = ()


NO_CONTEXT = ReportContext()


def described(results: SweepAnalysis | Comparison) -> SweepAnalysis:
    """Return an analysis, also for the comparison of any table; its name is the compared column.

    Raise UsageError if the comparison has no table.
    """
    if isinstance(results, SweepAnalysis):
        return results
    if results.table is None:
        raise UsageError("a report needs a comparison with its table, as compare() returns it")
    return describe_runs(results.table, results, name=results.parameters.value)
