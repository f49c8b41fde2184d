"""Trial steps of an optimizer, to find errors before a sweep starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.errors import SpecError, first_line
from bench.optimizers.build import Steps, build_for_layers, needs_closure
from bench.spec.model import OptimizerSpec
from bench.spec.plugins import is_external

if TYPE_CHECKING:
    import torch


#: Entered around each trial of a user's optimizer with the text of its expression.
Watch = Callable[[str], AbstractContextManager[None]]
_watch: ContextVar[Watch] = ContextVar("watch", default=lambda _text: nullcontext())


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Enter `watch` around each trial of a user's optimizer in the block."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def require_learning_rate(spec: OptimizerSpec, text: str) -> None:
    """Check that a schedule changes the steps of `spec`.

    Raise SpecError if it has no learning rate, several, or one that does not change its steps
    (Rprop uses it in its first step only).
    """
    import torch

    try:  # three steps, because ASGD uses a new rate one step later
        half, same = (_after_steps(spec, (1.0, factor, factor)) for factor in (0.5, 1.0))
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None
    if all(map(torch.equal, half, same)):
        raise SpecError(
            f"{text!r}: a schedule changes nothing: half the learning rate gives the same step"
        )


def rate_groups(optimizers: Iterable[Steps]) -> list[dict[str, Any]]:
    """Return the parameter groups of `optimizers`, which hold their learning rate.

    Raise SpecError if there is not exactly one learning rate.
    """
    groups = [group for o in optimizers for group in getattr(o, "param_groups", ())]
    if not groups or not all("lr" in group for group in groups):
        raise SpecError("a schedule needs param_groups with a learning rate lr, as torch's have")
    rates = sorted({float(group["lr"]) for group in groups})
    if len(rates) > 1:
        raise SpecError(f"a schedule needs one learning rate, got {', '.join(map(str, rates))}")
    return groups


def try_one_step(spec: OptimizerSpec, text: str, refusal: str) -> None:
    """Test two steps from the same state.

    Raise SpecError if a step raises an exception (`refusal` introduces its message), or the results
    differ.
    """
    import torch

    try:
        with _watch.get()(text) if is_external(spec.algorithm) else nullcontext():
            once, again = (_after_steps(spec) for _ in range(2))
    except (Exception, SystemExit) as error:
        raise SpecError(f"{text!r}: {refusal}: {first_line(error)}") from error
    if not all(map(partial(torch.allclose, rtol=0, atol=0, equal_nan=True), once, again)):
        raise SpecError(
            f"{text!r}: two steps from the same state differ: random numbers must come from "
            "the global generator of torch, numpy or Python, or from one with a fixed seed"
        )


def _after_steps(spec: OptimizerSpec, factors: Sequence[float] = ()) -> list[torch.Tensor]:
    """Return one matrix and one vector after a step, or after a step for each of `factors`.

    The learning rate of each step is multiplied by its factor. The global random generators have
    the same state at each call, and are restored.
    """
    from bench.spec import process_state
    from bench.spec.generator_state import GeneratorState

    with process_state.restored(), GeneratorState(0).active():
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
