"""Variants with their own batch size, including the regimes of gradient descent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import SpecError
from bench.optimizers.variants import PRESETS, expression_of, resolve_variant
from bench.spec.expressions import parse_optimizers
from bench.spec.model import BUDGETS, OptimizerSpec, SweepSpec, Workload, common_budget

N = 60_000


def variant(text: str, workload: Workload | None = None) -> OptimizerSpec:
    (expression,) = parse_optimizers(text)
    return resolve_variant(expression, workload or Workload(), N)


@pytest.mark.parametrize(
    ("text", "name", "batch_size", "lr"),
    [
        ("sgd", "sgd", None, 0.1),
        ("sgd[batch_size=100]", "sgd", None, 0.1),
        ("sgd[batch_size=50]", "sgd[batch_size=50]", 50, 0.1),
        ("sgd[lr=0.1,batch_size=all]", "sgd[batch_size='all']", N, 0.1),
        ("adam[lr=0.01,batch_size=50]", "adam[batch_size=50,lr=0.01]", 50, 0.01),
        ("batch-gd", "batch-gd", N, 0.1),
        ("batch-gd[lr=0.5]", "batch-gd[lr=0.5]", N, 0.5),
        ("batch-gd[lr=0.1]", "batch-gd", N, 0.1),
        ("stochastic-gd", "stochastic-gd", 1, 0.01),
        ("stochastic-gd[lr=0.1]", "stochastic-gd[lr=0.1]", 1, 0.1),
        ("stochastic-gd[lr=0.01]", "stochastic-gd", 1, 0.01),
    ],
)
def test_names_of_variants(text: str, name: str, batch_size: int | None, lr: float) -> None:
    found = variant(text)
    assert (found.name, found.batch_size) == (name, batch_size)
    assert dict(found.hyperparameters)["lr"] == lr
    assert variant(found.name) == found, "a name is an expression"


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("fast=adam[lr=0.01]", "fast=adam[lr=0.01]"),
        (" A.1_b-c = adam[lr=0.001] ", "A.1_b-c=adam"),
        ("heavy=sgd[momentum=0.9]", "heavy=momentum"),
        ("gd=batch-gd", "gd=sgd[batch_size=60000]"),
        ("x=sgd[schedule=cosine(warmup=0.05)]", "x=sgd[schedule=cosine(warmup=0.05)]"),
        ("lion=_lion:Lion[lr=0.01]", "lion=_lion:Lion[betas=(0.9,0.99),lr=0.01,weight_decay=0.0]"),
    ],
)
def test_users_name_variants(text: str, expression: str) -> None:
    found = variant(text)
    label, _, plain = text.partition("=")
    assert found == replace(variant(plain), name=label.strip())
    assert expression_of(found) == expression
    assert variant(expression) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam=sgd", "'adam=sgd': adam is the name of an optimizer of this program: choose"),
        ("batch-gd=sgd", "batch-gd is the name of an optimizer of this program"),
        ("a b=sgd", "start with a letter, got 'a b' in 'a b=sgd'"),
        ("0x=sgd", "start with a letter, got '0x'"),
        ("é=sgd", "start with a letter, got 'é'"),
        (f"{'x' * 41}=sgd", "must be 1 to 40 letters"),
        ("=sgd", "start with a letter, got ''"),
        ("x=y=sgd", "as in fast=adam[lr=0.003], got 'x=y=sgd'"),
        ("sgd[batch_size=0]", "batch_size must be a whole number from 1 to 60000"),
        ("sgd[batch_size=60001]", "the training images, or all, got 60001"),
        ("sgd[batch_size=True]", "or all, got True"),
        ("sgd[batch_size=some]", "or all, got 'some'"),
        ("batch-gd[batch_size=5]", "batch-gd has a fixed batch size: write sgd[batch_size="),
        ("stochastic-gd[rate=1]", "has no hyperparameter 'rate'"),
        ("stochastic-gt", "unknown optimizer 'stochastic-gt'"),
    ],
)
def test_invalid_variants(text: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        variant(text)
    assert message in str(raised.value)


def sweep(budget: str) -> SweepSpec:
    optimizers = tuple(variant(name) for name in PRESETS["regimes"])
    return SweepSpec(name="x", optimizers=optimizers, seeds=(0, 1), budget=budget)


def test_every_regime_uses_the_same_number_of_images() -> None:
    spec = sweep("epochs")
    by_name = {run.optimizer.name: run.workload for run in spec.plan()}
    assert {name: (w.batch_size, w.iterations) for name, w in by_name.items()} == {
        "batch-gd": (60_000, 5),
        "stochastic-gd": (1, 300_000),
        "sgd": (100, 3000),
    }
    assert by_name["sgd"] == Workload(), "stored runs of the mini-batch stay what they were"
    assert by_name["stochastic-gd"].eval_iterations == tuple(range(50_000, 300_001, 50_000))
    assert by_name["batch-gd"].eval_iterations == (1, 2, 3, 4, 5)


def test_every_regime_has_the_same_updates_with_budget_iterations() -> None:
    assert {run.workload.iterations for run in sweep("iterations").plan()} == {3000}


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_budget_follows_from_the_runs(budget: str) -> None:
    spec = sweep(budget)
    assert common_budget([run.workload for run in spec.plan()][::-1]) in (
        (spec.workload, budget),
        (spec.workload_at(1), budget),
    )
    assert SweepSpec.from_json(spec.to_json()) == spec


def test_runs_of_two_budgets_have_none_in_common() -> None:
    assert common_budget([Workload(), Workload(batch_size=50, iterations=3001)]) is None


def test_an_unknown_budget_is_an_error() -> None:
    with pytest.raises(SpecError, match="budget must be epochs or iterations, got 'images'"):
        sweep("images")
