"""Search spaces, the settings that are tried, and the images that are held out."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analysis.tuning import expected_best
from bench.cli import sweep
from bench.cli.arguments import Parser
from bench.datasets.arrays import Dataset
from bench.datasets.cache import load, n_train_images, prepare
from bench.datasets.names import resolve_dataset, short_name
from bench.datasets.validation import hold_out
from bench.errors import SpecError
from bench.spec.ranges import SearchRange
from bench.sweeps.specify import specify
from bench.sweeps.tune import plan_of
from bench.tuning.extend import extend
from bench.tuning.plan import FIRST_SEED, TuningPlan, TuningProtocol
from bench.tuning.space import default_range, parse_spaces, settings_in
from bench.tuning.variants import PlannedTuning, option_words, tuned_sweeps


def test_one_range_is_a_logarithmic_grid_with_both_ends() -> None:
    ranges = [SearchRange(name="lr", low=1e-4, high=1e-1)]
    values = [dict(setting)["lr"] for setting in settings_in(ranges, 7)]
    assert (values[0], values[-1]) == (1e-4, 1e-1)
    ratios = np.diff(np.log(values))
    assert ratios == pytest.approx(np.full(6, math.log(1000) / 6), rel=1e-3)
    assert settings_in(ranges, 1) == ((("lr", pytest.approx(10**-2.5, rel=1e-3)),),)


def test_several_ranges_are_a_halton_sequence() -> None:
    ranges = (SearchRange(name="lr", low=1e-4, high=1e-1), default_range("momentum", 0.9))
    settings = settings_in(ranges, 16)
    assert settings == settings_in(ranges, 16)
    assert settings[:8] == settings_in(ranges, 8)
    for r in ranges:
        values = [dict(setting)[r.name] for setting in settings]
        assert all(r.low <= value <= r.high for value in values)
        assert len(set(values)) == 16


RANGES = [(0.001, (1e-5, 0.1)), (1.0, (0.01, 100.0)), (None, (1e-4, 1.0)), (0, (1e-4, 1.0))]


@pytest.mark.parametrize(("default", "expected"), RANGES)
def test_the_default_range_of_a_learning_rate(
    default: object, expected: tuple[float, float]
) -> None:
    found = default_range("lr", default)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.is_log


def test_spaces_are_parsed() -> None:
    spaces = parse_spaces("adam[lr=1e-4..1e-1], sgd[lr=0.01..1,momentum=0.5..0.99]")
    assert list(spaces) == ["adam", "sgd"]
    assert list(map(str, spaces["sgd"])) == ["lr=0.01..1", "momentum=0.5..0.99"]
    assert [(r.name, r.low, r.high, r.is_log) for r in spaces["sgd"]] == [
        ("lr", 0.01, 1.0, True),
        ("momentum", 0.5, 0.99, False),
    ]


WRONG = [
    ("adam", "must be of the form"),
    ("adam[lr=1]", "'lr=1' must be of the form lr=1e-4..1e-1"),
    ("adam[lr=x..1]", "'lr=x..1' must be of the form"),
    ("adam[lr=1..0.1]", "the range of lr must be LOW..HIGH with 0 < LOW < HIGH, got 1..0.1"),
    ("adam[lr=-1..1]", "the range of lr must be LOW..HIGH"),
    ("adam[lr=0.1..inf]", "the range of lr must be LOW..HIGH"),
    ("adam[lr=1e-320..1e300]", "the range of lr is too wide, got lr=9.99989e-321..1e+300"),
    ("sgd[momentum=0.9..0.5]", "the range of momentum must be LOW..HIGH with LOW < HIGH, got"),
    ("adam[lr=0.1..1],adam[lr=0.1..1]", "--space names 'adam' twice"),
    ("adam[lr=0.1..1] and more", "must be of the form"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_space_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"--space|range of") as raised:
        parse_spaces(text)
    assert message in str(raised.value)


def plan(optimizers: str, *, seeds: Sequence[int] = (0, 1), **options: Any) -> PlannedTuning:
    given = {name: options.pop(name) for name in ("over", "spaces") if name in options}
    spec = specify(optimizers=optimizers, seeds=seeds)
    return plan_of(spec, TuningProtocol(**options), **given)


def test_every_optimizer_gets_the_same_number_of_trials() -> None:
    planned = plan("sgd,adam[betas=(0.8,0.9)],fast=adam[lr=0.01]", trials=3)
    assert [(v.name, list(v.settings)) for v in planned.plan.variants] == [
        ("sgd", ["sgd[lr=0.001]", "sgd", "sgd[lr=10.0]"]),
        (
            "adam[betas=(0.8,0.9)]",
            [
                "adam[betas=(0.8,0.9),lr=1e-05]",
                "adam[betas=(0.8,0.9)]",
                "adam[betas=(0.8,0.9),lr=0.1]",
            ],
        ),
        ("fast", ["adam[lr=0.0001]", "adam[lr=0.01]", "adam[lr=1.0]"]),
    ]
    (trials,) = planned.trials
    assert (trials.workload.dataset, len(trials.plan())) == ("mnist/validation", 27)


#: Optimizers with a common setting, and hyperparameters that are tuned.
COMMON = [("adam,adam[lr=0.1]", ("lr",)), ("sgd,momentum", ("lr", "momentum"))]


@pytest.mark.parametrize(("optimizers", "over"), COMMON)
def test_optimizers_with_a_common_setting_are_refused(
    optimizers: str, over: tuple[str, ...]
) -> None:
    """Tuning could make them equal, and a sweep has every variant once."""
    with pytest.raises(SpecError, match="and another optimizer would both try"):
        plan(optimizers, trials=3, over=over)


def test_batch_sizes_and_schedules_are_kept() -> None:
    planned = plan("batch-gd,sgd[schedule=cosine]", trials=2)
    batch, cosine = planned.trials[0].optimizers[::2]
    assert (batch.batch_size, cosine.schedule is None) == (50_000, False)
    spec = specify(optimizers="batch-gd,sgd[schedule=cosine]", seeds=2)
    chosen = [{"batch-gd": (("lr", 1.0),), "sgd[schedule=cosine]": (("lr", 0.5),)}]
    (tuned,) = tuned_sweeps(spec, planned.plan, chosen, 60_000)
    assert [o.batch_size for o in tuned.optimizers] == [60_000, None]
    assert [dict(o.hyperparameters)["lr"] for o in tuned.optimizers] == [1.0, 0.5]


#: Repeats, tuning seeds, kind of split; and the seeds of the trials on each split.
SPLITS = [
    (1, 2, "fixed", {"x-trials": (0, 1)}),
    (2, 2, "fixed", {"x-trials": (0, 1), "x-trials-2": (2, 3)}),
    (1, 2, "per-seed", {"x-trials": (0,), "x-trials-2": (1,)}),
    (2, 1, "per-seed", {"x-trials": (0,), "x-trials-2": (1,)}),
]


@pytest.mark.parametrize(("repeats", "seeds", "kind", "expected"), SPLITS)
def test_repeats_have_other_seeds_and_images(
    repeats: int, seeds: int, kind: str, expected: dict[str, tuple[int, ...]]
) -> None:
    spec = specify(optimizers="sgd", seeds=4, name="x")
    protocol = TuningProtocol(trials=2, seeds=seeds, repeats=repeats, validation=kind)
    planned = plan_of(spec, protocol)
    found = {t.name: tuple(seed - FIRST_SEED for seed in t.seeds) for t in planned.trials}
    assert found == expected
    assert len({t.workload.dataset for t in planned.trials}) == len(expected)
    chosen = [{"sgd": (("lr", 0.5),)}] * repeats
    tuned = tuned_sweeps(spec, planned.plan, chosen, 60_000)
    assert sorted(seed for of in tuned for seed in of.seeds) == [0, 1, 2, 3]
    assert len(tuned) == repeats


def test_an_extension_gives_every_optimizer_as_many_trials_beyond_an_end() -> None:
    spec = specify(optimizers="sgd,adam", seeds=4, name="x")
    planned = plan_of(spec, TuningProtocol(trials=5, extend=True))
    chosen = {"sgd": [(("lr", 10.0),)], "adam": [(("lr", 1e-4),)]}
    once = extend(spec, planned, chosen, 50_000)
    assert [list(v.extra) for v in once.plan.variants] == [["sgd[lr=100.0]"], ["adam[lr=1e-06]"]]
    assert [v.searched[0].ends for v in once.plan.variants] == [(0.001, 100.0), (1e-6, 0.1)]
    twice = extend(spec, once, {**chosen, "sgd": [(("lr", 100.0),)]}, 50_000)
    assert [list(v.extra) for v in twice.plan.variants] == [
        ["sgd[lr=100.0]", "sgd[lr=1000.0]"],
        ["adam[lr=1e-06]", "adam[lr=1e-07]"],
    ]
    assert len(twice.trials[0].optimizers) == 14
    assert twice.plan.declared == planned.plan
    assert option_words(twice.plan, spec.optimizers) == (
        *("--tune", "--tune-trials", "5", "--tune-extend"),
    )
    assert TuningPlan.from_json(twice.plan.to_json()) == twice.plan


def test_more_evaluation_seeds_move_none_to_another_repeat() -> None:
    protocol = TuningProtocol(repeats=5)
    before, after = protocol.divide(range(10)), protocol.divide(range(20))
    assert all(set(few) < set(many) for few, many in zip(before, after, strict=True))


IMPOSSIBLE = [
    ({"spaces": parse_spaces("adamw[lr=0.1..1]")}, "names 'adamw', which is not compared"),
    ({"spaces": parse_spaces("adam[lrr=0.1..1]")}, "adam has no hyperparameter 'lrr' to tune"),
    ({"over": ("momentum",)}, "--tune-over: no optimizer has a hyperparameter 'momentum'"),
    ({"over": ("lr", "lrr")}, "--tune-over: no optimizer has a hyperparameter 'lrr'"),
    ({"over": ("lr", "lr")}, "adam: lr is to be tuned twice"),
    (
        {"spaces": parse_spaces("adam[lr=1..1.001]")},
        "--tune-trials must be at most 2, the number of",
    ),
    ({"over": ("eps",)}, "--tune-over eps: there is no default range"),
    ({"repeats": 3}, "their number must be a multiple of 3, got 2"),
    ({"seeds": [1, FIRST_SEED + 2]}, "seed 1000002 is a tuning seed"),
    ({"extend": True, "trials": 1}, "--tune-extend needs at least 2 trials of one hyperparameter"),
    ({"extend": 1}, "extend must be True or False, got 1"),
    ({"trials": 0}, "trials must be from 1 to 1000, got 0"),
    ({"metric": "speed"}, "metric must be accuracy or loss or time-to-target, got 'speed'"),
    ({"validation": "none"}, "validation must be fixed or per-seed, got 'none'"),
]


@pytest.mark.parametrize(("options", "message"), IMPOSSIBLE)
def test_an_impossible_tuning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as raised:
        plan("adam", **options)
    assert message in str(raised.value)


#: Options of a tuning of momentum, nesterov and adam.
WORDS = [
    "",
    "--tune-trials 3 --tune-seeds 2 --tune-repeats 4 --validation per-seed --tune-for loss",
    "--tune-extend",
    "--tune-over lr,momentum",
    "--space adam[lr=0.0001..1]",
    "--tune-over lr,momentum --space momentum[lr=0.01..1]",
]


@pytest.mark.parametrize("words", WORDS)
def test_the_options_of_a_plan(words: str) -> None:
    parser = Parser(prog="sweep")
    sweep.add_arguments(parser)
    given = parser.parse_args(["--tune", *words.split()])
    spec = specify(optimizers="momentum,nesterov,adam", seeds=4)
    protocol = TuningProtocol(
        trials=given.tune_trials,
        seeds=given.tune_seeds,
        repeats=given.tune_repeats,
        validation=given.validation,
        metric=given.tune_for,
        extend=given.tune_extend,
    )
    plan = plan_of(spec, protocol, over=given.tune_over.split(","), spaces=given.space).plan
    assert " ".join(option_words(plan, spec.optimizers)) == f"--tune {words}".strip()
    assert TuningPlan.from_json(plan.to_json()) == plan


DAMAGED_PARTS: list[tuple[str, Any]] = [
    ("variants", []),
    ("variants", [{"name": "adam"}]),
    ("settings", {}),
    ("settings", {"adam": []}),
    ("settings", {"adam": [["momentum", 0.9]]}),
    ("settings", {"adam": [["lr", math.inf]]}),
    ("ranges", []),
]


@pytest.mark.parametrize(("key", "value"), DAMAGED_PARTS)
def test_a_plan_with_a_damaged_part_is_refused(key: str, value: Any) -> None:
    content = json.loads(plan("adam").plan.to_json())
    where = content if key in content else content["variants"][0]
    where[key] = value
    with pytest.raises(SpecError, match="not the plan of a tuning"):
        TuningPlan.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": "x", "protocol": {"trials": "x"}}', "[" * 99_999]
)
def test_a_damaged_plan_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="not the plan of a tuning"):
        TuningPlan.from_json(text)


# --- validation images


def test_the_held_out_images_of_mnist() -> None:
    whole, part = (load(prepare(name)) for name in ("mnist", "mnist/validation"))
    assert n_train_images("mnist/validation") == len(part.train_labels) == 50_000
    assert len(part.test_labels) == 10_000
    shares = np.bincount(part.test_labels) / np.bincount(whole.train_labels)
    assert shares == pytest.approx(np.full(10, 1 / 6), abs=2e-4)
    rows = {image.tobytes() for image in whole.train_images}
    together = np.concatenate([part.train_images, part.test_images])
    assert {image.tobytes() for image in together} == rows
    held_out = {image.tobytes() for image in part.test_images}
    assert held_out.isdisjoint(image.tobytes() for image in part.train_images)
    # that no test image is among them is a property of MNIST: its images are all different
    assert held_out.isdisjoint(image.tobytes() for image in whole.test_images)


def small(labels: list[int]) -> Dataset:
    images = np.arange(len(labels) * 4, dtype=np.uint8).reshape(len(labels), 4)
    classes = np.array(labels, dtype=np.uint8)
    return Dataset(images, classes, images[:2], classes[:2], (1, 2, 2), 3)


def test_every_class_is_on_both_sides() -> None:
    dataset = small([0] * 30 + [1] * 4 + [2] * 2)
    found = hold_out(dataset, "mine")
    assert np.bincount(found.test_labels).tolist() == [4, 1, 1]
    assert np.bincount(found.train_labels).tolist() == [26, 3, 1]
    assert (hold_out(dataset, "mine").test_images == found.test_images).all()


def test_another_split_holds_other_images_out() -> None:
    dataset = small([0, 1, 2] * 12)
    first, second = (hold_out(dataset, "mine", split).test_images.tolist() for split in (1, 2))
    assert first != second
    assert hold_out(dataset, "mine", 2).test_images.tolist() == second


@pytest.mark.parametrize("labels", [[0] * 30 + [1], [0, 0, 1, 1, 2, 2]])
def test_too_few_images_of_a_class(labels: list[int]) -> None:
    with pytest.raises(SpecError, match="every class needs at least one image on both sides"):
        hold_out(small(labels), "mine")


def test_the_name_of_held_out_images(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    dataset = small([0, 1, 2] * 12)
    np.savez(
        path,
        x_train=dataset.train_images,
        y_train=dataset.train_labels,
        x_test=dataset.test_images,
        y_test=dataset.test_labels,
    )
    name = resolve_dataset(f"{path}/validation")
    assert name.startswith(f"{path}@")
    assert name.endswith("/validation")
    assert short_name(name).endswith("-validation")
    assert len(load(prepare(name, tmp_path / "cache")).train_labels) == n_train_images(name) == 30
    other = resolve_dataset(f"{path}/validation-2")
    assert short_name(other).endswith("-validation-2")
    assert prepare(other, tmp_path / "cache") != prepare(name, tmp_path / "cache")
    for unknown in ("nothing/validation", "digits/validation-0", "digits/validation-x"):
        with pytest.raises(SpecError, match="unknown dataset"):
            resolve_dataset(unknown)


# --- expected best


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    scores = np.array([0.3, 0.9, 0.5, 0.5, 0.1])
    for t, found in enumerate(expected_best(scores), 1):
        subsets = [max(subset) for subset in itertools.combinations(scores, t)]
        assert found == pytest.approx(np.mean(subsets), rel=1e-12)
