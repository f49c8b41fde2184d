"""What a sweep is: frozen settings, the plan of runs that follows from them, and their identity.

Nothing here trains, reads or writes. A run is identified by the content of its specification, so
the same question asked twice is the same run, whatever the order or the number of workers.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from bench.errors import SpecError

#: A hyperparameter's value: what a Python literal can say without a name.
Literal = bool | int | float | str | None | tuple["Literal", ...]


class Word(str):
    """A text that is written without quotes in an expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


#: Seeds are 32-bit: the whole range that torch's CPU generator tells apart.
MAX_SEED = 2**32 - 1
#: A plan is listed before it starts; more seeds than this are a slip of the keyboard.
MAX_SEEDS = 10_000
#: What variants with different batch sizes have in common: see :class:`SweepSpec`.
EPOCHS, ITERATIONS = BUDGETS = ("epochs", "iterations")
#: A message quotes at most so many characters of what was given.
_QUOTED = 120


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every run of a sweep trains: data, network and budget.

    Attributes
    ----------
    dataset, network
        Names known to :mod:`bench.datasets` and :mod:`bench.networks`.
    batch_size
        Images per update.
    iterations
        Updates per run: the budget.
    eval_every
        Updates between two evaluations on the test images. The last update is always evaluated.
    """

    dataset: str = "mnist"
    network: str = "mlp"
    batch_size: int = 100
    iterations: int = 3000
    eval_every: int = 500

    def __post_init__(self) -> None:
        for name in ("dataset", "network"):
            _check_text(name, getattr(self, name))
        for name in ("batch_size", "iterations", "eval_every"):
            _check_count(name, getattr(self, name))

    @property
    def eval_iterations(self) -> tuple[int, ...]:
        """The updates after which the test images are evaluated, ascending."""
        regular = range(self.eval_every, self.iterations + 1, self.eval_every)
        return tuple(sorted({*regular, self.iterations}))


@dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """A variant: an optimizer with all of its hyperparameters, defaults included.

    Attributes
    ----------
    name
        The variant's name in tables and figures, such as ``adam`` or ``adam[lr=0.003]``.
    algorithm
        The import path of the class, such as ``torch.optim.Adam``.
    hyperparameters
        (name, value) pairs in the order of their names.
    batch_size
        Images per update, where the variant has a batch size of its own; None: the sweep's.
    schedule
        How the learning rate changes, with every setting: see :mod:`bench.schedules`. None: not.
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
        """From what a stored row holds: `hyperparameters` is a JSON object.

        Raises
        ------
        SpecError
            If it is not, or holds what is no hyperparameter.
        """
        try:
            pairs = sorted(json.loads(hyperparameters).items())
            values = tuple((key, _checked_literal(value)) for key, value in pairs)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise SpecError(f"not the hyperparameters of {name[:80]!r}: {error!r}") from error
        return cls(name=name, algorithm=algorithm, hyperparameters=values, schedule=schedule)

    @property
    def content(self) -> tuple[object, ...]:
        """What the variant does, whatever it is called."""
        return self.algorithm, self.hyperparameters, self.batch_size, self.schedule


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run: one optimizer with one seed on one workload."""

    workload: Workload
    optimizer: OptimizerSpec
    seed: int

    @cached_property
    def key(self) -> str:
        """SHA-256 of the specification, in hexadecimal: the identity of the run.

        The keys of stored rows must stay valid: a setting that a later version adds enters the
        hash only where it differs from what this version does.
        """
        optimizer: dict[str, object] = {
            "name": self.optimizer.name,
            "algorithm": self.optimizer.algorithm,
            "hyperparameters": self.optimizer.hyperparameters,
        }
        if self.optimizer.schedule is not None:
            optimizer["schedule"] = self.optimizer.schedule
        content = {
            "workload": vars(self.workload),  # asdict gives the same, at ten times the cost
            "optimizer": optimizer,
            "seed": self.seed,
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What is fixed before the data are seen, stored with the sweep and printed in the report.

    Attributes
    ----------
    alpha
        Family-wise error rate of the pairwise tests.
    margin
        Equivalence margin as a fraction of the test images: differences inside +-margin do not
        matter in practice.
    target
        Test accuracy (fraction) that counts as having learned the task.
    looks
        How many times the results will be judged while seeds are added: each look has
        alpha / looks. None for any number, with ever smaller shares of alpha.
    """

    alpha: float = 0.05
    margin: float = 0.002
    target: float = 0.95
    looks: int | None = 1

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


@dataclass(frozen=True, kw_only=True)
class SweepSpec:
    """All runs of one question: optimizers x seeds on a workload, and how they will be judged.

    `budget` says what variants with a batch size of their own have in common with the workload: as
    many epochs (the same number of images), or as many iterations (updates).
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

    def _refuse_duplicate_variants(self) -> None:
        seen: dict[object, str] = {}
        for optimizer in self.optimizers:
            if optimizer.content in seen:
                raise SpecError(
                    f"every variant may be given once, but {seen[optimizer.content]!r} and "
                    f"{optimizer.name!r} are both {optimizer.algorithm} with the same "
                    "hyperparameters"
                )
            seen[optimizer.content] = optimizer.name

    def plan(self) -> tuple[RunSpec, ...]:
        """Every run, seed by seed, so that slow drift of the machine hits all optimizers alike."""
        workloads = [self.workload_of(optimizer) for optimizer in self.optimizers]
        return tuple(
            RunSpec(workload=workload, optimizer=optimizer, seed=seed)
            for seed in self.seeds
            for workload, optimizer in zip(workloads, self.optimizers, strict=True)
        )

    def workload_of(self, optimizer: OptimizerSpec) -> Workload:
        """What a variant trains: the sweep's workload, at the variant's batch size."""
        return self.workload_at(optimizer.batch_size or self.workload.batch_size)

    def workload_at(self, batch_size: int) -> Workload:
        """The workload with another batch size, and the same budget.

        >>> sgd = OptimizerSpec(name="sgd", algorithm="torch.optim.SGD", hyperparameters=())
        >>> SweepSpec(name="x", optimizers=(sgd,), seeds=(0,)).workload_at(1).iterations
        300000
        """
        return _at_batch_size(self.workload, batch_size, self.budget)

    def to_json(self) -> str:
        """Strict JSON that :meth:`from_json` reads back to an equal object."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SweepSpec:
        """Read what :meth:`to_json` wrote.

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
                declaration=Declaration(**content["declaration"]),
            )
        except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise SpecError(f"not a sweep specification: {error!r}") from error
        except RecursionError as error:
            raise SpecError(f"not a sweep specification: {error!r}") from error


def common_budget(workloads: Collection[Workload]) -> tuple[Workload, str] | None:
    """The workload and the budget from which all of `workloads` follow by their batch sizes.

    None where they are not those of one sweep.
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


@dataclass(frozen=True, kw_only=True)
class OptimizerExpression:
    """An optimizer as it is written on the command line: a name and overrides, not yet resolved."""

    text: str
    name: str
    overrides: Mapping[str, Literal]


def parse_optimizers(text: str) -> tuple[OptimizerExpression, ...]:
    """Read a comma-separated list of optimizer expressions.

    Values are Python literals, bare words, or a word with settings such as ``step(gamma=0.5)``;
    they are parsed, never evaluated.

    >>> [e.name for e in parse_optimizers("sgd,adam[lr=0.003,betas=(0.9,0.99)]")]
    ['sgd', 'adam']
    >>> parse_optimizers("adam[lr=0.003]")[0].overrides
    {'lr': 0.003}

    Raises
    ------
    SpecError
        If an expression is not of the form ``name`` or ``name[key=value,...]``.
    """
    return tuple(_parse_expression(part) for part in _split_outside_brackets(text))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read a list of seeds and inclusive ranges.

    >>> parse_seeds("0-3,15")
    (0, 1, 2, 3, 15)

    Raises
    ------
    SpecError
        If a part is neither a whole number nor an ascending range, or too many seeds are named.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", part, re.ASCII)
        if not match:
            raise SpecError(
                "seeds must be whole numbers or ranges such as 0-9,15, got "
                f"{part[:_QUOTED]!r} in {text[:_QUOTED]!r}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise SpecError(f"a range of seeds must ascend, got {part.strip()!r}")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise SpecError(f"a sweep may have at most {MAX_SEEDS} seeds, got {text[:_QUOTED]!r}")
        seeds.extend(range(first, last + 1))
    return tuple(seeds)


def parse_overrides(inside: str, expression: str) -> dict[str, Literal]:
    """Read ``key=value,...``, which stands in brackets in `expression`.

    Raises
    ------
    SpecError
        If it is not of that form, or a value is no literal.
    """
    source, given = f"_({inside})", f"{expression[:_QUOTED]!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of is a slip too
            call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        call = None
    if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
        raise SpecError(f"hyperparameters are written key=value,..., got {given}")
    values: dict[str, Literal] = {}
    for keyword in call.keywords:
        key = str(keyword.arg)
        if key in values:
            raise SpecError(f"every hyperparameter may be given once, got {given}")
        try:
            values[key] = _literal(keyword.value)
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
            # as it was written: what is too deep to evaluate is too deep to be put together again
            value = ast.get_source_segment(source, keyword.value) or ""
            raise SpecError(
                f"{key} in {given} must be a finite number, True, False, None, a word or a tuple "
                f"of these, got {value[:_QUOTED]!r}"
            ) from None
    return values


def format_seeds(seeds: Sequence[int]) -> str:
    """The shortest text that :func:`parse_seeds` reads as these seeds.

    >>> format_seeds((0, 1, 2, 3, 15))
    '0-3,15'
    """
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)


def variant_name(name: str, overrides: Mapping[str, Literal]) -> str:
    """How a variant is written: the expression that names it, in one canonical form.

    >>> variant_name("adam", {"lr": 0.003, "betas": (0.9, 0.99)})
    'adam[betas=(0.9,0.99),lr=0.003]'
    """
    if not overrides:
        return name
    return f"{name}[{written_overrides(overrides)}]"


def written_overrides(overrides: Mapping[str, Literal]) -> str:
    """Values by their names, as :func:`parse_overrides` reads them.

    >>> written_overrides({"lr": 0.003, "betas": (0.9, 0.99)})
    'betas=(0.9,0.99),lr=0.003'
    """
    return ",".join(
        f"{key}={repr(value).replace(', ', ',')}" for key, value in sorted(overrides.items())
    )


def default_sweep_name(workload: Workload, budget: str = EPOCHS) -> str:
    """The dataset's name, followed by whatever differs from the default workload and budget.

    >>> default_sweep_name(Workload(iterations=300))
    'mnist-iterations300'
    >>> default_sweep_name(Workload(network="mlp[hidden=128x64]"))
    'mnist-networkmlp-hidden-128x64'
    """
    changed = [
        f"{f.name.replace('_', '-')}{getattr(workload, f.name)}"
        for f in fields(workload)
        if f.name != "dataset" and getattr(workload, f.name) != f.default
    ]
    words = [workload.dataset, *changed, *([] if budget == EPOCHS else [budget])]
    return "-".join(re.sub(r"[^A-Za-z0-9._-]+", "-", word).strip("-") for word in words)[:100]


def check_sweep_name(name: str) -> str:
    """Return `name` if it can name a directory and an HTML file anywhere.

    Raises
    ------
    SpecError
        If it is empty, longer than 100 characters, or has anything but letters, digits and
        ``. _ -`` in it, or does not start with a letter or digit.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(
            "a sweep's name must be 1 to 100 letters, digits, '.', '_' or '-' and start with a "
            f"letter or digit, got {name[:120]!r}"
        )
    return name


def canonical_json(content: object) -> str:
    """JSON with one spelling for equal content: sorted keys, no spaces, no NaN."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _split_outside_brackets(text: str) -> list[str]:
    """Split at commas that stand outside brackets, parentheses and quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "[({":
            depth += 1
        elif character in "])}":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _parse_expression(text: str) -> OptimizerExpression:
    match = re.fullmatch(
        r"\s*([A-Za-z_][\w.:-]*(?:@\w*)?)\s*(?:\[(.*)\])?\s*", text, re.ASCII | re.DOTALL
    )
    if not match:
        raise SpecError(
            f"an optimizer is written name or name[key=value,...], got {text[:_QUOTED]!r}"
        )
    return OptimizerExpression(
        text=text.strip(), name=match[1], overrides=parse_overrides(match[2] or "", text.strip())
    )


def _literal(node: ast.expr) -> Literal:
    word = _word(node)
    return _checked_literal(ast.literal_eval(node)) if word is None else word


def _word(node: ast.expr) -> str | None:
    """``cosine``, ``one-cycle`` or ``step(gamma=0.5)``; None where it is none of these."""
    match node:
        case ast.Name(name):
            return name
        case ast.BinOp(left, ast.Sub(), right):
            first, rest = _word(left), _word(right)
            return f"{first}-{rest}" if first and rest and "(" not in first else None
        case ast.Call(ast.Name(name), [], keywords) if all(k.arg for k in keywords):
            settings = {str(k.arg): _literal(k.value) for k in keywords}
            if len(settings) < len(keywords):
                raise ValueError(name)
            return f"{name}({written_overrides(settings)})"
    return None


def _checked_literal(value: object) -> Literal:
    if isinstance(value, tuple | list):
        return tuple(_checked_literal(item) for item in value)
    if isinstance(value, str):
        value.encode()  # half a surrogate pair can be written nowhere
        return value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value):  # a huge int overflows here
        return value
    raise ValueError(value)


def _check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{what} must be a whole number of at least 1, got {value!r}")


def _check_text(what: str, value: object) -> None:
    try:
        is_text = isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and a page cannot
        is_text = False
    if not is_text:
        raise SpecError(f"{what} must be text, got {ascii(value)[:_QUOTED]}")


def _optimizer_from_dict(content: Mapping[str, Any]) -> OptimizerSpec:
    return OptimizerSpec(
        name=content["name"],
        algorithm=content["algorithm"],
        hyperparameters=tuple((k, _checked_literal(v)) for k, v in content["hyperparameters"]),
        batch_size=content.get("batch_size"),
        schedule=content.get("schedule"),
    )
