"""The project from Python: the same sweeps, checks and messages as from the command line."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import _typed_api
import pandas as pd
import pyarrow as pa
import pytest
import torch
from _stored import copy_example, few_rows
from filelock import FileLock

import bench
from bench.cli.arguments import make_parser
from bench.cli.sweep import make_spec
from bench.errors import BenchError, MixedRunsError, SpecError, TrainingError, UsageError
from bench.spec.expressions import MAX_SEEDS
from bench.storage.looks import Ledger
from bench.storage.records import FILE_COLUMN
from bench.storage.rows import read_rows
from bench.storage.store import Store

FAST: dict[str, Any] = {
    **{"optimizers": "sgd,adam", "seeds": 2, "iterations": 20, "name": "fast"},
    "dataset": "digits",  # few images: the evaluations on MNIST take most of the time
}

LOCK = Lock()


class SGD:
    """In place of an optimizer of torch, whose first one imports torch._dynamo for two seconds."""

    def __repr__(self) -> str:
        return "SGD (\nParameter Group 0\n    lr: 0.1\n)"


MINE = """
import torch

class Gives(torch.optim.SGD):
    def step(self, closure=None):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps > 8:
            raise ValueError("gives up")
        super().step()
"""


class Stepless:
    """A class that a program may give by mistake."""

    def __init__(self, params: object) -> None:
        pass


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An optimizer that fails once it is past the trial before the sweep."""
    (tmp_path / "giving.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "giving", raising=False)
    return "giving:Gives[lr=0.1]"


def fast_sweep(spec: bench.SweepSpec, results: Path, **more: Any) -> pd.DataFrame:
    return bench.sweep(spec, results=results, in_process=True, device="cpu", **more)


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fast sweep stores."""
    directory = tmp_path_factory.mktemp("results")
    fast_sweep(bench.specify(**FAST), directory)
    return directory / "fast"


class TestNames:
    @pytest.mark.parametrize("name", bench.__all__)
    def test_every_public_name_is_there_and_listed(self, name: str) -> None:
        assert getattr(bench, name) is not None
        assert name in dir(bench)

    def test_another_name_is_an_error(self) -> None:
        with pytest.raises(AttributeError, match="module 'bench' has no attribute 'swep'"):
            getattr(bench, "swep")  # noqa: B009 - mypy would refuse the plain form, as it should

    @pytest.mark.parametrize("name", ["sweep", "analyse", "specify", "load_runs"])
    def test_every_function_says_what_it_raises(self, name: str) -> None:
        assert "Raises\n" in getattr(bench, name).__doc__

    def test_each_is_imported_when_it_is_used(self) -> None:
        code = """
            import sys, bench
            bench.analyse, bench.load_runs, bench.report, bench.analysis, bench.SweepSpec
            assert "pandas" in sys.modules and "torch" not in sys.modules
            bench.sweep, bench.specify
            assert "torch" not in sys.modules
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


class TestSpecify:
    @pytest.mark.parametrize(
        ("settings", "line"),
        [
            ({}, ""),
            ({"seeds": 5, "iterations": 300}, "--seeds 5 --iterations 300"),
            ({"seeds": "0-3,9"}, "--seed-list 0-3,9"),
            ({"seeds": [4, 2]}, "--seed-list 4,2"),
            ({"seeds": range(1, 4)}, "--seed-list 1-3"),
            ({"optimizers": "sgd,adam[lr=0.003]"}, "--optimizers sgd,adam[lr=0.003]"),
            (
                {"optimizers": ("sgd[batch_size=50]", "adam[betas=(0.5,0.9)]")},
                "--optimizers sgd[batch_size=50],adam[betas=(0.5,0.9)]",
            ),
            ({"epochs": 2, "batch_size": 7}, "--epochs 2 --batch-size 7"),
            ({"optimizers": "batch-gd,stochastic-gd,sgd"}, "--preset regimes"),
            (
                {"network": "mlp[hidden=100]", "dataset": "digits", "budget": "iterations"},
                "--network mlp[hidden=100] --dataset digits --budget iterations",
            ),
            ({"looks": None, "alpha": 0.01, "name": "x"}, "--looks any --alpha 0.01 --name x"),
            ({"correction": "max-t"}, "--correction max-t"),
            ({"margin": 0.01, "target": 0.9, "looks": 3}, "--margin 0.01 --target 0.9 --looks 3"),
        ],
    )
    def test_it_declares_what_the_command_line_declares(
        self, settings: dict[str, Any], line: str
    ) -> None:
        arguments = make_parser().parse_args(["sweep", *line.split()])
        assert bench.specify(**settings) == make_spec(arguments)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"optimizers": "adma"}, "unknown optimizer 'adma': did you mean"),
            ({"optimizers": []}, "a sweep needs at least one optimizer, got none"),
            ({"seeds": 0}, "seeds must be at least 1 and at most 10000, got 0"),
            ({"seeds": 10**15}, "seeds must be at least 1 and at most 10000, got 1000"),
            ({"seeds": True}, "seeds must be at least 1 and at most 10000, got True"),
            ({"seeds": []}, "a sweep needs at least one seed, got none"),
            ({"seeds": [1, 1]}, "every seed may be given once, got 1 twice"),
            ({"seeds": [0.5]}, "a seed must be a whole number, got 0.5"),
            ({"seeds": "3-1"}, "a range of seeds must ascend, got '3-1'"),
            ({"dataset": "mnits"}, "unknown dataset 'mnits': did you mean mnist"),
            ({"network": "mpl"}, "unknown network 'mpl'"),
            ({"batch_size": 60_001}, "batch-size must be at most 60000, .* of mnist, got 60001"),
            ({"batch_size": "50"}, "batch_size must be a whole number of at least 1, got '50'"),
            ({"iterations": 0}, "iterations must be a whole number of at least 1, got 0"),
            ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
            ({"epochs": 0.5}, "epochs must be a whole number of at least 1, got 0.5"),
            ({"epochs": 2, "iterations": 9}, "either iterations or epochs .*, got 9 and 2"),
            ({"budget": "images"}, "budget must be epochs or iterations, got 'images'"),
            ({"alpha": 1.5}, r"alpha must lie between 0 and 1 \(exclusive\), got 1.5"),
            ({"looks": 0}, "looks must be at least 1, or None for any number, got 0"),
            ({"name": "../x"}, "a sweep's name must be"),
            ({"name": ""}, "a sweep's name must be .* got ''"),
            ({"optimizers": 3}, "an optimizer must be text, a class or a function, or .*, got 3"),
            ({"optimizers": ["sgd", 3]}, "an optimizer must be text, a class .*, got 3"),
            ({"optimizers": ("sgd", {"lr": 1.0})}, r"or a tuple such as .*, got \{'lr': 1.0\}"),
            ({"optimizers": [("mine", torch.optim.SGD)]}, r"got \('mine', <class .*SGD'>\)"),
            ({"optimizers": [SGD()]}, "a class or a .*, got SGD"),
            (
                {"optimizers": [(SGD(), {})]},
                "optimizer must be text, a class or a function, got an object of SGD",
            ),
            ({"optimizers": [("sgd[lr=1.0]", {})]}, "a tuple must be a name alone, got 'sgd.lr"),
            ({"optimizers": [("sgd,adam", {})]}, "an optimizer is written .*, got 'sgd,adam'"),
            ({"optimizers": [("a b", "sgd", {})]}, "name of a variant must be .*, got 'a b'"),
            ({"optimizers": [("sgd", {1: 2})]}, "'sgd' must have names such as 'lr', got 1"),
            ({"optimizers": [("sgd", {"lr": {}})]}, r"lr of 'sgd' must be a finite .*, got \{\}"),
            ({"optimizers": [("sgd", {"lr": float("inf")})]}, "a finite number, .*, got inf"),
            ({"optimizers": [("sgd", {"rate": 1})]}, "sgd has no hyperparameter 'rate'"),
            ({"optimizers": lambda _: None}, "function': .* NoneType has no step"),
            ({"optimizers": [Stepless]}, r"Stepless': .* Stepless has no step\(\)"),
            (
                {"optimizers": lambda _: LOCK},
                r"optimizer '.*function' cannot be sent to the workers \(TypeError: cannot pickle",
            ),
            ({"network": torch.nn.ReLU()}, "network must be text, .*, got an object of ReLU"),
            ({"dataset": 3}, "dataset must be text, a function, or a mapping or .*, got int"),
            ({"dataset": (1, 2)}, "a tuple of x_train, y_train, x_test, y_test, got tuple of 2"),
            ({"dataset": {"x_train": 1}}, "dataset lacks y_train, x_test, y_test"),
            ({"seeds": 2.5}, "seeds must be a number, text or a sequence, got 2.5"),
            ({"dataset": ["mnist"]}, "dataset must be text, .*, got list of 1"),
            ({"alpha": "x"}, "alpha must lie between 0 and 1"),
        ],
    )
    def test_what_is_not_allowed_is_named(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message) as found:
            bench.specify(**settings)
        assert "\n" not in str(found.value)

    def test_as_many_seeds_as_a_sweep_may_have(self) -> None:
        assert len(bench.specify(seeds=MAX_SEEDS, optimizers="sgd").seeds) == MAX_SEEDS


class TestSweep:
    @pytest.fixture
    def results(self, fast: Path, tmp_path: Path) -> Path:
        """A directory in which the fast sweep is stored."""
        shutil.copytree(fast, tmp_path / "fast")
        return tmp_path

    def test_it_returns_what_load_runs_reads(self, tmp_path: Path) -> None:
        runs = fast_sweep(bench.specify(**FAST), tmp_path)
        pd.testing.assert_frame_equal(runs, bench.load_runs(tmp_path / "fast"))
        assert runs[["optimizer", "seed", "status"]].to_numpy().tolist() == [
            [name, seed, "ok"] for name in ("adam", "sgd") for seed in (0, 1)
        ]
        assert set(runs[FILE_COLUMN]) == {str(tmp_path / "fast" / "runs.parquet")}

    def test_what_is_stored_is_not_done_again_unless_forced(self, results: Path) -> None:
        before = bench.load_runs(results / "fast")
        spec = bench.specify(**FAST)
        again = fast_sweep(spec, results)
        pd.testing.assert_frame_equal(again, before)
        forced = fast_sweep(spec, results, force=True)
        assert (forced["started_at"] > before["started_at"]).all()
        assert (forced["test_accuracy"] == before["test_accuracy"]).all()

    def test_rows_are_read_once_where_nothing_is_missing(
        self, results: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[Path] = []

        def count(file: Path, **options: Any) -> pa.Table:
            read.append(file)
            return read_rows(file, **options)

        monkeypatch.setattr("bench.storage.store.read_rows", count)
        assert len(fast_sweep(bench.specify(**FAST), results)) == 4
        assert read == [results / "fast" / "runs.parquet"]

    def test_other_stored_runs_are_not_among_those_of_the_sweep(self, results: Path) -> None:
        runs = fast_sweep(bench.specify(**{**FAST, "seeds": [1]}), results)
        assert runs[["optimizer", "seed"]].to_numpy().tolist() == [["adam", 1], ["sgd", 1]]
        assert runs.index.tolist() == [0, 1]

    def test_the_table_can_be_compared_and_analysed(self, results: Path) -> None:
        runs = fast_sweep(bench.specify(**FAST), results)
        assert {t.name for t in bench.analysis.compare(runs).treatments} == {"adam", "sgd"}
        analysis = bench.analysis.analyse_sweep(runs, name="fast")
        assert (analysis.name, analysis.comparison.pairs[0].n) == ("fast", 2)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            (
                {"device": "tpu"},
                UsageError,
                "device must be one of auto, cpu, cuda, mps, got 'tpu'",
            ),
            ({"n_jobs": 0}, UsageError, "n_jobs must be at least 1 and at most 1024, or -1 .* 0"),
            ({"n_jobs": 2000}, UsageError, "n_jobs must be at least 1 and at most 1024, or -1"),
            ({"tf32": None}, UsageError, "tf32 must be True or False, got None"),
            ({"mix_devices": "no"}, UsageError, "mix_devices must be True or False, got 'no'"),
            (
                {"timeout": 0},
                UsageError,
                "timeout must be positive and at most 1,000,000,000 .* got 0",
            ),
            (
                {"timeout": 1e10},
                UsageError,
                "timeout must be positive and at most .* got 10000000000",
            ),
            ({"timeout": "5"}, UsageError, "timeout must be positive .* seconds, or None, got '5'"),
            ({"timeout": float("inf")}, UsageError, "timeout must be positive"),
            ({"results": __file__}, UsageError, "cannot write results to .*test_api.py"),
        ],
    )
    def test_what_is_not_allowed_is_named(
        self, options: dict[str, Any], error: type[BenchError], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(error, match=message) as found:
            bench.sweep(bench.specify(**FAST), **{"results": tmp_path, **options})
        assert "\n" not in str(found.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"iterations": 21}, "holds runs with iterations=20, this sweep has iterations=21"),
            ({"alpha": 0.01}, "was declared with alpha=0.05 .* this sweep has alpha=0.01"),
        ],
    )
    def test_runs_that_do_not_belong_together_are_refused(
        self, changes: dict[str, Any], message: str, results: Path
    ) -> None:
        with pytest.raises(MixedRunsError, match=message):
            fast_sweep(bench.specify(**{**FAST, **changes}), results)

    def test_one_sweep_at_a_time_in_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "fast").mkdir()
        with (
            FileLock(tmp_path / "fast" / ".lock"),
            pytest.raises(UsageError, match=r"another sweep is writing to .*fast: wait for it"),
        ):
            fast_sweep(bench.specify(**FAST), tmp_path)

    def test_a_failed_run_is_a_row(self, mine: str, tmp_path: Path) -> None:
        spec = bench.specify(**{**FAST, "optimizers": f"sgd,{mine}"})
        runs = fast_sweep(spec, tmp_path / "results")
        failed = runs[runs["status"] == "failed"]
        assert failed["seed"].tolist() == [0, 1]
        assert failed["error"].str.endswith("ValueError: gives up\n").all()
        assert len(runs) == 4

    def test_where_every_run_fails_there_is_nothing_to_compare(
        self, mine: str, tmp_path: Path
    ) -> None:
        spec = bench.specify(**{**FAST, "optimizers": mine})
        with pytest.raises(
            TrainingError, match=r"every run in .*fast failed: .*; ValueError: gives up \(.* seed 0"
        ):
            fast_sweep(spec, tmp_path / "results")
        assert len(bench.load_runs(tmp_path / "results" / "fast")) == 2

    def test_a_damaged_file_is_set_aside_with_a_warning(self, tmp_path: Path) -> None:
        store, spec = Store(tmp_path / "fast"), bench.specify(**FAST)
        store.create()
        store.run_file(spec.plan()[0]).write_bytes(b"no parquet")
        with pytest.warns(UserWarning, match="set aside: .* its runs are done again"):
            assert len(fast_sweep(spec, tmp_path)) == 4

    def test_it_leaves_threads_and_signals_as_they_were(self, tmp_path: Path) -> None:
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
        n_threads, handlers = torch.get_num_threads(), [*map(signal.getsignal, signals)]
        torch.set_num_threads(3)
        try:
            state = torch.get_rng_state()
            fast_sweep(bench.specify(**FAST), tmp_path, timeout=60)
            assert torch.get_num_threads() == 3
            assert torch.equal(torch.get_rng_state(), state)
        finally:
            torch.set_num_threads(n_threads)
        assert [*map(signal.getsignal, signals)] == handlers

    def test_it_works_in_another_thread(self, tmp_path: Path) -> None:
        found: list[pd.DataFrame] = []
        spec = bench.specify(**FAST)
        thread = threading.Thread(target=lambda: found.append(fast_sweep(spec, tmp_path)))
        thread.start()
        thread.join()
        assert len(found[0]) == 4

    @pytest.mark.parametrize(
        ("quiet", "lines"), [(True, []), (False, [f"{n}/4 runs" for n in (1, 2, 3, 4)])]
    )
    def test_what_it_prints(
        self, quiet: bool, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fast_sweep(bench.specify(**FAST), tmp_path, quiet=quiet)
        captured = capsys.readouterr()
        assert captured.out.splitlines() == lines
        assert captured.err == ""


SCRIPT = """
import os, signal, threading, time
from pathlib import Path
import bench

def workers():
    return [pid for server in started_by("self") for pid in started_by(server)]

def started_by(parent):
    files = Path("/proc", parent, "task").glob("*/children")
    return [Path("/proc", pid) for file in files for pid in file.read_text().split()]

def interrupt():
    while not list(Path("results/script/runs").glob("*.parquet")):
        time.sleep(0.05)
    assert workers(), "no worker to be stopped"
    os.kill(os.getpid(), signal.SIGINT)

sweep = {"optimizers": "sgd,adam", "iterations": 300, "dataset": "digits", "name": "script"}
spec = bench.specify(**sweep, seeds=500)
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
threading.Thread(target=interrupt).start()
try:
    bench.sweep(spec, n_jobs=2)
except KeyboardInterrupt:
    print("interrupted", len(workers()))
spec = bench.specify(**sweep, seeds=2)
runs = bench.sweep(spec, n_jobs=2)
print(len(runs), len(workers()))
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_plain_script_trains_in_workers_and_may_be_interrupted(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["interrupted 0", "4 0"]


class TestAnalyse:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_it_judges_as_was_declared_and_writes_the_look_down(
        self, kind: Callable[[Path], Path | str], tmp_path: Path
    ) -> None:
        directory = copy_example(tmp_path)
        store = Store(directory)
        spec = store.read_spec()
        assert spec is not None
        store.write_spec(replace(spec, declaration=bench.Declaration(alpha=0.01)))
        store.looks_file.unlink()
        analysis = bench.analyse(kind(directory))
        assert analysis.comparison.parameters.alpha == 0.01
        assert len(Ledger(store.looks_file).read()) == 1

    @pytest.mark.usefixtures("undrawn")
    def test_a_file_of_rows_will_do(self, tmp_path: Path) -> None:
        analysis = bench.analyse(few_rows(tmp_path))
        bench.report.write(analysis, tmp_path / "deep" / "page.html")
        assert "momentum" in (tmp_path / "deep" / "page.html").read_text()

    def test_nothing_there(self) -> None:
        with pytest.raises(UsageError, match="no results at nowhere: expected a sweep's directory"):
            bench.analyse("nowhere")


@pytest.mark.usefixtures("undrawn")
def test_typed_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here without a worker, which would import torch._dynamo for an optimizer of torch."""
    monkeypatch.setattr(bench, "sweep", partial(bench.sweep, in_process=True))
    assert [t.n for t in _typed_api.compare(tmp_path).treatments] == [2, 2, 2]
