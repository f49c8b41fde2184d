"""Learning-rate schedules: equality with torch's schedulers, stored rates, and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from _cases import some
from _rows import RUN, record
from conftest import DIGITS
from torch import nn
from torch.optim import lr_scheduler as torchs

from bench.analysis import SweepAnalysis, analyse_sweep
from bench.cli import main
from bench.errors import SpecError
from bench.execution.environment import describe_machine
from bench.execution.jobs import Job, RunContext
from bench.execution.train_job import do_job
from bench.networks.mlp import MLP
from bench.networks.module import flatten
from bench.optimizers.resolve import available
from bench.optimizers.schedules import SCHEDULES, learning_rates, parse_schedule
from bench.optimizers.variants import refuse_endless_warmups, resolve_variant
from bench.report import rates_figure, render
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, RunSpec, SweepSpec, Workload
from bench.storage.consistency import contradiction
from bench.storage.rows import read_rows
from bench.storage.store import Store, load_runs
from bench.training.device_data import DeviceData
from bench.training.seeding import data_order, initial_module
from bench.training.stack import MOST_RATES, Stack, train

N = 200
Oracle = Callable[[torch.optim.Optimizer], torchs.LRScheduler]


def after_warmup(updates: int, main: Oracle) -> Oracle:
    def made(optimizer: torch.optim.Optimizer) -> torchs.LRScheduler:
        rising = torchs.LinearLR(optimizer, start_factor=1 / (updates + 1), total_iters=updates)
        return torchs.SequentialLR(optimizer, [rising, main(optimizer)], [updates])

    return made


ORACLES: dict[str, Oracle] = {
    "cosine": lambda o: torchs.CosineAnnealingLR(o, T_max=N),
    "cosine(end_factor=0.2)": lambda o: torchs.CosineAnnealingLR(o, T_max=N, eta_min=0.01),
    "cosine(warmup=0.1)": after_warmup(20, lambda o: torchs.CosineAnnealingLR(o, T_max=N - 20)),
    "linear": lambda o: torchs.LinearLR(o, 1.0, 0.0, total_iters=N),
    "linear(end_factor=0.5)": lambda o: torchs.LinearLR(o, 1.0, 0.5, total_iters=N),
    "step": lambda o: torchs.StepLR(o, 60),
    "step(step_size=70,gamma=0.5)": lambda o: torchs.StepLR(o, 70, gamma=0.5),
    "step(step_size=50,warmup=20)": after_warmup(20, lambda o: torchs.StepLR(o, 50)),
    "exponential": lambda o: torchs.ExponentialLR(o, 0.01 ** (1 / N)),
    "one-cycle": lambda o: torchs.OneCycleLR(o, 0.05, total_steps=N, cycle_momentum=False),
    "one-cycle(pct_start=0.5,div_factor=10,final_div_factor=100)": lambda o: torchs.OneCycleLR(
        o,
        0.05,
        total_steps=N,
        cycle_momentum=False,
        pct_start=0.5,
        div_factor=10,
        final_div_factor=100,
    ),
    "warm-up": after_warmup(20, lambda o: torchs.ConstantLR(o, 1.0)),
    "warm-up(warmup=7)": after_warmup(7, lambda o: torchs.ConstantLR(o, 1.0)),
}


def test_every_schedule_has_an_oracle() -> None:
    assert {text.partition("(")[0] for text in ORACLES} == set(SCHEDULES)


@pytest.mark.parametrize("text", ORACLES)
# of torch's own SequentialLR
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_rates_equal_those_of_torch_schedulers(text: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
    scheduler, expected = ORACLES[text](optimizer), []
    for _ in range(N):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = learning_rates(text, 0.05, N)
    assert found.shape == (N,)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("text", ORACLES)
@pytest.mark.parametrize("iterations", [1, 2, 5, 97])
def test_rates_of_a_run_of_any_length(text: str, iterations: int) -> None:
    rates = learning_rates(text, 0.05, iterations)
    assert rates.shape == (iterations,)
    assert (rates > 0).all()
    assert rates.max() <= 0.05 * (1 + 1e-12)


COSINE = "cosine(end_factor=0.0,warmup=0)"


@pytest.mark.parametrize(
    ("text", "name", "schedule"),
    [
        ("sgd[schedule=cosine]", "sgd[schedule=cosine]", "cosine(end_factor=0.0,warmup=0)"),
        ("sgd[schedule='cosine']", "sgd[schedule=cosine]", "cosine(end_factor=0.0,warmup=0)"),
        ("sgd[schedule=cosine(warmup=0.0)]", "sgd[schedule=cosine]", COSINE),
        ("sgd[schedule=cosine(warmup=-0.0)]", "sgd[schedule=cosine]", COSINE),
        ("sgd[schedule=cosine(end_factor=-0.0)]", "sgd[schedule=cosine]", COSINE),
        ("sgd[schedule=cosine(end_factor=0)]", "sgd[schedule=cosine]", COSINE),
        ("sgd[schedule=None]", "sgd", None),
        (
            "sgd[schedule=one-cycle(pct_start=0.3,div_factor=10)]",
            "sgd[schedule=one-cycle(div_factor=10.0)]",
            "one-cycle(div_factor=10.0,final_div_factor=10000.0,pct_start=0.3)",
        ),
        (
            "sgd[schedule=step(warmup=5,gamma=0.1),lr=0.5,batch_size=50]",
            "sgd[batch_size=50,lr=0.5,schedule=step(warmup=5)]",
            "step(gamma=0.1,step_size=0.3,warmup=5)",
        ),
        (
            "batch-gd[schedule=exponential]",
            "batch-gd[schedule=exponential]",
            "exponential(end_factor=0.01,warmup=0)",
        ),
    ],
)
def test_canonical_names_of_variants(text: str, name: str, schedule: str | None) -> None:
    found = variant(text)
    assert (found.name, found.schedule) == (name, schedule)
    assert variant(found.name) == found, "a name is an expression"
    if schedule is not None:
        assert parse_schedule(schedule).text == schedule


def variant(text: str) -> OptimizerSpec:
    (expression,) = parse_optimizers(text)
    return resolve_variant(expression, Workload(), 60_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sgd[schedule=cosin]", r"unknown schedule 'cosin': did you mean cosine\?"),
        ("sgd[schedule=one_cycle]", r"unknown schedule 'one_cycle': did you mean one-cycle\?"),
        ("sgd[schedule=3]", "unknown schedule '3': choose from cosine, linear, step"),
        ("sgd[schedule=True]", "unknown schedule 'True'"),
        (
            "sgd[schedule=cosine(endfactor=1)]",
            r"has no setting 'endfactor': did you mean end_factor\?",
        ),
        ("sgd[schedule=cosine(end_factor=2)]", "end_factor must be a number from 0 to 1, got 2"),
        ("sgd[schedule=exponential(end_factor=0)]", "must be a number above 0 and at most 1"),
        ("sgd[schedule=step(gamma='a')]", "gamma must be a number above 0 .* got 'a'"),
        ("sgd[schedule=step(gamma=True)]", "gamma must be a number above 0 .* got True"),
        ("sgd[schedule=step(step_size=1.5)]", "step_size must be a whole number of updates, or a"),
        ("sgd[schedule=step(step_size=0)]", "step_size must be a whole number .* got 0"),
        ("sgd[schedule=cosine(warmup=-1)]", "warmup must be a whole number .* got -1"),
        ("sgd[schedule=cosine(warmup=1.0)]", "warmup must be a whole number .* got 1.0"),
        ("sgd[schedule=one-cycle(warmup=5)]", "'one-cycle' has no setting 'warmup'"),
        ("sgd[schedule=one-cycle(pct_start=1)]", "pct_start must be a number between 0 and 1"),
        ("sgd[schedule=cosine(1)]", "schedule in .* must be a finite number"),
        ("sgd[schedule=cosine(warmup=1,warmup=2)]", "schedule in .* must be a finite number"),
        ("sgd[schedule=cosine[warmup=1]]", "hyperparameters are written key=value"),
        ("rprop[schedule=cosine]", "a schedule changes nothing: half the learning rate gives"),
        ("_lion:Deaf[schedule=cosine]", "a schedule changes nothing: half the learning rate"),
        ("_lion:Groupless[schedule=cosine]", "needs param_groups with a learning rate lr"),
        ("_lion:two_rates[schedule=cosine]", "needs one learning rate, got 0.1, 0.2"),
    ],
)
def test_invalid_schedules(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        variant(text)
    assert "\n" not in str(caught.value)
    assert text.partition("[")[0] in str(caught.value)


@pytest.mark.parametrize("name", [name for name in available() if name != "rprop"])
def test_every_optimizer_with_a_learning_rate_can_have_a_schedule(name: str) -> None:
    assert variant(f"{name}[schedule=linear]").schedule == "linear(end_factor=0.0,warmup=0)"


def test_a_warm_up_must_be_shorter_than_the_run() -> None:
    optimizers = (variant("sgd[schedule=cosine(warmup=50)]"),)
    spec = SweepSpec(name="x", optimizers=optimizers, seeds=(0,), workload=Workload(iterations=51))
    refuse_endless_warmups(spec)
    short = replace(spec, workload=Workload(iterations=50))
    with pytest.raises(SpecError, match=r"warmup must be less than the 50 updates .* got 50"):
        refuse_endless_warmups(short)


# ---------------------------------------------------------------- training


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("name", some(["momentum", "muon", "adam"], 2))
def test_a_scheduled_run_equals_a_plain_torch_loop(name: str, few: DeviceData) -> None:
    spec, updates = variant(f"{name}[schedule=one-cycle]"), 10
    stack = Stack(Workload(iterations=updates), spec, [3, 5], few)
    for start, end in ((0, 4), (4, 10)):  # evaluations do not change the schedule
        stack.advance(start, end)

    model = initial_module(MLP((784, 100, 10)), 5)
    optimizers = plain_optimizers(name, model)
    schedulers = [
        torchs.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=updates, cycle_momentum=False)
        for o in optimizers
    ]
    order = data_order(Workload(iterations=updates), 60_000, 5)
    for rows in order:
        batch = (few.train_images[rows] / 255).to(torch.get_default_dtype())
        model.zero_grad()
        nn.functional.cross_entropy(model(batch), few.train_labels[rows]).backward()
        for optimizer in optimizers:
            optimizer.step()
        for scheduler in schedulers:
            if scheduler.last_epoch + 1 < updates:
                scheduler.step()
    weights = MLP((784, 100, 10)).layout.unpadded(stack.parameters[1])
    torch.testing.assert_close(weights, flatten(model), rtol=0, atol=1e-9)


@pytest.fixture
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def plain_optimizers(name: str, model: nn.Module) -> list[torch.optim.Optimizer]:
    if name == "momentum":
        return [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)]
    if name == "adam":
        return [torch.optim.Adam(model.parameters())]
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    return [
        torch.optim.Muon(matrices, lr=0.001),
        torch.optim.AdamW(others, lr=0.001, weight_decay=0.1),
    ]


def test_a_schedule_changes_neither_weights_nor_order(few: DeviceData) -> None:
    workload = Workload(iterations=30, eval_every=30)
    (plain,), (scheduled,) = (
        train(workload, variant(text), [4], few) for text in ("sgd", "sgd[schedule=step]")
    )
    assert plain.initial_weights_sha256 == scheduled.initial_weights_sha256
    assert plain.data_order_sha256 == scheduled.data_order_sha256
    assert plain.evaluations[-1].test_loss != scheduled.evaluations[-1].test_loss


def test_stored_rates_are_those_that_were_used(few: DeviceData) -> None:
    used: list[float] = []
    workload = Workload(iterations=250, eval_every=250)
    stack = Stack(workload, variant("_lion:Lion[lr=0.001,schedule=linear]"), [1], few)
    (optimizer,) = stack._steppers[0].optimizers
    assert isinstance(optimizer, torch.optim.Optimizer)
    optimizer.register_step_pre_hook(lambda o, *_: used.append(o.param_groups[0]["lr"]))
    stack.advance(0, 250)
    (run,) = stack.finish()
    assert run.learning_rates is not None
    assert len(run.learning_rates) == MOST_RATES
    assert [run.learning_rates[0][0], run.learning_rates[-1][0]] == [1, 250]
    assert all(used[update - 1] == rate for update, rate in run.learning_rates)
    assert len(set(used)) == 250


def test_a_diverged_run_stores_the_rates_up_to_its_end(tmp_path: Path, arrays: Path) -> None:
    workload = Workload(iterations=200, eval_every=20)
    run = RunSpec(workload=workload, optimizer=variant("sgd[lr=1e30,schedule=cosine]"), seed=0)
    store = Store(tmp_path / "x")
    store.create()
    do_job(
        Job(runs=(run,)), RunContext(arrays=arrays, machine=describe_machine("cpu", 1), store=store)
    )
    (row,) = read_rows(store.run_file(run)).to_pylist()
    assert row["status"] == "diverged"
    assert row["learning_rate_iterations"][-1] <= row["eval_iterations"][-1] < 200
    assert row["learning_rates"][0] == 1e30


# ---------------------------------------------------------------- rows


SCHEDULED = replace(
    RUN, optimizer=replace(RUN.optimizer, name="sgd[schedule=cosine]", schedule="cosine(x=1)")
)


def test_a_schedule_changes_the_key() -> None:
    renamed = replace(SCHEDULED, optimizer=replace(SCHEDULED.optimizer, schedule=None))
    assert SCHEDULED.key != renamed.key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"schedule": None}, "there are learning rates, though no schedule"),
        ({"learning_rates": None}, "must be lists of equal length"),
        ({"learning_rates": [0.1]}, "must be lists of equal length"),
        ({"learning_rate_iterations": [2, 1]}, "must ascend from 1 to the last update"),
        ({"learning_rate_iterations": [0, 1]}, "must ascend from 1 to the last update"),
        ({"learning_rate_iterations": [1, 3001]}, "must ascend from 1 to the last update"),
        ({"learning_rate_iterations": [1, None]}, "must ascend from 1 to the last update"),
        ({"learning_rates": [0.1, math.nan]}, "learning_rates must be finite"),
        ({"learning_rates": [0.1, None]}, "learning_rates must be finite"),
    ],
)
def test_inconsistent_rates_are_found(changes: dict[str, object], message: str | None) -> None:
    rates = {"learning_rate_iterations": [1, 3000], "learning_rates": [0.1, 0.0]}
    row = vars(record(SCHEDULED, **{"schedule": "cosine", **rates, **changes}))
    found = contradiction(row)
    assert found == message if message is None else message in (found or "")


def test_rows_of_an_earlier_version_have_no_schedule() -> None:
    rows = read_rows(Path(__file__).parents[1] / "data" / "runs-v1.parquet")
    assert set(rows["schedule"].to_pylist()) == {None}


# ---------------------------------------------------------------- sweep and report


OPTIMIZERS = "sgd,sgd[schedule=cosine(warmup=5)],adam[schedule=step(step_size=10)]"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("scheduled")
    command = ["sweep", "--seeds", "2", "--iterations", "40", "--eval-every", "20", *DIGITS]
    directories = ["--results", str(results), "--no-report", "--quiet", "--in-process"]
    assert main([*command, "--optimizers", OPTIMIZERS, "--name", "s", *directories]) == 0
    return results / "s"


def analysis_of(swept: Path) -> SweepAnalysis:
    return analyse_sweep(load_runs(swept), name="s")


def test_a_sweep_with_schedules_is_stored_and_resumed(
    swept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = load_runs(swept)
    schedules = dict(zip(table["optimizer"], table["schedule"], strict=True))
    assert pd.isna(schedules["sgd"])
    assert schedules["sgd[schedule=cosine(warmup=5)]"] == "cosine(end_factor=0.0,warmup=5)"
    command = ["sweep", "--seeds", "2", "--iterations", "40", "--eval-every", "20", "--dry-run"]
    command.append("--verbose")
    named = [*DIGITS, "--name", "s", "--results", str(swept.parent), "--optimizers", OPTIMIZERS]
    assert main([*command, *named]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if " seed " in line] == ["done"] * 6


@pytest.mark.usefixtures("undrawn")
def test_the_report_draws_the_learning_rates(swept: Path) -> None:
    analysis = analysis_of(swept)
    by_name = {curve.treatment: curve for curve in analysis.rates}
    assert by_name["sgd"].rates == (0.1, 0.1)
    assert by_name["sgd"].iterations == (1, 40)
    warmed = by_name["sgd[schedule=cosine(warmup=5)]"]
    expected = learning_rates("cosine(warmup=5)", 0.1, 40)
    assert warmed.rates == tuple(expected)
    page = render(analysis)
    assert 'id="rates"' in page
    assert "cosine(end_factor=0.0, warmup=5)" in page
    assert "schedule=step(gamma=0.1,step_size=10,warmup=0)" in page
    axes = rates_figure(analysis).axes[1]
    drawn = {line.get_gid(): line.get_ydata() for line in axes.lines}
    assert any(np.array_equal(values, expected) for values in drawn.values())


@pytest.mark.usefixtures("undrawn")
def test_without_a_schedule_there_is_no_such_section() -> None:
    analysis = analyse_sweep(load_runs("results/example"), name="e")
    assert analysis.rates == ()
    assert 'id="rates"' not in render(analysis)


@pytest.mark.usefixtures("undrawn")
def test_the_check_includes_the_learning_rates(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(swept), "--output", str(page)]) == 0
    assert main(["report", str(swept), "--check", str(page)]) == 0
    text = page.read_text()
    assert ">0.01667<" in text
    page.write_text(text.replace(">0.01667<", ">0.01767<", 1))
    assert main(["report", str(swept), "--check", str(page)]) == 1
    assert "Learning rates, sgd[schedule=cosine(warmup=5)], line" in capsys.readouterr().out
