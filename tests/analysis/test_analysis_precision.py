"""Values that were rounded are read as what they stand for.

The oracle is the whole counts: the sign-flip test by brute force over all patterns of signs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _cases import some
from numpy.typing import NDArray

from bench.analysis import Pair, compare, describe_runs
from bench.analysis.precision import FORMATS, recover
from bench.analysis.table import pair_up
from bench.errors import TableError

#: Tables for each kind of rounding and number of images.
SEEDS = 1
Floats = NDArray[np.float64]
Rounding = Callable[[Floats], Any]


def float32(x: Floats) -> Floats:
    return np.float32(x).astype(np.float64)


def float16(x: Floats) -> Floats:
    return np.float16(x).astype(np.float64)


def bfloat16(x: Floats) -> Floats:
    return FORMATS[0].nearest(np.asarray(x))


def printed(x: Floats, form: str) -> Floats:
    """Return values after a round trip through printed float32 numbers."""
    return np.array([float(format(v, form)) for v in float32(x).ravel().tolist()]).reshape(x.shape)


def shortest(x: Floats) -> Floats:
    """Read again what numpy and pandas print float32 numbers as."""
    return np.array([float(str(v)) for v in np.float32(x).ravel()]).reshape(x.shape)


def exact_p(counts: NDArray[np.int64]) -> float:
    """The sign-flip p-value of the differences of two columns of whole counts."""
    d = counts[:, 0] - counts[:, 1]
    signs = np.array([*itertools.product((-1, 1), repeat=len(d))])
    return float((np.abs(signs @ d) >= abs(d.sum())).mean())


def table_of(values: Any, column: str = "accuracy") -> pd.DataFrame:
    """Rows of two treatments on the same folds."""
    n = len(values)
    return pd.DataFrame(
        {
            "model": ["a"] * n + ["b"] * n,
            "fold": [*range(n)] * 2,
            column: np.concatenate([values[:, 0], values[:, 1]]),
        }
    )


def pair_of(values: Any, column: str = "accuracy", **more: Any) -> Pair:
    table = table_of(values, column).assign(**more)
    direction: Any = None if column == "accuracy" else "higher"
    found = compare(table, treatment="model", block="fold", value=column, direction=direction)
    (pair,) = found.pairs
    return pair


ROUNDINGS: dict[str, tuple[Rounding, tuple[int, ...]]] = {
    "float32": (float32, (50, 1000, 1319, 5000, 8192, 10_000, 50_000)),
    "float32 column": (np.float32, (50, 1319, 10_000)),
    "float16": (float16, (50, 100, 1000)),
    "float16 column": (np.float16, (50, 100, 1000)),
    "bfloat16": (bfloat16, (20, 50)),
    "shortest": (shortest, (50, 1000, 1024, 1319, 5000, 10_000)),
    "15 digits": (lambda x: printed(x, ".15g"), (50, 1319, 5000, 10_000)),
    "10 digits": (lambda x: printed(x, ".10g"), (50, 1319, 5000, 10_000)),
    "8 digits": (lambda x: printed(x, ".8g"), (50, 1319, 5000, 10_000)),
    "4 decimals": (lambda x: np.round(x, 4), (50, 1000, 1319, 10_000)),
}


@pytest.mark.parametrize(
    ("rounding", "total", "scale"),
    some(
        [
            (name, n, scale)
            for name, (_, totals) in ROUNDINGS.items()
            for n in totals
            for scale in ((1, 100) if n in (1319, 10_000) else (1,))  # fractions, and per cent
        ],
        3,
    ),
)
def test_rounded_accuracies_have_the_p_values_of_their_counts(
    rounding: str, total: int, scale: int
) -> None:
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, total])
        start = rng.integers(total * 55 // 100, total * 9 // 10, size=(10, 1))
        counts = start + rng.integers(0, max(3, total // 200), size=(10, 2))
        rounded = ROUNDINGS[rounding][0](counts * scale / total)
        found = pair_of(rounded)
        exact = pair_of(counts * scale / total)
        p = exact_p(counts)
        assert (found.pvalue, exact.pvalue) == (p, p)
        assert (found.verdict, found.win_rate, found.pvalue_wilcoxon) == (
            *(exact.verdict, exact.win_rate, exact.pvalue_wilcoxon),
        )


@pytest.mark.parametrize("total", [27, 360, 1797, 3333])
@pytest.mark.parametrize(
    "rounding",
    [
        lambda x: printed(x, ".6g"),
        lambda x: printed(x, ".8f"),
        lambda x: np.float64(np.float32(1) - np.float32(1 - x)),
    ],
    ids=["6 digits", "8 decimals", "1 - accuracy"],
)
def test_rounded_error_rates_have_the_p_values_of_their_counts(
    rounding: Rounding, total: int
) -> None:
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, total])
        counts = rng.binomial(total, 0.08, size=(10, 2))
        assert pair_of(rounding(counts / total), "error").pvalue == exact_p(counts)


def test_a_fraction_times_100_in_float64_is_recognised() -> None:
    counts = np.array([[4799, 4796], [4800, 4795], [4794, 4790], [4802, 4798], [4799, 4800]])
    assert pair_of(100 * float32(counts / 5000)).pvalue == exact_p(counts)


def test_one_treatment_may_be_more_exact_than_the_other() -> None:
    counts = np.array([[4799, 4796], [4800, 4795], [4794, 4790], [4802, 4798], [4799, 4800]])
    mixed = counts / 50
    mixed[:, 1] = float32(mixed[:, 1])
    assert pair_of(mixed).pvalue == exact_p(counts)


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("rounding", [float32, float16, lambda x: np.round(x, 4)])
def test_a_stated_total_sharpens_what_rounding_left(rounding: Rounding, scale: int) -> None:
    """Shares of 1319 in float16 cannot be told from others without it."""
    rng = np.random.default_rng(1)
    for _ in range(10):
        counts = rng.integers(700, 1300, size=(10, 1)) + rng.integers(0, 5, size=(10, 2))
        pair = pair_of(rounding(counts * scale / 1319), test_total=1319)
        assert pair.pvalue == exact_p(counts)


def test_each_fold_may_have_a_total_of_its_own() -> None:
    totals = np.array([101, 102, 101, 102, 101, 102])
    wins = np.array([3, 2, -1, 4, 2, 1])
    values = float32(np.column_stack([(90 + wins) / totals, np.full(6, 90) / totals]))
    found = pair_of(values, test_total=[*totals, *totals])
    exact = pair_of(np.column_stack([(90 + wins) / totals, np.full(6, 90) / totals]))
    assert found == exact


def test_a_total_that_does_not_fit_is_not_used() -> None:
    values = np.array([[0.951, 0.95], [0.962, 0.96], [0.971, 0.97]])
    assert pair_of(values, test_total=7) == pair_of(values)
    assert pair_of(float16(values), test_total=100_000) == pair_of(values)
    assert pair_of(values, test_total="all of them") == pair_of(values)


@pytest.mark.parametrize("rounding", [float32, np.float32, lambda x: printed(x, ".9g")])
@pytest.mark.parametrize(
    "decimals",
    [
        pytest.param([[0.913, 0.9], [0.852, 0.84], [0.7, 0.69], [-0.12, -0.13]], id="R2"),
        pytest.param([[-103.25, -110.1], [212.7, 205.85], [1.5, -5.35]], id="returns"),
        pytest.param([[0.0123, 12.5], [0.0456, 13.1], [0.0789, 1250.75]], id="magnitudes"),
        pytest.param([[0.081234, 0.0812], [0.0756, 0.075566], [0.09, 0.089966]], id="losses"),
        pytest.param([[487.0, 490.0], [500.0, 495.0], [498.0, 499.0]], id="whole"),
    ],
)
def test_decimals_in_float32_are_read_as_decimals(decimals: Any, rounding: Rounding) -> None:
    values = np.array(decimals)
    assert pair_of(rounding(values), "score") == pair_of(values, "score")


def test_means_over_episodes_tie_again() -> None:
    """Equal differences of thirds differ in float32 by their rounding errors."""
    counts = np.array([[1001, 1000], [1465, 1464], [890, 888], [1203, 1205], [1311, 1310]])
    assert pair_of(float32(counts / 3), "reward").pvalue == exact_p(counts)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.random.default_rng(0).normal(size=40), id="float64"),
        pytest.param(np.array([31, 30, 29]) / 32, id="of 32 images"),
        pytest.param(np.array([255, 251, 250, 247]) / 256, id="of 256 images"),
        pytest.param(np.array([0.9609, 0.9727]), id="four decimals"),
        pytest.param(np.random.default_rng(0).integers(9000, 9999, 40) / 10_000, id="of 10,000"),
        pytest.param(np.array([123456792.0, 123456800.0, 123456888.0]), id="whole"),
        pytest.param(np.array([np.nan, np.inf, -np.inf, 0.0]), id="nothing"),
        pytest.param(np.array([5e-324, 1e-310, 1e150]), id="extreme"),
        pytest.param(np.array([]), id="empty"),
    ],
)
def test_what_is_not_rounded_stays(values: Floats) -> None:
    found = recover(values)
    np.testing.assert_array_equal(found.values, values)
    assert (found.rounded_to, found.total) == (None, None)


def test_continuous_values_have_no_total() -> None:
    """No denominator explains them, whatever they are rounded to."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        values = rng.lognormal(-2, 0.3, size=rng.integers(2, 30))
        for rounding in (float32, float16, lambda x: np.round(x, 5), lambda x: x):
            assert recover(rounding(values), (1.0, 100.0)).total is None


@pytest.mark.parametrize("form", [".3g", ".4g", ".4f"])
def test_printed_continuous_values_stay(form: str) -> None:
    """Decimals lie on a grid, which half as fine a grid must not seem to fit."""
    for seed in range(10):
        errors = np.random.default_rng(seed).uniform(0.005, 0.2, size=60)
        values = np.array([float(format(x, form)) for x in errors])
        np.testing.assert_array_equal(recover(values, (1.0, 100.0)).values, values)


def test_tiny_values_are_no_rounding_errors_of_0() -> None:
    values = np.random.default_rng(16).lognormal(-12, 1, size=6)
    np.testing.assert_array_equal(recover(values, (1.0, 100.0)).values, values)


@pytest.mark.filterwarnings("error")
def test_an_infinite_total_is_not_used() -> None:
    assert pair_of(
        np.array([[0.97, 0.96]] * 3), test_total=np.inf
    ).mean_difference == pytest.approx(0.01)


def test_a_total_that_is_there_twice_is_refused() -> None:
    table = table_of(np.array([[0.97, 0.96]] * 3)).assign(test_total=100, other=100)
    table = table.rename(columns={"other": "test_total"})
    with pytest.raises(TableError, match="more than one column 'test_total'"):
        compare(table, treatment="model", block="fold", value="accuracy")


def test_continuous_float32_losses_have_nearly_the_p_value_of_float64() -> None:
    rng = np.random.default_rng(0)
    losses = 0.08 + rng.normal(0, 0.003, size=(12, 2))
    assert pair_of(float32(losses), "loss").pvalue == pytest.approx(
        pair_of(losses, "loss").pvalue, abs=0.002
    )


@pytest.mark.parametrize(
    ("values", "column", "notes"),
    [
        (
            np.array([[95.98, 95.92], [96.0, 95.9], [95.88, 95.8]]),
            "accuracy",
            (
                "accuracy is read as per cent.",
                "accuracy holds values rounded to float32; they are read as counts of 5000.",
            ),
        ),
        (
            np.array([[0.913, 0.9], [0.852, 1.84], [0.7, 0.69]]),
            "r2",
            ("r2 holds values rounded to float32; they are read as multiples of 1/1000.",),
        ),
        (
            np.array([[0.1234567, 0.9123456], [12.5, 0.84], [0.7, 0.69]]),
            "r2",
            (
                "r2 holds values rounded to float32; they are read as the shortest decimals that "
                "they stand for.",
            ),
        ),
    ],
)
def test_what_was_recognised_is_said(values: Floats, column: str, notes: tuple[str, ...]) -> None:
    given: Any = {"treatment": "model", "block": "fold", "value": column, "direction": "higher"}
    for given_as, expected in ((float32(values), notes), (values, notes[:-1])):
        said = compare(table_of(given_as, column), **given).notes
        assert said[: len(expected)] == expected
        assert not any("read as" in note for note in said[len(expected) :])


def test_scores_on_the_page_are_those_that_were_compared() -> None:
    values = np.array([[95.98, 95.92], [96.0, 95.9], [95.88, 95.8]])
    table = table_of(float32(values))
    found = compare(table, treatment="model", block="fold", value="accuracy")
    scores = describe_runs(table, found, name="n").scores
    assert [s.value for s in scores] == values.T.ravel().tolist()


def test_a_parquet_file_of_float16_keeps_its_meaning(tmp_path: Path) -> None:
    values = np.array([[0.959, 0.951], [0.962, 0.96], [0.971, 0.97]])
    table = table_of(np.float16(values))
    table.to_parquet(tmp_path / "t.parquet")
    read = pd.read_parquet(tmp_path / "t.parquet")
    paired = pair_up(read, treatment="model", block="fold", value="accuracy")
    assert paired.values.tolist() == values.tolist()


def test_a_target_that_float32_misses_is_reached() -> None:
    curves = [[0.5, float(np.float32(0.95))], [0.5, float(np.float32(0.9))]]
    table = pd.DataFrame(
        {
            "optimizer": ["a", "b"],
            "seed": [0, 0],
            "test_accuracy": [0.95, 0.9],
            "eval_iterations": [[10, 20]] * 2,
            "eval_test_accuracy": curves,
        }
    )
    reached = compare(table, target=0.95).time_to_target
    assert reached is not None
    assert {t.name: t.n_reached for t in reached.treatments} == {"a": 1, "b": 0}


MIXED = {
    "a treatment": [96.5, 95.5, 96.0, 0.971, 0.966, 0.962],
    "one row": [96.5, 95.5, 0.9612, 95.1, 95.6, 95.2],
}


@pytest.mark.parametrize("values", MIXED.values(), ids=MIXED)
def test_fractions_among_per_cent_are_refused(values: list[float]) -> None:
    table = table_of(np.array(values).reshape(2, 3).T)
    row = next(i for i, v in enumerate(values) if v < 1)
    message = (
        rf"column 'accuracy' must be in one unit, got {values[row]:g} in row {row + 1}, which "
        r"looks like a fraction, and 96.5 in row 1, which is in per cent"
    )
    with pytest.raises(TableError, match=message):
        compare(table, treatment="model", block="fold", value="accuracy")


@pytest.mark.parametrize("collapsed", [0.1, 1.0, 0.0])
def test_a_collapsed_run_in_per_cent_is_no_fraction(collapsed: float) -> None:
    values = np.array([[70.5, collapsed], [71.2, collapsed], [69.8, collapsed]])
    assert pair_of(values).mean_difference == pytest.approx(70.5 - collapsed)


def test_a_value_a_hair_above_1_is_a_fraction() -> None:
    values = np.array([[1.0000001, 0.96], [0.99, 0.95], [0.98, 0.94], [0.99, 0.95], [1.0, 0.96]])
    found = compare(table_of(values), treatment="model", block="fold", value="accuracy")
    assert found.parameters.margin == 0.002
    assert found.notes[0] == "accuracy is read as fractions."
    assert found.pairs[0].verdict != "equivalent"
