"""Figures and their SVG: styles, scale, names, ids."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import resources
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from _cases import some
from _pages import require_sound_svg
from _stored import sequential_example
from _sweep_analysis import HOSTILE, Recipe, many_recipes, source_recipes, sweep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analysis.results import SweepAnalysis
from bench.report import (
    NARROW,
    WIDE,
    Layout,
    curves_figure,
    forest_figure,
    looks_figure,
    rank_figure,
    runs_figure,
    seed_figure,
)
from bench.report.figures.curves import Over, Spacing, curves_points, spread
from bench.report.figures.differences import differences_to
from bench.report.figures.rank import levels_of
from bench.report.figures.runs import runs_points
from bench.report.figures.styles import DARK, LIGHT, MARKERS, assign_styles, marker_paths, styles_of
from bench.report.figures.svg import INK, PAPER, inline_svg
from bench.report.text.published import TEST_ACCURACY, luck, published_score

Draw = Callable[[SweepAnalysis, Layout], Figure]

DIVERGED = (*source_recipes()[:7], Recipe("rmsprop", 980, 1, diverged=20))
ANALYSES = {
    "source": lambda: sweep(),
    "one seed": lambda: sweep(n=1),
    "one optimizer": lambda: sweep([Recipe("sgd", 9570, 10)]),
    "diverged": lambda: sweep(DIVERGED),
    "all failed": lambda: sweep([Recipe("a", 0, 0, failed=3), Recipe("b", 0, 0, failed=3)], n=3),
    "perfect": lambda: sweep([Recipe("a", 10_000, 0), Recipe("b", 10_000, 0)]),
    "many": lambda: sweep(many_recipes(14), n=3),
    "hostile": lambda: sweep([Recipe(n, 9750 - 20 * i, 15) for i, n in enumerate(HOSTILE)]),
    "no margin": lambda: sweep(source_recipes()[:3], margin=None),
}


def svg(draw: Draw, analysis: SweepAnalysis, layout: Layout = WIDE) -> str:
    return inline_svg(
        draw(analysis, layout), prefix="here", title="A <title>", description='x & "y"'
    )


DRAWS: dict[str, Draw] = {
    "runs": runs_figure,
    "curves": curves_figure,
    "curves over seconds": partial(curves_figure, over="seconds", spacing="linear"),
    "forest": forest_figure,
    "ranks": rank_figure,
}


def can_draw(case: str, draw: str) -> bool:
    """One optimizer has no difference to another; two, or one seed, have no ranks.

    The margin is drawn among the differences only.
    """
    return not (
        (draw == "forest" and case == "one optimizer")
        or (draw != "forest" and case == "no margin")
        or (draw == "ranks" and ANALYSES[case]().ranks is None)
    )


#: Of these, the pages of test_report_page.py have the runs and the curves in both layouts.
ON_PAGES = ("one seed", "one optimizer", "all failed", "hostile")
#: By default these are drawn in the narrow layout too.
NARROW_CASES = ("diverged", "hostile", "one optimizer")
DRAWN = [(case, draw) for case in ANALYSES for draw in DRAWS if can_draw(case, draw)]


def is_long(case: str, draw: str, layout: Layout) -> bool:
    is_on_page = case in ON_PAGES and draw not in ("forest", "ranks")
    is_rare = layout is NARROW and case not in NARROW_CASES
    return is_on_page or is_rare or DRAWN.index((case, draw)) % 2 == 1


@pytest.mark.parametrize(
    ("case", "draw", "layout"),
    [
        pytest.param(
            *(case, draw, layout),
            id=f"{case}-{draw}-{name}",
            marks=pytest.mark.long if is_long(case, draw, layout) else (),
        )
        for case, draw in DRAWN
        for name, layout in (("wide", WIDE), ("narrow", NARROW))
    ],
)
def test_every_case_gives_well_formed_svg(case: str, draw: str, layout: Layout) -> None:
    text = svg(DRAWS[draw], ANALYSES[case](), layout)
    root = require_sound_svg(text)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "A <title>"
    described = root.attrib["aria-describedby"]
    assert [e.text for e in root.iter() if e.get("id") == described] == ['x & "y"']
    assert float(root.attrib["viewBox"].split()[2]) == layout.width


@pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))
def test_svg_has_no_surprises(draw: Draw) -> None:
    analysis = sweep(source_recipes()[:3], n=8)
    text = svg(draw, analysis)
    assert text == svg(draw, analysis)
    identities = re.findall(r'\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))
    assert all(i.startswith("here-") for i in identities)
    references = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert references <= set(identities)
    colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]+)"', text))
    for element in ElementTree.fromstring(text).iter():
        for paint in ("fill", "stroke"):
            if element.get(paint) in colours:
                assert element.get("class"), f"{element.get(paint)} has no class for the dark theme"


def test_figures_leave_no_global_state() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = dict(matplotlib.rcParams)
    svg(runs_figure, sweep(n=3))
    svg(curves_figure, sweep(n=3))
    assert dict(matplotlib.rcParams) == before
    assert pyplot is None or pyplot.get_fignums() == []


def test_the_users_settings_do_not_reach_the_figure() -> None:
    plain = svg(runs_figure, sweep(n=3))
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "axes.grid": False}):
        assert svg(runs_figure, sweep(n=3)) == plain


def text_of(svg_text: str) -> list[str]:
    return [e.text or "" for e in ElementTree.fromstring(svg_text).iter() if e.tag.endswith("text")]


def test_hostile_names_are_plain_text() -> None:
    text = svg(runs_figure, ANALYSES["hostile"]())
    printed = text_of(text)
    assert "<script>alert(1)</script>" in printed
    assert "$x^2$ and \\frac{1}{2} $" in printed
    assert "_hidden" in printed
    assert "<script" not in text
    long_names = [t for t in printed if t.startswith("adam[")]
    assert len(set(long_names)) == 2
    assert all(len(t) <= 27 for t in long_names)


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("draw", some([*DRAWS, "seeds"], 2))
def test_long_names_that_differ_in_the_middle_stay_distinct(draw: str, layout: Layout) -> None:
    names = [f"own.optimizers:Mine[betas=(0.9,0.{b}),eps=1e-08,lr=0.1]" for b in (8, 9, 99)]
    analysis = sweep([Recipe(name, 9750, 15) for name in names])
    figure = {**DRAWS, "seeds": seed_figure}[draw](analysis, layout)
    written = {
        text.get_gid(): text.get_text().split("  ")[0]  # a rank follows the name
        for text in figure.findobj(Text)
        if (text.get_gid() or "").endswith("label")
    }
    assert len(set(written.values())) == len(written) == (2 if draw == "forest" else 3)


def marks(text: str, part: str) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(text)
    return {e.attrib["data-optimizer"]: e for e in root.iter() if e.get("data-part") == part}


def test_every_run_and_mean_is_drawn() -> None:
    text = svg(runs_figure, sweep())
    dots = [e for g in marks(text, "runs").values() for e in g.iter() if e.tag.endswith("use")]
    assert len(dots) == 160
    assert len(marks(text, "mean")) == 8
    assert "the tutorial's own single run" in text_of(text)


def test_runs_off_the_scale_are_written_and_do_not_stretch_it() -> None:
    text = svg(runs_figure, sweep(DIVERGED))
    printed = [t.replace("\u00a0", " ") for t in text_of(text)]
    assert "◂ 20 runs at 9.80 to 9.99" in printed
    assert any(t.startswith("◂ mean 9.9") for t in printed)
    figure = runs_figure(sweep(DIVERGED))
    low, high = figure.axes[1].get_xlim()
    assert 0.93 < low < 0.955
    assert 0.978 < high < 1


def test_axes_of_accuracies_end_at_their_bounds() -> None:
    """With two seeds, an interval reaches far beyond 0 and 100 %."""
    analysis = sweep(source_recipes()[:3], n=4)
    wide = tuple(replace(t, ci_low=-5.0, ci_high=6.0) for t in analysis.comparison.treatments)
    pairs = tuple(
        replace(p, ci_low=-5, ci_high=6, simultaneous_ci_low=-7.0, simultaneous_ci_high=8.0)
        for p in analysis.comparison.pairs
    )
    comparison = replace(analysis.comparison, treatments=wide, pairs=pairs)
    axes = runs_figure(replace(analysis, comparison=comparison)).axes[1]
    ticks = [float(tick.get_text()) for tick in axes.get_xticklabels()]
    assert 0 <= min(ticks) < max(ticks) <= 100
    assert -0.1 < axes.get_xlim()[0] < axes.get_xlim()[1] < 1.1
    shown = forest_figure(replace(analysis, comparison=comparison)).axes[1].get_xlim()
    assert -1.2 < shown[0] < shown[1] < 1.2


def test_a_diverged_curve_does_not_stretch_the_scale() -> None:
    accuracy, loss = curves_figure(sweep(DIVERGED)).axes[1:]
    bottom, top = accuracy.get_ylim()
    assert bottom < 0.2
    assert top > 0.01
    assert loss.get_ylim()[1] < 1


def test_one_seed_has_no_band_and_no_interval() -> None:
    assert not marks(svg(curves_figure, sweep(n=1)), "accuracyband")
    assert len(marks(svg(curves_figure, sweep()), "accuracyband")) == 8


@pytest.mark.long
def test_names_stand_at_the_line_ends_where_they_fit() -> None:
    assert "nesterov" in text_of(svg(curves_figure, sweep()))
    assert "nesterov" in text_of(svg(curves_figure, sweep(), NARROW))
    assert "adam[lr=0.001]" not in text_of(svg(curves_figure, sweep(many_recipes(14), n=3)))


def test_source_results_are_marked_only_for_its_workload() -> None:
    other = sweep(facts=(("dataset", ("digits",)), ("network", ("mlp",))))
    assert "the tutorial's own single run" not in text_of(svg(runs_figure, other))
    assert published_score(other, "sgd") is None
    assert published_score(sweep(), "adam[lr=0.01]") is None
    assert published_score(sweep(), "adam") == 0.9720


def test_luck_counts_runs_around_the_published_one() -> None:
    recipe = Recipe("sgd", 9578, 0)
    found = luck(sweep([recipe], n=4), "sgd")
    assert found is not None
    assert (found.value, found.n, found.below) == (0.9578, 4, 0)
    unlucky = luck(sweep([Recipe("sgd", 9577, 0)], n=4), "sgd")
    assert unlucky is not None
    assert (unlucky.n, unlucky.below) == (4, 4)


def test_published_scores_are_the_sources() -> None:
    assert dict(TEST_ACCURACY) == {
        "sgd": 0.9578,
        "momentum": 0.9769,
        "nesterov": 0.9758,
        "adam": 0.9720,
        "adagrad": 0.9551,
        "adadelta": 0.9745,
        "adamax": 0.9658,
        "rmsprop": 0.971,
    }


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([], []),
        ([100.0, 50.0], [100.0, 50.0]),
        ([50.0, 50.0], [55.0, 45.0]),
        ([100.0, 52.0, 50.0, 48.0], [100.0, 60.0, 50.0, 40.0]),
    ],
)
def test_spread_keeps_labels_apart(wanted: list[float], places: list[float]) -> None:
    assert spread(wanted, 10.0) == pytest.approx(places)


# ---------------------------------------------------------------- styles


def test_looks_do_not_depend_on_order_and_are_stable() -> None:
    names = [r.name for r in source_recipes()]
    assert assign_styles(names) == assign_styles(reversed(names))
    with_others = assign_styles([*names, "lion", "adam[lr=0.1]"])
    assert all(with_others[n] == style for n, style in assign_styles(names).items())
    assert assign_styles(["adam"])["adam"] == with_others["adam"]


def test_figures_and_tables_of_one_analysis_share_their_looks() -> None:
    """A variant that only failed has no curve, and still shifts nobody's style."""
    recipes = [Recipe("a", 0, 0, failed=3), Recipe("b", 9700, 9), Recipe("c", 9600, 9)]
    analysis = sweep(recipes, n=3)
    assert set(styles_of(analysis)) == {"a", "b", "c"}
    partial = replace(analysis, curves=tuple(c for c in analysis.curves if c.treatment != "a"))
    assert styles_of(partial) == styles_of(analysis)


@pytest.mark.parametrize("draw", [runs_figure, curves_figure])
def test_looks_that_are_given_are_used(draw: Callable[..., Figure]) -> None:
    given = assign_styles(["another", "x", "y"])
    analysis = sweep([Recipe("x", 9700, 9), Recipe("y", 9600, 9)], n=3)
    part = "runs" if draw is runs_figure else "accuracy"
    figure = draw(analysis, WIDE, given)
    drawn = marks(inline_svg(figure, prefix="p", title="t", description="d"), part)
    assert set(drawn) == {str(given[name].index) for name in "xy"}


def test_eighty_optimizers_look_different() -> None:
    styles = assign_styles(f"v{i}" for i in range(80)).values()
    assert len({(style.slot, style.marker) for style in styles}) == 80
    source = assign_styles(TEST_ACCURACY).values()
    assert len({style.slot for style in source}) == len({style.marker for style in source}) == 8


def test_the_style_sheet_holds_the_same_colours() -> None:
    css = (resources.files("bench.report.html") / "static" / "report.css").read_text(
        encoding="utf-8"
    )
    for slot, (light, dark) in enumerate(zip(LIGHT, DARK, strict=True)):
        assert f".s{slot} {{ --series: light-dark({light}, {dark}); }}" in css


def test_marker_paths_fit_their_square() -> None:
    paths = marker_paths()
    assert set(paths) == set(MARKERS)
    assert len(set(paths.values())) == len(MARKERS)
    for path in paths.values():
        assert path.startswith("M")
        assert all(abs(float(v)) <= 0.9 for v in re.findall(r"-?\d+(?:\.\d+)?", path))


#: Simulated colour blindness in linear RGB, severity 1 (Machado, Oliveira & Fernandes 2009).
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
#: From linear RGB to cone responses, and from their cube roots to OKLab (Ottosson 2020).
CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    return OKLAB @ np.cbrt(CONES @ np.clip(rgb, 0, 1))


def luminance(colour: str) -> float:
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))


@pytest.mark.parametrize(("palette", "page"), [(LIGHT, "#ffffff"), (DARK, "#14171c")])
def test_colours_stand_out_from_the_page(palette: tuple[str, ...], page: str) -> None:
    for colour in palette:
        bright, dim = sorted((luminance(colour), luminance(page)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 3, colour


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_differ_for_every_kind_of_sight(palette: tuple[str, ...], sight: str) -> None:
    seen = [oklab(SIGHT[sight] @ linear(colour)) for colour in palette]
    nearest = min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.09


# ---------------------------------------------------------------- readings


def drawn_dots(text: str, index: str, part: str = "runs") -> set[tuple[float, float]]:
    """Where the dots of one optimizer stand in the SVG, in pixels."""
    uses = [e for e in marks(text, part)[index].iter() if e.tag.endswith("use")]
    return {(float(u.attrib["x"]), float(u.attrib["y"])) for u in uses}


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_readings_of_runs_lie_on_the_dots(layout: Layout) -> None:
    analysis = sweep((*source_recipes()[:7], Recipe("rmsprop", 9700, 9, diverged=3, failed=2)))
    points = runs_points(analysis, runs_figure(analysis, layout), layout)
    assert len(points) == len(analysis.scores)
    text, styles = svg(runs_figure, analysis, layout), styles_of(analysis)
    for name, style in styles.items():
        found = {
            (round(p[0], 2), round(p[1], 2))
            for p, score in zip(points, analysis.scores, strict=True)
            if p is not None and score.treatment == name
        }
        drawn = drawn_dots(text, str(style.index))
        assert len(found) == (15 if name == "rmsprop" else 20), "failed and far runs are not drawn"
        assert all(any(np.allclose(p, d, atol=0.02) for d in drawn) for p in found)


@pytest.mark.parametrize("over", ["updates", "seconds"])
@pytest.mark.parametrize("spacing", ["log", "linear"])
def test_readings_of_curves_lie_on_the_lines(over: Over, spacing: Spacing) -> None:
    analysis = sweep(n=5)
    figure = curves_figure(analysis, over=over, spacing=spacing)
    points = curves_points(analysis, figure, over=over, spacing=spacing)
    k, n = len(analysis.curves), len(analysis.curves[0].iterations)
    assert len(points) == 2 * k * n
    text = inline_svg(figure, prefix="here", title="t", description="d")
    styles = styles_of(analysis)
    for panel, part in enumerate(("accuracy", "loss")):
        for row, curve in enumerate(analysis.curves):
            start = (panel * k + row) * n
            drawn = drawn_dots(text, str(styles[curve.treatment].index), part)
            for point in points[start : start + n]:
                if point is not None:
                    assert any(np.allclose(point, d, atol=0.02) for d in drawn)
    assert sum(p is not None for p in points) > k * n, "most are drawn"


# ---------------------------------------------------------------- one reference


def test_a_forest_plot_shows_all_others_against_the_reference() -> None:
    analysis = sweep()
    for reference in ("nesterov", "sgd"):
        text = svg(partial(forest_figure, reference=reference), analysis)
        styles = styles_of(analysis)
        shown = set(marks(text, "difference"))
        assert shown == {str(s.index) for name, s in styles.items() if name != reference}
        for pair in differences_to(analysis.comparison.pairs, reference):
            assert pair.b == reference
            mean = {t.name: t.mean or 0.0 for t in analysis.comparison.treatments}
            assert pair.mean_difference == pytest.approx(mean[pair.a] - mean[reference], abs=1e-9)
    with pytest.raises(ValueError, match=r"reference must be one of .*got nobody"):
        forest_figure(analysis, reference="nobody")


def test_a_difference_far_beyond_the_others_is_written_at_the_edge() -> None:
    text = svg(forest_figure, sweep(DIVERGED))
    assert any(t.startswith("◂") for t in text_of(text))
    assert len(marks(text, "difference")) == 6


# ---------------------------------------------------------------- mean ranks


def test_bars_of_groups_that_touch_are_on_lines_of_their_own() -> None:
    assert levels_of([(0, 50), (100, 150), (200, 250)]) == [0, 0, 0]
    assert levels_of([(0, 100), (100, 200), (210, 300), (240, 400)]) == [0, 1, 0, 1]


def test_figures_without_their_numbers_say_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"ranks must not be None"):
        rank_figure(sweep(n=1))


def faces_of(axes: Axes) -> list[object]:
    """Colours of the markers of a panel, in the order of the looks."""
    return [
        line.get_markerfacecolor()
        for line in axes.lines
        if line.get_marker() not in ("None", None, "")
    ]


def test_the_figure_of_looks_has_a_panel_for_each_pair_that_needed_more_than_one() -> None:
    figure = looks_figure(sequential_example())
    _, *panels = figure.axes
    colour = assign_styles(TEST_ACCURACY)
    assert [faces_of(panel) for panel in panels] == [
        [PAPER, PAPER, INK],  # momentum and nesterov: open twice, then equivalent
        *([PAPER, colour[name].colour] for name in ("sgd", "nesterov", "momentum")),
        *([PAPER, colour[name].colour] for name in ("nesterov", "momentum")),
    ]
    assert [tick.get_text() for tick in panels[0].get_xticklabels()] == ["8", "12", "20"]
    headings = [text.get_text() for text in figure.axes[0].texts]
    assert "≈ equivalent, look 3" in headings


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_the_names_of_looks_do_not_overlap(layout: Layout) -> None:
    analysis = sequential_example(12)
    sequential = analysis.comparison.sequential
    assert sequential is not None
    many = replace(sequential, planned=(8, 12, 20, 21, 22, 23, 1000))
    figure = looks_figure(
        replace(analysis, comparison=replace(analysis.comparison, sequential=many)), layout
    )
    written = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert written[-1] == "1,000"
    assert 1 < len([text for text in written if text]) < 7


def test_means_that_are_far_or_unknown_are_written() -> None:
    analysis = sequential_example(12)
    sequential = analysis.comparison.sequential
    assert sequential is not None
    first, *rest = sequential.looks[0].pairs
    far = replace(first, mean_difference=0.5, ci_low=None, ci_high=None)
    unknown = [replace(p, mean_difference=None, ci_low=None, ci_high=None) for p in rest[:1]]
    look = replace(sequential.looks[0], pairs=(far, *unknown, *rest[1:]))
    changed = replace(sequential, looks=(look,))
    figure = looks_figure(
        replace(analysis, comparison=replace(analysis.comparison, sequential=changed))
    )
    written = [text.get_text() for axes in figure.axes[1:] for text in axes.texts]
    assert sorted(written) == ["not known", "▴ +50.00"]


def test_looks_are_drawn_for_sequential_comparisons_only() -> None:
    with pytest.raises(ValueError, match="no looks were declared"):
        looks_figure(sweep(n=1))
