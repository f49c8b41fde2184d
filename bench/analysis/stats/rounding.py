"""Rounding that keeps equal things equal.

``0.9812 - 0.9810`` and ``0.9805 - 0.9803`` differ in the last bit of a float, though both are two
images in 10,000. Rounded to 1e-12 of the larger value, they tie again; and because the last digit
kept is a decimal one, they tie whether the table holds fractions or per cent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: Significant digits that survive.
DIGITS = 12


def decimals(largest: FloatArray) -> FloatArray:
    """How many decimals keep :data:`DIGITS` significant digits of `largest`, elementwise.

    Negative where digits in front of the point are lost. Zeros and infinities count as 1.
    """
    usable = np.isfinite(largest) & (largest > 0)
    magnitude = np.ceil(np.log10(np.where(usable, largest, 1.0)))
    return np.asarray(np.clip(DIGITS - magnitude, -290, 290))


def in_units(x: FloatArray, places: FloatArray | float) -> FloatArray:
    """`x` as whole multiples of ``10**-places``.

    Multiplies or divides by a power of ten that is exact (up to ``10**22``), never by 1e-12,
    which is not.
    """
    power = 10.0 ** np.abs(places)
    with np.errstate(over="ignore"):  # in the branch that is not taken
        return np.asarray(np.rint(np.where(np.less(places, 0), x / power, x * power)))


def rounded(x: FloatArray, places: FloatArray | float) -> FloatArray:
    """`x` rounded to `places` decimals, elementwise; infinities stay."""
    units, power = in_units(x, places), 10.0 ** np.abs(places)
    with np.errstate(over="ignore"):
        return np.asarray(np.where(np.less(places, 0), units * power, units / power))


def significant(x: FloatArray) -> FloatArray:
    """`x` rounded to :data:`DIGITS` significant digits, so that equal values tie.

    >>> float(significant(np.array([0.1 + 0.2]))[0])
    0.3
    """
    return rounded(x, decimals(np.abs(x)))
