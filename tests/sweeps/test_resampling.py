"""Training sets that are drawn anew for each seed: from the option to the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import DIGITS, CommandCall

import bench
from bench.errors import MixedRunsError, SpecError
from bench.spec.model import SweepSpec
from bench.storage.store import Store
from bench.tables.read import read_tables
from bench.tables.roles import Roles

SWEEP = (
    *("sweep", "--optimizers", "sgd,adam", "--seeds", "3", "--iterations", "20"),
    *("--in-process", *DIGITS, "--resample-train"),
)


@pytest.mark.parametrize("how", ["all", "subsample", "subsample=1", "subsample=0.9x", ""])
def test_other_texts_are_refused(how: str) -> None:
    with pytest.raises(SpecError, match=r"none, bootstrap or subsample=SHARE .* got"):
        bench.specify(resample_train=how)


def test_a_subsample_has_fewer_images_in_an_epoch() -> None:
    spec = bench.specify(resample_train="subsample=0.5", epochs=2)
    assert (spec.workload.iterations, spec.name) == (
        600,
        "mnist-iterations600-resample-tr-8ca18b26",
    )
    assert SweepSpec.from_json(spec.to_json()) == spec


def test_keys_of_runs_on_all_images_stay_as_they_were() -> None:
    (run,) = bench.specify(optimizers="sgd", seeds=1).plan()
    assert run.key == "a0a0db75795f87206c7986988c57bb94b7c594e72a739ad0c9a6af3efc0ea817"


@pytest.mark.usefixtures("undrawn")
def test_from_the_option_to_the_report(call_command: CommandCall) -> None:
    finished = call_command(*SWEEP, "bootstrap", "--name", "x")
    assert finished.code == 0, finished.err
    assert "--resample-train bootstrap" in finished.out
    page = Path("reports/x.html").read_text()
    assert "was drawn anew from the training images (bootstrap)" in page
    rows = Store(Path("results/x")).read_rows().to_pylist()
    assert {row["resample_train"] for row in rows} == {"bootstrap"}
    orders = {(row["seed"], row["data_order_sha256"]) for row in rows}
    assert len(orders) == 3  # one for each seed, the same for both optimizers
    other = call_command(*SWEEP, "subsample=0.9", "--name", "x")
    assert other.code == 2
    assert "holds runs with resample_train=bootstrap, this sweep has" in other.err


def test_runs_on_other_training_sets_are_not_compared(tmp_path: Path) -> None:
    for how in ("none", "bootstrap"):
        spec = bench.specify(
            optimizers="sgd",
            seeds=1,
            iterations=5,
            dataset="digits",
            resample_train=how,
            name=f"x-{how}",
        )
        bench.sweep(spec, results=tmp_path / "results", in_process=True, quiet=True)
        rows = tmp_path / "results" / spec.name / "runs.parquet"
        rows.rename(tmp_path / f"{how}.parquet")
    with pytest.raises(MixedRunsError, match="resample_train=bootstrap and resample_train=none"):
        read_tables([tmp_path / "bootstrap.parquet", tmp_path / "none.parquet"], Roles())
