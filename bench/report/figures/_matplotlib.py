"""Import matplotlib and seaborn independently of the user's backend and settings.

Figures use their own canvases and style, so neither a backend nor a ``matplotlibrc`` is needed.
matplotlib reads both at its first import, and raises an error where ``MPLBACKEND`` names an unknown
backend or the file cannot be read. Notebooks also set ``MPLBACKEND`` for the programs that they
start.
"""

from __future__ import annotations

import locale
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from bench.errors import BenchError, kind_and_line

_BACKEND = "MPLBACKEND"
#: What an unreadable ``matplotlibrc`` or an unknown locale raises.
_SETTINGS_ERRORS = (OSError, ValueError, locale.Error)


def load() -> None:
    """Import both packages; the environment and the user's settings of matplotlib stay as they are.

    Raises
    ------
    BenchError
        If they cannot be imported although neither backend nor ``matplotlibrc`` is read.
    """
    with _without_warnings():
        try:
            if "matplotlib" not in sys.modules:
                _import_first()
            import_module("seaborn")
        except _SETTINGS_ERRORS as error:
            raise BenchError(
                f"cannot import matplotlib ({kind_and_line(error)}): check its configuration "
                "directory, MPLCONFIGDIR"
            ) from error


def _import_first() -> None:
    backend = os.environ.pop(_BACKEND, None)
    try:
        matplotlib = _import_with_any_settings()
    finally:
        if backend is not None:
            os.environ[_BACKEND] = backend
    if backend:  # for the user's own figures, in a notebook
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend


def _import_with_any_settings() -> ModuleType:
    """Import matplotlib, with its default settings if the user's prevent the import."""
    try:
        return import_module("matplotlib")
    except _SETTINGS_ERRORS:
        for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
    # a matplotlibrc in the working directory comes before all others: go to the one of the defaults
    origin = getattr(find_spec("matplotlib"), "origin", "")
    with chdir(Path(origin).parent / "mpl-data"):
        return import_module("matplotlib")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress log messages of matplotlib about settings that are not used."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


load()
