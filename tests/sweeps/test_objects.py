"""Sweeps of classes, functions and arrays that a script or notebook gives as objects."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import CommandCall

import bench
from bench.errors import MixedRunsError
from bench.spec import plugins
from bench.spec.plugins import load_external

MODULE = """
import torch

class Mine(torch.optim.SGD):
    pass

def net(image_shape, n_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, n_classes))

def data():
    x, y = torch.rand(40, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    return x[:30], y[:30], x[30:], y[30:]
"""
SCRIPT = """
import sys
import bench, torch

RATE = 0.1

class Mine(torch.optim.Optimizer):
    def __init__(self, params, lr=RATE):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad.sign())

spec = bench.specify(
    optimizers=[Mine, ("slow", Mine, {"lr": 0.01}), "sgd"], seeds=int(sys.argv[1]),
    dataset="digits", network="logistic", iterations=6, name="x",
)
bench.sweep(spec, in_process=True)
"""
SHORT: dict[str, Any] = {"seeds": 2, "iterations": 6, "batch_size": 10, "name": "x"}


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    x = np.random.default_rng(0).random((40, 4, 4), dtype=np.float32)
    y = np.arange(40) % 2
    return {"x_train": x[:30], "y_train": y[:30], "x_test": x[30:], "y_test": y[30:]}


def test_objects_of_a_module_are_recorded_as_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_objects.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import own_objects as own  # type: ignore[import-not-found]

    given = bench.specify(
        optimizers=[own.Mine, ("sgd", {"lr": np.float32(0.5)}), ("fast", own.Mine, {"lr": 1})],
        network=own.net,
        dataset=own.data,
        **SHORT,
    )
    assert given == bench.specify(
        optimizers="own_objects:Mine,sgd[lr=0.5],fast=own_objects:Mine[lr=1]",
        network="own_objects:net",
        dataset="own_objects:data",
        **SHORT,
    )


@pytest.mark.slow
def test_workers_train_what_only_this_function_defines(tmp_path: Path) -> None:
    class Local(torch.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        def step(self, _closure: Any = None) -> None:  # type: ignore[override]
            with torch.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.sub_(p.grad, alpha=group["lr"])

    def net(n_classes: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, n_classes))

    spec = bench.specify(
        optimizers=[(Local, {"lr": 0.1}), "sgd"],  # a function takes a worker seconds
        network=net,
        dataset=arrays(),
        **SHORT,
    )
    assert spec.workload.dataset.startswith("__main__:arrays@")
    runs = bench.sweep(spec, results=tmp_path / "workers", n_jobs=2)
    assert set(runs["status"]) == {"ok"}
    assert set(runs["optimizer"]) == {"sgd", "__main__:Local[lr=0.1]"}
    here = bench.sweep(spec, results=tmp_path / "here", in_process=True)
    columns = ["optimizer", "seed", "run_key", "test_loss"]
    pd.testing.assert_frame_equal(runs[columns], here[columns])
    again = bench.specify(
        optimizers=["sgd"], network=net, dataset=tuple(arrays().values()), **SHORT
    )
    assert again.workload == spec.workload
    function = bench.specify(
        optimizers=lambda params: Local(params, lr=0.1), network=net, dataset=arrays(), **SHORT
    )
    ran = bench.sweep(function, results=tmp_path / "function", in_process=True)
    assert set(ran["optimizer"]) == {"__main__:function"}
    other = {**arrays(), "x_test": arrays()["x_test"] + 1}
    assert bench.specify(dataset=other, **SHORT).workload.dataset != spec.workload.dataset


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_script_is_continued_and_its_sweep_read_without_it(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = call_command.directory
    monkeypatch.chdir(place)
    script = place / "script.py"

    def forget() -> None:
        """As in another process."""
        monkeypatch.setattr(plugins, "_objects", {})
        monkeypatch.setattr(plugins, "_pickles", {})
        load_external.cache_clear()

    def run(source: str, seeds: str) -> pd.DataFrame:
        forget()
        script.write_text(source)
        monkeypatch.setattr(sys, "argv", ["script.py", seeds])
        runpy.run_path(str(script), run_name="__main__")
        return bench.load_runs(place / "results" / "x")

    first = run(SCRIPT, "1")
    assert first["status"].tolist() == ["ok"] * 3
    runs = run("# moved\n" + SCRIPT, "2")
    assert len(runs) == 6
    assert set(runs["run_key"]) > set(first["run_key"])
    with pytest.raises(MixedRunsError, match="holds __main__:Mine seed 0 as __main__:Mine@"):
        run(SCRIPT.replace(".sign()", ".tanh()"), "2")

    forget()
    for command in ("report", "analyze"):
        finished = call_command(command, "results/x")
        assert finished.code == 0, finished.err
    assert "reproduce: # declared from Python, with __main__:Mine@" in finished.out
    page = (place / "reports" / "x.html").read_text()
    assert "No command runs this sweep again." in page
    assert call_command("report", "results/x", "--check", "reports/x.html").code == 0
    refused = call_command("sweep", "--config", "results/x/sweep.yaml")
    assert refused.code == 2
    assert "'__main__:Mine' is defined in a script or notebook" in refused.err
    assert refused.err.count("\n") == 1
