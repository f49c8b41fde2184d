"""Tests of learning curves, the analysis of a sweep, and its JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bench.analysis import SweepAnalysis, analyse_sweep, compare, describe_runs, to_dict, to_json
from bench.analysis.curves import learning_curves
from bench.analysis.provenance import FACTS
from bench.analysis.results import Variant
from bench.analysis.sweep import COLUMNS
from bench.errors import TableError
from bench.storage.records import LATER_COLUMNS, SCHEMA, RunRecord

START = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)


def record(optimizer: str, seed: int, correct: int | None, **changes: Any) -> dict[str, Any]:
    """Return a row like those of the store, for a run with three evaluations."""
    accuracy = None if correct is None else correct / 10_000
    row: dict[str, Any] = {f.name: None for f in fields(RunRecord)} | {
        "run_key": f"{optimizer}-{seed}",
        "optimizer": optimizer,
        "algorithm": "torch.optim.X",
        "hyperparameters": "{}",
        "seed": seed,
        "dataset": "mnist",
        "network": "mlp",
        "batch_size": 100,
        "iterations": 3000,
        "eval_every": 1000,
        "initial_weights_sha256": f"w{seed}",
        "data_order_sha256": f"o{seed}",
        "status": "ok",
        "test_correct": correct,
        "test_total": None if correct is None else 10_000,
        "test_accuracy": accuracy,
        "test_loss": 0.1,
        "train_loss": 0.1,
        "eval_iterations": [1000, 2000, 3000],
        "eval_test_accuracy": [0.9, 0.95, accuracy],
        "eval_test_loss": [0.3, 0.2, 0.1],
        "eval_train_loss": [0.4, 0.3, 0.2],
        "train_seconds": 2.0 + seed,
        "eval_seconds": 0.5,
        "started_at": START + timedelta(seconds=10 * seed),
        "device": "cpu",
        "device_name": "Example CPU",
        "cores": 2,
        "n_jobs": 2,
        "torch_version": "2.9.0",
        "numpy_version": "2.4.0",
        "python_version": "3.11.7",
        "schema_version": 1,
    }
    return row | changes


ROWS = [
    *(record("sgd", seed, 9570 + seed) for seed in range(4)),
    *(record("adam", seed, 9720 + 2 * seed) for seed in range(3)),
    record(
        "adam",
        3,
        980,
        status="diverged",
        diverged_at=1234,
        test_loss=None,
        eval_iterations=[1000, 2000],
        eval_test_accuracy=[0.8, 0.098],
        eval_test_loss=[0.5, None],
        eval_train_loss=[0.6, math.inf],
        train_seconds=0.1,
    ),
    record(
        "rmsprop",
        0,
        None,
        status="failed",
        error="MemoryError: out of memory",
        test_loss=None,
        eval_iterations=None,
        eval_test_accuracy=None,
        eval_test_loss=None,
        eval_train_loss=None,
        train_seconds=None,
        eval_seconds=None,
        initial_weights_sha256=None,
    ),
    record("rmsprop", 1, 9700),
]


def stored(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Through Arrow, so that lists, nulls and integers arrive as they do from parquet."""
    return pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()


def analyse(rows: list[dict[str, Any]] = ROWS) -> SweepAnalysis:
    return analyse_sweep(
        stored(rows),
        name="mnist",
        alpha=0.05,
        margin=0.002,
        target=0.95,
    )


class TestSweep:
    analysis = analyse()

    def test_name_and_target_are_in_the_result(self) -> None:
        assert (self.analysis.name, self.analysis.target) == ("mnist", 0.95)

    def test_the_comparison_is_of_final_test_accuracy(self) -> None:
        assert self.analysis.comparison == compare(stored(ROWS))
        names = [t.name for t in self.analysis.comparison.treatments]
        assert names == ["rmsprop", "sgd", "adam"]

    def test_every_run_is_one_score_in_the_order_of_the_leaderboard(self) -> None:
        scores = [(s.treatment, s.seed, s.value, s.status) for s in self.analysis.scores]
        assert scores[:3] == [
            ("rmsprop", 0, None, "failed"),
            ("rmsprop", 1, 0.97, "ok"),
            ("sgd", 0, 0.957, "ok"),
        ]
        assert scores[-1] == ("adam", 3, 0.098, "diverged")
        assert len(scores) == len(ROWS)

    def test_variants_have_class_and_hyperparameters(self) -> None:
        adam = {
            "algorithm": "torch.optim.Adam",
            "hyperparameters": '{"amsgrad":false,"betas":[0.9,0.999],"eps":1e-08,"foreach":null}',
        }
        rows = [row | adam if row["optimizer"] == "adam" else row for row in ROWS]
        variants = analyse(rows).variants
        assert [v.treatment for v in variants] == ["rmsprop", "sgd", "adam"]
        assert variants[0] == Variant(
            treatment="rmsprop", algorithm="torch.optim.X", hyperparameters=()
        )
        assert variants[2] == Variant(
            treatment="adam",
            algorithm="torch.optim.Adam",
            hyperparameters=(
                ("amsgrad", "False"),
                ("betas", "(0.9, 0.999)"),
                ("eps", "1e-08"),
                ("foreach", "None"),
            ),
        )

    @pytest.mark.parametrize(
        ("changes", "other"),
        [
            ({"hyperparameters": '{"lr":0.1}'}, 'torch.optim.X {"lr":0.1}'),
            ({"algorithm": "torch.optim.Y"}, "torch.optim.Y {}"),
        ],
    )
    def test_one_name_for_two_variants_is_refused(
        self, changes: dict[str, Any], other: str
    ) -> None:
        message = (
            "optimizer 'sgd' must have one class with one set of hyperparameters, "
            f"got torch.optim.X {{}} and {other}"
        )
        with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
            analyse([*ROWS, record("sgd", 4, 9570, **changes)])

    @pytest.mark.parametrize("content", ["lr=0.1", "[0.1]", "0.1"])
    def test_hyperparameters_must_be_json_objects(self, content: str) -> None:
        message = f"column 'hyperparameters' must hold JSON objects, got '{content}' for 'sgd'"
        with pytest.raises(TableError, match=f"^{re.escape(message)}$"):
            analyse([record("sgd", 0, 9570, hyperparameters=content)])

    def test_path_of_the_file_is_not_in_the_rows(self) -> None:
        table = stored(ROWS).assign(run_file=[f"runs/{i}.parquet" for i in range(len(ROWS))])
        assert analyse_sweep(table, name="mnist") == analyse_sweep(stored(ROWS), name="mnist")
        twice = table.assign(seed=table["seed"].replace(3, 2))
        with pytest.raises(TableError, match=r"seed 2: runs/2\.parquet and runs/3\.parquet$"):
            analyse_sweep(twice, name="mnist")

    def test_curves_have_the_median_training_time_at_each_evaluation(self) -> None:
        rows = [row | {"eval_train_seconds": None} for row in ROWS]
        assert all(set(curve.seconds) == {None} for curve in analyse(rows).curves)
        for row, times in zip(rows, ([1.0, 2.0], [1.5, 2.5], [9.0, math.inf]), strict=False):
            row["eval_train_seconds"] = times
        (sgd,) = (curve for curve in analyse(rows).curves if curve.treatment == "sgd")
        assert sgd.iterations[:2] == (1000, 2000)
        assert sgd.seconds[:2] == (1.5, 2.25)

    def test_the_hash_of_the_data_is_left_out_if_no_row_has_it(self) -> None:
        assert "data_hash" not in analyse().runs.columns
        assert "data_hash" in analyse([*ROWS[1:], ROWS[0] | {"data_hash": "a"}]).runs.columns

    def test_rows_are_text_and_numbers(self) -> None:
        # one row alone has bits: its images are then not compared
        bits = [None] * (len(ROWS) - 1) + [b"\xff"]
        table = stored(ROWS).assign(correct_bits=bits, run_file="/home/me/secret.parquet")
        runs = describe_runs(table, compare(stored(ROWS)), name="x").runs
        assert set(runs.columns) == set(SCHEMA.names) - {"correct_bits", "data_hash"}
        first = dict(zip(runs.columns, runs.rows[0], strict=True))
        last = dict(zip(runs.columns, runs.rows[-1], strict=True))
        assert (first["optimizer"], first["seed"], first["test_accuracy"]) == ("rmsprop", 0, None)
        assert last["eval_train_loss"] == '[0.6, "inf"]'
        assert str(last["started_at"]).startswith("2025-03-01T")
        assert len(runs.rows) == len(ROWS)

    def test_columns_of_other_tools_are_unchanged(self) -> None:
        table = pd.DataFrame(
            {
                "model": ["b", "a", "b", "a"],
                "fold": ["y", "y", "x", "x"],
                "score": [1.5, 2.5, 1.0, 2.0],
                "optimizer": ["AdamW", "SGD", "AdamW", "SGD"],
                "seed": [1, 2, 3, 4],
                "started_at": ["Tuesday"] * 4,
                "_position": [7, 8, 9, 10],
                "diverged_at": [1, None, None, None],
            },
            index=[4, 4, 5, 6],
        )
        comparison = compare(
            table, treatment="model", block="fold", value="score", direction="higher"
        )
        runs = describe_runs(table, comparison, name="x").runs
        assert runs.columns == tuple(table.columns)
        assert runs.rows == (
            ("a", "x", 2.0, "SGD", 4, "Tuesday", 10, None),
            ("a", "y", 2.5, "SGD", 2, "Tuesday", 8, None),
            ("b", "x", 1.0, "AdamW", 3, "Tuesday", 9, None),
            ("b", "y", 1.5, "AdamW", 1, "Tuesday", 7, 1.0),
        )

    def test_a_loss_that_diverged_is_not_shown_as_a_value(self) -> None:
        rows = [row | {"test_loss": 0.01} if row["status"] == "diverged" else row for row in ROWS]
        table = stored(rows)
        comparison = compare(table, value="test_loss")
        scores = describe_runs(table, comparison, name="x").scores
        assert {s.value for s in scores if s.status == "diverged"} == {None}
        assert all(s.value == 0.1 for s in scores if s.status == "ok")

    def test_letters_and_ranks_are_those_of_the_comparison(self) -> None:
        assert self.analysis.letters == ("a", "a", "a"), "nothing is testable with so few"
        assert self.analysis.ranks is None, "one block is complete"

    def test_timings_are_medians_over_the_runs_that_used_the_whole_budget(self) -> None:
        adam = next(t for t in self.analysis.timings if t.treatment == "adam")
        assert (adam.n, adam.train_seconds, adam.eval_seconds) == (3, 3.0, 0.5)
        assert [t.treatment for t in self.analysis.timings] == ["rmsprop", "sgd", "adam"]

    def test_incidents(self) -> None:
        failed, diverged = self.analysis.incidents
        assert (failed.treatment, failed.seed, failed.status) == ("rmsprop", 0, "failed")
        assert (failed.iteration, failed.error) == (None, "MemoryError: out of memory")
        assert (diverged.treatment, diverged.seed, diverged.status) == ("adam", 3, "diverged")
        assert (diverged.iteration, diverged.error) == (1234, "the loss was not finite")

    def test_provenance(self) -> None:
        facts = dict(self.analysis.provenance.facts)
        assert tuple(facts) == tuple(fact for fact in FACTS if fact not in LATER_COLUMNS)
        assert (facts["dataset"], facts["batch_size"]) == (("mnist",), ("100",))
        assert facts["git_commit"] == ()
        assert self.analysis.provenance.started_at == START
        assert self.analysis.provenance.finished_at == START + timedelta(seconds=30 + 5.5)

    def test_later_columns_are_facts_unless_empty(self) -> None:
        rows = [*ROWS[1:], record("sgd", 0, 9570, stack=20, tf32=None)]
        facts = dict(analyse(rows).provenance.facts)
        assert facts["stack"] == ("20",)
        assert "tf32" not in facts

    def test_mixed_environments_show_both_values(self) -> None:
        rows = [*ROWS[1:], record("sgd", 0, 9570, n_jobs=10)]
        assert dict(analyse(rows).provenance.facts)["n_jobs"] == ("2", "10")

    def test_a_broken_pairing_is_the_first_warning(self) -> None:
        rows = [*ROWS[1:], record("sgd", 0, 9570, data_order_sha256="another")]
        assert analyse(rows).comparison.warnings[0] == (
            "Not paired: runs of the same seed differ in the order of the data on 1 of 4 seeds (0)."
        )
        assert "Not paired" not in " ".join(self.analysis.comparison.warnings)

    @pytest.mark.parametrize("column", COLUMNS)
    def test_every_column_is_required(self, column: str) -> None:
        with pytest.raises(TableError, match=f"the table has no column '{column}'"):
            analyse_sweep(stored(ROWS).drop(columns=column), name="x")

    def test_one_run_is_enough(self) -> None:
        analysis = analyse([record("sgd", 0, 9570)])
        assert analysis.comparison.pairs == ()
        assert len(analysis.scores) == len(analysis.curves) == 1


class TestCurves:
    curves: ClassVar = {
        c.treatment: c for c in learning_curves(stored(ROWS), ["sgd", "adam", "rmsprop"])
    }

    def test_mean_and_t_interval_at_each_evaluation(self) -> None:
        sgd = self.curves["sgd"]
        assert sgd.iterations == (1000, 2000, 3000)
        assert sgd.test_accuracy.n == (4, 4, 4)
        last = compare(stored(ROWS[:4])).treatments[0]
        assert sgd.test_accuracy.mean[2] == last.mean
        assert (sgd.test_accuracy.low[2], sgd.test_accuracy.high[2]) == (last.ci_low, last.ci_high)
        assert sgd.test_loss.mean == pytest.approx((0.3, 0.2, 0.1))
        assert sgd.train_loss.mean == pytest.approx((0.4, 0.3, 0.2))

    def test_a_diverged_run_ends_early_and_is_never_padded(self) -> None:
        """DeepOBS pads missing epochs with a made-up loss."""
        adam = self.curves["adam"]
        assert adam.test_accuracy.n == (4, 4, 3)
        assert adam.test_accuracy.mean[1] == pytest.approx((3 * 0.95 + 0.098) / 4)
        assert adam.test_loss.n == adam.train_loss.n == (4, 3, 3)
        assert adam.test_loss.mean[1] == pytest.approx(0.2)
        assert adam.train_loss.mean[1] == pytest.approx(0.3)

    def test_a_single_run_has_no_interval(self) -> None:
        band = self.curves["rmsprop"].test_accuracy
        assert (band.n, band.low, band.high) == ((1, 1, 1), (None,) * 3, (None,) * 3)

    def test_an_optimizer_that_was_never_evaluated_has_no_curve(self) -> None:
        assert learning_curves(stored(ROWS[-2:-1]), ["rmsprop"]) == ()

    def test_a_point_without_any_finite_value_is_null(self) -> None:
        row = record("sgd", 0, 9570, eval_test_loss=[math.nan, None, math.inf])
        (curve,) = learning_curves(stored([row]), ["sgd"])
        assert (curve.test_loss.mean, curve.test_loss.n) == ((None,) * 3, (0,) * 3)


class TestExport:
    def test_the_json_is_strict_and_complete(self) -> None:
        analysis = analyse()
        text = to_json(analysis)
        read = json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert read == to_dict(analysis)
        assert read["provenance"]["started_at"] == "2025-03-01T12:00:00+00:00"
        assert set(read) == {f.name for f in fields(SweepAnalysis)}
        assert read["comparison"]["pairs"][0]["verdict"] == "not testable"
        assert text.endswith("}\n")

    def test_every_number_is_a_plain_python_number(self) -> None:
        def check(x: object) -> None:
            if isinstance(x, dict | list):
                for item in x.values() if isinstance(x, dict) else x:
                    check(item)
            else:
                assert x is None or type(x) in (bool, int, float, str)

        check(to_dict(analyse()))

    def test_not_a_number_is_null(self) -> None:
        assert to_dict({"a": (math.nan, math.inf, 1.5, None)}) == {"a": [None, None, 1.5, None]}
        assert to_json({"é": math.nan}, indent=None) == '{"é": null}\n'

    def test_anything_else_is_refused(self) -> None:
        @dataclass
        class Odd:
            x: object

        with pytest.raises(TypeError, match="a result may not hold a ndarray, got array"):
            to_dict(Odd(np.zeros(2)))
