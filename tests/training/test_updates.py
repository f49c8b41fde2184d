from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from _recorder import graphs_on_the_processor, record

from bench.optimizers.build import is_recordable
from bench.optimizers.resolve import available
from bench.optimizers.variants import resolve_variant
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, Workload
from bench.training.device_data import DeviceData
from bench.training.stack import Stack, train

BASE = Workload(iterations=30, eval_every=12)
#: What is stepped by Python after every replay, and why it cannot be recorded.
NOT_RECORDED = {
    "radam": "its recorded form is another computation",
    "adafactor": "reads values of the device",
    "lbfgs": "calls back into Python",
    "adagrad[lr_decay=0.1]": "counts its steps in Python",
    "adagrad[schedule=cosine]": "looks its rate up in Python",
    "muon[schedule=cosine]": "looks its rate up in Python",
    "radam[schedule=cosine]": "its recorded form is another computation",
    "adadelta[schedule=cosine,foreach=False]": "the user chose the implementation",
}
RECORDED = (
    *(name for name in available() if name not in NOT_RECORDED),
    *(
        f"{name}[schedule=cosine]"
        for name in available()
        if f"{name}[schedule=cosine]" not in NOT_RECORDED and name not in ("rprop", *NOT_RECORDED)
    ),
    "adam[foreach=True]",
    "sgd[batch_size=4000]",  # in chunks
)
#: Rounding in float32: NAdam's counters on the device, rates on the device, gradients near 0.
TOLERANCE = {
    **dict.fromkeys(("nadam", "nadam[schedule=cosine]", "rmsprop[schedule=cosine]"), 1e-3),
    "adam[foreach=True]": 1e-4,
}


@pytest.fixture(scope="module")
def few(mnist: DeviceData) -> DeviceData:
    """With some test images: what is looked at is the training."""
    images, labels = mnist.test_images[:300], mnist.test_labels[:300]
    return replace(mnist, test_images=images, test_labels=labels)


def variant(text: str) -> tuple[OptimizerSpec, Workload]:
    (expression,) = parse_optimizers(text)
    spec = resolve_variant(expression, BASE, 60_000)
    return spec, replace(BASE, batch_size=spec.batch_size or BASE.batch_size)


@pytest.mark.parametrize("text", [*RECORDED, *NOT_RECORDED])
def test_replayed_updates_are_those_of_python(text: str, few: DeviceData) -> None:
    """Over evaluations, one of them within the warm-up's reach; on the processor, as strict."""
    spec, workload = variant(text)
    assert is_recordable(spec, torch.device("cpu")) == (text in RECORDED)
    intervals = ((0, 2), (2, 4)) if text == "lbfgs" else ((0, 2), (2, 12), (12, 30))
    plain = Stack(workload, spec, [3, 1], few)
    with graphs_on_the_processor() as made:
        replayed = Stack(workload, spec, [3, 1], few)
        for start, end in intervals:
            plain.advance(start, end)
            replayed.advance(start, end)
    assert len(made) == (text != "lbfgs")
    tolerance = TOLERANCE.get(text, 1e-6)
    torch.testing.assert_close(replayed.parameters, plain.parameters, rtol=0, atol=tolerance)
    for a, b in zip(plain.finish(), replayed.finish(), strict=True):
        assert a.learning_rates == b.learning_rates
        losses = [[e.train_loss for e in run.evaluations] for run in (a, b)]
        np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-4)


def test_what_cannot_be_recorded_is_done_in_python_and_said(
    few: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, workload = variant("adam")
    (plain,) = train(workload, spec, [3], few)
    with graphs_on_the_processor():
        monkeypatch.setattr("bench.training.loop.record", fail)
        with pytest.warns(UserWarning, match=r"cannot be recorded \(no more graphs\): .* slower"):
            (run,) = train(workload, spec, [3], few)
    assert run.evaluations[-1].test_loss == plain.evaluations[-1].test_loss


def test_memory_that_runs_out_while_recording_is_for_the_stack_to_heed(
    few: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_step: Callable[[], object], _device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    spec, workload = variant("adam")
    with graphs_on_the_processor():
        monkeypatch.setattr("bench.training.loop.record", fill)
        with pytest.raises(torch.OutOfMemoryError):
            train(workload, spec, [3], few)


def fail(_step: Callable[[], object], _device: torch.device) -> None:
    raise RuntimeError("no more graphs\nand a long story")


def test_recording_can_be_left_out(few: DeviceData) -> None:
    spec, workload = variant("sgd")
    with graphs_on_the_processor() as made:
        train(workload, spec, [3], few, is_recorded=False)
    assert not made


class TestTheStandIn:
    """The stand-in for CUDA graphs fails where they would, or tests with it prove nothing."""

    def test_a_number_of_python_stays_what_it_was(self) -> None:
        total, counter = torch.zeros(1), iter(range(10))
        graph = record(lambda: total.add_(next(counter)), torch.device("cpu"))
        assert total.item() == 0
        next(counter)
        for _ in range(3):
            graph.replay()
        assert total.item() == 0

    def test_reading_a_value_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match="reads from the device"):
            record(lambda: torch.ones(1).item(), torch.device("cpu"))

    def test_fresh_tensors_keep_their_place(self) -> None:
        source, target = torch.ones(2), torch.zeros(2)
        graph = record(lambda: target.add_((source * 2).view(2, 1)[:, 0]), torch.device("cpu"))
        source.fill_(3)
        graph.replay()
        assert target.tolist() == [6, 6]
