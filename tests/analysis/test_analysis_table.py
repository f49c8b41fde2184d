"""Tests of the checks of a table and of their error messages."""

from __future__ import annotations

import re
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import analysis
from bench.analysis import compare
from bench.analysis.outcomes import read_outcomes
from bench.analysis.reading import scale_of
from bench.analysis.table import default_margin, pair_up
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
        "column 'test_accuracy' must hold numbers, got 'oops' in row 4",
    ),
    "too large": (
        runs(test_accuracy=[0.97, 0.98, 1e300, 0.96]),
        "column 'test_accuracy' must hold finite numbers (up to 1e+150), got 1e+300 in row 3 "
        "(column 'status' marks diverged runs)",
    ),
    "too large for a float": (
        runs(test_accuracy=[0.97, 0.98, "1e999", 0.96]),
        "column 'test_accuracy' must hold numbers that a float can hold, got '1e999' in row 3",
    ),
    "complex numbers in objects": (
        runs(test_accuracy=pd.Series([0.97, 0.98, 1j, 0.96], dtype=object)),
        "column 'test_accuracy' must hold numbers, got 1j in row 3",
    ),
    "periods": (
        runs(test_accuracy=pd.period_range("2026", periods=4)),
        "column 'test_accuracy' must hold numbers, got period[D]",
    ),
    "timestamps in objects": (
        runs(test_accuracy=pd.Series([0.9, 0.8, pd.Timestamp("2026-11-23"), 1], dtype=object)),
        "column 'test_accuracy' must hold numbers, got Timestamp('2026-11-23 00:00:00') in row 3",
    ),
    "sets as seeds": (
        runs(seed=[{0}, {1}, {0}, {1}]),
        "column 'seed' must hold one value per run, got '{0}' in row 1",
    ),
    "tables as seeds": (
        runs(seed=pd.Series([pd.Series([1, 2])] * 4, dtype=object)),
        "column 'seed' must hold one value per run, got '0 1 1 2 dtype: int64' in row 1",
    ),
    "half a character": (
        runs(optimizer=pd.Series(["a", "a\ud800", "b", "b"], dtype=object)),
        "column 'optimizer' must hold text or numbers, got text that is not UTF-8 'a\\ud800' in "
        "row 2",
    ),
    "bytes as names": (
        runs(optimizer=[b"adam", b"adam", b"sgd", b"sgd"]),
        "column 'optimizer' must hold text or numbers, got bytes b'adam' in row 1",
    ),
    "bytes as seeds": (
        runs(seed=[0, 1, b"\xff", 1]),
        "column 'seed' must hold text or numbers, got bytes b'\\xff' in row 3",
    ),
    "bytes as values": (
        runs(test_accuracy=[0.97, 0.98, b"0.95", 0.96]),
        "column 'test_accuracy' must hold numbers, got b'0.95' in row 3",
    ),
    "bytes as a status": (
        runs(status=["ok", b"ok", "ok", "ok"]),
        "column 'status' must hold text or numbers, got bytes b'ok' in row 2",
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
    "duplicate in one file": (
        runs(seed=[0, 1, 1, 1], run_file=["a.csv", "b.csv", "b.csv", "b.csv"]),
        "optimizer 'sgd' has more than one run for seed 1: row 2 of b.csv and row 3 of b.csv",
    ),
    "duplicate in a shuffled table": (
        runs(seed=[0, 1, 1, 1]).set_index(pd.Index([9, 0, 0, 7])),
        "optimizer 'sgd' has more than one run for seed 1: row 3 and row 4",
    ),
    "nan of a failed status": (
        runs(status=["failed", "failed", np.nan, "ok"]),
        "column 'status' has an empty cell in row 3; to leave it out: --ignore-column status, or "
        "drop the column",
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
        runs(status=["ok", "ok", "odd", "ok"]),
        "column 'status' must hold ok (okay, success, successful, succeeded, finished, complete, "
        "completed, done, passed, converged), diverged (divergent, nan, inf) or failed (fail, "
        "failure, error, errored, crash, crashed, killed, aborted, cancelled, canceled, timeout, "
        "timed out, out of memory, oom, node fail, boot fail, deadline, preempted, interrupted, "
        "running, in progress, scheduled, waiting, pending, queued, preempting, suspended, paused, "
        "stopped, pruned), got 'odd' in row 3; to leave it out: --ignore-column status, or drop "
        "the column",
    ),
    "no status": (
        runs(status=["ok", None, "ok", "ok"]),
        "column 'status' has an empty cell in row 2; to leave it out: --ignore-column status, or "
        "drop the column",
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
def test_invalid_table_error(name: str) -> None:
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
    "target 0": ({"target": 0}, "target must lie between 0 and 1 (exclusive), got 0"),
    "target in per cent": (
        {"target": 95},
        "target must lie between 0 and 1 (exclusive), got 95",
    ),
    "margin 0": ({"margin": 0}, "margin must be positive and finite, or None, got 0"),
    "margin nan": ({"margin": np.nan}, "margin must be positive and finite, or None, got nan"),
    "alpha 1": ({"alpha": 1}, "alpha must lie between 0 and 1 (exclusive), got 1"),
    "alpha None": ({"alpha": None}, "alpha must lie between 0 and 1 (exclusive), got None"),
    "alpha text": ({"alpha": "0.1"}, "alpha must lie between 0 and 1 (exclusive), got '0.1'"),
    "target list": ({"target": [1]}, "target must lie between 0 and 1 (exclusive), got [1]"),
    "margin tuple": ({"margin": (1,)}, "margin must be positive and finite, or None, got (1,)"),
    "margin array": (
        {"margin": np.array([[1.0], [2.0]])},
        "margin must be positive and finite, or None, got array([[1.], [2.]])",
    ),
    "direction list": ({"direction": ["up"]}, "direction must be 'higher' or 'lower', got ['up']"),
    "looks": ({"looks": None}, "looks must be a sequence of Look, got None"),
    "direction": ({"direction": "up"}, "direction must be 'higher' or 'lower', got 'up'"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_invalid_setting_error(name: str) -> None:
    options, message = SETTINGS[name]
    with pytest.raises(SpecError, match=f"^{re.escape(message)}$"):
        compare(runs(), **options)


FLATTEN = (
    "the table must have one level of column names, got 2 such as ('test_accuracy', 'mean'): "
    "flatten them with table.columns = ['_'.join(map(str, c)).strip('_') for c in table.columns]"
)
WRONG_TYPES = {
    "None": (None, {}, "the table must be a pandas DataFrame, got NoneType"),
    "rows": ([{"optimizer": "a"}], {}, "the table must be a pandas DataFrame, got list"),
    "a series": (runs()["seed"], {}, "the table must be a pandas DataFrame, got Series"),
    "two levels": (
        runs().groupby(["optimizer", "seed"]).agg({"test_accuracy": ["mean"]}).reset_index(),
        {},
        FLATTEN,
    ),
    "no value": (runs(), {"value": None}, "value must be the name of a column, got None"),
    "a list": (runs(), {"block": ["seed"]}, "block must be the name of a column, got ['seed']"),
    "a tuple": (runs(), {"treatment": ()}, "treatment must be the name of a column, got ()"),
    "a truth": (runs(), {"treatment": True}, "treatment must be the name of a column, got True"),
    "no such number": (
        runs(),
        {"block": 7},
        "the table has no column '7': its columns are optimizer, seed, test_accuracy",
    ),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_wrong_type_error(name: str) -> None:
    table, options, message = WRONG_TYPES[name]
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        compare(table, **options)


@pytest.mark.parametrize("table", [None, [1], (1, 2), "x.csv", {"optimizer": ["a"]}])
def test_functions_of_tables_require_a_dataframe(table: Any) -> None:
    message = "the table must be a pandas DataFrame"
    comparison = compare(runs())
    for call in (
        lambda: analysis.analyse_sweep(table, name="x"),
        lambda: analysis.describe_runs(table, comparison, name="x"),
        lambda: analysis.compare_sweeps(table, runs()),
        lambda: analysis.means_over_seeds({"mnist": table}),
    ):
        with pytest.raises(TableError, match=message):
            call()


def test_columns_may_be_named_by_whole_numbers() -> None:
    table = runs().set_axis([0, 1, 2], axis=1)
    options = {"direction": "higher", "margin": 0.002}
    found = compare(table, treatment=0, block=1, value=2, **options)
    assert found.pairs == compare(runs()).pairs
    assert (found.parameters.treatment, found.parameters.value) == ("0", "2")
    described = analysis.describe_runs(table, found, name="x")
    assert [score.value for score in described.scores] == [0.97, 0.98, 0.95, 0.96]


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
        ("test_accuracy", [0.97, 1.0, np.nan, -np.inf], 1),
        ("test_accuracy", [0.97, np.inf], 1),
        ("test_accuracy", [-np.inf], 1),
        ("accuracy", [0.97, 1.0000001], 1),
        ("accuracy", [0.97, float(np.nextafter(np.float16(1), np.float16(2)))], 1),
        ("accuracy", [0.5, 0.9], 1),
        ("accuracy", [0.5, 1.2], 100),
        ("test_accuracy", [0.97, 97.0], 100),
        ("test_accuracy", [97.0, 100.00001], 100),
        ("test_accuracy", [97.0, 9700.0], None),
        ("test_loss", [0.1, 0.2], None),
    ],
)
def test_the_scale_of_a_column(value: str, values: list[float], expected: float | None) -> None:
    assert scale_of(value, np.array(values)) == expected


def test_pairing_is_by_seed_not_by_row_order() -> None:
    """posthoc_wilcoxon of scikit-posthocs pairs runs by row order."""
    table = runs(seed=[0, 1, 1, 0])
    paired = pair_up(table)
    assert paired.treatments == ("adam", "sgd")
    assert paired.blocks == (0, 1)
    assert paired.values.tolist() == [[0.97, 0.96], [0.98, 0.95]]


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (
            {"treatment": "seed"},
            "treatment, block and value must be three different columns, "
            "got 'seed', 'seed' and 'test_accuracy'",
        ),
        (
            {"value": "seed"},
            "treatment, block and value must be three different columns, "
            "got 'optimizer', 'seed' and 'seed'",
        ),
        (
            {"block": "fold"},
            "the table has no column 'fold': its columns are optimizer, seed, test_accuracy",
        ),
    ],
)
def test_roles_must_be_three_columns_of_the_table(roles: dict[str, str], message: str) -> None:
    with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
        compare(runs(), **roles)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["adam", "sgd", "Ärger", "10", "9"]), st.integers(-3, 20)),
        st.floats(-1e6, 1e6),
        min_size=1,
        max_size=25,
    ),
    st.randoms(),
)
def test_every_value_lands_in_its_own_cell(
    values: dict[tuple[str, int], float], random: Any
) -> None:
    rows = [(name, seed, value) for (name, seed), value in values.items()]
    random.shuffle(rows)
    table = pd.DataFrame(rows, columns=["optimizer", "seed", "score"])
    paired = pair_up(table, value="score", direction="higher")
    assert paired.treatments == tuple(sorted({name for name, _ in values}))
    assert paired.blocks == tuple(sorted({seed for _, seed in values}))
    for i, seed in enumerate(paired.blocks):
        for j, name in enumerate(paired.treatments):
            if (name, seed) in values:
                assert paired.values[i, j] == values[name, seed]
                assert tuple(table.iloc[paired.cells[i, j]])[:2] == (name, seed)
            else:
                assert np.isnan(paired.values[i, j])
                assert paired.cells[i, j] == -1
    assert len(paired.complete) == sum(
        all((name, seed) in values for name in paired.treatments) for seed in paired.blocks
    )


def test_common_and_own_blocks() -> None:
    paired = pair_up(runs(seed=[0, 1, 1, 2]))
    assert [x.tolist() for x in paired.common(0, 1)] == [[0.98], [0.95]]
    assert [x.tolist() for x in paired.common(1, 0)] == [[0.95], [0.98]]
    assert [paired.runs_of(i).tolist() for i in (0, 1)] == [[0.97, 0.98], [0.95, 0.96]]
    assert paired.complete.tolist() == [[0.98, 0.95]]


def test_seeds_are_told_apart_to_the_last_digit() -> None:
    """2**60 and 2**60 + 1 are equal as floats, but are different seeds."""
    big = [2**60, 2**60 + 1]
    assert pair_up(runs(seed=big * 2)).blocks == tuple(big)
    assert pair_up(runs(seed=[str(x) for x in big] * 2)).blocks == tuple(big)
    assert pair_up(runs(seed=[0.5, 1, 0.5, 1.0])).blocks == (0.5, 1)


def test_a_number_and_its_text_are_one_block() -> None:
    """A seed may be a number in one file and text in another."""
    paired = pair_up(runs(seed=pd.Series([1, 2, "1", "2.0"], dtype=object)))
    assert paired.blocks == (1, 2)
    assert len(paired.complete) == 2
    assert pair_up(runs(seed=["1e3", "x", "1e3", "x"])).blocks == ("1e3", "x")


@pytest.mark.parametrize(
    "seeds",
    [
        pd.Categorical([3, 5, 3, 5]),
        pd.array([3, 5, 3, 5], dtype="Int64"),
        np.array([3, 5, 3, 5], dtype=np.uint64),
        np.array([3, 5, 3, 5], dtype=np.float32),
        pd.arrays.SparseArray([3, 5, 3, 5]),
        pd.array([3, 5, 3, 5], dtype="int64[pyarrow]"),
    ],
    ids=["categorical", "nullable", "unsigned", "float32", "sparse", "arrow"],
)
def test_seeds_of_any_type_are_plain_numbers(seeds: Any) -> None:
    paired = pair_up(runs(seed=seeds))
    assert paired.blocks == (3, 5)
    assert {type(block) for block in paired.blocks} == {int}


def test_names_of_any_type_are_text() -> None:
    assert pair_up(runs(optimizer=pd.Categorical(["b", "b", "a", "a"]))).treatments == ("a", "b")
    assert pair_up(runs(optimizer=[10, 10, 9, 9])).treatments == ("10", "9")


def test_tables_joined_end_to_end_keep_their_rows_apart() -> None:
    """pandas.concat repeats the index."""
    top, bottom = runs().iloc[:2], runs().iloc[2:].reset_index(drop=True)
    assert compare(pd.concat([top, bottom])) == compare(runs())


def test_blocks_may_be_text_or_both() -> None:
    assert pair_up(runs(seed=["b", "a", "b", "a"])).blocks == ("a", "b")
    assert pair_up(runs(seed=[10, "a", 10, "a"])).blocks == (10, "a")
    assert pair_up(runs(seed=[10.0, 9.0, 10.0, 9.0])).blocks == (9, 10)


def test_numbers_may_be_text_nullable_or_mixed() -> None:
    expected = pair_up(runs()).values.tolist()
    for cells in (
        ["0.97", "0.98", 0.95, "0.96"],
        pd.array([0.97, 0.98, 0.95, 0.96], dtype="Float64"),
        pd.array(["0.97", " .98", "95e-2", "+0.96"], dtype="string[pyarrow]"),
        pd.arrays.SparseArray([0.97, 0.98, 0.95, 0.96]),
        np.array([0.97, 0.98, 0.95, 0.96], dtype=np.longdouble),
        pd.Categorical([0.97, 0.98, 0.95, 0.96]),
        [Decimal("0.97"), Decimal("0.98"), 0.95, Fraction(24, 25)],
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


OUTCOMES: list[tuple[list[object], list[str] | None, list[str]]] = [
    ([0.97, "nan", 0.95, 0.96], None, ["ok", "diverged", "ok", "ok"]),
    ([0.97, "NaN", "0.95", "-Inf"], None, ["ok", "diverged", "ok", "diverged"]),
    ([0.97, " +infinity ", 0.95, 0.96], None, ["ok", "diverged", "ok", "ok"]),
    ([0.97, np.inf, -np.inf, 0.96], None, ["ok", "diverged", "diverged", "ok"]),
    ([0.97, Decimal("Infinity"), 0.95, 0.96], None, ["ok", "diverged", "ok", "ok"]),
    ([0.97, np.nan, None, 0.96], None, ["ok", "missing", "missing", "ok"]),
    (["0.97", "", "N/A", "None"], None, ["ok", "missing", "missing", "missing"]),
    (["NULL", "na", "<NA>", 0.96], None, ["missing", "missing", "missing", "ok"]),
    ([0.97, "nan", "nan", 0.96], ["ok", "ok", "failed", "ok"], ["ok", "diverged", "failed", "ok"]),
    (
        [0.9, 0.9, np.inf, 0.9],
        ["ok", "failed", "diverged", "ok"],
        ["ok", "failed", "diverged", "ok"],
    ),
]


@pytest.mark.parametrize(("cells", "status", "expected"), OUTCOMES)
@pytest.mark.parametrize("value", ["test_accuracy", "test_loss"])
def test_what_is_not_finite_diverged_and_what_is_empty_is_missing(
    cells: list[object], status: list[str] | None, expected: list[str], value: str
) -> None:
    table = runs().drop(columns="test_accuracy").assign(**{value: pd.Series(cells, dtype=object)})
    if status:
        table["status"] = status
    paired = pair_up(table, value=value)
    diverged = [kind == "diverged" for kind in expected]
    assert paired.diverged.T.ravel().tolist() == diverged
    assert paired.failed.T.ravel().tolist() == [kind == "failed" for kind in expected]
    values = paired.values.T.ravel()
    assert np.isnan(values).tolist() == [kind in ("missing", "failed") for kind in expected]
    assert (values == -paired.sign * np.inf).tolist() == diverged


def test_nan_loss_ranks_worst() -> None:
    """Without its four diverged runs, beta has the lower loss on all other seeds."""
    alpha = [0.300 + 0.004 * seed for seed in range(12)]
    beta = ["nan" if seed % 3 == 0 else 0.27 + 0.003 * seed for seed in range(12)]
    table = pd.DataFrame(
        {
            "optimizer": ["alpha"] * 12 + ["beta"] * 12,
            "seed": [*range(12)] * 2,
            "loss": alpha + beta,
        }
    )
    status = ["diverged" if cell == "nan" else "ok" for cell in alpha + beta]
    numbers = table["loss"].replace("nan", None)
    spelled = compare(table, value="loss", direction="lower")
    assert spelled == compare(
        table.assign(loss=numbers, status=status), value="loss", direction="lower"
    )
    assert spelled.pairs[0].pvalue_holm == pytest.approx(0.125, abs=0.02)
    missing = compare(table.assign(loss=numbers), value="loss", direction="lower")
    assert missing.pairs[0].pvalue_holm == 2 / 2**8


#: Words of MLflow, Weights & Biases, Optuna, Slurm and others, and what they mean.
WORDS = {
    "ok": (
        *("ok", "OK", " Ok ", "FINISHED", "finished", "COMPLETE", "TrialState.COMPLETE"),
        *("COMPLETED", "success", "Succeeded", "done", "passed"),
    ),
    "diverged": ("diverged", "DIVERGED", "nan", "NaN"),
    "failed": (
        *("FAILED", "KILLED", "crashed", "killed", "preempted", "FAIL", "Error", "TIMEOUT"),
        *(
            "CANCELLED",
            "CANCELLED by 1000",
            "CANCELLED+",
            "OUT_OF_MEMORY",
            "NODE_FAIL",
            "timed-out",
        ),
        *("RUNNING", "SCHEDULED", "WAITING", "PENDING", "PRUNED", "in_progress"),
    ),
}


@pytest.mark.parametrize(("word", "status"), [(w, s) for s in WORDS for w in WORDS[s]])
def test_status_words_of_other_tools_are_read(word: str, status: str) -> None:
    table = runs(status=["ok", word, "ok", "ok"])
    found = read_outcomes(table, "test_accuracy")
    assert found.table["status"].tolist() == ["ok", status, "ok", "ok"]
    assert len(found.notes) == (word != status)
    comparison = compare(table)
    assert comparison == compare(runs(status=["ok", status, "ok", "ok"]))
    incidents = analysis.describe_runs(table, comparison, name="x").incidents
    assert [incident.status for incident in incidents] == [status][: status != "ok"]


def test_hyperparameters_of_other_tools_may_differ_by_block() -> None:
    """In nested cross-validation, hyperparameters differ between folds."""
    for settings in (
        ['{"C": 1}', '{"C": 2}'] * 2,
        ["C=1"] * 4,
        [{"C": 1}] * 4,
        [1, [2], None, "x"],
    ):
        table = runs(
            algorithm=["svm", "svm", "forest", "forest"],
            hyperparameters=pd.Series(settings, dtype=object),
        )
        found = analysis.describe_runs(table, compare(table), name="x")
        assert found.variants == ()
    table = runs(algorithm="torch.optim.SGD", hyperparameters='{"lr": 0.1}')
    found = analysis.describe_runs(table, compare(table), name="x")
    assert found.variants[0].hyperparameters == (("lr", "0.1"),)


@pytest.mark.parametrize("word", [1, 0, True, "1", "true", "unknown", "succes", 0.5])
def test_ambiguous_status_words_are_errors(word: object) -> None:
    with pytest.raises(TableError, match=f"got {re.escape(repr(word))} in row 2; to leave it out"):
        compare(runs(status=pd.Series(["ok", word, "ok", "ok"], dtype=object)))


def test_each_column_is_described_once() -> None:
    table = pd.concat([runs(note=1), runs(note=2)[["note"]]], axis=1)
    with pytest.raises(TableError, match="more than one column 'note'"):
        analysis.describe_runs(table, compare(table), name="x")


def test_moments_of_any_type_are_read_or_left_out() -> None:
    odd = pd.Series(["x", 1, None, pd.Timestamp("2026-11-23")], dtype=object)
    table = runs(started_at=odd, train_seconds=1.0, eval_seconds=1.0)
    found = analysis.describe_runs(table, compare(table), name="x").provenance
    assert found.started_at == pd.Timestamp("2026-11-23", tz="UTC")


def test_notes_say_how_cells_were_read() -> None:
    table = runs(status=["FINISHED", "RUNNING", "FINISHED", "ok"])
    table["test_accuracy"] = ["0.9", "", "nan", "-inf"]
    words, numbers = read_outcomes(table, "test_accuracy").notes
    assert words == (
        "column 'status': read FINISHED (2) as ok, RUNNING (1) as failed: a run without a final "
        "result counts as failed"
    )
    assert numbers == (
        "2 of 4 cells of column 'test_accuracy' are nan or inf: read as diverged, which ranks "
        "worst (--nan missing: as no result)"
    )
    found = read_outcomes(table, "test_accuracy", "missing")
    assert found.table["test_accuracy"].isna().tolist() == [False, True, True, True]
    assert "read as no result" in found.notes[1]
    assert read_outcomes(found.table, "test_accuracy").notes == ()


def test_many_columns_give_no_warning() -> None:
    """pandas warns of a table that was made column by column, and of each insertion into it."""
    table = runs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(150):
            table[f"setting_{number}"] = 1.0 * number
    comparison = compare(table)
    assert comparison == compare(runs())
    analysis.describe_runs(table, comparison, name="x")


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
