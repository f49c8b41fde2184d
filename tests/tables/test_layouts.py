"""Formats and layouts of other programs are read as the same table, or refused in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import CommandCall

from bench.analysis import Comparison, compare, to_dict
from bench.errors import TableError
from bench.tables.read import Reading, read_tables
from bench.tables.roles import Roles
from bench.tables.run_names import RunNames

pytestmark = pytest.mark.usefixtures("undrawn")

ROWS = [
    *(("adam", seed, 0.97 + 0.001 * (seed % 3)) for seed in range(7)),
    *(("sgd", seed, 0.95 + 0.001 * (seed % 2)) for seed in range(7)),
]
TABLE = pd.DataFrame(ROWS, columns=["optimizer", "seed", "accuracy"])
WIDE = TABLE.pivot(index="seed", columns="optimizer", values="accuracy")
RECORDS = TABLE.to_dict(orient="records")
HISTORY = pd.concat(
    [
        TABLE.assign(epoch=epoch, accuracy=TABLE["accuracy"] + (epoch == 1) * 0.02)
        for epoch in (2, 1)
    ]
)
CSV = TABLE.to_csv(index=False)
#: Values in another notation.
COMMAS = TABLE.to_csv(index=False, sep=";", decimal=",")
PER_CENT = TABLE.assign(accuracy=[f"{100 * x:.1f} %" for x in TABLE["accuracy"]])


def text(content: str, encoding: str = "utf-8") -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content.encode(encoding))


def charts(extremes: bool = True) -> pd.DataFrame:
    """Return an export of a chart of Weights & Biases, with two steps."""
    columns: dict[str, list[object]] = {"Step": [10, 20]}
    for name, seed, accuracy in ROWS:
        columns[f"{name}-seed{seed} - accuracy"] = [0.5, accuracy]
        if extremes:
            columns[f"{name}-seed{seed} - accuracy__MIN"] = [0.5, accuracy]
            columns[f"{name}-seed{seed} - accuracy__MAX"] = [0.5, accuracy]
    return pd.DataFrame(columns)


MLFLOW = TABLE.rename(
    columns={"optimizer": "params.optimizer", "seed": "params.seed", "accuracy": "metrics.accuracy"}
).assign(run_id="x", status="FINISHED")
OPTUNA = TABLE.rename(
    columns={"optimizer": "params_optimizer", "seed": "user_attrs_seed", "accuracy": "value"}
).assign(number=range(14), state="COMPLETE")


def tensorboard_files(directory: Path) -> None:
    directory.mkdir()
    for name, seed, accuracy in ROWS:
        steps = pd.DataFrame({"Wall time": [1.5, 2.5], "Step": [0, 9], "Value": [0.5, accuracy]})
        steps.to_csv(directory / f"run-{name}_seed_{seed}-tag-accuracy.csv", index=False)


def one_file_per_run(directory: Path) -> None:
    directory.mkdir()
    for name, seed, accuracy in ROWS:
        rows = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.5, accuracy]})
        rows.to_csv(directory / f"{name}_s{seed}.csv", index=False)


ACCURACY = Roles(value="accuracy")
NAMED = Roles(value="accuracy", run_names=RunNames("{block}/{}-{treatment}"))

#: Name of the file; what writes it; roles; part of the description.
LAYOUTS: dict[str, tuple[str, Callable[[Path], object], Roles, str]] = {
    "gzip": ("x.csv.gz", lambda f: f.write_bytes(gzip.compress(CSV.encode())), ACCURACY, "commas"),
    "tabs in .txt": ("x.txt", text(CSV.replace(",", "\t")), ACCURACY, "tabs"),
    "UTF-16": ("x.csv", text(CSV, "utf-16"), ACCURACY, "commas"),
    "decimal commas": ("x.csv", text(COMMAS), ACCURACY, "semicolons and decimal commas"),
    "per cent": ("x.csv", text(PER_CENT.to_csv(index=False)), ACCURACY, "commas"),
    "feather": ("x.feather", TABLE.to_feather, ACCURACY, "feather"),
    "case": ("x.csv", text(CSV.replace("optimizer,seed", "Optimizer,SEED")), ACCURACY, ""),
    "records": ("x.json", text(json.dumps(RECORDS)), ACCURACY, "JSON"),
    "records in an object": ("x.json", text(json.dumps({"runs": RECORDS})), ACCURACY, "JSON"),
    "nested records": (
        "x.json",
        text(
            json.dumps(
                [
                    {"config": {"optimizer": o, "seed": s}, "summary": {"accuracy": a}}
                    for o, s, a in ROWS
                ]
            )
        ),
        ACCURACY,
        "JSON",
    ),
    "JSON lines": ("x.jsonl", text("\n".join(map(json.dumps, RECORDS))), ACCURACY, "JSON"),
    "columns": ("x.json", text(json.dumps(TABLE.to_dict(orient="list"))), ACCURACY, "JSON"),
    "pandas, columns": ("x.json", text(TABLE.to_json()), ACCURACY, "JSON"),
    "pandas, index": ("x.json", text(TABLE.to_json(orient="index")), ACCURACY, "JSON"),
    "pandas, split": ("x.json", text(TABLE.to_json(orient="split")), ACCURACY, "JSON"),
    "pandas, table": ("x.json", text(TABLE.to_json(orient="table")), ACCURACY, "JSON"),
    "blocks": ("x.json", text(WIDE.T.to_json()), ACCURACY, "one column per treatment"),
    "treatments": ("x.json", text(WIDE.to_json()), ACCURACY, "one column per treatment"),
    "wide": ("x.csv", text(WIDE.to_csv()), ACCURACY, "one column per treatment (2 columns)"),
    "wide, parquet": ("x.parquet", WIDE.reset_index().to_parquet, ACCURACY, "one column per tr"),
    "wide, unnamed index": (
        "x.csv",
        text(WIDE.rename_axis(None).to_csv()),
        ACCURACY,
        "one column per treatment",
    ),
    "wide, transposed": ("x.csv", text(WIDE.T.to_csv()), ACCURACY, "one column per seed"),
    "Weights & Biases": ("x.csv", text(charts().to_csv(index=False)), ACCURACY, "column per run"),
    "Weights & Biases, plain": (
        "x.csv",
        text(charts(extremes=False).to_csv(index=False)),
        Roles(),
        "column per run",
    ),
    "MLflow": ("x.csv", text(MLFLOW.to_csv(index=False)), ACCURACY, "metrics.accuracy"),
    "Optuna": ("x.csv", text(OPTUNA.to_csv(index=False)), Roles(value="value"), "value"),
    "several rows per run": (
        "x.csv",
        text(HISTORY.to_csv(index=False)),
        ACCURACY,
        "several rows per run",
    ),
    "steps in parquet": ("x.parquet", HISTORY.reset_index(drop=True).to_parquet, ACCURACY, ""),
    "names of runs": (
        "x.csv",
        text("Name,accuracy\n" + "".join(f"{o} (seed={s}),{a}\n" for o, s, a in ROWS)),
        ACCURACY,
        "treatment = Name",
    ),
    "names after a pattern": (
        "x.csv",
        text("run,accuracy\n" + "".join(f"{s}/lr0.1-{o},{a}\n" for o, s, a in ROWS)),
        NAMED,
        "block = run",
    ),
    "TensorBoard, CSV": ("logs", tensorboard_files, ACCURACY, "one file per run"),
    "files of runs": ("logs", one_file_per_run, ACCURACY, "and 13 more"),
}


@cache
def expected() -> Comparison:
    return compare(TABLE, value="accuracy", margin=0.002)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_comparison(name: str, tmp_path: Path) -> None:
    file, write, roles, description = LAYOUTS[name]
    write(tmp_path / file)
    notes: list[str] = []
    reading = read_tables([tmp_path / file], roles, note=notes.append)
    assert description in " ".join(reading.lines)
    assert reading.lines[1].endswith("; 14 runs, 7 for each of 2 treatments")
    value = reading.roles.value_name
    found = compare(reading.table, value=value, direction="higher", margin=0.002)
    assert to_dict(found.pairs) == to_dict(expected().pairs)
    assert [t.mean for t in found.treatments] == [t.mean for t in expected().treatments]


def write_events(directory: Path, values: list[tuple[int, float]]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(directory))
    for step, value in values:
        scalar = Summary.Value(tag="test/accuracy", simple_value=value)
        writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[scalar])))
    writer.close()


@pytest.mark.filterwarnings("ignore")  # of tensorboard's dependencies
def test_event_files_of_tensorboard(call_command: CommandCall) -> None:
    logs = call_command.directory / "logs"
    for name, seed, accuracy in ROWS:
        write_events(logs / name / f"seed_{seed}", [(0, 0.5), (9, accuracy)])
    write_events(logs / "adam" / "seed_7", [(0, float("nan"))])
    reading = read_tables([logs], Roles(value="test/accuracy"))
    table = reading.table.set_index(["optimizer", "seed"])["test/accuracy"]
    assert [table[name, str(seed)] for name, seed, _ in ROWS] == [
        str(np.float32(accuracy)) for *_, accuracy in ROWS
    ]
    assert table["adam", "7"] == "nan"
    unknown = call_command("analyze", "logs", "--value", "accuracy")
    assert unknown.code == 2
    assert "logs has no scalar 'accuracy': its tags are test/accuracy; name the" in unknown.err
    shown = call_command("analyze", "logs", "--value", "test/accuracy", "--direction", "higher")
    assert shown.code == 0
    assert "event files of 15 runs, tag 'test/accuracy', names {treatment} and a number" in (
        shown.out
    )


#: Unpaired samples in several layouts: content of the file, its number of runs, source of blocks.
SAMPLES = TABLE.drop(columns="seed").iloc[:12]
UNPAIRED: dict[str, tuple[str, int, str]] = {
    "without a block": (SAMPLES.to_csv(index=False), 12, "row numbers"),
    "with equal blocks": (SAMPLES.assign(seed=1).to_csv(index=False), 12, "seed"),
    "one column per treatment": (WIDE.iloc[:6].to_csv(index=False), 12, "row numbers"),
    "columns of different lengths": (
        WIDE.assign(sgd=WIDE["sgd"].where(WIDE.index < 5)).to_csv(index=False),
        12,
        "row numbers",
    ),
    "JSON": (json.dumps(SAMPLES.to_dict(orient="records")), 12, "row numbers"),
    "one column per block": (WIDE.T.to_csv(), 14, "names of columns"),
}


@pytest.mark.parametrize("name", UNPAIRED)
def test_unpaired_runs_need_no_block(name: str, tmp_path: Path) -> None:
    content, n, block = UNPAIRED[name]
    (tmp_path / "x.csv").write_text(content)
    reading = read_tables([tmp_path / "x.csv"], Roles(value="accuracy", is_paired=False))
    assert len(reading.table) == n
    assert f"block = {block}, value" in reading.lines[1]
    pair = compare(reading.table, value="accuracy", test="welch").pairs[0]
    assert ((pair.n_a or 0) + (pair.n_b or 0), pair.verdict) == (n, "better")


#: Files, options, message.
REFUSED = {
    "settings in the names of runs": (
        "name,accuracy\nadam-lr1e-1,.5\nadam-lr1e-2,.6\nsgd-lr1e-1,.5\n",
        ("--value", "accuracy"),
        "x.csv has no column 'optimizer': its columns are name, accuracy",
    ),
    "sizes in the names of runs": (
        "name,accuracy\nresnet18,.5\nresnet34,.6\nvgg16,.5\n",
        ("--value", "accuracy"),
        "x.csv has no column 'optimizer'",
    ),
    "columns that are no treatments": (
        "seed,epoch,adam,sgd,lr\n1,5,.4,.5,.1\n2,5,.3,.5,.1\n",
        ("--value", "loss", "--direction", "lower"),
        "x.csv may have one column per treatment, but lr does not look like treatments",
    ),
    "logs without an optimizer": (
        "seed,epoch,lr,train_loss,val_loss\n1,5,.1,.5,.4\n",
        ("--value", "loss", "--direction", "lower"),
        "x.csv has no column 'optimizer'",
    ),
    "tops that are no seeds": (
        "optimizer,top1,top5\na,.5,.7\nb,.6,.8\n",
        ("--value", "accuracy"),
        "x.csv has no column 'seed'",
    ),
    "two columns of steps": (
        "optimizer,seed,epoch,step,accuracy\na,1,0,90,.5\na,1,1,40,.6\nb,1,1,40,.7\n",
        ("--value", "accuracy"),
        "x.csv has several columns of steps (epoch, step), whose last rows differ: name one",
    ),
    "thousands beside decimal commas": (
        "optimizer;seed;lr;perplexity\na;1;0,1;1.234\nb;1;0,1;951\n",
        ("--value", "perplexity", "--direction", "lower"),
        "x.csv has decimal commas in column 'lr' and points in column 'perplexity' (1.234)",
    ),
    "rows of JSON that are none": (
        '{"columns": ["a", 1], "data": [5]}',
        (),
        "x.csv is not a table: JSON must hold a list of",
    ),
    "unpaired steps": (
        "optimizer,epoch,accuracy\na,1,.5\na,2,.6\nb,1,.5\nb,2,.5\n",
        ("--value", "accuracy", "--unpaired"),
        "x.csv has a column 'epoch' and no column 'seed': name the column that tells the runs "
        "apart with --block, or use --ignore-column epoch if each row is a run",
    ),
    "unpaired without a result": (
        "optimizer,loss\na,1\nb,1\n",
        ("--value", "accuracy", "--unpaired"),
        "x.csv has no column 'accuracy'",
    ),
    "no block": (
        SAMPLES.to_csv(index=False),
        ("--value", "accuracy"),
        "x.csv has no column 'seed': its columns are optimizer, accuracy (--unpaired needs none)",
    ),
    "wide without a name": (
        WIDE.to_csv(),
        (),
        "x.csv has one column per treatment (adam, sgd): name what they hold with --value",
    ),
    "wide without a block": (
        WIDE.to_csv(index=False),
        ("--value", "accuracy"),
        "and no column 'seed' that pairs the rows: name it with --block",
    ),
    "ambiguous": (
        "optimizer,Seed,SEED,accuracy\na,1,1,.5\nb,1,1,.5\n",
        ("--value", "accuracy"),
        "column 'seed' is ambiguous: the table has 'Seed', 'SEED'",
    ),
    "another name": (
        CSV,
        (),
        "x.csv has no column 'test_accuracy': its columns are optimizer, seed, accuracy; name the "
        "right one with --value, such as accuracy",
    ),
    "groups": (
        "Step,adam-1 - acc,adam-1 - acc__MIN,sgd-1 - acc\n1,.5,.4,.6\n",
        ("--value", "acc"),
        "x.csv holds means of groups of runs: 'adam-1 - acc' and 'adam-1 - acc__MIN' differ",
    ),
    "names of runs": (
        "Step,happy - acc,sad - acc\n1,.5,.4\n",
        ("--value", "acc"),
        "the run name 'happy' does not match {treatment} and a number: say how names are built",
    ),
    "unknown metric": (
        "Step,a-1 - acc,b-1 - acc\n1,.5,.4\n",
        ("--value", "loss"),
        "x.csv has no column 'loss': its columns are acc",
    ),
    "a pattern without a block": (
        CSV,
        ("--run-names", "{treatment}"),
        "--run-names must contain {treatment} and {block} once, such as",
    ),
    "no step": (
        CSV,
        ("--value", "accuracy", "--step", "epoch"),
        "x.csv has no column 'epoch': its columns are optimizer, seed, accuracy",
    ),
    "no number as a step": (
        "optimizer,seed,accuracy,epoch\na,1,.5,1\na,1,.5,last\nb,1,.5,1\n",
        ("--value", "accuracy"),
        "column 'epoch' must hold steps, got 'last' in row 2 of x.csv",
    ),
    "the same step twice": (
        "optimizer,seed,accuracy,epoch\na,1,.5,1\nb,1,.5,2\na,1,.6,1\n",
        ("--value", "accuracy"),
        "optimizer 'a' has more than one row for seed 1 at epoch 1 in x.csv",
    ),
    "thousands": (
        CSV.replace(",", ";").replace("0.97", "1,970"),
        ("--value", "accuracy"),
        "column 'accuracy' must hold numbers",
    ),
    "some per cent": (
        CSV.replace("0.97\n", "97%\n"),
        ("--value", "accuracy"),
        "column 'accuracy' must hold numbers, got '97%' in row 1 of x.csv",
    ),
    "JSON of another shape": ('{"a": 1}', (), "x.csv is not a table: JSON must hold a list of"),
    "broken JSON": ('[{"a": 1},\n{"a": }]', (), "x.csv is not a table: line 2: Expecting value"),
    "a name twice": ('[{"a": 1, "a": 2}]', (), "an object of the JSON has 'a' twice"),
    "one column twice": (
        CSV,
        ("--treatment", "optimizer,optimizer"),
        "--treatment must be the name of a column, or different names separated by commas, got",
    ),
    "two settings": (
        "optimizer,lr,seed,accuracy\na,.1,1,.5\na,.2,1,.6\n",
        ("--value", "accuracy"),
        "row 1 of x.csv and row 2 of x.csv; they differ in lr: --treatment optimizer,lr compares",
    ),
    "two results": (
        CSV,
        ("--json", "-", "--csv", "-"),
        "--json - and --csv - cannot both be printed: name a file for one",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_table_is_refused_in_one_line(name: str, call_command: CommandCall) -> None:
    content, options, message = REFUSED[name]
    (call_command.directory / "x.csv").write_text(content)
    finished = call_command("analyze", "x.csv", *options)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert message in finished.err


NAMES = {
    "adam_3": ("adam", "3"),
    "adam/seed_3": ("adam", "3"),
    "adam (seed=3)": ("adam", "3"),
    "lion-lr0.1.seed12": ("lion-lr0.1", "12"),
    "adam_s3": ("adam", "3"),
    "AdamSeed3": None,
    "resnet18": None,
    "adam-lr1e-3": None,
    "adam_lr_3": None,
    "adam_lr0.1": None,
    "3": None,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_number_in_the_name_of_a_run_is_a_seed_or_not(name: str) -> None:
    if (expected := NAMES[name]) is None:
        with pytest.raises(TableError, match="does not match"):
            RunNames().split(name)
    else:
        assert RunNames().split(name) == expected


@pytest.mark.parametrize("test", [(), ("--unpaired",)])
def test_the_same_runs_are_not_counted_twice(
    test: tuple[str, ...], call_command: CommandCall
) -> None:
    for name in ("x.csv", "copy.csv"):
        (call_command.directory / name).write_text(CSV)
    for files in (("x.csv", "x.csv"), ("x.csv", "copy.csv")):
        finished = call_command("analyze", *files, "--value", "accuracy", *test)
        assert (finished.code, finished.out) == (2, "")
        assert f"{files[0]} and {files[1]} hold the same runs: give them once" in finished.err


def test_per_cent_of_an_error_stay_in_per_cent(tmp_path: Path) -> None:
    rows = "optimizer,seed,val_error\na,1,3.5 %\nb,1,0.5%\n"
    table = read_text(rows, tmp_path, Roles(value="val_error")).table
    assert table["val_error"].tolist() == [3.5, 0.5]


def test_the_last_step_is_taken_and_not_the_best(tmp_path: Path) -> None:
    """A run keeps its last row with a result, and the note says where the runs end."""
    (tmp_path / "x.csv").write_text(
        "optimizer,seed,accuracy,Epoch\na,1,.9,1\na,1,.5,2\na,1,,3\nb,1,.6,10\nb,1,nan,20\n"
    )
    notes: list[str] = []
    reading = read_tables([tmp_path / "x.csv"], ACCURACY, note=notes.append)
    assert reading.table["accuracy"].tolist() == [".5", "nan"]
    assert reading.table["run_row"].tolist() == [2, 5]
    assert notes == [
        "the result of a run is its last one, by column 'Epoch' (Epoch 2 to 20): the runs end at "
        "different steps"
    ]


def read_text(content: str, tmp_path: Path, roles: Roles) -> Reading:
    (tmp_path / "x.csv").write_text(content)
    return read_tables([tmp_path / "x.csv"], roles)


def test_columns_of_the_treatment_are_combined(tmp_path: Path) -> None:
    rows = "opt,lr,mom,seed,loss\nsgd,.1,0,1,.5\nsgd,.01,.9,1,.4\n"
    roles = Roles(treatment=("opt", "LR", "mom"), value="loss")
    table = read_text(rows, tmp_path, roles).table
    assert table["opt,LR,mom"].tolist() == ["sgd[LR=.1,mom=0]", "sgd[LR=.01,mom=.9]"]


def test_analyze_writes_every_format_and_says_how_it_read(call_command: CommandCall) -> None:
    (call_command.directory / "x.csv").write_text(COMMAS)
    question = ("x.csv", "--value", "accuracy")
    shown = call_command("analyze", *question)
    assert shown.code == 0
    assert shown.out.splitlines()[:3] == [
        "read:    x.csv: text with semicolons and decimal commas, one row per run",
        "columns: treatment = optimizer, block = seed, value = accuracy; 14 runs, 7 for each of 2 "
        "treatments",
        "options: --treatment, --block, --value, --step and --run-names change this",
    ]
    written = call_command(
        "analyze", *question, "--markdown", "x.md", "--latex", "x.tex", "--csv", "y.csv"
    )
    assert (written.code, written.out, written.err) == (0, "", "")
    contents = {f: (call_command.directory / f).read_text() for f in ("x.md", "x.tex", "y.csv")}
    assert contents["x.md"].startswith("# x: which optimizer?")
    assert "\\toprule" in contents["x.tex"]
    assert contents["y.csv"].startswith("optimizer,seed")
    printed = call_command("analyze", *question, "--markdown", "-")
    assert printed.out == contents["x.md"]
