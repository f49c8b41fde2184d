"""Converters from the text of an option to its value.

Each raises :class:`argparse.ArgumentTypeError`, so that argparse adds the name of the option.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.errors import SpecError, UsageError
from bench.spec.expressions import MAX_SEEDS
from bench.spec.options import MAX_JOBS, MAX_TIMEOUT
from bench.storage.remote import results_root, sweep_directory
from bench.sweeps.reproduce import ANY_NUMBER, AUTO_LOOKS, NO_TEST

T = TypeVar("T")

#: Largest allowed count of updates, epochs, repetitions or looks.
MAX_COUNT = 1_000_000


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` with SpecError turned into argparse's error."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except SpecError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def file_or_stdout(text: str) -> Path:
    """A file's path, or ``-`` for standard output."""
    if not text:
        raise argparse.ArgumentTypeError("must be a file's path, got nothing")
    return Path(text)


def file_path(text: str) -> Path:
    """A file's path; ``-`` is not allowed."""
    if text == "-":
        raise argparse.ArgumentTypeError("must be a file's path, got '-'")
    return file_or_stdout(text)


def results_directory(text: str) -> Path:
    """The directory of sweeps, or for a URI that of its copies."""
    if text.startswith("memory:"):
        raise argparse.ArgumentTypeError("memory:// keeps nothing after the end of a command")
    return _of_results(results_root, text)


def sweep_path(text: str) -> Path:
    """The directory of a sweep, or for a URI that of its copy, or any other path."""
    return _of_results(sweep_directory, text)


def _of_results(find: Callable[[str], Path], text: str) -> Path:
    try:
        return find(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def whole_number(text: str) -> int:
    """An integer of any sign in ASCII digits."""
    if not re.fullmatch(r"\s*[+-]?\d{1,4000}\s*", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text[:40]!r}")
    return int(text)


def up_to(highest: int) -> Callable[[str], int]:
    """A converter for whole numbers from 1 to `highest`."""

    def convert(text: str) -> int:
        number = whole_number(text)
        if not 1 <= number <= highest:
            raise argparse.ArgumentTypeError(
                f"must be at least 1 and at most {highest}, got {text.strip()[:40]}"
            )
        return number

    return convert


def number_of_jobs(text: str) -> int:
    """A number of workers; -1 means one for every core."""
    number = whole_number(text)
    if number != -1 and not 1 <= number <= MAX_JOBS:
        raise argparse.ArgumentTypeError(
            f"must be at least 1 and at most {MAX_JOBS}, or -1 for every core, got {text[:40]}"
        )
    return number


def looks_option(text: str) -> int | str | tuple[int, ...] | None:
    """A number of looks, None for any number, the numbers of seeds of the looks, or ``auto``."""
    if text == AUTO_LOOKS:
        return text
    if "," in text:
        return tuple(map(up_to(MAX_SEEDS), text.split(",")))
    return None if text == ANY_NUMBER else up_to(MAX_COUNT)(text)


def fraction(text: str) -> float:
    """A number between 0 and 1, both excluded."""
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(
            f"must be a number between 0 and 1 (exclusive), got {text[:40]!r}"
        )
    return number


def win_threshold(text: str) -> float | None:
    """A share from 0.5 to below 1; None for the text of no test."""
    if text == NO_TEST:
        return None
    number = _number(text)
    if not 0.5 <= number < 1:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0.5 to below 1, or {NO_TEST!r}, got {text[:40]!r}"
        )
    return number


def ratio(text: str) -> str:
    """A ratio of two whole numbers, as given."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,11}/0*[1-9][0-9]{0,11}", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"must be a ratio of two positive whole numbers such as 1/9, got {text[:40]!r}"
        )
    return text


def positive(text: str) -> float:
    """A finite number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text[:40]!r}")
    return number


def seconds(text: str) -> float:
    """Convert a time limit in seconds, at most :data:`bench.spec.options.MAX_TIMEOUT`."""
    number = positive(text)
    if number > MAX_TIMEOUT:
        raise argparse.ArgumentTypeError(
            f"must be at most {MAX_TIMEOUT:,.0f} seconds, got {text[:40]!r}"
        )
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
