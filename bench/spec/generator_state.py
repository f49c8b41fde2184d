"""Separate states of the global random generators of torch, numpy and Python.

User code draws from the global generators. The network and the optimizer of a run each have a
separate generator state, derived from the seed of the run, which replaces the global state while
their code runs. Their random numbers therefore depend neither on other runs in the same process
nor on the number of workers.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Held while the global generators are set: `bench.sweep` may be called in several threads.
_GENERATORS = threading.RLock()


class GeneratorState:
    """State of the global random generators for one purpose of a run.

    Other generators, such as ``torch.Generator`` and ``numpy.random.default_rng``, are not
    affected.

    Parameters
    ----------
    seed
        Non-negative; torch uses its lower 32 bits.
    device
        Device whose generator is included, in addition to that of the CPU.
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self._seed = seed
        self._torch = _torch_generators(device)
        places = ["cpu", device][: len(self._torch)]
        self._states = [torch.Generator(place).manual_seed(seed).get_state() for place in places]
        self._numpy: np.random.BitGenerator = np.random.MT19937(seed)
        self._python = random.Random(seed).getstate()

    @contextmanager
    def active(self, *, keep: bool = False) -> Iterator[None]:
        """Set the global generators to this state in the block, and restore them afterwards.

        With `keep`, the next block continues from the state at the end of this one. Without it,
        the state does not change, and numpy's generator starts from the seed.
        """
        with _GENERATORS:
            outer_torch = [get_state() for get_state, _ in self._torch]
            outer_numpy = np.random.get_bit_generator()  # type: ignore[attr-defined]
            outer_python = random.getstate()
            # takes half the time of a copy
            numpy = self._numpy if keep else np.random.MT19937(self._seed)
            self._set(self._states, numpy, self._python)
            try:
                yield
                if keep:
                    self._states = [get_state() for get_state, _ in self._torch]
                    self._python = random.getstate()
            finally:
                self._set(outer_torch, outer_numpy, outer_python)

    def libraries_equal_in(self, other: GeneratorState) -> list[str]:
        """Return the names of the libraries whose generators have the same state in both.

        States that started from different seeds agree only if user code has set the seed itself.
        """
        return [
            name
            for name, same in {
                "torch": torch.equal(self._states[0], other._states[0]),
                "numpy": _mersenne_twister(self._numpy) == _mersenne_twister(other._numpy),
                "Python's random": self._python == other._python,
            }.items()
            if same
        ]

    def _set(
        self, states: Sequence[Tensor], numpy: np.random.BitGenerator, python: tuple[object, ...]
    ) -> None:
        for (_, set_state), state in zip(self._torch, states, strict=True):
            set_state(state)
        np.random.set_bit_generator(numpy)  # type: ignore[attr-defined]
        random.setstate(python)


def _torch_generators(
    device: torch.device | None,
) -> list[tuple[Callable[[], Tensor], Callable[[Tensor], object]]]:
    """Return functions that get and set the state of the CPU's and the device's generator."""
    found: list[tuple[Callable[[], Tensor], Callable[[Tensor], object]]] = [
        (torch.default_generator.get_state, torch.default_generator.set_state)
    ]
    if device is not None and device.type == "cuda":
        found.append((partial(torch.cuda.get_rng_state, device), partial(_set_cuda_state, device)))
    elif device is not None and device.type == "mps":
        found.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return found


def _mersenne_twister(numpy: np.random.BitGenerator) -> tuple[bytes, int]:
    state: Any = numpy.state["state"]
    return state["key"].tobytes(), state["pos"]


def _set_cuda_state(device: torch.device, state: Tensor) -> None:
    torch.cuda.set_rng_state(state, device)
