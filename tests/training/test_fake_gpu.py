"""Tensors are where a GPU needs them, all of a recorded step's on the GPU: see :mod:`_fake_gpu`."""

from __future__ import annotations

import pytest
import torch
from _fake_gpu import GPU, fake_gpu, on_gpu
from test_updates import NOT_RECORDED, RECORDED, variant
from torch._subclasses.fake_tensor import DataDependentOutputException

from bench.networks.build import make_network
from bench.optimizers.elementwise import acts_elementwise
from bench.training.device_data import DeviceData
from bench.training.loop import RecordedUpdates
from bench.training.seeding import orders, starts
from bench.training.stack import Stack

SEEDS = (3, 1)
#: They decide by values that they read from the device, and there are none here.
READING = ("adafactor", "lbfgs")
#: Its counter is the processor's, and without a decay of the rate nothing depends on it.
COUNTING = {"adagrad": {"__get__", "tensor", "_foreach_add_", "item"}}


@pytest.mark.parametrize("text", [*RECORDED, *(t for t in NOT_RECORDED if t not in READING)])
def test_a_recorded_step_is_on_the_gpu_alone(text: str, mnist: DeviceData) -> None:
    spec, workload = variant(text)
    # what is tried out or hashed is made before, by the processor, and kept
    acts_elementwise(spec)
    starts(make_network(workload.network, mnist.image_shape, mnist.n_classes), SEEDS)
    orders(len(mnist.train_images), workload.batch_size, workload.iterations, SEEDS)
    with fake_gpu() as gpu:
        stack = Stack(workload, spec, SEEDS, on_gpu(mnist))
        updates = stack._updates
        assert isinstance(updates, RecordedUpdates)
        for _ in range(2):
            gpu.on_host.clear()
            updates._update()
            assert set(gpu.on_host) <= COUNTING.get(text, set())
            for step in updates._after:
                step(updates._labels)
        gpu.on_host.clear()
        with stack._evaluated():
            correct, losses = stack._evaluate()
    assert gpu.on_host == ["cpu", "cpu"]
    assert (correct.shape, losses.shape) == ((2, len(mnist.test_images)), (2,))


class TestTheStandIn:
    """The stand-in for a GPU refuses what one would, or the tests with it prove nothing."""

    def test_operands_in_two_places_are_refused(self) -> None:
        with fake_gpu(), pytest.raises(RuntimeError, match="same device"):
            torch.ones(2, device=GPU).add_(torch.ones(2))

    def test_a_result_in_another_place_is_refused(self) -> None:
        with fake_gpu(), pytest.raises(AssertionError, match="device"):
            torch.neg(torch.ones(2, device=GPU), out=torch.ones(2))

    def test_a_fused_step_with_a_rate_on_the_processor_is_refused(self) -> None:
        with fake_gpu():
            weights = torch.nn.Parameter(torch.ones(2, device=GPU))
            weights.grad = torch.ones_like(weights)
            optimizer = torch.optim.SGD([weights], fused=True)
            optimizer.step()
            optimizer.param_groups[0]["lr"] = torch.ones(())
            with pytest.raises(AssertionError, match="cuda"):
                optimizer.step()

    def test_a_value_cannot_be_read(self) -> None:
        with fake_gpu(), pytest.raises(DataDependentOutputException):
            torch.ones(2, device=GPU).sum().item()

    def test_what_the_processor_does_is_told(self) -> None:
        with fake_gpu() as gpu:
            counter, weights = torch.zeros(1), torch.zeros(2, device=GPU)
            gpu.on_host.clear()
            weights.add_(1)
            assert gpu.on_host == []
            counter.add_(1)
            assert gpu.on_host == ["add_"]
