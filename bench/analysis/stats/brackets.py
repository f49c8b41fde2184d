"""Interval of a mean of interval-censored numbers.

The time at which a run passes a target is known only to lie between two evaluations, its bracket.
The mean time lies between the mean of the lower ends and that of the upper ends, and the interval
reaches from the lower t limit of the former to the upper t limit of the latter. Where all brackets
are equal, both standard deviations are 0, though another run may well fall into the next bracket.
One more number beyond the brackets on either side keeps the limits from the ends of the grid, as
the added successes and failures of Agresti and Coull do for shares.

References
----------
.. [1] Agresti, A. & Coull, B. A. (1998). Approximate is better than "exact" for interval estimation
   of binomial proportions. The American Statistician 52, 119-126.
.. [2] Manski, C. F. & Tamer, E. (2002). Inference on regressions with interval data on a regressor
   or outcome. Econometrica 70, 519-546. (The mean of interval data lies between two means.)
"""

from __future__ import annotations

import numpy as np

from bench.analysis.stats.rounding import FloatArray
from bench.analysis.stats.student import Interval, Moments, t_interval


def bracketed_mean_interval(
    lower: FloatArray, upper: FloatArray, grid: FloatArray, alpha: float
) -> Interval:
    """Return an interval of the mean of numbers between `lower` and `upper`, both of shape (n,).

    `grid` holds all possible ends of brackets; the interval stays between its smallest and largest.
    The level is 1 - `alpha`, approximately. Undefined below two numbers.
    """
    if len(lower) < 2:
        return Interval()
    least, most = float(lower.min()), float(upper.max())
    below, above = grid[grid < least].max(initial=grid.min()), grid[grid > most]
    beyond = above.min() if len(above) else most
    low = t_interval(Moments.of(np.append(lower, below)), alpha).low
    high = t_interval(Moments.of(np.append(upper, beyond)), alpha).high
    if low is None or high is None:
        return Interval()
    return Interval(low=max(low, float(grid.min())), high=min(high, float(grid.max())))
