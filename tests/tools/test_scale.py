"""The measurements of large sweeps, on small ones."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from _scripts import load_script
from conftest import resolve_all

from bench.spec.model import SweepSpec
from bench.storage.rows import refuse_altered
from bench.tools.artificial import artificial_rows


def test_artificial_rows_are_those_of_the_plan_and_consistent() -> None:
    spec = SweepSpec(name="x", optimizers=resolve_all("sgd,adam"), seeds=tuple(range(40)))
    (rows,) = artificial_rows(spec, n_images=20)
    refuse_altered(rows)
    assert rows["run_key"].to_pylist() == [run.key for run in spec.plan()]
    assert len(set(rows["test_correct"].to_pylist())) > 1


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("plan", "24 runs with their keys in "),
        ("missing", "0 of 24 runs are missing, found in "),
        ("singles", "24 rows in files of their own, each written in "),
    ],
)
def test_a_measurement_is_one_line(tmp_path: Path, step: str, said: str) -> None:
    script = load_script("scale")
    line = script.STEPS[step](tmp_path, Namespace(seeds=2, singles=24, runs=1))
    assert line.startswith(said)
    assert "\n" not in line
