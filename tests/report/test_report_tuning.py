"""How a tuning is worded and drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from html import unescape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from _cases import some
from _change_tables import noisy
from _sweep_analysis import HOSTILE
from _tunings import TRIALS, Trials, tuning_of
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analysis.results import SweepChange
from bench.analysis.results.tuning import Tuning
from bench.analysis.tuning_statistics import with_statistics
from bench.report.figures.canvas import NARROW, WIDE, Layout
from bench.report.figures.slopes import slopes_figure
from bench.report.figures.svg import inline_svg
from bench.report.figures.tuning import best_bands_figure, searched_name, trials_figure
from bench.report.html.tuning_page import render_tuning
from bench.report.text.tuning import (
    budget_rows,
    ranks_in_words,
    selection_note,
    selection_rows,
    tuning_verdict,
)
from bench.spec.ranges import SearchRange

LAYOUTS = pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])


def tracks(n: int, name: str = "o{}", *, equal: bool = False) -> Tuning:
    """Tunings of n optimizers, which have other ranks after tuning."""
    counts = {name.format(i): noisy(9500 + 10 * i, 6, 0 if equal else i) for i in range(n)}
    tuned = {key: noisy(9760 - 2 * i, 6, 99 + i) for i, key in enumerate(counts)}
    if equal:
        tuned = counts = dict.fromkeys(counts, noisy(9700, 6, 0))
    return tuning_of(counts, tuned)


def plain(text: str) -> str:
    return unescape(text).replace("\N{NO-BREAK SPACE}", " ")


# --- sentences and rows

SMALL = {"sgd": [9500, 9510], "adam": [9700, 9702]}
#: Each tuning seed has another best setting.
SEEDS: Trials = {0.01: (0.9, 0.7, 0.9), 0.1: (0.8, 0.8, 0.8)}
LOST: Trials = {0.01: (0.5, "diverged", 0.5), 0.1: ("diverged", 0.6, 0.6)}
#: Metric, trials of adam, and what the verdict says on its choice.
UNRANKED = [
    ("accuracy", LOST, "Every setting of adam had a diverged trial: the choice means little."),
    ("loss", LOST, "Every setting of adam had a diverged trial: the choice means little."),
    ("accuracy", TRIALS, None),
]


@pytest.mark.parametrize(("metric", "trials", "sentence"), UNRANKED)
def test_a_choice_among_diverged_settings_is_named(
    metric: str, trials: Trials, sentence: str | None
) -> None:
    tuning = tuning_of(SMALL, SMALL, {"adam": trials}, metric=metric)
    found = [text for text in tuning_verdict(tuning) if text.startswith("Every setting")]
    assert found == ([] if sentence is None else [sentence])
    shares = {of.optimizer: of.good_share for of in tuning.optimizers}
    assert (shares["adam"] is None) == (sentence is not None)


def test_the_page_names_the_hyperparameter() -> None:
    tuning = tuning_of(SMALL, SMALL)
    ranges = (SearchRange(name="momentum", low=0.5, high=0.99, is_log=False),)
    sgd, adam = tuning.optimizers
    both = replace(tuning, optimizers=(sgd, replace(adam, ranges=ranges)))
    assert (searched_name(tuning), searched_name(both)) == (
        "learning rate",
        "learning rate or momentum",
    )
    only = replace(tuning, optimizers=tuple(replace(of, ranges=ranges) for of in (sgd, adam)))
    assert "Validation accuracy over the momentum" in render_tuning(with_statistics(only))


def test_the_page_of_a_repeated_tuning_counts_repeats() -> None:
    once = with_statistics(tuning_of(SMALL, SMALL, {"sgd": SEEDS}, n_repeats=3))
    parameters = replace(once.change.parameters, block="repeat")
    tuning = replace(once, change=replace(once.change, parameters=parameters))
    page = plain(render_tuning(tuning))
    for text in ("<span>2 repeats</span>", "paired by repeat", "differences in each repeat"):
        assert text in page
    for row, of in zip(selection_rows(tuning), tuning.optimizers, strict=True):
        assert row.validation == f"{(of.validation_accuracy or 0.0) * 100:.2f}"


LEADERS = [
    (
        {"sgd": [9760, 9770], "adam": [9750, 9751]},
        "Highest mean: at the defaults adam (97.01 %, rank 2 tuned) and tuned sgd (97.65 %, rank 2 "
        "at the defaults); ",
    ),
    (
        {"sgd": [9700, 9701], "adam": [9750, 9751]},
        "Highest mean: at the defaults adam (97.01 %) and tuned adam (97.50 %); ",
    ),
    (
        {"sgd": [9750, 9751], "adam": [9751, 9750]},
        "Highest mean: at the defaults adam (97.01 %) and tuned adam and sgd (97.50 %); ",
    ),
]


@pytest.mark.parametrize(("tuned", "expected"), LEADERS)
def test_the_verdict_names_a_change_of_the_leader(
    tuned: dict[str, list[int]], expected: str
) -> None:
    sentences = [plain(sentence) for sentence in tuning_verdict(tuning_of(SMALL, tuned))]
    assert any(sentence.startswith(expected) for sentence in sentences), sentences


def test_ranks_are_those_of_both_tracks() -> None:
    found = with_statistics(tuning_of(SMALL, {"sgd": [9760, 9770], "adam": [9750, 9751]}))
    assert ranks_in_words(found) == {"sgd": "2 → 1", "adam": "1 → 2"}


GOOD_RANGES: list[tuple[Trials, str]] = [
    (TRIALS, "lr 0.01 to 0.1, 1.0 decade"),
    ({0.001: (0.2,), 0.01: (0.9,), 0.3: (0.9,), 0.5: (0.1,)}, "lr 0.01 to 0.3, 1.5 decades"),
    ({0.001: (0.2,), 0.1: (0.9,), 1.0: (0.895,)}, "lr 0.1 to 1 or beyond, 1.0 decade"),
    ({0.001: (0.2,), 0.1234: (0.9,), 1.0: (0.2,)}, "lr 0.12 only"),
    ({0.001: (0.2,), 1.0: (0.9,)}, "lr 1 or beyond"),
    ({0.01: (0.9,), 0.1: (0.2,), 0.5: (0.9,)}, "–"),
]


@pytest.mark.parametrize(("trials", "expected"), GOOD_RANGES)
def test_the_good_range_in_words(trials: Trials, expected: str) -> None:
    found = with_statistics(tuning_of(SMALL, SMALL, {"sgd": trials}))
    assert plain(budget_rows(found)[0].good_range) == expected


def test_the_value_of_trials_has_quantiles_but_not_that_of_all() -> None:
    found = with_statistics(tuning_of(SMALL, SMALL))
    expected = budget_rows(found)[0].expected
    assert expected == ("71.38 (0.00 to 97.50)", "96.25 (91.00 to 97.50)", "97.50")
    failed = {"sgd": {**TRIALS, 1.0: (0.8, 0.3, "failed")}}
    row = budget_rows(with_statistics(tuning_of(SMALL, SMALL, failed)))[0]
    assert row.expected == ("–", "–", "–")


def test_one_tuning_seed_has_dashes() -> None:
    trials = {"sgd": {0.01: (0.95,), 0.1: (0.97,)}}
    sgd, adam = selection_rows(with_statistics(tuning_of(SMALL, SMALL, trials)))
    assert (sgd.gap, sgd.interval, sgd.left_out, sgd.optimism) == ("+1.95", "–", "–", "–")
    assert (adam.gap, adam.left_out, adam.optimism) == ("+0.49", "97.50", "0.00")
    assert re.fullmatch(r"\[\+0\.\d\d, \+0\.\d\d\]", adam.interval)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "covers other seeds, but not other images"),
        ({"split": "per-seed"}, "luck with the tuning seeds and their held-out images"),
        ({"n_repeats": 4}, "covers other tunings, but not other test images"),
    ],
)
def test_the_note_says_what_the_numbers_contain(changes: dict[str, Any], expected: str) -> None:
    note = selection_note(replace(tuning_of(SMALL, SMALL), **changes))
    assert expected in note
    assert ("does not contain luck with the held-out images" in note) == ("split" not in changes)


# --- figures


def labels(figure: Figure) -> dict[str, list[Text]]:
    """Names with their means, by the side on which they are."""
    texts = [t for t in figure.findobj(Text) if (t.get_gid() or "").endswith("label")]
    return {ha: [t for t in texts if t.get_ha() == ha] for ha in ("right", "left")}


CASES: dict[str, Callable[[], Tuning]] = {
    "two": partial(tracks, 2),
    "eight": partial(tracks, 8),
    "twenty": partial(tracks, 20, "own.optimizers:Mine[betas=(0.9,0.{}),eps=1e-08,lr=0.1]"),
    "equal": partial(tracks, 5, equal=True),
}


@cache
def change_of(case: str) -> SweepChange:
    return CASES[case]().change


@LAYOUTS
@pytest.mark.parametrize("case", some(CASES, 2))
def test_names_at_both_ends_are_whole_and_apart(case: str, layout: Layout) -> None:
    change = change_of(case)
    figure = slopes_figure(change, layout)
    figure.canvas.draw()
    width, height = figure.get_size_inches() * 72
    for side, texts in labels(figure).items():
        assert len(texts) == len(change.changes)
        assert len({text.get_text() for text in texts}) == len(texts)
        places = sorted(text.get_position()[1] for text in texts)
        assert all(b - a > 19.9 for a, b in pairwise(places)), side
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert 40 < text.get_position()[1] < height
    by_place = sorted(labels(figure)["left"], key=lambda text: text.get_position()[1])
    means = [float(text.get_text().split()[0]) for text in by_place]
    assert means == sorted(means, reverse=True)


def test_a_mean_far_below_the_others_does_not_stretch_the_scale() -> None:
    changes = change_of("eight").changes
    far = tuple(replace(c, mean_before=0.1) if c.optimizer == "o3" else c for c in changes)
    change: SweepChange = replace(change_of("eight"), changes=far)
    left = {t.get_text().split()[0]: t for t in labels(slopes_figure(change))["right"]}
    assert left["o3"].get_text() == "o3  10.00 ▾"
    places = {name: text.get_position()[1] for name, text in left.items()}
    assert max(places, key=lambda name: places[name]) == "o3"
    others = [place for name, place in places.items() if name != "o3"]
    assert max(others) - min(others) > 100


def test_an_optimizer_without_a_mean_has_one_end() -> None:
    changes = change_of("two").changes
    lost = (replace(changes[0], mean_before=None), changes[1])
    sides = labels(slopes_figure(replace(change_of("two"), changes=lost)))
    assert (len(sides["right"]), len(sides["left"])) == (1, 2)


@LAYOUTS
def test_panels_mark_the_good_range_and_the_quantiles(layout: Layout) -> None:
    gap = {"adam": {0.01: (0.9,), 0.1: (0.2,), 0.5: (0.9,)}}
    found = with_statistics(tuning_of(SMALL, SMALL, gap))
    texts = [
        inline_svg(draw(found, layout), prefix="p", title="t", description="d")
        for draw in (trials_figure, best_bands_figure)
    ]
    assert [text.count('data-part="good"') for text in texts] == [1, 0]
    assert [text.count('data-part="worthband"') for text in texts] == [0, 2]
    band = next(
        artist
        for artist in best_bands_figure(found, layout).axes[1].collections
        if (artist.get_gid() or "").endswith("worthband")
    )
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}
    of = found.statistics[0]
    for t, ends in enumerate(zip(of.best_low, of.best_high, strict=True), 1):
        assert {(float(t), end) for end in ends} <= corners


# --- the page


@pytest.mark.usefixtures("undrawn")
def test_the_page_shows_the_statistics() -> None:
    page = plain(render_tuning(tuning_of(SMALL, {"sgd": [9760, 9770], "adam": [9750, 9751]})))
    for text in (
        ">2 → 1<",
        "Validation minus test: −0.15 to −0.00",
        "Optimism: at most 0.00 points.",
        "71.38 (0.00 to 97.50)",
        "lr 0.01 to 0.1, 1.0 decade",
        "training on one sixth fewer images",
        "The order of means is no test",
        "below the first number in at most 10 % and above the second in at most 10 %",
    ):
        assert text in page, text
    assert "None" not in page


@pytest.mark.usefixtures("undrawn")
def test_hostile_names_are_text() -> None:
    counts = {name: [9700 - i, 9701 - i] for i, name in enumerate(HOSTILE)}
    found = tuning_of(counts, counts)
    html = render_tuning(found)
    assert html.count("<html") == html.count("</html>") == 1
    for tag in ("section", "table", "tr", "td", "th", "div", "p", "details", "figure"):
        assert len(re.findall(rf"<{tag}[\s>]", html)) == html.count(f"</{tag}>"), tag
    assert "<script>alert" not in html
    identities = re.findall(r'\bid="([^"]+)"', html)
    assert len(identities) == len(set(identities))
    svg = inline_svg(slopes_figure(found.change), prefix="p", title="t", description="d")
    names = [
        text for text in ElementTree.fromstring(svg).itertext() if "97." in text or "96." in text
    ]
    assert len(names) == 2 * len(HOSTILE)
    assert "<script" not in svg
