"""Search spaces, the settings that are tried, and the images that are held out."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.tuning import expected_best
from bench.datasets.arrays import Dataset
from bench.datasets.cache import load, n_train_images, prepare
from bench.datasets.names import resolve_dataset, short_name
from bench.datasets.validation import hold_out
from bench.errors import SpecError
from bench.spec.expressions import parse_optimizers
from bench.spec.ranges import SearchRange
from bench.sweeps.specify import specify
from bench.tuning.plan import FIRST_SEED, TuningOptions, plan_trials, refuse_common_seeds
from bench.tuning.space import Space, default_range, parse_spaces


def test_one_range_is_a_logarithmic_grid_with_both_ends() -> None:
    space = Space(optimizer="adam", ranges=(SearchRange(name="lr", low=1e-4, high=1e-1),))
    values = [setting["lr"] for setting in space.settings(7)]
    assert (values[0], values[-1]) == (1e-4, 1e-1)
    ratios = np.diff(np.log(values))
    assert ratios == pytest.approx(np.full(6, math.log(1000) / 6), rel=1e-3)
    assert [s["lr"] for s in space.settings(1)] == [pytest.approx(10**-2.5, rel=1e-3)]


def test_several_ranges_are_a_halton_sequence() -> None:
    ranges = (SearchRange(name="lr", low=1e-4, high=1e-1), default_range("momentum", 0.9))
    space = Space(optimizer="momentum", ranges=ranges)
    settings = space.settings(16)
    assert settings == space.settings(16)
    assert settings[:8] == space.settings(8)
    for r in ranges:
        values = [setting[r.name] for setting in settings]
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
    ("adam[lr=0.1..1],adam[lr=0.1..1]", "--space names 'adam' twice"),
    ("adam[lr=0.1..1] and more", "must be of the form"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_space_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"--space|range of lr") as raised:
        parse_spaces(text)
    assert message in str(raised.value)


def plan(optimizers: str, **options: object) -> list[list[str]]:
    """Return the expressions of the trials of each optimizer."""
    expressions = parse_optimizers(optimizers)
    spec = specify(optimizers=optimizers, seeds=2)
    variants = plan_trials(expressions, spec.optimizers, TuningOptions(**options))  # type: ignore[arg-type]
    return [[e.text for e in variant.expressions] for variant in variants]


def test_every_optimizer_gets_the_same_number_of_trials() -> None:
    trials = plan("sgd,adam[betas=(0.8,0.9)],fast=adam[lr=0.01]", trials=3)
    assert trials == [
        ["sgd[lr=0.001]", "sgd[lr=0.1]", "sgd[lr=10.0]"],
        [
            "adam[betas=(0.8,0.9),lr=1e-05]",
            "adam[betas=(0.8,0.9),lr=0.001]",
            "adam[betas=(0.8,0.9),lr=0.1]",
        ],
        ["adam[lr=0.0001]", "adam[lr=0.01]", "adam[lr=1.0]"],
    ]


IMPOSSIBLE = [
    ({"spaces": parse_spaces("adamw[lr=0.1..1]")}, "names 'adamw', which is not compared"),
    ({"spaces": parse_spaces("adam[lrr=0.1..1]")}, "adam has no hyperparameter 'lrr' to tune"),
    ({"over": ("momentum",)}, "adam has none of momentum to tune"),
    ({"over": ("eps",)}, "--tune-over eps: there is no default range"),
]


@pytest.mark.parametrize(("options", "message"), IMPOSSIBLE)
def test_an_impossible_tuning_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as raised:
        plan("adam", **options)
    assert message in str(raised.value)


def test_tuning_seeds_are_not_evaluation_seeds() -> None:
    options = TuningOptions(seeds=3)
    refuse_common_seeds(specify(optimizers="adam", seeds=20), options)
    with pytest.raises(SpecError, match="seed 1000002 is a tuning seed"):
        refuse_common_seeds(specify(optimizers="adam", seeds=[1, FIRST_SEED + 2]), options)


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
    with pytest.raises(SpecError, match="unknown dataset"):
        resolve_dataset("nothing/validation")


# --- expected best


def test_the_expected_best_is_the_mean_over_all_subsets() -> None:
    scores = np.array([0.3, 0.9, 0.5, 0.5, 0.1])
    for t, found in enumerate(expected_best(scores), 1):
        subsets = [max(subset) for subset in itertools.combinations(scores, t)]
        assert found == pytest.approx(np.mean(subsets), rel=1e-12)
