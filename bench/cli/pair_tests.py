"""Options of ``analyze`` for other tests than the paired sign-flip test."""

from __future__ import annotations

from argparse import Namespace, _ActionsContainer
from fractions import Fraction
from typing import TYPE_CHECKING

from bench.cli.converters import ratio
from bench.errors import UsageError
from bench.sweeps.reproduce import NO_TEST

if TYPE_CHECKING:
    from bench.analysis.results import Test

#: Names of the options, with their defaults.
TEST_OPTIONS: dict[str, object] = {"unpaired": False, "folds": None}


def add_tests(group: _ActionsContainer) -> None:
    """Add ``--unpaired`` and ``--folds``, of which only one can be given."""
    test = group.add_mutually_exclusive_group()
    test.add_argument(
        "--unpaired",
        action="store_true",
        help="nothing pairs the runs: compare independent samples by Welch's t test, with Holm's "
        "correction; the column of --block is optional (default: the exact paired sign-flip test)",
    )
    test.add_argument(
        "--folds",
        type=ratio,
        metavar="TEST/TRAIN",
        help="the blocks are folds of a cross-validation, or other splits of one dataset, with "
        "test and training examples in this ratio (1/9 for ten folds): use the corrected resampled "
        "t test of Nadeau and Bengio, because folds share training data",
    )


def test_of(arguments: Namespace) -> Test:
    """Return the test that the options declare."""
    if arguments.unpaired:
        return "welch"
    return "corrected-t" if arguments.folds else "sign-flip"


def resampling_ratio(arguments: Namespace) -> float | None:
    """Return the ratio of test to training examples, None without ``--folds``."""
    return float(Fraction(arguments.folds)) if arguments.folds else None


def given_test(arguments: Namespace) -> tuple[tuple[str, str], ...]:
    """Return (option, value) of another test than the sign-flip test; empty for that test."""
    if arguments.unpaired:
        return (("unpaired", "runs"),)
    return (("folds", arguments.folds),) if arguments.folds else ()


def refuse_contradictions(arguments: Namespace) -> None:
    """Raise UsageError for options that only the sign-flip test has."""
    for name, _ in given_test(arguments):
        if arguments.correction == "max-t":
            raise UsageError(f"--{name} goes with --correction holm only, got max-t")
        if arguments.win_threshold not in (None, NO_TEST):
            raise UsageError(
                f"--{name} and --win-threshold exclude each other: wins are counted on independent "
                f"pairs of runs, got {arguments.win_threshold}"
            )
