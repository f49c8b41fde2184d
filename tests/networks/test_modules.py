"""Networks that are torch modules: LeNet and user-defined networks."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from _cases import some
from _trained import timeless
from conftest import resolve_one
from torch import nn

from bench.errors import SpecError
from bench.networks.build import make_network
from bench.networks.mlp import MLP
from bench.spec.model import Workload
from bench.training.device_data import DeviceData
from bench.training.seeding import initial_module
from bench.training.stack import Stack, train

MNIST = ((1, 28, 28), 10)
STACKED = ("batch_norm", "dropout", "Tied", "lazy", "frozen", "DrawsAlways")


def user(name: str) -> str:
    return f"_user_networks:{name}"


def workload(network: str) -> Workload:
    return Workload(network=network, iterations=12, eval_every=5)


@pytest.fixture
def float64() -> object:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("closed_form", "module"),
    [("mlp", "perceptron"), ("mlp[hidden=40x30x20]", "deep")],
)
def test_autograd_trains_as_the_closed_form(closed_form: str, module: str, few: DeviceData) -> None:
    stacks = [
        Stack(workload(network), resolve_one("adam"), [4, 5], few)
        for network in (closed_form, user(module))
    ]
    for stack in stacks:
        stack.advance(0, 12)
    assert stacks[0].finish()[0].data_order_sha256 == stacks[1].finish()[0].data_order_sha256
    assert not torch.equal(stacks[0].parameters[0], stacks[0].parameters[1])
    torch.testing.assert_close(stacks[0].parameters, stacks[1].parameters, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("network", "optimizer"),
    some(
        [
            *(("lenet", "adam"), (user("dropout"), "sgd")),
            *((user(name), "adam") for name in STACKED),
        ],
        2,
    ),
)
def test_runs_in_a_stack_equal_single_runs(network: str, optimizer: str, few: DeviceData) -> None:
    """Results are bit-identical, also after other random draws in this process."""
    short, spec = replace(workload(network), iterations=7), resolve_one(optimizer)
    together = train(short, spec, [3, 1, 2], few)
    for run in together:
        torch.rand(7)
        before = torch.get_rng_state()
        (alone,) = train(short, spec, [run.seed], few)
        assert timeless(alone) == timeless(run)
        assert torch.equal(torch.get_rng_state(), before)
    assert len({run.initial_weights_sha256 for run in together}) == 3


def first_test_images(mnist: DeviceData, n: int) -> dict[str, torch.Tensor]:
    return {"test_images": mnist.test_images[:n], "test_labels": mnist.test_labels[:n]}


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("n_test", some([1, 2, 501], 2))
@pytest.mark.parametrize("shape", [(1, 5, 5), (1, 28, 28)])
@pytest.mark.parametrize("network", [user("odd_sizes"), "mlp[hidden=13x7]", "logistic"])
def test_bit_identity_does_not_depend_on_alignment(
    network: str, shape: tuple[int, int, int], n_test: int, batch_size: int, mnist: DeviceData
) -> None:
    """For one image the product is a matrix-vector product, whose bits depend on alignment."""
    n_pixels = shape[1] * shape[2]
    first = (784 - n_pixels) // 2  # the middle of the image: pixels at the edges are 0
    images = {
        name: getattr(mnist, name)[:1000, first : first + n_pixels].contiguous()
        for name in ("train_images", "test_images")
    }
    labels = {name: getattr(mnist, name)[:1000] for name in ("train_labels", "test_labels")}
    data = DeviceData(**{**vars(mnist), **images, **labels, "image_shape": shape})
    data = DeviceData(**{**vars(data), **first_test_images(data, n_test)})
    brief = Workload(network=network, iterations=8, eval_every=4, batch_size=batch_size)
    together = train(brief, resolve_one("adam"), [3, 1, 2], data)
    for run in together:
        (alone,) = train(brief, resolve_one("adam"), [run.seed], data)
        assert timeless(alone) == timeless(run)


@pytest.mark.parametrize("network", ["mlp[hidden=30x20]", "logistic", "lenet", user("dropout")])
def test_runs_of_a_seed_are_paired(network: str, few: DeviceData) -> None:
    seen = [
        (run.initial_weights_sha256, run.data_order_sha256)
        for optimizer in ("sgd", "adam")
        for run in train(
            Workload(network=network, iterations=1), resolve_one(optimizer), [0, 1], few
        )
    ]
    assert seen[:2] == seen[2:]
    assert len({*seen[0], *seen[1]}) == 4


def test_the_number_of_evaluations_does_not_change_results(few: DeviceData) -> None:
    stacks = [Stack(workload(user("DrawsAlways")), resolve_one("sgd"), [0], few) for _ in range(2)]
    stacks[0].advance(0, 10)
    stacks[1].advance(0, 5)
    stacks[1].advance(5, 10)
    assert torch.equal(stacks[0].parameters, stacks[1].parameters)


def test_frozen_and_unused_parameters_do_not_change(few: DeviceData) -> None:
    network = make_network(user("frozen"), *MNIST)
    assert network.layout.shapes == ((10, 100), (10,))
    one, other = (initial_module(network, seed) for seed in (0, 1))
    assert not torch.equal(one[1].weight, other[1].weight)

    tied = make_network(user("Tied"), *MNIST)
    assert sum(s.numel() for s in tied.layout.shapes) == 785 * 20 + 21 * 20 + 21 * 10 + 4 * 2
    stack = Stack(workload(user("Tied")), resolve_one("adam"), [0], few)
    before = tied.layout.unpadded(stack.parameters)
    stack.advance(0, 5)
    moved = tied.layout.unpadded(stack.parameters)[0] != before[0]
    assert not moved[-8:].any()
    assert moved[-8 - 210 - 420 : -8 - 210].any()
    assert moved[-8 - 10 : -8].all()


@pytest.mark.long
def test_lenet_learns(few: DeviceData) -> None:
    short = Workload(network="lenet", iterations=80, eval_every=80)
    (run,) = train(short, resolve_one("adam"), [0], few)
    assert 0.8 < run.evaluations[-1].test_accuracy < 0.99


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 32, 32), (2, 13, 40)])
def test_sizes_of_lenet_follow_the_images(shape: tuple[int, int, int]) -> None:
    network = make_network("lenet", shape, 7)
    module = network.module()
    assert module(torch.zeros(2, *shape)).shape == (2, 7)
    assert network.layout.shapes == tuple(p.shape for p in module.parameters())
    assert sum(s.numel() for s in make_network("lenet", *MNIST).layout.shapes) == 61_706


def test_networks_without_a_signature() -> None:
    assert make_network("logistic", (3, 4, 4), 5) == MLP((48, 5))
    assert make_network("mlp[hidden=128x64]", *MNIST) == MLP((784, 128, 64, 10))
    for network in (MLP((6, 4, 3)), make_network("lenet", *MNIST)):
        assert network.layout.shapes == tuple(p.shape for p in network.module().parameters())


def test_a_batch_that_is_too_small_is_found_early(mnist: DeviceData) -> None:
    one = Workload(network=user("one_pixel"), batch_size=1)
    with pytest.raises(SpecError, match=r"one_pixel'.*a trial update fails \(ValueError: Expected"):
        Stack(one, resolve_one("sgd"), [0], mnist)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Parameterless", "it has no parameters to train"),
        ("double", "its parameters must be torch.float32, got torch.float64"),
        ("meta", "it must be created on the CPU (it is moved later), got meta"),
        ("wrong_width", "its output must be a tensor (2, 10) of logits for images (2, 1, 28, 28), "
         "got (2, 9) of torch.float32"),
        ("Pair", "its output must be a tensor (2, 10) of logits for images (2, 1, 28, 28), got "
         "tuple"),
        ("Detached", "its output does not depend on its parameters"),
        ("raising", "creating it fails (RuntimeError: out of luck)"),
        ("unfitting", "a trial update fails (RuntimeError: mat1 and mat2 shapes"),
        ("needing", "creating it fails (TypeError: needing() missing 1 required"),
        ("nothing", "its function must return a torch.nn.Module, got NoneType"),
        ("INSTANCE", "it must be a function or a class that makes a torch.nn.Module, got an "
         "object of Sequential"),
        ("cached", "it must return a new module each time, got the same module twice"),
        ("unseeded", "the seed does not determine its weights"),
        ("seeds_torch", "it sets the seed of torch when it is created, so its random numbers are "
         "the same for every seed of the sweep: remove that call (such as torch.manual_seed)"),
        ("seeds_torch_late", "it sets the seed of torch when it is created"),
        ("seeds_numpy", "it sets the seed of numpy when it is created"),
        ("seeds_both", "it sets the seed of torch and Python's random when it is created"),
        ("SeedsInForward", "it sets the seed of torch while it trains"),
        ("sharing", "two of its parameters share memory"),
        ("varying", "the shapes of its parameters differ each time that it is created"),
    ],
)  # fmt: skip
def test_errors_in_a_user_defined_network(name: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_network(user(name), *MNIST)
    assert f"network '{user(name)}': {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["draws_numpy", "DrawsPython", "fixed_generator"])
def test_numpy_and_python_generators_are_separate_per_run(name: str, few: DeviceData) -> None:
    """Results in a stack equal those of a single run, also after other draws in the process."""
    sgd = resolve_one("sgd")
    state = np.random.get_state(legacy=False)
    together = train(workload(user(name)), sgd, [3, 1], few)
    for run in together:
        random.random()
        before = random.getstate()
        (alone,) = train(workload(user(name)), sgd, [run.seed], few)
        assert timeless(alone) == timeless(run)
        assert random.getstate() == before
    assert str(np.random.get_state(legacy=False)) == str(state)
    n_starts = 1 if name == "fixed_generator" else 2
    assert len({run.initial_weights_sha256 for run in together}) == n_starts


def test_images_too_small_for_lenet() -> None:
    message = "network 'lenet' needs images of at least 12 x 12 pixels, got 28 x 11"
    with pytest.raises(SpecError, match=message):
        make_network("lenet", (1, 28, 11), 10)


def test_the_cross_entropy_equals_that_of_torch(few: DeviceData) -> None:
    stack = Stack(workload("lenet"), resolve_one("sgd[lr=0]"), [0], few)
    stack.advance(0, 1)
    (run,) = stack.finish()
    module = initial_module(make_network("lenet", *MNIST), 0)
    with torch.no_grad():
        logits = module((few.test_images / 255).view(-1, 1, 28, 28))
    loss = nn.functional.cross_entropy(logits.double(), few.test_labels).item()
    assert run.evaluations[0].test_loss == pytest.approx(loss, rel=1e-5)
