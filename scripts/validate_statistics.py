"""Simulate sweeps and check the error rates, coverage and power of the analysis."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.cli import run_guarded
from bench.cli.arguments import Parser
from bench.cli.converters import MAX_COUNT, file_or_stdout, number_of_jobs, up_to, whole_number

if TYPE_CHECKING:
    from bench.tools.simulation import Requirement, Row, Validation


def main(words: Sequence[str] | None = None) -> int:
    """Print a table of the scenarios; return 1 if a requirement is not met."""
    return run_guarded(lambda: _run(_make_parser().parse_args(words)))


def _make_parser() -> Parser:
    parser = Parser(
        prog="scripts/validate_statistics.py",
        description="Simulate sweeps with known differences, and check that the error rates, "
        "coverage and power of the analysis are as required. The exit code is 1 if one is not.",
    )
    parser.add_argument(
        "--repetitions",
        type=up_to(MAX_COUNT),
        default=2000,
        metavar="N",
        help="simulated sweeps in each scenario, at least 2 (default: 2000, some minutes)",
    )
    parser.add_argument(
        "--rng",
        type=whole_number,
        default=20_250_101,
        metavar="SEED",
        help="seed of the simulation (default: 20250101)",
    )
    parser.add_argument(
        "-j",
        "--n-jobs",
        type=number_of_jobs,
        default=-1,
        metavar="N",
        help="number of worker processes; -1: one for each available core (default)",
    )
    parser.add_argument(
        "--json", type=file_or_stdout, metavar="FILE", help="also write the table as JSON"
    )
    return parser


def _run(arguments: Namespace) -> int:
    from bench.analysis.export import to_json
    from bench.cli.console import duration
    from bench.storage.files import require_output, write_atomically
    from bench.tools.simulation import validate

    if arguments.json:
        require_output(arguments.json, "the validation")
    started = time.monotonic()
    validation = validate(
        arguments.repetitions, arguments.rng, n_jobs=arguments.n_jobs, tell=_print_progress
    )
    for line in _lines(validation):
        print(line)
    print(f"took {duration(time.monotonic() - started)}")
    if arguments.json:
        write_atomically(to_json(validation).encode(), arguments.json)
    return 1 if validation.failures else 0


def _print_progress(scenario: str) -> None:
    print(f"simulated: {scenario}", file=sys.stderr, flush=True)


def _lines(validation: Validation) -> Iterator[str]:
    yield (
        f"{validation.n_treatments} treatments, {validation.n_seeds} seeds, "
        f"alpha {validation.alpha:g}; {validation.repetitions:,} repetitions, "
        f"--rng {validation.rng}; s.e.: Monte Carlo standard error"
    )
    yield ""
    yield _columns("", "nominal", "measured", "s.e.", "met", "requirement")
    for what in dict.fromkeys(row.what for row in validation.rows):
        rows = [row for row in validation.rows if row.what == what]
        n = rows[0].repetitions
        yield what if n == validation.repetitions else f"{what} ({n:,} repetitions)"
        yield from map(_line, rows)
    yield ""
    required = [row for row in validation.rows if row.met is not None]
    n_met = len(required) - len(validation.failures)
    yield f"{n_met} of {len(required)} requirements met"
    for row in validation.failures:
        yield f"NOT MET: {row.what}: {row.scenario}: {row.measured:.4f}"


def _line(row: Row) -> str:
    figures = (f"{x:.4f}" for x in (row.nominal, row.measured, row.standard_error))
    met = {True: "yes", False: "NO", None: "-"}[row.met]
    requirement = _describe(row.requirement) if row.requirement else f"none: {row.note}"
    return _columns(f"  {row.scenario}", *figures, met, requirement)


def _describe(requirement: Requirement) -> str:
    from bench.tools.simulation import STANDARD_ERRORS

    slack = f"{STANDARD_ERRORS:g} s.e."
    if requirement.tolerance:
        slack = f"{requirement.tolerance:g} + {slack}"
    return {
        "at most": f"at most nominal + {slack}",
        "at least": f"at least nominal - {slack}",
        "near": f"nominal +- ({slack})",
    }[requirement.rule]


def _columns(*cells: str) -> str:
    name, nominal, measured, standard_error, met, requirement = cells
    return f"{name:46}{nominal:>8}{measured:>10}{standard_error:>8}  {met:4} {requirement}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
