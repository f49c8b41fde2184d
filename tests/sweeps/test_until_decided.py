"""Sweeps that add seeds until every pair of optimizers is decided."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from _stored import EXAMPLE, copy_example
from conftest import CommandCall, CommandLine

import bench
from bench.analysis import SweepAnalysis
from bench.cli import watch
from bench.errors import MixedRunsError, SpecError, UsageError
from bench.execution.resources import resolve_execution
from bench.spec.model import SweepSpec
from bench.spec.options import ExecutionOptions
from bench.storage.records import TIMES
from bench.storage.store import Store, load_runs
from bench.sweeps.run import LooksTaken, SweepEvent, run_sweep
from bench.sweeps.sequential import demand, forecast

LOOKS = (8, 10, 13)
OPTIMIZERS = "sgd,sgd[lr=0.12],adam[lr=0.00001]"
N_RUNS = 3 * 8 + 2 * 5  # the last optimizer learns nothing, and is decided at the first look
WORDS = (
    *("sweep", "--until-decided", "--looks", "8,10,13", "--optimizers", OPTIMIZERS),
    *("--dataset", "digits", "--iterations", "20", "--name", "x", "--quiet", "--no-report"),
)


def declared(**changes: Any) -> SweepSpec:
    settings: dict[str, Any] = {"optimizers": OPTIMIZERS, "until_decided": LOOKS}
    return bench.specify(**settings | {"dataset": "digits", "iterations": 20, "name": "x"} | changes)


def results_of(directory: Path) -> list[dict[str, Any]]:
    """The rows without their times, in the order of the runs."""
    runs = load_runs(directory).drop(columns=list(TIMES)).sort_values(["seed", "optimizer"])
    return json.loads(runs.to_json(orient="records"))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("until")
    bench.sweep(declared(), results=directory, in_process=True)
    return directory / "x"


def test_only_optimizers_of_undecided_pairs_get_more_seeds(finished: Path) -> None:
    rows = results_of(finished)
    assert Counter(row["optimizer"] for row in rows) == {
        "sgd": 13,
        "sgd[lr=0.12]": 13,
        "adam[lr=1e-05]": 8,
    }
    analysis = bench.analyse(finished)
    sequential = analysis.comparison.sequential
    assert sequential is not None
    assert [len(look.open_pairs) for look in sequential.looks] == [1, 1, 1]
    assert (sequential.n_runs, sequential.n_runs_fixed, sequential.is_finished) == (34, 39, True)
    assert not (finished / "looks.json").exists()
    assert not any("not stored" in warning for warning in analysis.comparison.warnings)
