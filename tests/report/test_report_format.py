"""How numbers are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from rich.cells import cell_len

from bench.report.text import format as fmt
from bench.report.text.format import ACCURACY, TEST_LOSS
from bench.report.text.sanitize import abbreviated, clean, elide

S = fmt.NBSP


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97615, "97.61"), (0.9762, "97.62"), (1.0, "100.00"), (0.0, "0.00"), (None, "–")],
)
def test_accuracies_are_per_cent_with_two_decimals(value: float | None, text: str) -> None:
    assert ACCURACY.score(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00412, "+0.41"),
        (-0.00412, "−0.41"),
        (0.0, "0.00"),
        (-1e-17, "0.00"),
        (0.00004, "+0.004"),
        (-0.000001, "−0.0001"),
        (0.5, "+50.00"),
        (None, "–"),
    ],
)
def test_differences_have_a_sign_and_never_round_to_nothing(value: float | None, text: str) -> None:
    assert ACCURACY.difference(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, f"<{S}0.001"),
        (1e-30, f"<{S}0.001"),
        (0.00099, f"<{S}0.001"),
        (0.001, "0.001"),
        (0.0124, "0.012"),
        (0.04961, "0.0496"),
        (0.04999, "0.04999"),
        (0.05, "0.050"),
        (0.0501, "0.0501"),
        (1.0, "1.000"),
        (None, "–"),
    ],
)
def test_p_is_never_0_nor_rounded_across_the_level(p: float | None, text: str) -> None:
    assert fmt.pvalue(p, alpha=0.05) == text


@pytest.mark.parametrize(
    ("p", "text"), [(1e-9, f"p{S}<{S}0.001"), (0.2, f"p{S}={S}0.200"), (None, f"p{S}–")]
)
def test_p_with_its_letter(p: float | None, text: str) -> None:
    assert fmt.p_equals(p, alpha=0.05) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0854, f"85{S}ms"),
        (2.414, f"2.41{S}s"),
        (9.0, f"9.00{S}s"),
        (12.34, f"12.3{S}s"),
        (123.4, f"123{S}s"),
        (900.0, f"15{S}min"),
        (None, "–"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert fmt.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2 / 2**20, f"1.9{S}×{S}10⁻⁶"),
        (0.0625, "0.0625"),
        (2 / 2**11, f"9.8{S}×{S}10⁻⁴"),
        (None, "–"),
    ],
)
def test_tiny(value: float | None, text: str) -> None:
    assert fmt.tiny(value) == text


def test_intervals() -> None:
    assert ACCURACY.score_interval(0.9755, 0.9769) == "[97.55, 97.69]"
    assert ACCURACY.difference_interval(-0.0012, 0.0045) == "[−0.12, +0.45]"
    assert ACCURACY.difference_interval(None, None) == "–"


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (ACCURACY.score_interval(-5.44, 6.94), "[0.00, 100.00]"),
        (ACCURACY.score_interval(0.9, 1.0092), "[90.00, 100.00]"),
        (ACCURACY.difference_interval(-5.44, 0.02), "[−100.00, +2.00]"),
        (TEST_LOSS.score_interval(-5.44, 6.94), "[−5.4400, 6.9400]"),
        (fmt.level(1 - 0.05 / 6), f"99.17{S}%"),
        (fmt.level(0.05), f"5{S}%"),
        (fmt.fixed(12345.678, 1), "12,345.7"),
    ],
)
def test_bounds_levels_and_thousands(printed: str, text: str) -> None:
    assert printed == text


def test_units_and_margins() -> None:
    assert ACCURACY.score_with_unit(0.9762) == f"97.62{S}%"
    assert ACCURACY.score_with_unit(None) == "–"
    assert ACCURACY.margin(0.002) == f"±0.2{S}points"
    assert ACCURACY.size_with_unit(-0.00412) == f"0.4{S}points"
    assert ACCURACY.size_with_unit(0.0011) == f"0.11{S}points"
    assert TEST_LOSS.score(0.07812) == "0.0781"


def test_times_are_in_utc() -> None:
    assert fmt.moment(datetime(2026, 11, 23, 9, 5, tzinfo=UTC)) == "2026-11-23 09:05 UTC"
    zone = timezone(timedelta(hours=2))
    assert fmt.moment(datetime(2026, 11, 23, 11, 5, tzinfo=zone)) == "2026-11-23 09:05 UTC"
    assert fmt.moment(None) == "–"


@pytest.mark.parametrize(
    ("words", "text"),
    [((), ""), (("a",), "a"), (("a", "b"), "a and b"), (("a", "b", "c"), "a, b and c")],
)
def test_listing(words: tuple[str, ...], text: str) -> None:
    assert fmt.listing(words) == text


def test_count_has_its_plural() -> None:
    assert fmt.count(1, "seed") == f"1{S}seed"
    assert fmt.count(3000, "update") == f"3,000{S}updates"


@pytest.mark.parametrize("length", [12, 15, 20, 24, 26])
@pytest.mark.parametrize(
    "names",
    [
        [f"lib.optim:Adam[betas=(0.9,{b}),eps=1e-08,lr=0.1]" for b in (0.9, 0.99, 0.999)],
        [f"{'a' * 40}{i}{'b' * 40}" for i in range(12)],
        ["sgd", "adam", "x" * 90, "x" * 91, "最適化手法" * 9 + "1" + "最適化手法" * 9],
        [f"ForeachSOAP{c}WithCautiousUpdatesAndWeightDecay" for c in "ABC"],
    ],
)
def test_abbreviations_stay_distinct(names: list[str], length: int) -> None:
    short = abbreviated(names, length)
    assert list(short) == names
    assert len(set(short.values())) == len(names)
    assert all(cell_len(text) <= length for text in short.values())
    assert all(short[name] == name for name in names if cell_len(name) <= length)


def test_elide_keeps_both_ends() -> None:
    names = [f"adam[betas=(0.9,0.99),eps=1e-08,weight_decay=0.0{i}]" for i in (1, 2)]
    short = [elide(name, 20) for name in names]
    assert all(len(s) == 20 and s.startswith("adam[") for s in short)
    assert short[0] != short[1]
    assert elide("adam", 20) == "adam"


def test_clean_removes_what_xml_forbids() -> None:
    assert clean("a\x00b\x1bc\ud800d\tе") == "a\ufffdb\ufffdc\ufffdd\tе"
