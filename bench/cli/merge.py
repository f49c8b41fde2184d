"""``optimizer-bench merge``: put the shards of a sweep together."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from bench.cli.converters import results_directory
from bench.cli.options import Command
from bench.cli.printing import printable
from bench.sweeps.reproduce import program
from bench.words import count


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of merging."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SHARD",
        help="directories of shards of one sweep, or of copies of it, or their URIs",
    )
    parser.add_argument(
        "--results",
        type=results_directory,
        default=Path("results"),
        metavar="DIR",
        help="the merged sweep is stored in DIR/NAME/ (default: results); it may be a URI",
    )
    parser.add_argument(
        "--mix-devices",
        action="store_true",
        help="allow runs from different devices in one sweep; the report says so",
    )


def run(arguments: Namespace) -> int:
    """Merge, and print what is missing."""
    from bench.sweeps.merge import merge

    found = merge(arguments.sources, results=arguments.results, mix_devices=arguments.mix_devices)
    n_stored = found.n_planned - found.n_missing
    print(
        f"merged: {n_stored} of {count(found.n_planned, 'run')} in "
        f"{printable(str(found.directory))}, {found.n_failed} failed"
    )
    if found.n_missing:
        print("missing runs: merge further shards, or give the sweep's command without --shard")
    print(f"report: {program('report')} {printable(str(found.directory))}")
    return 1 if found.n_failed else 0


COMMAND = Command(
    help="put the shards of a sweep together",
    description="Put the rows of shards (sweep --shard) into one results directory. Every row is "
    "verified as by a sweep; different results of one run are refused. To merge again changes "
    "nothing.",
    examples=(("results/mnist-shard*", "all shards of a sweep"),),
    add_arguments=add_arguments,
    run=run,
)
