"""Words for the declared test of the pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.results import Comparison, Test
from bench.report.text.format import count


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """Words for a test of the pairs.

    Attributes
    ----------
    test
        Name in a sentence.
    head
        Head of a column of its p-values.
    one_sided
        Name of the tests of equivalence.
    intervals
        What the intervals of means and of differences are.
    """

    test: str
    head: str
    one_sided: str
    intervals: str


PROCEDURES: Mapping[Test, Procedure] = {
    "sign-flip": Procedure(
        test="exact sign-flip test",
        head="sign-flip",
        one_sided="two one-sided paired t tests",
        intervals="Student's t",
    ),
    "welch": Procedure(
        test="Welch's t test of independent samples",
        head="Welch",
        one_sided="two one-sided Welch t tests",
        intervals="Student's t, those of differences Welch's t",
    ),
    "corrected-t": Procedure(
        test="corrected resampled t test",
        head="corrected t",
        one_sided="two one-sided corrected t tests",
        intervals="corrected Student's t",
    ),
}


def procedure_of(comparison: Comparison) -> Procedure:
    """Return the words for the test of a comparison."""
    return PROCEDURES[comparison.parameters.test]


def with_article(test: str) -> str:
    """Return the name of a test for the middle of a sentence: ``the exact sign-flip test``."""
    return test if test.startswith("Welch") else f"the {test}"


def runs_each(comparison: Comparison) -> str:
    """``12 runs each``, or ``10 to 12 runs each``: the sizes of independent samples."""
    sizes = [t.n for t in comparison.treatments if t.n] or [0]
    least, most = min(sizes), max(sizes)
    runs = count(most, "run")
    return f"{runs} each" if least == most else f"{least:,} to {runs} each"
