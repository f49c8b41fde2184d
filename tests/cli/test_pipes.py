"""A pipe or a device in place of a file is refused at once: no command waits for its content."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from _stored import copy_example
from conftest import CommandCall, Finished

from bench.execution.timeouts import time_limit
from bench.storage.store import Store

SWEEP = ("sweep", "--name", "x", "--optimizers", "sgd", "--seeds", "1", "--iterations", "2")
TRAIN = (*SWEEP, "--in-process", "--no-report", "--quiet")
QUESTION = ("--treatment", "optimizer", "--block", "seed", "--value", "accuracy")


def _bind(file: Path) -> None:
    place = os.getcwd()
    os.chdir(file.parent)  # the path of a socket has at most 108 characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(place)


KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": _bind,
    "device": lambda file: file.symlink_to("/dev/zero"),
}


def _call(call_command: CommandCall, *words: str | Path) -> Finished:
    with time_limit(60, f"{words} waits"):
        return call_command(*words)


def _require_one_line(finished: Finished, message: str) -> None:
    assert finished.code in (1, 2)
    assert finished.err.count("\n") == 1
    assert message in finished.err
    assert "it is not a regular file" in finished.err


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("x.csv", ("analyze", "x.csv", *QUESTION)),
        ("x.parquet", ("analyze", "x.parquet", *QUESTION)),
        ("x.parquet", ("report", "x.parquet")),
        ("x.parquet", ("compare", "results/example", "x.parquet")),
        ("x.html", ("report", "results/example", "--check", "x.html")),
        ("x.yaml", ("sweep", "--config", "x.yaml")),
        ("x.npz", (*TRAIN, "--dataset", "x.npz")),
    ],
    ids=["CSV", "parquet", "report", "compare", "check", "config", "dataset"],
)
def test_a_given_file_must_be_regular(
    kind: str, file: str, words: tuple[str, ...], call_command: CommandCall
) -> None:
    if "results/example" in words:
        copy_example(call_command.directory)
    KINDS[kind](call_command.directory / file)
    _require_one_line(_call(call_command, *words), file)


@pytest.mark.parametrize("file", ["runs.parquet", "spec.json", "looks.json"])
@pytest.mark.parametrize(
    "words",
    [
        ("report", "results/example"),
        ("analyze", "results/example"),
        ("compare", "results/example", "results/other"),
    ],
    ids=["report", "analyze", "compare"],
)
def test_a_file_of_results_must_be_regular(
    file: str, words: tuple[str, ...], call_command: CommandCall
) -> None:
    example = copy_example(call_command.directory)
    if words[0] == "compare":
        if file == "looks.json":
            pytest.skip("compare is no look")
        example.rename(example.with_name("other"))
        copy_example(call_command.directory)
    (example / file).unlink()
    os.mkfifo(example / file)
    _require_one_line(_call(call_command, *words), file)


@pytest.mark.parametrize("file", ["spec.json", "sweep.yaml"])
@pytest.mark.parametrize("mode", [(), ("--dry-run",)], ids=["train", "dry run"])
def test_a_sweep_names_a_declaration_that_is_not_a_regular_file(
    file: str, mode: tuple[str, ...], call_command: CommandCall
) -> None:
    store = Store(call_command.directory / "results" / "x")
    store.create()
    os.mkfifo(store.directory / file)
    finished = _call(call_command, *TRAIN, *mode)
    if mode:
        assert "Traceback" not in finished.err
    else:
        _require_one_line(finished, file)
        assert finished.code == 1


@pytest.mark.parametrize("file", ["runs.parquet", "runs/sgd-seed0000.parquet"])
def test_a_sweep_sets_rows_aside_that_are_not_in_a_regular_file(
    file: str, call_command: CommandCall
) -> None:
    store = Store(call_command.directory / "results" / "x")
    store.create()
    os.mkfifo(store.directory / file)
    finished = _call(call_command, *TRAIN)
    assert finished.code == 0
    assert f"set aside: results/x/{file}" in finished.err
    assert len(store.read_rows()) == 1
