"""Text tables that are split at once agree with those that are read row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.tables import delimited
from bench.tables.read import read_tables
from bench.tables.roles import Roles

HEAD = "optimizer,seed,accuracy\n"
PLAIN = {
    "numbers": HEAD + "a,0,.5\nb,0,1\n",
    "whole numbers": HEAD + "a,0,5\nb,0,-1\n",
    "large whole numbers": HEAD + "a,0,18446744073709551615\nb,0,-1\nc,0,1e400\n",
    "missing cells": HEAD + "a,0,\nb,0,NA\nc,0,.5\n",
    "not finite": HEAD + "a,0,nan\nb,0,-inf\nc,0,.5\n",
    "names like numbers": HEAD + "1e3,007,.5\nNA,007,.6\n",
    "spaces": "optimizer , seed,accuracy\n a b , 0 ,\t.5\nb,0, .6 \n",
    "ends of lines": HEAD.replace("\n", "\r\n") + "a,0,.5\r\nb,0,.6",
    "blank ends": "\n" + HEAD + "a,0,.5\nb,0,.6\n\n\n",
    "a mark of the encoding": "\ufeff" + HEAD + "a,0,.5\n",
    "letters": HEAD + "ä,\u2003ß,.5\n",
    "text": "optimizer,seed,accuracy,note,flag\na,0,.5,x,True\nb,0,.6,2,False\n",
}
ROW_BY_ROW = {
    "quotes": HEAD + '"a,b",0,.5\n',
    "comments": HEAD + "# x\na,0,.5\n",
    "blank lines": HEAD + "a,0,.5\n\nb,0,.6\n",
    "blank cells": HEAD + "a,0,.5\n,,\nb,0,.6\n",
    "old line ends": HEAD.replace("\n", "\r") + "a,0,.5\r",
}


def read(file: Path) -> pd.DataFrame:
    return read_tables([file], Roles(value="accuracy")).table


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
@pytest.mark.parametrize("name", [*PLAIN, *ROW_BY_ROW])
def test_both_ways_of_reading_agree(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / f"x{ending}"
    text = {**PLAIN, **ROW_BY_ROW}[name]
    if ending == ".tsv":
        text = text.replace("\t", "").replace(",", "\t")
    file.write_bytes(text.encode())
    found = read(file)
    monkeypatch.setattr(delimited, "_read_plain", lambda *_: None)
    pd.testing.assert_frame_equal(found, read(file), check_exact=True)


@pytest.mark.parametrize("name", [*PLAIN, *ROW_BY_ROW])
def test_only_plain_files_are_split_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes({**PLAIN, **ROW_BY_ROW}[name].encode())
    splits: list[bool] = []
    split = delimited._read_plain

    def noted(*arguments: Any) -> delimited.TextTable | None:
        found = split(*arguments)
        splits.append(found is not None)
        return found

    monkeypatch.setattr(delimited, "_read_plain", noted)
    read(file)
    assert splits == [name in PLAIN]


def test_the_cells_of_a_large_file_are_not_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(HEAD + "".join(f"a,{i},{i / 1000}\n" for i in range(1000)))
    monkeypatch.delattr(delimited, "_records")
    assert len(read(file)) == 1000
