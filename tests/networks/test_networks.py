from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.errors import SpecError
from bench.networks.build import Network, make_network
from bench.networks.layout import FlatLayout
from bench.networks.mlp import MLP, CrossEntropyGradient


@pytest.mark.parametrize("sizes", [(784, 100, 10), (7, 5, 4, 3), (6, 3)])
@pytest.mark.parametrize("stack", [1, 3])
def test_the_closed_form_equals_autograd(sizes: tuple[int, ...], stack: int) -> None:
    generator = torch.Generator().manual_seed(stack)
    network, batch = MLP(sizes), 8
    modules = [network.module().double() for _ in range(stack)]
    parameters = torch.stack([network.layout.pack([*m.parameters()]) for m in modules])
    gradient = torch.full_like(parameters, torch.nan)
    inputs = torch.randn(stack, batch, sizes[0], generator=generator, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (stack, batch, 1), generator=generator)
    log_likelihood = parameters.new_empty(labels.shape)

    compute = CrossEntropyGradient(network, parameters, gradient, batch)
    compute(inputs, labels, log_likelihood)

    for k, module in enumerate(modules):
        losses = nn.functional.cross_entropy(module(inputs[k]), labels[k, :, 0], reduction="none")
        losses.mean().backward()
        expected = torch.cat([p.grad.flatten() for p in module.parameters()])
        likelihood = log_likelihood[k, :, 0]
        torch.testing.assert_close(-likelihood, losses.detach(), rtol=1e-10, atol=1e-10)
        found = network.layout.unpadded(gradient[k])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_logits_equal_those_of_the_module() -> None:
    network = MLP((20, 11, 3))
    modules = [network.module() for _ in range(2)]
    inputs = torch.randn(2, 5, 20)
    flat = torch.stack([network.layout.pack([*module.parameters()]) for module in modules])
    logits = network.logits(network.layers(flat), inputs)
    for k, module in enumerate(modules):
        torch.testing.assert_close(logits[k], module(inputs[k]))


def test_layers_are_views_of_the_flat_parameters() -> None:
    network = MLP((4, 3, 2))
    flat = torch.zeros(2, network.layout.size)
    for number, layer in enumerate(network.layers(flat), start=1):
        layer.weight.fill_(number)
        layer.bias.fill_(-number)
    expected = [1.0] * 12 + [-1.0] * 3 + [2.0] * 6 + [-2.0] * 2
    assert network.layout.unpadded(flat)[1].tolist() == expected
    assert flat.count_nonzero() == 2 * len(expected)


@pytest.mark.parametrize("network", [MLP((5, 7, 3)), make_network("lenet", (1, 28, 28), 10)])
def test_every_row_and_parameter_starts_at_64_bytes(network: Network) -> None:
    parameters = [*network.module().parameters()]
    flat = torch.stack([network.layout.pack(parameters)] * 3)
    for row in flat:
        views = network.layout.views(row)
        assert all(view.data_ptr() % 64 == 0 for view in views)
        assert all(map(torch.equal, views, parameters))
    weights = torch.cat([p.detach().flatten() for p in parameters])
    assert torch.equal(network.layout.unpadded(flat)[2], weights)


def test_a_layout_has_room_for_scalars_and_for_nothing() -> None:
    parameters = [torch.tensor(3.0), torch.empty(0, 2), torch.tensor([1.0, 2.0])]
    layout = FlatLayout(tuple(parameter.shape for parameter in parameters))
    flat = layout.pack(parameters)
    assert all(map(torch.equal, layout.views(flat), parameters))
    assert layout.unpadded(torch.stack([flat, flat])).tolist() == [[3.0, 1.0, 2.0]] * 2


def test_the_network_of_the_tutorial() -> None:
    assert make_network("mlp", (1, 28, 28), 10) == MLP((784, 100, 10))
    with pytest.raises(SpecError, match="unknown network 'cnn': choose from mlp, logistic, lenet"):
        make_network("cnn", (1, 28, 28), 10)
