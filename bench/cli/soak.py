"""``optimizer-bench soak``: inflict faults on real sweeps for as long as asked."""

from __future__ import annotations

import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.printing import printable
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.tools.fault_injection import TrialCounts


def run(arguments: Namespace) -> int:
    """Print one line per kind of fault; 1 if anything was lost, whose directories then stay."""
    if not sys.platform.startswith("linux"):
        raise UsageError(f"soak needs Linux's /proc and resource limits, this is {sys.platform}")
    from bench.tools.fault_injection import FAULTS, soak

    directory = Path(tempfile.mkdtemp(prefix="optimizer-bench-soak-"))
    deadline = time.monotonic() + arguments.minutes * 60
    tallies: dict[str, TrialCounts] = {}
    for tally in soak(directory, arguments.rng):
        tallies[tally.kind] = tally
        if not arguments.quiet:
            print(f"{tally.kind}: {tally.survived} of {tally.tried} survived", file=sys.stderr)
        if time.monotonic() > deadline and len(tallies) == len(FAULTS):
            break
    print(f"{'fault':28}{'tried':>7}{'survived':>10}{'lost':>6}")
    for tally in tallies.values():
        print(f"{tally.kind:28}{tally.tried:7}{tally.survived:10}{len(tally.lost):6}")
    lost = [said for tally in tallies.values() for said in tally.lost]
    for said in lost:
        print(printable(f"LOST: {said}"))
    if not lost:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)
    return 1 if lost else 0
