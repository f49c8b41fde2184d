"""Options of the sweep command for the machine, or the machines, that train the runs."""

from __future__ import annotations

from argparse import _ActionsContainer

from bench.cli.converters import checked, number_of_jobs, seconds, up_to
from bench.spec.expressions import MAX_SEEDS
from bench.spec.options import BACKENDS, DEVICES, LOKY, MAX_JOBS_PER_GPU, parse_gpus
from bench.spec.shards import parse_shard
from bench.sweeps.reproduce import program


def add_machine(group: _ActionsContainer) -> None:
    """Add the options of workers, Dask clusters, shards and GPUs."""
    _add_workers(group)
    _add_cluster(group)
    _add_shard(group)
    _add_gpus(group)


def _add_workers(group: _ActionsContainer) -> None:
    group.add_argument(
        "-j",
        "--n-jobs",
        type=number_of_jobs,
        default=-1,
        metavar="N",
        help="number of worker processes; -1: one for each available core (default), on GPUs as "
        "many as --jobs-per-gpu says",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="auto uses GPUs where there are any (default)",
    )
    group.add_argument(
        "--mix-devices",
        action="store_true",
        help="allow runs from different devices in one sweep; the report says so",
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help="train in this process instead of workers, one run after the other, such as to debug "
        "an optimizer; a crash then ends the program",
    )
    group.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="a run that takes longer is recorded as failed (default: none)",
    )


def _add_cluster(group: _ActionsContainer) -> None:
    group.add_argument(
        "--backend",
        choices=BACKENDS,
        default=LOKY,
        help="what trains the runs: loky, worker processes of this machine (default), or dask, the "
        "workers of a Dask cluster",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="scheduler of the Dask cluster, such as tcp://127.0.0.1:8786",
    )


def _add_shard(group: _ActionsContainer) -> None:
    group.add_argument(
        "--shard",
        type=checked(parse_shard),
        metavar="I/N",
        help="train only the I-th of N parts of the runs, such as 3/16, and store it in "
        f"DIR/NAME-shard3of16, without a report; {program('merge')} puts the parts together",
    )


def _add_gpus(group: _ActionsContainer) -> None:
    group.add_argument(
        "--stack",
        type=up_to(MAX_SEEDS),
        metavar="N",
        help="train up to N seeds of an optimizer together as one stack (default: 1 on a CPU; on a "
        "GPU all, if its memory allows)",
    )
    group.add_argument(
        "--gpus",
        type=checked(parse_gpus),
        metavar="LIST",
        help="numbers of the CUDA GPUs to use, such as 0,1 (default: all)",
    )
    group.add_argument(
        "--jobs-per-gpu",
        type=up_to(MAX_JOBS_PER_GPU),
        metavar="N",
        help="stacks that a GPU trains at the same time (default: 2 if its memory allows, else 1)",
    )
    group.add_argument(
        "--tf32",
        action="store_true",
        help="let a GPU round the factors of matrix products to ten bits: faster, less exact",
    )
