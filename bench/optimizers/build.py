"""The optimizers that can be compared, by the names used on the command line.

:data:`CATALOGUE` can be read without torch; :func:`resolve` and :func:`build` need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from bench.optimizers.catalogue import CATALOGUE, CatalogueEntry
from bench.optimizers.signature import IMPLEMENTATION_FLAGS, optimizer_class, torch_arguments
from bench.spec.model import OptimizerSpec
from bench.spec.plugins import is_external, load_external

if TYPE_CHECKING:
    import torch


#: Classes whose fused step torch has had on CUDA all along; Adagrad's came after 2.8.
FUSED_ON_CUDA = frozenset({"SGD", "Adam", "AdamW"})


#: Classes whose step is the same every time, so that it can be recorded, though they take no
#: argument ``capturable``; Adagrad's is where its learning rate does not decay.
_THE_SAME_EVERY_TIME = frozenset({"SGD", "Adagrad", "Muon"})


#: A class whose capturable step is another one: in float32 the rectification of RAdam is wrong by
#: half a per cent in its first steps (torch 2.13).
_INEXACT_IF_CAPTURABLE = frozenset({"RAdam"})


class Steps(Protocol):
    """What is asked of an optimizer: a step, with or without a closure."""

    @property
    def step(self) -> Callable[..., object]:
        """Do one update."""


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
    return "capturable" in torch_arguments(algorithm).defaults


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
    if recordable and "capturable" in torch_arguments(algorithm).defaults:
        arguments["capturable"] = True
        if unset and spec.schedule is not None and not arguments.get("fused"):
            arguments["foreach"] = True  # else a learning rate on the device is read from Python
    return optimizer_class(algorithm)(list(parameters), **arguments)


def _has_fused(algorithm: str, device: torch.device) -> bool:
    """Whether every torch of the supported range has a fused step of this class on this device."""
    if device.type == "cpu":
        return "fused" in torch_arguments(algorithm).defaults
    return device.type == "cuda" and algorithm in FUSED_ON_CUDA
