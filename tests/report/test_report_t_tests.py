"""Reports on unpaired runs and on folds: which test they name, and what they leave out."""

from __future__ import annotations

import re
from functools import cache
from html import unescape

import numpy as np
import pytest
from _tables import long_table

from bench.analysis import compare, describe_runs
from bench.analysis.results import SweepAnalysis, Test
from bench.report import latex_table, markdown, render
from bench.report.text import format as fmt
from bench.report.text.wording import headline

pytestmark = pytest.mark.usefixtures("undrawn")


@cache
def analysis_by(test: Test) -> SweepAnalysis:
    """Compare three treatments on eight blocks by one of the tests."""
    rng = np.random.default_rng(5)
    means = {"adam": 0.97, "sgd": 0.95, "momentum": 0.9505}
    table = long_table({name: [*rng.normal(m, 0.003, 8)] for name, m in means.items()})
    table = table.rename(columns={"seed": "fold"})
    ratio = 1 / 7 if test == "corrected-t" else None
    comparison = compare(table, block="fold", test=test, resampling_ratio=ratio)
    return describe_runs(table, comparison, name="mine")


def text_of(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    text = unescape(re.sub(r"<[^>]+>", " ", body)).replace(fmt.NBSP, " ")
    return " ".join(text.split())


SAID: dict[Test, dict[str, tuple[str, ...]]] = {
    "welch": {
        "page": (
            "3 optimizers · 24 runs · unpaired",
            "Over 8 runs each, unpaired, adam has the highest mean accuracy",
            "Few runs (8 runs of each optimizer): Welch's test assumes",
            "Test of the pairs Welch's t test of independent samples",
            "Welch's t test of the difference of two means whose variances may differ",
            "Two one-sided Welch t tests against ±0.2 points",
            "Note Unpaired: the runs of each optimizer are an independent sample",
            "Welch p, adjusted",
            "8 + 8",
            "if the true means of the pair were equal",
            "The height of a dot has no meaning: the runs are not paired.",
            "worst run",
        ),
        "markdown": (
            "Pairs by Welch's t test of independent samples, two-sided, with Holm's correction",
            "by two one-sided Welch t tests, adjusted likewise",
            "Intervals are Student's t, those of differences Welch's t;",
            "Unpaired: the runs of each optimizer",
        ),
        "latex": (
            "over 8~runs each, best mean first. The difference to the first, in points, is not "
            "paired; p diff is that of Welch’s t test of independent samples after Holm’s",
            "Intervals are Student’s t, those of differences Welch’s t, each for itself.",
        ),
    },
    "corrected-t": {
        "page": (
            "3 optimizers · 8 folds · 24 runs",
            "Test of the pairs corrected resampled t test",
            "is (1/n + 0.1429) s 2",
            "Nadeau & Bengio 2003",
            "Two one-sided corrected t tests against ±0.2 points",
            "Only the adjusted corrected t p-value",
            "Corrected t, adjusted",
            "Pairs are compared by the corrected resampled t test.",
            "Folds of one dataset say nothing about other datasets.",
        ),
        "markdown": (
            "Pairs by the corrected resampled t test, two-sided",
            "by two one-sided corrected t tests",
            "Intervals are corrected Student's t;",
            "uses the variance (1/n + 0.1429) s² of a mean over n folds.",
        ),
        "latex": (
            "is paired by fold; p diff is that of the corrected resampled t test after Holm’s",
            "Intervals are corrected Student’s t, each for itself.",
        ),
    },
}
#: What a report on paired runs says, and the two others must not.
SIGN_FLIP = ("sign-flip", "Sign-flip", "exact", "Wilcoxon", "Friedman's test, for context")
LEFT_OUT: dict[Test, tuple[str, ...]] = {
    "welch": (
        "mean rank",
        "Win rate",
        "| win rate",
        "correlation",
        "Results of single",
        "fold",
        "paired by",
    ),
    "corrected-t": ("Results of single", "Mean ranks", "the p-values here are too small"),
}


def outputs(test: Test) -> dict[str, str]:
    analysis = analysis_by(test)
    texts = {"markdown": markdown(analysis), "latex": latex_table(analysis)}
    texts = {name: text.replace(fmt.NBSP, " ") for name, text in texts.items()}
    return {"page": text_of(render(analysis)), **texts}


@pytest.mark.parametrize("test", SAID)
def test_every_format_names_the_test(test: Test) -> None:
    for form, text in outputs(test).items():
        for part in SAID[test][form]:
            assert part in text, (form, part)


@pytest.mark.parametrize("test", SAID)
def test_no_format_speaks_of_the_sign_flip_test(test: Test) -> None:
    for form, text in outputs(test).items():
        for part in (*SIGN_FLIP, *LEFT_OUT[test]):
            if form == "page" and part in ("Wilcoxon", "exact"):
                continue  # heads of columns with dashes; words about downloads
            assert part not in text, (form, part)


def test_the_default_names_the_sign_flip_test() -> None:
    for form, text in outputs("sign-flip").items():
        assert "sign-flip" in text, form
        assert "Welch" not in text, form


def test_no_pair_can_be_tested() -> None:
    table = long_table({"a": [0.9, 0.91], "b": [0.8, 0.81]})
    analysis = describe_runs(table, compare(table, test="welch"), name="x")
    assert headline(analysis)[0] == (
        "No two optimizers can be tested by Welch's t test of independent samples."
    )
    assert "Not applicable" not in text_of(render(analysis))
