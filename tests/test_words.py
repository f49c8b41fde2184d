"""Nouns in sentences agree with their number."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.analysis import compare, describe_runs
from bench.report import render
from bench.report.formats.markdown import markdown
from bench.words import count, plural, singular, spoken


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("seed", "seeds"),
        ("fold", "folds"),
        ("study", "studies"),
        ("day", "days"),
        ("class", "classes"),
        ("batch", "batches"),
        ("box", "boxes"),
        ("status", "statuses"),
        ("basis", "bases"),
        ("bias", "biases"),
        ("GPU", "GPUs"),
        ("STUDY", "STUDIES"),
        ("Fold", "Folds"),
        ("data split", "data splits"),
        ("test_study", "test_studies"),
        ("fold1", "fold1s"),
        ("café", "cafés"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert (plural(one), plural(many)) == (many, many)
    assert (count(1, one), count(2, one), count(0, one)) == (f"1 {one}", f"2 {many}", f"0 {many}")


@pytest.mark.parametrize("noun", ["種", "data", "series", "", "(a)"])
def test_nouns_without_a_regular_plural_stay(noun: str) -> None:
    assert plural(noun) == noun


@pytest.mark.parametrize(
    ("many", "one"),
    [("seeds", "seed"), ("studies", "study"), ("batches", "batch"), ("classes", "class")],
)
def test_a_plural_has_a_singular(many: str, one: str) -> None:
    assert (singular(many), singular(one), count(1, many)) == (one, one, f"1 {one}")


def test_columns_are_spoken_as_nouns() -> None:
    assert [spoken(c) for c in ("run_id", "seeds", "_", "STUDY")] == [
        *("run id", "seed", "column", "STUDY")
    ]


@pytest.mark.parametrize(
    ("treatment", "block", "treatments", "blocks"),
    [
        ("class", "study", "classes", "studies"),
        ("methods", "test_batch", "methods", "test batches"),
    ],
)
def test_sentences_use_the_plural_of_the_columns(
    treatment: str, block: str, treatments: str, blocks: str
) -> None:
    table = pd.DataFrame(
        {
            treatment: ["a", "b"] * 3 + ["a"],
            block: [f"s{i // 2}" for i in range(7)],
            "accuracy": [0.90, 0.80, 0.91, 0.81, 0.92, 0.82, 0.93],
        }
    )
    comparison = compare(table, treatment=treatment, block=block, value="accuracy")
    analysis = describe_runs(table, comparison, name="n")
    said = (" ".join(comparison.warnings), markdown(analysis), render(analysis))
    assert f"3 {blocks} by Holm's correction of the exact test: the smallest" in said[0]
    assert f"uses the {blocks} that both sides have" in said[0]
    assert f"Two {treatments} that share" in said[1].replace("\\", "")
    for text in said:
        assert "studys" not in text
        assert "batchs" not in text
