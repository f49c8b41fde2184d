"""Warnings of libraries and user code in a worker, which are reported once and not by each worker.

Python shows a warning once for each place of the code in every process. A worker keeps the texts
instead, and the events of its runs take them to the parent process.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TextIO

#: Warnings that are kept until they are taken; more are dropped.
_MOST = 1000
_kept: list[str] = []


@cache
def keep_warnings() -> None:
    """Keep the warnings of this process instead of printing them."""
    warnings.showwarning = _keep


def take_warnings() -> tuple[str, ...]:
    """Return the collected warnings, one line each, and clear them."""
    taken = tuple(_kept)
    _kept.clear()
    return taken


def _keep(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - the signature is Python's
    line: str | None = None,  # noqa: ARG001
) -> None:
    if len(_kept) < _MOST:
        text = " ".join(str(message).split())
        _kept.append(f"{category.__name__}: {text} ({filename}:{lineno})")
