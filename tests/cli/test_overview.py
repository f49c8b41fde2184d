"""Several datasets in one command: a sweep on each, and a comparison over them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _pages import empty_figure, figures_from

from bench.analysis import compare, means_over_seeds
from bench.cli import main
from bench.errors import TableError
from bench.storage.store import load_runs


def runs(**accuracies: list[float | None]) -> pd.DataFrame:
    """The accuracies of each optimizer on the seeds from 0 on; None: failed."""
    rows = [
        (name, seed, accuracy, "failed" if accuracy is None else "ok")
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["optimizer", "seed", "test_accuracy", "status"])


@pytest.mark.parametrize(
    ("table", "expected", "n_seeds"),
    [
        (runs(a=[0.5, 0.7], b=[0.8, 0.8]), {"a": 0.6, "b": 0.8}, 2),
        # a seed on which one of them failed is left out for all: 0.9 would not be paired
        (runs(a=[0.5, None, 0.7], b=[0.8, 0.9, 0.6]), {"a": 0.6, "b": 0.7}, 2),
    ],
)
def test_a_mean_is_over_the_seeds_that_all_have(
    table: pd.DataFrame, expected: dict[str, float], n_seeds: int
) -> None:
    means = means_over_seeds({"x": table})
    assert dict(zip(means["optimizer"], means["test_accuracy"], strict=True)) == expected
    assert set(means["n_seeds"]) == {n_seeds}
    assert set(means["dataset"]) == {"x"}


def test_without_a_common_seed_there_is_no_mean() -> None:
    with pytest.raises(TableError, match="on y there is no seed with a run of every optimizer"):
        means_over_seeds({"x": runs(a=[0.5], b=[0.6]), "y": runs(a=[0.5, None], b=[None, 0.6])})


def test_what_diverged_unmeasured_ranks_worst() -> None:
    table = runs(a=[0.5, 0.6], b=[0.8, 0.8])
    table.loc[0, ["test_accuracy", "status"]] = [np.nan, "diverged"]
    means = means_over_seeds({"x": table, "y": runs(a=[0.9], b=[0.8])})
    assert means["status"].tolist() == ["diverged", "ok", "ok", "ok"]
    assert pd.isna(means["test_accuracy"][0])
    assert compare(means, block="dataset").treatments[0].name == "b"


def test_seeds_are_not_further_datasets() -> None:
    """Ten times the seeds give the tests nothing more to count."""
    few, many = (
        {name: runs(a=[0.5 + i / 100] * n, b=[0.6] * n) for i, name in enumerate("uvwxyz")}
        for n in (2, 20)
    )
    found = [compare(means_over_seeds(tables), block="dataset") for tables in (few, many)]
    assert found[0].parameters.n_blocks == found[1].parameters.n_blocks == 6
    assert found[0].pairs[0].pvalue == found[1].pairs[0].pvalue == 2 / 2**6


# ---------------------------------------------------------------- the command

SWEEP = ("sweep", "--seeds", "2", "--iterations", "20", "--eval-every", "20", "--in-process")
OPTIMIZERS = ("--optimizers", "sgd,adam")


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("npz") / "tiny.npz"
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (300, 5, 5), dtype=np.uint8), np.arange(300) % 3
    np.savez(file, x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    return file


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, npz: Path) -> Path:
    directory = tmp_path_factory.mktemp("several")
    with figures_from(empty_figure):
        words = [*SWEEP, *OPTIMIZERS, *places(directory), "--dataset", f"digits,{npz}"]
        assert main(words) == 0
    return directory


def places(directory: Path) -> list[str]:
    return ["--results", str(directory / "results"), "--reports", str(directory / "reports")]


def stored(swept: Path) -> list[Path]:
    return sorted(p.parent for p in (swept / "results").glob("*/runs.parquet"))


def test_every_dataset_is_a_sweep_of_its_own(swept: Path) -> None:
    tables = [load_runs(directory) for directory in stored(swept)]
    assert [len(table) for table in tables] == [4, 4]
    assert [table["dataset"].nunique() for table in tables] == [1, 1]
    assert all((swept / "reports" / f"{d.name}.html").exists() for d in stored(swept))


def test_every_sweep_leaves_its_own_spec_file(swept: Path) -> None:
    for directory in stored(swept):
        lines = (directory / "sweep.yaml").read_text().splitlines()
        assert {f'name: "{directory.name}"', "seeds: 2", "iterations: 20"} <= set(lines)


def test_the_page_over_datasets_has_their_means_and_links(swept: Path) -> None:
    names = {directory.name for directory in stored(swept)}
    (page,) = (f for f in (swept / "reports").glob("*.html") if f.stem not in names)
    text = page.read_text()
    links = re.findall(r'<a href="([^"#]+\.html)">', text)
    assert {Path(link).stem for link in links} == names
    assert all((swept / "reports" / link).exists() for link in links)
    for name in ("sgd", "adam"):
        means = [
            table[table["optimizer"] == name]["test_accuracy"].mean()
            for table in map(load_runs, stored(swept))
        ]
        assert f">{np.mean(means) * 100:.2f}<" in text
    assert "No two optimizers have enough common datasets for a test" in text


def test_all_of_them_are_done_again_from_their_spec_file(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {directory.name for directory in stored(swept)}
    (file,) = (f for f in (swept / "results").glob("*/sweep.yaml") if f.parent.name not in names)
    capsys.readouterr()
    assert main(["sweep", "--config", str(file), *places(swept), "--dry-run", "--verbose"]) == 0
    states = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "seed " in line]
    assert states == ["done"] * 8


def test_a_dry_run_writes_nothing(tmp_path: Path, npz: Path) -> None:
    words = [*SWEEP, *OPTIMIZERS, *places(tmp_path), "--dataset", f"digits,{npz}", "--dry-run"]
    assert main(words) == 0
    assert not list(tmp_path.iterdir())


def test_a_name_and_epochs_are_for_all(
    tmp_path: Path, npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--name", "mine", "--epochs", "1", "--batch-size", "50", "--no-report"]
    words = ["sweep", "--seeds", "1", "--in-process", *OPTIMIZERS, "--dataset", f"digits,{npz}"]
    assert main([*words, *named, *places(tmp_path)]) == 0
    assert "--epochs 1" in capsys.readouterr().out.splitlines()[-1]
    updates = {load_runs(d)["iterations"][0] for d in stored(tmp_path)}
    assert updates == {200 // 50, 1437 // 50}
    assert all(directory.name.startswith("mine-") for directory in stored(tmp_path))
    assert (tmp_path / "results" / "mine" / "sweep.yaml").exists()


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ("mnist,mnist", "every dataset may be given once, got 'mnist' twice"),
        ("mnist,mnits", "unknown dataset 'mnits': did you mean mnist"),
        ("mnist,", "unknown dataset ''"),
    ],
)
def test_wrong_datasets_get_one_line(
    datasets: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SWEEP, "--dataset", datasets, *places(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_sweep_on_one_dataset_is_taken(
    swept: Path, npz: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = stored(swept)[0].name
    words = [*SWEEP, *OPTIMIZERS, "--dataset", f"digits,{npz}", "--name", taken]
    assert main([*words, *places(swept)]) == 2
    assert "holds a sweep on one dataset: give these another --name" in capsys.readouterr().err
