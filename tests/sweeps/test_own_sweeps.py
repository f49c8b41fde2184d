"""Whole sweeps of what users bring along, and of variants that train in their own ways."""

from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import DIGITS, CommandCall, CommandLine, Finished

import bench
from bench.spec.plugins import load_external
from bench.storage.store import Store

pytestmark = pytest.mark.slow

MINE = """
import torch

class SignDescent(torch.optim.Optimizer):
    elementwise = True

    def __init__(self, params, lr=0.001):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad.sign())

class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data - group["lr"] * p.grad
                p.grad = None

class Elementwise(Plain):
    elementwise = True

class Exits(Plain):
    def step(self, closure=None):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps > 8:
            raise SystemExit(0)
        super().step()

class Broken(SignDescent):
    def step(self, closure=None):
        raise ValueError("out of steps")

def net(image_shape, n_classes):
    channels, height, width = image_shape
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 2, 5, stride=3), torch.nn.ReLU(), torch.nn.Flatten(),
        torch.nn.Linear(2 * ((height - 5) // 3 + 1) * ((width - 5) // 3 + 1), n_classes),
    )
"""
LENGTH = ("--iterations", "20", "--eval-every", "10")
TWO_SEEDS_HERE = ("--name", "x", "--seeds", "2", "--in-process", *LENGTH)


@pytest.fixture
def call_with_mine(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CommandCall]:
    """The program called where a user's module is, which no other test finds imported."""
    (call_command.directory / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(call_command.directory)
    yield call_command
    forget_mine()


def forget_mine() -> None:
    """Let the next command import the module anew, as another process would."""
    sys.modules.pop("mine", None)
    load_external.cache_clear()


@pytest.mark.parametrize("n_jobs", ["1", "2"])
def test_a_network_that_cannot_be_trained_is_refused_before_anything_is_written(
    n_jobs: str, call_with_mine: CommandCall
) -> None:
    (call_with_mine.directory / "mine.py").write_text(
        MINE + "\n\ndef seeded(image_shape, n_classes):\n"
        "    torch.manual_seed(0)\n    return net(image_shape, n_classes)\n"
    )
    command = (
        *("sweep", "--network", "mine:seeded", *LENGTH),
        *("--n-jobs", n_jobs, "--dataset", "digits"),
    )
    finished = call_with_mine(*command)
    assert finished.code == 2
    assert "it sets the seed of torch when it is created" in finished.err
    assert finished.err.count("\n") == 1
    assert not (call_with_mine.directory / "results").exists()


def test_an_own_optimizer_on_an_own_net(call_with_mine: CommandCall) -> None:
    command = (
        *("sweep", *TWO_SEEDS_HERE, "--network", "mine:net", *DIGITS, "--no-report"),
        *("--optimizers", "sgd,mine:SignDescent[lr=0.01]"),
    )
    finished = call_with_mine(*command)
    assert (finished.code, finished.err) == (0, "")
    store = Store(call_with_mine.directory / "results" / "x")
    rows = store.read_rows().to_pylist()
    assert {row["optimizer"] for row in rows} == {"sgd", "mine:SignDescent[lr=0.01]"}
    assert all(row["network"].startswith("mine:net@") for row in rows)
    by_seed = {(row["seed"], row["initial_weights_sha256"]) for row in rows}
    assert len(by_seed) == 2, "runs of one seed are paired"
    forget_mine()
    again = call_with_mine(*command, "--quiet")
    assert again.code == 0, again.err
    assert store.read_rows().to_pylist() == rows
    (call_with_mine.directory / "mine.py").write_text(MINE + "# changed\n")
    forget_mine()
    changed = call_with_mine(*command)
    assert changed.code == 2, "another source is another network"
    assert "network=mine:net@" in changed.err


@pytest.mark.usefixtures("undrawn")
def test_the_optimizer_and_the_table_of_the_readme(call_with_mine: CommandCall) -> None:
    place = call_with_mine.directory
    readme = (Path(bench.__file__).parents[1] / "README.md").read_text()
    (source,) = re.findall(r"^    # mine\.py\n(?:    .+\n)+", readme, re.M)
    (place / "mine.py").write_text(textwrap.dedent(source))
    (optimizers,) = re.findall(r"--name mine --optimizers '(.+)'", readme)
    command = ("sweep", *TWO_SEEDS_HERE, *DIGITS, "--optimizers", optimizers, "--no-report")
    finished = call_with_mine(*command)
    assert finished.code == 0, finished.err
    rows = Store(place / "results" / "x").read_rows().to_pylist()
    assert {row["optimizer"] for row in rows} == {"adam", "sgd", "mine:SignDescent"}

    (table,) = re.findall(r"^    optimizer,seed,accuracy\n(?:    \w+,0,.+\n)+", readme, re.M)
    table = textwrap.dedent(table)
    (place / "mine.csv").write_text(table + "adam,1,0.97\nsgd,1,0.96\n")
    (options,) = re.findall(r"analyze\.py (mine\.csv .+)", readme)
    analyzed = call_with_mine("analyze", *options.split())
    assert analyzed.code == 0, analyzed.err
    assert json.loads((place / "mine.json").read_text())["parameters"]["k"] == 2
    assert (place / "mine.html").exists()


@pytest.mark.usefixtures("undrawn")
def test_an_own_optimizer_on_a_convolutional_net_and_own_images(
    call_with_mine: CommandCall,
) -> None:
    place = call_with_mine.directory
    generator = np.random.default_rng(0)
    labels = np.arange(240) % 3
    images = generator.integers(0, 120, (240, 3, 14, 14)) + 60 * labels[:, None, None, None]
    np.savez(
        place / "my images.npz",
        x_train=images[:200].astype(np.uint8),
        y_train=labels[:200],
        x_test=images[200:].astype(np.uint8),
        y_test=labels[200:],
    )
    finished = call_with_mine(
        *(
            "sweep",
            "--seeds",
            "2",
            "--network",
            "lenet",
            "--dataset",
            "my images.npz",
            *LENGTH,
            "--in-process",
        ),
        *("--batch-size", "20", "--optimizers", "adam,mine:SignDescent,muon", "--name", "x"),
    )
    assert finished.code == 0, finished.err
    rows = Store(place / "results" / "x").read_rows().to_pylist()
    assert {row["test_total"] for row in rows} == {40}
    assert all(row["dataset"].startswith("my images.npz@") for row in rows)
    (reproduce,) = [s for s in finished.out.splitlines() if s.startswith("reproduce: ")]
    words = shlex.split(reproduce)[3:]
    again = call_with_mine("sweep", *words, "--quiet", "--dry-run")
    assert "runs:   6, of which 6 are done" in again.out, again.err


def test_a_step_may_put_other_tensors_in_the_place_of_ours(call_with_mine: CommandCall) -> None:
    optimizers = "sgd,mine:Plain,mine:Elementwise"
    finished = call_with_mine(
        *(
            "sweep",
            "--seeds",
            "2",
            "--name",
            "x",
            "--in-process",
            *LENGTH,
            "--optimizers",
            optimizers,
        ),
        *("--no-report", *DIGITS),
    )
    assert finished.code == 0, finished.err
    rows = Store(call_with_mine.directory / "results" / "x").read_rows().to_pylist()
    for seed in (0, 1):
        losses = {row["optimizer"]: row["test_loss"] for row in rows if row["seed"] == seed}
        assert losses["mine:Plain"] == pytest.approx(losses["sgd"], rel=1e-5)
        assert losses["mine:Elementwise"] == pytest.approx(losses["sgd"], rel=1e-5)


def require_failed_exits(finished: Finished, results: Path) -> None:
    assert finished.code == 1
    assert "failed: SystemExit: 0" in finished.err
    rows = Store(results / "x").read_rows().to_pylist()
    assert sorted(row["status"] for row in rows) == ["failed", "failed", "ok", "ok"]


EXITS = (
    *("sweep", "--seeds", "2", "--name", "x", *LENGTH, "--optimizers", "sgd,mine:Exits"),
    *("--no-report", *DIGITS),
)


def test_an_own_optimizer_that_exits_has_failed(call_with_mine: CommandCall) -> None:
    require_failed_exits(
        call_with_mine(*EXITS, "--in-process"), call_with_mine.directory / "results"
    )


@pytest.mark.long
def test_an_own_optimizer_that_exits_ends_no_worker(run_command: CommandLine) -> None:
    (run_command.directory / "mine.py").write_text(MINE)
    finished = run_command(*EXITS, "--n-jobs", "2")
    require_failed_exits(finished, run_command.directory / "results")


def test_two_base_batch_sizes_do_not_share_a_name(call_command: CommandCall) -> None:
    first = ("sweep", *TWO_SEEDS_HERE, *DIGITS, "--quiet", "--no-report")
    assert call_command(*first, "--optimizers", "sgd").code == 0
    second = call_command(
        *("sweep", "--seeds", "2", "--name", "x", "--in-process", "--batch-size", "200"),
        *("--iterations", "10", "--eval-every", "5", "--optimizers", "adam", *DIGITS),
    )
    assert second.code == 2
    assert "was declared with batch_size=100, this sweep has batch_size=200" in second.err


def test_an_own_optimizer_that_raises_is_refused_before_the_sweep(
    call_with_mine: CommandCall,
) -> None:
    finished = call_with_mine("sweep", "--in-process", *LENGTH, "--optimizers", "mine:Broken")
    assert finished.code == 2
    assert "out of steps" in finished.err
    assert finished.err.count("\n") == 1
    assert not (call_with_mine.directory / "results").exists()


@pytest.mark.usefixtures("undrawn")
def test_variants_with_batch_sizes_of_their_own(call_command: CommandCall) -> None:
    optimizers = "sgd,sgd[batch_size=50],adam[batch_size=25]"
    command = ("sweep", *TWO_SEEDS_HERE, *DIGITS, "--optimizers", optimizers)
    finished = call_command(*command)
    assert finished.code == 0, finished.err
    rows = Store(call_command.directory / "results" / "x").read_rows().to_pylist()
    seen = {row["optimizer"]: (row["batch_size"], row["iterations"]) for row in rows}
    assert seen == {
        "sgd": (100, 20),
        "sgd[batch_size=50]": (50, 40),
        "adam[batch_size=25]": (25, 80),
    }
    analysed = call_command("analyze", "results/x", "--json", "-")
    assert json.loads(analysed.out)["time_to_target"]["unit"] == "images"
    checked = call_command("report", "results/x", "--check", "reports/x.html")
    assert checked.code == 0, checked.err
    (call_command.directory / "results" / "x" / "spec.json").unlink()
    undeclared = call_command("report", "results/x", "--output", "again.html")
    assert undeclared.code == 0, undeclared.err


@pytest.mark.long
def test_the_whole_batch_is_taken_in_chunks(call_command: CommandCall) -> None:
    finished = call_command(
        *("sweep", *TWO_SEEDS_HERE, "--optimizers", "sgd,batch-gd"),
        *("--network", "logistic", "--no-report"),
    )
    assert finished.code == 0, finished.err
    rows = Store(call_command.directory / "results" / "x").read_rows().to_pylist()
    whole = [row for row in rows if row["optimizer"] == "batch-gd"]
    assert [(row["batch_size"], row["iterations"]) for row in whole] == [(60_000, 1)] * 2
