"""The analysed rows as a CSV file: what every number of a report can be recomputed from."""

from __future__ import annotations

import csv
import io

from bench.analysis.results import SweepAnalysis

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows_csv(analysis: SweepAnalysis) -> str:
    """The rows of `analysis.runs` with a header, as RFC 4180 has it but for bare line feeds.

    Text that a spreadsheet would take for a formula has an apostrophe before it, which keeps it
    text; numbers are printed in full precision, and nothing stands where nothing is known.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_inert, analysis.runs.columns))
    for row in analysis.runs.rows:
        writer.writerow(_inert(cell) if isinstance(cell, str) else cell for cell in row)
    return buffer.getvalue()


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
