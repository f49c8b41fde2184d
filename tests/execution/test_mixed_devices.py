"""Runs of several kinds of device in a sweep: refused unless asked for, and said in the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import DIGITS

from bench.analysis import SweepAnalysis
from bench.cli import main
from bench.errors import MixedRunsError
from bench.storage.compatibility import check_uniform
from bench.storage.records import SCHEMA
from bench.storage.rows import write_rows
from bench.storage.store import Store
from bench.sweeps.load import analyse, open_sweep

FAST = (
    *("--optimizers", "sgd,adam", "--seeds", "4", "--iterations", "20", "--eval-every", "20"),
    *("--name", "x", *DIGITS),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("trained")
    files = ["--results", str(results), "--no-report", "--quiet", "--device", "cpu"]
    assert main(["sweep", *FAST, "--in-process", *files]) == 0
    return results


@pytest.fixture
def made_on(trained: Path, tmp_path: Path) -> Callable[[Callable[[str, int], str]], Path]:
    """The sweep with rows that say that they are from the device of each (optimizer, seed)."""

    def make(device: Callable[[str, int], str]) -> Path:
        store, copy = Store(trained / "x"), Store(tmp_path / "x")
        spec = store.read_spec()
        assert spec is not None
        rows = store.read_rows().to_pylist()
        for row in rows:
            row["device"] = device(row["optimizer"], row["seed"])
            if row["device"] == "cuda":
                row |= {"torch_version": row["torch_version"].split("+")[0] + "+cu130"}
                row |= {"tf32": False, "stack": 4}
        copy.create()
        copy.write_spec(spec)
        write_rows(pa.Table.from_pylist(rows, schema=SCHEMA), copy.rows_file)
        return tmp_path

    return make


def half(_optimizer: str, seed: int) -> str:
    return "cuda" if seed < 2 else "cpu"


def one_each(optimizer: str, _seed: int) -> str:
    return "cuda" if optimizer == "sgd" else "cpu"


def warning_of(analysis: SweepAnalysis) -> str:
    (found,) = (w for w in analysis.comparison.warnings if "different devices" in w)
    return found


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_on_another_device_is_refused_and_says_how_it_may(
    made_on: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    results = made_on(lambda *_: "cuda")
    sweep = ["sweep", *FAST, "--results", str(results), "--device", "cpu", "--in-process"]
    sweep += ["--reports", str(tmp_path), "--seeds", "6"]
    assert main(sweep) == 2
    error = capsys.readouterr().err
    assert "holds runs with device=cuda, this sweep has device=cpu" in error
    assert "or mix devices on purpose with --mix-devices" in error
    assert main([*sweep, "--mix-devices"]) == 0
    said = capsys.readouterr().out
    assert "8 on cuda and 4 on cpu" in " ".join(said.split()) or "4 on cpu and 8 on cuda" in said
    assert "--mix-devices" in said.splitlines()[-1]
    assert "different devices" in (tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("device", "is_confounded"), [(half, False), (one_each, True)], ids=["balanced", "confounded"]
)
def test_the_report_says_that_devices_are_mixed(
    made_on: Callable[..., Path], device: Callable[[str, int], str], is_confounded: bool
) -> None:
    made = made_on(device) / "x"
    analysis = analyse(made)
    said = warning_of(analysis)
    assert "4 on cpu and 4 on cuda" in said
    assert ("may be one between devices" in said) == is_confounded
    assert analysis.time_ratios == ()
    command = open_sweep(made).command
    assert "--mix-devices" in command
    assert "--device" not in command


def test_one_device_is_no_mixture(made_on: Callable[..., Path]) -> None:
    made = made_on(lambda *_: "cuda") / "x"
    analysis = analyse(made)
    assert not any("different devices" in w for w in analysis.comparison.warnings)
    assert analysis.time_ratios
    command = open_sweep(made).command
    assert "--device cuda" in command
    assert "--stack" not in command  # all seeds, as is usual on a GPU


@pytest.mark.parametrize(
    ("found", "expected", "mixed", "is_refused"),
    [
        ({"tf32": None}, {"tf32": False}, False, False),  # rows from before there was the column
        ({"tf32": True}, {"tf32": False}, False, True),
        ({"tf32": True}, {"tf32": None}, True, True),
        ({"torch_version": "2.13.0+cpu"}, {"torch_version": "2.13.0+cu130"}, False, True),
        ({"torch_version": "2.13.0+cpu"}, {"torch_version": "2.13.0+cu130"}, True, False),
        ({"torch_version": "2.12.0"}, {"torch_version": "2.13.0"}, True, True),
        ({"device": "cuda"}, {"device": "cpu"}, False, True),
        ({"device": "cuda"}, {"device": "mps"}, True, False),
        ({"network": "mlp"}, {"network": "lenet"}, True, True),
    ],
)
def test_what_may_be_mixed(
    trained: Path,
    found: dict[str, object],
    expected: dict[str, object],
    mixed: bool,
    is_refused: bool,
) -> None:
    rows: Sequence[dict[str, object]] = Store(trained / "x").read_rows().to_pylist()
    table = pa.Table.from_pylist([row | found for row in rows], schema=SCHEMA)
    wanted = dict(rows[0]) | found | expected
    if is_refused:
        with pytest.raises(MixedRunsError, match=next(iter(found))):
            check_uniform(table, wanted, Path("x"), "do this", mix_devices=mixed)
    else:
        check_uniform(table, wanted, Path("x"), "do this", mix_devices=mixed)
