"""Specification of a sweep: frozen settings, the plan of its runs, and the keys of the runs.

Nothing here trains, reads or writes. A run is identified by a hash of its specification. The order
of the runs and the number of workers do not change it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from bench.errors import SpecError
from bench.spec.expressions import MAX_SEED, MAX_SEEDS, QUOTED, Literal, checked_literal
from bench.spec.resampling import WHOLE, parse_resampling

#: Quantities that variants with different batch sizes may share: see :class:`SweepSpec`.
EPOCHS, ITERATIONS = BUDGETS = ("epochs", "iterations")
#: Longest default name of a sweep.
LONGEST_NAME = 40
#: Default number of evaluations of a run, spread evenly over its updates.
N_EVALUATIONS = 6
#: Adjustment of the p-values for the number of pairs, the default first.
Correction = typing.Literal["holm", "max-t"]
CORRECTIONS: tuple[Correction, ...] = ("holm", "max-t")
#: Smallest number of seeds at a look: with two, no pair has a verdict.
LEAST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Data, network and budget of a run.

    Attributes
    ----------
    dataset, network
        Names that :mod:`bench.datasets.cache` and :mod:`bench.networks.build` accept.
    batch_size
        Images per update.
    iterations
        Updates per run: the budget.
    eval_every
        Updates between two evaluations on the test images. The last update is always followed by
        an evaluation.
    resample_train
        How the training set of each seed is drawn: :mod:`bench.spec.resampling`.
    """

    dataset: str = "mnist"
    network: str = "mlp"
    batch_size: int = 100
    iterations: int = 3000
    eval_every: int = 500
    resample_train: str = WHOLE

    def __post_init__(self) -> None:
        for name in ("dataset", "network"):
            _check_text(name, getattr(self, name))
        for name in ("batch_size", "iterations", "eval_every"):
            _check_count(name, getattr(self, name))
        if parse_resampling(self.resample_train) != self.resample_train:
            raise SpecError(f"resample_train is not canonical: {self.resample_train!r}")

    @property
    def eval_iterations(self) -> tuple[int, ...]:
        """Updates after which the network is evaluated on the test images, ascending."""
        regular = range(self.eval_every, self.iterations + 1, self.eval_every)
        return tuple(sorted({*regular, self.iterations}))


def default_eval_every(iterations: int) -> int:
    """Return the updates between evaluations that give six of them.

    >>> default_eval_every(3000), default_eval_every(100)
    (500, 17)
    """
    return math.ceil(iterations / N_EVALUATIONS)


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A variant: an optimizer with all hyperparameters, including defaults.

    Attributes
    ----------
    name
        The variant's name in tables and figures, such as ``adam`` or ``adam[lr=0.003]``.
    algorithm
        The import path of the class, such as ``torch.optim.Adam``.
    hyperparameters
        (name, value) pairs in the order of their names.
    batch_size
        Images per update. None: the batch size of the sweep.
    schedule
        Learning-rate schedule with all settings (:mod:`bench.optimizers.schedules`). None: the
        learning rate is constant.
    """

    name: str
    algorithm: str
    hyperparameters: tuple[tuple[str, Literal], ...]
    batch_size: int | None = None
    schedule: str | None = None

    def __post_init__(self) -> None:
        _check_text("an optimizer's name", self.name)
        _check_text("an optimizer's algorithm", self.algorithm)
        for key, _ in self.hyperparameters:
            _check_text("a hyperparameter's name", key)
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size)
        if self.schedule is not None:
            _check_text("schedule", self.schedule)

    @classmethod
    def from_json(
        cls, name: str, algorithm: str, hyperparameters: str, schedule: str | None = None
    ) -> OptimizerSpec:
        """Create a variant from the columns of a stored row; `hyperparameters` is a JSON object.

        Raises
        ------
        SpecError
            If `hyperparameters` is not a JSON object of hyperparameters.
        """
        try:
            pairs = sorted(json.loads(hyperparameters).items())
            values = tuple((key, checked_literal(value)) for key, value in pairs)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise SpecError(f"not the hyperparameters of {name[:80]!r}: {error!r}") from error
        return cls(name=name, algorithm=algorithm, hyperparameters=values, schedule=schedule)

    @property
    def content(self) -> tuple[object, ...]:
        """All settings except the name; equal for two variants that train alike."""
        return self.algorithm, self.hyperparameters, self.batch_size, self.schedule


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run: one optimizer with one seed on one workload."""

    workload: Workload
    optimizer: OptimizerSpec
    seed: int

    @cached_property
    def key(self) -> str:
        """SHA-256 of the specification in hexadecimal, which identifies the run.

        The keys of stored rows must stay valid. A setting that a later version adds is hashed only
        if its value differs from the behaviour of this version.
        """
        return run_keys(self.workload, self.optimizer, [self.seed])[0]


def run_keys(workload: Workload, optimizer: OptimizerSpec, seeds: Iterable[int]) -> list[str]:
    """Return :attr:`RunSpec.key` of each seed, in the order of the seeds.

    A key is 64 hexadecimal digits: the SHA-256 of the canonical JSON of all settings.
    """
    content: dict[str, object] = {
        "name": optimizer.name,
        "algorithm": optimizer.algorithm,
        "hyperparameters": optimizer.hyperparameters,
    }
    if optimizer.schedule is not None:
        content["schedule"] = optimizer.schedule
    settings = dict(vars(workload))
    if workload.resample_train == WHOLE:
        del settings["resample_train"]
    head = hashlib.sha256(f'{{"optimizer":{canonical_json(content)},"seed":'.encode())
    tail = f',"workload":{canonical_json(settings)}}}'
    keys = []
    for seed in seeds:
        key = head.copy()
        # as the JSON encoder writes a whole number; raises TypeError for other types
        key.update(f"{int.__repr__(seed)}{tail}".encode())
        keys.append(key.hexdigest())
    return keys


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Settings of the analysis that are fixed before the results are seen.

    They are stored with the sweep and printed in the report.

    Attributes
    ----------
    alpha
        Family-wise error rate of the pairwise tests.
    margin
        Equivalence margin, a fraction of the test images. Differences within +-margin are too
        small to matter in practice.
    target
        Test accuracy (a fraction) at which the task counts as learned.
    looks
        Planned number of analyses while seeds are added. Each look is tested at alpha / looks.
        None: any number of looks, with decreasing shares of alpha.
    win_threshold
        Share of the seeds, from 0.5 to below 1, that an optimizer must win more than in an extra
        test. None: no such test.
    correction
        Adjustment of the p-values for the number of pairs: ``holm``, or ``max-t`` (step-down max-T
        with jointly flipped signs), which can reject with fewer seeds but assumes more.
    until_decided
        Numbers of seeds, ascending, at which the pairs are judged until all are decided; only
        optimizers of undecided pairs get more seeds. Empty: every optimizer has all seeds.
    """

    alpha: float = 0.05
    margin: float = 0.002
    target: float = 0.95
    looks: int | None = 1
    win_threshold: float | None = None
    correction: Correction = "holm"
    until_decided: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("alpha", "margin", "target"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and 0 < value < 1):
                raise SpecError(f"{name} must lie between 0 and 1 (exclusive), got {value!r}")
        if self.alpha < 1e-9:
            raise SpecError(f"alpha must be at least 1e-09, got {self.alpha!r}")
        is_number = isinstance(self.looks, int) and not isinstance(self.looks, bool)
        if self.looks is not None and not (is_number and self.looks >= 1):
            raise SpecError(f"looks must be at least 1, or None for any number, got {self.looks!r}")
        wins = self.win_threshold
        is_number = isinstance(wins, int | float) and not isinstance(wins, bool)
        if wins is not None and not (is_number and 0.5 <= wins < 1):
            raise SpecError(f"win_threshold must lie from 0.5 to below 1, or be None, got {wins!r}")
        if self.correction not in CORRECTIONS:
            allowed = " or ".join(CORRECTIONS)
            raise SpecError(f"correction must be {allowed}, got {self.correction!r:.80}")
        check_numbers_of_looks(self.until_decided)
        if self.until_decided and (self.correction != "holm" or self.looks != 1):
            raise SpecError(
                "until_decided goes with the correction holm and without looks, got correction "
                f"{self.correction!r} and looks {self.looks!r}"
            )


def check_numbers_of_looks(numbers: tuple[int, ...]) -> None:
    """Raise SpecError unless `numbers` is empty, or at least two ascending numbers of seeds."""
    is_ascending = all(type(n) is int for n in numbers) and all(
        n < following for n, following in pairwise((LEAST_SEEDS - 1, *numbers))
    )
    if numbers and (len(numbers) < 2 or not is_ascending or numbers[-1] > MAX_SEEDS):
        raise SpecError(
            f"the looks must be at least two numbers of seeds, ascending, from {LEAST_SEEDS} to "
            f"{MAX_SEEDS}, got {str(numbers)[:QUOTED]}"
        )


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """Specification of a sweep: optimizers x seeds on a workload, and settings of the analysis.

    `budget` applies to variants whose batch size differs from that of the workload. They train for
    the same number of epochs (images) or of iterations (updates).
    """

    name: str
    optimizers: tuple[OptimizerSpec, ...]
    seeds: tuple[int, ...]
    workload: Workload = field(default_factory=Workload)
    budget: str = EPOCHS
    declaration: Declaration = field(default_factory=Declaration)

    def __post_init__(self) -> None:
        check_sweep_name(self.name)
        if self.budget not in BUDGETS:
            raise SpecError(f"budget must be {' or '.join(BUDGETS)}, got {self.budget!r:.80}")
        if not self.optimizers:
            raise SpecError("a sweep needs at least one optimizer, got none")
        if not self.seeds:
            raise SpecError("a sweep needs at least one seed, got none")
        if len(self.seeds) > MAX_SEEDS:
            raise SpecError(f"a sweep may have at most {MAX_SEEDS} seeds, got {len(self.seeds)}")
        for seed in self.seeds:
            if isinstance(seed, bool) or not isinstance(seed, int):
                raise SpecError(f"a seed must be a whole number, got {seed!r}")
            if not 0 <= seed <= MAX_SEED:
                raise SpecError(f"a seed must lie between 0 and {MAX_SEED}, got {seed}")
        if len(set(self.seeds)) < len(self.seeds):
            twice = next(s for s in self.seeds if self.seeds.count(s) > 1)
            raise SpecError(f"every seed may be given once, got {twice} twice")
        self._refuse_duplicate_variants()
        looks = self.declaration.until_decided
        if looks and (len(self.seeds) != looks[-1] or list(self.seeds) != sorted(self.seeds)):
            raise SpecError(
                f"a sweep until its pairs are decided has as many seeds as its last look, "
                f"{looks[-1]}, ascending, got {len(self.seeds)}"
            )
        if looks and len(self.optimizers) < 2:
            raise SpecError(
                "a sweep until its pairs are decided needs at least two optimizers, got one"
            )

    def _refuse_duplicate_variants(self) -> None:
        names = [optimizer.name for optimizer in self.optimizers]
        seen: dict[object, str] = {}
        for optimizer in self.optimizers:
            if optimizer.content in seen:
                raise SpecError(
                    f"every variant may be given once, but {seen[optimizer.content]!r} and "
                    f"{optimizer.name!r} are both {optimizer.algorithm} with the same "
                    "hyperparameters"
                )
            seen[optimizer.content] = optimizer.name
        if twice := [name for name in names if names.count(name) > 1]:
            raise SpecError(
                f"every variant must have a name of its own, got {twice[0]!r} for two with "
                "different settings"
            )

    def plan(self) -> tuple[RunSpec, ...]:
        """Return all runs, seed by seed: a drift of the machine's speed affects all optimizers."""
        return self._runs

    @cached_property
    def _runs(self) -> tuple[RunSpec, ...]:
        variants = [(self.workload_of(optimizer), optimizer) for optimizer in self.optimizers]
        keys = [run_keys(*variant, self.seeds) for variant in variants]
        runs = []
        for place, seed in enumerate(self.seeds):
            for (workload, optimizer), own in zip(variants, keys, strict=True):
                run = RunSpec(workload=workload, optimizer=optimizer, seed=seed)
                run.__dict__["key"] = own[place]  # the cached property
                runs.append(run)
        return tuple(runs)

    def workload_of(self, optimizer: OptimizerSpec) -> Workload:
        """Return the workload of a variant: that of the sweep at the variant's batch size."""
        return self.workload_at(optimizer.batch_size or self.workload.batch_size)

    def workload_at(self, batch_size: int) -> Workload:
        """Return the workload with another batch size and the same budget.

        >>> sgd = OptimizerSpec(name="sgd", algorithm="torch.optim.SGD", hyperparameters=())
        >>> SweepSpec(name="x", optimizers=(sgd,), seeds=(0,)).workload_at(1).iterations
        300000
        """
        return _at_batch_size(self.workload, batch_size, self.budget)

    def to_json(self) -> str:
        """Return strict JSON from which :meth:`from_json` creates an equal object."""
        content = asdict(self)
        if not self.declaration.until_decided:  # earlier versions do not know it
            del content["declaration"]["until_decided"]
        return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SweepSpec:
        """Create a specification from the text of :meth:`to_json`.

        Raises
        ------
        SpecError
            If the text is not the JSON of a sweep specification.
        """
        try:
            content = json.loads(text)
            return cls(
                name=content["name"],
                optimizers=tuple(_optimizer_from_dict(o) for o in content["optimizers"]),
                seeds=tuple(content["seeds"]),
                workload=Workload(**content["workload"]),
                budget=content.get("budget", EPOCHS),
                declaration=_declaration_from_dict(content["declaration"]),
            )
        except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise SpecError(f"not a sweep specification: {error!r}") from error
        except RecursionError as error:
            raise SpecError(f"not a sweep specification: {error!r}") from error


def common_budget(workloads: Collection[Workload]) -> tuple[Workload, str] | None:
    """Return a workload and a budget that give all of `workloads` at their batch sizes.

    None if they cannot belong to one sweep.
    """
    for whole in workloads:
        for budget in BUDGETS:
            if all(_at_batch_size(whole, w.batch_size, budget) == w for w in workloads):
                return whole, budget
    return None


def _at_batch_size(whole: Workload, batch_size: int, budget: str) -> Workload:
    if batch_size == whole.batch_size:
        return whole
    if budget == ITERATIONS:
        return replace(whole, batch_size=batch_size)

    def as_many_images(updates: int) -> int:
        return max(1, round(updates * whole.batch_size / batch_size))

    return replace(
        whole,
        batch_size=batch_size,
        iterations=as_many_images(whole.iterations),
        eval_every=as_many_images(whole.eval_every),
    )


def default_sweep_name(workload: Workload, budget: str = EPOCHS) -> str:
    """Return the name of the dataset, followed by the settings that are not the default.

    A long name is cut, and ends with a hash of the whole.

    >>> default_sweep_name(Workload(iterations=300, eval_every=50))
    'mnist-iterations300'
    >>> default_sweep_name(Workload(network="mlp[hidden=128x64]"))
    'mnist-networkmlp-hidden-128x64'
    """
    whole = whole_sweep_name(workload, budget)
    if len(whole) <= LONGEST_NAME:
        return whole
    hashed = hashlib.sha256(whole.encode()).hexdigest()[:8]
    return f"{whole[: LONGEST_NAME - 9].strip('-._')}-{hashed}"


def whole_sweep_name(workload: Workload, budget: str = EPOCHS) -> str:
    """Return the default name without a limit of its length.

    The evaluations that earlier versions had by default, every 500 updates, are not named either.
    """
    named = replace(workload, dataset=Workload.dataset)
    if workload.eval_every == default_eval_every(workload.iterations):
        named = replace(named, eval_every=Workload.eval_every)
    changed = [
        f"{f.name.replace('_', '-')}{getattr(named, f.name)}"
        for f in fields(named)
        if getattr(named, f.name) != f.default
    ]
    words = [workload.dataset, *changed, *([] if budget == EPOCHS else [budget])]
    name = "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-") for word in words)
    return name.lstrip("._-")  # of __main__


def check_sweep_name(name: str) -> str:
    """Return `name` if it is a valid name of a directory and a file on every system.

    Raises
    ------
    SpecError
        If it is not 1 to 100 letters, digits, ``.``, ``_`` or ``-``, or does not start with a
        letter or digit.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(
            "a sweep's name must be 1 to 100 letters, digits, '.', '_' or '-' and start with a "
            f"letter or digit, got {name[:120]!r}"
        )
    return name


def canonical_json(content: object) -> str:
    """Return JSON that is equal for equal content: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{what} must be a whole number of at least 1, got {value!r}")


def _check_text(what: str, value: object) -> None:
    try:
        is_text = isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # a lone surrogate: valid in JSON, but not in UTF-8
        is_text = False
    if not is_text:
        raise SpecError(f"{what} must be text, got {ascii(value)[:QUOTED]}")


def _declaration_from_dict(content: Mapping[str, Any]) -> Declaration:
    looks = content.get("until_decided", ())
    return Declaration(**{**content, "until_decided": tuple(looks)})


def _optimizer_from_dict(content: Mapping[str, Any]) -> OptimizerSpec:
    return OptimizerSpec(
        name=content["name"],
        algorithm=content["algorithm"],
        hyperparameters=tuple((k, checked_literal(v)) for k, v in content["hyperparameters"]),
        batch_size=content.get("batch_size"),
        schedule=content.get("schedule"),
    )
