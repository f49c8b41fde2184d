"""Declared settings of a comparison, and the types that results share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.analysis.notebook import NotebookRepr

#: Metadata of fields that JSON leaves out where they are empty.
OMIT_EMPTY = {"omit_empty": True}
#: Metadata of fields that neither JSON nor notebooks show.
HIDDEN = {"hidden": True}
#: Whether higher or lower values are better.
Direction = Literal["higher", "lower"]
#: Name of a block: usually a seed, in other tables a number or a text.
Block = int | float | str
#: Adjustment of the p-values of all pairs.
Correction = Literal["holm", "max-t"]
CORRECTIONS: tuple[Correction, ...] = ("holm", "max-t")
Verdict = Literal["better", "worse", "equivalent", "inconclusive", "identical", "not testable"]


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
        Number of different blocks (seeds) in the table.
    k
        Number of treatments (optimizers).
    win_threshold
        Share of blocks, at least 1/2, that a treatment is tested to win more than; None without
        these tests.
    correction
        Adjustment of the p-values that decide between `better`, `worse` and neither: Holm's method,
        or step-down max-T (:mod:`bench.analysis.stats.max_t`).
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
