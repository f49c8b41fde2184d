"""Rounding to 12 significant digits, so that equal differences are equal as floats.

``0.9812 - 0.9810`` and ``0.9805 - 0.9803`` differ in the last bits of a float, but both are two
images in 10,000. Rounded to 1e-12 of the larger value, they are equal. The rounding is decimal, so
the same values are tied in fractions and in per cent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Number of significant digits after rounding.
DIGITS = 12


def decimals(largest: FloatArray) -> FloatArray:
    """Return the number of decimals that keep :data:`DIGITS` significant digits of `largest`.

    Elementwise; negative where digits before the decimal point are rounded. Zeros and infinities
    count as 1.
    """
    usable = np.isfinite(largest) & (largest > 0)
    magnitude = np.ceil(np.log10(np.where(usable, largest, 1.0)))
    return np.asarray(np.clip(DIGITS - magnitude, -290, 290))


def in_units(x: FloatArray, places: FloatArray | float) -> FloatArray:
    """Return `x` as whole multiples of ``10**-places``.

    Only positive powers of ten are used, which are exact floats up to ``10**22``; 1e-12 is not.
    """
    power = 10.0 ** np.abs(places)
    with np.errstate(over="ignore"):  # np.where evaluates both branches
        return np.asarray(np.rint(np.where(np.less(places, 0), x / power, x * power)))


def rounded(x: FloatArray, places: FloatArray | float) -> FloatArray:
    """Return `x` rounded to `places` decimals, elementwise; infinities are unchanged."""
    units, power = in_units(x, places), 10.0 ** np.abs(places)
    with np.errstate(over="ignore"):
        return np.asarray(np.where(np.less(places, 0), units * power, units / power))


def significant(x: FloatArray) -> FloatArray:
    """Return `x` rounded to :data:`DIGITS` significant digits, so that equal values are tied.

    >>> float(significant(np.array([0.1 + 0.2]))[0])
    0.3
    """
    return rounded(x, decimals(np.abs(x)))
