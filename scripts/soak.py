"""Inflict faults on small real sweeps and check that no stored run is lost or changed."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import run_guarded
from bench.cli.arguments import Parser
from bench.cli.converters import positive, whole_number
from bench.cli.printing import printable
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.tools.fault_injection import TrialCounts


def main(words: Sequence[str] | None = None) -> int:
    """Print the counts of each kind of fault; return 1 if a fault did harm."""
    return run_guarded(lambda: _run(_make_parser().parse_args(words)))


def _make_parser() -> Parser:
    parser = Parser(
        prog="scripts/soak.py",
        description="Inflict faults on small real sweeps at random moments, repeat the same "
        "command, and check that no run is lost. The exit code is 1 if one is.",
    )
    parser.add_argument(
        "--minutes",
        type=positive,
        default=10.0,
        metavar="N",
        help="duration; every kind of fault is tried at least once (default: 10)",
    )
    parser.add_argument(
        "--rng",
        type=whole_number,
        default=20_250_101,
        metavar="SEED",
        help="seed of the random moments (default: 20250101)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print the final table only")
    return parser


def _run(arguments: Namespace) -> int:
    if not sys.platform.startswith("linux"):
        raise UsageError(f"soak needs Linux's /proc and resource limits, this is {sys.platform}")
    directory = Path(tempfile.mkdtemp(prefix="optimizer-bench-soak-"))
    counts = _try_faults(directory, arguments)
    print(f"{'fault':28}{'tried':>7}{'survived':>10}{'lost':>6}")
    for kind in counts:
        print(f"{kind.kind:28}{kind.tried:7}{kind.survived:10}{len(kind.lost):6}")
    lost = [message for kind in counts for message in kind.lost]
    for message in lost:
        print(printable(f"LOST: {message}"))
    if lost:  # the directory stays for inspection
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def _try_faults(directory: Path, arguments: Namespace) -> Sequence[TrialCounts]:
    from bench.tools.fault_injection import FAULTS, soak

    deadline = time.monotonic() + arguments.minutes * 60
    counts: dict[str, TrialCounts] = {}
    for kind in soak(directory, arguments.rng):
        counts[kind.kind] = kind
        if not arguments.quiet:
            print(f"{kind.kind}: {kind.survived} of {kind.tried} survived", file=sys.stderr)
        if time.monotonic() > deadline and len(counts) == len(FAULTS):
            break
    return list(counts.values())


if __name__ == "__main__":
    sys.exit(main())
