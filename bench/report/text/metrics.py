"""Formats of the compared column: fixed for known columns, from the spread for others."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.analysis.reading import scale_of
from bench.analysis.results import Comparison, SweepAnalysis
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import LOSSES
from bench.report.text.format import ACCURACY, TEST_LOSS, Metric
from bench.report.text.sanitize import clean

#: Format of the restricted time to the target.
UPDATES = Metric(
    noun="time to the target",
    label="time to the target",
    digits=0,
    unit="updates",
    difference_unit="updates",
)


def metric_of(comparison: Comparison) -> Metric:
    """Choose the format of the compared values."""
    column = comparison.parameters.value
    words = clean(column.replace("_", " "))
    scale = scale_of(column, _known_values(comparison))
    if scale is not None:
        noun = "accuracy" if column.startswith("test_") else words
        return replace(ACCURACY, noun=noun, label=words, factor=100.0 / scale)
    if column in LOSSES:
        return replace(TEST_LOSS, noun=words, label=words)
    unit = "s" if column.endswith("_seconds") else ""
    digits = _digits(comparison)
    return Metric(noun=words, label=words, digits=digits, unit=unit, difference_unit=unit)


def result_label(analysis: SweepAnalysis) -> str:
    """Name the result of a run: ``final test accuracy`` for runs of a sweep."""
    label = metric_of(analysis.comparison).label
    return f"final {label}" if analysis.variants else label


def _known_values(comparison: Comparison) -> FloatArray:
    """Quantiles and extremes of all treatments, where they are finite."""
    known = ((t.max, t.q3, t.median, t.min) for t in comparison.treatments)
    return np.array([x for values in known for x in values if x is not None])


def _digits(comparison: Comparison) -> int:
    """Number of decimals that show two digits of the smallest standard deviation."""
    spreads = [t.std for t in comparison.treatments if t.std]
    return min(9, max(0, 1 - math.floor(math.log10(min(spreads))))) if spreads else 4
