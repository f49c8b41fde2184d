"""A user's module: optimizers of their own, as they would write them."""

# ruff: noqa: ARG001, ARG002

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023."""

    elementwise = True

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        rescale: Callable[[float], float] = abs,
        foreach: bool | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - lr * group["weight_decay"]).sub_(lr * m.lerp(p.grad, 1 - beta1).sign())
                m.lerp_(p.grad, 1 - beta2)


class Normalised(torch.optim.Optimizer):
    """Claims to be elementwise, but divides by the norm of each layer's gradient."""

    elementwise = True

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            p.sub_(self.param_groups[0]["lr"] * p.grad / p.grad.norm())


class Rebinding(Normalised):
    """Takes its gradients away and puts new tensors in the place of the old."""

    elementwise = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            p.data = p.data - self.param_groups[0]["lr"] * p.grad
        self.zero_grad()


class Extragradient(torch.optim.Optimizer):
    """Steps by the gradient at the place to which a plain step would lead."""

    needs_closure = True

    def __init__(self, params: Iterable[torch.Tensor], lr: float, **more: Any) -> None:
        super().__init__(params, {"lr": lr, **more})

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:  # type: ignore[override]
        lr, params = self.param_groups[0]["lr"], self.param_groups[0]["params"]
        start = [p.clone() for p in params]
        for p in params:
            p.sub_(lr * p.grad)
        loss = closure()
        for p, s in zip(params, start, strict=True):
            p.copy_(s - lr * p.grad)
        return loss


def sgd_like(params: Iterable[torch.Tensor], *, lr: float = 0.1) -> torch.optim.Optimizer:
    """A factory."""
    return torch.optim.SGD(params, lr=lr)


class Deaf(torch.optim.Optimizer):
    """Looks its learning rate up only once."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})
        self.rate = lr

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            p.sub_(self.rate * p.grad)


class Groupless:
    """Has a step, and nothing else."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.1) -> None:
        self.step = torch.optim.SGD(params, lr=lr).step


def two_rates(params: list[torch.Tensor]) -> torch.optim.Optimizer:
    groups = [{"params": params[:1], "lr": 0.1}, {"params": params[1:], "lr": 0.2}]
    return torch.optim.SGD(groups)


class Averaged(torch.optim.SGD):
    """Evaluates at the mean of all weights so far, and trains on from the last ones."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.n, self.is_training = 0, False
        self.sums = [torch.zeros_like(p) for p in self.param_groups[0]["params"]]
        self.kept = [p.detach().clone() for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        if not self.is_training:
            raise RuntimeError("call train() before a step")
        super().step()
        self.n += 1
        for total, p in zip(self.sums, self.param_groups[0]["params"], strict=True):
            total.add_(p)

    @torch.no_grad()
    def eval(self) -> None:
        self.is_training = False
        params = self.param_groups[0]["params"]
        for kept, total, p in zip(self.kept, self.sums, params, strict=True):
            kept.copy_(p)
            p.copy_(total / max(1, self.n))

    @torch.no_grad()
    def train(self) -> None:
        if not self.is_training:
            self.is_training = True
            for kept, p in zip(self.kept, self.param_groups[0]["params"], strict=True):
                p.copy_(kept)


def exits(params: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    raise SystemExit("first\nsecond")


def stepless(params: Iterable[torch.Tensor]) -> object:
    return object()


NUMBER = 3


class Dropped(torch.optim.SGD):
    """SGD that skips a random half of the coordinates in each step, by three generators."""

    def __init__(self, params: Iterable[torch.Tensor], lr: float = 0.1) -> None:
        super().__init__(params, lr=lr)
        self.scales = [torch.rand(()) for _ in self.param_groups[0]["params"]]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p, scale in zip(self.param_groups[0]["params"], self.scales, strict=True):
            p.grad.mul_(torch.bernoulli(torch.full_like(p, 0.5)) * scale)
            p.grad.mul_(np.random.uniform(0.9, 1.0) * random.uniform(0.9, 1.0))
        super().step(closure)


class DroppedFlat(Dropped):
    """Claims to be elementwise: one step for a whole stack would mix up the runs' numbers."""

    elementwise = True


class Unseeded(torch.optim.SGD):
    """Draws from a generator that starts anywhere."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        generator = np.random.default_rng()
        for p in self.param_groups[0]["params"]:
            p.grad.mul_(generator.uniform(0.5, 1.0))
        super().step(closure)
