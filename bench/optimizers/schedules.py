"""Learning-rate schedules.

The rates are those of a scheduler of :mod:`torch.optim.lr_scheduler` that is called after every
update. They are fractions of the ``lr`` of the variant, which is the highest rate. The number of
updates is fixed, so all rates are computed before training.

Only :func:`learning_rates` imports torch and numpy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bench.errors import SpecError, suggestion
from bench.spec.expressions import Literal, parse_overrides, written_overrides

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.optim.lr_scheduler import LRScheduler

#: Setting: number of updates at the start in which the rate increases to ``lr``.
WARMUP = "warmup"


@dataclass(frozen=True, kw_only=True)
class ScheduleSetting:
    """A numeric setting of a schedule.

    `allowed` describes the allowed values in messages; `holds` returns whether a value is allowed.
    """

    default: float
    allowed: str
    holds: Callable[[float], bool]


def _is_count(value: float) -> bool:
    return isinstance(value, int) and value >= 1


_COUNT_OR_SHARE = "a whole number of updates, or a share of them between 0 and 1"
_END_FACTOR = ScheduleSetting(
    default=0.0, allowed="a number from 0 to 1", holds=lambda value: 0 <= value <= 1
)
_AT_LEAST_ONE = ScheduleSetting(
    default=25.0, allowed="a number of at least 1", holds=lambda value: value >= 1
)


def _share_above_zero(default: float) -> ScheduleSetting:
    return ScheduleSetting(
        default=default,
        allowed="a number above 0 and at most 1",
        holds=lambda value: 0 < value <= 1,
    )


_WARMUP = ScheduleSetting(
    default=0, allowed=_COUNT_OR_SHARE, holds=lambda value: _is_count(value) or 0 <= value < 1
)


@dataclass(frozen=True, kw_only=True)
class ScheduleEntry:
    """A named schedule.

    `rule` is the rate of update t of n, counted from 0, as a fraction of lr; `source` is the class
    of torch.optim.lr_scheduler and the publication.
    """

    rule: str
    source: str
    settings: Mapping[str, ScheduleSetting]


SCHEDULES: Mapping[str, ScheduleEntry] = {
    "cosine": ScheduleEntry(
        rule="end_factor + (1 - end_factor) (1 + cos(pi t / n)) / 2",
        source="CosineAnnealingLR; Loshchilov & Hutter 2017, ICLR, without restarts",
        settings={"end_factor": _END_FACTOR, WARMUP: _WARMUP},
    ),
    "linear": ScheduleEntry(
        rule="1 - (1 - end_factor) t / n",
        source="LinearLR",
        settings={"end_factor": _END_FACTOR, WARMUP: _WARMUP},
    ),
    "step": ScheduleEntry(
        rule="gamma^k after k step_size updates",
        source="StepLR",
        settings={
            "gamma": _share_above_zero(0.1),
            "step_size": ScheduleSetting(
                default=0.3,
                allowed=_COUNT_OR_SHARE,
                holds=lambda value: _is_count(value) or 0 < value < 1,
            ),
            WARMUP: _WARMUP,
        },
    ),
    "exponential": ScheduleEntry(
        rule="end_factor^(t / n)",
        source="ExponentialLR",
        settings={"end_factor": _share_above_zero(0.01), WARMUP: _WARMUP},
    ),
    "one-cycle": ScheduleEntry(
        rule="from 1 / div_factor up to 1 in the first pct_start of the updates, then down to "
        "1 / (div_factor final_div_factor), both along a cosine; momentum stays as it is",
        source="OneCycleLR; Smith & Topin 2019, SPIE 11006",
        settings={
            "pct_start": ScheduleSetting(
                default=0.3,
                allowed="a number between 0 and 1 (exclusive)",
                holds=lambda value: 0 < value < 1,
            ),
            "div_factor": _AT_LEAST_ONE,
            "final_div_factor": replace(_AT_LEAST_ONE, default=1e4),
        },
    ),
    "warm-up": ScheduleEntry(
        rule="(t + 1) / (warmup + 1) in the first warmup updates, then 1; the others, with a "
        "warmup, begin with it and have the updates that are left",
        source="LinearLR; Goyal et al. 2017, arXiv:1706.02677, section 2.2",
        settings={WARMUP: replace(_WARMUP, default=0.1)},
    ),
}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule with all settings, sorted by name."""

    name: str
    settings: tuple[tuple[str, float], ...]

    @property
    def text(self) -> str:
        """Stored form, with all settings.

        >>> parse_schedule("cosine").text
        'cosine(end_factor=0.0,warmup=0)'
        """
        return _written(self.name, dict(self.settings))

    @property
    def short(self) -> str:
        """Short form, with the settings that differ from the default.

        >>> parse_schedule("step(gamma=0.5,step_size=0.3)").short
        'step(gamma=0.5)'
        """
        entry = SCHEDULES[self.name]
        return _written(
            self.name, {k: v for k, v in self.settings if v != entry.settings[k].default}
        )

    def warmup_updates(self, iterations: int) -> int:
        """Return the number of updates before the full rate in a run of `iterations` updates."""
        return _updates(dict(self.settings).get(WARMUP, 0), iterations)


def parse_schedule(text: str) -> Schedule:
    """Parse ``name`` or ``name(setting=value,...)``, and add all defaults.

    Raise SpecError if there is no such schedule, or a setting is unknown or not allowed.
    """
    match = re.fullmatch(r"([A-Za-z_][\w-]*)(?:\((.*)\))?", text, re.ASCII | re.DOTALL)
    if match is None or match[1] not in SCHEDULES:
        name = match[1] if match else text
        raise SpecError(f"unknown schedule {name[:80]!r}: {suggestion(name, SCHEDULES)}")
    name = match[1]
    given = parse_overrides(match[2] or "", text)
    known = SCHEDULES[name].settings
    for key in given:
        if key not in known:
            raise SpecError(f"schedule {name!r} has no setting {key!r}: {suggestion(key, known)}")
    values = {key: _checked(name, key, given.get(key, s.default), s) for key, s in known.items()}
    return Schedule(name=name, settings=tuple(sorted(values.items())))


def _checked(name: str, key: str, value: Literal, setting: ScheduleSetting) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not setting.holds(value):  # type: ignore[arg-type]
        raise SpecError(f"schedule {name!r}: {key} must be {setting.allowed}, got {value!r:.40}")
    if value == 0:  # 0, 0.0 and -0.0 are one variant
        return type(setting.default)(0)
    # not converted to float: 1 is a number of updates, 1.0 would be a fraction
    is_unchanged = setting.allowed is _COUNT_OR_SHARE
    return value if is_unchanged else float(value)  # type: ignore[return-value,arg-type]


def _written(name: str, settings: Mapping[str, Literal]) -> str:
    return f"{name}({written_overrides(settings)})" if settings else name


def _updates(value: float, iterations: int) -> int:
    """Return a number of updates that is given as a number or as a fraction of `iterations`."""
    return value if isinstance(value, int) else round(value * iterations)


@lru_cache(maxsize=8)
def learning_rates(text: str, lr: float, iterations: int) -> NDArray[np.float64]:
    """Compute the learning rate of every update, (iterations,), for at least one update.

    `text` is a schedule (see :func:`parse_schedule`), `lr` the highest rate.
    """
    import numpy as np

    schedule = parse_schedule(text)
    settings = dict(schedule.settings)
    rising = min(schedule.warmup_updates(iterations), iterations)
    main = "constant" if schedule.name == "warm-up" else schedule.name
    rates = np.concatenate(
        [_stepped("warm-up", lr, rising, {}), _stepped(main, lr, iterations - rising, settings)]
    )
    rates.flags.writeable = False  # cached for later runs
    return rates


def _stepped(name: str, lr: float, n: int, settings: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the rates of `n` updates with a scheduler of torch."""
    import numpy as np
    import torch

    from bench.optimizers.build import skip_compiler

    class Held(torch.optim.Optimizer):
        """Holds a learning rate. A step of SGD would import torch._dynamo, in two seconds."""

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            """Do nothing."""

    skip_compiler()
    rates = np.empty(n)
    if n:
        optimizer = Held([torch.nn.Parameter(torch.zeros(1))], {"lr": lr})
        scheduler = _scheduler(name, optimizer, lr, n, settings)
        optimizer.step()  # schedulers warn if their step is called first
        (group,) = optimizer.param_groups
        rates[0] = group["lr"]
        for update in range(1, n):
            scheduler.step()
            rates[update] = group["lr"]
    return rates


def _scheduler(
    name: str, optimizer: torch.optim.Optimizer, lr: float, n: int, settings: Mapping[str, float]
) -> LRScheduler:
    """Create the scheduler of one part of `n` updates: the warm-up, or the rest."""
    from torch.optim import lr_scheduler

    match name:
        case "cosine":
            least = lr * settings["end_factor"]
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=n, eta_min=least)
        case "linear":
            least = settings["end_factor"]
            return lr_scheduler.LinearLR(optimizer, 1.0, end_factor=least, total_iters=n)
        case "step":
            size = max(1, _updates(settings["step_size"], n))
            return lr_scheduler.StepLR(optimizer, size, gamma=settings["gamma"])
        case "exponential":
            return lr_scheduler.ExponentialLR(optimizer, settings["end_factor"] ** (1 / n))
        case "one-cycle":
            rising = settings["pct_start"]
            if rising * n == 1:  # torch would divide by a phase of length 0
                rising *= 1 + 1e-9
            return lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=lr,
                total_steps=n,
                cycle_momentum=False,
                pct_start=rising,
                div_factor=settings["div_factor"],
                final_div_factor=settings["final_div_factor"],
            )
        case "warm-up":
            return lr_scheduler.LinearLR(optimizer, 1 / (n + 1), total_iters=n)
        case _:
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
