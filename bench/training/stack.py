"""Train a stack of runs that differ only in their seed.

The workload is that of the tutorial: pixels are byte / 255, the loss is cross entropy, each batch
is followed by one optimizer step, and every epoch is a new permutation of the training images.

Four generator seeds are derived from the seed of a run: for the initial weights, the order of the
images, and random numbers that the network and the optimizer draw in training. They do not depend
on the optimizer, so runs of one seed are paired. The hashes in :class:`TrainedRun` verify this.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.networks.build import Network, make_network
from bench.networks.mlp import MLP
from bench.optimizers.build import build, is_capturable, is_users, needs_closure
from bench.optimizers.elementwise import acts_elementwise
from bench.optimizers.schedules import learning_rates
from bench.optimizers.trial import rate_groups
from bench.spec import process_state
from bench.spec.generator_state import GeneratorState
from bench.spec.model import OptimizerSpec, Workload
from bench.training.cuda_graphs import can_capture, own_stream
from bench.training.device_data import DeviceData
from bench.training.loop import Batches, CapturedUpdates, Step, UpdatesInPython
from bench.training.seeding import derived_seed, orders, starts
from bench.training.steppers import ChangingRates, FlatRuns, LayeredRun, Stepper

#: Test images per forward pass: large for efficient products, but small enough for the CPU cache.
EVALUATION_CHUNK = 500
#: Largest chunk of a batch, in images.
MOST_AT_ONCE = 2000
#: Smallest chunk; a batch without a divisor in this range is not split.
LEAST_AT_ONCE = 100
#: Largest number of learning rates of a schedule that are stored, evenly spaced.
MOST_RATES = 101


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Evaluation of one run after some of its updates.

    Attributes
    ----------
    iteration
        Updates done.
    correct
        Whether each test image is classified correctly, bool (n_test,).
    test_loss
        Mean cross entropy on the test images in nats; None if not finite.
    train_loss
        Mean loss over the updates since the previous evaluation in nats; None if not finite.
    train_seconds
        Seconds of training so far without evaluations, divided by the number of runs in the stack.
    """

    iteration: int
    correct: NDArray[np.bool_]
    test_loss: float | None
    train_loss: float | None
    train_seconds: float

    @property
    def test_accuracy(self) -> float:
        """Fraction of the test images that are classified correctly."""
        return int(self.correct.sum()) / len(self.correct)


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A finished run of a stack.

    Attributes
    ----------
    seed
        The seed of the run.
    initial_weights_sha256, data_order_sha256
        Hashes of the initial float32 weights and of the int32 indices of all images used.
    evaluations
        In the order of their iterations. A diverged run ends with the evaluation at which the
        divergence was found.
    diverged_at
        First update, counted from 1, whose loss was not finite or after which the test loss was
        not; None if there was none.
    train_seconds, eval_seconds
        Wall time of this run's stack, divided by the number of runs in it.
    learning_rates
        (update, learning rate) of up to :data:`MOST_RATES` updates that were done; None without a
        schedule.
    """

    seed: int
    initial_weights_sha256: str
    data_order_sha256: str
    evaluations: tuple[Evaluation, ...]
    diverged_at: int | None
    train_seconds: float
    eval_seconds: float
    learning_rates: tuple[tuple[int, float], ...] | None = None


def train(
    workload: Workload,
    optimizer: OptimizerSpec,
    seeds: Sequence[int],
    data: DeviceData,
    *,
    is_captured: bool = True,
) -> tuple[TrainedRun, ...]:
    """Train one run for each seed, as one stack, on the device that holds `data`.

    With `is_captured`, updates are captured and replayed if the device supports it
    (:mod:`bench.training.cuda_graphs`).
    """
    with own_stream(data.device):
        stack = Stack(workload, optimizer, seeds, data, is_captured=is_captured)
        try:
            for start, end in pairwise((0, *workload.eval_iterations)):
                stack.advance(start, end)
                if stack.all_diverged:
                    break
            return stack.finish()
        finally:
            stack.close()


def warm_up(data: DeviceData) -> None:
    """Train a small network for two updates, which loads what torch loads at its first use."""
    from bench.optimizers.resolve import resolve
    from bench.spec.expressions import parse_optimizers

    workload = Workload(iterations=2, eval_every=2, batch_size=min(64, len(data.train_labels)))
    some = slice(EVALUATION_CHUNK)
    data = replace(data, test_images=data.test_images[some], test_labels=data.test_labels[some])
    for expression in parse_optimizers("sgd,adam"):
        train(workload, resolve(expression), [0], data)


def try_network(workload: Workload, data: DeviceData) -> None:
    """Train the network of `workload` for one update; raise SpecError if a user's network fails."""
    chunk = _chunk(workload.batch_size)
    with process_state.restored():
        make_network(
            workload.network, data.image_shape, data.n_classes, batch_size=chunk, device=data.device
        )


def bytes_per_run(workload: Workload, optimizer: OptimizerSpec, data: DeviceData) -> int:
    """Estimate the memory that each run of a stack needs on a device; an upper estimate.

    It includes weights and gradient, up to four tensors of their size for the state of an optimizer
    and four temporary ones, a batch as bytes and floats, the order of the images, and the
    activations of an evaluation.
    """
    chunk = _chunk_of(workload, optimizer)
    network = make_network(workload.network, data.image_shape, data.n_classes, batch_size=chunk)
    n_pixels, number = data.train_images.shape[1], torch.finfo(torch.get_default_dtype()).bits // 8
    images = chunk * n_pixels * (number + data.train_images.itemsize)
    order = workload.iterations * (workload.batch_size * 4 + number)
    return number * (10 * network.layout.size + 3 * EVALUATION_CHUNK * n_pixels) + images + order


@dataclass
class _Progress:
    """State of one run of a stack during training."""

    seed: int
    weights_sha256: str
    order_sha256: str
    evaluations: list[Evaluation] = field(default_factory=list)
    diverged_at: int | None = None


class Stack:
    """K runs in training, and buffers for a batch of each.

    An elementwise optimizer updates the parameters of all runs. Otherwise each run has its own.
    `parameters` are the current weights in the layout of the network, (K, P): one row per seed.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: OptimizerSpec,
        seeds: Sequence[int],
        data: DeviceData,
        *,
        is_captured: bool = True,
    ) -> None:
        started = time.perf_counter()
        self._data = data
        n_images, iterations = len(data.train_images), workload.iterations
        chunk = _chunk_of(workload, optimizer)
        network = make_network(
            workload.network, data.image_shape, data.n_classes, batch_size=chunk, device=data.device
        )
        start = starts(network, seeds)
        order = orders(workload, n_images, seeds)
        self._runs = [
            _Progress(*run) for run in zip(seeds, start.sha256, order.sha256, strict=True)
        ]
        parameter = torch.nn.Parameter(start.weights.to(data.device, copy=True))
        parameter.grad = torch.zeros_like(parameter)
        self.parameters = parameter.detach()
        self._gradients = parameter.grad
        noise = [derived_seed("network", seed) for seed in seeds]
        runs = network.runs(start.modules, noise, self.parameters, self._gradients, chunk)
        self._logits = runs.logits
        batches = Batches(data, chunk, self._gradients, runs.gradient)
        self._images = batches.images
        # autograd and closures, which call back into Python, are not captured
        is_captured = is_captured and isinstance(network, MLP) and not needs_closure(optimizer)
        is_captured = is_captured and can_capture(data.device)
        capturable = is_captured and is_capturable(optimizer, data.device)
        if acts_elementwise(optimizer):
            self._steppers = [self._flat_stepper(optimizer, parameter, capturable)]
        else:
            self._steppers = [
                self._layered_stepper(optimizer, network, k, module, noise[k], capturable)
                for k, module in enumerate(start.modules)
            ]
        changing = self._changing_rates(optimizer, iterations)
        self._rates = changing.rates if changing else None
        steps: list[Step] = [stepper.step for stepper in self._steppers]
        if changing and not capturable:
            steps.insert(0, changing.setter())
        self._updates: UpdatesInPython | CapturedUpdates
        if not is_captured:
            self._updates = UpdatesInPython(data, batches, order.rows, steps)
        elif capturable:
            self._updates = CapturedUpdates(data, batches, order.rows, steps, changing=changing)
        else:
            self._updates = CapturedUpdates(data, batches, order.rows, after=steps)
        self._train_seconds = time.perf_counter() - started
        self._eval_seconds = 0.0

    @property
    def all_diverged(self) -> bool:
        """Whether all runs have diverged, so that training can stop."""
        return all(run.diverged_at is not None for run in self._runs)

    @torch.no_grad()
    def advance(self, start: int, end: int) -> None:
        """Do the updates `start` + 1 to `end` and evaluate the runs that have not diverged."""
        before = time.perf_counter()
        losses = self._updates(start, end)
        between = time.perf_counter()
        with self._evaluated():
            correct, test_loss = self._evaluate()
        self._train_seconds += between - before
        self._eval_seconds += time.perf_counter() - between
        sound = np.isfinite(losses).all(axis=1) & np.isfinite(test_loss)
        for i, run in enumerate(self._runs):
            if run.diverged_at is None:
                run.evaluations.append(
                    Evaluation(
                        iteration=end,
                        correct=correct[i],
                        test_loss=_finite(test_loss[i]),
                        train_loss=_finite(losses[i].mean()),
                        train_seconds=self._train_seconds / len(self._runs),
                    )
                )
                if not sound[i]:
                    run.diverged_at = _first_not_finite([*losses[i], test_loss[i]], start, end)

    def finish(self) -> tuple[TrainedRun, ...]:
        """Return the runs in the order of the seeds; requires at least one evaluation."""
        return tuple(
            TrainedRun(
                seed=run.seed,
                initial_weights_sha256=run.weights_sha256,
                data_order_sha256=run.order_sha256,
                evaluations=tuple(run.evaluations),
                diverged_at=run.diverged_at,
                train_seconds=self._train_seconds / len(self._runs),
                eval_seconds=self._eval_seconds / len(self._runs),
                learning_rates=_sampled(self._rates, run.evaluations[-1].iteration),
            )
            for run in self._runs
        )

    @contextmanager
    def _evaluated(self) -> Iterator[None]:
        """Set optimizers to evaluation mode in the block; some then change the weights."""
        for stepper in self._steppers:
            stepper.set_mode("eval")
        yield
        for stepper in self._steppers:
            stepper.set_mode("train")

    def close(self) -> None:
        """Free the memory of a captured graph."""
        self._updates.close()

    def _flat_stepper(
        self, optimizer: OptimizerSpec, parameter: nn.Parameter, capturable: bool
    ) -> Stepper:
        """Return the step of an elementwise optimizer, which updates all runs."""
        if is_users(optimizer):
            # LayeredRun with one layer: a user-defined optimizer may replace tensors, or set
            # gradients to None
            weights, gradients = self.parameters.view(-1), self._gradients.view(-1)
            return LayeredRun(optimizer, [weights], [gradients], self._optimizer_generators(0))
        return FlatRuns(build(optimizer, parameter, capturable=capturable))

    def _optimizer_generators(self, k: int) -> GeneratorState:
        """Return the state of the random generators for the optimizer of run `k`."""
        return GeneratorState(derived_seed("optimizer", self._runs[k].seed), self._data.device)

    def _changing_rates(self, optimizer: OptimizerSpec, iterations: int) -> ChangingRates | None:
        if optimizer.schedule is None:
            return None
        groups = rate_groups(o for stepper in self._steppers for o in stepper.optimizers)
        rates = learning_rates(optimizer.schedule, float(groups[0]["lr"]), iterations)
        return ChangingRates(rates, groups)

    def _layered_stepper(
        self,
        optimizer: OptimizerSpec,
        network: Network,
        k: int,
        module: nn.Module,
        noise: int,
        capturable: bool,
    ) -> Stepper:
        """Return the step of run `k`, whose optimizer has a parameter for each weight and bias."""
        one = slice(k, k + 1)
        images, parameters, gradient = self._images[one], self.parameters[one], self._gradients[one]
        evaluate: Callable[[Tensor], Tensor] | None = None
        if needs_closure(optimizer):
            alone = network.runs([module], [noise], parameters, gradient, images.shape[1])
            log_likelihood = images.new_empty(1, images.shape[1], 1)

            def evaluate(labels: Tensor) -> Tensor:
                alone.gradient(images, labels[one], log_likelihood)
                return -log_likelihood.mean()

        return LayeredRun(
            optimizer,
            network.layout.views(parameters[0]),
            network.layout.views(gradient[0]),
            self._optimizer_generators(k),
            evaluate,
            capturable=capturable,
        )

    def _evaluate(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return the correctness of every test image (K, n_test), and mean test losses (K,)."""
        stack, images, labels = len(self._runs), self._data.test_images, self._data.test_labels
        correct, losses = [], []
        # a copy, also of floats, as the images are mapped from a file that all workers share; one
        # for all chunks, because the pages of a new one would be new too
        copied = self.parameters.new_empty(EVALUATION_CHUNK, images.shape[1])
        for chunk, truth in zip(
            torch.split(images, EVALUATION_CHUNK),
            torch.split(labels, EVALUATION_CHUNK),
            strict=True,
        ):
            pixels = copied[: len(chunk)]
            self._data.to_pixels(chunk, pixels)
            logits = self._logits(pixels.expand(stack, -1, -1))
            correct.append(logits.argmax(-1) == truth)
            log_probability = logits.log_softmax(-1)
            target = truth.expand(stack, -1).unsqueeze(-1)
            likelihood = log_probability.gather(-1, target)
            if likelihood.device.type == "mps":  # has no float64
                likelihood = likelihood.cpu()
            losses.append(-likelihood.sum(dim=(1, 2), dtype=torch.float64))
        mean = torch.stack(losses).sum(0) / len(images)
        return torch.cat(correct, dim=1).cpu().numpy(), mean.cpu().numpy()


def _chunk_of(workload: Workload, optimizer: OptimizerSpec) -> int:
    """Return the number of images in a chunk; a closure needs the whole batch."""
    return workload.batch_size if needs_closure(optimizer) else _chunk(workload.batch_size)


def _chunk(batch_size: int) -> int:
    """Return the largest divisor of a batch size that is at most :data:`MOST_AT_ONCE`.

    If it is less than :data:`LEAST_AT_ONCE`, return the batch size itself.
    """
    sizes = range(1, min(batch_size, MOST_AT_ONCE) + 1)
    largest = next(size for size in reversed(sizes) if batch_size % size == 0)
    return largest if largest >= min(LEAST_AT_ONCE, batch_size) else batch_size


def _sampled(
    rates: NDArray[np.float64] | None, updates: int
) -> tuple[tuple[int, float], ...] | None:
    """Return evenly spaced learning rates of the first `updates`, with their update numbers."""
    if rates is None:
        return None
    places = np.unique(np.linspace(0, len(rates) - 1, MOST_RATES).round().astype(int))
    return tuple((int(i) + 1, float(rates[i])) for i in places if i < updates)


def _first_not_finite(losses: Sequence[float], start: int, end: int) -> int | None:
    """Return the update of the first loss that is not finite; the last loss is that after `end`."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return min(start + int(bad[0]) + 1, end) if len(bad) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
