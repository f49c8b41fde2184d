r"""Corrected resampled t test of results on folds, or on other splits of one dataset.

The training sets of folds share examples, so the results of folds are correlated, and
:math:`s^2 / n` is too small a variance of their mean. The corrected variance is

.. math:: \left(\frac{1}{n} + \frac{n_{test}}{n_{train}}\right) s^2

with Student's distribution of n - 1 degrees of freedom [1]_. It is derived for random splits, and
used for k-fold cross-validation with the ratio 1 / (k - 1) [2]_.

References
----------
.. [1] Nadeau, C. & Bengio, Y. (2003). Inference for the generalization error. Machine Learning 52,
   239-281.
.. [2] Bouckaert, R. R. & Frank, E. (2004). Evaluating the replicability of significance tests for
   comparing learning algorithms. PAKDD, 3-12.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bench.analysis.stats.student import Moments


def resampled(moments: Moments, ratio: float | None) -> Moments:
    """Return moments whose standard deviation gives the corrected standard error of the mean.

    The functions of :mod:`bench.analysis.stats.student` then compute the corrected tests and
    intervals. `ratio` is the number of test examples over that of training examples of a split;
    None returns `moments`.

    >>> round(resampled(Moments(n=10, mean=0.01, std=0.02), 1 / 9).std, 4)  # ten folds
    0.0291
    """
    if ratio is None or moments.std is None:
        return moments
    return replace(moments, std=moments.std * math.sqrt(1 + moments.n * ratio))
