"""Commands with fewer optimizers or seeds than the stored sweep."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest
from _stored import EXAMPLE, copy_example
from conftest import CommandCall

from bench.cli.arguments import make_parser
from bench.cli.execute import as_stored
from bench.cli.sweep import make_spec
from bench.spec.expressions import format_seeds
from bench.spec.model import SweepSpec
from bench.storage.store import Store
from bench.sweeps.parts import is_part, part_name

WHOLE = SweepSpec.from_json((EXAMPLE / "spec.json").read_text())
FEWER = tuple(o for o in WHOLE.optimizers if o.name in ("sgd", "adam"))
PARTS = [
    (replace(WHOLE, optimizers=FEWER), True, "example-sgd-adam"),
    (replace(WHOLE, seeds=(0, 1, 2)), True, "example-seeds0-2"),
    (replace(WHOLE, seeds=(3, 1), optimizers=FEWER), True, "example-sgd-adam-seeds3-1"),
    (replace(WHOLE, seeds=WHOLE.seeds[:1] + WHOLE.seeds[2::2]), True, None),
    (replace(WHOLE, optimizers=WHOLE.optimizers[1:]), True, "example-7optimizers"),
    (WHOLE, False, None),
    (replace(WHOLE, seeds=WHOLE.seeds[::-1]), False, None),
    (replace(WHOLE, seeds=(0, 1000)), False, None),
    (replace(WHOLE, seeds=(0,), workload=replace(WHOLE.workload, iterations=1)), False, None),
    (replace(WHOLE, seeds=(0,), declaration=replace(WHOLE.declaration, alpha=0.1)), False, None),
]


@pytest.mark.parametrize(("spec", "expected", "name"), PARTS)
def test_parts(spec: SweepSpec, expected: bool, name: str | None) -> None:
    assert is_part(spec, WHOLE, Store(EXAMPLE).read_rows()) == expected
    if name is not None:
        assert part_name(spec, WHOLE) == name


def test_fewer_seeds_of_an_unfinished_sweep_correct_its_declaration() -> None:
    rows = Store(EXAMPLE).read_rows()
    some = rows.filter(pc.less(rows["seed"], 5))
    assert not is_part(replace(WHOLE, seeds=(0, 1)), WHOLE, some)
    assert not is_part(replace(WHOLE, seeds=(0, 1)), None, rows)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("n_seeds", "part", "share"),
    [
        (5, "example-sgd-adam-seeds0-4", "2 of the 8 optimizers and 5 of the 20 seeds"),
        (20, "example-sgd-adam", "2 of the 8 optimizers"),
    ],
)
def test_a_quick_look_at_a_part_leaves_the_whole_alone(
    call_command: CommandCall,
    monkeypatch: pytest.MonkeyPatch,
    n_seeds: int,
    part: str,
    share: str,
) -> None:
    """The rows are of another machine; only what they are compared with is replaced."""
    sweep = copy_example(call_command.directory)
    row = Store(sweep).read_rows().slice(0, 1).to_pylist()[0]
    monkeypatch.setattr("bench.sweeps.resume.check_uniform", lambda *_arguments, **_options: None)
    before = {file: (sweep / file).read_bytes() for file in ("spec.json", "looks.json")}
    words = ["sweep", "--name", "example", "--optimizers", "sgd,adam", "--device", row["device"]]
    finished = call_command(*words, "--seed-list", format_seeds(WHOLE.seeds[:n_seeds]))
    assert finished.code == 0, finished.err
    assert f"report:    reports/{part}.html\n" in finished.out
    assert "--name example " in finished.out.splitlines()[-1]
    assert f"These are {share} of a look that was shown before." in finished.out
    assert [f.name for f in Path("reports").iterdir()] == [f"{part}.html"]
    assert {file: (sweep / file).read_bytes() for file in before} == before


def test_a_stored_sweep_keeps_the_evaluations_of_earlier_versions(
    call_command: CommandCall,
) -> None:
    short = replace(WHOLE, name="x", workload=replace(WHOLE.workload, iterations=30))
    directory = call_command.directory / "results" / "x"
    directory.mkdir(parents=True)
    (directory / "spec.json").write_text(short.to_json())
    arguments = make_parser().parse_args(["sweep", "--name", "x", "--iterations", "30"])
    results = call_command.directory / "results"
    for given, expected in ((None, 500), (30, 30)):
        asked = Namespace(**{**vars(arguments), "results": results, "eval_every": given})
        assert as_stored(make_spec(asked), asked).workload.eval_every == expected


def test_long_default_names_are_cut_and_those_of_stored_sweeps_kept(
    call_command: CommandCall,
) -> None:
    words = [
        "sweep",
        "--network",
        "mlp[hidden=1024x1024x1024x512]",
        "--resample-train",
        "bootstrap",
    ]
    asked = make_parser().parse_args(words)
    asked = Namespace(**{**vars(asked), "results": call_command.directory})
    spec = make_spec(asked)
    assert re.fullmatch(r"mnist-networkmlp-hidden-1024x10-[0-9a-f]{8}", spec.name)
    assert as_stored(spec, asked) == spec
    earlier = "mnist-networkmlp-hidden-1024x1024x1024x512-resample-trainbootstrap"
    (call_command.directory / earlier).mkdir()
    assert as_stored(spec, asked).name == earlier
    (call_command.directory / spec.name).mkdir()
    assert as_stored(spec, asked) == spec
