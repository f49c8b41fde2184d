"""Tests of the simulation: reproducibility, true parameters of the scenarios, detection of errors.

A deliberate error in the analysis must violate a requirement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from _cases import some
from _scripts import load_script

from bench.analysis.scope import MeanSquares
from bench.analysis.stats import effects, permutation, student
from bench.analysis.stats.power import minimum_detectable_dz
from bench.errors import SpecError
from bench.tools.simulation import (
    BLOCK,
    Measure,
    Requirement,
    Study,
    make_studies,
    run,
    validate,
)
from bench.tools.simulation import pairs as pair_studies
from bench.tools.simulation import sweeps as sweep_studies
from bench.tools.simulation.pairs import EFFECTS
from bench.tools.simulation.sequential import (
    DIFFERENCE,
    INTERVALS,
    Population,
    sequential_studies,
    sequential_study,
)
from bench.tools.simulation.study import ALPHA, AT_LEAST, AT_MOST, N_PAIRS, N_SEEDS, NEAR
from bench.tools.simulation.sweeps import World

script = load_script("validate_statistics")

RNG = 20_250_101
IMAGES = "2,000 new test images each time"
LOOKS = "normal, looks at 5, 10, 15, 20 seeds"
MARGIN = "16 pairs at the margin, 12 equal"


def _study(scenario: str) -> Study[Any]:
    return next(study for study in make_studies() if study.scenario == scenario)


def _world(study: Study[Any]) -> World | None:
    """The population of a study of whole sweeps; no sweep is drawn."""
    keywords: dict[str, World] = getattr(study.draw, "keywords", {})
    return keywords.get("world")


#: Populations of the studies of whole sweeps.
WORLDS = {study.scenario: world for study in make_studies() if (world := _world(study))}


def _cheap() -> list[Study[Any]]:
    """Studies of one pair: a sample takes one millisecond instead of thirty."""
    others = {*WORLDS, *(study.scenario for study in sequential_studies())}
    return [study for study in make_studies() if study.scenario not in others]


# --- scenarios -------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", some(WORLDS, 3))
def test_scenario_has_its_stated_mean_differences_and_win_rates(scenario: str) -> None:
    """Mean differences and win rates over many draws lie within five standard errors."""
    world = WORLDS[scenario]
    rng = np.random.default_rng(1)
    values = np.concatenate([world.draw(rng) for _ in range(2000)])
    first, second = np.triu_indices(values.shape[1], 1)
    d = values[:, first] - values[:, second]
    wins = (1 + np.sign(np.where(np.isclose(d, 0), 0, d))) / 2
    if scenario != "heavy-tailed":  # where no variance exists, no standard error does
        error = d.std(axis=0) / np.sqrt(len(d))
        assert np.all(np.abs(d.mean(axis=0) - world.differences) < 5 * error + 1e-12)
    if set(world.means) == {0.0}:
        error = wins.std(axis=0) / np.sqrt(len(d))
        assert np.all(np.abs(wins.mean(axis=0) - world.win_rates) < 5 * error)


@pytest.mark.parametrize("study", sequential_studies(), ids=lambda study: study.scenario)
def test_sequential_scenario_has_its_stated_mean_differences(study: Study[Any]) -> None:
    population = study.draw.keywords["population"]  # type: ignore[attr-defined]
    scores = np.rint(population.draw(np.random.default_rng(1), 100_000))
    d, truth = (x - np.mean(x, -1, keepdims=True) for x in (scores, np.array(population.means)))
    assert np.all(np.abs(d.mean(axis=0) - truth) < 5 * d.std(axis=0) / np.sqrt(len(d)))


def test_sequential_sweep_stops_when_all_pairs_are_decided() -> None:
    sweep = _study("all four differ").draw(np.random.default_rng(0))
    taken = [look.n_blocks for look in sweep.found.looks]
    assert taken == [*sweep.population.looks[: len(taken)]]
    assert 1 < len(taken) < len(sweep.population.looks)
    assert {pair.verdict for pair in sweep.last.values()} == {"worse", "equivalent"}
    assert [*sweep.last] == [*combinations("abcd", 2)] == [*sweep.fixed]
    assert {pair.n for pair in sweep.fixed.values()} == {80}


def test_new_images_scenario_has_its_stated_difference() -> None:
    study, rng = _study(IMAGES), np.random.default_rng(1)
    d = np.array([study.draw(rng).pair.mean_difference for _ in range(100)])
    assert abs(d.mean() - 0.004) < 4 * d.std() / np.sqrt(len(d))


def test_margin_does_not_change_verdicts_of_difference() -> None:
    sweep = _study("partial null: 4 equal, 4 apart").draw(np.random.default_rng(0))
    different = [pair.pvalue_holm <= ALPHA for pair in sweep.pairs]
    assert 22 <= sum(different) < N_PAIRS
    assert [pair.verdict in ("better", "worse") for pair in sweep.pairs] == different
    assert {pair.verdict for pair in sweep.pairs} == {"worse", "equivalent"}


def test_effects_include_the_minimum_detectable_effect() -> None:
    assert any(
        dz == pytest.approx(minimum_detectable_dz(N_SEEDS, ALPHA / N_PAIRS), abs=5e-4)
        for dz in EFFECTS
    )


# --- requirements and rows -------------------------------------------------------------------

REQUIREMENTS = [
    (AT_MOST, 0.02, True),
    (AT_MOST, 0.0201, False),
    (AT_MOST, -0.5, True),
    (AT_LEAST, -0.02, True),
    (AT_LEAST, -0.0201, False),
    (AT_LEAST, 0.5, True),
    (NEAR, 0.05, True),
    (NEAR, 0.0501, False),
    (NEAR, -0.0501, False),
]


@pytest.mark.parametrize(("requirement", "excess", "met"), REQUIREMENTS)
def test_a_rate_may_miss_by_two_standard_errors(
    requirement: Requirement, excess: float, met: bool
) -> None:
    assert requirement.is_met(excess, standard_error=0.01) is met


def test_rows_hold_mean_and_standard_error() -> None:
    outcomes = iter([1.0, 0.0, 0.5, 1.0])
    measure = Measure(what="x", of=lambda _: next(outcomes), nominal=0.5, requirement=AT_MOST)
    study = Study(scenario="s", draw=lambda _: None, measures=(measure,))
    (row,) = validate(4, RNG, n_jobs=1, studies=[study]).rows
    assert (row.scenario, row.what, row.repetitions, row.met) == ("s", "x", 4, True)
    assert row.measured == 0.625
    assert row.standard_error == pytest.approx(np.std([1, 0, 0.5, 1], ddof=1) / 2)


@pytest.mark.long
def test_rows_do_not_depend_on_the_number_of_workers() -> None:
    studies = [_study("true d_z 1.019")]
    one = validate(BLOCK + 10, RNG, n_jobs=1, studies=studies)
    assert one == validate(BLOCK + 10, RNG, n_jobs=2, studies=studies)
    few, other = (validate(20, rng, n_jobs=1, studies=studies).rows for rng in (RNG, RNG + 1))
    assert few != other


def test_a_scenario_does_not_depend_on_the_others() -> None:
    (*_, last) = _cheap()
    rows = validate(10, RNG, n_jobs=1, studies=_cheap()).rows
    assert validate(10, RNG, n_jobs=1, studies=[last]).rows == rows[-len(last.measures) :]


@pytest.mark.parametrize(
    ("repetitions", "rng", "n_jobs", "message"),
    [
        (1, RNG, 1, "repetitions must be at least 2, got 1"),
        (2, -1, 1, "rng must be a whole number of at least 0, got -1"),
        (2, RNG, 0, "n_jobs must be at least 1, or -1 for all cores, got 0"),
    ],
)
def test_settings_are_checked(repetitions: int, rng: int, n_jobs: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        validate(repetitions, rng, n_jobs=n_jobs)


def test_scenario_names_must_be_unique() -> None:
    with pytest.raises(SpecError, match=f"scenario names must be unique, got '{LOOKS}' twice"):
        validate(2, RNG, n_jobs=1, studies=[_study(LOOKS)] * 2)


# --- detected errors -------------------------------------------------------------------------


def test_the_analysis_meets_its_requirements() -> None:
    """Few repetitions of whole sweeps are enough to detect a missing correction."""
    sweeps = [_study(name) for name in WORLDS]
    assert validate(2, RNG, studies=sweeps, n_jobs=1).failures == ()
    assert validate(3, RNG, studies=sequential_studies(), n_jobs=1).failures == ()
    assert validate(100, RNG, studies=_cheap(), n_jobs=1).failures == ()


_t_interval, _wilson = student.t_interval, effects.wilson_interval
_sign_flip = permutation.sign_flip_pvalue


def _unadjusted(pvalues: Sequence[float | None], _n_tests: int = 0) -> tuple[float | None, ...]:
    return tuple(pvalues)


def _seed_only_variance(squares: MeanSquares) -> float:
    return squares.seed / (squares.n * squares.n_examples)


def _too_short(moments: Any, alpha: float) -> Any:
    return _t_interval(moments, 10 * alpha)


def _noise(rng: np.random.Generator, n: int, k: int) -> Any:
    return rng.normal(scale=12, size=(n, k))


#: Equal treatments without a margin: the first with an error if looks are not adjusted for.
EQUAL_PAIR, EQUAL_FOUR = (
    sequential_study(
        f"{k} equal treatments",
        Population(draw=partial(_noise, k=k), means=(0,) * k, looks=looks, margin=None),
        *(DIFFERENCE, INTERVALS),
    )
    for k, looks in ((2, (6, 9, 14, 20)), (4, (9, 11)))
)


def _smallest(pvalues: Sequence[float | None], *_: object) -> float | None:
    return min((p for p in pvalues if p is not None), default=None)


def _too_short_wilson(rate: float, n: int, alpha: float) -> Any:
    return _wilson(rate, n, 10 * alpha)


def _unshared(_look: int, alpha: float, _planned: int | None) -> float:
    return alpha


def _twenty_eight_fold(units: Any, slack: float) -> float:
    return N_PAIRS * _sign_flip(units, slack)


BROKEN = [
    ("bench.analysis.pairs.holm", _unadjusted, "normal", "'better' or 'worse'", 20),
    ("bench.analysis.pairs.holm", _unadjusted, MARGIN, "'equivalent'", 30),
    ("bench.analysis.pairs.t_interval", _too_short, "normal", "simultaneous", 20),
    ("bench.analysis.pairs.t_interval", _too_short, "normal", "a mean difference", 20),
    (f"{sweep_studies.__name__}.t_interval", _too_short, "normal", "t interval of a mean", 20),
    ("bench.analysis.stats.effects.wilson_interval", _too_short_wilson, "normal", "Wilson", 20),
    (
        "bench.analysis.scope.MeanSquares.variance_of_mean",
        property(_seed_only_variance),
        IMAGES,
        "crossed",
        60,
    ),
    ("bench.analysis.sequential.holm", _unadjusted, EQUAL_FOUR, "until decided", 100),
    ("bench.analysis.sequential.sequential_pvalue", _smallest, EQUAL_PAIR, "until decided", 200),
    ("bench.analysis.sequential.t_interval", _too_short, EQUAL_FOUR, "repeated", 60),
    (f"{pair_studies.__name__}.look_level", _unshared, LOOKS, "planned", 400),
    (f"{pair_studies.__name__}.look_level", _unshared, LOOKS, "number", 400),
    (
        f"{pair_studies.__name__}.sign_flip_pvalue",
        _twenty_eight_fold,
        "true d_z 1.019",
        "power",
        100,
    ),
]


@pytest.mark.parametrize(("target", "fault", "scenario", "what", "repetitions"), some(BROKEN, 3))
def test_error_in_the_analysis_is_detected(
    target: str,
    fault: Callable[..., Any],
    scenario: str | Study[Any],
    what: str,
    repetitions: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(target, fault)
    study = _study(scenario) if isinstance(scenario, str) else scenario
    result = validate(repetitions, RNG, n_jobs=1, studies=[study])
    assert any(what in row.what for row in result.failures)


# --- the script ------------------------------------------------------------------------------


def _refuse(constant: str) -> Never:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.long
def test_the_command_prints_a_table_and_writes_strict_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "new" / "validation.json"
    code = script.main(["--repetitions", "2", "-j", "1", "--json", str(file)])
    captured = capsys.readouterr()
    written = json.loads(file.read_text(), parse_constant=_refuse)
    assert (written["repetitions"], written["rng"], written["alpha"]) == (2, RNG, 0.05)
    rows = written["rows"]
    assert len(rows) == sum(len(study.measures) for study in make_studies())
    assert code == int(any(row["met"] is False for row in rows))
    lines = captured.out.splitlines()
    assert max(map(len, lines)) <= 120
    for row in rows:
        assert row["what"] in lines
        assert any(line.startswith(f"  {row['scenario']} ") for line in lines)
        assert (row["met"] is None) == (row["requirement"] is None) == bool(row["note"])
    assert captured.err.count("simulated: ") == len(make_studies())


def test_another_number_of_repetitions_is_printed() -> None:
    one, two = (validate(n, RNG, n_jobs=1, studies=[EQUAL_PAIR]) for n in (2, 3))
    assert DIFFERENCE.what in script._lines(one)
    merged = replace(one, rows=two.rows)
    assert f"{DIFFERENCE.what} (3 repetitions)" in script._lines(merged)


def test_a_requirement_that_is_not_met_is_exit_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["--repetitions", "200", "--n-jobs", "1"]
    study = _study(LOOKS)
    monkeypatch.setattr(run, "make_studies", lambda: (study,))
    assert script.main(command) == 0
    assert "2 of 2 requirements met\n" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setattr(pair_studies, "look_level", _unshared)
    broken = _study(LOOKS)
    monkeypatch.setattr(run, "make_studies", lambda: (broken,))
    assert script.main(command) == 1
    printed = capsys.readouterr().out
    assert "0 of 2 requirements met\nNOT MET: type I error of one pair, looks at" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--repetitions 0", "--repetitions: must be at least 1 and at most 1000000, got 0"),
        ("--repetitions 1", "repetitions must be at least 2, got 1"),
        ("--repetitions many", "--repetitions: must be a whole number, got 'many'"),
        ("--rng -1", "rng must be a whole number of at least 0, got -1"),
        ("--rng 1.5", "--rng: must be a whole number, got '1.5'"),
        ("-j 0", "-j/--n-jobs: must be at least 1"),
        ("--json .", "cannot write the validation to .: it is not a regular file"),
        ("--seeds 3", "unrecognized arguments: --seeds 3"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(options.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("optimizer-bench: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
