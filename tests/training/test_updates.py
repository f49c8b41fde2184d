"""Captured and replayed updates equal those that Python launches one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from _cases import some
from _cpu_graphs import capture, cpu_graphs

from bench.optimizers.build import is_capturable
from bench.optimizers.resolve import available
from bench.optimizers.variants import resolve_variant
from bench.spec.expressions import parse_optimizers
from bench.spec.model import OptimizerSpec, Workload
from bench.training.device_data import DeviceData
from bench.training.stack import Stack, train

BASE = Workload(iterations=12, eval_every=6)
#: Optimizers whose step Python launches after every replay, and why it cannot be captured.
NOT_CAPTURED = {
    "radam": "its capturable form is another computation",
    "adafactor": "reads values of the device",
    "lbfgs": "calls back into Python",
    "adagrad[lr_decay=0.1]": "counts its steps in Python",
    "adagrad[schedule=cosine]": "looks its rate up in Python",
    "muon[schedule=cosine]": "looks its rate up in Python",
    "radam[schedule=cosine]": "its capturable form is another computation",
    "adadelta[schedule=cosine,foreach=False]": "the user chose the implementation",
}
CAPTURED = (
    *(name for name in available() if name not in NOT_CAPTURED),
    *(
        f"{name}[schedule=cosine]"
        for name in available()
        if f"{name}[schedule=cosine]" not in NOT_CAPTURED and name not in ("rprop", *NOT_CAPTURED)
    ),
    "adam[foreach=True]",
    "sgd[batch_size=4000]",  # in chunks
)
#: Rounding in float32: NAdam's counters on the device, rates on the device, gradients near 0.
TOLERANCE = {
    **dict.fromkeys(("nadam", "nadam[schedule=cosine]", "rmsprop[schedule=cosine]"), 1e-3),
    "adam[foreach=True]": 1e-4,
}


#: Begins and ends of the intervals between evaluations, during and after the warm-up.
INTERVALS = ((0, 2), (2, 6), (6, 12))
#: Of those whose updates take long; an update of L-BFGS has 20 iterations.
FEW_INTERVALS = {
    "lbfgs": ((0, 1), (1, 2)),
    **dict.fromkeys(
        ("muon", "muon[schedule=cosine]", "sgd[batch_size=4000]"), ((0, 2), (2, 5), (5, 7))
    ),
}


def variant(text: str) -> tuple[OptimizerSpec, Workload]:
    (expression,) = parse_optimizers(text)
    spec = resolve_variant(expression, BASE, 60_000)
    return spec, replace(BASE, batch_size=spec.batch_size or BASE.batch_size)


@pytest.mark.parametrize("text", some([*CAPTURED, *NOT_CAPTURED], 5))
def test_replayed_updates_equal_those_in_python(text: str, few: DeviceData) -> None:
    """On the CPU."""
    spec, workload = variant(text)
    assert is_capturable(spec, torch.device("cpu")) == (text in CAPTURED)
    plain = Stack(workload, spec, [3, 1], few)
    with cpu_graphs() as made:
        replayed = Stack(workload, spec, [3, 1], few)
        for start, end in FEW_INTERVALS.get(text, INTERVALS):
            plain.advance(start, end)
            replayed.advance(start, end)
    assert len(made) == (text != "lbfgs")
    tolerance = TOLERANCE.get(text, 1e-6)
    torch.testing.assert_close(replayed.parameters, plain.parameters, rtol=0, atol=tolerance)
    for a, b in zip(plain.finish(), replayed.finish(), strict=True):
        assert a.learning_rates == b.learning_rates
        losses = [[e.train_loss for e in run.evaluations] for run in (a, b)]
        np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-4)


def test_updates_that_cannot_be_captured_run_in_python_with_a_warning(
    few: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, workload = variant("adam")
    (plain,) = train(workload, spec, [3], few)
    with cpu_graphs():
        monkeypatch.setattr("bench.training.loop.capture", fail)
        with pytest.warns(UserWarning, match=r"cannot be captured \(no more graphs\): .* slower"):
            (run,) = train(workload, spec, [3], few)
    assert run.evaluations[-1].test_loss == plain.evaluations[-1].test_loss


def test_out_of_memory_in_a_capture_is_raised(
    few: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_step: Callable[[], object], _device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    spec, workload = variant("adam")
    with cpu_graphs():
        monkeypatch.setattr("bench.training.loop.capture", fill)
        with pytest.raises(torch.OutOfMemoryError):
            train(workload, spec, [3], few)


def fail(_step: Callable[[], object], _device: torch.device) -> None:
    raise RuntimeError("no more graphs\nand a long story")


def test_capture_can_be_disabled(few: DeviceData) -> None:
    spec, workload = variant("sgd")
    with cpu_graphs() as made:
        train(workload, spec, [3], few, is_captured=False)
    assert not made


class TestCPUGraphs:
    """The emulation fails where CUDA graphs fail."""

    def test_a_python_number_keeps_its_value(self) -> None:
        total, counter = torch.zeros(1), iter(range(10))
        graph = capture(lambda: total.add_(next(counter)), torch.device("cpu"))
        assert total.item() == 0
        next(counter)
        for _ in range(3):
            graph.replay()
        assert total.item() == 0

    def test_reading_a_value_is_an_error(self) -> None:
        with pytest.raises(RuntimeError, match="reads from the device"):
            capture(lambda: torch.ones(1).item(), torch.device("cpu"))

    def test_new_tensors_keep_their_memory(self) -> None:
        source, target = torch.ones(2), torch.zeros(2)
        graph = capture(lambda: target.add_((source * 2).view(2, 1)[:, 0]), torch.device("cpu"))
        source.fill_(3)
        graph.replay()
        assert target.tolist() == [6, 6]
