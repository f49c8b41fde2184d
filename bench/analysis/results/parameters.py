"""Declared settings of a comparison, and the types that results share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bench.analysis.notebook import NotebookRepr
from bench.words import spoken

#: Metadata of fields that JSON leaves out where they have their default.
OMIT_DEFAULT = {"omit_default": True}
#: Metadata of fields that neither JSON nor notebooks show.
HIDDEN = {"hidden": True}
#: Whether higher or lower values are better.
Direction = Literal["higher", "lower"]
#: Name of a block: usually a seed, in other tables a number or a text.
Block = int | float | str
#: Adjustment of the p-values of all pairs.
Correction = Literal["holm", "max-t"]
CORRECTIONS: tuple[Correction, ...] = ("holm", "max-t")
#: Test of the difference of a pair.
Test = Literal["sign-flip", "welch", "corrected-t"]
TESTS: tuple[Test, ...] = ("sign-flip", "welch", "corrected-t")
Verdict = Literal["better", "worse", "equivalent", "inconclusive", "identical", "not testable"]
_REVERSED: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}


def reversed_verdict(verdict: Verdict) -> Verdict:
    """Return the verdict on b relative to a from that on a relative to b."""
    return _REVERSED.get(verdict, verdict)


@dataclass(frozen=True, kw_only=True)
class Parameters(NotebookRepr):
    """Settings that were declared before the comparison.

    Attributes
    ----------
    alpha
        Family-wise error rate.
    margin
        Equivalence margin in the unit of `value`; None without equivalence tests.
    direction
        Whether higher or lower values are better.
    value, treatment, block
        Names of the columns with the compared value, the treatment, and the block that pairs runs.
    n_blocks
        Number of different blocks (seeds) in the table; the largest number of runs of a treatment
        where these are independent samples.
    k
        Number of treatments (optimizers).
    win_threshold
        Share of blocks, at least 1/2, that a treatment is tested to win more than; None without
        these tests.
    correction
        Adjustment of the p-values that decide between `better`, `worse` and neither: Holm's method,
        or step-down max-T (:mod:`bench.analysis.stats.max_t`).
    test
        Test of each pair: the exact paired sign-flip test; Welch's t test of independent samples
        (:mod:`bench.analysis.stats.welch`); or the corrected resampled t test of folds
        (:mod:`bench.analysis.stats.resampled`). Left out of JSON for the sign-flip test.
    resampling_ratio
        Number of test examples over that of training examples of a fold; None unless `test` is
        ``"corrected-t"``. Left out of JSON where it is None.
    looks
        Declared numbers of blocks at which a sequential comparison judges the pairs
        (:mod:`bench.analysis.sequential`). Empty, and left out of JSON, for any other comparison.
    """

    alpha: float
    margin: float | None
    direction: Direction
    value: str
    treatment: str
    block: str
    n_blocks: int
    k: int
    win_threshold: float | None = None
    correction: Correction = "holm"
    test: Test = field(default="sign-flip", metadata=OMIT_DEFAULT)
    resampling_ratio: float | None = field(default=None, metadata=OMIT_DEFAULT)
    looks: tuple[int, ...] = field(default=(), metadata=OMIT_DEFAULT)

    @property
    def interval_alpha(self) -> float:
        """Error rate of a single interval: `alpha`, divided among the looks if seeds are added.

        With it, the intervals of one mean at all looks hold together (repeated confidence
        intervals, by Bonferroni's method).
        """
        return self.alpha / max(1, len(self.looks))

    @property
    def is_paired(self) -> bool:
        """Whether the runs of a block are paired."""
        return self.test != "welch"

    @property
    def unit(self) -> str:
        """Noun for what the tests count: the block, or a run where runs are not paired."""
        return spoken(self.block) if self.is_paired else "run"
