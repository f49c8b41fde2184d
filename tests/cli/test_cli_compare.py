"""The compare command on real sweeps: what it prints, writes and leaves alone.

What it refuses is in test_errors.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from _stored import Edit, Row, columns, edited, failed, three_seeds
from conftest import DIGITS, CommandCall

from bench import cli
from bench.cli.arguments import make_parser
from bench.cli.compare import compare_command
from bench.storage.records import SCHEMA
from bench.storage.rows import write_rows
from bench.storage.store import Store
from bench.sweeps.reproduce import program

HOSTILE = "<img src=x onerror=alert(1)>|*b*\n\x1b[31m@you #1 \u202e"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_seeds(tmp_path_factory.mktemp("example"))


@pytest.fixture
def before(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of eight optimizers over three seeds at `before`, where the command is given."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(example, tmp_path / "before")
    return Path("before")


def lose(images: int, optimizer: str) -> Edit:
    """Fewer correct test images for one optimizer, in everything that says so."""

    def edit(row: Row) -> None:
        if row["optimizer"] != optimizer:
            return
        bits = int.from_bytes(row["correct_bits"])
        for _ in range(images + row["seed"]):
            bits &= bits - 1
        row["correct_bits"] = bits.to_bytes(len(row["correct_bits"]))
        row["test_correct"] = bits.bit_count()
        row["test_accuracy"] = row["test_correct"] / row["test_total"]
        row["eval_test_accuracy"][-1] = row["test_accuracy"]

    return edit


def rename(old: str, new: str) -> Edit:
    def edit(row: Row) -> None:
        row["optimizer"] = new if row["optimizer"] == old else row["optimizer"]

    return edit


def run(*arguments: str | Path) -> int:
    return cli.main(["compare", *map(str, arguments)])


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in sorted(directory.rglob("*")) if f.is_file()}


# --- what it says ----------------------------------------------------------------------------


def test_the_same_runs_on_another_day(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = edited(before, "after.parquet", columns(torch_version="9.9", train_seconds=99.0))
    assert run(before, after) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "All 24 common runs ended exactly alike."
    assert re.fullmatch(
        r"Training took [\d.]+ times as long \(\[[\d.]+, [\d.]+\]; exploratory\)\.", out[2]
    )
    assert re.search(r"^adam +3 +3 of 3 .* identical *$", "\n".join(out), re.MULTILINE)
    assert [line for line in out if line.startswith("differs:")] == [
        f"differs:   PyTorch: {_torch(before)} before, 9.9 after"
    ]
    assert out[-1] == "reproduce: optimizer-bench compare before after.parquet"


def _torch(sweep: Path) -> str:
    return str(Store(sweep).read_rows()["torch_version"][0].as_py())


def test_the_same_sweep_done_again_is_exactly_alike(call_command: CommandCall) -> None:
    for name, optimizers, eval_every in (
        ("before", "sgd,adam,adadelta,adagrad", "20"),
        ("again", "sgd,adam", "30"),
    ):
        done = call_command(
            *("sweep", "--iterations", "40", "--eval-every", eval_every, "--seeds", "2"),
            *("--optimizers", optimizers, "--name", name, "--in-process", "-q", "--no-report"),
            *DIGITS,
        )
        assert done.code == 0, done.err
    finished = call_command(
        *("compare", "results/before", "results/again", "--fail-if-changed", "--allow-missing")
    )
    assert finished.code == 0, finished.err
    assert finished.out.startswith("All 4 common runs ended exactly alike")
    assert "updates between evaluations: 20 before, 30 after" in finished.out
    assert "Missing after, and not compared: adadelta, adagrad." in finished.out
    assert "a copy of the other" not in finished.out


def test_stacked_runs_cannot_be_told_from_runs_alone(call_command: CommandCall) -> None:
    """Which float32 sums are added first is not seen in the accuracies of ten seeds."""
    for name in ("1", "10"):
        done = call_command(
            *("sweep", "--iterations", "40", "--eval-every", "40", "--seeds", "10", "--name"),
            *(name, "--stack", name, "--optimizers", "sgd,adam", "--device", "cpu"),
            *("--in-process", "-q", "--no-report", *DIGITS, "--margin", "0.02"),
        )
        assert done.code == 0, done.err
    finished = call_command("compare", "results/1", "results/10", "--fail-if-changed", "--json=x")
    assert finished.code == 0, finished.err
    assert "runs in a stack: 1 before, 10 after" in finished.out
    found = json.loads(Path("x").read_text())["changes"]
    assert [change["optimizer"] for change in found] == ["adam", "sgd"]
    assert {change["verdict"] for change in found} <= {"identical", "equivalent"}


def test_a_change_is_found_and_fails(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = edited(before, "after.parquet", lose(300, "adam"))
    for option, code in (((), 0), (("--fail-if-changed",), 1)):
        assert run(before, after, *option) == code
    out = capsys.readouterr().out
    assert "Of 8 optimizers, none changed significantly: 7 scored exactly as before" in out
    assert "adam is inconclusive" in out
    assert "With 3 common seeds no change can be significant" in out


def test_a_sweep_that_lacks_optimizers_has_changed(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(before, "after.parquet", only="adam")
    others = "adadelta, adagrad, adamax, momentum, nesterov, rmsprop, sgd"
    for options, code in (((), 0), (("--fail-if-changed",), 1)):
        assert run(before, after, *options, "--markdown", "c.md") == code
        assert f"Missing after, and not compared: {others}." in capsys.readouterr().out
    assert others in _text("c.md")
    assert run(before, after, "--fail-if-changed", "--allow-missing") == 0


def test_one_optimizer_at_another_level(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With three seeds the least p-value is 1/4."""
    after = edited(before, "after.parquet", lose(300, "adam"), only="adam")
    assert run(before, after, "--alpha", "0.3", "--fail-if-changed") == 1
    out = capsys.readouterr().out
    assert out.startswith("adam got worse by 3.0 points.\n")
    assert re.search(r"^adam .* 0\.250 .* worse *$", out, re.MULTILINE)
    assert "warning: Judged with alpha 0.3, which is not what the sweep before" in out


def test_a_small_change_is_equivalent(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = edited(before, "after.parquet", lose(1, "adam"))
    assert run(before, after, "--margin", "0.3", "--fail-if-changed") == 0
    out = capsys.readouterr().out
    assert "adam is equivalent within ±30 points" in out
    assert "Of 24 common runs, 21 ended exactly alike." in out


def test_seeds_that_stand_for_something_else(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(before, "after.parquet", columns(initial_weights_sha256="0"))
    assert run(before, after) == 0
    out = capsys.readouterr().out
    assert "The runs are not paired: runs of the same seed differ in their initial weights" in out
    assert re.search(r"^adam +3 and 3 +", out, re.MULTILINE)
    assert "ended exactly alike" not in out


def test_another_workload(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = edited(before, "after.parquet", columns(batch_size=50))
    assert run(before, after) == 0
    out = capsys.readouterr().out
    assert "differs:   batch size (images): 100 before, 50 after" in out
    assert "the effect of the workload cannot be separated" in out


def test_what_before_declared_judges(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    after = edited(before, "after.parquet")
    spec = before / "spec.json"
    spec.write_text(spec.read_text().replace('"margin": 0.002', '"margin": 0.01'))
    assert run(before, after, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["margin"] == 0.01
    assert run(after, before, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"]["margin"] == 0.002
    assert found["warnings"][-1].startswith("No declaration is stored with the sweep before")


def test_runs_that_are_missing_or_no_part_of_the_plan_are_told(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = Path("after")
    shutil.copytree(before, after)
    rows = Store(after).read_rows().to_pylist()
    kept = [row for row in rows if (row["optimizer"], row["seed"] < 2) != ("adam", True)]
    write_rows(pa.Table.from_pylist(kept, schema=SCHEMA), Store(after).rows_file)
    assert run(before, after, "--fail-if-changed") == 1
    assert run(before, after, "--fail-if-changed", "--allow-missing") == 0
    out = capsys.readouterr().out
    assert "warning: Missing after, and not compared: seeds 0-1 of adam." in out
    assert "no change can be significant" not in out
    assert "warning: After: 2 of 24 planned runs are not stored yet" in out
    assert "Not testable, with fewer than 3 common seeds: adam." in out
    assert "one sweep is a copy of the other" in out


# --- what it writes --------------------------------------------------------------------------


def test_files_are_written_and_neither_sweep_is_touched(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(before, "after.parquet", lose(300, "adam"))
    untouched = snapshot(before), after.read_bytes()
    outputs = ("--json", "o/c.json", "--html", "o/c.html", "--markdown", "o/c.md")
    assert run(before, after, *outputs) == 0
    assert (snapshot(before), after.read_bytes()) == untouched
    assert sorted(os.listdir("o")) == ["c.html", "c.json", "c.md"]
    out = capsys.readouterr().out
    assert all(f"written:   {file}" in out for file in outputs[1::2])
    assert json.loads(Path("o/c.json").read_text())["changes"][2]["optimizer"] == "adam"
    page = Path("o/c.html").read_text()
    assert "after.parquet: what changed?" in page
    assert page.count("<svg") > 2
    assert "optimizer-bench compare before after.parquet" in page
    assert "| adam | inconclusive | 3 |" in Path("o/c.md").read_text()


def test_the_page_is_the_same_each_time(before: Path) -> None:
    after = edited(before, "after.parquet", lose(300, "adam"))
    for file in ("a.html", "b.html"):
        assert run(before, after, "--html", file) == 0
    assert Path("a.html").read_bytes() == Path("b.html").read_bytes()


def test_what_is_printed_for_programs_is_nothing_else(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(before, "after.parquet")
    assert run(before, after, "--json", "-", "--markdown", "c.md") == 0
    assert json.loads(capsys.readouterr().out)["obstacle"] is None
    assert run(before, after, "--json", "c.json", "--markdown", "-") == 0
    assert capsys.readouterr().out == Path("c.md").read_text()
    assert json.loads(Path("c.json").read_text())["after"] == "after.parquet"


def test_hostile_names_are_only_text(before: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = [
        edited(before, file, rename("adam", HOSTILE), *edits)
        for file, edits in (("a.parquet", ()), ("b.parquet", (lose(300, HOSTILE),)))
    ]
    assert run(*sides, "--html", "c.html", "--markdown", "c.md") == 0
    out, page, comment = capsys.readouterr().out, *map(_text, ("c.html", "c.md"))
    assert "\x1b" not in out + page + comment
    assert "\u202e" not in out + comment
    assert "<img" not in page + comment
    assert "&lt;img src=x onerror=alert(1)&gt;|*b*" in page
    row = next(line for line in comment.splitlines() if line.startswith("| &lt;img"))
    assert r"\|\*b\* " in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert "@you" not in comment
    assert "#1" not in comment


def _text(file: str) -> str:
    return Path(file).read_text()


def test_a_sweep_that_failed_throughout_is_named(
    before: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = edited(before, "after.parquet", failed("no memory"))
    assert run(before, after) == 1
    assert "every run in after.parquet failed: there is nothing to compare" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "words",
    [
        ["a b", "c"],
        ["a", "c", "--margin", "0.01"],
        ["a", "c", "--alpha", "0.1", "--margin", "0.5"],
    ],
)
def test_the_command_repeats_itself(words: Sequence[str]) -> None:
    import shlex

    parse = make_parser().parse_args
    first = parse(["compare", *words, "--json", "x", "--fail-if-changed"])
    command = shlex.split(compare_command(first).removeprefix(program("compare")))
    again = parse(["compare", *command])
    question = ("before", "after", "alpha", "margin")
    assert [getattr(again, n) for n in question] == [getattr(first, n) for n in question]
