"""Optimizers that misbehave in training, but not in the trial before a sweep: for fault injection.

They are named like those of users: ``bench.tools.misbehaving:Abort``.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import SGD, Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench.storage.records import FAILED, OK

#: A layer with more parameters is that of a training; the trial has smaller ones.
_IN_TRAINING = 100


def _misbehaving(act: Callable[[], object]) -> type[Optimizer]:
    """No subclass of SGD, with which each worker would import torch._dynamo for two seconds."""

    class Misbehaving(Optimizer):
        def __init__(self, params: Any, lr: float = 0.001) -> None:
            super().__init__(params, {"lr": lr})

        def step(self, _closure: Any = None) -> None:  # type: ignore[override]
            of_all = [(p, group["lr"]) for group in self.param_groups for p in group["params"]]
            if any(p.numel() > _IN_TRAINING for p, _ in of_all):
                act()
            with torch.no_grad():
                for p, lr in of_all:
                    p.sub_(p.grad, alpha=lr)

    return Misbehaving


def _raising(error: BaseException) -> type[Optimizer]:
    def act() -> None:
        raise error

    return _misbehaving(act)


class _NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class _HangingTextError(Exception):
    def __str__(self) -> str:
        time.sleep(1000)
        return ""


def _hang() -> None:
    while True:
        try:
            time.sleep(1000)
        except Exception:
            continue


def _hold_gil() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    ctypes.PyDLL(None).sleep(1000)  # PyDLL does not release the GIL


def _add_hook() -> None:
    register_optimizer_step_post_hook(lambda _optimizer, _arguments, _options: None)


def _forbid_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))


#: Modes that were entered and not left; a mode is left when it is not referenced any more.
_entered: list[object] = []


def _enter_mode() -> None:
    mode = torch.inference_mode()
    mode.__enter__()
    _entered.append(mode)


Plain = _misbehaving(lambda: None)
Threads = _misbehaving(lambda: torch.set_num_threads(2))
Dtype = _misbehaving(lambda: torch.set_default_dtype(torch.float64))
Anomalies = _misbehaving(lambda: torch.autograd.set_detect_anomaly(True))
Denormals = _misbehaving(lambda: torch.set_flush_denormal(True))
Autocast = _misbehaving(lambda: torch.set_autocast_enabled("cpu", True))
Step = _misbehaving(lambda: setattr(SGD, "step", lambda _self, _closure=None: None))
Clock = _misbehaving(lambda: setattr(time, "perf_counter", lambda: 0.0))
Hook = _misbehaving(_add_hook)
Inference = _misbehaving(_enter_mode)
Recursion = _misbehaving(lambda: sys.setrecursionlimit(120))
Files = _misbehaving(_forbid_files)
Umask = _misbehaving(lambda: os.umask(0o777))
NoSuchDevice = _misbehaving(lambda: torch.set_default_device("mps"))
Masked = _misbehaving(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]))
Leaving = _raising(GeneratorExit())
Elsewhere = _misbehaving(lambda: os.chdir("/"))
Variables = _misbehaving(lambda: os.environ.update(HOSTILE="1"))
Handlers = _misbehaving(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
Cancelled = _raising(asyncio.CancelledError())
Interrupted = _raising(KeyboardInterrupt())
Exiting = _raising(SystemExit(143))
Surrogate = _raising(RuntimeError("\ud800" + 5_000_000 * "x"))
NoText = _raising(_NoTextError())
HangingText = _raising(_HangingTextError())
Abort = _misbehaving(os.abort)
Hang = _misbehaving(_hang)
HoldGil = _misbehaving(_hold_gil)

#: The status of the runs of each optimizer.
STATUSES = {
    **dict.fromkeys(("Plain", "Elsewhere", "Variables", "Handlers", "Masked"), OK),
    **dict.fromkeys(("Recursion", "Files", "Umask"), OK),
    **dict.fromkeys(("Threads", "Dtype", "Anomalies", "Denormals", "NoSuchDevice"), FAILED),
    **dict.fromkeys(("Autocast", "Step", "Clock", "Hook", "Inference"), FAILED),
    **dict.fromkeys(
        ("Cancelled", "Leaving", "Interrupted", "Exiting", "Surrogate", "NoText"), FAILED
    ),
    **dict.fromkeys(("Abort", "Hang", "HangingText", "HoldGil"), FAILED),
}
