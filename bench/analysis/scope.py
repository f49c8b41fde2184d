r"""Intervals of mean differences over new seeds and new test images.

The t interval of a mean difference generalises to new seeds with the same test images. The
correctness of every image in every run allows an interval over new seeds *and* new images, with
seeds and images as crossed random effects. For the paired difference of correctness
:math:`d_{se} \in \{-1, 0, 1\}` of seed :math:`s` on example :math:`e`, an unbiased estimate of the
variance of the grand mean over :math:`n` seeds and :math:`N` examples is

.. math:: (MS_{seed} + MS_{example} - MS_{residual}) / (n N).

This estimate can be too small by chance, even negative. The largest of the three mean squares,
divided by :math:`n N`, is therefore a lower limit, and the interval is never narrower than the one
over seeds.

References
----------
.. [1] Scheffe, H. (1959). The Analysis of Variance, sections 7.4 and 7.5.
.. [2] Satterthwaite, F. E. (1946). An approximate distribution of estimates of variance
   components. Biometrics Bulletin 2, 110-114.
.. [3] Bouthillier, X. et al. (2021). Accounting for variance in machine learning benchmarks. MLSys.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import where
from bench.analysis.pairs import MIN_BLOCKS_FOR_VERDICT
from bench.analysis.results import CrossedInterval, Pair, Parameters, Scope
from bench.analysis.stats.distributions import t_quantile, t_tail
from bench.analysis.stats.multiplicity import holm
from bench.analysis.stats.permutation import TINY
from bench.analysis.stats.rounding import FloatArray
from bench.analysis.table import PairedTable
from bench.errors import TableError

#: Column with one bit per test example, the first in the highest bit: 1 where it is correct.
CORRECTNESS = "correct_bits"


def scope(
    table: pd.DataFrame,
    paired: PairedTable,
    pairs: Sequence[Pair],
    parameters: Parameters,
    level: float,
) -> Scope | None:
    """Compute crossed intervals and equivalence tests of the mean difference of every pair.

    `level` is the family-wise level of the simultaneous intervals. None without the column
    :data:`CORRECTNESS`, or without counts of test images. Raise TableError if the bits of a run do
    not agree with its count of correct examples.
    """
    if CORRECTNESS not in table.columns or paired.total is None:
        return None
    correctness = _Correctness.of(table, paired)
    if not correctness.known.any():
        return None
    column = {name: i for i, name in enumerate(paired.treatments)}
    single_level = level / max(1, sum(pair.pvalue is not None for pair in pairs))
    crossed = [
        _crossed_interval(
            pair, correctness, (column[pair.a], column[pair.b]), parameters, single_level
        )
        for pair in pairs
    ]
    adjusted = holm([interval.pvalue_equivalence for interval in crossed])
    return Scope(
        n_examples=paired.total,
        pairs=tuple(
            replace(interval, pvalue_equivalence_holm=p)
            for interval, p in zip(crossed, adjusted, strict=True)
        ),
    )


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of a two-way analysis of variance of differences (n, N), one per cell."""

    n: int
    n_examples: int
    mean: float
    seed: float
    example: float
    residual: float

    @property
    def variance_of_mean(self) -> float:
        """Variance of the grand mean over new seeds and new examples."""
        return max(self._sum, self._largest) / (self.n * self.n_examples)

    @property
    def df(self) -> float | None:
        """Satterthwaite's degrees of freedom of the variance; None where all mean squares are 0."""
        parts = self._parts
        if not self._largest:
            return None
        if self._sum < self._largest:
            close = (df for square, df in parts if math.isclose(square, self._largest))
            return float(min(close))
        return self._sum**2 / math.fsum(square**2 / df for square, df in parts if square)

    def half_width(self, alpha: float) -> float:
        """Return half the width of the interval of the grand mean at level 1 - `alpha`.

        It is at least that of the interval over seeds alone: with few seeds, their mean square can
        be small by chance, and Satterthwaite's degrees of freedom are then too large.
        """
        if self.df is None:
            return 0.0
        crossed = t_quantile(alpha / 2, self.df) * math.sqrt(self.variance_of_mean)
        over_seeds = self.seed / (self.n * self.n_examples)
        return max(crossed, t_quantile(alpha / 2, self.n - 1) * math.sqrt(over_seeds))

    def equivalence_pvalue(self, margin: float) -> float | None:
        """Return the p-value of two one-sided tests of the grand mean against +-`margin`.

        At twice this level, the interval of :meth:`half_width` just lies within +-`margin`. None
        where the variance of seeds is 0.
        """
        if self.df is None or not self.seed:
            return None
        over_seeds = self.seed / (self.n * self.n_examples)
        distance = margin - abs(self.mean)
        tails = (
            t_tail(distance / math.sqrt(variance), df)
            for variance, df in ((self.variance_of_mean, self.df), (over_seeds, self.n - 1))
        )
        return max(TINY, *tails)

    @property
    def _sum(self) -> float:
        return self.seed + self.example - self.residual

    @property
    def _largest(self) -> float:
        return max(self.seed, self.example, self.residual)

    @property
    def _parts(self) -> tuple[tuple[float, int], ...]:
        """Each mean square with its degrees of freedom."""
        seeds, examples = self.n - 1, self.n_examples - 1
        return (self.seed, seeds), (self.example, examples), (self.residual, seeds * examples)

    @classmethod
    def of(cls, by_seed: FloatArray, by_example: FloatArray, sum_of_squares: float) -> MeanSquares:
        """Compute the mean squares from sums of differences per seed (n,) and per example (N,).

        Both n and N are above 1. All sums are whole numbers, so they are exact.
        """
        n, n_examples = len(by_seed), len(by_example)
        cells = n * n_examples
        total = float(by_seed.sum())
        correction = total**2 / cells
        seeds = float((by_seed**2).sum()) / n_examples - correction
        examples = float((by_example**2).sum()) / n - correction
        residual = max(0.0, sum_of_squares - correction - seeds - examples)
        return cls(
            n=n,
            n_examples=n_examples,
            mean=total / cells,
            seed=max(0.0, seeds) / (n - 1),
            example=max(0.0, examples) / (n_examples - 1),
            residual=residual / ((n - 1) * (n_examples - 1)),
        )


@dataclass(frozen=True)
class _Correctness:
    """Packed bits of every run, (n, k, bytes), and a mask of the runs that have them, (n, k)."""

    bits: NDArray[np.uint8]
    known: NDArray[np.bool_]
    n_examples: int
    _sums: dict[tuple[int, bytes], FloatArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, table: pd.DataFrame, paired: PairedTable) -> _Correctness:
        n_examples = paired.total or 0
        n_bytes = -(-n_examples // 8)
        bits = np.zeros((*paired.cells.shape, n_bytes), dtype=np.uint8)
        known = np.zeros(paired.cells.shape, dtype=np.bool_)
        packed = table[CORRECTNESS].tolist()
        for cell in zip(*np.nonzero(np.isfinite(paired.values)), strict=True):
            row = int(paired.cells[cell])
            content = packed[row]
            if content is None or content is pd.NA or content != content:
                continue  # tables of other tools may have gaps
            correct = round(float(paired.values[cell]) * n_examples)
            bits[cell] = _checked_bits(content, n_examples, correct, table, row)
            known[cell] = True
        return cls(bits=bits, known=known, n_examples=n_examples)

    def by_example(self, column: int, blocks: NDArray[np.intp]) -> FloatArray:
        """Return the number of these blocks in which each example is correct, shape (N,).

        It is computed once: most pairs have the same blocks.
        """
        key = column, blocks.tobytes()
        if key not in self._sums:
            self._sums[key] = self._sum(column, blocks)
        return self._sums[key]

    def _sum(self, column: int, blocks: NDArray[np.intp]) -> FloatArray:
        sums = np.zeros(self.n_examples)
        for start in range(0, len(blocks), 250):  # sums up to 255 fit into one byte
            some = self.bits[blocks[start : start + 250], column]
            unpacked = np.unpackbits(some, axis=1, count=self.n_examples)
            sums += unpacked.sum(axis=0, dtype=np.uint8)
        return sums


def _checked_bits(
    content: object, n_examples: int, correct: int, table: pd.DataFrame, row: int
) -> NDArray[np.uint8]:
    def error(rule: str) -> TableError:
        return TableError(f"column {CORRECTNESS!r} must {rule} in {where(table, row)}")

    if not isinstance(content, bytes | bytearray | memoryview):
        raise error(f"hold bytes, got {type(content).__name__}")
    bits = np.frombuffer(content, dtype=np.uint8)
    if len(bits) != -(-n_examples // 8):
        raise error(f"hold one bit for each of {n_examples} examples, got {len(bits)} bytes")
    if int(bits[-1]) & ((1 << (8 * len(bits) - n_examples)) - 1):
        raise error(f"have no bit set after example {n_examples}, got one")
    counted = int(np.bitwise_count(bits).sum())
    if counted != correct:
        raise error(
            f"agree with the accuracy, got {counted} correct of {n_examples} examples and "
            f"{correct} by the accuracy"
        )
    return bits


def _crossed_interval(
    pair: Pair,
    correctness: _Correctness,
    columns: tuple[int, int],
    parameters: Parameters,
    single_level: float,
) -> CrossedInterval:
    a, b = columns
    blocks = np.flatnonzero(correctness.known[:, a] & correctness.known[:, b])
    none = CrossedInterval(
        a=pair.a, b=pair.b, n=len(blocks), crossed_ci_low=None, crossed_ci_high=None, df=None
    )
    if len(blocks) < MIN_BLOCKS_FOR_VERDICT or correctness.n_examples < 2:
        return none
    squares, margin = _mean_squares(correctness, a, b, blocks), parameters.margin
    half, wide = (squares.half_width(alpha) for alpha in (parameters.interval_alpha, single_level))
    return replace(
        none,
        crossed_ci_low=squares.mean - half,
        crossed_ci_high=squares.mean + half,
        df=squares.df,
        simultaneous_ci_low=squares.mean - wide,
        simultaneous_ci_high=squares.mean + wide,
        pvalue_equivalence=None if margin is None else squares.equivalence_pvalue(margin),
    )


def _mean_squares(
    correctness: _Correctness, a: int, b: int, blocks: NDArray[np.intp]
) -> MeanSquares:
    x, y = correctness.bits[blocks, a], correctness.bits[blocks, b]
    right = [np.bitwise_count(bits).sum(axis=1, dtype=np.float64) for bits in (x, y)]
    return MeanSquares.of(
        by_seed=right[0] - right[1],
        by_example=correctness.by_example(a, blocks) - correctness.by_example(b, blocks),
        sum_of_squares=float(np.bitwise_count(x ^ y).sum(dtype=np.int64)),
    )
