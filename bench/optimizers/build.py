"""Create torch optimizers from their specifications."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from bench.optimizers.catalogue import CATALOGUE, CatalogueEntry
from bench.optimizers.signature import IMPLEMENTATION_FLAGS, optimizer_class, torch_arguments
from bench.spec.model import OptimizerSpec
from bench.spec.plugins import is_external, load_external

if TYPE_CHECKING:
    import torch

#: Classes with a fused CUDA step in all supported versions of torch; Adagrad's came after 2.8.
FUSED_ON_CUDA = frozenset({"SGD", "Adam", "AdamW"})
#: Classes without an argument ``capturable`` whose steps can be captured, because all steps are the
#: same operations; Adagrad only without a decay of its learning rate.
_SAME_EVERY_STEP = frozenset({"SGD", "Adagrad", "Muon"})
#: Classes whose capturable step gives other results: in float32 the rectification of RAdam is wrong
#: by half a per cent in its first steps (torch 2.13).
_INEXACT_IF_CAPTURABLE = frozenset({"RAdam"})


class Steps(Protocol):
    """Interface of an optimizer: a step, with or without a closure."""

    @property
    def step(self) -> Callable[..., object]:
        """Function that does one update."""


def is_capturable(spec: OptimizerSpec, device: torch.device) -> bool:
    """Return whether a step of `spec` can be captured once on `device` and replayed.

    This holds only for optimizers of torch whose state is on the device, and whose learning rate,
    if it changes, is read from the device.
    """
    if is_users(spec):
        return False
    given = dict(spec.hyperparameters)
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    has_flags, changes = IMPLEMENTATION_FLAGS & given.keys(), spec.schedule is not None
    if changes and has_flags:
        return False
    if algorithm in _SAME_EVERY_STEP:
        if changes:
            return algorithm == "SGD" and _has_fused(algorithm, device)
        return not given.get("lr_decay")
    if algorithm in _INEXACT_IF_CAPTURABLE or given.get("capturable") is False:
        return False
    return "capturable" in torch_arguments(algorithm).defaults


def build(spec: OptimizerSpec, parameter: torch.nn.Parameter, *, capturable: bool = False) -> Steps:
    """Create the optimizer of `spec` for one flat parameter.

    `capturable` is required if its step will be captured. torch's fused kernels are used if the
    class has them: on the CPU they take about half the time of the default for SGD with momentum,
    Adam and Adagrad (docs/performance.md). A step of plain SGD is one operation and needs none.
    """
    return _construct(spec, [parameter], capturable=capturable)


def build_for_layers(
    spec: OptimizerSpec, layers: Sequence[torch.nn.Parameter], *, capturable: bool = False
) -> tuple[Steps, ...]:
    """Create the optimizers of `spec` for the parameters of one run, in their own shapes.

    This is one optimizer, except for a class that accepts only matrices. All other parameters then
    get AdamW with the same learning rate and weight decay.
    """
    entry = _entry_of(spec)
    if entry is None or not entry.matrices_only:
        return (_construct(spec, layers, capturable=capturable),)
    common = {k: v for k, v in spec.hyperparameters if k in ("lr", "weight_decay")}
    adamw = OptimizerSpec(
        name="adamw", algorithm="torch.optim.AdamW", hyperparameters=tuple(common.items())
    )
    matrices = [layer for layer in layers if layer.ndim == 2]
    others = [layer for layer in layers if layer.ndim != 2]
    return tuple(
        _construct(s, group, capturable=capturable)
        for s, group in ((spec, matrices), (adamw, others))
        if group
    )


def set_mode(optimizer: Steps, mode: str) -> None:
    """Call ``train()`` or ``eval()`` of an optimizer, if it has such a method.

    Schedule-free optimizers evaluate at weights that differ from those that they train.
    """
    switch = getattr(optimizer, mode, None)
    if callable(switch):
        switch()


def needs_closure(spec: OptimizerSpec) -> bool:
    """Return whether a step of `spec` needs a closure (user classes: attribute `needs_closure`)."""
    entry = _entry_of(spec)
    if entry is not None:
        return entry.needs_closure
    return bool(getattr(_external(spec), "needs_closure", False))


def claims_elementwise(spec: OptimizerSpec) -> bool:
    """Return whether `spec` is declared as elementwise (user classes: attribute `elementwise`)."""
    entry = _entry_of(spec)
    if entry is not None:
        return entry.elementwise
    return getattr(_external(spec), "elementwise", False) is True


def import_compiler(spec: OptimizerSpec) -> None:
    """Import torch._dynamo, in about two seconds, if a step of `spec` would import it.

    The step methods of torch do, but not the functions that they decorate, which elementwise
    optimizers of torch are stepped with (:class:`bench.training.steppers.FlatRuns`).
    """
    if not is_users(spec):
        is_needed = not claims_elementwise(spec)
    else:
        made = _external(spec)
        is_needed = not isinstance(made, type) or any(
            base.__module__.startswith("torch.optim.") and base.__name__ != "Optimizer"
            for base in made.__mro__
        )
    if is_needed:
        import_module("torch._dynamo")


def is_users(spec: OptimizerSpec) -> bool:
    """Return whether `spec` is a user-defined optimizer."""
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
    spec: OptimizerSpec, parameters: Sequence[torch.nn.Parameter], *, capturable: bool
) -> Steps:
    arguments: dict[str, Any] = dict(spec.hyperparameters)
    made: Steps
    if is_users(spec):
        made = _external(spec)(list(parameters), **arguments)
        set_mode(made, "train")
        return made
    skip_compiler()
    algorithm = spec.algorithm.removeprefix("torch.optim.")
    unset = not IMPLEMENTATION_FLAGS & arguments.keys()
    device = parameters[0].device
    is_slower = not capturable and _is_one_operation(spec, device)
    if unset and _has_fused(algorithm, device) and not is_slower:
        arguments["fused"] = True
    elif unset and device.type == "cpu" and "foreach" in torch_arguments(algorithm).defaults:
        arguments["foreach"] = False  # as torch decides there too, but anew in every step
    if capturable and "capturable" in torch_arguments(algorithm).defaults:
        arguments["capturable"] = True
        if unset and spec.schedule is not None and not arguments.get("fused"):
            # without foreach, torch would read a learning rate on the device from Python
            arguments["foreach"] = True
    return optimizer_class(algorithm)(list(parameters), **arguments)


@cache
def skip_compiler() -> None:
    """Let the first optimizer of a process be made without importing torch._dynamo.

    torch excludes this method from compilation when it is called first, and keeps the result in
    this attribute. Nothing is compiled here. Without the attribute the result is the same.
    """
    import torch

    method: Any = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    setattr(method, "__dynamo_disable", method)


def _is_one_operation(spec: OptimizerSpec, device: torch.device) -> bool:
    """Return whether a step is that of SGD without momentum and weight decay, on the CPU."""
    given = dict(spec.hyperparameters)
    is_plain = not given.get("momentum") and not given.get("weight_decay")
    return device.type == "cpu" and spec.algorithm == "torch.optim.SGD" and is_plain


def _has_fused(algorithm: str, device: torch.device) -> bool:
    """Return whether all supported versions of torch have a fused step for class and device."""
    if device.type == "cpu":
        return "fused" in torch_arguments(algorithm).defaults
    return device.type == "cuda" and algorithm in FUSED_ON_CUDA
