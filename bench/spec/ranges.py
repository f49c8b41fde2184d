"""Ranges of hyperparameters that a tuning searches, and what it selects by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import SpecError

#: What a setting is selected by, and whether less is better.
METRICS: Mapping[str, bool] = {"accuracy": False, "loss": True, "time-to-target": True}
#: Hyperparameters and their values.
Setting = tuple[tuple[str, float], ...]
#: Digits of a tried value: its name, such as adam[lr=0.00123], identifies it.
_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class SearchRange:
    """Range of one hyperparameter, including both ends; `is_log` is its scale."""

    name: str
    low: float
    high: float
    is_log: bool = True

    def __post_init__(self) -> None:
        lowest, rule = (0.0, "0 < LOW < HIGH") if self.is_log else (-math.inf, "LOW < HIGH")
        if not lowest < self.low < self.high < math.inf:
            raise SpecError(
                f"the range of {self.name} must be LOW..HIGH with {rule}, got "
                f"{self.low:g}..{self.high:g}"
            )
        if math.isinf(self.high / self.low if self.is_log else self.high - self.low):
            raise SpecError(f"the range of {self.name} is too wide, got {self}")

    def __str__(self) -> str:
        return f"{self.name}={self.low:g}..{self.high:g}"

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last value that can be tried."""
        return self.at(0), self.at(1)

    def share(self, value: float) -> float:
        """Return the place of a value in the range; 0 and 1 are its ends."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def at(self, share: float) -> float:
        """Return the value at a share of the range, from 0 to 1, with few digits."""
        if self.is_log:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return float(f"{value:.{_DIGITS}g}")
