"""The checks of whole columns accept no row that the checks of single rows refuse."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from _rows import RUN, outcome, record
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import SpecError
from bench.spec.model import RunSpec
from bench.storage import rows as rows_module
from bench.storage.consistency import contradiction
from bench.storage.intact import are_consistent, have_own_keys
from bench.storage.records import DIVERGED, FAILED, SCHEMA
from bench.storage.rows import refuse_altered

SCHEDULED = replace(RUN, optimizer=replace(RUN.optimizer, name="sgd[x]", schedule="cosine()"))
_ROUNDS = 30


def _rows() -> list[dict[str, Any]]:
    """Sound rows of every kind."""
    kinds: list[tuple[RunSpec, dict[str, Any]]] = [
        (RUN, {}),
        (RUN, {"status": FAILED, "error": "x", **dict.fromkeys(outcome(0)), "train_loss": None}),
        (RUN, {"status": DIVERGED, "diverged_at": 3000, "error": "loss not finite"}),
        (RUN, outcome(0)),
        (SCHEDULED, {"learning_rate_iterations": [1, 9], "learning_rates": [0.1, 0.05]}),
    ]
    found = []
    for number in range(_ROUNDS):
        for place, (run, changes) in enumerate(kinds):
            own = replace(run, seed=len(kinds) * number + place)
            found.append(vars(record(own, schedule=own.optimizer.schedule, **changes)))
    return found


ROWS = _rows()
TABLE = pa.Table.from_pylist(ROWS, schema=SCHEMA)


def test_sound_rows_are_not_checked_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_row: object) -> None:
        raise AssertionError("one by one")

    assert {contradiction(row) for row in TABLE.to_pylist()} == {None}
    monkeypatch.setattr(rows_module, "contradiction", refuse)
    refuse_altered(TABLE)
    refuse_altered(pa.concat_tables([TABLE.slice(0, 70), TABLE.slice(70)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 7}, "the key of sgd seed 75 does not match its specification"),
        ({"seed": 1000}, "the key of sgd seed 1000 does not match its specification"),
        ({"schema_version": 99}, "schema version 99, this program reads 1"),
        ({"hyperparameters": "[1]"}, "not the hyperparameters of 'sgd'"),
        ({"hyperparameters": '{"lr":1}'}, "the key of sgd seed 75 does not match"),
        ({"test_correct": 9577}, "the row of sgd seed 75 is inconsistent: test_accuracy is 0.9578"),
        (ROWS[0], "there are two rows of sgd seed 0"),
        ({"seed": 1000, "hyperparameters": "["}, "not the hyperparameters of 'sgd'"),
    ],
)
def test_the_first_altered_row_of_many_is_named(changes: dict[str, Any], message: str) -> None:
    altered = [row | changes if row["seed"] == 75 else row for row in ROWS]
    with pytest.raises((ValueError, SpecError), match=message):
        refuse_altered(pa.Table.from_pylist(altered, schema=SCHEMA))


NUMBERS = (None, -1, 0, 1, 8, 9577, 9578, 10_000, 10_001, 2**40)
FRACTIONS = (None, math.nan, math.inf, -0.5, 0.0, 0.25, 0.9578, 1e-12, 2.5, 1e300)
TEXTS = (None, "ok", "failed", "diverged", "great", "")
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int64(): st.sampled_from(NUMBERS),
    pa.float64(): st.sampled_from(FRACTIONS),
    pa.string(): st.sampled_from(TEXTS),
    pa.binary(): st.sampled_from((None, b"", b"\xff", bytes(1250), bytes(1251), b"\xff" * 1250)),
    pa.list_(pa.int64()): st.none() | st.lists(st.sampled_from((*NUMBERS, 500, 3000)), max_size=3),
    pa.list_(pa.float64()): st.none() | st.lists(st.sampled_from(FRACTIONS), max_size=3),
    pa.timestamp("us", tz="UTC"): st.sampled_from(
        [datetime(year, 12, 31, 23, tzinfo=UTC) for year in (1, 1969, 1970, 2200, 2201, 9999)]
    ),
}
CHECKED = [
    field
    for field in SCHEMA
    if field.type in VALUES and field.name not in ("run_key", "seed", "schema_version")
]


@given(st.data())
def test_what_a_row_must_not_say_is_not_accepted(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 4))
    fields = data.draw(st.lists(st.sampled_from(CHECKED), min_size=1, max_size=2))
    row = ROWS[place] | {field.name: data.draw(VALUES[field.type]) for field in fields}
    table = pa.Table.from_pylist([*ROWS[5:10], row], schema=SCHEMA)
    (held,) = table.slice(5).to_pylist()
    try:
        wrong = contradiction(held)
    except (TypeError, AttributeError):  # a null in a column that has none
        wrong = "null"
    if wrong:
        assert not are_consistent(table)


def test_keys_of_other_settings_are_not_accepted() -> None:
    assert have_own_keys(TABLE)
    for name in ("optimizer", "algorithm", "dataset", "network", "schedule"):
        place = SCHEMA.get_field_index(name)
        values = TABLE[name].to_pylist()
        values[3] = "other"
        assert not have_own_keys(TABLE.set_column(place, SCHEMA.field(name), pa.array(values)))
