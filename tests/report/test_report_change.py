"""How a comparison of two sweeps is worded, drawn and printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from _cases import some
from _change_tables import AFTER, BASE, shifted, sweep_of
from _sweep_analysis import HOSTILE

from bench.analysis import SweepChange, compare_sweeps
from bench.report import (
    NARROW,
    WIDE,
    Layout,
    change_figure,
    change_markdown,
    change_verdict,
    render_change,
    write_change,
)
from bench.report.figures.svg import inline_svg
from bench.report.formats.markdown_syntax import escape
from bench.report.text.change import change_rows, fact_rows, speed_rows

SLIGHTLY_BETTER = shifted(8, 1, 3)
WORST = [count - 8000 for count in AFTER["worse"]]


def change_of(after: dict[str, list[int]], **columns: object) -> SweepChange:
    """Every optimizer had BASE before."""
    return compare_sweeps(
        sweep_of(dict.fromkeys(after, BASE)),
        sweep_of(after, **{"test_loss": 1.0, **columns}),
        names=("old", "new"),
        command="python scripts/compare.py old new",
    )


def many(n: int, verdict: str) -> dict[str, list[int]]:
    return {f"o{i}": AFTER[verdict] for i in range(n)}


# --- sentences -------------------------------------------------------------------------------

OPEN = (
    "Inconclusive does not mean unchanged: neither a change nor equivalence could be shown with "
    "this number of seeds."
)
NONE_ALIKE = "Of {} common runs, none ended exactly alike."
LEADS = [
    ({"a": "worse"}, ["a got worse by 0.6 points."]),
    ({"a": "better"}, ["a got better by 0.6 points."]),
    ({"a": "equivalent"}, ["a is equivalent within ±0.2 points."]),
    ({"a": "inconclusive"}, ["a is inconclusive.", OPEN]),
    ({"a": "identical"}, ["a scored exactly as before on every common seed."]),
    (
        {"a": "equivalent", "b": "equivalent"},
        ["Both optimizers are equivalent within ±0.2 points."],
    ),
    (dict.fromkeys("abc", "inconclusive"), ["All 3 optimizers are inconclusive.", OPEN]),
    (
        {"adam": "worse", **dict.fromkeys("abcdefg", "equivalent")},
        ["Of 8 optimizers, adam got worse by 0.6 points; the other 7 are equivalent within ±0.2 "
         "points."],
    ),
    (
        {"a": "worse", "b": "identical"},
        ["Of 2 optimizers, a got worse by 0.6 points; b scored exactly as before on every common "
         "seed."],
    ),
    (
        {"a": "worse", "b": "better", "c": "worse"},
        ["Of 3 optimizers, a got worse by 0.6 points and c by 0.6 points; b got better by 0.6 "
         "points."],
    ),
    (
        {"a": "worse", "b": "identical", **dict.fromkeys("cde", "equivalent"), "f": "inconclusive"},
        ["Of 6 optimizers, a got worse by 0.6 points.",
         "Of the others, b scored exactly as before on every common seed, 3 are equivalent within "
         "±0.2 points and f is inconclusive.", OPEN],
    ),
    (
        {"a": "equivalent", "b": "inconclusive"},
        ["Of 2 optimizers, none changed significantly: a is equivalent within ±0.2 points and b is "
         "inconclusive.", OPEN],
    ),
]  # fmt: skip


def plain(sentences: tuple[str, ...]) -> list[str]:
    return [sentence.replace("\u00a0", " ") for sentence in sentences]


@pytest.mark.parametrize(("verdicts", "expected"), LEADS, ids=lambda x: str(x)[:50])
def test_the_verdict_in_words(verdicts: dict[str, str], expected: list[str]) -> None:
    found = change_of({name: AFTER[verdict] for name, verdict in verdicts.items()})
    assert {c.optimizer: c.verdict for c in found.changes} == verdicts
    assert plain(change_verdict(found)) == [
        *expected,
        NONE_ALIKE.format(20 * len(verdicts)),
        "Training took 1.00 times as long ([1.00, 1.00]; exploratory).",
    ]


def test_runs_that_all_ended_alike_are_the_first_thing_said() -> None:
    sides = sweep_of({"x": BASE, "y": BASE}), sweep_of({"x": BASE, "y": BASE}, train_seconds=2.2)
    assert change_verdict(compare_sweeps(*sides)) == (
        "All 40 common runs ended exactly alike.",
        "They have the same number of correct test images and, to the last bit, the same test loss "
        "as before.",
        "Training took 1.10 times as long ([1.10, 1.10]; exploratory).",
    )
    single = [sweep_of({"x": BASE[:1]}) for _ in range(2)]
    lead, why, time = change_verdict(compare_sweeps(*single))
    assert lead == "The one common run ended exactly alike."
    assert why.startswith("It has the same number")
    assert time == "Training took 1.00 times as long (exploratory)."


def test_runs_that_newly_fail_are_said() -> None:
    after = sweep_of({"x": BASE}, status=["failed"] * 2 + ["ok"] * 18)
    lead, _, failed, _ = change_verdict(compare_sweeps(sweep_of({"x": BASE}), after))
    assert lead.startswith("All 18 common runs ended exactly alike")
    assert plain((failed,)) == ["2 runs failed after of seeds that have a result before."]


def test_an_optimizer_without_a_common_seed_is_not_alike() -> None:
    before, after = sweep_of({"x": BASE, "y": BASE}), sweep_of({"x": BASE, "y": BASE})
    after.loc[after["optimizer"] == "y", "seed"] += 100
    found = compare_sweeps(before, after)
    assert (found.is_paired, found.is_unchanged) == (True, False)
    assert plain(change_verdict(found))[:2] == [
        "Of 2 optimizers, none changed significantly: x scored exactly as before on every common "
        "seed and y could not be tested.",
        "Of 20 common runs, 20 ended exactly alike.",
    ]


def test_a_change_inside_the_margin_says_so() -> None:
    found = change_of({"x": SLIGHTLY_BETTER})
    assert plain(change_verdict(found))[0] == "x got better by 0.08 points (less than the margin)."
    assert plain((change_rows(found)[0].verdict,)) == ["better, by less than 0.2 points"]


def test_independent_samples_are_never_called_alike() -> None:
    sides = sweep_of({"x": [9700] * 3}), sweep_of({"x": [9700] * 3}, data_order_sha256="other")
    found = compare_sweeps(*sides)
    assert change_verdict(found)[0] == "x scored exactly as before in every run."
    assert "alike" not in " ".join(change_verdict(found))
    assert (change_rows(found)[0].n, change_rows(found)[0].same) == ("3 and 3", "–")


def test_nothing_testable_and_no_time() -> None:
    found = change_of({"x": AFTER["worse"][:2]}, train_seconds=0.0)
    assert plain(change_verdict(found)) == ["x could not be tested.", NONE_ALIKE.format(2)]
    assert speed_rows(found) == ()


def test_many_that_changed_are_counted() -> None:
    lead = plain(change_verdict(change_of(many(12, "worse"))))[0]
    assert lead.startswith("Of 12 optimizers, o0 got worse by 0.6 points, o1 by 0.6 points, ")
    assert lead.endswith("o5 by 0.6 points and 4 more.")


def test_a_large_p_is_never_called_unchanged() -> None:
    found = change_of({"x": [9700, 9800] * 10})
    text = " ".join(change_verdict(found))
    assert not re.search(r"unchanged(?!:)|the same|no change|as before", text.replace(OPEN, ""))


# --- rows ------------------------------------------------------------------------------------


def test_times_of_one_optimizer_are_not_said_twice() -> None:
    assert [row.optimizer for row in speed_rows(change_of({"x": BASE}))] == ["x"]
    both = speed_rows(change_of({"x": BASE, "y": BASE}))
    assert [row.optimizer for row in both] == [None, "x", "y"]


def test_facts_are_in_words() -> None:
    found = change_of({"x": BASE}, torch_version="9", hyperparameters="{}")
    assert [(f.optimizer, f.term, f.before, f.after) for f in fact_rows(found)] == [
        (None, "PyTorch", "–", "9"),
        ("x", "lr", "0.1", "–"),
    ]


# --- figure ----------------------------------------------------------------------------------

CASES: dict[str, Callable[[], SweepChange]] = {
    "all verdicts": lambda: change_of(AFTER),
    "far away": lambda: change_of({**AFTER, "far": WORST}),
    "one run": lambda: change_of({"x": BASE[:1]}),
    "failed": lambda: change_of({"x": BASE, "y": BASE}, status=["failed"] * 20 + ["ok"] * 20),
    "not paired": lambda: change_of(AFTER, initial_weights_sha256="other"),
    "no margin": lambda: compare_sweeps(sweep_of(AFTER), sweep_of(AFTER), margin=None),
    "hostile": lambda: change_of(dict.fromkeys((*HOSTILE, "a\x00b", "a\x01b"), AFTER["worse"])),
}


@cache
def case_of(name: str) -> SweepChange:
    return CASES[name]()


def svg(found: SweepChange, layout: Layout = WIDE) -> str:
    figure = change_figure(found, layout)
    return inline_svg(figure, prefix="here", title="title", description="description")


def words(text: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(text).iter() if e.tag.endswith("text")]


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("case", some(CASES, 3))
def test_every_case_is_drawn(case: str, layout: Layout) -> None:
    text = svg(case_of(case), layout)
    root = ElementTree.fromstring(text)
    assert float(root.attrib["viewBox"].split()[2]) == layout.width
    assert "nan" not in text
    assert "style=" not in text
    names = [e for e in root.iter() if e.get("data-part") == "name"]
    assert len(names) == len(case_of(case).changes)
    assert any("margin" in word for word in words(text)) == (case != "no margin")


def test_the_same_change_is_drawn_in_the_same_bytes() -> None:
    assert svg(case_of("all verdicts")) == svg(case_of("all verdicts"))


def test_means_are_drawn_where_they_are() -> None:
    root = ElementTree.fromstring(svg(case_of("all verdicts")))
    marks = [e for e in root.iter() if e.get("data-part") == "difference"]
    places = [float(use.attrib["x"]) for mark in marks for use in mark.iter() if use.get("x")]
    means = [c.mean_difference or 0.0 for c in case_of("all verdicts").changes]
    assert len(places) == len(means)
    assert sorted(range(5), key=places.__getitem__) == sorted(range(5), key=means.__getitem__)
    slopes = (places[0] - places[-1]) / (means[0] - means[-1])
    for place, mean in zip(places, means, strict=True):
        assert place == pytest.approx(places[0] + slopes * (mean - means[0]), abs=0.1)


def test_what_is_far_away_is_written_and_does_not_stretch_the_scale() -> None:
    printed = words(svg(case_of("far away")))
    assert any(word.startswith("◂ −80.") for word in printed)
    ticks = [w for w in printed if re.fullmatch(r"[−+][\d.]+", w)]
    assert max(float(t[1:]) for t in ticks) < 2


def test_no_result_is_said() -> None:
    assert "not known" in words(svg(case_of("failed")))


# --- page and Markdown -----------------------------------------------------------------------


@pytest.mark.parametrize("case", some(CASES, 3))
def test_the_page_is_whole_and_safe(case: str) -> None:
    found = replace(case_of(case), before="<i>old</i>", command="echo '<b>'")
    html = render_change(found)
    assert html.count("<html") == html.count("</html>") == 1
    for tag in ("section", "table", "tr", "td", "th", "dl", "div", "p", "details"):
        assert len(re.findall(rf"<{tag}[\s>]", html)) == html.count(f"</{tag}>"), tag
    for hostile in ("<script>alert", "<i>old", "<b>bold", "echo '<b>'"):
        assert hostile not in html
    identities = re.findall(r'\bid="([^"]+)"', html)
    assert len(identities) == len(set(identities))
    assert not re.search(r"\b(?:src|href)=\"(?!#|data:)", html)
    assert "Traceback" not in html
    assert "None" not in html


def test_the_page_shows_every_number() -> None:
    found = case_of("all verdicts")
    html = unescape(render_change(found))
    for row in change_rows(found):
        for number in (
            *(row.verdict, row.n, row.same, row.before, row.after, row.difference, row.interval),
            *(row.simultaneous, row.p_equivalence, row.p_equivalence_holm, row.diverged),
        ):
            assert f">{number}<" in html or f"</span> {number}<" in html


def test_the_page_says_how_it_compared() -> None:
    paired, unpaired = render_change(case_of("all verdicts")), render_change(case_of("not paired"))
    assert ("sign-flip" in paired, "Welch" in paired) == (True, False)
    assert ("sign-flip" in unpaired, "Welch" in unpaired) == (False, True)
    assert "are not paired here" in unpaired


def test_the_page_is_written_into_new_directories(tmp_path: Path) -> None:
    file = tmp_path / "new" / "page.html"
    write_change(case_of("one run"), file)
    assert file.read_text() == render_change(case_of("one run"))


def test_markdown_is_a_sentence_and_tables() -> None:
    found = change_of({"a": AFTER["worse"], "b": AFTER["equivalent"]}, torch_version="9")
    text = change_markdown(found).replace("\u00a0", " ")
    lines = text.splitlines()
    assert lines[0].startswith("**old → new:** Of 2 optimizers, a got worse by 0.6 points; b is ")
    heads = ("optimizer", "verdict", "seeds", "after − before", "95 % interval", "adj. p", "time")
    assert f"| {' | '.join(heads)} |" in lines
    row = next(line for line in lines if line.startswith("| a |"))
    numbers = r"20 \| −0\.59 \| \[−0.67, −0.51\] \| p diff &lt; 0\.001 "
    assert re.match(rf"\| a \| worse \| {numbers}", row)
    assert "| PyTorch | – | 9 |" in lines
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")}
    assert cells == {8, 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("a\r\nb\tc", "a b c"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("*a* _b_ `c` ~d~", r"\*a\* \_b\_ \`c\` \~d\~"),
        ("[x](y)", r"\[x\](y)"),
        ("a\\|b", r"a\\\|b"),
        ("\x1b\x00\u202e", "\ufffd\ufffd\ufffd"),
        ("@you #12 a@b", "@\u2060you \\#\u206012 a@\u2060b"),
        ("http://x.org www.x.org", r"http\://x.org www\.x.org"),
        ("adam[lr=0.003]", r"adam\[lr=0.003\]"),
    ],
)
def test_markdown_is_escaped(text: str, expected: str) -> None:
    assert escape(text) == expected
