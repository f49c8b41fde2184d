"""Format numbers with sensible digits and units.

None becomes a dash, a p-value is never 0, and rounding never turns a difference into 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from bench import words

MISSING = "–"
MINUS = "−"
NBSP = "\u00a0"

#: Smaller numbers are rounding errors of sums of floats.
_NOISE = 1e-12
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Format of the compared column.

    Attributes
    ----------
    noun, label
        Short name for sentences, and full name.
    factor, digits
        Stored value times `factor` is the printed value, with `digits` decimals.
    unit, difference_unit
        Units of a printed value and of a printed difference; empty if there is none.
    bound
        Values lie between 0 and this, in the printed unit; None if they are not bounded. Intervals
        are printed up to the bound.
    """

    noun: str
    label: str
    factor: float = 1.0
    digits: int = 4
    unit: str = ""
    difference_unit: str = ""
    bound: float | None = None

    @property
    def largest(self) -> float | None:
        """The bound in the stored unit."""
        return None if self.bound is None else self.bound / self.factor

    def score(self, value: float | None) -> str:
        """Format a value without its unit: ``97.62``."""
        return MISSING if value is None else fixed(value * self.factor, self.digits)

    def score_with_unit(self, value: float | None) -> str:
        """Format a value with its unit: ``97.62 %``."""
        return _with_unit(self.score(value), self.unit)

    def difference(self, value: float | None) -> str:
        """Format a difference with its sign: ``+0.41``."""
        return MISSING if value is None else signed(value * self.factor, self.digits)

    def size(self, value: float) -> str:
        """Format the size of a difference for a sentence: one decimal from 0.15 on, else two."""
        printed = abs(value) * self.factor
        digits = 1 if self.unit == "%" and printed >= 0.15 else self.digits
        return fixed(printed, digits)

    def size_with_unit(self, value: float) -> str:
        """Format the size of a difference with its unit: ``0.4 points``."""
        return _with_unit(self.size(value), self.difference_unit)

    def margin(self, value: float) -> str:
        """Format an equivalence margin: ``±0.2 points``."""
        return _with_unit(f"±{value * self.factor:.6g}", self.difference_unit)

    def score_interval(self, low: float | None, high: float | None) -> str:
        """Format an interval of values: ``[97.55, 97.69]``."""
        lowest = None if self.bound is None else 0.0
        return bracket(*(self.score(within(x, lowest, self.largest)) for x in (low, high)))

    def difference_interval(self, low: float | None, high: float | None) -> str:
        """Format an interval of differences: ``[−0.12, +0.45]``."""
        lowest = None if self.largest is None else -self.largest
        return bracket(*(self.difference(within(x, lowest, self.largest)) for x in (low, high)))


ACCURACY = Metric(
    noun="accuracy",
    label="test accuracy",
    factor=100.0,
    digits=2,
    unit="%",
    difference_unit="points",
    bound=100.0,
)
TEST_LOSS = Metric(
    noun="test loss", label="test loss", digits=4, unit="nats", difference_unit="nats"
)


def within(value: float | None, low: float | None, high: float | None) -> float | None:
    """Move a value that is beyond a bound to the bound; None is no bound."""
    if value is None or low is None or high is None:
        return value
    return min(max(value, low), high)


def fixed(value: float, digits: int) -> str:
    """Format `value` with `digits` decimals, or with more up to its first non-zero digit.

    >>> fixed(97.6151, 2), fixed(0.0041, 2), fixed(0.0, 2), fixed(12345.6, 1)
    ('97.62', '0.004', '0.00', '12,345.6')
    """
    size = abs(value)
    if size < _NOISE:
        return f"{0:.{digits}f}"
    if float(f"{size:.{digits}f}") == 0:
        digits = math.ceil(-math.log10(size))
    text = f"{size:,.{digits}f}"
    return text if value > 0 else MINUS + text


def signed(value: float, digits: int) -> str:
    """Like :func:`fixed`, with a plus sign for positive values."""
    return fixed(value, digits) if value < _NOISE else "+" + fixed(value, digits)


def number(value: float | None, digits: int = 2) -> str:
    """Format a number; None is a dash."""
    return MISSING if value is None else fixed(value, digits)


def signed_number(value: float | None, digits: int = 2) -> str:
    """Format a number with its sign; None is a dash."""
    return MISSING if value is None else signed(value, digits)


def bracket(low: str, high: str) -> str:
    """Format an interval from two printed ends; a dash if neither is known."""
    return MISSING if low == high == MISSING else f"[{low}, {high}]"


def percent(value: float | None, digits: int = 0) -> str:
    """Format a fraction as per cent: ``85 %``."""
    return MISSING if value is None else f"{value * 100:.{digits}f}{NBSP}%"


def probability(value: float) -> str:
    """Format a probability with two decimals: ``0.98``, ``< 0.01``, ``> 0.99``, ``1``, ``0``."""
    if 0 < value < 0.005:
        return f"<{NBSP}0.01"
    if 0.995 <= value < 1:
        return f">{NBSP}0.99"
    return f"{value:.2f}" if 0 < value < 1 else f"{value:.0f}"


def percents(low: float | None, high: float | None) -> str:
    """Format an interval of fractions as per cent: ``[22, 61]``; a dash where it is undefined."""
    if low is None or high is None:
        return MISSING
    return f"[{low * 100:.0f}, {high * 100:.0f}]"


def level(value: float) -> str:
    """Format a declared fraction as per cent, at most four digits: ``95 %``, ``99.17 %``."""
    return f"{value * 100:.4g}{NBSP}%"


def pvalue(p: float | None, alpha: float) -> str:
    """Format a p-value without its letter: ``0.012``, ``< 0.001``.

    With three decimals, or more if rounding would move it to or across `alpha`.
    """
    if p is None:
        return MISSING
    if p < 0.001:
        return f"<{NBSP}0.001"
    digits = 3
    while digits < 9 and _crosses(p, round(p, digits), alpha):
        digits += 1
    return f"{p:.{digits}f}"


def p_equals(p: float | None, alpha: float) -> str:
    """Format a p-value with its letter: ``p = 0.012``, ``p < 0.001``, ``p –``."""
    text = pvalue(p, alpha)
    if p is None or text.startswith("<"):
        return f"p{NBSP}{text}"
    return f"p{NBSP}={NBSP}{text}"


def tiny(value: float | None) -> str:
    """Format a small positive number: ``0.002``, ``1.9 × 10⁻⁶``."""
    if value is None:
        return MISSING
    if value >= 0.001 or value <= 0:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}{NBSP}×{NBSP}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def seconds(value: float | None) -> str:
    """Format a duration with a suitable unit: ``85 ms``, ``2.41 s``, ``12.3 s``, ``15 min``."""
    if value is None:
        return MISSING
    if value < 0.1:
        return f"{value * 1000:.2g}{NBSP}ms"
    if value < 600:
        digits = 2 if value < 10 else 1 if value < 100 else 0
        return f"{value:.{digits}f}{NBSP}s"
    return f"{value / 60:.0f}{NBSP}min"


def moment(value: datetime | None) -> str:
    """Format a time to the minute in UTC; a time without a zone is taken as UTC."""
    if value is None:
        return MISSING
    utc = value.astimezone(UTC) if value.tzinfo else value
    return f"{utc:%Y-%m-%d %H:%M} UTC"


def count(n: int, noun: str) -> str:
    """Format a number with its noun, without a line break: ``1 seed``, ``3,000 updates``."""
    return words.count(n, noun, space=NBSP)


def listing(words: tuple[str, ...]) -> str:
    """Join words to an English list: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _with_unit(text: str, unit: str) -> str:
    return text if text == MISSING or not unit else f"{text}{NBSP}{unit}"


def _crosses(p: float, rounded: float, alpha: float) -> bool:
    return (rounded == alpha and p != alpha) or (p < alpha) != (rounded < alpha)
