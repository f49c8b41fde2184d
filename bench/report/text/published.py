"""Accuracies published by the tutorial that the project is based on, one run per optimizer.

Reports show them next to runs of the same workload: batches of 100 images of MNIST, 3,000 updates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench.analysis.results import SweepAnalysis, Variant
from bench.report.text.format import count

#: Final test accuracy (fraction) of the source's single run, by the optimizer's name here.
TEST_ACCURACY: Mapping[str, float] = MappingProxyType(
    {
        "sgd": 0.9578,
        "momentum": 0.9769,
        "nesterov": 0.9758,
        "adam": 0.9720,
        "adagrad": 0.9551,
        "adadelta": 0.9745,
        "adamax": 0.9658,
        "rmsprop": 0.971,
    }
)
#: Learning rates of these runs.
LEARNING_RATES: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(("sgd", "momentum", "nesterov"), 0.1),
        "adam": 0.001,
        "adagrad": 0.01,
        "adadelta": 1.0,
        "adamax": 0.002,
        "rmsprop": 0.01,
    }
)
_DATA = (("dataset", "mnist"), ("network", "mlp"))


@dataclass(frozen=True, kw_only=True)
class PublishedRank:
    """A published score among our `n` runs: `below` scored less, and `above` more."""

    value: float
    n: int
    below: int
    above: int


def settings_words(variants: Sequence[Variant]) -> str:
    """Name the settings that optimizers were compared at, which nothing in this program tunes.

    Empty where the settings are not known.
    """
    if not variants:
        return ""
    rates = [(LEARNING_RATES.get(v.treatment), dict(v.hyperparameters).get("lr")) for v in variants]
    is_tutorials = all(rate is not None and lr == repr(rate) for rate, lr in rates)
    if is_tutorials and not any(v.schedule for v in variants):
        return "at the tutorial's learning rates, untuned"
    return "at the given hyperparameters"


def published_score(analysis: SweepAnalysis, treatment: str) -> float | None:
    """Return the published accuracy of `treatment`, or None for another workload or metric."""
    is_accuracy = analysis.comparison.parameters.value == "test_accuracy"
    facts = dict(analysis.provenance.facts)
    if not is_accuracy or any(facts.get(column) != (name,) for column, name in _DATA):
        return None
    curve = next((c for c in analysis.curves if c.treatment == treatment), None)
    if curve is None or (curve.batch_size, curve.iterations[-1:]) != (100, (3000,)):
        return None
    return TEST_ACCURACY.get(treatment)


def luck(analysis: SweepAnalysis, treatment: str) -> PublishedRank | None:
    """Rank the published accuracy among the runs of `treatment`; None without one."""
    published = published_score(analysis, treatment)
    if published is None:
        return None
    # The published values are exact (two decimals of a per cent, 10,000 images). Rounding makes
    # 9769 / 10000 equal to 0.9769.
    gaps = [
        round(s.value - published, 9)
        for s in analysis.scores
        if s.treatment == treatment and s.value is not None
    ]
    return PublishedRank(
        value=published,
        n=len(gaps),
        below=sum(gap < 0 for gap in gaps),
        above=sum(gap > 0 for gap in gaps),
    )


def luck_sentence(analysis: SweepAnalysis) -> tuple[str, ...]:
    """The published run that was the luckiest or the unluckiest; empty without published runs."""
    ranks = {t.name: luck(analysis, t.name) for t in analysis.comparison.treatments}
    known = {name: rank for name, rank in ranks.items() if rank is not None and rank.n > 1}
    if not known:
        return ()
    name = max(known, key=lambda n: max(known[n].below, known[n].above) / known[n].n)
    rank = known[name]
    ours = f"{max(rank.below, rank.above)} of our {count(rank.n, 'seed')}"
    verb = "beat" if rank.below >= rank.above else "was beaten by"
    return (f"The tutorial's {name} {verb} {ours}.",)
