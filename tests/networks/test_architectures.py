from __future__ import annotations

import pytest

from bench.errors import SpecError
from bench.networks.names import resolve_network


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mlp", "mlp"),
        ("mlp[]", "mlp"),
        ("mlp[hidden=100]", "mlp"),
        (" mlp[ hidden = 256 ] ", "mlp[hidden=256]"),
        ("mlp[hidden=128x064]", "mlp[hidden=128x64]"),
        ("logistic", "logistic"),
        ("lenet", "lenet"),
    ],
)
def test_canonical_names_of_networks(text: str, name: str) -> None:
    assert resolve_network(text) == name
    assert resolve_network(name) == name


def test_the_name_of_a_user_defined_network_has_a_hash() -> None:
    name = resolve_network("_user_networks:perceptron")
    assert name.startswith("_user_networks:perceptron@")
    assert resolve_network(name) == name


HIDDEN = "hidden must be 1 to 10 whole numbers from 1 to 10000 with x between them, such as 128x64"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a network is written name, name[hidden=128x64] or module:object, got ''"),
        ("lenet5", "unknown network 'lenet5': did you mean lenet?"),
        ("cnn", "unknown network 'cnn': choose from mlp, logistic, lenet or write your own as"),
        ("lenet[hidden=3]", "network 'lenet[hidden=3]': lenet takes no options"),
        ("mlp[hiden=3]", "mlp has no option 'hiden': did you mean hidden?"),
        ("mlp[256]", "the only option of mlp is written hidden=256 or hidden=128x64"),
        ("mlp[hidden=3,hidden=4]", "the only option of mlp is written"),
        ("mlp[hidden=]", f"network 'mlp[hidden=]': {HIDDEN}, got ''"),
        ("mlp[hidden=0]", f"{HIDDEN}, got '0'"),
        ("mlp[hidden=3x]", f"{HIDDEN}, got '3x'"),
        ("mlp[hidden=10001]", f"{HIDDEN}, got '10001'"),
        ("mlp[hidden=²]", f"{HIDDEN}, got '²'"),
        ("mlp[hidden=1x1x1x1x1x1x1x1x1x1x1]", HIDDEN),
        ("mypkg:f[hidden=3]", "a user-defined network is written module:object"),
        ("_user_networks:perceptrom", "did you mean perceptron?"),
        ("no_such_module_here:f", "cannot import no_such_module_here"),
    ],
)
def test_invalid_names(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve_network(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
