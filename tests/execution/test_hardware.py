from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from _faults import start_without_gpus
from conftest import DIGITS, CommandCall, resolve_all

from bench.errors import UsageError
from bench.execution import devices, pool
from bench.execution.devices import exact_numbers
from bench.execution.environment import Machine, available_cores, describe_machine
from bench.execution.resources import (
    Placement,
    describe_resources,
    lay_out,
    resolve_execution,
)
from bench.execution.slots import Slots
from bench.execution.train_job import _loaded
from bench.spec.model import RunSpec, SweepSpec, Workload
from bench.spec.options import ExecutionOptions
from bench.storage.store import Store
from bench.tools import gpu_benchmark
from bench.training.device_data import DeviceData
from bench.training.stack import bytes_per_run

TWO_GPUS = ("cuda:0", "cuda:1")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that there are so many GPUs of CUDA, or one of Apple."""

    def pretend(*, cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: cuda > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: cuda)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"model of {device}")
        monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("found", "wanted", "gpus", "expected"),
    [
        ({}, "auto", None, ("cpu",)),
        ({"cuda": 2}, "auto", None, TWO_GPUS),
        ({"cuda": 2, "mps": True}, "auto", None, TWO_GPUS),
        ({"mps": True}, "auto", None, ("mps",)),
        ({"cuda": 2}, "cpu", None, ("cpu",)),
        ({"cuda": 3}, "cuda", (2, 0), ("cuda:2", "cuda:0")),
        ({"cuda": 3}, "auto", (1,), ("cuda:1",)),
    ],
)
def test_devices_are_chosen(
    here: Callable[..., None], found: Any, wanted: str, gpus: Any, expected: tuple[str, ...]
) -> None:
    here(**found)
    execution = resolve_execution(ExecutionOptions(device=wanted, gpus=gpus))
    assert execution.devices == expected
    assert resolve_execution(execution) == execution


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        ({}, {"device": "cuda"}, "--device cuda: torch finds no such device here; use auto or cpu"),
        ({}, {"device": "mps"}, "--device mps: torch finds no such device here"),
        ({}, {"gpus": [0]}, "--gpus 0: torch finds no CUDA device here"),
        ({"cuda": 2}, {"gpus": [2]}, "there are GPUs 0 to 1 here, got 2"),
        ({"cuda": 2}, {"gpus": []}, "gpus must name at least one GPU, got none"),
        ({"cuda": 2}, {"gpus": [0], "device": "cpu"}, "--gpus are CUDA's, got --device cpu"),
        ({"mps": True}, {"tf32": True}, "--tf32 is for GPUs of CUDA, .* trains on mps"),
        ({"cuda": 1}, {"tf32": True, "device": "cpu"}, "--tf32 is for GPUs of CUDA, .* on cpu"),
        ({}, {"jobs_per_gpu": 2}, "--jobs-per-gpu 2: this sweep trains on the processor"),
        ({"cuda": 1}, {"jobs_per_gpu": 0}, "jobs_per_gpu must be at least 1 and at most 32, got 0"),
        ({"cuda": 2}, {"gpus": 1}, "gpus must be whole numbers such as 0 and 1, got 1"),
        ({"cuda": 2}, {"gpus": [True]}, "gpus must be whole numbers such as 0 and 1, got"),
        ({}, {"stack": 0}, "stack must be at least 1 and at most 10000, got 0"),
        ({}, {"stack": True}, "stack must be at least 1 and at most 10000, got True"),
    ],
)
def test_what_is_not_here_is_named(
    here: Callable[..., None], found: Any, options: dict[str, Any], message: str
) -> None:
    here(**found)
    with pytest.raises(UsageError, match=message):
        resolve_execution(ExecutionOptions(**options))


def test_rows_name_the_device(here: Callable[..., None]) -> None:
    def machine_for(**options: Any) -> Machine:
        return describe_resources(resolve_execution(ExecutionOptions(**options)))

    here(cuda=1)
    machine = machine_for(tf32=True)
    assert (machine.device, machine.device_name, machine.tf32) == ("cuda", "model of cuda:0", True)
    assert machine_for(device="cuda").tf32 is False
    here(mps=True)
    machine = machine_for()
    assert (machine.device, machine.device_name, machine.tf32) == ("mps", "Apple GPU", None)
    here()
    assert machine_for() == describe_machine("cpu", available_cores())


# ---------------------------------------------------------------- layout


def plan(n_seeds: int, network: str = "mlp") -> tuple[RunSpec, ...]:
    workload = Workload(network=network)
    optimizers = resolve_all("sgd,adam,adagrad")
    return SweepSpec(
        name="x", optimizers=optimizers, seeds=tuple(range(n_seeds)), workload=workload
    ).plan()


def gpus(*numbers: int, n_jobs: int = 1024, **settings: Any) -> ExecutionOptions:
    return ExecutionOptions(device="cuda", gpus=numbers, n_jobs=n_jobs, **settings)


@pytest.mark.parametrize(
    ("n_seeds", "execution", "gigabytes", "expected"),
    [
        # one GPU: all seeds in a stack, two stacks at a time
        (20, gpus(0), 40, (20, ("cuda:0", "cuda:0"))),
        (1000, gpus(0), 40, (1000, ("cuda:0", "cuda:0"))),
        # what one job of all seeds would fill, has one at a time
        (1000, gpus(0), 12, (1000, ("cuda:0",))),
        # memory for some hundred only
        (1000, gpus(0), 2, (None, ("cuda:0",))),
        (20, gpus(0), 0.001, (1, ("cuda:0",))),
        # as asked for
        (20, gpus(0, stack=8), 40, (8, ("cuda:0", "cuda:0"))),
        (20, gpus(0, jobs_per_gpu=3), 40, (20, ("cuda:0",) * 3)),
        (20, gpus(0, jobs_per_gpu=3, n_jobs=2), 40, (20, ("cuda:0",) * 2)),
        # GPUs without work are not taken, and each shall have some
        (20, gpus(0, 1), 40, (20, ("cuda:0", "cuda:1", "cuda:0"))),
        (20, gpus(0, 1, 2, 3), 40, (15, None)),
        (2, gpus(0, 1, jobs_per_gpu=8, stack=2), 40, (2, ("cuda:0", "cuda:1", "cuda:0"))),
    ],
)
def test_runs_are_laid_out_on_gpus(
    n_seeds: int,
    execution: ExecutionOptions,
    gigabytes: float,
    expected: tuple[int | None, tuple[str, ...] | None],
    arrays: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda _device: int(gigabytes * 1e9))
    layout = lay_out(plan(n_seeds), execution, arrays)
    stack, slots = expected
    assert layout.n_jobs == len(layout.slots)
    if stack is None:
        assert 100 < layout.stack < n_seeds
    else:
        assert layout.stack == stack
    if slots is not None:
        assert layout.slots == slots


def test_networks_that_are_not_batched_have_a_gpu_for_themselves(
    arrays: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 40_000_000_000)
    assert lay_out(plan(20, "lenet"), gpus(0), arrays).slots == ("cuda:0",)


@pytest.mark.parametrize(
    ("stack", "n_jobs", "expected"),
    [
        (None, 4, Placement(n_jobs=4, stack=1)),
        (None, 500, Placement(n_jobs=60, stack=1)),
        (20, 4, Placement(n_jobs=3, stack=20)),
        (7, 4, Placement(n_jobs=4, stack=7)),
    ],
)
def test_the_processor_has_workers(
    stack: int | None, n_jobs: int, expected: Placement, arrays: Path
) -> None:
    execution = ExecutionOptions(device="cpu", n_jobs=n_jobs, stack=stack)
    assert lay_out(plan(20), execution, arrays) == expected


def test_nothing_to_do_needs_one_worker(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 40_000_000_000)
    assert lay_out((), ExecutionOptions(device="cpu", n_jobs=4), arrays).n_jobs == 1
    assert lay_out((), gpus(0), arrays).n_jobs == 1


@pytest.fixture
def two_gpus(here: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pretend that there are two GPUs, whose work the CPU does, in workers that are forked."""
    of = DeviceData.of
    here(cuda=2)
    monkeypatch.setattr(devices, "free_bytes", lambda _device: 40_000_000_000)
    monkeypatch.setattr(DeviceData, "of", lambda dataset, _device: of(dataset, torch.device("cpu")))
    monkeypatch.setattr(pool, "start_worker", start_without_gpus)
    monkeypatch.setattr(Slots, "are_gpus", False)  # new interpreters would take seconds
    yield
    _loaded.clear()


@pytest.mark.usefixtures("two_gpus", "undrawn")
def test_a_sweep_on_gpus_from_the_command_to_the_report(call_command: CommandCall) -> None:
    sweep = (
        *("sweep", "--seeds", "3", "--iterations", "60", "--name", "x", "--optimizers", "sgd"),
        *DIGITS,
    )
    likely = call_command(*sweep, "--dry-run", "--gpus", "1", "--jobs-per-gpu", "1")
    assert "with 1 GPU, stacks of up to 3 seeds\n" in likely.out
    finished = call_command(*sweep)
    assert finished.code == 0, finished.err
    assert "= 3 runs; 2 GPUs, stacks of up to 2 seeds\n" in finished.out
    assert finished.out.rstrip().endswith("--iterations 60 --device cuda")
    rows = Store(Path("results/x")).read_rows()
    assert set(rows["device"].to_pylist()) == {"cuda"}
    assert set(rows["device_name"].to_pylist()) == {f"model of {gpu}" for gpu in TWO_GPUS}
    assert set(rows["tf32"].to_pylist()) == {False}
    assert sorted(rows["stack"].to_pylist()) == [1, 2, 2]
    assert "model of cuda:1" in Path("reports/x.html").read_text()
    for options, said in (
        (("--device", "cpu"), "device=cuda, this sweep has device=cpu"),
        (("--tf32",), "tf32=False, this sweep has tf32=True"),
        (("--gpus", "0,2"), "there are GPUs 0 to 1 here, got 2"),
    ):
        refused = call_command(*sweep, *options)
        assert refused.code == 2
        assert said in refused.err
        assert refused.err.count("\n") == 1


def test_the_bytes_of_a_run_cover_what_a_stack_holds(mnist: Any) -> None:
    """Of a thousand runs of Adam: 318 kB of weights, gradient, two of state; order; batch."""
    (adam,) = resolve_all("adam")
    n_parameters, workload = 79_510, Workload()
    held = 4 * 4 * n_parameters + 3000 * 100 * 4 + 100 * 784 * 5
    assert held < bytes_per_run(workload, adam, mnist) < 5 * held


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("tf32", [False, True])
def test_torch_is_told_not_to_round_unless_asked(
    tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    places = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
    older = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.fp32_precision for place in places]
    with exact_numbers("cuda", tf32=tf32):
        assert {place.fp32_precision for place in places} == {"tf32" if tf32 else "ieee"}
        assert {place.allow_tf32 for place in older} == {tf32}  # it raises where they disagree
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
    assert [place.fp32_precision for place in places] == before
    assert not torch.backends.cudnn.deterministic


def test_what_was_said_in_newer_words_only_is_put_back() -> None:
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision  # type: ignore[attr-defined]
    matmul.fp32_precision = "tf32"  # type: ignore[attr-defined]
    try:
        with pytest.raises(RuntimeError):
            _ = matmul.allow_tf32
        with exact_numbers("cuda", tf32=False):
            assert matmul.allow_tf32 is False
        assert matmul.fp32_precision == "tf32"  # type: ignore[attr-defined]
    finally:
        matmul.allow_tf32 = False
        matmul.fp32_precision = before  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["highest", "high", "medium"])
@pytest.mark.parametrize("tf32", [False, True])
def test_the_precision_of_who_calls_is_put_back(word: str, tf32: bool) -> None:
    torch.set_float32_matmul_precision(word)
    try:
        with exact_numbers("cuda", tf32=tf32):
            assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        assert torch.get_float32_matmul_precision() == word
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_processor_needs_no_telling() -> None:
    with exact_numbers("cpu", tf32=False):
        assert not torch.backends.cudnn.deterministic


# ---------------------------------------------------------------- benchmark


@pytest.mark.slow
@pytest.mark.long
def test_the_benchmark_of_stacks_measures_what_it_says() -> None:
    """Here on the processor, with little of everything; no time is asserted."""
    said: list[str] = []
    figures = gpu_benchmark.measure(
        "cpu:0",
        repeats=1,
        say=said.append,
        workload=Workload(iterations=8, eval_every=4),
        optimizers=("sgd", "adadelta"),
        sweeps=(2,),
        widest=3,
    )
    assert [timing.runs for timing in figures.sweeps] == [4]
    assert sorted(figures.step_microseconds) == [1, 3, 20]
    assert set(figures.ablations) == {"full", "no graph", "not fused", "floats"}
    numbers = (
        figures.wide_over_single,
        figures.share_of_products,
        figures.times_faster,
        *figures.step_microseconds.values(),
        *figures.ablations.values(),
    )
    assert all(0 < number < float("inf") for number in numbers)
    assert len(said) == 7
