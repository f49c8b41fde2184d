"""Optimizers of the catalogue and user-defined optimizers."""

from __future__ import annotations

import json
import math
import random
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _cases import some
from conftest import DIGITS, resolve_one

from bench.cli import main
from bench.errors import SpecError
from bench.optimizers.catalogue import CATALOGUE
from bench.optimizers.elementwise import acts_elementwise, is_elementwise
from bench.optimizers.resolve import available
from bench.optimizers.schedules import SCHEDULES
from bench.spec.model import Workload
from bench.storage.store import load_runs
from bench.training.device_data import DeviceData
from bench.training.stack import Stack, TrainedRun, train

BRIEF = Workload(iterations=20, eval_every=20)
#: Updates of optimizers of which one takes long; L-BFGS makes 20 iterations in each.
FEW_UPDATES = {"lbfgs": 1, "muon": 3}
OWN = [f"_lion:{name}" for name in ("Lion", "sgd_like", "Extragradient[lr=0.1]", "Rebinding")]


def test_every_optimizer_of_torch_is_in_the_catalogue_or_excluded() -> None:
    public = {
        name
        for name in vars(torch.optim)
        if isinstance(value := getattr(torch.optim, name), type)
        and issubclass(value, torch.optim.Optimizer)
    }
    here = {entry.algorithm for entry in available().values()}
    # the base class of the others, and one that needs sparse gradients
    assert public - here == {"Optimizer", "SparseAdam"}
    assert set(CATALOGUE) - set(available()) <= {"muon"}


@pytest.mark.parametrize("name", available())
def test_elementwise_flags_of_the_catalogue(name: str) -> None:
    assert is_elementwise(resolve_one(name)) == CATALOGUE[name].elementwise


@pytest.mark.parametrize("name", some([*available(), *OWN], 2))
def test_a_stack_equals_single_runs_for_every_optimizer(name: str, few: DeviceData) -> None:
    spec = resolve_one(name)
    workload = Workload(iterations=FEW_UPDATES.get(name, 10), eval_every=20)
    together, again = (train(workload, spec, [1, 2], few) for _ in range(2))
    alone = [train(workload, spec, [seed], few)[0] for seed in (1, 2)]
    (plain,) = train(workload, resolve_one("sgd"), [1], few)
    assert together[0].initial_weights_sha256 == plain.initial_weights_sha256
    assert together[0].data_order_sha256 == plain.data_order_sha256
    for run, same, single in zip(together, again, alone, strict=True):
        assert numbers(run) == numbers(same)
        # batched products round differently; sign steps and line searches amplify this
        assert numbers(run) == pytest.approx(numbers(single), rel=0.02)
        assert all(map(math.isfinite, numbers(run)))
        assert run.diverged_at is None


def test_every_optimizer_is_resumed(tmp_path: Path) -> None:
    """Stored runs are found, and only the new seed is trained."""
    names = ",".join([*available(), *OWN])
    words = [
        *("sweep", "--optimizers", names, "--in-process"),
        *("--iterations", "1", "--eval-every", "1", *DIGITS),
    ]
    places = ["--name", "all", "--results", str(tmp_path), "--no-report", "--quiet"]
    tables = []
    for seeds in ("1", "1", "2"):
        assert main([*words, *places, "--seeds", seeds]) == 0
        tables.append(load_runs(tmp_path / "all").set_index(["optimizer", "seed"]))
    first, again, more = (table["started_at"] for table in tables)
    assert len(first) == len(available()) + len(OWN)
    assert first.equals(again)
    assert len(more) == 2 * len(first)
    assert more[first.index].equals(first)


def numbers(run: TrainedRun) -> list[float]:
    (last,) = run.evaluations
    assert last.test_loss is not None
    assert last.train_loss is not None
    return [last.test_loss, last.train_loss]


def test_the_first_loss_is_that_before_the_update(few: DeviceData) -> None:
    first = [
        train(Workload(iterations=1), resolve_one(name), [4], few)[0].evaluations[0]
        for name in ("sgd", "lbfgs", "_lion:Extragradient[lr=0.1]")
    ]
    assert len({evaluation.train_loss for evaluation in first}) == 1
    assert first[1].test_loss != first[0].test_loss


@pytest.mark.parametrize("name", ["_lion:sgd_like", "_lion:Rebinding"])
def test_separate_layers_equal_the_flat_tensor(name: str, few: DeviceData) -> None:
    flat, layered = (Stack(BRIEF, resolve_one(n), [1, 2], few) for n in ("sgd", name))
    for stack in (flat, layered):
        stack.advance(0, 20)
    torch.testing.assert_close(flat.parameters, layered.parameters, rtol=0, atol=1e-7)


def test_creating_a_stack_does_not_change_the_torch_generator(mnist: DeviceData) -> None:
    before = torch.get_rng_state()
    Stack(BRIEF, resolve_one("adafactor"), [1], mnist)
    assert torch.equal(before, torch.get_rng_state())


def test_random_numbers_of_an_optimizer_depend_on_its_seed_only(few: DeviceData) -> None:
    """They are the same alone, in a stack, and after other draws, but differ between seeds."""
    spec = resolve_one("_lion:Dropped")
    before = torch.get_rng_state()
    workload = Workload(network="lenet", iterations=8, eval_every=8)  # a stack is exact
    together = train(workload, spec, [1, 2], few)
    assert torch.equal(before, torch.get_rng_state())
    for run in together:
        torch.rand(3), np.random.rand(), random.random()
        (alone,) = train(workload, spec, [run.seed], few)
        assert numbers(alone) == numbers(run)
    often = replace(workload, eval_every=2)
    assert train(often, spec, [1], few)[0].evaluations[-1].test_loss == numbers(together[0])[0]
    (sgd,) = train(workload, resolve_one("sgd"), [1], few)
    assert sgd.initial_weights_sha256 == together[0].initial_weights_sha256


def test_an_optimizer_that_draws_random_numbers_is_not_elementwise() -> None:
    with pytest.warns(UserWarning, match=r"_lion:DroppedFlat is declared as elementwise, but"):
        assert not acts_elementwise(resolve_one("_lion:DroppedFlat"))


def test_unseeded_random_numbers_are_an_error() -> None:
    message = (
        r"'_lion:Unseeded': two steps from the same state differ: random numbers must come from "
        r"the global generator of torch, numpy or Python, or from one with a fixed seed"
    )
    with pytest.raises(SpecError, match=message):
        resolve_one("_lion:Unseeded")


def test_the_elementwise_attribute_is_verified() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert acts_elementwise(resolve_one("_lion:Lion"))
        assert not acts_elementwise(resolve_one("_lion:sgd_like"))  # has no such attribute
    with pytest.warns(UserWarning, match=r"_lion:Normalised is declared as elementwise, but"):
        assert not acts_elementwise(resolve_one("_lion:Normalised"))


def test_a_user_optimizer_is_stored_with_defaults_and_source_hash() -> None:
    spec = resolve_one("_lion:Lion[lr=0.01,weight_decay=0]")
    assert spec.name == "_lion:Lion[lr=0.01]"
    assert spec.algorithm.startswith("_lion:Lion@")
    assert dict(spec.hyperparameters) == {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0}
    assert resolve_one(spec.name) == spec
    assert resolve_one(f"{spec.algorithm}[lr=0.01]") == spec
    more = resolve_one("_lion:Extragradient[lr=1,depth=2]")
    assert dict(more.hyperparameters) == {"lr": 1, "depth": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_lion:Lion[lrr=1]", "_lion:Lion has no hyperparameter 'lrr': did you mean lr?"),
        ("_lion:Lion[lr=fast]", "lr must be a number (default 0.001)"),
        ("_lion:Lion[params=1]", "has no hyperparameter 'params'"),
        ("_lion:Lion@0123456789ab", "the source has changed"),
        ("_lion:Lyon", "_lion has no 'Lyon': did you mean Lion?"),
        ("_lion:Extragradient", "a value is required for lr"),
        ("_lion:Lion[rescale=3,betas=(1,2,3)]", "betas must be a tuple of 2"),
        ("_lion:exits", "a step with these settings fails: first"),
        ("_lion:stepless", "a step with these settings fails: object has no step()"),
        ("_lion:NUMBER", "an optimizer must be a class or a factory, got 3"),
        ("lbfgs[max_iter=2.5]", "max_iter must be a whole number"),
        ("lbfgs[line_search_fn=x]", "torch rejects these settings"),
        ("adam@0123456789ab", "unknown optimizer 'adam@0123456789ab'"),
    ],
)
def test_invalid_user_optimizers(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        resolve_one(text)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_integers_stay_integers() -> None:
    spec = resolve_one("lbfgs[max_iter=4.0]")
    assert spec.name == "lbfgs[max_iter=4]"
    assert type(dict(spec.hyperparameters)["history_size"]) is int


def test_lion_of_a_third_party(few: DeviceData) -> None:
    theirs, ours = (
        Stack(BRIEF, resolve_one(name), [1, 2], few)
        for name in ("pytorch_optimizer:Lion[lr=0.001,weight_decay=0]", "_lion:Lion")
    )
    for stack in (theirs, ours):
        stack.advance(0, 20)
    # values near 0 may differ in sign, which makes a difference of two steps
    assert ((theirs.parameters - ours.parameters).abs() > 1e-6).float().mean() < 0.01


def test_evaluation_calls_eval_and_train(few: DeviceData) -> None:
    """Schedule-free optimizers have methods train() and eval()."""
    workload = Workload(iterations=20, eval_every=5)
    plain, averaged = (
        Stack(workload, resolve_one(name), [1, 2], few) for name in ("sgd", "_lion:Averaged")
    )
    visited = []
    for start in range(20):
        plain.advance(start, start + 1)
        visited.append(plain.parameters.clone())
    for start in range(0, 20, 5):
        averaged.advance(start, start + 5)
    torch.testing.assert_close(averaged.parameters, plain.parameters, rtol=0, atol=1e-7)
    plain.parameters.copy_(torch.stack(visited).mean(0))
    _, losses = plain._evaluate()
    found = [run.evaluations[-1].test_loss for run in averaged.finish()]
    assert found == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("name", ["Lion", "AdaBelief", "Tiger"])
def test_optimizers_of_a_third_party_train(name: str, few: DeviceData) -> None:
    spec = resolve_one(f"pytorch_optimizer:{name}[lr=0.001]")
    runs = train(Workload(iterations=60, eval_every=60), spec, [1, 2], few)
    assert all(run.evaluations[-1].test_accuracy > 0.7 for run in runs)


def test_an_optimizer_that_needs_autograd_is_an_error() -> None:
    with pytest.raises(SpecError, match="a step with these settings fails: element 0 of ten"):
        resolve_one("pytorch_optimizer:SophiaH")


def test_list_shows_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["optimizers"]
    assert [row["name"] for row in found["schedules"]] == list(SCHEDULES)
    assert all(f"\n{name} " in text for name in SCHEDULES)
    assert [row["name"] for row in rows] == list(available())
    for row in rows:
        assert f"\n{row['name']} " in f"\n{text}"
        assert {**row["defaults"]}.keys() & {"lr"}
    assert {row["name"] for row in rows if row["needs_closure"]} == {"lbfgs"}
