"""The network as a function of a flat parameter vector, and its gradient.

Linear layers with ReLU between them have their gradient in closed form, whatever their number;
every other network is a torch module and goes through autograd (:mod:`bench.modules`).

The parameters of K runs that differ only in their seed are one tensor of shape (K, P); every
layer's weight and bias is a view into it, and so is the gradient. One elementwise optimizer step
over the flat tensor then serves all K runs and all layers. With K = 1 a batched product costs
what a plain one does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.architectures import parse_architecture
from bench.errors import SpecError
from bench.external import is_external, load_external
from bench.layout import FlatLayout
from bench.modules import ModuleNetwork, Runs, trainable, with_accepted

#: Two poolings and an unpadded convolution leave one pixel of so many.
LENET_MIN_PIXELS = 12


class Network(Protocol):
    """What training needs of a network."""

    @property
    def layout(self) -> FlatLayout:
        """Where the trained parameters lie in a row of the flat tensor."""

    def module(self) -> nn.Module:
        """The network as a torch module, freshly initialised from torch's generator."""

    def runs(
        self,
        modules: Sequence[nn.Module],
        seeds: Sequence[int],
        parameters: Tensor,
        gradient: Tensor,
        batch_size: int,
        /,
    ) -> Runs:
        """What K runs compute, from their modules and the seeds of their random numbers.

        `parameters` (K, P) hold the weights of the modules, and `gradient` is overwritten.
        """


@dataclass(frozen=True)
class Layer:
    """Views of one linear layer: `weight` (K, out, in) and `bias` (K, 1, out)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class MLP:
    """Linear layers with ReLU between them; the output is logits.

    Attributes
    ----------
    sizes
        Numbers of units, input first: (784, 100, 10) has 79,510 weights and biases.
    """

    sizes: tuple[int, ...]

    def module(self) -> nn.Sequential:
        """The same network as a torch module, freshly initialised from torch's generator."""
        linear = [nn.Linear(n_in, n_out) for n_in, n_out in self._layer_sizes()]
        between = [m for layer in linear[:-1] for m in (layer, nn.ReLU())]
        return nn.Sequential(*between, linear[-1])

    @property
    def layout(self) -> FlatLayout:
        """Weight and bias of every layer, in the order of ``module().parameters()``."""
        return FlatLayout(
            tuple(
                torch.Size(shape)
                for n_in, n_out in self._layer_sizes()
                for shape in ((n_out, n_in), (n_out,))
            )
        )

    def runs(
        self,
        _modules: Sequence[nn.Module],
        _seeds: Sequence[int],
        parameters: Tensor,
        gradient: Tensor,
        batch_size: int,
    ) -> Runs:
        """The closed form; it has no state but `parameters` and draws no random numbers."""
        return Runs(
            gradient=CrossEntropyGradient(self, parameters, gradient, batch_size),
            logits=partial(self.logits, self.layers(parameters)),
        )

    def layers(self, flat: Tensor) -> tuple[Layer, ...]:
        """Views into `flat` (K, P), in the order of ``module().parameters()``."""
        views = self.layout.views(flat)
        return tuple(
            Layer(weight=weight, bias=bias.unsqueeze(1))
            for weight, bias in zip(views[::2], views[1::2], strict=True)
        )

    def logits(self, layers: tuple[Layer, ...], inputs: Tensor) -> Tensor:
        """Forward pass of `inputs` (K, B, D) to logits (K, B, classes)."""
        *hidden, last = layers
        for layer in hidden:
            inputs = torch.baddbmm(layer.bias, inputs, layer.weight.mT).relu_()
        return torch.baddbmm(last.bias, inputs, last.weight.mT)

    def _layer_sizes(self) -> Iterator[tuple[int, int]]:
        return zip(self.sizes[:-1], self.sizes[1:], strict=True)


def has_closed_form(name: str) -> bool:
    """Whether a stack of the network called `name` is a batched product: others run in turn."""
    return not is_external(name) and parse_architecture(name).name != "lenet"


def make_network(
    name: str,
    image_shape: tuple[int, int, int],
    n_classes: int,
    *,
    batch_size: int = 2,
    device: torch.device | None = None,
) -> Network:
    """The network called `name` for images of this shape (channels, height, width).

    Your own network is tried out with one update of `batch_size` random images on `device`, by
    default the CPU.

    Raises
    ------
    SpecError
        If there is no network of that name, or it does not work with these images.
    """
    if is_external(name):
        where = device or torch.device("cpu")
        dtype = torch.get_default_dtype()
        return _external(name, image_shape, n_classes, batch_size, where, dtype)
    architecture = parse_architecture(name)
    if architecture.name == "lenet":
        return _lenet(name, image_shape, n_classes)
    return MLP((math.prod(image_shape), *architecture.hidden, n_classes))


@cache
def _external(
    name: str,
    image_shape: tuple[int, int, int],
    n_classes: int,
    batch_size: int,
    device: torch.device,
    _default_dtype: torch.dtype,
) -> ModuleNetwork:
    """A user's network, tried out once in this process."""
    factory = load_external(name, "network").value
    if isinstance(factory, nn.Module) or not callable(factory):
        raise SpecError(
            f"network {name!r}: it must be a function or a class that makes a torch.nn.Module, "
            f"got an object of {type(factory).__name__}"
        )
    make = with_accepted(factory, image_shape=image_shape, n_classes=n_classes)
    network = ModuleNetwork.of(name, make, image_shape, n_classes)
    network.try_out(batch_size, device)
    return network


def _lenet(name: str, image_shape: tuple[int, int, int], n_classes: int) -> ModuleNetwork:
    """LeNet-5 with ReLU and max pooling; sizes follow the images."""
    channels, height, width = image_shape
    if min(height, width) < LENET_MIN_PIXELS:
        raise SpecError(
            f"network {name!r} needs images of at least {LENET_MIN_PIXELS} x {LENET_MIN_PIXELS} "
            f"pixels, got {height} x {width}"
        )
    pooled = (height // 2 - 4) // 2 * ((width // 2 - 4) // 2)

    def make() -> nn.Sequential:
        return nn.Sequential(
            *(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            nn.Flatten(),
            *(nn.Linear(16 * pooled, 120), nn.ReLU()),
            *(nn.Linear(120, 84), nn.ReLU()),
            nn.Linear(84, n_classes),
        )

    return ModuleNetwork.of(name, make, image_shape, n_classes)


class CrossEntropyGradient:
    """Mean cross entropy over a batch and its gradient, for K stacked networks at once.

    All intermediate results live in buffers that are allocated once: at this size, allocation
    would cost as much as the small products.

    Parameters
    ----------
    network
        The architecture.
    parameters, gradient
        Flat tensors (K, P); each call overwrites `gradient`.
    batch_size
        B, the number of images per call.
    """

    def __init__(self, network: MLP, parameters: Tensor, gradient: Tensor, batch_size: int) -> None:
        layers = network.layers(parameters)
        self._biases = [layer.bias for layer in layers]
        self._weights = [layer.weight for layer in layers]
        self._weights_transposed = [layer.weight.mT for layer in layers]
        self._gradients = network.layers(gradient)
        stack = len(parameters)
        self._outputs = [
            parameters.new_empty(stack, batch_size, n_out) for n_out in network.sizes[1:]
        ]
        self._deltas = [torch.empty_like(output) for output in self._outputs]
        self._deltas_transposed = [delta.mT for delta in self._deltas]
        self._log_probability = torch.empty_like(self._outputs[-1])
        self._label_log_probability = parameters.new_empty(stack, batch_size, 1)
        self._minus_one = parameters.new_full((stack, batch_size, 1), -1.0)

    def __call__(self, inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
        """Overwrite the gradient, and the mean log-likelihood before the update: minus the loss.

        Parameters
        ----------
        inputs
            Images, float (K, B, D).
        labels
            Classes, int64 (K, B, 1).
        log_likelihood
            Float (K,), overwritten: the mean log-probability of the labels, in nats.
        """
        self._forward(inputs)
        torch._log_softmax(self._outputs[-1], -1, False, out=self._log_probability)
        torch.gather(self._log_probability, -1, labels, out=self._label_log_probability)
        torch.mean(self._label_log_probability, (1, 2), out=log_likelihood)
        self._backward(inputs, labels)

    def _forward(self, inputs: Tensor) -> None:
        last = len(self._outputs) - 1
        for i, output in enumerate(self._outputs):
            torch.baddbmm(self._biases[i], inputs, self._weights_transposed[i], out=output)
            if i < last:
                inputs = output.relu_()

    def _backward(self, inputs: Tensor, labels: Tensor) -> None:
        # d(mean cross entropy) / d(logits) = (softmax - one-hot) / B
        delta = torch.exp(self._log_probability, out=self._deltas[-1])
        delta.scatter_add_(-1, labels, self._minus_one).mul_(1 / labels.shape[1])
        for i in reversed(range(len(self._outputs))):
            below = self._outputs[i - 1] if i else inputs
            torch.bmm(self._deltas_transposed[i], below, out=self._gradients[i].weight)
            torch.sum(delta, 1, keepdim=True, out=self._gradients[i].bias)
            if i:
                delta = torch.bmm(delta, self._weights[i], out=self._deltas[i - 1])
                # one kernel; a product with a mask would convert types
                torch.ops.aten.threshold_backward.grad_input(delta, below, 0, grad_input=delta)


def flatten(module: nn.Module) -> Tensor:
    """The trained parameters of `module` as one detached vector (P,), in its own order."""
    return torch.cat([p.detach().reshape(-1) for p in trainable(module)])
