from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from _stored import few_rows
from conftest import DIGITS, SMALL_SWEEP, CommandCall, CommandLine

import bench
from bench import cli
from bench.cli import execute
from bench.cli.arguments import make_parser
from bench.cli.console import duration
from bench.cli.sweep import make_spec
from bench.errors import MixedRunsError
from bench.execution import train_job
from bench.execution.environment import available_cores, describe_machine
from bench.spec.options import ExecutionOptions
from bench.storage.store import Store
from bench.sweeps.reproduce import command_line, options_text
from bench.sweeps.resume import find_missing
from bench.tools.fault_injection import processes_of

ROOT = Path(bench.__file__).resolve().parents[1]
SHORT = ("--iterations", "20", "--eval-every", "20")
FAST = (*SHORT, "--optimizers", "sgd,adam", "--seeds", "2", "--in-process", *DIGITS)


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_cuda_is_refused_where_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert cli.main(["sweep", "--device", "cuda"]) == 2
    assert "--device cuda: torch finds no such device here" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--results", "--reports"])
def test_unwritable_directories_are_refused_before_training(
    option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert cli.main(["sweep", *FAST, option, "file/inside"]) == 2
    error = capsys.readouterr().err
    assert re.search(
        r"cannot write (the report|results) to .*file/inside.*: Not a directory", error
    )
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.fixture
def no_browsers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browsers that webbrowser found earlier in this process are forgotten."""
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    monkeypatch.setenv("DISPLAY", "")


@pytest.mark.usefixtures("no_browsers", "undrawn")
def test_open_shows_the_page_in_the_user_s_browser(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = few_rows(call_command.directory)
    browser = call_command.directory / "browser"
    browser.write_text('#!/bin/sh\necho "$@" > opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    finished = call_command("report", rows.name, "--open")
    page = call_command.directory / "reports" / "few.html"
    assert (finished.code, finished.out, finished.err) == (0, "report: reports/few.html\n", "")
    assert (call_command.directory / "opened").read_text() == f"{page.as_uri()}\n"


@pytest.mark.usefixtures("no_browsers", "undrawn")
def test_no_browser_is_said_in_one_line(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = few_rows(call_command.directory)
    monkeypatch.setenv("BROWSER", "/nowhere/browser")
    monkeypatch.setenv("PATH", "/nowhere")
    finished = call_command("report", rows.name, "--open")
    address = (call_command.directory / "reports" / "few.html").as_uri()
    assert (finished.code, finished.out) == (0, "report: reports/few.html\n")
    assert finished.err == f"no browser could be started: open {address} in yours\n"


def test_help_groups_the_options_and_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["sweep", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for heading in ("what to compare:", "the workload:", "the machine:", "files:", "examples:"):
        assert heading in text


def test_without_a_command_the_help_is_printed(call_command: CommandCall) -> None:
    finished = call_command()
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.startswith("usage: optimizer-bench ")
    assert "train every optimizer with every seed" in finished.err


def test_completions_are_printed_or_what_they_need(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for shtab: what it prints is its own."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    finished = call_command("--print-completion", "bash")
    assert finished.code == 2
    assert "needs shtab: pip install 'optimizer-bench[completion]'" in finished.err
    completed = SimpleNamespace(
        FILE="files", complete=lambda parser, shell: f"{parser.prog} {shell}"
    )
    monkeypatch.setitem(sys.modules, "shtab", completed)
    with pytest.raises(SystemExit) as caught:
        cli.main(["--print-completion", "zsh"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == "optimizer-bench zsh\n"


def test_help_wraps_descriptions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        make_parser().parse_args(["compare", "--help"])
    description, _, _ = capsys.readouterr().out.partition("positional arguments:")
    assert max(map(len, description.splitlines())) <= 60


def test_results_are_printed_without_unicode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = few_rows(tmp_path, ("adam", "sgd"))
    printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", printed)
    assert cli.main(["analyze", str(rows)]) == 0
    printed.seek(0)
    assert "adam" in printed.read()
    assert capsys.readouterr().err == ""


@pytest.fixture
def call_small(call_command: CommandCall, small_sweep: Path) -> CommandCall:
    """The program called where the small sweep is."""
    return replace(call_command, directory=small_sweep)


SWEEPS = [
    ["--seeds", "20"],
    ["--seed-list", "3,5-7", "--optimizers", "adam[betas=(0.9,0.99)],sgd", "--name", "mine"],
    ["--iterations", "300", "--eval-every", "500"],
    ["--epochs", "1", "--dataset", "digits"],
    ["--iterations", "300", "--alpha", "0.01", "--target", "0.9", "--eval-every", "100"],
    ["--optimizers", "fast=adam[lr=0.01],gd=batch-gd,s=sgd[batch_size=50,schedule=one-cycle]"],
]


@pytest.mark.parametrize("arguments", SWEEPS)
def test_the_reproduce_command_declares_the_same_sweep(arguments: Sequence[str]) -> None:
    import shlex

    spec = make_spec(make_parser().parse_args(["sweep", *arguments]))
    words = shlex.split(command_line(spec, ExecutionOptions(device="cpu"), start=""))
    assert make_spec(make_parser().parse_args(["sweep", *words])) == spec


def test_the_default_command_is_short() -> None:
    spec = make_spec(make_parser().parse_args(["sweep", "--seeds", "20"]))
    command = command_line(spec, ExecutionOptions(device="cpu"), start="x")
    assert command == "x --seeds 20 --device cpu"
    assert spec.name == "mnist"


@pytest.mark.parametrize(
    ("started", "directory", "expected"),
    [
        ("scripts/sweep.py", ROOT, "python scripts/sweep.py"),
        ("scripts/sweep.py", ROOT / "bench", "optimizer-bench sweep"),
        ("/usr/bin/optimizer-bench", ROOT, "optimizer-bench sweep"),
        ("C:/Scripts/optimizer-bench.exe", ROOT, "optimizer-bench sweep"),
        ("ipykernel_launcher.py", ROOT, "python scripts/sweep.py"),
        ("ipykernel_launcher.py", ROOT / "bench", "optimizer-bench sweep"),
    ],
)
def test_commands_are_printed_as_they_work_where_the_user_is(
    started: str,
    directory: Path,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.chdir(directory)
    parser = make_parser()
    spec = make_spec(parser.parse_args(["sweep"]))
    assert command_line(spec, ExecutionOptions()).startswith(f"{expected} --seeds 20")
    assert f"# To do the sweep again: {expected} --config" in options_text(spec, ExecutionOptions())
    with pytest.raises(SystemExit):
        parser.parse_args(["sweep", "--help"])
    assert f"usage: {expected} " in (help_text := capsys.readouterr().out)
    assert f"  {expected} --seeds 40 " in help_text
    assert cli.main(["sweep", "--seeds", "0"]) == 2
    assert f"(try {expected} --help)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.1, "1 min 0 s"), (200, "3 min 20 s"), (9000, "2 h 30 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.usefixtures("undrawn")
class TestSmallSweep:
    """All eight optimizers over three seeds, from the command line to the report."""

    def test_one_row_a_run(self, small_sweep: Path) -> None:
        rows = Store(small_sweep / "results" / "small").read_rows().to_pylist()
        assert len(rows) == 24
        assert {row["status"] for row in rows} == {"ok"}
        assert {row["n_jobs"] for row in rows} == {min(24, available_cores())}
        for seed in range(3):
            assert len({r["initial_weights_sha256"] for r in rows if r["seed"] == seed}) == 1
            assert len({r["data_order_sha256"] for r in rows if r["seed"] == seed}) == 1
        assert len({r["data_order_sha256"] for r in rows}) == 3
        assert min(r["test_accuracy"] for r in rows) > 0.2

    def test_neither_host_nor_user_is_stored(self, small_sweep: Path) -> None:
        import getpass
        import platform

        text = repr(pq.read_table(small_sweep / "results" / "small" / "runs.parquet").to_pylist())
        assert platform.node() not in text
        assert f"/{getpass.getuser()}" not in text

    def test_what_is_printed(self, small_sweep: Path) -> None:
        out = (small_sweep / "stdout.txt").read_text()
        assert "8 optimizers x 3 seeds = 24 runs" in out
        assert "with 3 seeds no difference can be significant" in out
        assert "by Holm's correction of the exact test. What would help: 11 seeds, or" in out
        assert "--correction max-t, declared before the runs (6 seeds)." in out
        assert "margin: 0.002 = 0.2 percentage points\n" in out
        assert "24/24 runs, 0 failed" in out
        assert "report:    reports/small.html" in out
        assert "reproduce: optimizer-bench sweep --seeds 3 --name small --dataset digits" in out
        assert "\x1b" not in out

    def test_the_report_names_every_optimizer(self, small_sweep: Path) -> None:
        page = (small_sweep / "reports" / "small.html").read_text()
        for name in ("sgd", "momentum", "nesterov", "adam", "adagrad", "adadelta", "rmsprop"):
            assert f">{name}<" in page.replace("\n", "")

    def test_the_same_command_again_trains_nothing(
        self, small_sweep: Path, call_small: CommandCall
    ) -> None:
        rows = small_sweep / "results" / "small" / "runs.parquet"
        before = rows.stat().st_mtime_ns
        page = (small_sweep / "reports" / "small.html").read_bytes()
        finished = call_small("sweep", *SMALL_SWEEP, "--name", "small", "--quiet")
        assert (finished.code, finished.err) == (0, "")
        assert finished.out == "reports/small.html\n"
        assert rows.stat().st_mtime_ns == before
        assert (small_sweep / "reports" / "small.html").read_bytes() == page

    def test_report_and_analyze_read_what_is_stored(
        self, small_sweep: Path, call_small: CommandCall
    ) -> None:
        page = (small_sweep / "reports" / "small.html").read_bytes()
        finished = call_small(
            "report", "results/small", "--output", "again.html", "--rows", "all.parquet"
        )
        assert finished.code == 0, finished.err
        assert (small_sweep / "again.html").read_bytes() == page
        assert pq.read_table(small_sweep / "all.parquet").num_rows == 24

        analysed = call_small("analyze", "all.parquet", "--json", "-")
        assert analysed.code == 0, analysed.err
        result = json.loads(analysed.out)
        assert result["parameters"]["k"] == 8
        assert len(result["pairs"]) == 28
        printed = call_small("analyze", "results/small", "--alpha", "0.01")
        assert printed.code == 0, printed.err
        assert "nesterov" in printed.out

    def test_the_python_of_the_readme_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        readme = (Path(cli.__file__).parents[2] / "README.md").read_text()
        monkeypatch.setattr(bench, "sweep", partial(bench.sweep, in_process=True))
        (code,) = re.findall(r"    import bench\n(?:    .*\n)+", readme)
        assert "bench.sweep(" in code
        assert "seeds=20" in code
        monkeypatch.chdir(tmp_path)
        names: dict[str, Any] = {}
        fast = "seeds=2, iterations=20, dataset='digits'"
        exec(textwrap.dedent(code).replace("seeds=20", fast), names)
        assert names["comparison"].parameters.k == 3
        assert "rates" in Path("rates.html").read_text()

    def test_another_workload_of_the_same_name_is_refused(self, call_small: CommandCall) -> None:
        finished = call_small("sweep", *SMALL_SWEEP, "--name", "small", "--iterations", "61")
        assert finished.code == 2
        assert (
            "iterations=60, this sweep has iterations=61: give this sweep another --name"
            in finished.err
        )
        assert finished.err.count("\n") == 1

    def test_how_it_is_judged_cannot_be_changed_afterwards(
        self, small_sweep: Path, call_small: CommandCall
    ) -> None:
        declared = (small_sweep / "results" / "small" / "spec.json").read_bytes()
        arguments = (*SMALL_SWEEP, "--name", "small", "--margin", "0.01")
        finished = call_small("sweep", *arguments)
        assert finished.code == 2
        assert "was declared with margin=0.002 before its runs were seen" in finished.err
        assert "this sweep has margin=0.01: repeat --margin 0.002, or" in finished.err
        assert (small_sweep / "results" / "small" / "spec.json").read_bytes() == declared

    def test_the_ranking_says_who_is_worse(self, small_sweep: Path) -> None:
        lines = (small_sweep / "stdout.txt").read_text().splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("optimizer "))
        means = [float(line.split()[2]) for line in lines[start + 1 : start + 9]]
        assert means == sorted(means, reverse=True)
        last = lines[start + 8].split()
        assert last[-1] == "inconclusive"  # three seeds
        assert any(float(word.replace("\u2212", "-")) < 0 for word in last if "\u2212" in word)

    def test_a_dry_run_writes_nothing(self, small_sweep: Path, call_small: CommandCall) -> None:
        before = sorted(small_sweep.rglob("*"))
        arguments = ("--name", "small", *SMALL_SWEEP, "--seeds", "4")
        finished = call_small("sweep", *arguments, "--dry-run")
        assert finished.code == 0, finished.err
        assert finished.out.startswith("sweep:  small: 8 optimizers, seeds 0-3\n")
        assert "seed 0" not in finished.out
        finished = call_small("sweep", *arguments, "--dry-run", "--verbose")
        assert "done   sgd  seed 0\n" in finished.out
        assert "to do  rmsprop  seed 3\n" in finished.out
        assert "runs:   32, of which 24 are done" in finished.out
        assert "time:   about" in finished.out
        # three seeds were looked at already
        assert "at level 0.00833 (this look's share of alpha 0.05), Holm can" in finished.out
        assert "reject nothing with fewer than 13" in finished.out
        assert sorted(small_sweep.rglob("*")) == before


def test_a_dry_run_counts_the_seeds_that_the_declared_correction_needs(
    call_command: CommandCall,
) -> None:
    asked = ("sweep", "--seeds", "6", "--dry-run", *DIGITS)
    by_holm, by_max_t = call_command(*asked), call_command(*asked, "--correction", "max-t")
    assert "seeds:  6, too few" in by_holm.out
    assert "Holm can reject nothing with fewer than 11" in by_holm.out
    assert "seeds:  6, enough" in by_max_t.out
    assert "max-T can reject nothing with fewer than 6" in by_max_t.out


def test_a_dry_run_of_a_new_sweep_estimates_its_time(call_command: CommandCall) -> None:
    finished = call_command("sweep", "--optimizers", "sgd,adam", "--seeds", "6", "--dry-run")
    assert finished.code == 0, finished.err
    assert re.search(r"time:   about (\d+ min )?\d+ s with", finished.out)
    assert "6, enough: over the one pair at alpha 0.05" in finished.out
    assert "margin: 0.002 = 0.2 percentage points\n" in finished.out
    finer = "target: times to it are known to 500 updates; --eval-every 100 narrows this to 100, "
    assert re.search(finer + r"for 24 more evaluations per run, about \d+ s in all", finished.out)
    assert list(call_command.directory.iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_more_seeds_and_variants_can_be_added(call_command: CommandCall) -> None:
    first = call_command("sweep", *FAST, "--name", "x", "--no-report")
    assert first.code == 0, first.err
    more = ("--seeds", "3", "--optimizers", "sgd,adam,adam[lr=0.01]")
    second = call_command("sweep", *FAST, *more, "--name", "x")
    assert second.code == 0, second.err
    assert "9 runs, 4 done already" in second.out
    rows = Store(call_command.directory / "results/x").read_rows().to_pylist()
    done = {(row["optimizer"], row["seed"]) for row in rows}
    assert done == {(o, s) for o in ("sgd", "adam", "adam[lr=0.01]") for s in range(3)}
    fewer = call_command("sweep", *FAST, "--name", "x", "--seeds", "1", "--no-report")
    assert fewer.code == 0
    assert "7 other stored runs" in fewer.out


@pytest.mark.usefixtures("undrawn")
def test_why_every_run_failed_is_said_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("the optimizer exploded")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.execution.train_job.train", explode)
    assert cli.main(["sweep", *FAST, "--name", "x"]) == 1
    error = capsys.readouterr().err
    assert error.count("RuntimeError: the optimizer exploded") == 1
    assert "(adam seed 0, adam seed 1, sgd seed 0 and 1 more)" in error
    assert "every run in results/x failed: there is nothing to compare; RuntimeError" in error
    assert len(Store(tmp_path / "results" / "x").read_rows()) == 4


@pytest.mark.usefixtures("undrawn")
def test_some_failures_leave_a_report_and_exit_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = train_job.train

    def explode_on_seed_1(workload, optimizer, seeds, *arguments, **options):  # type: ignore[no-untyped-def]
        if seeds == [1]:
            raise MemoryError("no memory for this one")
        return train(workload, optimizer, seeds, *arguments, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_job, "train", explode_on_seed_1)
    command = ["sweep", *FAST, "--name", "x", "--seed-list", "0-4"]
    command.remove("--seeds")
    command.remove("2")
    assert cli.main(command) == 1
    assert "failed: MemoryError: no memory for this one" in capsys.readouterr().err
    assert "no memory for this one" in (tmp_path / "reports" / "x.html").read_text()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--no-report"]) == 0  # failed runs are tried again
    assert "10 runs, 8 done already" in capsys.readouterr().out


@pytest.mark.long
def test_a_full_device_is_no_traceback(tmp_path: Path) -> None:
    rows = few_rows(tmp_path, ("adam", "sgd"))
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "bench", "analyze", rows.name]
        ended = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith("optimizer-bench: error: ")
    assert ended.stderr.count(b"\n") == 1


def test_what_was_not_declared_is_said(call_small: CommandCall) -> None:
    finished = call_small("analyze", "results/small", "--alpha", "0.5")
    assert "warning: Judged with alpha 0.5, which is not what was declared" in finished.out
    as_declared = call_small("analyze", "results/small", "--alpha", "0.05")
    assert "not what was declared" not in as_declared.out


def test_rows_without_a_declaration_are_said_to_have_none(
    small_sweep: Path, call_small: CommandCall
) -> None:
    rows = small_sweep / "rows" / "rows.parquet"
    output = ("--format", "csv", "--output", "again.csv")
    remade = call_small("report", "results/small", *output, "--rows", rows)
    assert remade.code == 0
    assert "No declaration is stored with these rows" in call_small("analyze", rows).out
    assert "No declaration" not in call_small("analyze", "results/small").out


def test_a_name_that_now_means_something_else_is_refused(
    small_sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(small_sweep / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    spec = make_spec(make_parser().parse_args(["sweep", *SMALL_SWEEP, "--name", "small"]))
    other = replace(spec.optimizers[0], hyperparameters=(("lr", 0.2),))
    spec = replace(spec, optimizers=(other, *spec.optimizers[1:]))
    store, machine = Store(Path("results/small")), describe_machine("cpu", 2)
    with pytest.raises(
        MixedRunsError, match=r"sgd seed 0 as torch.optim.SGD with .*\"lr\":0.1.* \{\"lr\":0.2"
    ):
        find_missing(spec, store, machine)
    status = find_missing(spec, store, machine, force=True)
    assert len(status.missing) == len(status.planned)
    assert len(status.done) == 0  # what is done again does not count as done


def test_the_time_of_a_variant_that_diverges_at_once_can_be_estimated(
    call_command: CommandCall,
) -> None:
    finished = call_command("sweep", *FAST, "--dry-run", "--optimizers", "sgd,sgd[lr=1e9]")
    assert (finished.code, finished.err) == (0, "")


def test_a_trial_step_that_takes_long_is_announced_and_limited(
    call_command: CommandCall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An optimizer that compiles itself at its first step, in place of one that waits."""
    (call_command.directory / "waiting.py").write_text(
        "import time, torch\n"
        "class Waiting(torch.optim.SGD):\n"
        "    def step(self, closure=None):\n"
        "        time.sleep(600)\n"
    )
    monkeypatch.syspath_prepend(str(call_command.directory))
    monkeypatch.setattr(execute, "ANNOUNCED_AFTER", 0.0)
    monkeypatch.setattr(execute, "SHORTEST_TRIAL", 0.5)
    finished = call_command(
        *("sweep", "--optimizers", "sgd,waiting:Waiting", "--timeout", "0.1", "--dry-run")
    )
    assert finished.code == 2
    assert "note: trying one step of waiting:Waiting: an optimizer that compiles" in finished.err
    assert "fails: it took longer than the 0.5 seconds of --timeout" in finished.err


def test_force_does_stored_runs_again(call_command: CommandCall) -> None:
    assert call_command("sweep", *FAST, "--no-report").code == 0
    (sweep,) = (call_command.directory / "results").iterdir()

    def starts() -> dict[str, datetime]:
        return {r["run_key"]: r["started_at"] for r in Store(sweep).read_rows().to_pylist()}

    before = starts()
    assert call_command("sweep", *FAST, "--no-report", "--force").code == 0
    after = starts()
    assert before.keys() == after.keys()
    assert all(after[key] > before[key] for key in before)
    assert not (call_command.directory / "reports").exists()


LONG = (
    *("--iterations", "1000", "--seeds", "1000", "--n-jobs", "2", "--no-report", "--name", "x"),
    *("--optimizers", "sgd", *DIGITS),
)


@contextmanager
def running(run_command: CommandLine) -> Iterator[subprocess.Popen[str]]:
    """A long sweep that has stored its first row; its processes are killed at the end."""
    with run_command.start("sweep", *LONG) as process:
        try:
            wait_until(lambda: any((run_command.directory / "results/x/runs").glob("*.parquet")))
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.long),
    ],
)
def test_an_interrupted_sweep_refuses_another_keeps_rows_and_leaves_no_process(
    run_command: CommandLine, call_command: CommandCall, sent: signal.Signals, code: int
) -> None:
    runs = run_command.directory / "results/x/runs"
    with running(run_command) as process:
        second = call_command("sweep", *LONG)
        assert second.code == 2
        assert f"another sweep (process {process.pid}) is writing to results/x" in second.err
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # a terminal sends it to every process of the group
        else:
            process.send_signal(sent)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, err
        assert "Traceback" not in err + out
        kept = re.search(r": interrupted: \d+ of [\d,]+ runs kept; the same command resumes\n", err)
        assert bool(kept) == (sent == signal.SIGINT)
        wait_until(lambda: processes_of(process.pid) == [])
    rows = Store(runs.parent).read_rows()
    assert len(rows) == len(list(runs.glob("*.parquet"))) > 0


@pytest.mark.long  # the test below has what the command line does with them
def test_signals_that_are_ignored_at_the_start_stay_ignored(run_command: CommandLine) -> None:
    """As with nohup, and in the background of a script."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = run_command.start("sweep", *FAST, "--no-report", "--name", "x", before=ignore)
    runs = run_command.directory / "results/x/runs"
    wait_until(runs.exists)
    for sent in (signal.SIGHUP, signal.SIGINT):
        os.killpg(process.pid, sent)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err + out


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_does_not_handle_signals_that_are_ignored(sent: signal.Signals) -> None:
    def command() -> int:
        os.kill(os.getpid(), sent)
        return 0 if signal.getsignal(sent) is signal.SIG_IGN else 1

    before = signal.signal(sent, signal.SIG_IGN)
    try:
        assert cli.run_guarded(command) == 0
    finally:
        signal.signal(sent, before)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_further_signals_are_ignored_while_the_program_ends(sent: signal.Signals) -> None:
    """Python calls the handlers during its exit too, and prints the traceback of an exception."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # the tests may run where some are ignored, as in the background of a script
    handlers = {n: signal.signal(n, signal.SIG_DFL) for n in numbers}

    def command() -> int:
        os.kill(os.getpid(), sent)
        return 0

    try:
        code: object = cli.run_guarded(command)
    except SystemExit as ended:
        code = ended.code
    finally:
        found = {signal.signal(number, handler) for number, handler in handlers.items()}
    assert code == 128 + sent
    assert found == {signal.SIG_IGN}


@pytest.mark.long  # tests/execution/test_user_code.py kills the parent of a worker that hangs
def test_a_killed_parent_takes_its_workers_along(run_command: CommandLine) -> None:
    with running(run_command) as process:
        process.kill()
        process.communicate(timeout=240)  # ends when no worker holds the pipes any more
        wait_until(lambda: processes_of(process.pid) == [])
