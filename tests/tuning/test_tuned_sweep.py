"""``sweep --tune``: trials, selection, both tracks, the page, resuming and refusals."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from conftest import CommandCall

import bench
from bench import cli
from bench.analysis.tuning import means_by_repeat, select_settings
from bench.errors import MixedRunsError, SpecError, TrainingError, UsageError
from bench.spec.ranges import SearchRange
from bench.storage.store import Store, load_runs
from bench.sweeps.tuned import open_tuning, select
from bench.tuning.plan import TuningPlan

pytestmark = pytest.mark.usefixtures("undrawn")

SWEEP = (
    *("sweep", "--dataset", "digits", "--iterations", "40", "--eval-every", "40", "--name", "x"),
    *("--optimizers", "sgd,adam", "--seeds", "6", "--in-process"),
)
DEFAULTS = {"sgd": 0.1, "adam": 0.001}
TUNE = (*SWEEP, "--tune", "--tune-trials", "3", "--tune-seeds", "2")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a tuned sweep without its reports."""
    directory = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        assert cli.main([*TUNE, "--quiet", "--no-report"]) == 0
    return directory


def rows_of(directory: Path, name: str) -> pd.DataFrame:
    return load_runs(directory / "results" / name)


def test_both_tracks_are_trained_and_compared(tuned: Path, call_command: CommandCall) -> None:
    finished = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)(*TUNE)
    assert (finished.code, finished.err) == (0, "")
    lines = finished.out.splitlines()
    (chosen,) = [n for n, line in enumerate(lines) if line.startswith("chosen on held-out images")]
    assert lines[chosen] == "chosen on held-out images, after 12 trials:"
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


def test_the_page_shows_settings_gain_and_value(tuned: Path, call_command: CommandCall) -> None:
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    assert call("report", "results/x-trials").code == 0
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


#: Options of another tuning, and how the message names the change.
OTHER = [
    (("--tune-trials", "4"), "trials 3 -> 4"),
    (("--tune-seeds", "3", "--tune-for", "loss"), "seeds 2 -> 3; metric accuracy -> loss"),
    (
        ("--space", "adam[lr=0.1..1]"),
        "adam 3 settings in lr=1e-05..0.1 -> 3 settings in lr=0.1..1",
    ),
    (("--optimizers", "sgd"), "without adam"),
]


def test_a_tuned_sweep_is_resumed_and_its_trials_cannot_change(
    tuned: Path, call_command: CommandCall
) -> None:
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    lost = Store(tuned / "results" / "x-trials").rows_file
    before = rows_of(tuned, "x-trials").sort_values("run_key")
    lost.unlink()
    again = call(*TUNE, "--no-report", "--quiet")
    assert (again.code, again.out) == (0, ""), again.err
    after = rows_of(tuned, "x-trials").sort_values("run_key")
    assert after["test_loss"].tolist() == before["test_loss"].tolist()
    for options, change in OTHER:
        refused = call(*TUNE, *options)
        assert (refused.code, refused.out) == (2, "")
        assert (
            f"results/x-trials holds another tuning than this command asks for ({change})"
        ) in refused.err


def test_a_tuning_is_reported_and_checked(
    tuned: Path, tmp_path: Path, call_command: CommandCall
) -> None:
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    page = tuned / "reports" / "x-tuning.html"
    assert call("report", "results/x-trials").out == f"report: {page.relative_to(tuned)}\n"
    checked = call("report", "results/x-trials", "--check", str(page))
    assert (checked.code, checked.err) == (0, ""), checked.out
    altered = tmp_path / "altered.html"
    altered.write_text(page.read_text().replace("lr 0.1<", "lr 0.2<", 1))
    assert call("report", "results/x-trials", "--check", str(altered)).code == 1
    again = tmp_path / "again.html"
    assert call("report", "results/x-trials", "--output", str(again)).code == 0
    assert again.read_text() == page.read_text()
    found = json.loads(call("report", "results/x-trials", "--format", "json", "--output", "-").out)
    assert (found["schema_version"], found["n_repeats"], found["target"]) == (1, 1, None)
    assert [len(o["tried"]) for o in found["optimizers"]] == [3, 3]
    markdown = call("report", "results/x-trials", "--format", "markdown", "--output", "-").out
    assert "## Chosen settings" in markdown
    text = call("report", "results/x-trials", "--format", "csv", "--output", "-").out
    table = pd.read_csv(io.StringIO(text))
    assert table["role"].value_counts().to_dict() == {"tuning": 12, "default": 12, "tuned": 12}
    shown = call("analyze", "results/x-trials")
    assert (shown.code, shown.err) == (0, "")
    assert "what tuning changed: Tuned against default: " in shown.out
    for words, message in NOT_FOR_A_TUNING:
        refused = call(*words)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert message in refused.err


def test_runs_of_other_seeds_select_nothing(tuned: Path) -> None:
    stored = open_tuning(tuned / "results" / "x-trials")
    (trials,) = stored.trials
    rows = trials.rows.to_pylist()
    others = [{**row, "seed": 0, "test_accuracy": 1 - row["test_accuracy"]} for row in rows]
    both = pa.Table.from_pylist([*rows, *others], schema=trials.rows.schema)
    found = select(stored.plan, [replace(trials, rows=both)], 0.95)
    assert found == select(stored.plan, [trials], 0.95)


NOT_FOR_A_TUNING = [
    (
        ("report", "results/x-trials", "--latex", "x.tex"),
        "--latex is for one of the tracks of a tuning: x and x-tuned",
    ),
    (
        ("analyze", "results/x-trials", "--alpha", "0.01"),
        "results/x-trials is a tuning, which is analysed as it was declared: --alpha does not",
    ),
    (("analyze", "results/x-trials", "--latex", "-"), "--latex is for one of the tracks"),
]


def test_a_tuned_track_is_read_by_the_names_of_its_settings(
    tuned: Path, tmp_path: Path, call_command: CommandCall
) -> None:
    """The plan may have another order than the stored sweeps, and their rows may be incomplete."""
    shutil.copytree(tuned / "results", tmp_path / "results")
    results = tmp_path / "results"
    before = open_tuning(results / "x-trials").result()
    file = results / "x-trials" / "tuning.json"
    plan = TuningPlan.from_json(file.read_text())
    file.write_text(replace(plan, variants=plan.variants[::-1]).to_json())
    assert open_tuning(results / "x-trials").result() == before
    for name, message in (
        ("x-tuned", "the chosen setting of adam"),
        ("x-trials", "x-trials lacks"),
    ):
        runs = Store(results / name).rows_file
        rows = pq.read_table(runs)
        is_other = pc.invert(pc.starts_with(rows["optimizer"], "adam"))
        pq.write_table(rows.filter(is_other), runs)
        shutil.rmtree(results / name / "runs", ignore_errors=True)
        refused = call_command("analyze", "results/x-trials")
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert message in refused.err
    (results / "x-trials").rename(results / "y-trials")
    refused = call_command("analyze", "results/y-trials")
    assert "results/y-trials has the plan of x-trials: a tuning cannot be renamed" in refused.err


@pytest.mark.parametrize("name", ["c-trials", "c-trials-2", "c-tuned", "c-tuned-2"])
def test_a_new_tuning_takes_no_directory_of_another_sweep(
    name: str, call_command: CommandCall
) -> None:
    Store(call_command.directory / "results" / name).create()
    spec = bench.specify(optimizers="sgd", dataset="digits", seeds=2, name=name)
    Store(call_command.directory / "results" / name).write_spec(spec)
    refused = call_command(*TUNE, "--name", "c", "--tune-repeats", "2", "--no-report")
    assert (refused.code, refused.out) == (2, "")
    assert f"results/{name} holds a sweep that is not of this tuning" in refused.err
    assert [path.name for path in (call_command.directory / "results").iterdir()] == [name]


def test_defaults_that_were_declared_otherwise_are_refused_before_the_trials(
    tuned: Path, call_command: CommandCall
) -> None:
    results = call_command.directory / "results"
    shutil.copytree(tuned / "results" / "x", results / "x")
    refused = call_command(*TUNE, "--margin", "0.01")
    assert (refused.code, refused.out) == (2, "")
    assert "results/x was declared with margin=0.002" in refused.err
    assert [path.name for path in results.iterdir()] == ["x"]


def test_a_tuning_from_python_has_the_same_runs(tuned: Path) -> None:
    spec = bench.specify(
        optimizers="sgd,adam", dataset="digits", seeds=6, iterations=40, eval_every=40, name="x"
    )
    before = {name: rows_of(tuned, name) for name in ("x-trials", "x", "x-tuned")}
    results = tuned / "results"
    found = bench.tune(spec, trials=3, seeds=2, results=results, in_process=True)
    assert found == bench.load_tuning(results / "x-trials")
    assert [tuned.optimizer for tuned in found.optimizers] == sorted(
        DEFAULTS, key=lambda name: -before["x"].groupby("optimizer")["test_accuracy"].mean()[name]
    )
    for name, rows in before.items():  # nothing was trained again
        assert rows_of(tuned, name)["started_at"].equals(rows["started_at"])
    with pytest.raises(MixedRunsError, match="holds another tuning"):
        bench.tune(spec, spaces={"adam": {"lr": (0.1, 1)}}, results=results)
    with pytest.raises(SpecError, match="spaces must be a mapping such as"):
        bench.tune(spec, spaces={"adam": {"lr": (1,)}}, results=results)  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="no tuning at"):
        bench.load_tuning(results / "x")


EXTENDED = (
    *("sweep", "--dataset", "digits", "--iterations", "20", "--eval-every", "20", "--name", "e"),
    *("--optimizers", "sgd,adam", "--seeds", "2", "--in-process", "--tune", "--tune-trials", "2"),
    *("--tune-seeds", "1", "--tune-extend", "--space", "sgd[lr=1e-4..1e-2],adam[lr=1e-3..1e-2]"),
    "--no-report",
)


def test_ranges_are_extended_until_the_best_setting_is_inside(
    tuned: Path, call_command: CommandCall
) -> None:
    """The best learning rate of sgd, about 0.1 to 1, is beyond its range."""
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    finished = call(*EXTENDED)
    assert (finished.code, finished.err) == (0, "")
    stored = open_tuning(tuned / "results" / "e-trials")
    assert {len(variant.extra) for variant in stored.plan.variants} <= {1, 2, 3}
    (n_tried,) = {len(of.tried) for of in stored.optimizers}
    assert len(rows_of(tuned, "e-trials")) == 2 * n_tried
    sgd = next(of for of in stored.optimizers if of.optimizer == "sgd")
    assert dict(sgd.chosen.setting)["lr"] > 0.01
    before = rows_of(tuned, "e-trials")
    assert call(*EXTENDED).code == 0
    assert rows_of(tuned, "e-trials")["started_at"].equals(before["started_at"])
    refused = call(*(word for word in EXTENDED if word != "--tune-extend"))
    assert "(extend True -> False)" in refused.err


REPEATED = (
    *("sweep", "--dataset", "digits", "--iterations", "20", "--eval-every", "10", "--name", "r"),
    *("--optimizers", "sgd,adam", "--seeds", "12", "--in-process", "--tune", "--tune-trials", "2"),
    *("--tune-seeds", "1", "--tune-repeats", "6", "--tune-for", "time-to-target"),
    *("--target", "0.5"),
)


def test_a_repeated_tuning_is_judged_by_its_repeats(tuned: Path, call_command: CommandCall) -> None:
    call = CommandCall(tuned, call_command.monkeypatch, call_command.capsys)
    finished = call(*REPEATED)
    assert (finished.code, finished.err) == (0, "")
    stored = open_tuning(tuned / "results" / "r-trials")
    assert len({t.rows["data_hash"][0].as_py() for t in stored.trials}) == 6
    assert sorted(s for t in stored.tuned for s in t.rows["seed"].to_pylist()) == sorted(
        [*range(12), *range(12)]
    )
    found = stored.result()
    assert (found.n_repeats, found.target, found.change.parameters.n_blocks) == (6, 0.5, 6)
    means = stored.tuned_analysis().comparison
    rows = pd.concat(t.rows.to_pandas() for t in stored.tuned)
    rows["optimizer"] = rows["optimizer"].str.split("[").str[0]
    expected = rows.groupby("optimizer")["test_accuracy"].mean()
    assert {t.name: t.mean for t in means.treatments} == pytest.approx(expected.to_dict())
    changes = {change.optimizer: change for change in found.change.changes}
    default = rows_of(tuned, "r").groupby("optimizer")["test_accuracy"].mean()
    for name, change in changes.items():
        assert change.mean_difference == pytest.approx(expected[name] - default[name])
    page = (tuned / "reports" / "r-tuning.html").read_text()
    assert "The unit of every test is the repeat" in page
    assert "With 6 common repeats no change can be significant" in page
    for name in ("r-tuning", "r-tuned"):
        directory = f"results/{name.replace('tuning', 'trials')}"
        checked = call("report", directory, "--check", f"reports/{name}.html")
        assert checked.code == 0, checked.out
    refused = call(*REPEATED[:-2], "--seeds", "9")
    assert "their number must be a multiple of 6, got 9" in refused.err


REFUSED = [
    (("--tune", "--dataset", "digits,mnist"), "--tune needs one dataset, got 2"),
    (("--tune", "--dataset", "digits/validation"), "a tuning holds images out itself"),
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
    assert finished.out.count("margin: ") == 1  # nothing is tested on the trials
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
    found = select_settings(
        [trials(results)],
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
        select_settings(
            [rows],
            optimizer="sgd",
            settings={"a": (("lr", 0.1),)},
            ranges=(),
            default=(),
            metric="accuracy",
        )


TIMES = {
    "the fewest updates": ({"a": [[0.1, 0.96], [0.1, 0.97]], "b": [[0.96, 0.96]] * 2}, "b"),
    "not one that fails to arrive": (
        {"a": [[0.96, 0.96], [0.1, 0.2]], "b": [[0.1, 0.95]] * 2},
        "b",
    ),
    "the most accurate of those": ({"a": [[0.1, 0.2]] * 2, "b": [[0.1, 0.3]] * 2}, "b"),
}


@pytest.mark.parametrize("name", TIMES)
def test_the_fastest_setting_is_selected(name: str) -> None:
    results, best = TIMES[name]
    rows = trials({key: [(OK, curve[-1]) for curve in runs] for key, runs in results.items()})
    rows["eval_iterations"] = [[10, 20]] * len(rows)
    rows["eval_test_accuracy"] = [curve for runs in results.values() for curve in runs]
    found = select_settings(
        [rows],
        optimizer="sgd",
        settings={key: (("lr", float(n)),) for n, key in enumerate(results, 1)},
        ranges=(),
        default=(),
        metric="time-to-target",
    )
    assert found.chosen.name == best


def test_every_repeat_selects_by_its_own_trials() -> None:
    first = trials({"a": [(OK, 0.9)], "b": [(OK, 0.8)]})
    second = trials({"a": [(OK, 0.5)], "b": [(OK, 0.6)]}).assign(seed=1)
    found = select_settings(
        [first, second],
        optimizer="sgd",
        settings={"a": (("lr", 1.0),), "b": (("lr", 2.0),)},
        ranges=(),
        default=(),
        metric="accuracy",
    )
    assert [choice.name for choice in found.choices] == ["a", "b"]
    assert [tried.accuracies for tried in found.tried] == [(0.9, 0.5), (0.8, 0.6)]
    assert found.validation_accuracy == pytest.approx(0.75)


def test_means_by_repeat() -> None:
    runs = trials({"a": [(OK, 0.9), (OK, 0.7), ("diverged", 0.1), ("failed", 0.9), (OK, 0.5)]})
    found = means_by_repeat(runs, [(0, 1), (2,), (3, 4)])
    assert found["seed"].tolist() == [1, 2, 3]
    assert found["status"].tolist() == [OK, "diverged", "failed"]
    assert found["test_accuracy"].tolist()[:2] == pytest.approx([0.8, 0.1])
    assert found["test_accuracy"].isna().tolist() == [False, False, True]
    # a run of a repeat is missing, and one is of no repeat
    assert means_by_repeat(runs, [(0, 1), (2, 9)])["seed"].tolist() == [1]
