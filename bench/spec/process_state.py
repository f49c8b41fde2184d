"""Settings of the process that user code can change, and that later runs depend on.

An optimizer or network of a user runs in the same process as other runs. It may set the number of
threads, the default dtype, the working directory or a signal handler, and the next run, of another
optimizer, would be trained under other conditions.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from bench.spec.replaced import Functions


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a block changed; filled when the block ends.

    Attributes
    ----------
    numeric
        Changes that affect the numbers or times of a training, such as "the number of threads from
        1 to 2".
    other
        Other changes, such as "the working directory from /a to /b".
    """

    numeric: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)


#: Settings of this process that could not be restored.
_permanent: list[str] = []


def permanent_changes() -> tuple[str, ...]:
    """Return the settings of this process that user code changed and that cannot be restored."""
    return tuple(_permanent)


@dataclass(frozen=True)
class _Setting:
    """A setting of the process: its name, and how to get and set it."""

    name: str
    get: Callable[[], Any]
    set: Callable[[Any], object]


def _denormals_are_zero() -> bool:
    """Return whether this thread rounds numbers below 2e-308 to 0: torch only sets this."""
    return (torch.tensor([2.0**-1022], dtype=torch.float64) / 2).item() == 0


def _set_default_device(device: torch.device) -> None:
    # None for the CPU: a default device that is set slows every call of torch
    torch.set_default_device(None if device.type == "cpu" else device)


def _precisions() -> tuple[tuple[Any, str], ...]:
    """Return the precision of float32 of each part of torch for processors, the general one first.

    Torch 2.9 has introduced them.
    """
    mkldnn: Any = torch.backends.mkldnn
    parts = (torch.backends, mkldnn, *(getattr(mkldnn, n, 0) for n in ("conv", "rnn", "matmul")))
    return tuple((part, part.fp32_precision) for part in parts if hasattr(part, "fp32_precision"))


def _set_precisions(precisions: Sequence[tuple[Any, str]]) -> None:
    for part, precision in precisions:
        part.fp32_precision = precision


def _modes() -> tuple[bool, int, int]:
    """Return whether the inference mode is active, and how many modes intercept functions."""
    n_function, n_dispatch = torch._C._len_torch_function_stack, torch._C._len_torch_dispatch_stack
    return torch.is_inference_mode_enabled(), n_function(), n_dispatch()


def _cannot_set(_value: object) -> None:
    raise RuntimeError("only the block that has entered a mode can leave it")


_N_THREADS = _Setting("the number of threads", torch.get_num_threads, torch.set_num_threads)
_DTYPE = _Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype)
_DEVICE = _Setting("the default device", torch.get_default_device, _set_default_device)
_DETERMINISTIC = _Setting(
    "the use of deterministic algorithms",
    torch.are_deterministic_algorithms_enabled,
    torch.use_deterministic_algorithms,
)
_GRADIENTS = _Setting("the gradient mode", torch.is_grad_enabled, torch.set_grad_enabled)
_ANOMALIES = _Setting(
    "the detection of anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly
)
_PRECISION = _Setting(
    "the precision of float32 products",
    torch.get_float32_matmul_precision,
    torch.set_float32_matmul_precision,
)
_PARTS = _Setting("the precision of float32", _precisions, _set_precisions)
_DENORMALS = _Setting(
    "the rounding of denormals to 0", _denormals_are_zero, torch.set_flush_denormal
)
_AUTOCAST = _Setting(
    "the automatic casts to another dtype",
    partial(torch.is_autocast_enabled, "cpu"),
    partial(torch.set_autocast_enabled, "cpu"),
)
_MODES = _Setting("the modes of torch", _modes, _cannot_set)
_FUNCTIONS = _Setting("functions of torch or Python", Functions.now, Functions.restore)
_RECURSION = _Setting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit)

#: What affects the numbers or times of a training.
_NUMERIC = (
    *(_FUNCTIONS, _N_THREADS, _DTYPE, _DEVICE, _DETERMINISTIC, _GRADIENTS, _ANOMALIES),
    *(_PRECISION, _PARTS, _DENORMALS, _AUTOCAST, _MODES),
)
#: The values for a training. The precision of products is set with the device, if it is a GPU.
_FOR_TRAINING = {
    _N_THREADS: 1,
    _DTYPE: torch.float32,
    _DEVICE: torch.device("cpu"),
    _DETERMINISTIC: False,
    _GRADIENTS: True,
    _ANOMALIES: False,
    _DENORMALS: False,
    _AUTOCAST: False,
}


def set_for_training() -> None:
    """Set everything that affects the numbers or times of a training."""
    for setting, value in _FOR_TRAINING.items():
        if _read(setting) != value:
            setting.set(value)


def _read(setting: _Setting) -> object:
    """Return the value of a setting; :class:`_Unreadable` if it was set to what torch cannot say.

    The default device may be one that does not exist here, and the precision of products may have
    been set under other names.
    """
    try:
        return setting.get()
    except (RuntimeError, AssertionError):
        return _Unreadable()


class _Unreadable:
    def __str__(self) -> str:
        return "a value that cannot be read"


@contextmanager
def restored(changes: Changes | None = None, *, is_import: bool = False) -> Iterator[Changes]:
    """Restore settings of the process that the block changed; the changes are listed at its end.

    What is changed and changed back within the block is not noticed.

    Parameters
    ----------
    changes
        Filled when the block ends; None: a new object.
    is_import
        Whether the block imports modules: environment variables and filters of warnings that they
        set then stay, and functions that they replace, because the modules may need them.
    """
    settings = [_RECURSION, *_NUMERIC, _DIRECTORY, _LIMITS, _UMASK, *_signal_settings()]
    if is_import:
        settings.remove(_FUNCTIONS)
    else:
        settings += _OF_MODULES
    before = [_read(setting) for setting in settings]
    changes = changes or Changes()
    try:
        yield changes
    finally:
        for setting, value in zip(settings, before, strict=True):
            now = _read(setting)
            if now != value and not isinstance(value, _Unreadable):
                with suppress(Exception):  # such as no permission
                    setting.set(value)
                found = changes.numeric if setting in _NUMERIC else changes.other
                found.append(_described(setting, value, now))
                if _read(setting) != value:
                    _permanent.append(setting.name)


def _described(setting: _Setting, before: object, after: object) -> str:
    if isinstance(before, Functions) and isinstance(after, Functions):
        return f"{setting.name} ({', '.join(before.names_of_changes(after)[:3])})"
    texts = [str(value) for value in (before, after)]
    is_short = max(map(len, texts)) <= _SHORT
    return f"{setting.name} from {texts[0]} to {texts[1]}" if is_short else setting.name


#: Values with longer texts are not shown.
_SHORT = 80


def _working_directory() -> str | None:
    with suppress(OSError):  # it may have been removed
        return os.getcwd()
    return None


def _set_working_directory(directory: str | None) -> None:
    with suppress(OSError):
        if directory is not None:
            os.chdir(directory)


def _set_environment(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _set_filters(filters: Sequence[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _set_numpy_errors(errors: Mapping[str, Any]) -> None:
    np.seterr(**errors)


def _limits() -> Mapping[int, tuple[int, int]]:
    """Return the limits of resources, such as the number of open files."""
    if sys.platform == "win32":
        return {}
    import resource

    names = ("CORE", "CPU", "DATA", "FSIZE", "STACK", "NOFILE", "AS")
    return {n: resource.getrlimit(n) for n in (getattr(resource, f"RLIMIT_{x}") for x in names)}


def _set_limits(limits: Mapping[int, tuple[int, int]]) -> None:
    import resource

    for number, values in limits.items():
        resource.setrlimit(number, values)


def _umask() -> int:
    os.umask(mask := os.umask(0o077))
    return mask


_LIMITS = _Setting("the limits of resources", _limits, _set_limits)
_UMASK = _Setting("the permissions of new files", _umask, os.umask)
_DIRECTORY = _Setting("the working directory", _working_directory, _set_working_directory)
#: What modules may set when they are imported.
_OF_MODULES = (
    _Setting("the environment variables", lambda: dict(os.environ), _set_environment),
    _Setting("the filters of warnings", lambda: list(warnings.filters), _set_filters),
    _Setting("numpy's handling of floating-point errors", np.geterr, _set_numpy_errors),
)


def _signal_settings() -> list[_Setting]:
    """Return the handlers of signals that this program uses, where they can be set."""
    if threading.current_thread() is not threading.main_thread():
        return []
    blocked = []
    if hasattr(signal, "pthread_sigmask"):
        block, set_mask = signal.SIG_BLOCK, signal.SIG_SETMASK
        blocked.append(
            _Setting(
                "the blocked signals",
                lambda: signal.pthread_sigmask(block, []),
                partial(signal.pthread_sigmask, set_mask),
            )
        )
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM")]
    return blocked + [
        _Setting(
            f"the handler of {number.name}",
            partial(signal.getsignal, number),
            partial(signal.signal, number),
        )
        for number in numbers
        if number is not None and signal.getsignal(number) is not None  # None: not set by Python
    ]
