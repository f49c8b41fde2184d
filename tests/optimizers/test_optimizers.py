from __future__ import annotations

from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from conftest import names, resolve_all, resolve_one

from bench.errors import SpecError
from bench.optimizers.build import build
from bench.optimizers.catalogue import CATALOGUE, DEFAULT_OPTIMIZERS
from bench.optimizers.signature import IMPLEMENTATION_FLAGS, torch_arguments
from bench.optimizers.sources import available_arguments
from bench.spec.model import SweepSpec


def test_the_catalogue_holds_the_tutorials_eight_settings() -> None:
    expected = {
        "sgd": torch.optim.SGD([torch.zeros(1)], lr=0.1),
        "momentum": torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9),
        "nesterov": torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9, nesterov=True),
        "adam": torch.optim.Adam([torch.zeros(1)]),
        "adagrad": torch.optim.Adagrad([torch.zeros(1)]),
        "adadelta": torch.optim.Adadelta([torch.zeros(1)]),
        "adamax": torch.optim.Adamax([torch.zeros(1)]),
        "rmsprop": torch.optim.RMSprop([torch.zeros(1)]),
    }
    assert list(DEFAULT_OPTIMIZERS) == list(expected)
    for spec in resolve_all(",".join(DEFAULT_OPTIMIZERS)):
        built = build(spec, torch.nn.Parameter(torch.zeros(1)))
        assert type(built) is type(expected[spec.name])
        for key, value in expected[spec.name].defaults.items():
            if key not in IMPLEMENTATION_FLAGS:
                assert built.defaults[key] == value, (spec.name, key)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("adam[lr=0.001]", "adam"),
        ("adam[lr=1]", "adam[lr=1.0]"),
        ("adam[eps=1e-7,lr=0.003]", "adam[eps=1e-07,lr=0.003]"),
        ("sgd[momentum=0]", "sgd"),
        ("sgd[weight_decay=1]", "sgd[weight_decay=1.0]"),
        ("momentum[nesterov=False]", "momentum"),
        ("adam[betas=[0.9,0.99]]", "adam[betas=(0.9,0.99)]"),
    ],
)
def test_canonical_names_of_variants(text: str, name: str) -> None:
    spec = resolve_one(text)
    assert spec.name == name
    assert resolve_one(spec.name) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adma", r"unknown optimizer 'adma': did you mean adam"),
        ("lion", r"unknown optimizer 'lion': choose from sgd, momentum"),
        ("adam[learning_rate=1]", r"adam has no hyperparameter 'learning_rate'"),
        ("adam[beta=1]", r"no hyperparameter 'beta': did you mean betas"),
        ("adam[params=1]", r"no hyperparameter 'params'"),
        ("adam[lr=fast]", r"lr must be a number \(default 0.001\), got 'fast'"),
        ("adam[lr=True]", r"lr must be a number"),
        ("adam[foreach=hello]", r"foreach must be True, False or None"),
        (f"adam[lr={10**400}]", r"lr in .* must be a finite number"),
        ("adam[amsgrad=1]", r"amsgrad must be True or False"),
        ("adam[betas=0.9]", r"betas must be a tuple of 2"),
        ("adam[betas=(0.9,0.99,0.999)]", r"betas must be a tuple of 2"),
        ("adam[betas=(0.9,x)]", r"betas in .* got '\(0.9,x\)'"),
        ("adam[betas=(0.9,'x')]", r"betas must be a number"),
        ("sgd[lr=-1]", r"torch rejects these settings: Invalid learning rate"),
        ("nesterov[momentum=0]", r"torch rejects these settings: Nesterov"),
        ("sgd[fused=True,foreach=True]", r"torch rejects these settings"),
    ],
)
def test_invalid_variants(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        resolve_one(text)
    assert "\n" not in str(caught.value)


def test_the_same_variant_with_two_names_is_an_error() -> None:
    with pytest.raises(SpecError, match=r"'momentum' and 'sgd\[momentum=0.9\]' are both"):
        SweepSpec(name="x", optimizers=resolve_all("momentum,sgd[momentum=0.9]"), seeds=(0,))


def test_two_variants_of_one_optimizer() -> None:
    assert names(resolve_all("adam,adam[lr=0.01]")) == ["adam", "adam[lr=0.01]"]


@pytest.mark.parametrize(
    ("text", "fused", "foreach"),
    [
        ("sgd", None, False),
        ("momentum", True, None),
        ("adadelta", None, False),
        ("sgd[fused=False]", False, None),
        ("adam[foreach=True]", None, True),
    ],
)
def test_the_implementation_of_a_step(text: str, fused: bool | None, foreach: bool | None) -> None:
    built = build(resolve_one(text), torch.nn.Parameter(torch.zeros(1)))
    chosen = [built.defaults.get(flag) for flag in ("fused", "foreach")]
    assert chosen == [fused, foreach]


@pytest.fixture
def no_arguments_cached() -> Iterator[None]:
    available_arguments.cache_clear()
    yield
    available_arguments.cache_clear()


@pytest.mark.usefixtures("no_arguments_cached")
class TestArgumentsReadFromTheSource:
    @pytest.mark.parametrize("algorithm", sorted({e.algorithm for e in CATALOGUE.values()}))
    def test_they_are_those_of_the_class(
        self, algorithm: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bench.optimizers.sources.torch_arguments", None)
        expected = torch_arguments(algorithm) if hasattr(torch.optim, algorithm) else None
        assert available_arguments(algorithm) == expected

    def test_of_a_class_that_torch_lacks(self) -> None:
        assert available_arguments("Lion") is None

    @pytest.mark.parametrize(
        "adam",
        [
            None,
            "def Adam(:",
            "Adam = None",
            "class Adam: pass",
            "class Adam:\n    def __init__(self, params, lr=LR): pass",
            "class Adam:\n    def __init__(self, params, lr=rate()): pass",
        ],
        ids=["missing", "syntax", "no class", "no constructor", "no constant", "no literal"],
    )
    def test_torch_is_asked_where_its_source_is_not_as_expected(
        self, adam: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "optim").mkdir()
        (tmp_path / "optim/__init__.py").write_text("from torch.optim.adam import Adam as Adam")
        if adam is not None:
            (tmp_path / "optim/adam.py").write_text(adam)
        spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr("bench.optimizers.sources.find_spec", lambda _: spec)
        assert available_arguments("Adam") == torch_arguments("Adam")
