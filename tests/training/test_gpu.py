"""Tests on a CUDA GPU; other tests emulate CUDA graphs on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench.cli import main
from bench.execution import devices
from bench.execution.devices import exact_numbers
from bench.execution.train_job import load_data
from bench.optimizers.build import is_capturable
from bench.optimizers.resolve import available
from bench.optimizers.variants import resolve_variant
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, Workload
from bench.storage.store import Store
from bench.training.device_data import DeviceData
from bench.training.stack import TrainedRun, bytes_per_run, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

GPU = "cuda:0"
SHORT = Workload(iterations=120, eval_every=50)
#: L-BFGS takes twenty iterations per update. On the CPU, another order of the images in each batch
#: changed its losses by 3 per cent after two updates, and much more after twenty.
TWO_UPDATES = Workload(iterations=2, eval_every=1)
#: Tolerance of losses after some updates, on another device or in another stack: float32 sums have
#: another order, and optimizers that divide gradients near 0 by their size amplify the difference.
TOLERANCE = {"muon": 0.05, "rmsprop": 0.02, "lbfgs": 0.2, "rprop": 0.02, "nadam": 0.01}
SCHEDULED = tuple(f"{name}[schedule=cosine]" for name in ("sgd", "adam", "adadelta", "adagrad"))


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    with exact_numbers("cuda", tf32=False):
        yield


@pytest.fixture(scope="module")
def on_gpu(arrays: Path) -> DeviceData:
    return load_data(arrays, GPU)


def variant(text: str) -> OptimizerSpec:
    (expression,) = parse_optimizers(text)
    return resolve_variant(expression, SHORT, 60_000)


def losses(run: TrainedRun) -> list[float]:
    return [x for e in run.evaluations for x in (e.test_loss or 0.0, e.train_loss or 0.0)]


def bits(run: TrainedRun) -> list[object]:
    return [(e.correct.tobytes(), e.test_loss, e.train_loss) for e in run.evaluations]


@pytest.mark.parametrize("text", [*available(), *SCHEDULED])
def test_runs_in_a_stack_equal_single_runs_and_runs_on_the_cpu(
    text: str, on_gpu: DeviceData, mnist: DeviceData
) -> None:
    spec, tolerance = variant(text), TOLERANCE.get(text, 2e-3)
    workload = TWO_UPDATES if text == "lbfgs" else SHORT
    for run in train(workload, spec, [3, 1], on_gpu):
        (alone,) = train(workload, spec, [run.seed], on_gpu)
        (on_cpu,) = train(workload, spec, [run.seed], mnist)
        for other in (alone, on_cpu):
            assert other.initial_weights_sha256 == run.initial_weights_sha256
            assert other.data_order_sha256 == run.data_order_sha256
            assert other.learning_rates == run.learning_rates
            np.testing.assert_allclose(losses(run), losses(other), rtol=tolerance, atol=1e-3)


@pytest.mark.parametrize("text", [*available(), *SCHEDULED, "sgd[batch_size=4000]"])
def test_replayed_updates_equal_those_in_python(text: str, on_gpu: DeviceData) -> None:
    """Bit-identical if the same kernels are used; the state of some optimizers is on the device."""
    spec = variant(text)
    workload = Workload(iterations=20, eval_every=8) if text == "lbfgs" else SHORT
    replayed = train(workload, spec, [3, 1], on_gpu)
    plain = train(workload, spec, [3, 1], on_gpu, is_captured=False)
    for a, b in zip(replayed, plain, strict=True):
        tolerance = TOLERANCE.get(text, 2e-3) if is_capturable(spec, on_gpu.device) else 1e-6
        np.testing.assert_allclose(losses(a), losses(b), rtol=tolerance, atol=1e-3)


@pytest.mark.parametrize("text", ["sgd", "adam", "adagrad", "muon"])
def test_the_same_stack_twice_is_the_same_bit_for_bit(text: str, on_gpu: DeviceData) -> None:
    once, again = (train(SHORT, variant(text), range(20), on_gpu) for _ in range(2))
    assert [bits(run) for run in once] == [bits(run) for run in again]


def test_pixels_equal_those_on_the_cpu(on_gpu: DeviceData, mnist: DeviceData) -> None:
    images = mnist.train_images[:500]
    here, there = torch.empty(images.shape), torch.empty(images.shape, device=GPU)
    mnist.to_pixels(images, here)
    on_gpu.to_pixels(on_gpu.train_images[:500], there)
    assert torch.equal(here, there.cpu())


def test_products_are_not_rounded_unless_asked() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()

    def error() -> float:
        return float(((a.to(GPU) @ b.to(GPU)).cpu().double() - exact).abs().max())

    plain = error()
    with exact_numbers("cuda", tf32=True):
        rounded = error()
    assert plain < 1e-3 < rounded


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "mlp[hidden=64x32]", "logistic", "lenet"])
def test_every_network_trains(network: str, on_gpu: DeviceData) -> None:
    workload = Workload(network=network, iterations=120, eval_every=60)
    for run in train(workload, variant("adam"), [0, 1], on_gpu):
        assert run.evaluations[-1].test_accuracy > 0.7


def test_the_same_command_gives_the_same_rows(tmp_path: Path) -> None:
    spec = bench.specify(optimizers="sgd,adam,adagrad", seeds=6, iterations=120)
    rows = []
    for name in ("once", "again"):
        bench.sweep(spec, results=tmp_path / name, device="cuda")
        rows.append(Store(tmp_path / name / spec.name).read_rows())
    columns = ["optimizer", "seed", "test_loss", "correct_bits", "stack", "device_name", "tf32"]
    assert rows[0].select(columns).equals(rows[1].select(columns))
    assert set(rows[0]["device"].to_pylist()) == {"cuda"}
    assert set(rows[0]["tf32"].to_pylist()) == {False}
    assert set(rows[0]["stack"].to_pylist()) == {6}


def test_out_of_memory_halves_the_stack(tmp_path: Path, mnist: DeviceData) -> None:
    sgd = variant("sgd")
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved(0)
    room = held + 64 * bytes_per_run(SHORT, sgd, mnist)
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), 0)
    try:
        spec = bench.specify(optimizers="sgd", seeds=1000, iterations=20)
        runs = bench.sweep(spec, results=tmp_path, device="cuda", stack=1000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert len(runs) == 1000
    assert set(runs["status"]) == {"ok"}
    assert runs["stack"].max() < 1000
    assert devices.is_working(GPU)


@pytest.mark.slow
def test_accuracies_are_equivalent_to_those_of_the_cpu(tmp_path: Path) -> None:
    """The verdict of the project over twenty seeds is equivalent within its margin."""
    spec = bench.specify(optimizers="sgd,adam", seeds=20)
    for device in ("cpu", "cuda"):
        bench.sweep(spec, results=tmp_path / device, device=device)
    before, after = (str(tmp_path / device / spec.name) for device in ("cpu", "cuda"))
    assert main(["compare", before, after, "--fail-if-changed"]) == 0
