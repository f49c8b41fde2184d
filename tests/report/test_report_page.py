"""The page: self-contained, safe, complete, the same bytes every time."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from _pages import (
    ANALYSES,
    empty_figure,
    figures_from,
    page_of,
    require_defined_p_values,
    require_sound_svg,
    undrawn_page_of,
)
from _sweep_analysis import CONTEXT, HOSTILE, many_recipes, source_recipes, sweep

from bench.analysis.results import (
    Direction,
    Incident,
    Look,
    Provenance,
    SweepAnalysis,
    TargetTreatment,
)
from bench.errors import StoreError
from bench.report import render, write
from bench.report.context import ReportContext
from bench.report.html.views.page import PageView, page_view
from bench.report.text import format as fmt
from bench.report.text.format import ACCURACY

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """What a browser would make of the page: tags, ids, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.raw: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.is_data = ("type", "application/json") in attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            kind = "data" if self.is_data else self.open[-1]
            self.raw[kind] = self.raw.get(kind, "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def values(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


#: Cases whose figures are drawn; those of the others differ from these in their text only.
DRAWN = ("troubled", "hostile", "one seed", "one optimizer", "all failed", "sequential")


def html_of(case: str) -> str:
    return page_of(case) if case in DRAWN else undrawn_page_of(case)


def text_of(case: str) -> str:
    return Page(undrawn_page_of(case)).text


@cache
def view_of(case: str) -> PageView:
    with figures_from(empty_figure):
        return page_view(ANALYSES[case](), CONTEXT)


@pytest.mark.parametrize("case", [*DRAWN, "source", "no margin"])
def test_every_case_is_a_sound_page(case: str) -> None:
    html = html_of(case)
    page = Page(html)
    identities = page.values("id")
    assert [i for i, n in Counter(identities).items() if n > 1] == []
    local = [v[1:] for v in page.values("href") if v.startswith("#")]
    named = " ".join(page.values("aria-labelledby") + page.values("aria-describedby")).split()
    assert set(local) | set(named) <= set(identities)
    assert page.values("style") == []
    assert [n for _, n, _ in page.attributes if n.startswith("on")] == []
    assert "None" not in page.text.replace("foreach=None", "")
    assert "nan" not in re.findall(r"\w+", page.text.replace("loss is not finite (nan)", ""))
    assert page.tags["h1"] == page.tags["main"] == page.tags["nav"] == 1
    assert page.tags["caption"] == page.tags["table"]
    headings = [(t, v) for t, k, v in page.attributes if t == "th" and k == "scope"]
    assert len(headings) == page.tags["th"]
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        require_sound_svg(svg)


def test_nothing_is_loaded() -> None:
    html = html_of("troubled")
    page = Page(html)
    for tag, name, value in page.attributes:
        if name in ("src", "srcset", "href", "action", "data", "poster", "xlink:href"):
            # the simulations lie beside the committed report: a link, followed only by a click
            allowed = value.startswith("#") or value in ("data:,", "validation.txt")
            assert allowed, (tag, name, value)
    outside = html.replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert "http://" not in outside
    assert "https://" not in outside
    assert "url(" not in page.raw["style"]
    assert "@import" not in page.raw["style"]


def test_policy_allows_this_style_and_script_and_nothing_else() -> None:
    page = Page(html_of("troubled"))
    policy = next(v for v in page.values("content") if "default-src" in v)
    directives = dict(d.strip().split(" ", 1) for d in policy.split(";"))
    assert directives["default-src"] == "'none'"
    for name in ("style", "script"):
        digest = hashlib.sha256(page.raw[name].encode()).digest()
        assert directives[f"{name}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert "unsafe" not in policy


@pytest.mark.usefixtures("undrawn")
def test_size() -> None:
    assert len(html_of("troubled").encode()) < 1_500_000
    # the text grows with the pairs; of these there are 153
    assert len(render(sweep(many_recipes(18))).encode()) < 1_350_000


def test_hostile_names_stay_text() -> None:
    html = html_of("hostile")
    page = Page(html)
    assert page.tags["script"] == 2
    assert "<bold>" not in html
    for name in HOSTILE:
        assert " ".join(name.split()) in page.text
    assert "49" not in page.text.split("{{ 7 * 7 }}")[0][-3:]
    assert "alert(1)" not in page.raw["script"]
    assert "<" not in page.raw["data"]
    names = [t["name"] for t in json.loads(page.raw["data"])["treatments"]]
    assert sorted(names) == sorted(HOSTILE)


@pytest.mark.usefixtures("undrawn")
def test_control_characters_and_markup_in_errors_do_no_harm() -> None:
    incident = Incident(
        treatment="gone",
        seed=3,
        status="failed",
        iteration=None,
        error="</code><script>\x00\x1b[0m",
    )
    html = render(replace(sweep(n=3), incidents=(incident,)))
    assert "&lt;/code&gt;&lt;script&gt;\ufffd\ufffd[0m" in html
    assert "\x00" not in html
    assert "\x1b" not in html


def test_every_number_of_the_analysis_is_printed() -> None:
    analysis = ANALYSES["troubled"]()
    text = text_of("troubled").replace(fmt.NBSP, " ")
    comparison, alpha = analysis.comparison, analysis.comparison.parameters.alpha
    expected: list[str] = []
    for t in comparison.treatments:
        scores = (t.mean, t.std, t.median, t.q1, t.q3, t.iqm, t.min, t.max)
        expected += [ACCURACY.score(v) for v in scores]
        expected += [ACCURACY.score_interval(t.ci_low, t.ci_high), fmt.number(t.mean_rank)]
    for p in comparison.pairs:
        ps = (p.pvalue, p.pvalue_holm, p.pvalue_t, p.pvalue_wilcoxon)
        ps += (p.pvalue_equivalence, p.pvalue_equivalence_holm)
        expected += [fmt.pvalue(v, alpha) for v in ps]
        expected += [
            ACCURACY.difference(p.mean_difference),
            ACCURACY.difference_interval(p.ci_low, p.ci_high),
            ACCURACY.difference_interval(p.simultaneous_ci_low, p.simultaneous_ci_high),
            fmt.signed_number(p.dz),
            fmt.signed_number(p.gz),
            fmt.number(p.a12, 3),
            fmt.percent(p.win_rate),
            fmt.signed_number(p.correlation),
        ]
        expected += [f"{p.seeds_needed:,}"] if p.seeds_needed else []
        if p.seeds_needed_equivalence and comparison.parameters.margin:
            expected.append(f"{p.seeds_needed_equivalence:,}")
    for curve in analysis.curves:
        expected += [ACCURACY.score(v) for v in curve.test_accuracy.mean]
        expected += [fmt.number(v, 4) for v in (*curve.test_loss.mean, *curve.train_loss.mean)]
    expected += [fmt.seconds(t.train_seconds) for t in analysis.timings]
    missing = [e for e in expected if e.replace(fmt.NBSP, " ") not in text]
    assert missing == []


def test_leaderboard_rows_follow_the_analysis() -> None:
    view = view_of("troubled")
    row = next(r for r in view.leaders if r.name.text == "rmsprop")
    assert (row.cells.runs, row.cells.diverged, row.cells.failed) == ("18", "3", "2")
    means = [float(r.sort["mean"]) for r in view.leaders]
    assert means[0] == max(means)


def test_matrix_reads_row_against_column() -> None:
    view = view_of("source")
    names = [r.name.text for r in view.pairs.matrix]
    top, bottom = names.index("nesterov"), names.index("adagrad")
    above, below = view.pairs.matrix[top].cells[bottom], view.pairs.matrix[bottom].cells[top]
    assert above is not None
    assert below is not None
    assert (above.mark.css, below.mark.css) == ("better", "worse")
    assert above.cells.difference == "+" + below.cells.difference.lstrip("−")
    assert above.cells.p_adjusted == below.cells.p_adjusted
    assert all(row.cells[i] is None for i, row in enumerate(view.pairs.matrix))


def test_unadjusted_p_values_are_labelled() -> None:
    text = text_of("source")
    assert "p, unadjusted, does not decide" in text
    assert "p < 0.001, over 20 complete seeds (unadjusted)" in text.replace(fmt.NBSP, " ")


def test_declared_parameters_and_command_are_printed() -> None:
    text = text_of("source").replace(fmt.NBSP, " ")
    for part in ("Family-wise level α 5 %", "Equivalence margin δ ±0.2 points"):
        assert part in text
    assert "Target accuracy 95 %" in text
    assert CONTEXT.command in text


@pytest.mark.parametrize(
    ("case", "part"),
    [
        ("source", "Nothing to report: all 160 runs finished with finite losses."),
        ("troubled", "Of 160 runs, 3 diverged and 2 failed."),
        ("one optimizer", "There is only one optimizer, so there are no pairs."),
        ("one optimizer", "There is nothing to compare, so no number of seeds can be too small."),
        ("one seed", "With one seed no difference can be tested"),
        ("one seed", "Warnings Only one seed"),
        ("no margin", "No margin was declared, so no pair can be called equivalent."),
        ("all failed", "All 6 runs failed"),
        ("troubled", 'RuntimeError: out of memory <&> "quoted"'),
    ],
)
def test_sections_say_what_happened(case: str, part: str) -> None:
    assert part in text_of(case).replace(fmt.NBSP, " ")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("direction", "worst"), [("higher", "lowest"), ("lower", "highest")])
def test_the_worst_seed_is_explained(direction: Direction, worst: str) -> None:
    analysis = sweep(n=3)
    parameters = replace(analysis.comparison.parameters, direction=direction)
    turned = replace(analysis, comparison=replace(analysis.comparison, parameters=parameters))
    assert f"Worst seed : the {worst} result of any seed." in Page(render(turned)).text.replace(
        "seed:", "seed :"
    )


def test_the_signs_that_are_explained_are_those_of_the_matrix() -> None:
    view = view_of("troubled")
    shown = {cell.mark for row in view.pairs.matrix for cell in row.cells if cell}
    assert set(view.pairs.marks) == shown
    assert len(view.pairs.marks) == len(shown)
    assert view_of("one optimizer").pairs.marks == ()


def test_every_variant_is_told_with_its_class_and_all_hyperparameters() -> None:
    analysis = ANALYSES["hostile"]()
    rows = view_of("hostile").methods.variants
    assert [row.name.text for row in rows] == [v.treatment for v in analysis.variants]
    assert {row.hyperparameters for row in rows} == {
        "betas=(0.9, 0.999), eps=1e-08, foreach=None, lr=0.001, nesterov=False, weight_decay=0"
    }
    text = text_of("hostile")
    for row in rows:
        assert " ".join(f"{row.algorithm} {row.hyperparameters}".split()) in text


@pytest.mark.usefixtures("undrawn")
def test_a_variant_without_hyperparameters_has_a_dash() -> None:
    analysis = sweep(n=3)
    bare = tuple(replace(v, hyperparameters=()) for v in analysis.variants)
    rows = page_view(replace(analysis, variants=bare)).methods.variants
    assert {row.hyperparameters for row in rows} == {fmt.MISSING}


def test_an_error_is_its_last_line_with_the_whole_folded_behind_it() -> None:
    view = view_of("troubled")
    failed = [row for row in view.incidents.rows if row.status == "failed"]
    assert {row.error for row in failed} == {'RuntimeError: out of memory <&> "quoted"'}
    for row in failed:
        assert row.whole_error.startswith("Traceback (most recent call last):")
        assert row.whole_error.endswith(row.error)
    diverged = [row for row in view.incidents.rows if row.status == "diverged"]
    assert {(row.error, row.whole_error) for row in diverged} == {("loss is not finite (nan)", "")}
    incidents = html_of("troubled").split('id="incidents"')[1].split("</section>")[0]
    assert incidents.count("<details><summary>whole message</summary>") == len(failed) == 2


@pytest.mark.usefixtures("undrawn")
def test_an_empty_error_has_a_dash() -> None:
    incident = Incident(treatment="sgd", seed=3, status="failed", iteration=None, error=" \n")
    (row,) = page_view(replace(sweep(n=3), incidents=(incident,))).incidents.rows
    assert (row.error, row.whole_error) == (fmt.MISSING, "")


@pytest.mark.usefixtures("undrawn")
def test_a_mixed_environment_is_marked() -> None:
    facts = (("torch_version", ("2.12.0", "2.13.0")), ("device", ("cpu",)))
    text = Page(render(sweep(n=3, facts=facts))).text
    assert "PyTorch mixed 2.12.0, 2.13.0" in text
    assert "mixed" not in text_of("source")


@pytest.mark.usefixtures("undrawn")
def test_no_dates_are_fine() -> None:
    analysis = sweep(n=3)
    facts = (("device", ("cpu",)),)
    bare = replace(analysis, provenance=Provenance(facts=facts, started_at=None, finished_at=None))
    assert "last run finished –" in Page(render(bare)).text


def foreign() -> SweepAnalysis:
    """What the analysis of somebody's table holds: no curves, no times, no origin."""
    analysis = sweep(source_recipes()[:3], n=7)
    comparison = analysis.comparison
    parameters = replace(
        comparison.parameters, treatment="model", block="data_batch", value="f1_score"
    )
    look = replace(comparison.looks[0], at=None)
    return replace(
        analysis,
        comparison=replace(
            comparison, parameters=parameters, time_to_target=None, scope=None, looks=(look,)
        ),
        variants=(),
        curves=(),
        timings=(),
        time_ratios=(),
        provenance=Provenance(facts=(), started_at=None, finished_at=None),
    )


@pytest.mark.usefixtures("undrawn")
def test_a_table_from_elsewhere_is_reported_in_its_own_words() -> None:
    text = Page(render(foreign(), CONTEXT)).text.replace(fmt.NBSP, " ")
    for part in (
        "mnist: which model?",
        "Over 7 data batches,",
        "Results of single data batches",
        "worst data batch",
        "F1 score, the best mean first",
        "No record of earlier looks is kept for these rows.",
        "Runs are paired by data batch.",
        "repeats the comparison of the same files again",
    ):
        assert part in text, part
    for part in ("optimizer ", "optimizers", "seed ", "seeds", "Learning curves", "Environment"):
        assert part not in text.replace("optimizer-bench", ""), part
    for part in (
        "Training time",
        "time per run",
        "Target accuracy",
        "other images",
        "Time to targ",
    ):
        assert part not in text, part


SECTIONS = {
    "single seed": "If every optimizer is trained with one seed only, the best is",
    "curve": "Two seeds name the same optimizer in",
    "tutorial": "In the tutorial, with one run of each, the best is momentum.",
    "equivalence": "A mean inside the margin is no evidence on its own.",
    "scope": "The verdicts hold for new seeds on these 10,000 test images.",
    "crossed": "new seeds and images",
    "target": "Time to 95 %",
    "target count": "10 of 20",
    "restricted": "[1,200, 2,300]",
    "log-rank": "log-rank p, unadjusted",
    "time": "times the leader's",
    "workers": "Exploratory: measured with 2 workers on 2 cores",
    "looks": "Judged once so far, at the whole level.",
}


@pytest.mark.parametrize("part", SECTIONS.values(), ids=SECTIONS)
def test_sections_hold_their_results(part: str) -> None:
    assert part in text_of("source").replace(fmt.NBSP, " ")


def test_the_section_on_single_seeds_needs_two_seeds() -> None:
    assert "Results of single seeds" not in text_of("one seed")


def with_looks(*looks: Look) -> str:
    analysis = sweep()
    return Page(
        render(replace(analysis, comparison=replace(analysis.comparison, looks=looks)))
    ).text.replace(fmt.NBSP, " ")


@pytest.mark.usefixtures("undrawn")
def test_every_look_is_listed_with_its_level() -> None:
    at = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    first = Look(look=1, n_blocks=10, level=0.025, spent=0.025, at=at)
    second = Look(look=2, n_blocks=20, level=0.05 / 6, spent=0.025 + 0.05 / 6, at=at)
    text = with_looks(first, second)
    assert "This is look 2. Its level is 0.833 %" in text
    assert "any false “better” or “worse” is at most 3.33 %" in text
    assert "1 10 2026-11-24 09:00 UTC 2.5 % 2.5 %" in text
    assert "at level 0.8333 % can find a significant difference" in text


def misleading(n: int) -> SweepAnalysis:
    """A sweep with `n` pairs that one seed gets wrong."""
    analysis = sweep(many_recipes(6))
    told = analysis.comparison.single_seed
    assert told is not None
    pairs = tuple(
        replace(w, wrong_share=0.05 * (i + 1) if i < n else 0.0) for i, w in enumerate(told.pairs)
    )
    changed = replace(analysis.comparison, single_seed=replace(told, pairs=pairs))
    return replace(analysis, comparison=changed)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("n", "at_once", "folded"), [(0, 0, 0), (3, 3, 0), (11, 8, 3)])
def test_pairs_that_one_seed_gets_wrong_come_worst_first(n: int, at_once: int, folded: int) -> None:
    view = page_view(misleading(n)).seed
    assert view is not None
    assert (len(view.misleading), len(view.rarely_misleading)) == (at_once, folded)
    rows = (*view.misleading, *view.rarely_misleading)
    assert [row.wrong for row in rows] == [f"{n - i} of 20" for i in range(n)]
    sentence = "No pair is ordered the wrong way by any single seed."
    assert (sentence in Page(render(misleading(n))).text) == (n == 0)


def with_target(reached: Callable[[TargetTreatment], TargetTreatment]) -> SweepAnalysis:
    """The times to the target of a sweep, changed."""
    analysis = sweep(n=4)
    found = analysis.comparison.time_to_target
    assert found is not None
    changed = replace(found, treatments=tuple(map(reached, found.treatments)))
    return replace(analysis, comparison=replace(analysis.comparison, time_to_target=changed))


@pytest.mark.usefixtures("undrawn")
def test_a_target_that_no_run_reached_has_one_sentence() -> None:
    nobody = with_target(lambda t: replace(t, n_reached=0, reach_rate=0.0))
    view = page_view(nobody).reaching
    assert view is not None
    assert (view.rows, view.pairs) == ((), ())
    html = render(nobody).replace(fmt.NBSP, " ")
    section = re.sub("<[^>]+>", " ", html.split('id="target">')[1].split("</details>")[0])
    assert " ".join(section.split()) == "No run reached 95 % within 3,000 updates."
    first = nobody.comparison.treatments[0].name
    some = with_target(lambda t: replace(t, n_reached=0) if t.name == first else t)
    rows = {row.name.text: row for row in page_view(some).reaching.rows}
    assert (rows[first].reached, rows[first].mean) == ("no run reached it", fmt.MISSING)
    assert all(row.reached[0].isdigit() for name, row in rows.items() if name != first)


@pytest.mark.usefixtures("undrawn")
def test_dots_of_several_datasets_are_means() -> None:
    context = ReportContext(related=(("mnist", "mnist.html"),))
    assert "the mean over its seeds" in Page(render(sweep(n=3), context)).text
    assert "the mean over its seeds" not in text_of("source")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("df", "printed"), [(9999.0, "9,999"), (18.24, "18.2"), (None, "–")])
def test_degrees_of_freedom_have_the_digits_that_matter(df: float | None, printed: str) -> None:
    analysis = sweep(n=4)
    scope = analysis.comparison.scope
    assert scope is not None
    wide = replace(scope, pairs=tuple(replace(p, df=df) for p in scope.pairs))
    changed = replace(analysis, comparison=replace(analysis.comparison, scope=wide))
    assert {row.df for row in page_view(changed).scope.leader} == {printed}


def test_every_word_with_a_dotted_underline_has_an_explanation() -> None:
    for case in ("source", "no margin", "one optimizer", "sequential"):
        page = Page(undrawn_page_of(case))
        terms = set(page.values("data-term"))
        assert terms
        assert {f"term-{term}" for term in terms} <= set(page.values("id"))


#: What the page of a sequential comparison says, and what it must not say.
SEQUENTIAL_SAYS = {
    "size": "4 optimizers · 12 to 20 seeds · 64 runs",
    "headline": "Over 12 to 20 seeds, at the tutorial's learning rates, untuned, momentum has",
    "how far it is": "No pair is open after look 3 of 3: the comparison is finished.",
    "runs saved": "It took 64 runs, 20 % fewer than the 80 runs of 20 seeds of every optimizer.",
    "other runs": "16 runs that belong to no look that was taken are left out.",
    "means": "The mean of each optimizer is over its own seeds, as many as it has runs.",
    "dots": "optimizers with fewer seeds have the first of the others",
    "level of an interval": "98.33 % interval",
    "levels of intervals": "which is 95 % for all 3 looks together (repeated confidence intervals)",
    "table of looks": "1 8 4 32 0 6 2 12 4 16 5 1 3 20 2 16 1 0",
    "numbers of the figure": "momentum nesterov 3 20 +0.07 [−0.14, +0.27] 0.270 0.047 equivalent",
    "state of a pair": "≈ equivalent within ±0.25 points decided at look 3",
    "p-values": "here it is adjusted for 6 pairs and 3 looks",
    "adjusted p-values": "Holm's correction over 6 pairs and 3 looks calls this pair different",
    "simultaneous intervals": "all 6 intervals hold together, at all 3 looks (5 % may err)",
    "equivalence": "both one-sided tests reject after the adjustment for the looks and Holm's",
    "secondary metrics": "not adjusted for the looks and therefore judged at 1.667 %",
    "power": "from 10 seeds on, at each of the 3 looks",
    "detectable effect": "The smallest effect found with a probability of 80 % at a look with 20",
    "single seeds": "drawn from the same 12 seeds that every optimizer has, so that",
    "declared": "Looks, after how many seeds 8, 12 and 20, until every pair is decided",
    "bias": "The mean of optimizers that stopped early may be biased",
}


@pytest.mark.parametrize("part", SEQUENTIAL_SAYS.values(), ids=SEQUENTIAL_SAYS)
def test_the_page_of_a_sequential_comparison_says(part: str) -> None:
    assert part in text_of("sequential").replace("\N{NO-BREAK SPACE}", " ").replace(" ,", ",")


def test_the_page_of_a_sequential_comparison_has_no_ledger_of_looks() -> None:
    text = text_of("sequential")
    for part in ("No record of earlier looks", "α/(j(j+1))", "over 20 seeds", "95\xa0% interval"):
        assert part not in text


def test_the_numbers_of_a_figure_of_looks_are_told_to_screen_readers() -> None:
    figure = view_of("sequential").looks.sequential
    assert figure is not None
    described = re.findall(r'<desc id="looks-wide-description">(.*?)</desc>', html_of("sequential"))
    assert len(described) == 1
    assert "momentum minus nesterov: +0.10 after 8\xa0seeds" in described[0]
    assert "equivalent at look 3" in described[0]


def test_an_open_pair_is_named_with_what_it_needs() -> None:
    looks = view_of("sequential, open").looks
    assert looks.sentence == (
        "The comparison is not finished: 1 of 6\xa0pairs is open after look 2 of 3."
    )
    assert "Open: momentum and nesterov (about" in " ".join(looks.sequential.sentences)


@pytest.mark.usefixtures("undrawn")
def test_the_diagram_of_ranks_is_drawn_on_request() -> None:
    assert page_view(sweep(n=3)).ranks.figure is None
    assert page_view(sweep(n=3), ReportContext(diagrams=("cd",))).ranks.figure is not None


@pytest.mark.usefixtures("undrawn")
def test_write_replaces_the_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "er" / "mnist.html"
    write(ANALYSES["all failed"](), target)
    write(ANALYSES["source"](), str(target), CONTEXT)
    assert target.read_text(encoding="utf-8") == html_of("source")
    assert os.listdir(target.parent) == ["mnist.html"]


@pytest.mark.usefixtures("undrawn")
def test_write_names_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "mnist.html"
    with pytest.raises(StoreError, match=re.escape(f"cannot write {target}: ")):
        write(ANALYSES["all failed"](), target)


@pytest.mark.usefixtures("undrawn")
def test_what_is_no_file_is_not_replaced_by_a_report(tmp_path: Path) -> None:
    target = tmp_path / "mnist.html"
    target.mkdir()
    with pytest.raises(StoreError, match=re.escape(f"{target}: it is not a regular file")):
        write(ANALYSES["all failed"](), target)
    assert target.is_dir()
    assert os.listdir(tmp_path) == ["mnist.html"]


@pytest.mark.usefixtures("undrawn")
def test_many_warnings_are_folded_and_none_is_lost() -> None:
    analysis = sweep(n=3)
    warnings = tuple(f"caution number {i}." for i in range(7))
    noisy = replace(analysis, comparison=replace(analysis.comparison, warnings=warnings))
    view = page_view(noisy)
    assert (*view.warnings, *view.lesser_warnings) == warnings
    text = Page(render(noisy)).text
    assert all(w in text for w in warnings)
    assert "3 more" in text


@pytest.mark.usefixtures("undrawn")
def test_p_values_are_defined_at_first_use() -> None:
    """test_report_selection.py has a page of more optimizers than are shown."""
    warned = with_warning(
        sweep(n=3), "No difference can be significant: the smallest attainable p-value is 0.25."
    )
    for text in (text_of("source"), Page(render(warned, CONTEXT)).text):
        require_defined_p_values(text)


def with_warning(analysis: SweepAnalysis, warning: str) -> SweepAnalysis:
    return replace(analysis, comparison=replace(analysis.comparison, warnings=(warning,)))


def test_no_sentence_promises_that_a_verdict_holds_in_a_repetition() -> None:
    assert "expected to hold" not in text_of("source")
