"""Errors of the command line: one line each, exit code 2, and nothing is written.

Their wording is asserted here only. Tests of a command assert the option or the line of a file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from _stored import Row, columns, edited, few_rows, three_seeds
from conftest import CommandCall

LONG = "x" * 300

#: Command line and a part of the message.
ERRORS = [
    ("swep", "invalid choice: 'swep'"),
    # sweep
    ("sweep --seeds 0", "--seeds: must be at least 1 and at most 10000, got 0"),
    ("sweep --seeds 100000000000", "--seeds: must be at least 1 and at most 10000, got 1000"),
    ("sweep --seeds many", "--seeds: must be a whole number, got 'many'"),
    ("sweep --seeds 3 --seed-list 0-3", "not allowed with argument --seeds"),
    ("sweep --seed-list 3-1", "--seed-list: a range of seeds must ascend, got '3-1'"),
    ("sweep --seed-list 1,1", "every seed may be given once, got 1 twice"),
    ("sweep --optimizers adma", "unknown optimizer 'adma': did you mean adam"),
    ("sweep --optimizers adamW", "unknown optimizer 'adamW': did you mean adamw?"),
    ("sweep --optimizers lion_pytorch.Lion", "write lion_pytorch:Lion for a class of a module"),
    ("sweep --network resnet18", "or write your own as module:function, such as mymodule:make_net"),
    ("sweep --optimizers sgd,sgd", "every variant may be given once"),
    ("sweep --optimizers adam[lr=0.001],adam", "'adam' and 'adam' are both torch.optim.Adam"),
    ("sweep --optimizers adam[lr=x]", "lr must be a number (default 0.001), got 'x'"),
    ("sweep --optimizers adam[lr]", "hyperparameters are written key=value"),
    ("sweep --optimizers x=sgd,x=adam", "must have a name of its own, got 'x' for two with diff"),
    ("sweep --iterations 0", "--iterations: must be at least 1 and at most 1000000, got 0"),
    ("sweep --batch-size 60001", "--batch-size must be at most 60000"),
    ("sweep -j 0", "-j/--n-jobs: must be at least 1 and at most 1024, or -1 for every core, got 0"),
    ("sweep --alpha 1.5", "--alpha: must be a number between 0 and 1 (exclusive), got '1.5'"),
    ("sweep --margin nan", "--margin: must be a positive number, got 'nan'"),
    ("sweep --margin 0pp", "--margin: must be a positive number, got '0'"),
    ("sweep --margin 50", "must be at most 0.5, half of the scale of accuracies, got '50': give p"),
    ("sweep --margin 60%", "got '60%': give percentage points such as 0.2pp, or a fraction such"),
    ("compare before after.parquet --margin 0.6", "--margin: must be at most 0.5, half of the sc"),
    ("analyze few.parquet --margin 50", "--margin must be at most 0.5, half of the scale of test_"),
    ("analyze few.parquet --margin 51pp", "got 51pp: give percentage points such as 0.2pp"),
    (
        "analyze few.parquet --value test_loss --margin 0.2pp",
        "--margin: only accuracies have percentage points, got 0.2pp for test_loss: give a number",
    ),
    ("sweep --win-threshold 0.4", "--win-threshold: must be a number from 0.5 to below 1, or 'n"),
    ("sweep --device tpu", "--device: invalid choice: 'tpu'"),
    ("sweep --backend ray", "--backend: invalid choice: 'ray'"),
    ("sweep --backend dask", "needs the address of a scheduler, such as --scheduler tcp://127."),
    *(
        (f"sweep --backend dask --scheduler {address}", "needs the address of a scheduler, such as")
        for address in ("garbage", "http://h:1", "tcp://h:x", "tcp://[::1", "tcp://u:p@h:1")
    ),
    ("sweep --results memory://x", "--results: memory:// keeps nothing after the end of a command"),
    ("sweep --scheduler tcp://h:1", "--scheduler needs --backend dask, got --backend loky"),
    ("sweep --backend dask --scheduler tcp://h:1 -j 2", "--n-jobs cannot be given with --backend"),
    ("sweep --backend dask --scheduler tcp://h:1 --gpus 0", "--gpus cannot be given with --backe"),
    (
        "sweep --backend dask --scheduler tcp://h:1 --jobs-per-gpu 2",
        "--jobs-per-gpu cannot be given with --backend dask",
    ),
    (
        "sweep --backend dask --scheduler tcp://h:1 --in-process",
        "--in-process cannot be given with --backend dask: a run has a thread of a Dask worker",
    ),
    ("sweep --name ../../etc", "--name: a sweep's name must be"),
    (
        "sweep --frobnicate",
        "unrecognized arguments: --frobnicate (try optimizer-bench sweep --help)",
    ),
    (
        "sweep --optimizrs=sgd",
        "unrecognized arguments: --optimizrs=sgd; did you mean --optimizers? (try opt",
    ),
    ("report x --jsn", "unrecognized arguments: --jsn (try optimizer-bench report --help)"),
    ("compare x y --makdown -", "did you mean --markdown? (try optimizer-bench compare --help)"),
    ("sweep -j 100000000", "at most 1024, or -1 for every core, got 100000000"),
    ("sweep --seeds １２", "--seeds: must be a whole number"),
    ("sweep --looks 0", "--looks: must be at least 1"),
    ("sweep --until-decided --seeds 30", "--until-decided cannot be given with --seeds"),
    ("sweep --until-decided --seed-list 1-30", "cannot be given with --seed-list"),
    ("sweep --until-decided --tune", "--until-decided cannot be given with --tune"),
    ("sweep --until-decided --force", "--until-decided cannot be given with --force"),
    ("sweep --until-decided --correction max-t", "cannot be given with --correction max-t"),
    ("sweep --until-decided --dataset mnist,kmnist", "cannot be given with several datasets"),
    ("sweep --until-decided --optimizers sgd", "needs at least two optimizers, got one"),
    ("sweep --until-decided --looks 3", "numbers of seeds such as 13,26,52, or auto, with --until"),
    ("sweep --until-decided --looks any", "or auto, with --until-decided, got any"),
    (
        "sweep --until-decided --looks 26,13",
        "of seeds, ascending, from 3 to 10000, got (26",
    ),
    ("sweep --until-decided --looks 13,x", "--looks: must be a whole number, got 'x'"),
    ("sweep --until-decided --looks 13,26 --max-seeds 30", "must be the last of the --looks, 26"),
    ("sweep --until-decided --max-seeds 14", "--max-seeds must be at least 15 for two looks"),
    ("sweep --max-seeds 50", "--max-seeds needs --until-decided"),
    ("sweep --max-seeds 50 --seeds 20", "--seeds: not allowed with argument --max-seeds"),
    ("sweep --looks 13,26", "--looks 13,26 needs --until-decided"),
    (
        "sweep --shard 3",
        "--shard: a shard must be written as 3/16: a number from 1 to the numb",
    ),
    ("sweep --shard 4/3", "which is at most 10000, got '4/3'"),
    ("sweep --shard 1/2 --tune", "--shard cannot be given with --tune"),
    ("sweep --shard 1/2 --until-decided", "--shard cannot be given with --until-decided"),
    ("merge nowhere", "no sweep at nowhere: expected the directory of a sweep"),
    ("watch nowhere", "no sweep at nowhere: expected its directory, such as results/mnist"),
    ("watch nowhere --interval 0", "--interval: must be a positive number, got '0'"),
    ("sweep --looks often", "--looks: must be a whole number, got 'often'"),
    (f"sweep --no-report --results {LONG}", "File name too long"),
    # benchmark
    ("benchmark --json .", "cannot write the figures to .: it is not a regular file"),
    # analyze
    ("analyze nowhere --margin 0", "--margin: must be a positive number, got '0'"),
    ("analyze nowhere --margin inf", "--margin: must be a positive number, got 'inf'"),
    ("analyze nowhere", "no results at nowhere: expected a directory or a file"),
    ("analyze nowhere.csv --json x --html x", "the JSON and the report must be two files"),
    ("analyze nowhere --json=", "--json: must be a file's path, got nothing"),
    ("analyze nowhere --html .", "cannot write the report to .: it is not a regular file"),
    (f"analyze {LONG}.csv", "File name too long"),
    ("analyze few.parquet --unpaired --folds 1/9", "--folds: not allowed with argument --unpaired"),
    (
        "analyze few.parquet --unpaired --correction max-t",
        "--unpaired goes with --correction holm only, got max-t",
    ),
    (
        "analyze few.parquet --unpaired --win-threshold 0.75",
        "--unpaired and --win-threshold exclude each other: wins are counted on independent pairs "
        "of runs, got 0.75",
    ),
    ("analyze nowhere --folds 1/9 --correction max-t", "--folds goes with --correction holm only"),
    ("analyze nowhere --folds 1/9 --win-threshold 0.5", "--folds and --win-threshold exclude each"),
    (
        "analyze nowhere --folds 0.1",
        "--folds: must be a ratio of two positive whole numbers such as 1/9, got '0.1'",
    ),
    ("analyze nowhere --folds 1/0", "two positive whole numbers such as 1/9, got '1/0'"),
    # report
    ("report nowhere", "no results at nowhere"),
    ("report nowhere --output=", "--output: must be a file's path, got nothing"),
    ("report nowhere --format xml", "--format: invalid choice: 'xml'"),
    ("report nowhere --output -", "--output - prints json, markdown or csv: give --format with"),
    ("report nowhere --format html --output -", "or a file for the HTML report"),
    ("report nowhere --open --format csv", "--open shows the HTML report only, got --format csv"),
    ("report nowhere --open --output - --format json", "HTML report only, got --format json"),
    ("report nowhere --latex -", "--latex: must be a file's path, got '-'"),
    ("report nowhere --rows=", "--rows: must be a file's path, got nothing"),
    ("report nowhere --check -", "--check: must be a file's path, got '-'"),
    ("report nowhere --check x", "no report at x: --check needs an HTML report"),
    ("report nowhere --diagrams cd --format csv", "--diagrams adds to the HTML report only, got "),
    ("report nowhere --diagrams ranks", "--diagrams: invalid choice: 'ranks'"),
    ("analyze nowhere.csv --diagrams cd", "--diagrams adds to the HTML report: give --html FILE"),
    ("report nowhere --check x --open", "--check goes with no other option, got --open too"),
    ("report nowhere --check x --format html", "no other option, got --format too"),
    ("report nowhere --check x --output y --latex z --rows w", "--output, --latex, --rows too"),
    (f"report {LONG}", "File name too long"),
    # report: files that cannot be written, refused before the work
    ("report few.parquet --output file/inside.html", "file: File exists"),
    (
        "report few.parquet --format csv --output file/inside.csv",
        "file: File exists",
    ),
    ("report few.parquet --latex file/inside.tex", "file: File exists"),
    ("report few.parquet --rows .", "cannot write the rows to .: it is not a regular file"),
    (
        "report few.parquet --output few.parquet",
        "cannot write the report to few.parquet: that belongs to the results",
    ),
    (
        "report few.parquet --latex few.parquet",
        "cannot write the LaTeX to few.parquet: that belongs to the results",
    ),
    (
        "report few.parquet --latex a --rows ./a",
        "the LaTeX and the rows must be two files, got a for both",
    ),
    (
        "report few.parquet --output a --latex a",
        "the report and the LaTeX must be two files, got a for both",
    ),
    # compare
    ("compare before", "the following arguments are required: AFTER"),
    (
        "compare before nowhere",
        "no results at nowhere: expected a sweep's directory or a parquet file",
    ),
    ("compare nowhere before", "no results at nowhere"),
    ("compare before after.parquet --allow-missing", "--allow-missing is for --fail-if-changed"),
    ("compare before before", "BEFORE and AFTER must be two sweeps, got before for both"),
    ("compare before ./runs/../before/.", "BEFORE and AFTER must be two sweeps"),
    (
        "compare before other.parquet",
        "both sweeps must have an optimizer in common, got adadelta, ",
    ),
    (
        "compare before data.parquet",
        "must have the same dataset, got 'mnist' before and 'fashion' after",
    ),
    (
        "compare before after.parquet --json - --markdown -",
        "--json - and --markdown - cannot both be",
    ),
    (
        "compare before after.parquet --json x --html x",
        "the JSON and the page must be two files, got x for both",
    ),
    ("compare before after.parquet --html -", "--html: must be a file's path, got '-'"),
    ("compare before after.parquet --json=", "--json: must be a file's path, got nothing"),
    (
        "compare before after.parquet --html .",
        "cannot write the page to .: it is not a regular file",
    ),
    (
        "compare before after.parquet --markdown before/c.csv",
        "that belongs to the results in before",
    ),
    (
        "compare before after.parquet --json before/spec.json",
        "that belongs to the results in before",
    ),
    (
        "compare after.parquet before --markdown before/c.csv",
        "that belongs to the results in before",
    ),
    (
        "compare before after.parquet --html after.parquet",
        "that belongs to the results in after.parquet",
    ),
    ("compare before after.parquet --alpha 2", "--alpha: must be a number between 0 and 1"),
    ("compare before after.parquet --margin 0", "--margin: must be a positive number"),
    ("compare before after.parquet --margin inf", "--margin: must be a positive number"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with files of rows, a sweep and others of equal or other workloads."""
    directory = tmp_path_factory.mktemp("errors")
    (directory / "file").write_text("")
    (directory / "runs").mkdir()
    few_rows(directory)
    before = three_seeds(directory).rename(directory / "before")
    (directory / "results").rmdir()
    edited(before, directory / "after.parquet")
    edited(before, directory / "data.parquet", columns(dataset="fashion"))
    edited(before, directory / "other.parquet", rename_all)
    return directory


def rename_all(row: Row) -> None:
    row["optimizer"] = f"my {row['optimizer']}"


def snapshot(directory: Path) -> dict[Path, bytes]:
    return {f: f.read_bytes() for f in directory.rglob("*") if f.is_file()}


@pytest.mark.parametrize(("command", "message"), ERRORS)
def test_an_error_is_one_line_and_exit_2(
    command: str, message: str, place: Path, call_command: CommandCall
) -> None:
    before = snapshot(place)
    finished = replace(call_command, directory=place)(*command.split())
    assert (finished.code, finished.out) == (2, "")
    assert finished.err.startswith("optimizer-bench: error: ")
    assert finished.err.count("\n") == 1
    assert message in finished.err
    assert snapshot(place) == before


def test_a_message_about_a_long_cell_is_short(call_command: CommandCall) -> None:
    (call_command.directory / "x.csv").write_text(f"optimizer,seed,accuracy\n{10**6 * 'x'},1,0.5\n")
    question = ("--treatment", "optimizer", "--block", "seed", "--value", "accuracy")
    finished = call_command("analyze", "x.csv", *question)
    assert finished.code == 2
    assert finished.err.endswith("x' only: a comparison needs at least two\n")
    assert len(finished.err) < 5000
