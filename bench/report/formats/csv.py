"""The rows behind a report as CSV: for a spreadsheet, and for anybody's own analysis."""

from __future__ import annotations

import csv
import io
import re

from bench.analysis.results import SweepAnalysis
from bench.report.text.sanitize import clean

#: What a spreadsheet takes for a formula (OWASP, CSV injection), wide forms of the signs included;
#: apostrophes before it count, so that no two texts become one.
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]|[' ]*[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", re.ASCII | re.IGNORECASE)


def rows_csv(analysis: SweepAnalysis) -> str:
    """All rows with a header, after RFC 4180: lines end in CRLF, what is unknown is empty.

    Numbers have all their digits. Text that a spreadsheet would take for a formula gets an
    apostrophe before it.
    """
    sink = io.StringIO()
    writer = csv.writer(sink)  # its default dialect is that of RFC 4180
    writer.writerow(map(_inert, analysis.runs.columns))
    writer.writerows(map(_inert, row) for row in analysis.runs.rows)
    return sink.getvalue()


def _inert(cell: str | int | float | None) -> str | int | float | None:
    if not isinstance(cell, str):
        return cell
    text = clean(cell)
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
