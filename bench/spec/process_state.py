"""Settings of the process that user code can change, and that later runs depend on.

An optimizer or network of a user runs in the same process as other runs. It may set the number of
threads, the default dtype, the working directory or a signal handler, and the next run, of another
optimizer, would be trained under other conditions.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch


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
_DENORMALS = _Setting(
    "the rounding of denormals to 0", _denormals_are_zero, torch.set_flush_denormal
)

#: What affects the numbers or times of a training.
_NUMERIC = (
    *(_N_THREADS, _DTYPE, _DEVICE, _DETERMINISTIC, _GRADIENTS, _ANOMALIES, _PRECISION, _DENORMALS),
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
        set then stay, because the modules may need them.
    """
    settings = [*_NUMERIC, _DIRECTORY, *_signal_settings()]
    if not is_import:
        settings += _OF_MODULES
    before = [_read(setting) for setting in settings]
    changes = changes or Changes()
    try:
        yield changes
    finally:
        for setting, value in zip(settings, before, strict=True):
            now = _read(setting)
            if now != value and not isinstance(value, _Unreadable):
                setting.set(value)
                found = changes.numeric if setting in _NUMERIC else changes.other
                found.append(_described(setting, value, now))


def _described(setting: _Setting, before: object, after: object) -> str:
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
