"""Margins in percentage points and as numbers; what is refused is in test_errors.py."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from _stored import edited, failed, few_rows, three_seeds
from conftest import CommandCall

from bench.cli.analyze import analyze_command
from bench.cli.arguments import make_parser
from bench.errors import MixedRunsError
from bench.execution.environment import Machine
from bench.storage.rows import write_rows
from bench.storage.store import Store
from bench.sweeps.resume import find_missing

ECHO = "margin: 0.01 = 1 percentage points"
#: Value of the option, factor of the accuracies, margin in JSON, and whether it is repeated.
MARGINS = [
    ("0.01", 1, 0.01, True),
    ("1pp", 1, 0.01, True),
    ("1 %", 1, 0.01, True),
    ("1", 100, 1.0, False),
    ("1pp", 100, 1.0, False),
]


@pytest.mark.parametrize(("text", "factor", "margin", "is_repeated"), MARGINS)
def test_margins_of_a_table(
    call_command: CommandCall, text: str, factor: int, margin: float, is_repeated: bool
) -> None:
    table = pq.read_table(few_rows(call_command.directory)).to_pandas()
    table["accuracy"] = table["test_accuracy"] * factor
    table[["optimizer", "seed", "accuracy"]].to_csv(call_command.directory / "t.csv", index=False)
    words = ("analyze", "t.csv", "--value", "accuracy", "--margin", text, "--json", "-")
    finished = call_command(*words)
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["parameters"]["margin"] == margin
    assert (ECHO in finished.err) == is_repeated


def test_a_sweep_is_judged_with_a_margin_in_points(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory, ("sgd", "adam"))
    finished = call_command("analyze", sweep, "--margin", "0.5%")
    assert finished.code == 0, finished.err
    assert "margin: 0.005 = 0.5 percentage points" in finished.err
    assert "Judged with margin 0.005, which is not what was declared" in finished.out


def test_the_margin_of_another_value_of_a_sweep_is_in_its_unit(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory, ("sgd", "adam"))
    words = ("--value", "train_seconds", "--margin", "2", "--json", "-")
    finished = call_command("analyze", sweep, *words)
    assert finished.code == 0, finished.err
    assert json.loads(finished.out)["parameters"]["margin"] == 2.0


def test_the_command_of_an_analysis_repeats_the_unit() -> None:
    arguments = make_parser().parse_args(["analyze", "t.csv", "--margin", "0.7%"])
    again = make_parser().parse_args(["analyze", *shlex.split(analyze_command(arguments))[-3:]])
    assert str(again.margin) == str(arguments.margin) == "0.7pp"


def test_a_declaration_may_change_until_a_run_has_a_result(tmp_path: Path) -> None:
    store = Store(three_seeds(tmp_path, ("sgd",)))
    row = store.read_rows().slice(0, 1).to_pylist()[0]
    machine = Machine(**{field.name: row[field.name] for field in fields(Machine)})
    declared = store.read_spec()
    assert declared is not None
    other = replace(declared, declaration=replace(declared.declaration, margin=0.01))
    with pytest.raises(MixedRunsError, match=r"declared with margin=0\.002 before its runs"):
        find_missing(other, store, machine)
    edited(store.directory, store.rows_file, failed("no memory"))
    assert len(find_missing(other, store, machine).missing) == 3
    write_rows(store.read_rows().slice(0, 0), store.rows_file)
    assert len(find_missing(other, store, machine).missing) == 3
