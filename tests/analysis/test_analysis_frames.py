"""Comparisons as DataFrames, as text, as JSON with versions, and as reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from _tables import long_table

import bench
from bench.analysis import compare, describe_runs, to_json
from bench.errors import UsageError

TABLE = long_table(
    {
        "adam": [0.97 + 0.001 * (seed % 3) for seed in range(12)],
        "sgd": [0.95 + 0.002 * (seed % 2) for seed in range(12)],
        "one": [0.9],
    }
)
COMPARISON = compare(TABLE)


def test_the_ranking_as_a_frame() -> None:
    frame = COMPARISON.to_frame()
    assert frame.index.tolist() == [t.name for t in COMPARISON.treatments] == ["adam", "sgd", "one"]
    assert frame.index.name == "optimizer"
    assert frame["mean"].tolist() == [t.mean for t in COMPARISON.treatments]
    (pair,) = (p for p in COMPARISON.pairs if p.b == "sgd")
    second = frame.loc["sgd"]
    assert (second["verdict"], pair.verdict) == ("worse", "better")
    assert second["difference"] == -pair.mean_difference
    assert second["pvalue"] == pair.pvalue_holm
    assert second["pvalue_equivalence"] == pair.pvalue_equivalence_holm
    assert pd.isna(frame.loc["adam", "verdict"])
    assert pd.isna(frame.loc["one", "std"])


def test_the_ranking_as_text() -> None:
    lines = str(COMPARISON).splitlines()
    assert lines[0].split() == list(COMPARISON.to_frame().columns)
    assert lines[3].split()[:3] == ["sgd", "12", "0.951"]
    assert lines[3].endswith("worse")


def test_all_pairs_as_a_frame() -> None:
    frame = COMPARISON.pairs_to_frame()
    assert list(zip(frame["a"], frame["b"], strict=True)) == [(p.a, p.b) for p in COMPARISON.pairs]
    assert frame["pvalue_holm"].dropna().tolist() == [
        p.pvalue_holm for p in COMPARISON.pairs if p.pvalue_holm is not None
    ]


@pytest.mark.usefixtures("undrawn")
def test_reports_of_a_comparison(tmp_path: Path) -> None:
    analysis = describe_runs(TABLE, COMPARISON, name="test_accuracy")
    assert bench.report.markdown(COMPARISON) == bench.report.markdown(analysis)
    assert bench.report.latex_table(COMPARISON) == bench.report.latex_table(analysis)
    assert bench.report.rows_csv(COMPARISON) == bench.report.rows_csv(analysis)
    bench.report.write(COMPARISON, tmp_path / "x.html")
    assert (tmp_path / "x.html").read_text() == bench.report.render(analysis)
    with pytest.raises(UsageError, match="a report needs a comparison with its table"):
        bench.report.markdown(replace(COMPARISON, table=None))


def test_json_begins_with_versions() -> None:
    content = json.loads(to_json(COMPARISON))
    assert list(content)[:3] == ["schema_version", "optimizer_bench", "parameters"]
    assert (content["schema_version"], content["optimizer_bench"]) == (1, bench.__version__)
    assert "table" not in content
