"""The plan of a tuning: which settings of each optimizer are tried, on which images and seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from bench.errors import SpecError
from bench.spec.expressions import MAX_SEEDS
from bench.spec.ranges import METRICS, SearchRange, Setting

#: First tuning seed: evaluation seeds are usually smaller, and an overlap is refused.
FIRST_SEED = 1_000_000
#: Largest number of trials of an optimizer, of tuning seeds, and of repeats.
MAX_TRIALS = 1000
#: File of the plan in a directory of results.
PLAN_FILE = "tuning.json"
#: What damaged text of a plan raises.
_DAMAGED = (SpecError, LookupError, ValueError, TypeError, AttributeError, RecursionError)
#: Whether the tuning seeds of a repeat have the same held-out images, or each its own.
FIXED, PER_SEED = "fixed", "per-seed"


@dataclass(frozen=True, kw_only=True)
class TuningProtocol:
    """How every optimizer is tuned.

    Attributes
    ----------
    trials
        Number of settings that are tried.
    seeds
        Number of tuning seeds of a repeat; every setting is trained with each of them.
    repeats
        How often the whole tuning is repeated, with other tuning seeds and other held-out images.
        The evaluation seeds are divided among the repeats.
    validation
        ``"fixed"``: the seeds of a repeat have the same held-out images; ``"per-seed"``: each has
        its own.
    metric
        What is selected by: one of :data:`bench.spec.ranges.METRICS`, on the held-out images.
    extend
        Whether all optimizers get further trials beyond an end of their ranges, as long as the best
        setting of one is at an end.

    Raises
    ------
    SpecError
        Naming the attribute that is not allowed.
    """

    trials: int = 12
    seeds: int = 3
    repeats: int = 1
    validation: str = FIXED
    metric: str = "accuracy"
    extend: bool = False

    def __post_init__(self) -> None:
        for name in ("trials", "seeds", "repeats"):
            value = getattr(self, name)
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if not (is_number and 1 <= value <= MAX_TRIALS):
                raise SpecError(f"{name} must be from 1 to {MAX_TRIALS}, got {value!r:.80}")
        if self.seeds * self.repeats > MAX_SEEDS:
            raise SpecError(
                f"a tuning may have at most {MAX_SEEDS} tuning seeds, got {self.repeats} times "
                f"{self.seeds}"
            )
        for name, allowed in (("validation", (FIXED, PER_SEED)), ("metric", tuple(METRICS))):
            if (value := getattr(self, name)) not in allowed:
                raise SpecError(f"{name} must be {' or '.join(allowed)}, got {value!r:.80}")
        if not isinstance(self.extend, bool):
            raise SpecError(f"extend must be True or False, got {self.extend!r:.80}")

    @property
    def splits(self) -> tuple[Mapping[int, tuple[int, ...]], ...]:
        """For each repeat: its tuning seeds by the number of the split that they are trained on.

        >>> TuningProtocol(seeds=2, repeats=2).splits
        ({1: (1000000, 1000001)}, {2: (1000002, 1000003)})
        """
        found: list[Mapping[int, tuple[int, ...]]] = []
        for repeat in range(self.repeats):
            first = FIRST_SEED + repeat * self.seeds
            seeds = tuple(range(first, first + self.seeds))
            if self.validation == FIXED:
                found.append({repeat + 1: seeds})
            else:
                found.append({seed - FIRST_SEED + 1: (seed,) for seed in seeds})
        return tuple(found)

    def divide(self, seeds: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Divide the evaluation seeds among the repeats; further seeds move none of the first.

        >>> TuningProtocol(repeats=2).divide(range(6))
        ((0, 2, 4), (1, 3, 5))

        Raise SpecError if the repeats would have different numbers of seeds.
        """
        if len(seeds) % self.repeats:
            raise SpecError(
                "the evaluation seeds are divided among the repeats of the tuning: their number "
                f"must be a multiple of {self.repeats}, got {len(seeds)}"
            )
        return tuple(tuple(seeds[repeat :: self.repeats]) for repeat in range(self.repeats))


@dataclass(frozen=True, kw_only=True)
class TunedVariant:
    """One optimizer that is tuned.

    Attributes
    ----------
    default
        Values of the tuned hyperparameters without tuning, of those that have a number.
    settings
        The settings that are tried, by the names of their trials.
    extra
        Settings beyond the ranges, which extensions have added.
    """

    name: str
    ranges: tuple[SearchRange, ...]
    default: Setting
    settings: Mapping[str, Setting]
    extra: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def tried(self) -> Mapping[str, Setting]:
        """All settings that are tried."""
        return {**self.settings, **self.extra}

    @property
    def searched(self) -> tuple[SearchRange, ...]:
        """The ranges with the settings of extensions."""
        if not self.extra:
            return self.ranges
        (declared,) = self.ranges
        values = [dict(setting)[declared.name] for setting in self.extra.values()]
        low, high = min(declared.low, *values), max(declared.high, *values)
        return (replace(declared, low=low, high=high),)


@dataclass(frozen=True, kw_only=True)
class TuningPlan:
    """The tuning of all optimizers of the sweep `name`."""

    name: str
    protocol: TuningProtocol
    variants: tuple[TunedVariant, ...]

    @property
    def declared(self) -> TuningPlan:
        """The plan without the settings that extensions have added."""
        return replace(self, variants=tuple(replace(v, extra={}) for v in self.variants))

    def trials_name(self, split: int = 1) -> str:
        """Name of the sweep of the trials on a split."""
        return f"{self.name}-trials" if split == 1 else f"{self.name}-trials-{split}"

    @property
    def trials_names(self) -> tuple[str, ...]:
        """Names of the sweeps of trials, one for each split."""
        return tuple(self.trials_name(split) for of in self.protocol.splits for split in of)

    @property
    def tuned_name(self) -> str:
        """Name of the tuned track."""
        return f"{self.name}-tuned"

    @property
    def tuned_names(self) -> tuple[str, ...]:
        """Names of the sweeps at the chosen settings, one for each repeat."""
        if self.protocol.repeats == 1:
            return (self.tuned_name,)
        return tuple(f"{self.tuned_name}-{n + 1}" for n in range(self.protocol.repeats))

    def to_json(self) -> str:
        """Return strict JSON from which :meth:`from_json` creates an equal object."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TuningPlan:
        """Create a plan from the text of :meth:`to_json`; raise SpecError if it is no such text."""
        try:
            content = json.loads(text)
            variants = tuple(map(_variant, content["variants"]))
            if len({variant.name for variant in variants}) != len(variants) or not variants:
                raise SpecError("the optimizers must be different ones, at least one")
            return cls(
                name=str(content["name"]),
                protocol=TuningProtocol(**content["protocol"]),
                variants=variants,
            )
        except _DAMAGED as error:
            raise SpecError(f"not the plan of a tuning: {error!r:.200}") from error


def _variant(content: Mapping[str, Any]) -> TunedVariant:
    variant = TunedVariant(
        name=str(content["name"]),
        ranges=tuple(SearchRange(**found) for found in content["ranges"]),
        default=_setting(content["default"]),
        settings=_settings(content["settings"]),
        extra=_settings(content["extra"]),
    )
    names = [found.name for found in variant.ranges]
    if not (names and variant.settings) or (variant.extra and len(names) > 1):
        raise SpecError(f"{variant.name} has no settings, or extra ones of several ranges")
    for setting in variant.tried.values():
        if [name for name, _ in setting] != names or not all(isfinite(x) for _, x in setting):
            raise SpecError(f"a setting of {variant.name} must have values of {', '.join(names)}")
    return variant


def _settings(content: Mapping[str, Any]) -> dict[str, Setting]:
    return {str(name): _setting(found) for name, found in content.items()}


def _setting(pairs: Sequence[tuple[str, float]]) -> Setting:
    return tuple((str(name), float(value)) for name, value in pairs)


def holds_plan(directory: Path) -> bool:
    """Return whether a directory of results holds the plan of a tuning."""
    return (directory / PLAN_FILE).exists()
