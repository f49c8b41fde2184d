"""Tests of the HTML representation of results in notebooks."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from _sweep_analysis import HOSTILE, Recipe, pair, source_recipes, sweep

from bench.analysis import results, to_dict, to_json
from bench.analysis.notebook import MAX_CHARACTERS, NotebookRepr, table

RESULTS = [
    cls
    for _, cls in inspect.getmembers(results, inspect.isclass)
    if is_dataclass(cls) and cls.__module__.startswith(f"{results.__name__}.")
]


class Seen(HTMLParser):
    """Parsed HTML representation."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.order: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {(name, value or "") for name, value in attrs}
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.order.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.order)


def seen(result: NotebookRepr) -> Seen:
    return Seen(result._repr_html_())


def test_every_result_has_a_representation() -> None:
    assert len(RESULTS) > 20
    assert all(issubclass(cls, NotebookRepr) for cls in RESULTS)


@pytest.mark.parametrize("cls", RESULTS, ids=lambda cls: cls.__name__)
def test_results_stay_frozen_with_the_same_fields(cls: type) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert {f.name for f in fields(cls)} == set(cls.__annotations__)


def test_showing_changes_nothing_that_is_stored() -> None:
    one, other = sweep(n=3), sweep(n=3)
    before = to_json(one)
    one._repr_html_()
    assert one == other
    assert hash(one.comparison.pairs[0]) == hash(other.comparison.pairs[0])
    assert to_json(one) == before
    assert "_first" not in to_dict(one)


CASES = {
    "source": lambda: sweep(),
    "one seed": lambda: sweep(n=1),
    "one optimizer": lambda: sweep([Recipe("sgd", 9570, 10)]),
    "troubled": lambda: sweep(
        (*source_recipes()[:3], Recipe("rmsprop", 9700, 9, diverged=3, failed=2))
    ),
    "hostile": lambda: sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(HOSTILE)]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_html_is_sound_and_plain(case: str) -> None:
    found = seen(CASES[case]())
    ours = {"div", "table", "thead", "tbody", "tr", "th", "td", "p", "details", "summary"}
    assert set(found.tags) <= ours
    assert found.tags["table"] > 5
    assert {name for name, _ in found.attributes} == {"class", "style"}
    assert {value for name, value in found.attributes if name == "style"} == {"text-align: right;"}
    assert not re.search(r"\b(None|nan|inf)\b", found.text.replace("foreach None", "")
                         .replace("finite (nan)", ""))  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_no_harm(name: str) -> None:
    html = replace(pair("better"), a=name)._repr_html_()
    assert name in Seen(html).order
    assert "<script" not in html
    assert 'class="tex2jax_ignore mathjax_ignore"' in html  # a dollar is a dollar


def test_control_characters_are_replaced() -> None:
    html = replace(pair("better"), a="a\x1b[0m\x00b\u202ec")._repr_html_()
    assert "a\ufffd[0m\ufffdb\ufffdc" in html


VALUES = [
    ({"mean_difference": None}, "mean difference", "–"),
    ({"mean_difference": 0.123456789}, "mean difference", "0.123457"),
    ({"mean_difference": 1e-9}, "mean difference", "1e-09"),
    ({"n": 12345}, "n", "12345"),
    ({"pvalue_holm": 0.0}, "pvalue holm", "< 0.001"),
    ({"pvalue_holm": 1.9e-6}, "pvalue holm", "< 0.001"),
    ({"pvalue_holm": 0.0499712}, "pvalue holm", "0.04997"),
    ({"pvalue_holm": None}, "pvalue holm", "–"),
    ({"verdict": "not testable"}, "verdict", "not testable"),
    ({"a": "x" * 1000}, "a", "x" * (MAX_CHARACTERS - 1) + "…"),
]


@pytest.mark.parametrize(("changes", "label", "text"), VALUES)
def test_values_have_sensible_digits(changes: dict[str, object], label: str, text: str) -> None:
    order = seen(replace(pair("better"), **changes)).order  # type: ignore[arg-type]
    assert order[order.index(label) + 1] == text


def test_a_moment_and_tuples_are_written_out() -> None:
    analysis = sweep(n=3)
    text = seen(analysis.provenance).text
    assert "2026-11-23 09:30+00:00" in text
    assert "dataset mnist, network mlp, batch_size 100" in text
    assert "betas (0.9, 0.999), eps 1e-08" in seen(analysis.variants[0]).text
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    look = results.Look(look=1, n_blocks=3, level=0.05, spent=0.05, at=at)
    assert "2026-01-02 03:04+00:00" in seen(look).text


def test_a_comparison_shows_warnings_then_treatments_then_pairs() -> None:
    comparison = replace(sweep().comparison, warnings=("Beware of <this>.",))
    html = comparison._repr_html_()
    at_once, _, folded = html.partition("<details>")
    places = [at_once.index(part) for part in (
        "Beware of &lt;this&gt;.", "<p>treatments", "<p>pairs"
    )]  # fmt: skip
    assert places == sorted(places)
    for part in ("parameters", "omnibus", "single seed", "time to target", "scope", "looks"):
        assert f"<summary>{part}</summary>" in f"<details>{folded}"


def test_a_sweep_shows_its_name_then_its_comparison() -> None:
    html = sweep()._repr_html_()
    name, comparison = html.index("name: mnist"), html.index("<p>treatments")
    assert name < comparison < html.index("<summary>curves</summary>")
    assert html.index("<p>pairs") < html.index("<details>")


def test_every_treatment_and_pair_is_a_row() -> None:
    comparison = sweep().comparison
    for part in (comparison.treatments, comparison.pairs):
        (rows,) = re.findall(
            rf"<p>{'pairs' if len(part) == 28 else 'treatments'}</p>(.*?)</table>",
            comparison._repr_html_().partition("<details>")[0],
            re.DOTALL,
        )
        assert rows.count("<tr") == len(part) + 1


def test_of_other_results_the_first_table_stands_open() -> None:
    found = sweep().comparison.time_to_target
    assert found is not None
    at_once, _, folded = found._repr_html_().partition("<details>")
    assert "<p>TimeToTarget" in at_once
    assert "<p>treatments" in at_once
    assert "<summary>pairs</summary>" in folded
    assert "<summary>logrank</summary>" in folded


@pytest.mark.parametrize(("n", "shown", "noted"), [(60, 60, False), (61, 61, True), (1, 1, False)])
def test_long_tables_are_cut_with_a_note(n: int, shown: int, noted: bool) -> None:
    html = table("rows", ("x", "y"), [(i, i) for i in range(n)])
    assert html.count("<tr") == shown + 1  # a row of dots is in the middle
    assert (f"{n} rows × 2 columns" in html) == noted


def test_the_runs_have_their_own_columns() -> None:
    html = sweep().runs._repr_html_()
    assert "<th>test_accuracy</th>" in html
    assert "160 rows × 4 columns" in html


def test_only_dataclasses_show_themselves() -> None:
    class Bare(NotebookRepr):
        pass

    with pytest.raises(TypeError, match="a result must be a dataclass, got a Bare"):
        Bare()._repr_html_()


def test_a_class_of_one_s_own_shows_itself() -> None:
    @dataclass(frozen=True)
    class Point(NotebookRepr):
        x: float | None

    assert seen(Point(None)).order == ["Point", "x", "–"]
