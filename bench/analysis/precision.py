r"""Recovery of exact values from rounded values.

A file may hold ``95.9800033569336``, which is 95.98 in float32, for 4799 of 5000 images.
Differences of such values contain rounding errors, and equal differences are no longer equal.
Rounded values are therefore replaced by exact values, where these can be identified with certainty:

1. multiples of :math:`1/N`, where all values lie within their rounding error of a multiple and
   this is not a coincidence: for random values, the expected number of such :math:`N` is below
   :data:`CHANCE`;
2. else, where all values are float16, bfloat16 or float32 numbers, the shortest decimals that are
   rounded to these numbers; but not where all values are multiples of a power of two that is at
   least as large as the last decimal place: such values are exact in binary.

References
----------
.. [1] Steele, G. L. & White, J. L. (1990). How to print floating-point numbers accurately. PLDI,
   112-126. (The shortest decimal that reads back as the same number.)
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from bench.analysis.stats.rounding import FloatArray

#: Largest accepted probability that random values fit the same multiples by chance.
CHANCE = 1e-6
#: The same for a binary format. It is larger, because a wrong format causes a small error only.
_CHANCE_OF_FORMAT = 1e-4
#: Largest denominator that is tried.
MAX_TOTAL = 2_000_000
#: Number of denominators in one vectorised step.
_AT_ONCE = 50_000
#: Largest number of significant digits of values that are regarded as rounded decimals.
_MOST_DIGITS = 8
#: Rounding errors of float32 arithmetic, in units of half the spacing of float32 numbers.
_NOISE = (1.0, 8.0)
#: Errors of an accuracy are looked for in error rates only where all are larger by this factor.
_TELLING = 1000
#: Denominators whose multiples, with their errors, cover more of the line than this are not looked
#: for: decimals lie on a grid, which half as fine a grid seems to fit.
_MOST_COVERED = 0.4


@dataclass(frozen=True)
class Format:
    """Binary floating-point format: number of significant bits, and largest finite number."""

    name: str
    bits: int
    largest: float

    def nearest(self, x: FloatArray) -> FloatArray:
        """Return the numbers of this format nearest to `x`; infinite beyond its range."""
        fraction, exponent = np.frexp(x)
        rounded = np.ldexp(np.rint(np.ldexp(fraction, self.bits)), exponent - self.bits)
        return np.asarray(np.where(np.abs(rounded) <= self.largest, rounded, np.inf))

    def spacing(self, x: FloatArray) -> FloatArray:
        """Return the distance between neighbouring numbers of this format around `x`."""
        return np.asarray(np.ldexp(1.0, np.frexp(x)[1] - self.bits))


#: From the coarsest to the finest.
FORMATS = (
    Format("bfloat16", 8, 3.39e38),
    Format("float16", 11, 65504.0),
    Format("float32", 24, 3.4028235e38),
)


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Recovered values, shape (n,), in the order given; NaN and infinities are unchanged.

    `rounded_to` is the precision of the given values, such as ``"float32"``, None where they are
    unchanged. `total` is a number where the values are multiples of ``scale / total``. `error` is
    the relative rounding error that remains: 0 for multiples, and for decimals with fewer digits
    than the format.
    """

    values: FloatArray
    rounded_to: str | None = None
    total: int | None = None
    error: float = 0.0


def recover(values: FloatArray, scales: Sequence[float] = (1.0,)) -> Recovered:
    """Replace rounded values by exact values, or return them unchanged where these are uncertain.

    `scales` are values of a perfect accuracy, all tried in turn: 1 for fractions, 100 for per cent.

    >>> recover(np.array([95.9800033569336, 95.91999816894531, 96.0])).values.tolist()
    [95.98, 95.92, 96.0]
    """
    known = np.unique(np.abs(values[np.isfinite(values)]))
    known = known[known > 0]
    if (known == np.rint(known)).all():  # no values, or only whole numbers: nothing to recover
        return Recovered(values=values)
    written = [Decimal(repr(x)).normalize() for x in known.tolist()]
    form = _format_of(known, written)
    name = form.name if form else _decimals_in_words(written)
    for scale in scales:
        errors = [error / scale for error in _errors(known, written, form, scale)]
        own_places = np.array([10.0 ** float(_exponent(d)) for d in written]) / scale
        total = _total(known / scale, errors, own_places)
        if total is not None:
            counts = np.rint(known / scale * total)
            return _replaced(values, known, counts * scale / total, name, total)
    if form is None:
        return Recovered(values=values)
    return _as_decimals(values, known, form)


def rounding(values: FloatArray) -> tuple[str | None, FloatArray]:
    """Return the precision that finite `values` are rounded to, and bounds of their errors.

    The precision is None for float64. The bounds have shape (n,).
    """
    known = np.unique(np.abs(values))
    known = known[known > 0]
    written = [Decimal(repr(x)).normalize() for x in known.tolist()]
    form = _format_of(known, written) if written else None
    if form is not None:
        return form.name, form.spacing(values) / 2
    words = _decimals_in_words(written) if written else None
    place = 10.0 ** float(min(map(_exponent, written))) if words else 0.0
    return words, np.full(len(values), place / 2)


def _format_of(known: FloatArray, written: Sequence[Decimal]) -> Format | None:
    """Return the coarsest format that contains all of `known`, up to the printed digits."""
    last_places = np.array([10.0 ** float(_exponent(d)) for d in written])
    for form in FORMATS:
        with np.errstate(divide="ignore", invalid="ignore"):  # of the smallest floats
            chance = float(np.log(np.minimum(1.0, last_places / form.spacing(known))).sum())
        nearest = form.nearest(known).tolist()
        if chance < math.log(_CHANCE_OF_FORMAT) and all(
            float(f"{x:.{len(d.as_tuple().digits) - 1}e}") == float(d)
            for x, d in zip(nearest, written, strict=True)
        ):
            return form
    return None


def _errors(
    known: FloatArray, written: Sequence[Decimal], form: Format | None, scale: float
) -> tuple[FloatArray, ...]:
    """Return the allowed rounding errors, one array for each attempt."""
    float32 = FORMATS[-1]
    if form is not None and form is not float32:
        return (form.spacing(known) / 2,)
    half = float32.spacing(known) / 2
    # an error rate, 1 - accuracy, has the rounding error of the accuracy
    of_accuracy = float32.spacing(np.full(len(known), 0.9 * scale)) / 2
    is_telling = known.min() > _TELLING * of_accuracy[0]
    complement = (half + of_accuracy,) if is_telling else ()
    if form is None and _decimals_in_words(written) is not None:
        # the value is rounded to float32 first, then to what is printed
        return tuple(
            np.maximum(place / 2, half) + noise
            for place in _places(written)
            for noise in (half, *complement)
        )
    return (*(noise * half for noise in _NOISE), *complement)


def _places(written: Sequence[Decimal]) -> tuple[FloatArray, FloatArray]:
    """Return the last place of each number, if all have as many decimals, or as many digits."""
    last = 10.0 ** float(min(map(_exponent, written)))
    digits = max(len(d.as_tuple().digits) for d in written)
    by_digits = [10.0 ** float(d.adjusted() - digits + 1) for d in written]
    return np.full(len(written), last), np.maximum(last, by_digits)


def _decimals_in_words(written: Sequence[Decimal]) -> str | None:
    """Return a text such as ``4 decimals``; None where a value has too many digits."""
    if any(len(d.as_tuple().digits) > _MOST_DIGITS for d in written):
        return None
    places = max(0, -min(map(_exponent, written)))
    return f"{places} decimal{'' if places == 1 else 's'}"


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def _total(fractions: FloatArray, attempts: Sequence[FloatArray], places: FloatArray) -> int | None:
    """Return the smallest N such that all `fractions` are multiples of 1/N within their errors.

    None where no N fits, or where the fit may be a coincidence. `places` holds the last place of
    each number as written: a number is no better evidence than that.
    """
    informative = fractions != np.rint(fractions)  # whole numbers are multiples of every 1/N
    if not informative.any():
        return None
    for errors in attempts:
        limit = int(min(MAX_TOTAL, _MOST_COVERED / 2 / float(errors[informative].max())))
        largest = _largest_certain_total(np.maximum(errors, places / 2)[informative], limit)
        for start in range(1, largest + 1, _AT_ONCE):
            totals = np.arange(start, min(start + _AT_ONCE, largest + 1), dtype=np.float64)
            fitting = _fitting(totals, fractions[informative], errors[informative])
            if len(fitting):
                return int(fitting[0])
    return None


def _fitting(totals: FloatArray, fractions: FloatArray, errors: FloatArray) -> FloatArray:
    """Return the N in `totals` such that all `fractions` are multiples of 1/N within errors."""
    for x, error in zip(fractions, errors, strict=True):
        products = x * totals
        totals = totals[np.abs(products - np.rint(products)) <= (error * 1.001) * totals]
        if not len(totals):
            break
    return totals


def _largest_certain_total(errors: FloatArray, limit: int) -> int:
    """Return the largest N up to `limit` for which a fit is not a coincidence.

    A random value lies within its error e of a multiple of 1/N with probability 2 e N. The expected
    number of denominators up to N that fit all values is at most N times the product of these
    probabilities.
    """

    def is_chance(total: int) -> bool:
        covered = np.minimum(1.0, 2 * errors * total)
        return math.log(total) + float(np.log(covered).sum()) >= math.log(CHANCE)

    with np.errstate(divide="ignore"):  # of the smallest floats
        return bisect_left(range(1, limit + 1), True, key=is_chance)


def _as_decimals(values: FloatArray, known: FloatArray, form: Format) -> Recovered:
    """Return the shortest decimals of the format's numbers, unless these are exact in binary."""
    nearest = form.nearest(known)
    decimals = _shortest(nearest, form)
    last_place = 10.0 ** float(
        min(_exponent(Decimal(repr(x)).normalize()) for x in decimals.tolist())
    )
    if _binary_place(nearest) >= last_place:
        # all numbers of a format are such multiples; for float32 a grid this coarse is no accident
        error = 2.0**-form.bits if form is FORMATS[-1] else 0.0
        return Recovered(values=_substituted(values, known, nearest), error=error)
    error = 2.0**-form.bits if last_place < form.spacing(known).max() else 0.0
    return _replaced(values, known, decimals, form.name, None, error)


def _binary_place(x: FloatArray) -> float:
    """Return the largest power of two such that all `x` are multiples of it."""
    places = [math.frexp(1 / n.as_integer_ratio()[1]) for n in map(float, x)]
    return min(math.ldexp(fraction, exponent) for fraction, exponent in places)


def _shortest(x: FloatArray, form: Format) -> FloatArray:
    """Return the decimals with the fewest digits that the format rounds to `x`."""
    decimals = x.copy()
    left = np.arange(len(x))
    for digits in range(17):
        tried = np.array([float(f"{number:.{digits}e}") for number in x[left].tolist()])
        found = form.nearest(tried) == x[left]
        decimals[left[found]] = tried[found]
        left = left[~found]
    return decimals


def _replaced(
    values: FloatArray,
    known: FloatArray,
    read: FloatArray,
    rounded_to: str | None,
    total: int | None,
    error: float = 0.0,
) -> Recovered:
    """Return `values` with each of `known` replaced by the value at its index in `read`."""
    if (np.abs(read - known) <= 1e-12 * known).all():  # the values were exact
        return Recovered(values=values, error=error)
    recovered = _substituted(values, known, read)
    return Recovered(values=recovered, rounded_to=rounded_to or "float32", total=total, error=error)


def _substituted(values: FloatArray, known: FloatArray, read: FloatArray) -> FloatArray:
    """Return `values` with each of `known` replaced by the value at its index, keeping the sign."""
    usable = np.isfinite(values) & (values != 0)
    places = np.searchsorted(known, np.abs(np.where(usable, values, known[0])))
    return np.asarray(np.where(usable, np.copysign(read[places], values), values))
