"""Write the rows of a report as CSV, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Any

from bench.analysis.results import Comparison, SweepAnalysis
from bench.report.context import described
from bench.report.text.sanitize import clean

#: Text that a spreadsheet takes as a formula (OWASP, CSV injection), including wide forms of the
#: signs. Leading apostrophes are included, so that different texts stay different.
_FORMULA = re.compile(r"['\s]*[=+\-@＝＋－＠]|[' ]*[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf|nan", re.ASCII | re.IGNORECASE)


def rows_csv(results: SweepAnalysis | Comparison) -> str:
    """Write all rows with a header after RFC 4180: lines end in CRLF, unknown values are empty.

    Numbers have all digits. Text that a spreadsheet would take as a formula gets a leading
    apostrophe.
    """
    analysis = described(results)
    return table_csv(analysis.runs.columns, analysis.runs.rows)


def table_csv(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Write any table as :func:`rows_csv` does."""
    sink = io.StringIO()
    writer = csv.writer(sink)  # its default dialect is that of RFC 4180
    writer.writerow(map(_inert, columns))
    writer.writerows(map(_inert, row) for row in rows)
    return sink.getvalue()


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = clean(cell)
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
