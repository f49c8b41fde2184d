"""Lack of memory ends a command with one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bench.cli import main, run_guarded
from bench.storage.rows import read_rows

LINE = (
    "optimizer-bench: error: not enough memory: close other programs, or give fewer or smaller "
    "files\n"
)


def of_python() -> int:
    raise MemoryError


def of_numpy() -> int:
    return len(np.empty(2**60, dtype=np.uint8))


def of_arrow() -> int:
    raise pa.ArrowMemoryError("malloc of size 64 failed")


def of_torch() -> int:
    return len(torch.empty(2**60, dtype=torch.uint8))


@pytest.mark.parametrize("fail", [of_python, of_numpy, of_arrow, of_torch])
def test_it_is_one_line_and_exit_1(
    fail: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_guarded(fail) == 1
    assert capsys.readouterr().err == LINE


def test_a_library_that_cannot_be_mapped_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    assert run_guarded(fail) == 1
    line = "ImportError: libtorch_cpu.so: failed to map segment from shared object"
    assert capsys.readouterr().err == f"optimizer-bench: error: {line}\n"


class NoMemory:
    """Stands for a parquet file that does not fit into memory."""

    def __init__(self, *_: object, **__: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 64 failed")


def test_a_file_that_does_not_fit_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"optimizer": ["a"], "seed": [0], "test_accuracy": [0.5]}), file)
    monkeypatch.setattr(pq, "ParquetFile", NoMemory)
    with pytest.raises(MemoryError):
        read_rows(file)
    assert main(["analyze", str(file)]) == 1
    assert capsys.readouterr().err == LINE
