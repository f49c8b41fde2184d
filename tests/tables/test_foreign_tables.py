"""Tables of other programs: comments, ragged rows, binary columns, folders, words and nan."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _stored import three_seeds
from conftest import CommandCall

from bench.errors import TableError
from bench.tables.read import read_tables
from bench.tables.roles import Roles

pytestmark = pytest.mark.usefixtures("undrawn")
COLUMNS = ("optimizer", "seed", "accuracy")
HEAD = "optimizer,seed,accuracy\n"
ROWS = "".join(f"adam,{s},0.9{7 + s % 2}\nsgd,{s},0.9{5 - s % 2}\n" for s in range(6))
QUESTION = ("--value", "accuracy", "--json", "-")


def read(file: Path, **options: object) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of a file, and the notes on it."""
    notes: list[str] = []
    reading = read_tables([file], Roles(value="accuracy"), note=notes.append, **options)  # type: ignore[arg-type]
    return reading.table, notes


#: Text of a file; the first column and the seeds; the note.
COMMENTS = {
    "none": (HEAD + "a,0,.5\nb,0,.6\n", "a0 b0", ""),
    "blank lines": (HEAD + "\na,0,.5\n   \n,,\r\nb,0,.6\n\n", "a0 b0", ""),
    "behind": (
        HEAD + "a,0,.5\nb,0,.6\n\n# mean .55, on one GPU\n",
        "a0 b0",
        "skipped 1 comment line (with '#' in front), the first is line 5 of x.csv",
    ),
    "before the header": (
        "# made by x.py\n#, on, Monday\n" + HEAD + "a,0,.5\n",
        "a0",
        "skipped 2 comment lines (with '#' in front), the first is line 1 of x.csv",
    ),
    "between, with a quote that opens nothing": (
        HEAD + 'a,0,.5\n # it is, "odd\nb,0,.6\n',
        "a0 b0",
        "skipped 1 comment line (with '#' in front), the first is line 3 of x.csv",
    ),
    "as many cells as a row": (
        HEAD + "# lr=0.1, batch 100, mlp\na,0,.5\n",
        "a0",
        "skipped 1 comment line (with '#' in front), the first is line 2 of x.csv",
    ),
    "a row that was taken out": (
        HEAD + "a,0,.5\n#a,1,.1\n# a,2,nan\nb,0,.6\n",
        "a0 b0",
        "skipped 2 comment lines (with '#' in front), the first is line 3 of x.csv",
    ),
    "a header": (
        "#optimizer,seed,accuracy\na,0,.5\n",
        "a0",
        "line 1 of x.csv, which begins with '#', is read as column names",
    ),
    "a header below comments": (
        "# by x.py\n# optimizer, seed, accuracy\na,0,.5\n",
        "a0",
        "skipped 1 comment line (with '#' in front), the first is line 1 of x.csv / "
        "line 2 of x.csv, which begins with '#', is read as column names",
    ),
    "a header that is repeated as a comment": (
        "# optimizer,seed,accuracy\n" + HEAD + "a,0,.5\n",
        "a0",
        "skipped 1 comment line (with '#' in front), the first is line 1 of x.csv",
    ),
    "names that begin so": (HEAD + "#1,0,.5\n#2,0,.6\n", "#10 #20", ""),
    "names in quotes": (HEAD + '"#1",0,.5\nb,0,.6\n', "#10 b0", ""),
    "not in front": (HEAD + "a#1,0,.5\nb #2,0,.6\n", "a#10 b #20", ""),
    "cells of several lines": (
        'optimizer,seed,accuracy,note\na,0,.5,"two\n# lines\n\n"\nb,0,.6,"x ""y"""\n# end\n',
        "a0 b0",
        "skipped 1 comment line (with '#' in front), the first is line 7 of x.csv",
    ),
    "old line ends": (HEAD.replace("\n", "\r") + "a,0,.5\r#\rb,0,.6\r", "a0 b0", "line 3 of x.csv"),
}


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("name", COMMENTS)
def test_comments_and_blank_lines_are_skipped(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, rows, note = COMMENTS[name]
    file = Path(f"x{ending}")
    file.write_bytes(text.replace(",", "," if ending == ".csv" else "\t").encode())
    table, notes = read(file)
    assert " ".join(table["optimizer"] + table["seed"]) == rows
    said = " / ".join(notes)
    assert note.replace("x.csv", file.name) in said
    assert bool(note) == bool(said)


#: Text of a file, and the message.
RAGGED = {
    "too few": (
        HEAD + "a,0,.5\nb,1\n",
        "x.csv, line 3 has too few cells, 2 for 3 columns: 'b,1'",
    ),
    "too many": (
        HEAD + "a,0,.5\nb,1,.6,7\n",
        "x.csv, line 3 has too many cells, 4 for 3 columns: 'b,1,.6,7'",
    ),
    "behind a cell of several lines": (
        'optimizer,seed,accuracy,note\n\na,0,.5,"x\n\ny"\nb,1,.6\n',
        "x.csv, line 6 has too few cells, 3 for 4 columns: 'b,1,.6'",
    ),
    "a long one": (HEAD + "x" * 200, f"1 for 3 columns: '{'x' * 77}...'"),
    "an open quote": (
        HEAD + 'a,0,.5\nb,1,"0.6\nc,1,.7\n',
        "x.csv, line 3: a quoted cell does not end: 'b,1,\"0.6\\nc,1,.7'",
    ),
    "a name or a comment": (
        HEAD + "a,0,.5\n#b,0,.6\n",
        "x.csv, line 3 begins with '#' and has the cells of a row: put its first cell in quotes "
        "if it is a row, or remove the line if it is a comment: '#b,0,.6'",
    ),
    "only comments": ("# optimizer\n#\n", "x.csv is empty: it needs a line of column names"),
    "no such column": (
        "optimiser;seed;accuracy\na;0;0,5\n",
        "x.csv has no column 'optimizer': its columns are optimiser, seed, accuracy; name the "
        "right one with --treatment, such as optimiser",
    ),
}


@pytest.mark.parametrize("name", RAGGED)
def test_an_error_names_the_line(name: str, call_command: CommandCall) -> None:
    text, message = RAGGED[name]
    (call_command.directory / "x.csv").write_text(text)
    finished = call_command("analyze", "x.csv", *QUESTION)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert message in finished.err
    (call_command.directory / "x.tsv").write_text(text.replace(",", "\t"))
    finished = call_command("analyze", "x.tsv", *QUESTION)
    assert finished.code == 2


TEXT = {"optimizer": ["a", "b"] * 3, "seed": [0, 0, 1, 1, 2, 2], "accuracy": [0.9, 0.8] * 3}
NO_TEXT = [b"\xff\xfe"] + [b"x"] * 5


def broken_strings() -> pa.Array:
    """Return an array of strings that are not in UTF-8."""
    cells = pa.array(NO_TEXT, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(cells), cells.buffers())


BINARY = {
    "optimizer": pa.array(NO_TEXT),
    "seed": pa.array([b"\xff", b"\xff", b"1", b"1", b"2", b"2"]),
    "accuracy": pa.array(NO_TEXT),
    "status": pa.array(NO_TEXT),
    "error": pa.array(NO_TEXT),
    "device_name": pa.array(NO_TEXT),
    "git_commit": broken_strings(),
    "train_seconds": pa.array(NO_TEXT),
    "started_at": pa.array([b"\xff\xfe"] * 6, pa.binary(2)),
}


@pytest.mark.parametrize("column", BINARY)
def test_bytes_in_a_required_column_are_an_error(column: str, call_command: CommandCall) -> None:
    table = {**{name: pa.array(cells) for name, cells in TEXT.items()}, column: BINARY[column]}
    pq.write_table(pa.table(table), call_command.directory / "x.parquet")
    finished = call_command("analyze", "x.parquet", *QUESTION)
    assert (finished.code, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert f"column '{column}'" in finished.err
    assert "x.parquet" in finished.err
    if column not in COLUMNS:
        ignored = call_command("analyze", "x.parquet", *QUESTION, "--ignore-column", column)
        assert ignored.code == 0


def test_bytes_that_are_unused_or_text_are_read(call_command: CommandCall) -> None:
    table = {name: pa.array(cells) for name, cells in TEXT.items()}
    table |= {
        "optimizer": pa.array([b"a", b"b"] * 3),
        "uuid": pa.array([bytes(16)] * 6, pa.binary(16)),
        "note": broken_strings(),
        "thumbnail": pa.array(NO_TEXT),
        "tags": pa.array([[b"\xff"]] * 6, pa.list_(pa.binary())),
    }
    pq.write_table(pa.table(table), call_command.directory / "x.parquet")
    finished = call_command("analyze", "x.parquet", *QUESTION, "--html", "x.html")
    assert (finished.code, finished.err) == (0, "")
    assert [t["name"] for t in json.loads(finished.out)["treatments"]] == ["a", "b"]


def test_a_column_name_that_is_not_text_is_an_error(call_command: CommandCall) -> None:
    names = [*TEXT, b"\xff"]
    table = pa.table([*map(pa.array, TEXT.values()), pa.array([1] * 6)], names=names)
    pq.write_table(table, call_command.directory / "x.parquet")
    finished = call_command("analyze", "x.parquet", *QUESTION)
    assert finished.code == 2
    assert "x.parquet has a column whose name is not text in UTF-8" in finished.err


@pytest.mark.parametrize("folder", ["seed=3", "optimizer=zz", "accuracy=1", "note=x/seed=a"])
def test_names_of_folders_are_not_columns(folder: str, tmp_path: Path) -> None:
    file = tmp_path / folder / "runs.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table(TEXT), file)
    for path in (file, file.parent):
        table, _ = read(path)
        assert list(table.columns) == [*COLUMNS, "run_row", "run_file"]
        assert table["optimizer"].tolist() == TEXT["optimizer"]
        assert table["seed"].tolist() == TEXT["seed"]


@pytest.mark.filterwarnings("error::Warning:bench", "error::Warning:pandas")
def test_many_columns_give_no_warning(call_command: CommandCall) -> None:
    many = "".join(f",param_{number}" for number in range(113))
    text = HEAD.strip() + many + "\n"
    text += "".join(row + ",0.5" * 100 + ",x" * 13 + "\n" for row in ROWS.splitlines())
    (call_command.directory / "x.csv").write_text(text)
    finished = call_command("analyze", "x.csv", "--value", "accuracy", "--html", "x.html")
    assert (finished.code, finished.err) == (0, "")


def test_a_status_of_another_tool_is_read_or_ignored(call_command: CommandCall) -> None:
    lines = ROWS.splitlines()
    (call_command.directory / "x.csv").write_text(
        HEAD.strip() + ",status\n" + "".join(f"{line},FINISHED\n" for line in lines)
    )
    finished = call_command("analyze", "x.csv", *QUESTION)
    assert finished.code == 0
    assert finished.err == "optimizer-bench: note: column 'status': read FINISHED (12) as ok\n"
    (call_command.directory / "y.csv").write_text(
        HEAD.strip() + ",status\n" + "".join(f"{line},warm\n" for line in lines)
    )
    refused = call_command("analyze", "y.csv", *QUESTION)
    assert refused.code == 2
    assert "got 'warm' in row 1 of y.csv" in refused.err
    assert "--ignore-column status" in refused.err
    ignored = call_command("analyze", "y.csv", *QUESTION, "--ignore-column", "status")
    assert (ignored.code, ignored.err) == (0, "")
    assert json.loads(ignored.out)["pairs"] == json.loads(finished.out)["pairs"]
    shown = call_command("analyze", "y.csv", *QUESTION[:2], "--ignore-column", "status")
    assert "y.csv --value accuracy --ignore-column status" in shown.out


IGNORED = [
    ("seed", "--ignore-column must not name a column in use, got 'seed'"),
    ("stauts", "there is no column 'stauts' to ignore: the columns are accuracy, optimizer, seed"),
]


@pytest.mark.parametrize(("column", "message"), IGNORED)
def test_a_column_that_cannot_be_ignored(
    column: str, message: str, call_command: CommandCall
) -> None:
    (call_command.directory / "x.csv").write_text(HEAD + ROWS)
    finished = call_command("analyze", "x.csv", *QUESTION, "--ignore-column", column)
    assert finished.code == 2
    assert message in finished.err


def test_columns_of_sweeps_can_be_ignored(call_command: CommandCall) -> None:
    sweep = three_seeds(call_command.directory)
    found = call_command("analyze", sweep, "--ignore-column", "git_commit")
    assert found.code == 0
    assert "warning: Column git_commit of the sweep is left out." in found.out
    assert "--ignore-column git_commit" in found.out
    for command in (("analyze", sweep), ("compare", sweep, "other")):
        (call_command.directory / "other").mkdir(exist_ok=True)
        rows = pq.ParquetFile(next(Path(sweep).rglob("*.parquet"))).read()
        pq.write_table(rows, call_command.directory / "other" / "runs.parquet")
        unknown = call_command(*command, "--ignore-column", "stauts")
        assert unknown.code == 2
        assert "there is no column 'stauts' to ignore" in unknown.err
    used = call_command("compare", sweep, "other", "--ignore-column", "status")
    assert used.code == 2
    assert "--ignore-column must not name a column in use, got 'status'" in used.err
    compared = call_command("compare", sweep, "other", "--ignore-column", "git_commit")
    assert compared.code == 0
    assert "--ignore-column git_commit" in compared.out


#: Losses of beta on twelve seeds, of which four diverged.
LOST = [None if seed % 3 == 0 else 0.27 + 0.003 * seed for seed in range(12)]


def write_losses(file: Path, spelled: str, status: str | None = None) -> None:
    """Write runs of alpha and beta; four of the twelve runs of beta diverged."""
    lines = ["optimizer,seed,val_loss" + (",status" if status else "")]
    for seed, loss in enumerate(LOST):
        own = f",{status if loss is None else 'ok'}" if status else ""
        lines.append(f"alpha,{seed},{0.3 + 0.004 * seed}" + (",ok" if status else ""))
        lines.append(f"beta,{seed},{spelled if loss is None else loss}{own}")
    file.write_text("\n".join(lines))


#: Cell of a diverged run; options; whether it counts as diverged; the note.
SPELLED = [
    ("nan", (), True, "4 of 24 cells of column 'val_loss' are nan or inf: read as diverged"),
    ("NaN", (), True, "(--nan missing: as no result)"),
    ("-Infinity", (), True, "read as diverged"),
    ("inf", ("--nan", "diverged"), True, "read as diverged"),
    ("nan", ("--nan", "missing"), False, "read as no result (--nan diverged"),
    ("+INF", ("--nan", "missing"), False, "read as no result"),
    ("", (), False, ""),
    ("N/A", (), False, ""),
    ("NULL", (), False, ""),
    ("None", (), False, ""),
]


@pytest.mark.parametrize(("spelled", "options", "is_diverged", "note"), SPELLED)
def test_a_nan_cell_is_a_diverged_run(
    spelled: str,
    options: tuple[str, ...],
    is_diverged: bool,
    note: str,
    call_command: CommandCall,
) -> None:
    question = ("--value", "val_loss", "--direction", "lower", "--json", "-")
    write_losses(call_command.directory / "x.csv", spelled)
    write_losses(call_command.directory / "y.csv", "", "diverged" if is_diverged else "failed")
    found = call_command("analyze", "x.csv", *question, *options)
    expected = call_command("analyze", "y.csv", *question)
    assert (found.code, expected.code, expected.err) == (0, 0, "")
    assert found.err.count("\n") == bool(note)
    assert note in found.err
    pairs = [json.loads(finished.out)["pairs"] for finished in (found, expected)]
    assert pairs[0] == pairs[1]
    assert (pairs[0][0]["verdict"] == "inconclusive") == is_diverged


def test_nan_in_parquet_is_missing_and_inf_diverged(call_command: CommandCall) -> None:
    losses = [0.1, 0.2, float("nan"), None, 0.3, float("inf")]
    table = {**TEXT, "accuracy": pa.array(losses, pa.float64())}
    pq.write_table(pa.table(table), call_command.directory / "x.parquet")
    finished = call_command("analyze", "x.parquet", *QUESTION)
    assert finished.code == 0
    notes = finished.err.splitlines()
    assert "NaN in 1 cell of column 'accuracy' of parquet files: read as no result" in notes[0]
    assert "1 of 6 cells of column 'accuracy' is nan or inf: read as diverged" in notes[1]
    treatments = {t["name"]: t for t in json.loads(finished.out)["treatments"]}
    assert [treatments[name]["n"] for name in "ab"] == [2, 2]
    assert treatments["b"]["n_diverged"] == 1


def test_hyperparameters_may_differ_by_fold(call_command: CommandCall) -> None:
    lines = ["optimizer,seed,accuracy,algorithm,hyperparameters"]
    lines += [f'{row},x,"{{""C"": {n % 3}}}"' for n, row in enumerate(ROWS.splitlines())]
    (call_command.directory / "x.csv").write_text("\n".join(lines))
    finished = call_command("analyze", "x.csv", *QUESTION, "--html", "x.html")
    assert (finished.code, finished.err) == (0, "")


LISTS = ("eval_iterations", "eval_test_accuracy", "eval_test_loss", "eval_train_loss")
NO_NUMBERS = [[b"\xff"], ["x"], [[1]], b"\xff", {"a": 1}]


@pytest.mark.parametrize("column", [*LISTS, "eval_train_seconds"])
def test_lists_without_numbers_are_an_error_or_omitted(
    column: str, call_command: CommandCall
) -> None:
    for cell in NO_NUMBERS:
        table = {**TEXT, **dict.fromkeys(LISTS, [[1]] * 6), column: [cell] * 6}
        pq.write_table(pa.table(table), call_command.directory / "x.parquet")
        finished = call_command("analyze", "x.parquet", *QUESTION, "--html", "x.html")
        assert finished.code == (2 if isinstance(cell, list) else 0)
        assert finished.err.count("\n") == isinstance(cell, list)
        if isinstance(cell, list):
            assert f"{column!r}" in finished.err
            assert finished.err.endswith("in row 1 of x.parquet\n")


def test_a_directory_of_tables_that_are_directories(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").mkdir()
    pq.write_table(pa.table(TEXT), tmp_path / "a.parquet" / "part-0.parquet")
    (tmp_path / "b.csv").write_text(HEAD + "c,0,.5\n")
    table, _ = read(tmp_path)
    assert sorted(set(table["optimizer"])) == ["a", "b", "c"]


def test_a_long_cell_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"{HEAD.strip()},note\na,0,.5,{'x' * 200_000}\n")
    table, _ = read(tmp_path / "x.csv")
    assert len(table["note"][0]) == 200_000


def test_an_ignored_column_may_be_duplicated(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("optimizer,seed,accuracy,x,x\na,0,.5,1,2\n")
    with pytest.raises(TableError, match="more than one column 'x'"):
        read(tmp_path / "x.csv")
    table, _ = read(tmp_path / "x.csv", ignored=["x"])
    assert list(table.columns) == [*COLUMNS, "run_row", "run_file"]
