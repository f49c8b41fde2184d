"""Specification of a sweep: expressions, seeds, settings, plan and keys."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from inspect import signature
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import compare
from bench.analysis.results import parameters
from bench.errors import SpecError
from bench.spec import model
from bench.spec.expressions import format_seeds, parse_optimizers, parse_seeds, variant_name
from bench.spec.model import (
    Declaration,
    OptimizerSpec,
    RunSpec,
    SweepSpec,
    Workload,
    default_sweep_name,
)
from bench.sweeps.specify import specify

ADAM = OptimizerSpec(
    name="adam",
    algorithm="torch.optim.Adam",
    hyperparameters=(("betas", (0.9, 0.999)), ("lr", 0.001)),
)
SGD = OptimizerSpec(name="sgd", algorithm="torch.optim.SGD", hyperparameters=(("lr", 0.1),))


def huge_alpha() -> str:
    return sweep().to_json().replace('"alpha": 0.05', f'"alpha": {10**400}')


def sweep(**changes: object) -> SweepSpec:
    settings = {"name": "test", "optimizers": (SGD, ADAM), "seeds": (0, 1), **changes}
    return SweepSpec(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sgd", [("sgd", {})]),
        (" sgd , adam ", [("sgd", {}), ("adam", {})]),
        ("adam[lr=0.003]", [("adam", {"lr": 0.003})]),
        ("adam[betas=(0.9, 0.99)],sgd", [("adam", {"betas": (0.9, 0.99)}), ("sgd", {})]),
        ("adam[betas=[0.9,0.99]]", [("adam", {"betas": (0.9, 0.99)})]),
        ("sgd[nesterov=True, momentum=.9]", [("sgd", {"nesterov": True, "momentum": 0.9})]),
        ("sgd[schedule=cosine]", [("sgd", {"schedule": "cosine"})]),
        ("sgd[note='a,b]']", [("sgd", {"note": "a,b]"})]),
        ("sgd[lr=-1]", [("sgd", {"lr": -1})]),
        ("sgd[foreach=None]", [("sgd", {"foreach": None})]),
        ("pkg.module:Name[lr=1]", [("pkg.module:Name", {"lr": 1})]),
    ],
)  # fmt: skip
def test_optimizer_expressions(text: str, expected: list[tuple[str, dict[str, object]]]) -> None:
    assert [(e.name, e.overrides) for e in parse_optimizers(text)] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name or name\\[key=value"),
        ("sgd,,adam", "name or name\\[key=value"),
        ("sgd[lr=0.1", "name or name\\[key=value"),
        ("sgd lr=0.1", "name or name\\[key=value"),
        ("../sgd", "name or name\\[key=value"),
        ("sgd[0.1]", "written key=value"),
        ("sgd[**x]", "written key=value"),
        ("sgd[lr=]", "written key=value"),
        ("sgd[lr=1,lr=2]", "may be given once"),
        ("sgd[lr=0.1)(1]", "written key=value"),
        ("sgd[lr=__import__('os').getcwd()]", "lr in .* finite number"),
        ("sgd[lr=1e999]", "lr in .* finite number"),
        ("sgd[lr={1:2}]", "lr in .* finite number"),
        ("sgd[lr=b'x']", "lr in .* finite number"),
        ("sgd[lr=" + "1+" * 3000 + "1]", "finite number|written key=value"),
        ("sgd[lr=" + "-" * 3000 + "1]", "finite number|written key=value"),
        ("sgd[lr=0x" + "f" * 5000 + "]", "lr in .* finite number"),
        ("sgd[schedule='\\ud800']", "schedule in .* finite number"),
        ("sgd[lr=1if 2else 3]", "written key=value"),
        ("sgd[schedule='\\d']", "written key=value"),
    ],
)
def test_bad_optimizer_expressions(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        parse_optimizers(text)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    for parse in (parse_optimizers, parse_seeds):
        with suppress(SpecError):
            assert len(parse(text)) > 0


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0", (0,)), ("0-3,15", (0, 1, 2, 3, 15)), (" 4 - 5 , 1", (4, 5, 1)), ("7-7", (7,))],
)
def test_seed_lists(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "whole numbers or ranges"),
        ("1,", "whole numbers or ranges"),
        ("-1", "whole numbers or ranges"),
        ("1.5", "whole numbers or ranges"),
        ("a-b", "whole numbers or ranges"),
        ("９", "whole numbers or ranges"),
        ("5-3", "must ascend"),
        ("0-9999999999", "at most 10000 seeds"),
    ],
)
def test_bad_seed_lists(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_seeds(text)


@given(st.lists(st.integers(0, 50), min_size=1, unique=True))
def test_round_trip_of_seeds(seeds: list[int]) -> None:
    assert parse_seeds(format_seeds(seeds)) == tuple(seeds)


@given(
    st.dictionaries(
        st.sampled_from(["lr", "eps", "betas", "nesterov"]),
        st.one_of(
            st.booleans(),
            st.none(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.tuples(st.floats(0, 1), st.integers()),
        ),
    )
)
def test_a_variant_name_parses_to_its_overrides(overrides: dict[str, object]) -> None:
    (parsed,) = parse_optimizers(variant_name("adam", overrides))  # type: ignore[arg-type]
    assert parsed.overrides == overrides


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Workload(iterations=0), "iterations must be .* at least 1, got 0"),
        (lambda: Workload(batch_size=True), "batch_size must be .*, got True"),
        (lambda: Workload(eval_every=-5), "eval_every must be .*, got -5"),
        (lambda: Declaration(alpha=0.0), "alpha must lie between 0 and 1"),
        (lambda: Declaration(margin=float("nan")), "margin must lie .* got nan"),
        (lambda: Declaration(target=1.0), "target must lie"),
        (lambda: Declaration(win_threshold=0.4), "win_threshold must lie from 0.5 .* got 0.4"),
        (lambda: Declaration(win_threshold=True), "win_threshold must lie from 0.5 .* got True"),
        (lambda: Declaration(correction="bh"), "correction must be holm or max-t, got 'bh'"),
        (lambda: sweep(optimizers=()), "at least one optimizer"),
        (lambda: sweep(seeds=()), "at least one seed"),
        (lambda: sweep(seeds=(1, 2, 1)), "got 1 twice"),
        (lambda: sweep(seeds=(2**32,)), "between 0 and 4294967295, got 4294967296"),
        (lambda: sweep(optimizers=(SGD, SGD)), "'sgd' and 'sgd' are both torch.optim.SGD"),
        (lambda: sweep(name="../x"), "a sweep's name must be .* got '../x'"),
        (lambda: sweep(name="x" * 101), "a sweep's name"),
        (lambda: sweep(name=""), "a sweep's name"),
        (lambda: sweep(seeds=(1.5,)), "a seed must be a whole number, got 1.5"),
        (lambda: sweep(seeds=(True,)), "a seed must be a whole number, got True"),
        (lambda: sweep(seeds=tuple(range(10_001))), "at most 10000 seeds, got 10001"),
        (lambda: Declaration(looks=True), "looks must be at least 1"),
        (lambda: Workload(network=None), "network must be text, got None"),  # type: ignore[arg-type]
        (lambda: replace(ADAM, name=None), "name must be text, got None"),  # type: ignore[arg-type]
        (lambda: replace(ADAM, name="\ud800"), r"name must be text, got '.ud800'"),
        (lambda: SweepSpec.from_json("{}"), "not a sweep specification"),
        (lambda: SweepSpec.from_json("nonsense"), "not a sweep specification"),
        (lambda: SweepSpec.from_json(huge_alpha()), "not a sweep specification: OverflowError"),
    ],
)
def test_invalid_settings(make: object, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()  # type: ignore[operator]


def test_the_plan_goes_seed_by_seed() -> None:
    planned = [(run.seed, run.optimizer.name) for run in sweep().plan()]
    assert planned == [(0, "sgd"), (0, "adam"), (1, "sgd"), (1, "adam")]


def test_json_round_trip() -> None:
    spec = sweep(workload=Workload(iterations=7), declaration=Declaration(alpha=0.01))
    assert SweepSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (Workload(), (500, 1000, 1500, 2000, 2500, 3000)),
        (Workload(iterations=120, eval_every=50), (50, 100, 120)),
        (Workload(iterations=3, eval_every=50), (3,)),
    ],
)
def test_the_last_update_is_evaluated(workload: Workload, expected: tuple[int, ...]) -> None:
    assert workload.eval_iterations == expected


def test_a_stored_key_stays_valid() -> None:
    """Stored rows are found by this hash, so it must not change."""
    run = RunSpec(workload=Workload(), optimizer=ADAM, seed=3)
    assert run.key == "9972b8a438f6df942dad33f6ec51bc8463ae13ea4f6281cfbf039460adbcdb4c"


def test_every_setting_is_in_the_key() -> None:
    runs = [
        RunSpec(workload=Workload(), optimizer=ADAM, seed=3),
        RunSpec(workload=Workload(), optimizer=ADAM, seed=4),
        RunSpec(workload=Workload(), optimizer=SGD, seed=3),
        *(
            RunSpec(workload=Workload(**{name: 99}), optimizer=ADAM, seed=3)  # type: ignore[arg-type]
            for name in ("batch_size", "iterations", "eval_every")
        ),
        RunSpec(workload=Workload(network="other"), optimizer=ADAM, seed=3),
        RunSpec(workload=Workload(dataset="other"), optimizer=ADAM, seed=3),
    ]
    assert len({run.key for run in runs}) == len(runs)


def test_equal_numbers_of_two_types_have_keys_of_their_own() -> None:
    """1 and 1.0 are equal, but the hashed text is another one."""
    variants = [replace(SGD, hyperparameters=(("lr", lr),)) for lr in (1, 1.0)]
    keys = [RunSpec(workload=Workload(), optimizer=sgd, seed=3).key for sgd in variants]
    assert variants[0] == variants[1]
    assert keys == [
        "6feb1227f307a82a628a2dc76f0a3a27a375fbc261f10f1c55ad82ce43c20967",
        "4cfac196ed8c6ed0d13dbf6dd5b1d87a9e0f9a94909359ec6bde17139c6b7a48",
    ]


def test_a_plan_is_made_once() -> None:
    spec = SweepSpec(name="x", optimizers=(SGD, ADAM), seeds=(0, 1))
    assert spec.plan() is spec.plan()
    assert [run.seed for run in replace(spec, seeds=(5,)).plan()] == [5, 5]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (500, 1000, 1500, 2000, 2500, 3000)),
        ({"iterations": 600}, (100, 200, 300, 400, 500, 600)),
        ({"iterations": 100}, (17, 34, 51, 68, 85, 100)),
        ({"iterations": 3}, (1, 2, 3)),
        ({"epochs": 1, "batch_size": 600}, (17, 34, 51, 68, 85, 100)),
        ({"iterations": 300, "eval_every": 500}, (300,)),
    ],
)
def test_a_run_is_evaluated_six_times_by_default(
    settings: dict[str, int], expected: tuple[int, ...]
) -> None:
    assert specify(**settings).workload.eval_iterations == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("iterations", "eval_every", "name"),
    [
        (3000, 500, "mnist"),
        (300, 50, "mnist-iterations300"),
        (300, 500, "mnist-iterations300"),  # the default of earlier versions
        (300, 100, "mnist-iterations300-eval-every100"),
    ],
)
def test_default_evaluations_are_not_named(iterations: int, eval_every: int, name: str) -> None:
    assert default_sweep_name(Workload(iterations=iterations, eval_every=eval_every)) == name


def test_the_corrections_of_the_declaration_are_those_of_the_analysis() -> None:
    """They are defined twice, because neither package may import the other."""
    assert model.CORRECTIONS == parameters.CORRECTIONS == get_args(model.Correction)
    assert get_args(model.Correction) == get_args(parameters.Correction)
    assert Declaration().correction == signature(compare).parameters["correction"].default
