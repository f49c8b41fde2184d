r"""Friedman's test on ranks within blocks, for information: no verdict depends on it.

References
----------
.. [1] Friedman, M. (1937). The use of ranks to avoid the assumption of normality implicit in the
   analysis of variance. JASA 32, 675-701.
.. [2] Iman, R. L. & Davenport, J. M. (1980). Approximations of the critical region of the Friedman
   statistic. Communications in Statistics A 9, 571-595.
.. [3] Demsar, J. (2006). Statistical comparisons of classifiers over multiple data sets. JMLR 7,
   1-30. (Its 9.28 for Table 6 is not corrected for ties; with the correction it is 10.95.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.results import Omnibus, RankDiagram, Treatment
from bench.analysis.stats.distributions import chi2_tail, f_tail, range_quantile
from bench.analysis.stats.rounding import FloatArray, significant


def block_ranks(values: FloatArray, sign: int) -> FloatArray:
    """Return midranks within each row of `values`, shape (n, k) without NaN; 1 for the best.

    Values that are equal in 12 digits are tied. `sign` is +1 where higher is better, else -1.
    """
    return np.asarray(pd.DataFrame(-sign * significant(values)).rank(axis=1))


def friedman_chi2(ranks: FloatArray, *, correct_ties: bool = True) -> float | None:
    """Return Friedman's chi-square of ranks, shape (n, k), with k - 1 degrees of freedom.

    None where all treatments are tied in every block, or without a block.
    """
    n, k = ranks.shape
    within = ((ranks - (k + 1) / 2) ** 2).sum() / (n * (k - 1)) if n else 0.0
    scale = within if correct_ties else k * (k + 1) / 12
    if within == 0:
        return None
    return float(n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum() / scale)


def iman_davenport(chi2: float, n: int, k: int) -> float | None:
    """Return the F statistic of a Friedman chi-square, with (k - 1, (k - 1)(n - 1)) df.

    None where all blocks have the same ranking, because F would be infinite.
    """
    remainder = n * (k - 1) - chi2
    return (n - 1) * chi2 / remainder if n > 1 and remainder > 1e-9 * n else None


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return the smallest difference of mean ranks that is significant in Nemenyi's test.

    It is used for a critical-difference diagram only and not for verdicts, because the result of
    Nemenyi's test for two treatments depends on which other treatments are compared [4]_.

    Parameters
    ----------
    k, n
        Numbers of treatments (at least 2) and of complete blocks (at least 1).
    alpha
        Family-wise level.

    Examples
    --------
    Four classifiers on 14 data sets, as in section 3.2.2 of [3]_ (1.25):

    >>> round(critical_difference(4, 14), 2)
    1.25

    References
    ----------
    .. [4] Benavoli, A., Corani, G. & Mangili, F. (2016). Should we really use post-hoc tests based
       on mean-ranks? JMLR 17, 1-10.
    """
    q = range_quantile(alpha, k) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))


def omnibus(ranks: FloatArray) -> Omnibus | None:
    """Compute Friedman's test of ranks within complete blocks, shape (n, k); None for k < 3.

    Below two blocks the statistics are None.
    """
    n, k = ranks.shape
    if k < 3:
        return None
    chi2 = friedman_chi2(ranks) if n > 1 else None
    f = None if chi2 is None else iman_davenport(chi2, n, k)
    df = k - 1
    return Omnibus(
        chi2=chi2,
        df=df,
        pvalue=None if chi2 is None else chi2_tail(chi2, df),
        f_statistic=f,
        f_pvalue=None if f is None else f_tail(f, df, df * (n - 1)),
        n_blocks=n,
    )


def rank_diagram(
    treatments: Sequence[Treatment], omnibus: Omnibus | None, alpha: float
) -> RankDiagram | None:
    """Compute Nemenyi's groups of mean ranks; None for fewer than three treatments or two blocks.

    `omnibus` is Friedman's test of the same comparison, `alpha` the family-wise level.
    """
    if omnibus is None or omnibus.n_blocks < 2:
        return None
    width = critical_difference(len(treatments), omnibus.n_blocks, alpha)
    ranked = sorted((t.mean_rank, t.name) for t in treatments if t.mean_rank is not None)
    groups: list[tuple[str, ...]] = []
    last_end = 0
    for start, (best, _) in enumerate(ranked):
        inside = [name for rank, name in ranked[start:] if rank - best < width]
        end = start + len(inside)
        if len(inside) > 1 and end > last_end:  # else the group is part of the previous group
            groups.append(tuple(inside))
            last_end = end
    return RankDiagram(
        n_blocks=omnibus.n_blocks,
        critical_difference=width,
        ranked=tuple(name for _, name in ranked),
        groups=tuple(groups),
    )
