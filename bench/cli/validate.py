"""``optimizer-bench validate``: error rates, coverage and power of the analysis, by simulation."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from bench.analysis.export import to_json
from bench.cli.console import duration
from bench.storage.files import require_output, write_atomically
from bench.tools.simulation import STANDARD_ERRORS, Requirement, Row, Validation, validate


def run(arguments: Namespace) -> int:
    """Simulate, print a table, write JSON where asked for; 1 if a requirement is not met."""
    if arguments.json:
        require_output(arguments.json, "the validation")
    started = time.monotonic()
    validation = validate(
        arguments.repetitions, arguments.rng, n_jobs=arguments.n_jobs, tell=_say_done
    )
    for line in _lines(validation):
        print(line)
    print(f"took {duration(time.monotonic() - started)}")
    if arguments.json:
        write_atomically(to_json(validation).encode(), arguments.json)
    return 1 if validation.failures else 0


def _say_done(scenario: str) -> None:
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
        yield what
        yield from (_line(row) for row in validation.rows if row.what == what)
    yield ""
    held = [row for row in validation.rows if row.met is not None]
    yield f"{len(held) - len(validation.failures)} of {len(held)} requirements met"
    for row in validation.failures:
        yield f"NOT MET: {row.what}: {row.scenario}: {row.measured:.4f}"


def _line(row: Row) -> str:
    figures = (f"{x:.4f}" for x in (row.nominal, row.measured, row.standard_error))
    met = {True: "yes", False: "NO", None: "-"}[row.met]
    why = _describe(row.requirement) if row.requirement else f"none: {row.note}"
    return _columns(f"  {row.scenario}", *figures, met, why)


def _describe(requirement: Requirement) -> str:
    slack = f"{STANDARD_ERRORS:g} s.e."
    if requirement.tolerance:
        slack = f"{requirement.tolerance:g} + {slack}"
    return {
        "at most": f"at most nominal + {slack}",
        "at least": f"at least nominal - {slack}",
        "near": f"nominal +- ({slack})",
    }[requirement.rule]


def _columns(*cells: str) -> str:
    name, nominal, measured, standard_error, met, why = cells
    return f"{name:38}{nominal:>8}{measured:>10}{standard_error:>8}  {met:4} {why}".rstrip()
