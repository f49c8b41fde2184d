"""Learning rates of the treatments, where any treatment has a schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.columns import is_list, numbers_of
from bench.analysis.results import RateCurve, Variant

RATE_COLUMNS = ("learning_rate_iterations", "learning_rates")
SCHEDULE_COLUMN = "schedule"


def rate_curves(table: pd.DataFrame, variants: Sequence[Variant]) -> tuple[RateCurve, ...]:
    """Return one curve per variant with a known learning rate, in the order of `variants`.

    Nothing where no variant has a schedule: the hyperparameters then hold the constant rates.
    `table` has one row per run with `optimizer`, `iterations` and :data:`RATE_COLUMNS`.
    """
    if not any(variant.schedule for variant in variants):
        return ()
    names = table["optimizer"].astype(str)
    found = (_rate_curve(table[names == v.treatment], v) for v in variants)
    return tuple(curve for curve in found if curve is not None)


def _rate_curve(runs: pd.DataFrame, variant: Variant) -> RateCurve | None:
    budgets = numbers_of(runs, "iterations")
    if not np.isfinite(budgets).any():
        return None
    budget = int(np.nanmax(budgets))
    if variant.schedule is None:
        lr = _as_rate(dict(variant.hyperparameters).get("lr"))
        points = [] if lr is None else [(1, lr), (budget, lr)]
    else:
        points = _longest(runs)
    if not points:
        return None
    iterations, rates = zip(*points, strict=True)
    return RateCurve(
        treatment=variant.treatment,
        schedule=variant.schedule,
        budget=budget,
        iterations=iterations,
        rates=rates,
    )


def _longest(runs: pd.DataFrame) -> list[tuple[int, float]]:
    """Return (iteration, rate) of the run with the most updates; all runs share one schedule."""
    stored = zip(*(runs[column] for column in RATE_COLUMNS), strict=True)
    known = [
        [(int(i), float(rate)) for i, rate in zip(at, rates, strict=False)]
        for at, rates in stored
        if is_list(at) and is_list(rates)
    ]
    return max(known, key=len, default=[])


def _as_rate(text: str | None) -> float | None:
    try:
        rate = float(text or "")
    except ValueError:
        return None
    return rate if math.isfinite(rate) else None
