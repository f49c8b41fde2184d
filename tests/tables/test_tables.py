"""Tables of any program: valid ones, errors, and agreement with compare()."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _stored import three_seeds
from conftest import CommandCall

import bench
from bench import cli
from bench.analysis import compare, to_dict
from bench.analysis.results import Test
from bench.tables.read import read_tables
from bench.tables.roles import Roles

REQUIRED = ("optimizer", "seed", "accuracy")
ROLES = Roles(value="accuracy")
ROWS = [
    *(("adam", seed, 0.97 + 0.001 * (seed % 3)) for seed in range(7)),
    *(("sgd", seed, 0.95 + 0.001 * (seed % 2)) for seed in range(7)),
]
TABLE = pd.DataFrame(ROWS, columns=list(REQUIRED))
TEXT = TABLE.to_csv(index=False)


def write_csv(file: Path) -> None:
    TABLE.to_csv(file, index=False)


def write_tsv(file: Path) -> None:
    TABLE.to_csv(file, index=False, sep="\t")


def write_excel_csv(file: Path) -> None:
    file.write_text(TEXT.replace(",", ", "), encoding="utf-8-sig")


def write_parquet(file: Path) -> None:
    TABLE.to_parquet(file)


def write_two_halves(directory: Path) -> None:
    directory.mkdir()
    TABLE.iloc[:9].to_csv(directory / "a.csv", index=False)
    TABLE.iloc[9:].to_parquet(directory / "b.parquet")
    (directory / "README.txt").write_text("not a table")


FORMATS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "csv": ("mine.csv", write_csv),
    "CSV": ("MINE.CSV", write_csv),
    "tsv": ("mine.tsv", write_tsv),
    "spreadsheet": ("mine.csv", write_excel_csv),
    "parquet": ("mine.parquet", write_parquet),
    "directory": ("mine", write_two_halves),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_comparison(name: str, tmp_path: Path) -> None:
    file, write = FORMATS[name]
    write(tmp_path / file)
    table = read_tables([tmp_path / file], ROLES).table
    assert to_dict(compare(table, value="accuracy")) == to_dict(compare(TABLE, value="accuracy"))


LISTS = [
    ("[1, 2.5]", [1, 2.5]),
    ("[0.5, null]", [0.5, None]),
    ('["inf", -1]', [float("inf"), -1]),
    ("[]", []),
    ("5", 5.0),
    ("text", "text"),
    ("[1, 2", "[1, 2"),
    ("[[1]]", "[[1]]"),
    ('{"a": 1}', '{"a": 1}'),
    ('"12"', '"12"'),
    ("[" * 100_000, "[" * 100_000),
]


@pytest.mark.parametrize(("cell", "read"), LISTS, ids=[cell[:12] for cell, _ in LISTS])
def test_lists_of_evaluations_are_read_from_csv(cell: str, read: object, tmp_path: Path) -> None:
    table = TABLE.iloc[:1].assign(eval_test_loss=cell, note=cell)
    table.to_csv(tmp_path / "x.csv", index=False)
    found = read_tables([tmp_path / "x.csv"], ROLES).table
    value = found["eval_test_loss"][0]
    if isinstance(value, list):
        value = [None if x != x else x for x in value]
    assert value == read
    assert not isinstance(found["note"][0], list)


def test_names_stay_text_and_empty_cells_are_null(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("optimizer,seed,accuracy,note\nNA,0,.5,\n1e3,0,,x\nNA,1,NaN,\n 1e3 ,1,.25,y\n")
    table = read_tables([file], ROLES).table
    assert table["optimizer"].tolist() == ["NA", "1e3", "NA", "1e3"]
    assert table["seed"].tolist() == ["0", "0", "1", "1"]
    assert compare(table, value="accuracy").parameters.n_blocks == 2
    assert table["accuracy"].isna().tolist() == [False, True, False, False]
    assert table["accuracy"][2] == "NaN"
    assert table["run_file"].unique().tolist() == [str(file)]


BAD = {
    "column": ("a.csv", "optimizer,accuracy\na,1\n", "a.csv has no column 'seed': its columns are"),
    "column twice": (
        "a.csv",
        "optimizer,seed,accuracy,accuracy\na,0,1,1\nb,0,1,1\n",
        "a.csv has more than one column 'accuracy'",
    ),
    "other column twice": (
        "a.csv",
        "optimizer,seed,accuracy,error,error\na,0,1,,\nb,0,1,,\n",
        "a.csv has more than one column 'error'",
    ),
    "huge": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,1e300\nb,0,1\n",
        "must hold finite numbers (up to 1e+150), got 1e+300 in row 1 of a.csv",
    ),
    "too long": (
        "a.csv",
        f"optimizer,seed,accuracy\na,0,{'9' * 400}\nb,0,1\n",
        "column 'accuracy' must hold",
    ),
    "separator": ("a.csv", TEXT.replace(",", "/"), "its columns are optimizer/seed/accuracy"),
    "text": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,1\na,1,good\n",
        "column 'accuracy' must hold numbers, got 'good' in row 2 of a.csv",
    ),
    "duplicate": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,1\nb,0,1\na,0,2\n",
        "optimizer 'a' has more than one run for seed 0: row 1 of a.csv and row 3 of a.csv",
    ),
    "nameless": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,1\n,0,1\n",
        "column 'optimizer' has an empty cell in row 2 of a.csv",
    ),
    "single": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,1\na,1,1\n",
        "column 'optimizer' of a.csv holds 'a' only: a comparison needs at least two",
    ),
    "empty": ("a.csv", "", "a.csv is empty: it needs a line of column names, then rows"),
    "no rows": ("a.csv", "optimizer,seed,accuracy\n", "a.csv has no rows: it needs one row per"),
    "ragged": ("a.csv", "optimizer,seed,accuracy\na,0,1,2,3\n", "a.csv, line 2 has too many"),
    "binary": ("a.csv", "\xff\xfe\x00", "a.csv is not a table: "),
    "not parquet": ("a.parquet", f"PAR1{TEXT}", "a.parquet is not a table: "),
    "empty JSON": ("a.json", "{}", "a.json is not a table: JSON must hold a list of objects"),
    "no value": (
        "a.csv",
        "optimizer,seed,accuracy\na,0,\nb,0,\n",
        "column 'accuracy' has no value in any of the 2 rows",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_table_is_an_error_of_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file, text, message = BAD[name]
    Path(file).write_text(text, encoding="latin-1")
    assert cli.main(["analyze", file, "--value", "accuracy", "--json", "out.json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("optimizer-bench: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not Path("out.json").exists()


def test_pandas_metadata_of_a_parquet_file_is_not_used(tmp_path: Path) -> None:
    table = pa.Table.from_pandas(TABLE).replace_schema_metadata({b"pandas": b"[]"})
    pq.write_table(table, tmp_path / "x.parquet")
    read = read_tables([tmp_path / "x.parquet"], ROLES).table
    assert to_dict(compare(read, value="accuracy")) == to_dict(compare(TABLE, value="accuracy"))


def test_a_run_has_one_value_of_its_own_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(
        pa.Table.from_pandas(TABLE.assign(cores=[[1, 2]] * len(TABLE))), tmp_path / "x.parquet"
    )
    assert cli.main(["analyze", str(tmp_path / "x.parquet"), "--value", "accuracy"]) == 2
    assert "column 'cores' must hold one value per run, got '[1 2]'" in capsys.readouterr().err


QUESTIONS = [
    (("--value", "rmse"), "direction must be given for column 'rmse'"),
    (("--value", "seed"), "must be three different columns, got 'optimizer', 'seed' and 'seed'"),
    (("--block", "fold"), "mine.csv has no column 'fold'"),
]


@pytest.mark.parametrize(("options", "message"), QUESTIONS)
def test_an_invalid_request_is_an_error_of_one_line(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    TABLE.assign(rmse=1.0, test_accuracy=0.5).to_csv("mine.csv", index=False)
    assert cli.main(["analyze", "mine.csv", *options]) == 2
    assert message in capsys.readouterr().err


def test_seeds_of_several_files_are_paired(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("optimizer,seed,accuracy\na,0,1\na,18446744073709551617,2\n")
    (tmp_path / "b.csv").write_text(
        "optimizer,seed,accuracy\nb,0,1\nb,x,1\nb,18446744073709551617,2\n"
    )
    rows = {"optimizer": ["c"] * 2, "seed": [0.0, 1.5], "accuracy": [1.0, 2.0]}
    pd.DataFrame(rows).to_parquet(tmp_path / "c.parquet")
    table = read_tables([tmp_path], ROLES).table
    pairs = {(p.a, p.b): p.n for p in compare(table, value="accuracy").pairs}
    assert sorted(pairs.values()) == [1, 1, 2]
    assert compare(table, value="accuracy").parameters.n_blocks == 4


def test_markup_and_escapes_in_column_names_are_escaped(call_command: CommandCall) -> None:
    names = ["[red]x[/foo]", "s\x1b[2J", "v\x1b[1m_<b>"]
    renamed = TABLE.rename(columns=dict(zip(REQUIRED, names, strict=True)))
    renamed.to_csv(call_command.directory / "x.csv", index=False)
    finished = call_command(
        *("analyze", "x.csv", "--treatment", names[0], "--block", names[1], "--value", names[2]),
        *("--direction", "higher", "--html", "x.html"),
    )
    assert (finished.code, finished.err) == (0, "")
    assert "[red]x[/foo]" in finished.out
    assert "\x1b" not in finished.out
    page = (call_command.directory / "x.html").read_text()
    assert "\x1b" not in page
    assert "<b>" not in page


def test_a_directory_without_tables_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert cli.main(["analyze", "empty"]) == 2
    assert "empty holds no table: expected files ending in .csv" in capsys.readouterr().err


def test_analyze_any_table(call_command: CommandCall) -> None:
    TABLE.rename(columns={"optimizer": "model", "seed": "fold", "accuracy": "rmse"}).to_csv(
        call_command.directory / "mine.csv", index=False
    )
    question = ["mine.csv", "--treatment", "model", "--block", "fold", "--value", "rmse"]
    question += ["--direction", "lower", "--margin", "0.03"]
    finished = call_command("analyze", *question, "--json", "out.json", "--html", "out.html")
    assert (finished.code, finished.err) == (0, "")
    assert "Over 7 folds, sgd has the lowest mean rmse (0.95043)." in finished.out
    assert f"reproduce: optimizer-bench analyze {' '.join(question)}" in finished.out
    found = json.loads((call_command.directory / "out.json").read_text())
    expected = compare(TABLE, value="accuracy", direction="lower", margin=0.03)
    renamed = {"schema_version": 1, "optimizer_bench": bench.__version__, **to_dict(expected)}
    renamed["parameters"] |= {"treatment": "model", "block": "fold", "value": "rmse"}
    renamed["warnings"] = found["warnings"]  # they contain names of columns
    del renamed["notes"]  # an accuracy is read as fractions; an rmse needs no note
    assert found == renamed
    page = (call_command.directory / "out.html").read_text()
    assert "Results of single folds" in page
    assert not re.search(r"\bNaN\b", (call_command.directory / "out.json").read_text())


def test_analyze_with_max_t(call_command: CommandCall) -> None:
    TABLE.to_csv(call_command.directory / "mine.csv", index=False)
    question = ["mine.csv", "--value", "accuracy", "--correction", "max-t"]
    finished = call_command("analyze", *question, "--json", "out.json", "--html", "out.html")
    assert finished.code == 0, finished.err
    assert f"reproduce: optimizer-bench analyze {' '.join(question)}" in finished.out
    found = json.loads((call_command.directory / "out.json").read_text())
    expected = compare(TABLE, value="accuracy", correction="max-t")
    assert found["parameters"]["correction"] == "max-t"
    assert [p["pvalue_max_t"] for p in found["pairs"]] == [p.pvalue_max_t for p in expected.pairs]
    page = (call_command.directory / "out.html").read_text()
    assert "Step-down max-T over all testable pairs" in page
    assert "Holm's step-down procedure" not in page


def test_max_t_that_was_not_declared_is_pointed_out(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory)
    finished = call_command("analyze", sweep, "--win-threshold", "0.75", "--json", "-")
    found = json.loads(finished.out)
    assert found["parameters"]["win_threshold"] == 0.75
    note = "Judged with win threshold 0.75, which is not what was declared before the runs."
    assert note in finished.out + finished.err
    finished = call_command("analyze", sweep, "--correction", "max-t")
    assert "Judged with correction max-t, which is not what was declared before the runs." in (
        finished.out
    )


@pytest.mark.parametrize(
    ("options", "test", "ratio"),
    [(["--unpaired"], "welch", None), (["--folds", "10/60"], "corrected-t", 1 / 6)],
)
def test_analyze_by_another_test(
    options: list[str], test: Test, ratio: float | None, call_command: CommandCall
) -> None:
    TABLE.to_csv(call_command.directory / "mine.csv", index=False)
    question = ["mine.csv", "--value", "accuracy", *options]
    finished = call_command("analyze", *question, "--json", "out.json", "--html", "out.html")
    assert finished.code == 0, finished.err
    assert f"reproduce: optimizer-bench analyze {' '.join(question)}" in finished.out
    expected = compare(TABLE, value="accuracy", test=test, resampling_ratio=ratio)
    assert expected.notes[0] in finished.out
    found = json.loads((call_command.directory / "out.json").read_text())
    assert found["parameters"] == to_dict(expected.parameters)
    assert found["pairs"] == to_dict(expected.pairs)


def test_unpaired_runs_of_no_common_seed(call_command: CommandCall) -> None:
    """The paired comparison cannot test them, and says what can."""
    shifted = TABLE.assign(seed=TABLE["seed"] + 100 * (TABLE["optimizer"] == "sgd"))
    shifted.to_csv(call_command.directory / "mine.csv", index=False)
    paired = call_command("analyze", "mine.csv", "--value", "accuracy")
    assert "not testable" in paired.out
    assert "analyze --unpaired compares them by Welch's t test" in paired.out
    unpaired = call_command("analyze", "mine.csv", "--value", "accuracy", "--unpaired")
    assert "Over 7 runs each, unpaired, adam has the highest mean accuracy" in unpaired.out
    assert "p diff < 0.001  worse" in unpaired.out


def test_a_test_that_was_not_declared_is_pointed_out(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory)
    for options, words in ((["--unpaired"], "unpaired runs"), (["--folds", "1/9"], "folds 1/9")):
        finished = call_command("analyze", sweep, *options)
        assert finished.code == 0
        note = f"Judged with {words}, which is not what was declared before the runs."
        assert note in finished.out
    assert "Judged with" not in call_command("analyze", sweep).out


def test_another_column_of_a_sweep_is_secondary(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory)
    finished = call_command("analyze", sweep, "--value", "test_loss")
    assert finished.code == 0
    assert "mean nats" in finished.out
    assert "warning: test_loss is not the metric that was declared before the runs" in finished.out


@pytest.mark.long
def test_sweeps_of_different_workloads_are_an_error(call_command: CommandCall) -> None:
    fast = ("--optimizers", "sgd,adam", "--seeds", "2", "--in-process", "--no-report")
    assert call_command("sweep", *fast, "--iterations", "20", "--name", "other").code == 0
    mixed = call_command("analyze", "results/other", three_seeds(call_command.directory))
    assert mixed.code == 2
    assert "holds runs with iterations=20 and iterations=3000" in mixed.err


def test_names_with_markup_and_escapes(call_command: CommandCall) -> None:
    hostile = TABLE.replace({"adam": "<script>alert(1)</script>", "sgd": "\x1b[2J=cmd()"})
    pq.write_table(pa.Table.from_pandas(hostile), call_command.directory / "x.parquet")
    finished = call_command("analyze", "x.parquet", "--value", "accuracy", "--html", "x.html")
    assert finished.code == 0
    assert "\x1b" not in finished.out
    assert "<script>alert" not in (call_command.directory / "x.html").read_text()
