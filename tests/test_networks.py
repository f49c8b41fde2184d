from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.errors import SpecError
from bench.networks import MLP, CrossEntropyGradient, flatten, make_network


@pytest.mark.parametrize("sizes", [(784, 100, 10), (7, 5, 4, 3), (6, 3)])
@pytest.mark.parametrize("stack", [1, 3])
def test_the_closed_form_is_autograds_gradient(sizes: tuple[int, ...], stack: int) -> None:
    generator = torch.Generator().manual_seed(stack)
    network, batch = MLP(sizes), 8
    modules = [network.module().double() for _ in range(stack)]
    parameters = torch.stack([flatten(module) for module in modules])
    gradient = torch.full_like(parameters, torch.nan)
    inputs = torch.randn(stack, batch, sizes[0], generator=generator, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (stack, batch, 1), generator=generator)
    log_likelihood = parameters.new_empty(stack)

    compute = CrossEntropyGradient(network, parameters, gradient, batch)
    compute(inputs, labels, log_likelihood)

    for k, module in enumerate(modules):
        loss = nn.functional.cross_entropy(module(inputs[k]), labels[k, :, 0])
        loss.backward()
        expected = torch.cat([p.grad.flatten() for p in module.parameters()])
        torch.testing.assert_close(-log_likelihood[k], loss.detach(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradient[k], expected, rtol=1e-10, atol=1e-10)


def test_logits_are_the_modules() -> None:
    network = MLP((20, 11, 3))
    modules = [network.module() for _ in range(2)]
    inputs = torch.randn(2, 5, 20)
    logits = network.logits(
        network.layers(torch.stack([flatten(module) for module in modules])), inputs
    )
    for k, module in enumerate(modules):
        torch.testing.assert_close(logits[k], module(inputs[k]))


def test_layers_are_views_of_the_flat_parameters() -> None:
    network = MLP((4, 3, 2))
    flat = torch.zeros(2, network.n_parameters)
    for number, layer in enumerate(network.layers(flat), start=1):
        layer.weight.fill_(number)
        layer.bias.fill_(-number)
    assert network.n_parameters == 3 * 4 + 3 + 2 * 3 + 2
    assert flat[1].tolist() == [1.0] * 12 + [-1.0] * 3 + [2.0] * 6 + [-2.0] * 2


def test_the_tutorials_network() -> None:
    assert make_network("mlp", (1, 28, 28), 10) == MLP((784, 100, 10))
    with pytest.raises(SpecError, match="unknown network 'cnn': choose from mlp, logistic, lenet"):
        make_network("cnn", (1, 28, 28), 10)
