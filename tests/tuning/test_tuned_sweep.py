"""``sweep --tune``: trials, selection, both tracks, the page, resuming and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import CommandCall

from bench.analysis.tuning import select_setting
from bench.errors import TrainingError
from bench.spec.ranges import SearchRange
from bench.storage.store import Store, load_runs

pytestmark = pytest.mark.usefixtures("undrawn")

SWEEP = (
    *("sweep", "--dataset", "digits", "--iterations", "40", "--eval-every", "40", "--name", "x"),
    *("--optimizers", "sgd,adam", "--seeds", "6", "--in-process"),
)
DEFAULTS = {"sgd": 0.1, "adam": 0.001}
TUNE = (*SWEEP, "--tune", "--tune-trials", "3", "--tune-seeds", "2")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tuned sweep."""
    return tmp_path_factory.mktemp("tuned")


def rows_of(directory: Path, name: str) -> pd.DataFrame:
    return load_runs(directory / "results" / name)


def test_both_tracks_are_trained_and_compared(tuned: Path, call_command: CommandCall) -> None:
    finished = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)(*TUNE)
    assert (finished.code, finished.err) == (0, "")
    lines = finished.out.splitlines()
    (chosen,) = [n for n, line in enumerate(lines) if line.startswith("chosen by accuracy on ")]
    assert lines[chosen] == "chosen by accuracy on 239 held-out images, after 12 trials:"
    trials = rows_of(tuned, "x-trials")
    means = trials.groupby("optimizer")["test_accuracy"].mean()
    for place, name in enumerate(("sgd", "adam"), 1):
        own = means[[n for n in means.index if n.split("[")[0] == name]]
        best = own.idxmax()
        shown = lines[chosen + place]
        value = DEFAULTS[name] if best == name else float(best.removesuffix("]").split("=")[1])
        assert shown.startswith(f"  {name}: lr {value:g} (default lr {DEFAULTS[name]:g})")
    assert "what tuning changed: Tuned against default: " in finished.out
    assert {p.name for p in (tuned / "reports").iterdir()} == {
        *("x.html", "x-tuned.html", "x-tuning.html"),
    }


def test_every_optimizer_has_equal_trials_on_other_images_and_seeds(tuned: Path) -> None:
    trials, default, chosen = (rows_of(tuned, name) for name in ("x-trials", "x", "x-tuned"))
    runs = trials.groupby(trials["optimizer"].str.split("[").str[0]).size()
    assert runs.to_dict() == {"sgd": 6, "adam": 6}
    assert set(trials["seed"]).isdisjoint({*default["seed"], *chosen["seed"]})
    assert set(trials["dataset"]) == {"digits/validation"}
    assert set(default["dataset"]) == set(chosen["dataset"]) == {"digits"}
    assert set(trials["test_total"]) == {239}
    assert set(default["test_total"]) == {360}
    assert set(trials["data_hash"]).isdisjoint(default["data_hash"])
    assert len(default) == len(chosen) == 12


def test_the_page_shows_settings_gain_and_value(tuned: Path) -> None:
    page = (tuned / "reports" / "x-tuning.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    for text in (
        "Every optimizer had 3 settings, each with the same 2 tuning seeds",
        "the test images were not used",
        'href="x.html"',
        'href="x-tuned.html"',
        "lr 1e-05 to 0.1",
        "What tuning gained",
        "--name x --optimizers sgd,adam --dataset digits --iterations 40 --eval-every 40 --device "
        "cpu --tune --tune-trials 3 --tune-seeds 2</code>",
        ">p diff ",
        "Expected best validation accuracy",
    ):
        assert text in page


def test_a_tuned_sweep_is_resumed_and_its_trials_cannot_change(
    tuned: Path, call_command: CommandCall
) -> None:
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    lost = Store(tuned / "results" / "x-trials").rows_file
    before = rows_of(tuned, "x-trials").sort_values("run_key")
    lost.unlink()
    again = call(*TUNE, "--no-report")
    assert again.code == 0, again.err
    after = rows_of(tuned, "x-trials").sort_values("run_key")
    assert after["test_loss"].tolist() == before["test_loss"].tolist()
    for options in (("--tune-trials", "4"), ("--tune-seeds", "3"), ("--space", "adam[lr=0.1..1]")):
        refused = call(*TUNE, *options)
        assert (refused.code, refused.out) == (2, "")
        assert (
            "results/x-trials holds other trials (6 settings from sgd[lr=0.001] to" in refused.err
        )


REFUSED = [
    (("--tune", "--dataset", "digits,mnist"), "--tune needs one dataset, got 2"),
    (("--tune", "--dataset", "digits/validation"), "--tune holds images out itself"),
    (("--tune", "--tune-over", "momentum"), "adam has none of momentum to tune"),
    (("--tune", "--space", "adam"), "argument --space: --space must be of the form"),
    (("--tune", "--seed-list", "1000000"), "seed 1000000 is a tuning seed"),
    (("--tune-trials", "3"), "--tune-trials needs --tune"),
    (("--space", "adam[lr=0.1..1]"), "--space needs --tune"),
    (("--tune", "--tune-trials", "0"), "argument --tune-trials: must be at least 1"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_a_wrong_tuning_is_refused(
    options: tuple[str, ...], message: str, call_command: CommandCall
) -> None:
    finished = call_command("sweep", "--optimizers", "sgd,adam", *options)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert message in finished.err
    assert not any(call_command.directory.iterdir())


def test_a_dry_run_plans_all_three_sweeps(call_command: CommandCall) -> None:
    finished = call_command(*TUNE, "--dry-run")
    assert finished.code == 0, finished.err
    assert "x-trials" in finished.out
    assert "runs:   12, of which 0 are done" in finished.out
    assert "tuned:  x-tuned: the chosen settings, as many runs as x" in finished.out
    assert not (call_command.directory / "results").exists()


# --- selection


def trials(results: dict[str, list[tuple[str, float]]]) -> pd.DataFrame:
    rows = [
        {
            **{"optimizer": name, "seed": seed, "status": status},
            **{"test_accuracy": accuracy, "test_loss": 1 - accuracy, "train_seconds": 2.0},
        }
        for name, runs in results.items()
        for seed, (status, accuracy) in enumerate(runs)
    ]
    return pd.DataFrame(rows)


OK = "ok"
SELECTED = {
    "the best mean": ({"a": [(OK, 0.9), (OK, 0.7)], "b": [(OK, 0.79), (OK, 0.8)]}, "a", ("lr",)),
    "not a diverged one": ({"a": [(OK, 0.9), ("diverged", 0.1)], "b": [(OK, 0.2)] * 2}, "b", ()),
    "not a failed one": ({"a": [(OK, 0.9), ("failed", 0.9)], "b": [(OK, 0.2)] * 2}, "b", ()),
    "the first of two": ({"b": [(OK, 0.5)] * 2, "a": [(OK, 0.5)] * 2}, "b", ()),
}


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
@pytest.mark.parametrize("name", SELECTED)
def test_the_best_setting_is_selected(name: str, metric: str) -> None:
    results, best, edge = SELECTED[name]
    values = {"a": 0.1, "b": 0.01}
    found = select_setting(
        trials(results),
        optimizer="sgd",
        settings={name: (("lr", values[name]),) for name in results},
        ranges=(SearchRange(name="lr", low=0.001, high=0.1),),
        default=(("lr", 0.05),),
        metric=metric,
    )
    assert (found.chosen.name, found.edge) == (best, edge)
    assert found.seconds == 8.0
    assert bool(found.expected_best) == ("failed" not in json.dumps(results))


def test_no_setting_can_be_selected() -> None:
    rows = trials({"a": [("failed", 0.9)]})
    with pytest.raises(TrainingError, match="no setting of sgd can be chosen"):
        select_setting(
            rows,
            optimizer="sgd",
            settings={"a": (("lr", 0.1),)},
            ranges=(),
            default=(),
            metric="accuracy",
        )
