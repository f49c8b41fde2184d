"""Result classes of an analysis: frozen dataclasses with a stated type, shape and unit.

Undefined values are ``None``, never 0 and never NaN. Scores have the unit of the compared column
(``test_accuracy``: a fraction between 0 and 1); differences are "a minus b" in that unit.
"""

from bench.analysis.results.change import Change, ChangedFact, Obstacle, SpeedChange, SweepChange
from bench.analysis.results.comparison import Comparison, Look
from bench.analysis.results.pairs import Omnibus, Pair, Power, Treatment
from bench.analysis.results.parameters import (
    CORRECTIONS,
    HIDDEN,
    OMIT_DEFAULT,
    TESTS,
    Block,
    Correction,
    Direction,
    Parameters,
    Test,
    Verdict,
)
from bench.analysis.results.runs import (
    Band,
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
from bench.analysis.results.secondary import (
    BestShare,
    CollapsePair,
    CollapseRate,
    Collapses,
    CrossedInterval,
    LogRank,
    RankReversal,
    Scope,
    SelectionPoint,
    SingleSeed,
    SurvivalStep,
    TargetTreatment,
    TimeToTarget,
)
from bench.analysis.results.sweep import SweepAnalysis

__all__ = [
    "CORRECTIONS",
    "HIDDEN",
    "OMIT_DEFAULT",
    "TESTS",
    "Band",
    "BestShare",
    "Block",
    "Change",
    "ChangedFact",
    "CollapsePair",
    "CollapseRate",
    "Collapses",
    "Comparison",
    "Correction",
    "CrossedInterval",
    "Direction",
    "Incident",
    "LearningCurve",
    "LogRank",
    "Look",
    "Obstacle",
    "Omnibus",
    "Pair",
    "Parameters",
    "Power",
    "Provenance",
    "RankDiagram",
    "RankReversal",
    "RateCurve",
    "RunScore",
    "RunTable",
    "Scope",
    "SelectionPoint",
    "SingleSeed",
    "SpeedChange",
    "SurvivalStep",
    "SweepAnalysis",
    "SweepChange",
    "TargetTreatment",
    "Test",
    "TimeRatio",
    "TimeToTarget",
    "Timing",
    "Treatment",
    "Variant",
    "Verdict",
]
