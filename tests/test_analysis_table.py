"""What a table must look like, and what each error says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis import compare
from bench.analysis.table import default_margin, is_fraction, pair_up
from bench.errors import SpecError, TableError


def runs(**changes: Any) -> pd.DataFrame:
    columns = {
        "optimizer": ["adam", "adam", "sgd", "sgd"],
        "seed": [0, 1, 0, 1],
        "test_accuracy": [0.97, 0.98, 0.95, 0.96],
    }
    return pd.DataFrame(columns | changes)


ERRORS = {
    "missing column": (
        runs().drop(columns="seed"),
        "the table has no column 'seed': its columns are optimizer, test_accuracy",
    ),
    "no columns": (pd.DataFrame(), "the table has no column 'optimizer': its columns are none"),
    "no rows": (runs().iloc[:0], "the table has no rows: it needs one row per run"),
    "text": (
        runs(test_accuracy=[0.97, "n/a", "0.95", "oops"]),
        "column 'test_accuracy' must hold numbers, got 'n/a' in row 2",
    ),
    "infinite": (
        runs(test_accuracy=[0.97, 0.98, np.inf, 0.96]),
        "column 'test_accuracy' must hold finite numbers, got inf in row 3 "
        "(a run that diverged says so in column 'status')",
    ),
    "infinite though ok": (
        runs(test_accuracy=[0.97, 0.98, -np.inf, 0.96], status=["ok", "diverged", "ok", "ok"]),
        "column 'test_accuracy' must hold finite numbers, got -inf in row 3 "
        "(a run that diverged says so in column 'status')",
    ),
    "duplicate": (
        runs(seed=[0, 0, 0, 1]),
        "optimizer 'adam' has more than one run for seed 0: row 1 and row 2",
    ),
    "duplicate in files": (
        runs(seed=[0, 1, 1, 1], run_file=[f"results/mnist/runs/{x}.parquet" for x in "abcd"]),
        "optimizer 'sgd' has more than one run for seed 1: "
        "results/mnist/runs/c.parquet and results/mnist/runs/d.parquet",
    ),
    "duplicate after conversion": (
        runs(seed=[0, 1, 0.0, 0]),
        "optimizer 'sgd' has more than one run for seed 0: row 3 and row 4",
    ),
    "nameless optimizer": (
        runs(optimizer=["adam", None, "sgd", "sgd"]),
        "column 'optimizer' has an empty cell in row 2",
    ),
    "no seed": (runs(seed=[0, 1, 0, np.nan]), "column 'seed' has an empty cell in row 4"),
    "unknown status": (
        runs(status=["ok", "ok", "done", "ok"]),
        "column 'status' must hold ok, diverged, failed, got 'done' in row 3",
    ),
    "no status": (
        runs(status=["ok", None, "ok", "ok"]),
        "column 'status' has an empty cell in row 2",
    ),
    "no value": (
        runs(test_accuracy=[np.nan] * 4),
        "column 'test_accuracy' has no value in any of the 4 rows",
    ),
    "all failed": (
        runs(status=["failed"] * 4),
        "column 'test_accuracy' has no value in any of the 4 rows",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_a_bad_table_gets_one_clear_line(name: str) -> None:
    table, message = ERRORS[name]
    with pytest.raises(TableError, match=f"^{re.escape(message)}$") as caught:
        compare(table)
    assert "\n" not in str(caught.value)


SETTINGS = {
    "alpha 0": ({"alpha": 0}, "alpha must lie between 0 and 1 (exclusive), got 0"),
    "alpha 5": ({"alpha": 5}, "alpha must lie between 0 and 1 (exclusive), got 5"),
    "alpha nan": ({"alpha": np.nan}, "alpha must lie between 0 and 1 (exclusive), got nan"),
    "margin": ({"margin": -0.1}, "margin must be positive and finite, or None, got -0.1"),
    "margin inf": ({"margin": np.inf}, "margin must be positive and finite, or None, got inf"),
    "direction": ({"direction": "up"}, "direction must be 'higher' or 'lower', got 'up'"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bad_setting_gets_one_clear_line(name: str) -> None:
    options, message = SETTINGS[name]
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        compare(runs(), **options)


@pytest.mark.parametrize(
    ("value", "direction", "margin"),
    [
        ("test_accuracy", "higher", 0.002),
        ("accuracy", "higher", 0.002),
        ("test_loss", "lower", None),
        ("train_loss", "lower", None),
        ("train_seconds", "lower", None),
    ],
)
def test_known_columns_have_a_direction(value: str, direction: str, margin: float | None) -> None:
    parameters = compare(runs().rename(columns={"test_accuracy": value}), value=value).parameters
    assert (parameters.direction, parameters.margin) == (direction, margin)


def test_unknown_columns_need_a_direction() -> None:
    table = runs().rename(columns={"test_accuracy": "score"})
    with pytest.raises(TableError, match="direction must be given for column 'score': 'higher' or"):
        compare(table, value="score")
    parameters = compare(table, value="score", direction="lower").parameters
    assert (parameters.direction, parameters.margin) == ("lower", None)


def test_what_is_declared_overrides_the_default() -> None:
    parameters = compare(runs(), direction="lower", margin=None, alpha=0.01).parameters
    assert (parameters.direction, parameters.margin, parameters.alpha) == ("lower", None, 0.01)
    assert compare(runs(), margin=0.01).parameters.margin == 0.01


def test_an_accuracy_in_per_cent_has_its_margin_in_per_cent() -> None:
    assert default_margin("test_accuracy", np.array([97.1, np.nan])) == pytest.approx(0.2)
    assert default_margin("test_accuracy", np.array([1.0, -np.inf])) == 0.002


@pytest.mark.parametrize(
    ("value", "values", "expected"),
    [
        ("test_accuracy", [0.97, 1.0, np.nan, -np.inf], True),
        ("test_accuracy", [0.97, np.inf], True),
        ("test_accuracy", [-np.inf], True),
        ("test_accuracy", [0.97, 97.0], False),
        ("test_loss", [0.1, 0.2], False),
    ],
)
def test_what_counts_as_a_fraction(value: str, values: list[float], expected: bool) -> None:
    assert is_fraction(value, np.array(values)) == expected


def test_pairing_is_by_seed_not_by_row_order() -> None:
    """scikit-posthocs' posthoc_wilcoxon pairs by row order."""
    table = runs(seed=[0, 1, 1, 0])
    paired = pair_up(table)
    assert paired.treatments == ("adam", "sgd")
    assert paired.blocks == (0, 1)
    assert paired.values.tolist() == [[0.97, 0.96], [0.98, 0.95]]


def test_blocks_may_be_text_or_both() -> None:
    assert pair_up(runs(seed=["b", "a", "b", "a"])).blocks == ("a", "b")
    assert pair_up(runs(seed=[10, "a", 10, "a"])).blocks == (10, "a")
    assert pair_up(runs(seed=[10.0, 9.0, 10.0, 9.0])).blocks == (9, 10)


def test_numbers_may_be_text_nullable_or_mixed() -> None:
    expected = pair_up(runs()).values.tolist()
    for cells in (
        ["0.97", "0.98", 0.95, "0.96"],
        pd.array([0.97, 0.98, 0.95, 0.96], dtype="Float64"),
    ):
        assert pair_up(runs(test_accuracy=cells)).values.tolist() == expected
    nullable = pd.array([0.97, None, 0.95, 0.96], dtype="Float64")
    assert np.isnan(pair_up(runs(test_accuracy=nullable)).values[1, 0])


def test_any_columns_can_play_the_roles() -> None:
    table = runs().rename(columns={"optimizer": "method", "seed": "fold"})
    comparison = compare(table, treatment="method", block="fold")
    assert [t.name for t in comparison.treatments] == ["adam", "sgd"]
    assert (comparison.parameters.treatment, comparison.parameters.block) == ("method", "fold")


def test_the_table_is_left_as_it_was() -> None:
    table = runs(status=["ok", "failed", "diverged", "ok"])
    before = table.copy(deep=True)
    compare(table)
    pd.testing.assert_frame_equal(table, before)


class TestStatus:
    status = ("ok", "failed", "diverged", "ok")

    def test_a_failed_run_has_no_value_even_if_one_was_left_behind(self) -> None:
        paired = pair_up(runs(status=self.status))
        assert np.isnan(paired.values[1, 0])
        assert paired.failed.tolist() == [[False, False], [True, False]]

    def test_a_diverged_run_keeps_its_measured_accuracy(self) -> None:
        paired = pair_up(runs(status=self.status))
        assert paired.values[0, 1] == 0.95
        assert paired.diverged.tolist() == [[False, True], [False, False]]

    @pytest.mark.parametrize("left_behind", [0.3, np.nan, np.inf])
    def test_a_diverged_loss_ranks_worst_whatever_was_left_behind(self, left_behind: float) -> None:
        table = runs(status=self.status, test_loss=[0.1, 0.2, left_behind, 0.4])
        assert pair_up(table, value="test_loss").values[0, 1] == np.inf

    def test_a_diverged_accuracy_that_was_never_measured_ranks_worst(self) -> None:
        table = runs(status=self.status, test_accuracy=[0.97, 0.98, None, 0.96])
        assert pair_up(table).values[0, 1] == -np.inf


class TestCounts:
    correct = (971, 985, 950, 963)

    def table(self, **changes: Any) -> pd.DataFrame:
        accuracy = np.array(self.correct) / 999
        counts = {"test_correct": self.correct, "test_total": 999, "test_accuracy": accuracy}
        return runs(**counts | changes)

    def test_counts_are_used_where_they_agree(self) -> None:
        assert pair_up(self.table()).total == 999
        rounded = np.float32(np.array(self.correct) / 999)
        exact = pair_up(self.table(test_accuracy=rounded)).values
        assert exact.tolist() == pair_up(self.table()).values.tolist()

    @pytest.mark.parametrize(
        "changes",
        [
            {"test_accuracy": [97.1, 98.5, 95.0, 96.3]},
            {"test_accuracy": [0.5, 0.6, 0.7, 0.8]},
            {"test_total": [999, 999, 999, 1000]},
            {"test_correct": [971, 985, 950, None]},
            {"test_total": 0},
        ],
        ids=["per cent", "edited", "two totals", "a gap", "no images"],
    )
    def test_else_the_column_that_was_asked_for_is(self, changes: dict[str, Any]) -> None:
        table = self.table(**changes)
        paired = pair_up(table)
        assert paired.total is None
        assert paired.values.T.ravel().tolist() == table["test_accuracy"].tolist()

    def test_failed_runs_need_no_count(self) -> None:
        table = self.table(
            test_correct=[971, None, 950, 963],
            test_accuracy=[971 / 999, None, 950 / 999, 963 / 999],
            status=["ok", "failed", "ok", "ok"],
        )
        assert pair_up(table).total == 999
