"""How the compared column is written: known columns in their own way, others by their spread."""

from __future__ import annotations

import math
from dataclasses import replace

from bench.analysis.results import Comparison, SweepAnalysis
from bench.analysis.table import LOSSES, is_accuracy
from bench.report.format import ACCURACY, TEST_LOSS, Metric, clean

#: What the restricted time to the target is written as.
UPDATES = Metric(
    noun="time to the target",
    label="time to the target",
    digits=0,
    unit="updates",
    difference_unit="updates",
)


def metric_of(comparison: Comparison) -> Metric:
    """How the compared values of `comparison` are written."""
    column = comparison.parameters.value
    words = clean(column.replace("_", " "))
    if is_accuracy(column):
        best = max((t.max for t in comparison.treatments if t.max is not None), default=1.0)
        in_per_cent = best > 1
        noun = "accuracy" if column.startswith("test_") else words
        return replace(ACCURACY, noun=noun, label=words, factor=1.0 if in_per_cent else 100.0)
    if column in LOSSES:
        return replace(TEST_LOSS, noun=words, label=words)
    unit = "s" if column.endswith("_seconds") else ""
    digits = _digits(comparison)
    return Metric(noun=words, label=words, digits=digits, unit=unit, difference_unit=unit)


def result_label(analysis: SweepAnalysis) -> str:
    """What a run's result is called: ``final test accuracy`` where it was trained here."""
    label = metric_of(analysis.comparison).label
    return f"final {label}" if analysis.variants else label


def _digits(comparison: Comparison) -> int:
    """As many decimals as show two digits of the smallest spread."""
    spreads = [t.std for t in comparison.treatments if t.std]
    return min(9, max(0, 1 - math.floor(math.log10(min(spreads))))) if spreads else 4
