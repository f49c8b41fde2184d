"""Multilayer perceptron with its gradient in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bench.networks.layout import FlatLayout, aligned_empty
from bench.networks.module import Runs

#: Gradient of ReLU, found once: the attributes of torch.ops take time.
_relu_gradient = torch.ops.aten.threshold_backward.grad_input


@dataclass(frozen=True)
class Layer:
    """Views of the parameters of one linear layer: `weight` (K, out, in), `bias` (K, 1, out)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class MLP:
    """Linear layers with ReLU between them; the output is logits.

    `sizes` are numbers of units, input first: (784, 100, 10) has 79,510 weights and biases.
    """

    sizes: tuple[int, ...]

    def module(self) -> nn.Sequential:
        """Return a new torch module, initialised with torch's global generator."""
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
        """Return the closed form; its only state is `parameters`, and it draws no random number."""
        return Runs(
            gradient=CrossEntropyGradient(self, parameters, gradient, batch_size),
            logits=partial(self.logits, self.layers(parameters)),
        )

    def layers(self, flat: Tensor) -> tuple[Layer, ...]:
        """Return views into `flat` (K, P), in the order of ``module().parameters()``."""
        views = self.layout.views(flat)
        return tuple(
            Layer(weight=weight, bias=bias.unsqueeze(1))
            for weight, bias in zip(views[::2], views[1::2], strict=True)
        )

    def logits(self, layers: tuple[Layer, ...], inputs: Tensor) -> Tensor:
        """Compute logits (K, B, classes) of `inputs` (K, B, D)."""
        for i, layer in enumerate(layers):
            shape = (*inputs.shape[:2], layer.weight.shape[1])
            outputs = aligned_empty(layer.weight, shape)
            torch.baddbmm(layer.bias, inputs, layer.weight.mT, out=outputs)
            inputs = outputs.relu_() if i < len(layers) - 1 else outputs
        return inputs

    def _layer_sizes(self) -> Iterator[tuple[int, int]]:
        return zip(self.sizes[:-1], self.sizes[1:], strict=True)


class CrossEntropyGradient:
    """Mean cross entropy over a batch and its gradient, for K stacked networks.

    `parameters` and `gradient` are flat tensors (K, P); each call overwrites `gradient`. Buffers
    for intermediate results are allocated once: for these sizes, allocation takes as long as the
    matrix products.
    """

    def __init__(self, network: MLP, parameters: Tensor, gradient: Tensor, batch_size: int) -> None:
        layers = network.layers(parameters)
        self._biases = [layer.bias for layer in layers]
        self._weights = [layer.weight for layer in layers]
        self._weights_transposed = [layer.weight.mT for layer in layers]
        self._gradients = network.layers(gradient)
        stack = len(parameters)
        self._outputs = [
            aligned_empty(parameters, (stack, batch_size, n_out)) for n_out in network.sizes[1:]
        ]
        self._deltas = [aligned_empty(parameters, (*x.shape,)) for x in self._outputs]
        self._deltas_transposed = [delta.mT for delta in self._deltas]
        self._log_probability = parameters.new_empty(self._outputs[-1].shape)
        self._minus_one = parameters.new_full((stack, batch_size, 1), -1.0)
        self._share = parameters.new_tensor(1 / batch_size)

    def __call__(self, inputs: Tensor, labels: Tensor, log_likelihood: Tensor) -> None:
        """Compute the gradient, and the log-likelihood of each image before the update.

        `inputs` are images, float (K, B, D); `labels` are classes, int64 (K, B, 1). The
        log-probabilities of the labels, in nats, overwrite `log_likelihood`, float (K, B, 1).
        """
        self._forward(inputs)
        torch._log_softmax(self._outputs[-1], -1, False, out=self._log_probability)
        torch.gather(self._log_probability, -1, labels, out=log_likelihood)
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
        delta.scatter_add_(-1, labels, self._minus_one).mul_(self._share)
        for i in reversed(range(len(self._outputs))):
            below = self._outputs[i - 1] if i else inputs
            torch.bmm(self._deltas_transposed[i], below, out=self._gradients[i].weight)
            torch.sum(delta, 1, keepdim=True, out=self._gradients[i].bias)
            if i:
                delta = torch.bmm(delta, self._weights[i], out=self._deltas[i - 1])
                # one kernel; multiplication by a mask would also convert types
                _relu_gradient(delta, below, 0, grad_input=delta)
