"""Train a stack of runs that differ only in their seed.

The workload is the tutorial's: pixels are byte / 255, cross entropy, one optimizer step per batch,
a fresh permutation of the training images in every epoch. A seed gives four random streams: one
for the initial weights, one for the order of the images, one for networks that draw random numbers
while they train, and one for optimizers that do. Which optimizer it is enters none of them, so runs
of one seed are paired, and the hashes in :class:`TrainedRun` prove it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.networks.build import Network, make_network
from bench.networks.mlp import MLP
from bench.optimizers.build import build, is_recordable, is_users, needs_closure
from bench.optimizers.elementwise import acts_elementwise
from bench.optimizers.schedules import learning_rates
from bench.optimizers.trial import rate_groups
from bench.spec.generator_state import GeneratorState
from bench.spec.model import OptimizerSpec, Workload
from bench.training.cuda_graphs import can_record, own_stream
from bench.training.device_data import DeviceData
from bench.training.loop import Batches, RecordedUpdates, Step, UpdatesInPython
from bench.training.seeding import orders, starts, stream_seed
from bench.training.steppers import ChangingRates, FlatRuns, LayeredRun, Stepper

#: Test images per forward pass: large enough for the product, small enough for the cache.
EVALUATION_CHUNK = 500
#: A larger batch is taken in chunks of at most so many images ...
MOST_AT_ONCE = 2000
#: ... unless it can only be divided into many that are smaller than this.
LEAST_AT_ONCE = 100
#: Of a schedule, the learning rates of so many updates are kept, evenly spaced.
MOST_RATES = 101


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One run after some of its updates.

    Attributes
    ----------
    iteration
        Updates done.
    correct
        Whether each test image is classified correctly, bool (n_test,).
    test_loss
        Mean cross entropy on the test images in nats; None where not finite.
    train_loss
        Mean loss over the updates since the previous evaluation in nats; None where not finite.
    train_seconds
        Seconds of training so far, evaluations left out, shared out over the stack.
    """

    iteration: int
    correct: NDArray[np.bool_]
    test_loss: float | None
    train_loss: float | None
    train_seconds: float

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that are classified correctly."""
        return int(self.correct.sum()) / len(self.correct)


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """One run of a stack, finished.

    Attributes
    ----------
    seed
        The seed of the run.
    initial_weights_sha256, data_order_sha256
        Hashes of what the seed decided: float32 weights, and int32 indices of all images used.
    evaluations
        In the order of their iterations; a diverged run ends with the one at which it was found.
    diverged_at
        The first update, counted from 1, whose loss was not finite or after which the test loss
        was not; None if there was none.
    train_seconds, eval_seconds
        Wall time of this run's stack, divided by the number of runs in it.
    learning_rates
        (update, learning rate) of :data:`MOST_RATES` updates, or of all where there are fewer, up
        to the last that was done; None without a schedule.
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
    is_recorded: bool = True,
) -> tuple[TrainedRun, ...]:
    """Train one run for each seed, as one stack, on the device that holds `data`.

    Parameters
    ----------
    is_recorded
        Whether updates are captured and replayed, where the device can
        (:mod:`bench.training.cuda_graphs`).
    """
    with own_stream(data.device):
        stack = Stack(workload, optimizer, seeds, data, is_recorded=is_recorded)
        try:
            for start, end in pairwise((0, *workload.eval_iterations)):
                stack.advance(start, end)
                if stack.all_diverged:
                    break
            return stack.finish()
        finally:
            stack.close()


def try_network(workload: Workload, data: DeviceData) -> None:
    """Train the network of `workload` for one update.

    Raises
    ------
    SpecError
        If the network is a user's and cannot be trained.
    """
    chunk = _chunk(workload.batch_size)
    make_network(
        workload.network, data.image_shape, data.n_classes, batch_size=chunk, device=data.device
    )


def bytes_per_run(workload: Workload, optimizer: OptimizerSpec, data: DeviceData) -> int:
    """Memory that each run of a stack needs on a device, roughly and rather too much.

    Weights, gradient, up to four of their size that an optimizer keeps, and as many for a moment;
    a batch as bytes and floats; the order of the images; activations of an evaluation.
    """
    chunk = _chunk_of(workload, optimizer)
    network = make_network(workload.network, data.image_shape, data.n_classes, batch_size=chunk)
    n_pixels, number = data.train_images.shape[1], torch.finfo(torch.get_default_dtype()).bits // 8
    images = chunk * n_pixels * (number + data.train_images.itemsize)
    order = workload.iterations * (workload.batch_size * 4 + number)
    return number * (10 * network.layout.size + 3 * EVALUATION_CHUNK * n_pixels) + images + order


@dataclass
class _Progress:
    """What is known of one run of a stack while it trains."""

    seed: int
    weights_sha256: str
    order_sha256: str
    evaluations: list[Evaluation] = field(default_factory=list)
    diverged_at: int | None = None


class Stack:
    """K runs in training, and buffers for a batch of each.

    One optimizer steps all their parameters where it acts elementwise; else each run has its own.

    Attributes
    ----------
    parameters
        The current weights in the network's layout, (K, P): one row for each seed.
    """

    def __init__(
        self,
        workload: Workload,
        optimizer: OptimizerSpec,
        seeds: Sequence[int],
        data: DeviceData,
        *,
        is_recorded: bool = True,
    ) -> None:
        started = time.perf_counter()
        self._data = data
        n_images, iterations = len(data.train_images), workload.iterations
        chunk = _chunk_of(workload, optimizer)
        network = make_network(
            workload.network, data.image_shape, data.n_classes, batch_size=chunk, device=data.device
        )
        start = starts(network, seeds)
        order = orders(n_images, workload.batch_size, iterations, seeds)
        self._runs = [
            _Progress(*run) for run in zip(seeds, start.sha256, order.sha256, strict=True)
        ]
        parameter = torch.nn.Parameter(start.weights.to(data.device, copy=True))
        parameter.grad = torch.zeros_like(parameter)
        self.parameters = parameter.detach()
        self._gradients = parameter.grad
        noise = [stream_seed("network", seed) for seed in seeds]
        runs = network.runs(start.modules, noise, self.parameters, self._gradients, chunk)
        self._logits = runs.logits
        batches = Batches(data, chunk, self._gradients, runs.gradient)
        self._images = batches.images
        # autograd is not recorded, nor what calls back into Python
        is_recorded = is_recorded and isinstance(network, MLP) and not needs_closure(optimizer)
        is_recorded = is_recorded and can_record(data.device)
        recordable = is_recorded and is_recordable(optimizer, data.device)
        if acts_elementwise(optimizer):
            self._steppers = [self._flat_stepper(optimizer, parameter, recordable)]
        else:
            self._steppers = [
                self._layered_stepper(optimizer, network, k, module, noise[k], recordable)
                for k, module in enumerate(start.modules)
            ]
        changing = self._changing_rates(optimizer, iterations)
        self._rates = changing.rates if changing else None
        steps: list[Step] = [stepper.step for stepper in self._steppers]
        if changing and not recordable:
            steps.insert(0, changing.setter())
        self._updates: UpdatesInPython | RecordedUpdates
        if not is_recorded:
            self._updates = UpdatesInPython(data, batches, order.rows, steps)
        elif recordable:
            self._updates = RecordedUpdates(data, batches, order.rows, steps, changing=changing)
        else:
            self._updates = RecordedUpdates(data, batches, order.rows, after=steps)
        self._train_seconds = time.perf_counter() - started
        self._eval_seconds = 0.0

    @property
    def all_diverged(self) -> bool:
        """Whether further updates would be of no use."""
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
        """The runs, in the order of the seeds; at least one evaluation must have been made."""
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
        """The weights that are evaluated in place, where an optimizer trains others."""
        for stepper in self._steppers:
            stepper.set_mode("eval")
        yield
        for stepper in self._steppers:
            stepper.set_mode("train")

    def close(self) -> None:
        """Let go of what is kept on the device beside tensors."""
        self._updates.close()

    def _flat_stepper(
        self, optimizer: OptimizerSpec, parameter: nn.Parameter, recordable: bool
    ) -> Stepper:
        """What follows the gradient of all runs, where one step serves them."""
        if is_users(optimizer):  # which may do what a run with layers copes with: all are one layer
            weights, gradients = self.parameters.view(-1), self._gradients.view(-1)
            return LayeredRun(optimizer, [weights], [gradients], self._optimizer_stream(0))
        return FlatRuns(build(optimizer, parameter, recordable=recordable))

    def _optimizer_stream(self, k: int) -> GeneratorState:
        """What the optimizer of run `k` draws its random numbers from."""
        return GeneratorState(stream_seed("optimizer", self._runs[k].seed), self._data.device)

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
        recordable: bool,
    ) -> Stepper:
        """What follows the gradient of run `k`, whose optimizer sees its layers."""
        one = slice(k, k + 1)
        images, parameters, gradient = self._images[one], self.parameters[one], self._gradients[one]
        evaluate: Callable[[Tensor], Tensor] | None = None
        if needs_closure(optimizer):
            alone = network.runs([module], [noise], parameters, gradient, images.shape[1])
            log_likelihood = images.new_empty(1)

            def evaluate(labels: Tensor) -> Tensor:
                alone.gradient(images, labels[one], log_likelihood)
                return -log_likelihood[0]

        return LayeredRun(
            optimizer,
            network.layout.views(parameters[0]),
            network.layout.views(gradient[0]),
            self._optimizer_stream(k),
            evaluate,
            recordable=recordable,
        )

    def _evaluate(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Correctness of every test image (K, n_test), and mean test losses (K,)."""
        stack, images, labels = len(self._runs), self._data.test_images, self._data.test_labels
        correct, losses = [], []
        for chunk, truth in zip(
            torch.split(images, EVALUATION_CHUNK),
            torch.split(labels, EVALUATION_CHUNK),
            strict=True,
        ):
            # a copy, also of floats: they are mapped from a file that all workers share
            pixels = self.parameters.new_empty(chunk.shape)
            self._data.to_pixels(chunk, pixels)
            logits = self._logits(pixels.expand(stack, -1, -1))
            correct.append(logits.argmax(-1) == truth)
            log_probability = logits.log_softmax(-1)
            target = truth.expand(stack, -1).unsqueeze(-1)
            likelihood = log_probability.gather(-1, target)
            if likelihood.device.type == "mps":  # which has no float64
                likelihood = likelihood.cpu()
            losses.append(-likelihood.sum(dim=(1, 2), dtype=torch.float64))
        mean = torch.stack(losses).sum(0) / len(images)
        return torch.cat(correct, dim=1).cpu().numpy(), mean.cpu().numpy()


def _chunk_of(workload: Workload, optimizer: OptimizerSpec) -> int:
    """Images of a run at a time; a closure needs the whole batch."""
    return workload.batch_size if needs_closure(optimizer) else _chunk(workload.batch_size)


def _chunk(batch_size: int) -> int:
    """The largest part of a batch, at most :data:`MOST_AT_ONCE`, that divides it."""
    sizes = range(1, min(batch_size, MOST_AT_ONCE) + 1)
    largest = next(size for size in reversed(sizes) if batch_size % size == 0)
    return largest if largest >= min(LEAST_AT_ONCE, batch_size) else batch_size


def _sampled(
    rates: NDArray[np.float64] | None, updates: int
) -> tuple[tuple[int, float], ...] | None:
    """Some of the learning rates of the first `updates`, with the number of each update."""
    if rates is None:
        return None
    places = np.unique(np.linspace(0, len(rates) - 1, MOST_RATES).round().astype(int))
    return tuple((int(i) + 1, float(rates[i])) for i in places if i < updates)


def _first_not_finite(losses: Sequence[float], start: int, end: int) -> int | None:
    """The update of the first loss that is not finite; the last loss is that after `end`."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return min(start + int(bad[0]) + 1, end) if len(bad) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
