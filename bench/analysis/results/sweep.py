"""Result of the analysis of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.notebook import NotebookRepr
from bench.analysis.results.comparison import Comparison
from bench.analysis.results.runs import (
    Incident,
    LearningCurve,
    Provenance,
    RankDiagram,
    RateCurve,
    RunScore,
    RunTable,
    TimeRatio,
    Timing,
    Variant,
)


@dataclass(frozen=True, kw_only=True)
class SweepAnalysis(NotebookRepr, first=("name", "comparison")):
    """All results that the report of a sweep shows, computed from its stored rows.

    `variants`, `curves` and `timings` are in the order of `comparison.treatments`; `scores` and
    `incidents` are in this order, then in that of the seeds; `time_ratios` are in the order of
    `comparison.pairs`. `target` is a test accuracy as a fraction.

    Attributes
    ----------
    letters
        Compact letter display, in the order of `comparison.treatments`: two treatments share a
        letter where they were not shown to differ.
    ranks
        None for fewer than three treatments or two complete blocks.
    rates
        One curve for each variant with a known learning rate; empty where no variant has a
        schedule.
    runs
        The analysed rows.
    """

    name: str
    target: float
    comparison: Comparison
    letters: tuple[str, ...]
    ranks: RankDiagram | None
    variants: tuple[Variant, ...]
    scores: tuple[RunScore, ...]
    curves: tuple[LearningCurve, ...]
    rates: tuple[RateCurve, ...]
    timings: tuple[Timing, ...]
    time_ratios: tuple[TimeRatio, ...]
    incidents: tuple[Incident, ...]
    provenance: Provenance
    runs: RunTable
