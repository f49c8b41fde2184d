"""Sweeps that add seeds until every pair of optimizers is decided."""

from __future__ import annotations

import io
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import torch
from _stored import EXAMPLE, copy_example
from conftest import CommandCall, CommandLine
from rich.console import Console

import bench
from bench.analysis import SweepAnalysis
from bench.analysis.results import SequentialLook
from bench.analysis.sequential import predicted_seeds
from bench.cli import watch
from bench.errors import MixedRunsError, SpecError, StoreError, UsageError
from bench.execution.resources import resolve_execution
from bench.spec.model import SweepSpec
from bench.spec.options import ExecutionOptions
from bench.storage.rows import write_rows
from bench.storage.store import Store
from bench.sweeps.run import LooksTaken, SweepEvent, run_sweep
from bench.sweeps.sequential import forecast, parameters_of, required_runs

LOOKS = (9, 11, 14)
#: Columns that depend on the machine and the moment.
_OTHER = ("started_at", "train_seconds", "eval_seconds", "eval_train_seconds", "n_jobs")
#: The last one learns nothing: its pairs are decided at the first look, and the other pair at none.
OPTIMIZERS = "momentum,nesterov,adam[lr=0.00001]"
WORDS = (
    *("sweep", "--until-decided", "--looks", "9,11,14", "--optimizers", OPTIMIZERS),
    *("--dataset", "digits", "--iterations", "20", "--name", "x", "--quiet", "--no-report"),
)


def declared(**changes: Any) -> SweepSpec:
    settings: dict[str, Any] = {"optimizers": OPTIMIZERS, "until_decided": LOOKS, "name": "x"}
    return bench.specify(**{**settings, "dataset": "digits", "iterations": 20, **changes})


def results_of(directory: Path) -> list[dict[str, Any]]:
    """The rows without what depends on the machine, in the order of the runs."""
    rows = Store(directory).read_rows().drop_columns(list(_OTHER)).to_pylist()
    return sorted(rows, key=lambda row: (row["seed"], row["optimizer"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("until")
    bench.sweep(declared(), results=directory, in_process=True)
    return directory / "x"


def test_only_optimizers_of_undecided_pairs_get_more_seeds(finished: Path) -> None:
    rows = results_of(finished)
    assert Counter(row["optimizer"] for row in rows) == {
        "momentum": 14,
        "nesterov": 14,
        "adam[lr=1e-05]": 9,
    }
    analysis = bench.analyse(finished)
    sequential = analysis.comparison.sequential
    assert sequential is not None
    assert [len(look.open_pairs) for look in sequential.looks] == [1, 1, 1]
    assert (sequential.n_runs, sequential.n_runs_fixed, sequential.is_finished) == (37, 42, True)
    assert not (finished / "looks.json").exists()
    assert not any("not stored" in warning for warning in analysis.comparison.warnings)


def test_the_same_call_again_trains_nothing(finished: Path) -> None:
    before = (finished / "runs.parquet").read_bytes()
    bench.sweep(declared(), results=finished.parent, in_process=True)
    assert (finished / "runs.parquet").read_bytes() == before


@pytest.mark.parametrize(
    "stop_after", [pytest.param(n, marks=pytest.mark.long) for n in (3, 30)] + [27]
)
def test_an_interrupted_sweep_goes_on_with_the_same_looks(
    stop_after: int, finished: Path, tmp_path: Path
) -> None:
    """Within a look, and between two: 27 runs belong to the first."""
    n_events = 0

    def interrupt(event: SweepEvent) -> None:
        nonlocal n_events
        n_events += type(event).__name__ == "RunEvent"
        if n_events == stop_after:
            raise KeyboardInterrupt

    run(tmp_path, interrupt)
    assert len(Store(tmp_path / "x").read_rows()) == stop_after
    run(tmp_path, lambda _: None)
    assert results_of(tmp_path / "x") == results_of(finished)


def run(results: Path, on_event: Callable[[SweepEvent], None]) -> None:
    execution = resolve_execution(ExecutionOptions(device="cpu", in_process=True))
    store = Store(results / "x")
    with suppress(KeyboardInterrupt):
        run_sweep(declared(), store, execution, on_event=on_event, on_damage=lambda _: None)


def test_events(tmp_path: Path) -> None:
    looks: list[int] = []

    def remember(event: SweepEvent) -> None:
        if isinstance(event, LooksTaken):
            looks.append(event.looks[-1].n_blocks)

    run(tmp_path, remember)
    assert looks == [9, 11, 14]


@pytest.mark.long
def test_a_look_waits_for_failed_runs(tmp_path: Path) -> None:
    flag = tmp_path / "fails"

    class Flaky(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            if flag.exists():
                raise RuntimeError("no step")
            return super().step(closure)

    spec = declared(optimizers=["adam[lr=0.00001]", ("flaky", Flaky, {"lr": 0.1})])
    flag.touch()  # the trial step has succeeded
    runs = bench.sweep(spec, results=tmp_path, in_process=True)
    assert len(runs) == 18
    assert Counter(runs["status"]) == {"ok": 9, "failed": 9}
    with pytest.raises(UsageError, match=r"no look at x is complete.*9 of these runs are mis"):
        bench.analyse(tmp_path / "x")
    flag.unlink()
    assert set(bench.sweep(spec, results=tmp_path, in_process=True)["status"]) == {"ok"}
    assert bench.analyse(tmp_path / "x").comparison.sequential is not None


FLAKY = """
from pathlib import Path
import torch

class Flaky(torch.optim.SGD):
    n_steps = 0

    def step(self, closure=None):
        self.n_steps += 1
        if self.n_steps > 10 and Path("fails").exists():
            raise RuntimeError("no step")
        return super().step(closure)
"""


@pytest.mark.usefixtures("undrawn", "digits")
def test_the_command_says_which_look_waits(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    (call_command.directory / "flaky.py").write_text(FLAKY)
    (call_command.directory / "fails").touch()
    monkeypatch.syspath_prepend(call_command.directory)
    words = ("sweep", "--until-decided", "--looks", "9,11", "--dataset", "digits", "--in-process")
    more = ("--optimizers", "adam,flaky:Flaky[lr=0.1]", "--iterations", "20", "--name", "x")
    waits = call_command(*words, *more)
    assert waits.code == 1
    assert "look 1 (9 seeds) waits for failed runs: give the same command again" in waits.err
    assert not list((call_command.directory / "reports").glob("*.html"))


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"until_decided": (9, 11, 15)}, "looks=9,11,14 before .* repeat --until-decided --looks 9,11"),
    ({"until_decided": False, "seeds": 14}, "looks=9,11,14 before its runs were seen"),
    (
        {"optimizers": "momentum,nesterov"},
        r"the pairs of adam\[lr=1e-05\], mom.* are decided",
    ),
    ({"alpha": 0.01}, "alpha=0.05 before its runs were seen"),
]


@pytest.mark.parametrize(("changes", "message"), OTHERS)
def test_another_declaration_is_refused(
    changes: dict[str, Any], message: str, finished: Path
) -> None:
    before = {file: file.read_bytes() for file in finished.glob("*.*")}
    with pytest.raises(MixedRunsError, match=message):
        bench.sweep(declared(**changes), results=finished.parent, in_process=True)
    assert {file: file.read_bytes() for file in finished.glob("*.*")} == before


def test_fixed_seeds_cannot_become_looks(tmp_path: Path) -> None:
    fixed = declared(until_decided=False, seeds=2)
    bench.sweep(fixed, results=tmp_path, in_process=True)
    with pytest.raises(MixedRunsError, match="looks=1 before its runs were seen"):
        bench.sweep(declared(), results=tmp_path, in_process=True)


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"seeds": 20}, "seeds and until_decided exclude each other, got seeds=20"),
    ({"until_decided": (5,)}, "at least two numbers of seeds"),
    ({"until_decided": True, "max_seeds": 5}, "--max-seeds must be at least 10 for two looks"),
    ({"until_decided": True, "max_seeds": "many"}, "a whole number of at most 10000, got 'many'"),
    ({"until_decided": True, "max_seeds": 10_001}, "a whole number of at most 10000, got 10001"),
    ({"until_decided": (9.0, 18.0)}, "at least two numbers of seeds, ascending"),
    ({"until_decided": (9, 10**30)}, "from 3 to 10000"),
    ({"max_seeds": 20}, "max_seeds goes with until_decided=True, got 20 and until_decided="),
    ({"until_decided": 5}, "until_decided must be True, False or numbers of seeds, got 5"),
    ({"until_decided": True, "alpha": 2.0}, "alpha must lie between 0 and 1"),
    ({"optimizers": "sgd"}, "needs at least two optimizers, got one"),
    ({"looks": 2}, "without looks, got correction 'holm' and looks 2"),
    ({"correction": "max-t"}, "goes with the correction holm"),
]


@pytest.mark.parametrize(("changes", "message"), SETTINGS)
def test_settings_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        declared(**changes)


def test_seeds_ascend() -> None:
    spec = declared()
    with pytest.raises(SpecError, match="as its last look, 14, ascending, got 14"):
        replace(spec, seeds=spec.seeds[::-1])


def test_calls_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="force=True"):
        bench.sweep(declared(), results=tmp_path, force=True)
    with pytest.raises(SpecError, match="fixed number of seeds: leave out until_decided"):
        bench.tune(declared(), results=tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_declaration_is_stored_and_read_again(finished: Path) -> None:
    spec = Store(finished).read_spec()
    assert spec == declared()
    assert spec.declaration.until_decided == LOOKS
    assert len(spec.seeds) == 14
    plain = SweepSpec.from_json((EXAMPLE / "spec.json").read_text())
    assert plain.declaration.until_decided == ()
    assert "until_decided" not in plain.to_json()


def test_auto_looks_double() -> None:
    assert declared(until_decided=True).declaration.until_decided == (10, 20, 40, 80, 160)
    assert declared(until_decided=True).seeds == tuple(range(160))


# --- the commands ----------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_commands_on_a_finished_sweep(call_command: CommandCall, finished: Path) -> None:
    """The spec file and the printed command line declare the same sweep."""
    there = ("--results", finished.parent)
    again = call_command("sweep", "--config", finished / "sweep.yaml", *there)
    assert again.code == 0
    assert "nothing to do: 37 runs are stored" in again.out
    (line,) = (line for line in again.out.splitlines() if line.startswith("reproduce:"))
    assert "--until-decided" in line
    assert "--looks 9,11,14" in line
    assert "--seeds" not in line
    assert call_command("report", finished, "--check", "reports/x.html").code == 0
    analyzed = call_command("analyze", finished)
    assert analyzed.code == 0
    dry = call_command("sweep", "--config", finished / "sweep.yaml", *there, "--dry-run")
    assert "runs:   37 up to look 3, of which 37 are done" in dry.out
    for words in (("--alpha", "0.01"), ("--correction", "max-t"), ("--unpaired",)):
        other = call_command("analyze", finished, *words)
        assert (other.code, "is judged as it was declared" in other.err) == (2, True)


@pytest.mark.usefixtures("digits")
def test_a_dry_run_counts_the_runs(call_command: CommandCall) -> None:
    copy_example(call_command.directory)
    words = ("sweep", "--until-decided", "--dry-run")
    out = call_command(*words, "--optimizers", "momentum,adadelta").out
    assert "looks at 8, 16, 32, 64, 128, 160 seeds" in out
    assert "in all: at least 16 runs, at most 320, probably about " in out
    assert "(from results/example)" in out
    unknown = call_command(*words, "--optimizers", "sgd,asgd").out
    assert "in all: at least 16 runs, at most 320\n" in unknown


def test_the_forecast_is_that_of_the_sweep_with_the_most_runs(tmp_path: Path) -> None:
    copy_example(tmp_path)
    spec = bench.specify(until_decided=True)
    found = forecast(spec, tmp_path / "results")
    assert found is not None
    assert found.source == tmp_path / "results" / "example"
    assert 104 < found.n_runs < 1280
    other = replace(spec, workload=replace(spec.workload, iterations=10))
    assert forecast(other, tmp_path / "results") is None


def test_watching_ends_with_the_sweep(
    call_command: CommandCall, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are added at each reading."""
    directory = call_command.directory / "results" / "x"
    rows, store = Store(finished).read_rows(), Store(directory)
    store.create()
    store.write_spec(declared())
    (directory / ".lock.pid").write_text("1\n")
    runs = list(required_runs(declared(), rows).runs(declared()))

    def train(_seconds: float) -> None:
        for each in [runs.pop(0) for _ in runs[:6]]:
            row = [r for r in rows.to_pylist() if r["run_key"] == each.key]
            write_rows(rows.from_pylist(row, schema=rows.schema), store.run_file(each))

    monkeypatch.setattr(watch.time, "sleep", train)
    shown = call_command("watch", directory, "--interval", "0.01")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0] == "sweep x: 0/27 runs, 0 failed"
    assert lines[1].startswith("Progress only, no verdicts: this does not count as a look")
    assert lines[-1] == "sweep x: 37/37 runs, 0 failed, 3 looks taken, finished"
    assert any("30/31 runs, 0 failed, 1 look taken" in line for line in lines)
    assert not (directory / "looks.json").exists()


@pytest.mark.parametrize(
    ("name", "expected"), [("three", "24/24 runs, 0 failed, finished"), ("gone", "no sweep is wr")]
)
def test_watching_without_a_running_sweep(
    name: str, expected: str, call_command: CommandCall
) -> None:
    from _stored import three_seeds

    directory = three_seeds(call_command.directory)
    if name == "gone":
        spec = SweepSpec.from_json((directory / "spec.json").read_text())
        Store(directory).write_spec(replace(spec, seeds=(0, 1, 2, 3)))
    shown = call_command("watch", directory)
    assert expected in shown.out


def test_watching_nothing(call_command: CommandCall) -> None:
    refused = call_command("watch", "nowhere")
    assert refused.code == 2
    assert "no sweep at nowhere: expected its directory" in refused.err


@pytest.mark.long
@pytest.mark.parametrize("n_runs", [5, 27, 30])
def test_a_killed_sweep_goes_on_with_the_same_looks(
    n_runs: int, run_command: CommandLine, finished: Path
) -> None:
    """The whole process group is killed when so many runs are stored; the first look has 27."""
    results = Store(run_command.directory / "results" / "x")
    with run_command.start(*WORDS, "-j", "2") as process:
        while process.poll() is None:
            with suppress(StoreError):  # files are put together
                if len(results.read_rows()) >= n_runs:
                    os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
    assert len(results.read_rows()) >= n_runs
    done = run_command(*WORDS, "-j", "2")
    assert (done.code, done.err) == (0, "")
    assert results_of(results.directory) == results_of(finished)


def test_a_seed_that_is_missing_is_not_replaced_by_a_later_one(finished: Path) -> None:
    rows = Store(finished).read_rows()
    without = rows.filter(pc.not_equal(rows["seed"], 4))
    needed = required_runs(declared(), without)
    assert needed.looks == ()
    assert set(needed.n_seeds.values()) == {9}
    assert len(required_runs(declared(), rows).looks) == 3


def test_a_look_without_one_of_its_rows(finished: Path, tmp_path: Path) -> None:
    """The rows of later looks do not count."""
    store, rows = Store(tmp_path / "x"), Store(finished).read_rows()
    store.create()
    store.write_spec(declared())
    is_gone = pc.and_(pc.equal(rows["seed"], 3), pc.equal(rows["optimizer"], "momentum"))
    write_rows(rows.filter(pc.invert(is_gone)), store.rows_file)
    with pytest.raises(UsageError, match="needs 9 seeds of each optimizer, and 1 of these runs"):
        bench.analyse(tmp_path / "x")


def test_watching_in_a_terminal(finished: Path) -> None:
    """A sweep whose pairs are all decided has no open pairs to list."""
    console = Console(file=io.StringIO(), width=100)
    console.print(watch._read(finished).render())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "sweep x: 37/37 runs, 0 failed, 3 looks taken, finished" in shown
    assert "open: momentum and nesterov, " in shown
    assert "98.33 % interval" in shown.replace("\xa0", " ")
    look = SequentialLook(look=1, n_blocks=9, treatments=("a", "b"), pairs=())
    assert predicted_seeds([look], parameters_of(declared())) == ()


def test_the_analysis_has_no_runs_of_a_look_in_progress(finished: Path, tmp_path: Path) -> None:
    store, rows = Store(tmp_path / "x"), Store(finished).read_rows()
    store.create()
    store.write_spec(declared())
    kept = [r for r in rows.to_pylist() if r["seed"] < 10]
    write_rows(rows.from_pylist(kept, schema=rows.schema), store.rows_file)
    analysis: SweepAnalysis = bench.analyse(tmp_path / "x")
    assert analysis.comparison.parameters.n_blocks == 9
    assert {score.seed for score in analysis.scores} == set(range(9))
    warnings = analysis.comparison.warnings
    assert any(
        "failed runs of the look in progress: 2. This look is not judged" in warning
        for warning in warnings
    )
