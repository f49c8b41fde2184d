"""What a sweep can be given, whether in words or from Python, and the words that repeat it."""

from __future__ import annotations

import shlex

from bench.optimizers import DEFAULT_OPTIMIZERS
from bench.spec import (
    EPOCHS,
    Declaration,
    SweepSpec,
    Workload,
    default_sweep_name,
    format_seeds,
)

#: Seeds of a sweep that names none.
DEFAULT_SEEDS = 20
#: Where runs can be trained; auto takes a GPU where there is one.
DEVICES = ("auto", "cpu", "cuda")
#: Every worker is a process of half a gigabyte.
MAX_JOBS = 1024
#: How a number of looks that is not fixed is written.
ANY_NUMBER = "any"

_OF_WORKLOAD = ("dataset", "network", "iterations", "batch_size", "eval_every")


def command_line(spec: SweepSpec, device: str) -> str:
    """The shortest command line that does this sweep again on this kind of device."""
    workload, declaration = vars(spec.workload), vars(spec.declaration)
    seeds = spec.seeds
    options = {
        "name": (spec.name, default_sweep_name(spec.workload, spec.budget)),
        "optimizers": (",".join(o.name for o in spec.optimizers), ",".join(DEFAULT_OPTIMIZERS)),
        **{k: (workload[k], getattr(Workload, k)) for k in _OF_WORKLOAD},
        **{k: (declaration[k], getattr(Declaration, k)) for k in ("alpha", "margin", "target")},
        "budget": (spec.budget, EPOCHS),
        "looks": (declaration["looks"] or ANY_NUMBER, Declaration.looks),
    }
    words = ["python", "scripts/sweep.py"]
    if seeds == tuple(range(len(seeds))):
        words += ["--seeds", str(len(seeds))]
    else:
        words += ["--seed-list", format_seeds(seeds)]
    for option, (value, default) in options.items():
        if value != default:
            words += [f"--{option.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--device", device])
