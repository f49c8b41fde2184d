"""The optimizers that can be compared, by the names used on the command line.

:data:`CATALOGUE` can be read without torch; :func:`resolve` and :func:`build` need it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import SpecError, first_line, suggestion
from bench.external import is_external, load_external
from bench.spec import Literal, OptimizerExpression, OptimizerSpec, variant_name

if TYPE_CHECKING:
    import torch

#: Arguments that choose how a step is computed, not what it computes. They are left to
#: :func:`build` unless the user sets them.
IMPLEMENTATION_FLAGS = frozenset({"foreach", "fused", "capturable", "differentiable"})


#: Classes whose fused step torch has had on CUDA all along; Adagrad's came after 2.8.
FUSED_ON_CUDA = frozenset({"SGD", "Adam", "AdamW"})

#: Classes whose step is the same every time, so that it can be recorded, though they take no
#: argument ``capturable``; Adagrad's is where its learning rate does not decay.
_THE_SAME_EVERY_TIME = frozenset({"SGD", "Adagrad", "Muon"})
#: A class whose capturable step is another one: in float32 the rectification of RAdam is wrong by
#: half a per cent in its first steps (torch 2.13).
_INEXACT_IF_CAPTURABLE = frozenset({"RAdam"})


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One named optimizer.

    Attributes
    ----------
    algorithm
        Name of the class in :mod:`torch.optim`.
    update_rule
        The step in plain mathematics: w weights, g gradient, squares and divisions elementwise.
    paper
        Where the method was published.
    preset
        Arguments that differ from the class's defaults.
    elementwise
        Whether an element's step depends on no other element, so that all runs of a stack can be
        stepped as one tensor.
    needs_closure
        Whether a step evaluates loss and gradient itself, more than once.
    matrices_only
        Whether the class takes matrices only; AdamW steps every other parameter.
    """

    algorithm: str
    update_rule: str
    paper: str
    preset: Mapping[str, Literal] = field(default_factory=dict)
    elementwise: bool = True
    needs_closure: bool = False
    matrices_only: bool = False


class Steps(Protocol):
    """What is asked of an optimizer: a step, with or without a closure."""

    @property
    def step(self) -> Callable[..., object]:
        """Do one update."""


#: Every optimizer that has a name; the tutorial's eight have its settings.
CATALOGUE: Mapping[str, CatalogueEntry] = {
    "sgd": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1},
        update_rule="w -= lr g",
        paper="Robbins & Monro 1951, Annals of Mathematical Statistics 22",
    ),
    "momentum": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9},
        update_rule="v = momentum v + g;  w -= lr v",
        paper="Polyak 1964, USSR Computational Mathematics and Mathematical Physics 4",
    ),
    "nesterov": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9, "nesterov": True},
        update_rule="v = momentum v + g;  w -= lr (g + momentum v)",
        paper="Nesterov 1983, Soviet Mathematics Doklady 27; Sutskever et al. 2013, ICML",
    ),
    "adam": CatalogueEntry(
        algorithm="Adam",
        update_rule="m, v = running means of g and g^2, bias-corrected;  "
        "w -= lr m / (sqrt(v) + eps)",
        paper="Kingma & Ba 2015, ICLR",
    ),
    "adagrad": CatalogueEntry(
        algorithm="Adagrad",
        update_rule="s += g^2;  w -= lr g / (sqrt(s) + eps)",
        paper="Duchi, Hazan & Singer 2011, JMLR 12",
    ),
    "adadelta": CatalogueEntry(
        algorithm="Adadelta",
        update_rule="d = g sqrt(u + eps) / sqrt(v + eps);  u, v = running means of d^2 and g^2;  "
        "w -= lr d",
        paper="Zeiler 2012, arXiv:1212.5701",
    ),
    "adamax": CatalogueEntry(
        algorithm="Adamax",
        update_rule="m = running mean of g;  u = max(beta2 u, |g| + eps);  "
        "w -= lr m / ((1 - beta1^t) u)",
        paper="Kingma & Ba 2015, ICLR, section 7.1",
    ),
    "rmsprop": CatalogueEntry(
        algorithm="RMSprop",
        update_rule="v = running mean of g^2;  w -= lr g / (sqrt(v) + eps)",
        paper="Tieleman & Hinton 2012, Coursera lecture 6.5",
    ),
    "adamw": CatalogueEntry(
        algorithm="AdamW",
        update_rule="m, v = running means of g and g^2, bias-corrected;  "
        "w -= lr (m / (sqrt(v) + eps) + weight_decay w)",
        paper="Loshchilov & Hutter 2019, ICLR",
    ),
    "nadam": CatalogueEntry(
        algorithm="NAdam",
        update_rule="m, v = running means of g and g^2, v bias-corrected;  "
        "b_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  "
        "w -= lr (b_{t+1} m / (1 - b_1 ... b_{t+1}) + (1 - b_t) g / (1 - b_1 ... b_t)) "
        "/ (sqrt(v) + eps)",
        paper="Dozat 2016, ICLR workshop",
    ),
    "radam": CatalogueEntry(
        algorithm="RAdam",
        update_rule="m, v = running means of g and g^2, m bias-corrected;  "
        "R = 2 / (1 - beta2) - 1;  R_t = R - 2 t beta2^t / (1 - beta2^t);  "
        "r = sqrt((R_t - 4) (R_t - 2) R / ((R - 4) (R - 2) R_t));  "
        "w -= lr m r sqrt(1 - beta2^t) / (sqrt(v) + eps) where R_t > 5, else w -= lr m",
        paper="Liu et al. 2020, ICLR",
    ),
    "asgd": CatalogueEntry(
        algorithm="ASGD",
        update_rule="w -= lr (g + lambd w) / (1 + lambd lr (t - 1))^alpha;  "
        "the average of w, kept from update t0 on, is not what is evaluated",
        paper="Polyak & Juditsky 1992, SIAM Journal on Control and Optimization 30",
    ),
    "rprop": CatalogueEntry(
        algorithm="Rprop",
        update_rule="s = lr at first, then s etas[1] where g keeps its sign, s etas[0] and g = 0 "
        "where it changes, within step_sizes;  w -= s sign(g)",
        paper="Riedmiller & Braun 1993, IEEE ICNN; Igel & Huesken 2000, NC (iRprop-)",
    ),
    "adafactor": CatalogueEntry(
        algorithm="Adafactor",
        update_rule="R, C = running means of the row and column means of g^2, the newest weighing "
        "t^beta2_decay;  v = R C / mean(R), of a vector the running mean of g^2;  "
        "u = g / sqrt(v);  w -= lr weight_decay w;  "
        "w -= max(eps[1], rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d)",
        paper="Shazeer & Stern 2018, ICML",
        elementwise=False,
    ),
    "muon": CatalogueEntry(
        algorithm="Muon",
        update_rule="matrices: m = running mean of g;  u = momentum m + (1 - momentum) g, "
        "made near-orthogonal by ns_steps Newton-Schulz iterations;  "
        "w -= lr (sqrt(max(1, rows / columns)) u + weight_decay w);  "
        "every other parameter: adamw with the same lr and weight_decay",
        paper="Jordan et al. 2024, kellerjordan.github.io/posts/muon",
        elementwise=False,
        matrices_only=True,
    ),
    "lbfgs": CatalogueEntry(
        algorithm="LBFGS",
        update_rule="up to max_iter times on one batch: w -= lr H g, H = estimate of the inverse "
        "Hessian from the last history_size changes of w and g",
        paper="Liu & Nocedal 1989, Mathematical Programming 45",
        elementwise=False,
        needs_closure=True,
    ),
}

#: Optimizers of torch.optim that have no place here, and why.
EXCLUDED: Mapping[str, str] = {
    "Optimizer": "the base class of the others",
    "SparseAdam": "needs sparse gradients, which this network does not have",
}

#: The tutorial's eight, in its order: what is compared unless the user says otherwise.
DEFAULT_OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adam"),
    *("adagrad", "adadelta", "adamax", "rmsprop"),
)


def resolve(expression: OptimizerExpression) -> OptimizerSpec:
    """Look an expression up, fill in every default, and prove that a step can be taken.

    Overrides that repeat a default are dropped from the name, so that one variant has one name.

    Raises
    ------
    SpecError
        If the name is unknown, or a hyperparameter is unknown, missing, ill-typed or refused.
    """
    if is_external(expression.name):
        return _resolve_external(expression)
    entry = CATALOGUE.get(expression.name)
    if entry is None:
        raise SpecError(
            f"unknown optimizer {expression.name!r}: {suggestion(expression.name, CATALOGUE)}"
        )
    arguments = _torch_arguments(entry.algorithm).with_preset(entry.preset)
    spec = _specified(expression, expression.name, f"torch.optim.{entry.algorithm}", arguments)
    if spec.name != expression.name:
        # a catalogue entry as it stands needs no proof, and a first step takes a second
        _try_one_step(spec, expression.text, "torch refuses these settings")
    return spec


def settings(name: str) -> Mapping[str, Literal]:
    """What the catalogue entry `name` passes to its class, defaults included."""
    entry = CATALOGUE[name]
    defaults = _torch_arguments(entry.algorithm).with_preset(entry.preset).defaults
    return {k: v for k, v in defaults.items() if k not in IMPLEMENTATION_FLAGS}


def available() -> dict[str, CatalogueEntry]:
    """The entries whose class the installed torch has; Muon came with torch 2.9."""
    import torch

    return {name: e for name, e in CATALOGUE.items() if hasattr(torch.optim, e.algorithm)}


def is_recordable(spec: OptimizerSpec, device: torch.device) -> bool:
    """Whether a step of `spec`, recorded once on `device`, is what every later step would be.

    That is known of torch's own optimizers only: where their state is on the device, and a learning
    rate that changes is read from there.
    """
    if is_users(spec):
        return False
    given = dict(spec.hyperparameters)
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    has_flags, changes = IMPLEMENTATION_FLAGS & given.keys(), spec.schedule is not None
    if changes and has_flags:
        return False
    if algorithm in _THE_SAME_EVERY_TIME:
        if changes:
            return algorithm == "SGD" and _has_fused(algorithm, device)
        return not given.get("lr_decay")
    if algorithm in _INEXACT_IF_CAPTURABLE or given.get("capturable") is False:
        return False
    return "capturable" in _torch_arguments(algorithm).defaults


def build(spec: OptimizerSpec, parameter: torch.nn.Parameter, *, recordable: bool = False) -> Steps:
    """The optimizer of `spec` over one flat parameter; `recordable`: its step will be recorded.

    torch's fused kernels are used where the class has them: on CPU they take about half the
    time of the default for momentum SGD, Adam and Adagrad (docs/performance.md).
    """
    return _construct(spec, [parameter], recordable=recordable)


def build_for_layers(
    spec: OptimizerSpec, layers: Sequence[torch.nn.Parameter], *, recordable: bool = False
) -> tuple[Steps, ...]:
    """The optimizers of `spec` over the parameters of one run, each in its own shape.

    There is one, but for a class that takes matrices only: AdamW is beside it, with the same
    learning rate and weight decay, for all other parameters.
    """
    entry = _entry_of(spec)
    if entry is None or not entry.matrices_only:
        return (_construct(spec, layers, recordable=recordable),)
    common = {k: v for k, v in spec.hyperparameters if k in ("lr", "weight_decay")}
    adamw = OptimizerSpec(
        name="adamw", algorithm="torch.optim.AdamW", hyperparameters=tuple(common.items())
    )
    matrices = [layer for layer in layers if layer.ndim == 2]
    others = [layer for layer in layers if layer.ndim != 2]
    return tuple(
        _construct(s, group, recordable=recordable)
        for s, group in ((spec, matrices), (adamw, others))
        if group
    )


def set_mode(optimizer: Steps, mode: str) -> None:
    """Call ``train()`` or ``eval()`` of an optimizer that has it, as schedule-free ones do.

    Between the two calls they evaluate at other weights than those that they train.
    """
    switch = getattr(optimizer, mode, None)
    if callable(switch):
        switch()


def needs_closure(spec: OptimizerSpec) -> bool:
    """Whether a step of `spec` is given a closure; a user's class says so in `needs_closure`."""
    entry = _entry_of(spec)
    if entry is not None:
        return entry.needs_closure
    return bool(getattr(_external(spec), "needs_closure", False))


def claims_elementwise(spec: OptimizerSpec) -> bool:
    """Whether `spec` says that it acts elementwise; a user's class does so in `elementwise`."""
    entry = _entry_of(spec)
    if entry is not None:
        return entry.elementwise
    return getattr(_external(spec), "elementwise", False) is True


def is_users(spec: OptimizerSpec) -> bool:
    """Whether `spec` is of a user's module rather than of torch."""
    return is_external(spec.algorithm)


def _entry_of(spec: OptimizerSpec) -> CatalogueEntry | None:
    if is_users(spec):
        return None
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    return next(entry for entry in CATALOGUE.values() if entry.algorithm == algorithm)


def _external(spec: OptimizerSpec) -> Callable[..., Any]:
    value: Any = load_external(spec.algorithm, "optimizer").value
    return value  # type: ignore[no-any-return]


def _construct(
    spec: OptimizerSpec, parameters: Sequence[torch.nn.Parameter], *, recordable: bool
) -> Steps:
    arguments: dict[str, Any] = dict(spec.hyperparameters)
    made: Steps
    if is_users(spec):
        made = _external(spec)(list(parameters), **arguments)
        set_mode(made, "train")
        return made
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    unset = not IMPLEMENTATION_FLAGS & arguments.keys()
    if unset and _has_fused(algorithm, parameters[0].device):
        arguments["fused"] = True
    if recordable and "capturable" in _torch_arguments(algorithm).defaults:
        arguments["capturable"] = True
        if unset and spec.schedule is not None and not arguments.get("fused"):
            arguments["foreach"] = True  # else a learning rate on the device is read from Python
    return _optimizer_class(algorithm)(list(parameters), **arguments)


def _has_fused(algorithm: str, device: torch.device) -> bool:
    """Whether every torch of the supported range has a fused step of this class on this device."""
    if device.type == "cpu":
        return "fused" in _torch_arguments(algorithm).defaults
    return device.type == "cuda" and algorithm in FUSED_ON_CUDA


def _optimizer_class(algorithm: str) -> type[torch.optim.Optimizer]:
    import torch

    found: type[torch.optim.Optimizer] | None = getattr(torch.optim, algorithm, None)
    if found is None:
        raise SpecError(f"torch {torch.__version__} has no optimizer {algorithm}")
    return found


@dataclass(frozen=True, kw_only=True)
class _Arguments:
    """What a class or factory takes besides the parameters.

    Attributes
    ----------
    defaults
        Of the arguments whose default is a literal.
    required, free
        Names of the arguments that have no default, and of those whose default is no literal.
    whole
        Names of the arguments that are declared to be whole numbers.
    takes_any
        Whether it takes arguments that it does not name.
    """

    defaults: Mapping[str, Literal]
    required: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    takes_any: bool = False

    @classmethod
    def of(cls, value: Callable[..., object], *, torchs: bool = False) -> _Arguments:
        """From the signature; in `torchs`, ints are floats unless they are declared as int."""
        signature = inspect.signature(value).parameters.values()
        named = [p for p in signature if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if named and named[0].kind is not named[0].KEYWORD_ONLY:
            named = named[1:]  # the parameters
        given = {p.name: p for p in named if p.default is not p.empty}
        whole = frozenset(n for n, p in given.items() if p.annotation in (int, "int"))
        defaults: dict[str, Literal] = {}
        for name, p in given.items():
            if _is_literal(p.default):
                as_float = name not in whole and (torchs or "float" in str(p.annotation))
                defaults[name] = _as_float(p.default) if as_float else p.default
        return cls(
            defaults=defaults,
            required=frozenset(p.name for p in named if p.default is p.empty),
            free=frozenset(given.keys() - defaults.keys()),
            whole=whole,
            takes_any=any(p.kind is p.VAR_KEYWORD for p in signature),
        )

    def with_preset(self, preset: Mapping[str, Literal]) -> _Arguments:
        """The same with other defaults."""
        return _Arguments(defaults={**self.defaults, **preset}, whole=self.whole)

    @property
    def names(self) -> list[str]:
        """Of all arguments."""
        return sorted({*self.defaults, *self.required, *self.free})


def _torch_arguments(algorithm: str) -> _Arguments:
    return _Arguments.of(_optimizer_class(algorithm), torchs=True)


def _resolve_external(expression: OptimizerExpression) -> OptimizerSpec:
    found = load_external(expression.name, "optimizer")
    text, value = expression.text, found.value
    if not callable(value):
        raise SpecError(f"{text!r}: an optimizer must be a class or a factory, got {value!r:.80}")
    try:
        arguments = _Arguments.of(value)
    except (ValueError, TypeError):
        raise SpecError(f"{text!r}: it does not tell which hyperparameters it takes") from None
    missing = sorted(arguments.required - expression.overrides.keys())
    if missing:
        raise SpecError(f"{text!r}: a value is needed for {', '.join(missing)}")
    spec = _specified(expression, found.name.partition("@")[0], found.name, arguments)
    _try_one_step(spec, text, "it cannot do a step with these settings")
    return spec


def _specified(
    expression: OptimizerExpression, name: str, algorithm: str, arguments: _Arguments
) -> OptimizerSpec:
    """The spec of an expression, with every default of `arguments`."""
    overrides = {
        key: _checked(expression, key, value, arguments)
        for key, value in expression.overrides.items()
    }
    defaults = arguments.defaults
    changed = {k: v for k, v in overrides.items() if k not in defaults or v != defaults[k]}
    chosen = {
        key: value
        for key, value in {**defaults, **changed}.items()
        if key in changed or key not in IMPLEMENTATION_FLAGS
    }
    return OptimizerSpec(
        name=variant_name(name, changed),
        algorithm=algorithm,
        hyperparameters=tuple(sorted(chosen.items())),
    )


def _is_literal(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_literal, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def _as_float(value: Literal) -> Literal:
    """Numbers as floats: torch writes ``weight_decay: float = 0``, and 0 is 0.0."""
    if isinstance(value, tuple):
        return tuple(map(_as_float, value))
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _checked(
    expression: OptimizerExpression, key: str, value: Literal, arguments: _Arguments
) -> Literal:
    """`value` in the type of the default of `key`, so that lr=1 and lr=1.0 are one variant."""
    if key not in arguments.names and not arguments.takes_any:
        raise SpecError(
            f"{expression.text!r}: {expression.name} has no hyperparameter {key!r}: "
            f"{suggestion(key, arguments.names)}"
        )
    if key not in arguments.defaults:
        return value
    default = arguments.defaults[key]
    try:
        if key in IMPLEMENTATION_FLAGS:
            return _flag(value)
        value = _like(default, value)
        if key in arguments.whole and isinstance(value, float):
            raise ValueError("a whole number")
        return value
    except ValueError as error:
        raise SpecError(
            f"{expression.text!r}: {key} must be {error} (default {default!r}), got {value!r}"
        ) from None


def _flag(value: Literal) -> Literal:
    if value is not None and not isinstance(value, bool):
        raise ValueError("True, False or None")
    return value


def _like(default: Literal, value: Literal) -> Literal:
    """`value` if it is of the kind of `default`; the ValueError says which kind that is."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError("True or False")
    elif isinstance(default, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("a number")
        if isinstance(default, float):
            return float(value)
        return int(value) if value == int(value) else value
    elif isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise ValueError(f"a tuple of {len(default)}")
        return tuple(_like(d, v) for d, v in zip(default, value, strict=True))
    return value


def require_learning_rate(spec: OptimizerSpec, text: str) -> None:
    """Prove that a schedule would change what `spec` does.

    Raises
    ------
    SpecError
        If it has no learning rate, several, or one that a step does not heed, as Rprop after its
        first.
    """
    import torch

    try:  # ASGD heeds it one step later
        half, same = (_after_steps(spec, (1.0, factor, factor)) for factor in (0.5, 1.0))
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None
    if all(map(torch.equal, half, same)):
        raise SpecError(
            f"{text!r}: a schedule changes nothing: half the learning rate gives the same step"
        )


def rate_groups(optimizers: Iterable[Steps]) -> list[dict[str, Any]]:
    """Where `optimizers` look their learning rate up, before every step.

    Raises
    ------
    SpecError
        If there is no learning rate, or more than one: a schedule changes one.
    """
    groups = [group for o in optimizers for group in getattr(o, "param_groups", ())]
    if not groups or not all("lr" in group for group in groups):
        raise SpecError("a schedule needs param_groups with a learning rate lr, as torch's have")
    rates = sorted({float(group["lr"]) for group in groups})
    if len(rates) > 1:
        raise SpecError(f"a schedule needs one learning rate, got {', '.join(map(str, rates))}")
    return groups


def _try_one_step(spec: OptimizerSpec, text: str, refusal: str) -> None:
    """Whatever is objected to is the user's to read."""
    import torch

    try:
        once, again = (_after_steps(spec) for _ in range(2))
    except (Exception, SystemExit) as error:
        raise SpecError(f"{text!r}: {refusal}: {first_line(error)}") from error
    if not all(map(partial(torch.allclose, rtol=0, atol=0, equal_nan=True), once, again)):
        raise SpecError(
            f"{text!r}: two steps from the same state differ: random numbers must come from "
            "the global generator of torch, numpy or Python, or from one with a fixed seed"
        )


def _after_steps(spec: OptimizerSpec, factors: Sequence[float] = ()) -> list[torch.Tensor]:
    """One matrix and one vector after a step, or one with each of these shares of the rate.

    The global random generators are set to the same state at each call, and restored.
    """
    from bench.generators import RandomStream

    with RandomStream(0).drawn():
        return _stepped(spec, factors)


def _stepped(spec: OptimizerSpec, factors: Sequence[float]) -> list[torch.Tensor]:
    import torch

    layers = [torch.nn.Parameter(torch.full(shape, 0.5)) for shape in ((3, 2), (3,))]

    def closure() -> torch.Tensor:
        for layer in layers:
            layer.grad = torch.ones_like(layer)  # no step reaches a minimum
        return torch.stack([layer.detach().sum() for layer in layers]).sum()

    optimizers = build_for_layers(spec, layers)
    groups = rate_groups(optimizers) if factors else []
    full = [group["lr"] for group in groups]
    for factor in factors or (1.0,):
        for group, lr in zip(groups, full, strict=True):
            group["lr"] = lr * factor
        closure()
        for optimizer in optimizers:
            if not callable(getattr(optimizer, "step", None)):
                raise TypeError(f"{type(optimizer).__name__} has no step()")
            optimizer.step(closure) if needs_closure(spec) else optimizer.step()
    return [layer.detach() for layer in layers]
