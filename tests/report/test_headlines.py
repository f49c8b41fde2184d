"""Headline, tables, warnings and JSON say the same where runs diverged, failed or are missing."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis import Comparison, compare, describe_runs, look_levels, to_json
from bench.cli import main
from bench.report import render, verdict
from bench.report.formats.latex import latex_table
from bench.report.formats.markdown import markdown
from bench.report.text.format import NBSP

LEFT = [2.10, 2.05, 2.20, 2.00, 2.15, 2.25, 2.12]
RIGHT = [2.40, 2.30, None, 2.35, 2.50, 2.60, 2.44]
ALL = [None] * 7


def table(columns: dict[str, list[float | None]], missing: str = "diverged") -> pd.DataFrame:
    rows = [
        {"optimizer": name, "seed": seed, "rmse": x, "status": "ok" if x is not None else missing}
        for name, values in columns.items()
        for seed, x in enumerate(values)
    ]
    return pd.DataFrame(rows)


def ask(columns: dict[str, list[float | None]], missing: str = "diverged") -> Comparison:
    return compare(table(columns, missing), value="rmse", direction="lower")


def said(comparison: Comparison) -> str:
    return " ".join(verdict(comparison)).replace(NBSP, " ")


UNDEFINED: dict[str, tuple[dict[str, list[float | None]], str]] = {
    "two": (
        {"left": LEFT, "right": RIGHT},
        "left leads: it beats right (diverged runs rank worst). "
        "Over 7 seeds, left has the lowest mean rmse (2.124).",
    ),
    "all runs of one diverged": (
        {"left": LEFT, "right": ALL},
        "left leads: it beats right (diverged runs rank worst). "
        "Over 7 seeds, left has the lowest mean rmse (2.124).",
    ),
    "every mean undefined": (
        {"left": [*LEFT[:5], None, 2.12], "right": [*RIGHT[:5], None, None]},
        "left leads: it beats right (diverged runs rank worst). "
        "Over 7 seeds, no mean rmse is defined, since runs of every optimizer diverged; left is "
        "ranked first, where 1 of 7 runs diverged.",
    ),
    "three": (
        {"left": LEFT, "middle": [x + 0.1 for x in LEFT], "right": RIGHT},
        "left leads: it beats the rest by 0.100 where no run diverged (diverged runs rank worst). "
        "Over 7 seeds, left has the lowest mean rmse (2.124).",
    ),
    "nothing but divergence": (
        {"left": LEFT[:1] + ALL[:6], "right": ALL},
        "7 seeds cannot separate left and right, which does not show that they perform alike. "
        "Over 7 seeds, no mean rmse is defined, since runs of every optimizer diverged; left is "
        "ranked first, where 6 of 7 runs diverged.",
    ),
}


@pytest.mark.parametrize("case", UNDEFINED)
def test_an_undefined_mean_is_a_result(case: str, request: pytest.FixtureRequest) -> None:
    if case != "two":  # in this case figures are drawn: one mean is undefined and one is not
        request.getfixturevalue("undrawn")
    columns, expected = UNDEFINED[case]
    comparison = ask(columns)
    assert said(comparison).startswith(expected)
    assert comparison.treatments[0].name == "left"
    analysis = describe_runs(table(columns), comparison, name="runs")
    page = re.sub(r"<[^>]+>", "", render(analysis)).replace(NBSP, " ")
    text = markdown(analysis).replace(NBSP, " ").replace("\\", "")
    sentences = [s.replace(NBSP, " ") for s in verdict(comparison)]
    assert all(sentence in page and sentence in text for sentence in sentences)
    for row, name in ((1, "left"), (len(columns), "right")):
        assert re.search(rf"^\| {row} \| {name} ", text, re.MULTILINE)
        assert re.search(rf"^{row} & {name} ", latex_table(analysis), re.MULTILINE)
    assert "has results" not in page + text
    assert "diverged and 0 failed. A diverged run without a value ranks worst" in page
    found = json.loads(to_json(comparison))
    means = {t["name"]: t["mean"] for t in found["treatments"]}
    assert means["right"] is None


def test_a_diverged_run_loses_to_any_value() -> None:
    (pair,) = ask({"left": LEFT, "right": RIGHT}).pairs
    assert (pair.verdict, pair.pvalue, pair.win_rate) == ("better", 2 / 2**7, 1.0)


def test_a_defined_mean_leads_one_that_is_not() -> None:
    """Though the other is better on all seeds but one."""
    comparison = ask({"a": [1.0, 1.1, 1.2, 1.0, 1.1, None, 1.3], "b": LEFT})
    assert [t.name for t in comparison.treatments] == ["b", "a"]
    assert comparison.pairs[0].verdict == "inconclusive"
    assert "b has the lowest mean rmse" in said(comparison)


def test_fewer_diverged_runs_come_first() -> None:
    columns = {"a": [1.0, None, None, 1.0, 1.1, 1.2, 1.3], "b": RIGHT, "c": ALL}
    assert [t.name for t in ask(columns).treatments] == ["b", "a", "c"]


def test_one_seed_on_which_all_diverged() -> None:
    columns: dict[str, list[float | None]] = {"a": [None], "b": [None]}
    text = said(ask(columns))
    assert "On this seed no run has a value: 1 of 1 run diverged." in text


def test_one_treatment_whose_mean_is_undefined() -> None:
    text = said(ask({"right": RIGHT}))
    assert text.startswith("Over 7 seeds, right has no mean rmse: 1 of 7 runs diverged.")


# ------------------------------------------------------------- pairs that are not tested

A, B = [0.972, 0.973, 0.974, 0.972, 0.973, 0.974], [0.958, 0.959, 0.958, 0.959, 0.958, 0.959]
NONE: list[float | None] = [None] * 6


def accuracies(columns: dict[str, Any], **options: Any) -> Comparison:
    rows = [
        {
            "optimizer": name,
            "seed": seed,
            "test_accuracy": x,
            "status": "failed" if x is None else "ok",
        }
        for name, values in columns.items()
        for seed, x in (values.items() if isinstance(values, dict) else enumerate(values))
    ]
    return compare(pd.DataFrame(rows), **options)


def test_an_optimizer_without_a_run_takes_no_share_of_the_level() -> None:
    alone, beside = accuracies({"a": A, "b": B}), accuracies({"a": A, "b": B, "c": NONE})
    assert beside.power == alone.power
    assert beside.pairs[0] == alone.pairs[0]
    assert (beside.n_family, beside.power.seeds_to_reject) == (1, 6)
    assert not any("needs" in warning for warning in beside.warnings)
    text = said(beside)
    assert text.startswith(
        "a leads: it beats b by 1.5 points. Over 6 seeds, a has the highest mean accuracy"
    )
    assert "2 are not testable" in text


@pytest.mark.parametrize("missing", [NONE, dict(enumerate([0.9] * 6, 50)), {0: 0.9}])
def test_pairs_without_common_seeds_are_no_tests(missing: Any) -> None:
    comparison = accuracies({"a": A, "b": B, "c": missing})
    assert (comparison.n_family, comparison.power.seeds_to_reject) == (1, 6)
    assert comparison.pairs[0].verdict in ("better", "not testable")
    assert sum(pair.verdict == "better" for pair in comparison.pairs) == 1
    assert "too few" not in said(comparison)


AT_7 = np.array([0.962, 0.963, 0.964, 0.962, 0.963, 0.964, 0.965])
BESIDE = AT_7 + 1e-4 * np.array([1, -1, 1, -1, 1, -1, -1])
#: Values of a that beat b on seeds 0-7, b that beat c on 8-15, and c that beat a on 16-23.
CYCLE = {
    name: {seed: 0.9 if seed // 8 == i else 0.8 for seed in range(24) if seed // 8 != (i + 1) % 3}
    for i, name in enumerate("abc")
}
LEADS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a diverged run of unpaired ones": (
        {"a": A, "b": B, "bad": [math.inf, *B[1:]]},
        {"test": "welch"},
        "a leads: it beats b by 1.5 points. bad could not be tested.",
    ),
    "other seeds, with the best mean": (
        {"a": A, "b": B, "bad": dict(enumerate([0.99] * 6, 50))},
        {},
        "a leads: it beats b by 1.5 points. bad could not be tested.",
    ),
    "nothing significant": (
        {"a": A, "b": [x - 0.001 * (i > 1) for i, x in enumerate(A)], "bad": {0: 0.9}},
        {"margin": 0.0001},
        "6 seeds cannot separate a and b, which does not show that they perform alike. bad could "
        "not be tested.",
    ),
    "a cycle and one seed": (
        {**CYCLE, "z": {0: 0.99}},
        {},
        "Each tested optimizer is worse than another one on the seeds of the two. z could not be "
        "tested.",
    ),
    "a cycle and too few seeds to differ": (
        {**CYCLE, "z": dict.fromkeys(range(6), 0.95)},
        {},
        "24 seeds cannot separate z from the rest, and each of the rest is worse than another one "
        "on the seeds of the two.",
    ),
    "identical and equivalent": (
        {"a": AT_7, "b": AT_7, "c": BESIDE},
        {"margin": 0.01},
        "All 3 optimizers are equivalent within ±1 points or identical.",
    ),
    "identical and equivalent beside one without a test": (
        {"a": AT_7, "b": AT_7, "c": BESIDE, "d": {0: 0}},
        {"margin": 0.01},
        "a, b and c are equivalent within ±1 points or identical. d could not be tested.",
    ),
    "the best mean is over other seeds": (
        {"a": A, "b": {**dict(enumerate(B)), **dict(enumerate([0.99] * 6, 50))}},
        {},
        "a leads: it beats b by 1.5 points over their common seeds.",
    ),
    "an earlier look stands against the present sign": (
        {"a": AT_7, "b": AT_7 + 1e-3 * (np.arange(7) > 2)},
        {"looks": 2},
        "a leads: it beats b since look 1, not at this look. Over 7 seeds, b has the highest mean",
    ),
    "an earlier look stands for one of two": (
        {"a": AT_7, "b": AT_7 + 1e-3 * np.array([1, -1, 1, -1, 1, 1, 1]), "c": AT_7 - 0.1},
        {"looks": 2, "alpha": 0.2},
        "a leads: it beats the rest by 10.0 points, in 1 of 2 pairs since look 1, not at this "
        "look.",
    ),
}


@pytest.mark.parametrize("case", LEADS)
def test_only_tested_optimizers_lead_and_only_by_differences_of_this_look(case: str) -> None:
    columns, options, expected = LEADS[case]
    if "looks" in options:
        first, now = look_levels([(4, None), (8, None)], options.get("alpha", 0.05), 2)
        looks = (replace(first, rejected=(("a", "b"),)), now)
        options = {**options, "looks": looks, "planned_looks": 2}
    assert said(accuracies(columns, **options)).startswith(expected)


def test_too_few_seeds_are_counted_over_the_tested_pairs() -> None:
    comparison = accuracies({"a": A[:5], "b": B[:5], "c": NONE[:5]})
    assert said(comparison).startswith(
        "5 seeds are too few: with 2 optimizers, no difference can be significant below 6 seeds "
        "by Holm's correction of the exact test."
    )
    assert "Holm's method over 1 pair needs 6" in comparison.warnings[0]


def test_too_few_common_seeds_are_said_in_the_headline_too() -> None:
    """Ten seeds, of which no pair shares more than five."""
    comparison = accuracies(
        {"a": dict(enumerate(A[:5])), "b": {**dict(enumerate(B[:5])), **dict(enumerate(B, 10))}}
    )
    assert said(comparison).startswith(
        "5 seeds in common are too few: with 2 optimizers, no difference can be significant below "
        "6 seeds by Holm's correction of the exact test."
    )
    assert comparison.warnings[0].startswith("No difference can be significant with 5 seeds")


def test_identical_pairs_are_tested() -> None:
    comparison = accuracies({"a": A, "b": B, "c": B})
    assert comparison.n_family == 3
    assert comparison.power.seeds_to_reject == 7


def test_a_family_without_a_test() -> None:
    comparison = accuracies({"a": {0: 0.9, 1: 0.8}, "b": {2: 0.9, 3: 0.8}, "c": NONE})
    assert comparison.n_family == 1
    assert said(comparison).startswith("No two optimizers have enough common seeds for a test.")
    assert all(pair.verdict == "not testable" for pair in comparison.pairs)


def test_one_seed_and_an_optimizer_without_a_run() -> None:
    text = said(accuracies({"a": A[:1], "b": B[:1], "c": NONE[:1]}))
    assert "From 6 seeds on a difference between 2 optimizers can be significant." in text


@pytest.mark.usefixtures("undrawn")
def test_the_page_and_markdown_count_the_tested_pairs() -> None:
    comparison = accuracies({"a": A, "b": B, "c": NONE})
    rows = pd.DataFrame(
        [
            {"optimizer": n, "seed": s, "test_accuracy": x, "status": "ok" if x else "failed"}
            for n, xs in {"a": A, "b": B, "c": NONE}.items()
            for s, x in enumerate(xs)
        ]
    )
    analysis = describe_runs(rows, comparison, name="runs")
    page, text = render(analysis).replace(NBSP, " "), markdown(analysis).replace(NBSP, " ")
    assert "Holm's correction over 1 pair at" in text
    assert "over 1 pair at" in latex_table(analysis).replace("~", " ")
    assert "for each of the 1 pair" in page
    assert "Holm's procedure over 1 pair at" in page.replace("&#39;", "'")
    assert "3 tested" not in page


@pytest.mark.usefixtures("undrawn")
def test_the_command_line_says_how_values_were_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Per cent of 5,000 images, as float32 prints them; on whole counts p is 14/256."""
    a = [4799, 4800, 4794, 4802, 4799, 4794, 4797, 4795]
    b = [4796, 4795, 4790, 4798, 4800, 4795, 4793, 4794]
    counts = np.array([*a, *b])
    table = pd.DataFrame(
        {
            "model": ["a"] * 8 + ["b"] * 8,
            "fold": [*range(8)] * 2,
            "accuracy": np.float32(counts / 50).astype(np.float64),
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = ["--treatment", "model", "--block", "fold", "--value", "accuracy"]
    assert main(["analyze", str(tmp_path / "t.csv"), *columns]) == 0
    out = capsys.readouterr().out
    assert "a and b are equivalent within ±0.2 points." in out.replace(NBSP, " ")
    assert "note:      accuracy is read as per cent." in out
    assert "note:      accuracy holds values rounded to float32; they are read as counts" in out
    page = tmp_path / "t.html"
    written = ["--json", str(tmp_path / "t.json"), "--html", str(page)]
    assert main(["analyze", str(tmp_path / "t.csv"), *columns, *written]) == 0
    found = json.loads((tmp_path / "t.json").read_text())
    assert found["pairs"][0]["pvalue"] == 14 / 256
    assert "counts of 5000" in found["notes"][1]
    assert "they are read as counts of 5000." in page.read_text()
