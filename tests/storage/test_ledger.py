"""The file of looks: each set of seeds is stored once, and later looks use a stricter level."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
from _stored import three_seeds
from conftest import DIGITS, CommandCall

from bench import cli
from bench.errors import StoreError
from bench.storage.looks import Ledger, TakenLook
from bench.sweeps import load as stored

pytestmark = pytest.mark.usefixtures("undrawn")
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
FAST = (
    *("--iterations", "20", "--eval-every", "20", "--optimizers", "sgd,adam", "--in-process"),
    *("--name", "x", *DIGITS),
)


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "looks.json")


def look(seeds: Iterable[int], at: datetime = NOW, missing: int = 0) -> TakenLook:
    return TakenLook(seeds=tuple(seeds), missing=missing, at=at)


def test_the_same_seeds_are_the_same_look(book: Ledger) -> None:
    assert book.read() == ()
    first = book.with_look(look(range(3)))
    assert first == (look(range(3)),)
    assert book.read() == ()  # with_look does not write
    book.record(first)
    assert book.with_look(look(range(3), LATER)) == first


def test_other_seeds_are_another_look_and_an_old_one_keeps_its_number(book: Ledger) -> None:
    book.record(book.with_look(look(range(3))))
    both = book.with_look(look(range(6), LATER))
    book.record(both)
    assert [taken.seeds for taken in book.read()] == [(0, 1, 2), (0, 1, 2, 3, 4, 5)]
    assert book.with_look(look(range(3), LATER)) == both[:1]
    book.record(both[:1])
    assert book.read() == both  # later looks are kept


def test_the_same_seeds_with_fewer_runs_missing_are_another_look(book: Ledger) -> None:
    book.record(book.with_look(look(range(3), missing=4)))
    assert len(book.with_look(look(range(3), LATER))) == 2
    assert len(book.with_look(look(range(3), LATER, missing=4))) == 1


@pytest.mark.parametrize(
    ("optimizers", "missing", "now", "is_part"),
    [
        (("adam", "sgd"), 0, ("adam", "sgd"), True),
        (("adam", "sgd"), 0, ("adam",), True),
        (("adam", "sgd"), 0, ("adam", "rmsprop"), False),
        (("adam", "sgd"), 1, ("adam", "sgd"), False),
        (None, 0, ("adam", "sgd"), False),
        (("adam", "sgd"), 0, None, False),
    ],
)
def test_a_part_of_what_was_seen_is_no_new_look(
    book: Ledger,
    optimizers: tuple[str, ...] | None,
    missing: int,
    now: tuple[str, ...] | None,
    is_part: bool,
) -> None:
    whole = replace(look(range(6), missing=missing), optimizers=optimizers)
    book.record((look(range(3)), whole))
    part = replace(look([1, 4], LATER), optimizers=now)
    found = book.with_look(part)
    assert found == ((look(range(3)), part) if is_part else (look(range(3)), whole, part))
    book.record(found)
    assert len(book.read()) == (2 if is_part else 3)
    assert (book.whole_of(found) == whole) == is_part


@pytest.mark.parametrize(
    ("missing", "now", "missing_now", "n_looks", "is_part"),
    [
        (0, "adam,sgd", 0, 2, True),
        (3, "adam,sgd", 3, 2, True),
        (3, "adam,sgd", 0, 3, False),
        (0, "adam,rmsprop,sgd", 0, 2, False),
        (0, "adam,nadam", 0, 2, False),
    ],
)
def test_fewer_optimizers_at_the_same_seeds_are_a_part(
    book: Ledger, missing: int, now: str, missing_now: int, n_looks: int, is_part: bool
) -> None:
    names = ("adam", "rmsprop", "sgd")
    whole = replace(look(range(6), missing=missing), optimizers=names, rejected=FOUND)
    book.record((look(range(3)), whole))
    some = replace(look(range(6), LATER, missing_now), optimizers=tuple(now.split(",")))
    found = book.with_look(some)
    assert (len(found), book.whole_of(found) == whole) == (n_looks, is_part)
    book.record((*found[:-1], replace(found[-1], rejected=())) if is_part else found)
    assert book.read()[1] == whole
    assert len(book.read()) == n_looks


def test_a_look_before_the_whole_was_seen_counts(book: Ledger) -> None:
    names = ("adam", "sgd")
    book.record((replace(look(range(3)), optimizers=names),))
    assert len(book.with_look(replace(look(range(6)), optimizers=names))) == 2


FOUND = (("adam", "sgd"),)


def test_rejections_are_added_to_a_look_without_them_and_kept(book: Ledger) -> None:
    names = ("adam", "sgd")
    book.record(book.with_look(look(range(3))))
    both = book.with_look(look(range(6), LATER))
    book.record(both)
    book.record((replace(both[0], rejected=FOUND, optimizers=names),))
    book.record((replace(both[0], rejected=None),))
    assert [(taken.rejected, taken.optimizers) for taken in book.read()] == [
        (FOUND, names),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("before", "now", "is_replaced"),
    [
        ("adam,sgd", "adam,rmsprop,sgd", True),
        ("adam,rmsprop,sgd", "adam,sgd", False),
        ("adam,sgd", "adam,rmsprop", True),
        ("adam,sgd", "adam,sgd", True),
        (None, "adam,sgd", True),
    ],
)
def test_differences_among_fewer_optimizers_do_not_replace_those_among_more(
    book: Ledger, before: str | None, now: str, is_replaced: bool
) -> None:
    first, second = (None if names is None else tuple(names.split(",")) for names in (before, now))
    book.record((replace(look(range(3)), rejected=FOUND, optimizers=first),))
    book.record((replace(look(range(3)), rejected=(), optimizers=second),))
    (taken,) = book.read()
    expected = ((), second) if is_replaced else (FOUND, first)
    assert (taken.rejected, taken.optimizers) == expected


def test_differences_hold_among_the_same_optimizers_or_fewer() -> None:
    three = replace(look([0]), rejected=FOUND, optimizers=("adam", "rmsprop", "sgd"))
    assert three.rejected_among(["sgd", "adam", "rmsprop"]) == FOUND
    assert three.rejected_among(["sgd", "adam"]) == FOUND
    assert three.rejected_among(["rmsprop", "adam"]) == ()
    assert three.rejected_among(["sgd", "adam", "nadam"]) is None
    assert replace(three, optimizers=None).rejected_among(["sgd", "adam"]) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"looks": [{"seeds": "0-9"}]}',
        '{"looks": [{"seeds": "0-9", "at": "2026-11-24"}]}',
        '{"looks": [{"seeds": "x", "missing": 0, "at": "2026-11-24"}]}',
        '{"looks": [{"seeds": "0-9", "missing": [], "at": "2026-11-24"}]}',
        '{"looks": [{"seeds": "0-9", "missing": 0, "at": "yesterday"}]}',
        '{"looks": [{"seeds": "0", "missing": 0, "at": "2026-11-24", "rejected": 3}]}',
        '{"looks": [{"seeds": "0", "missing": 0, "at": "2026-11-24", "rejected": ["ab"]}]}',
        '{"looks": [{"seeds": "0", "missing": 0, "at": "2026-11-24", "rejected": [["a", 1]]}]}',
        '{"looks": [{"seeds": "0", "missing": 0, "at": "2026-11-24", "optimizers": [1]}]}',
        '{"looks": 3}',
        '{"looks": [{"seeds": 5, "missing": 0, "at": "x"}]}',
        "\xff",
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(book: Ledger, content: str) -> None:
    book.file.write_text(content, encoding="latin-1")
    with pytest.raises(StoreError, match=r"looks\.json is not a list of looks") as caught:
        book.read()
    assert "\n" not in str(caught.value)


class Here:
    """Run commands in this process, which is faster, in a separate directory."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        assert cli.main(arguments) == code
        captured = self._capsys.readouterr()
        return captured.err if code else captured.out

    def comparison(self, path: str) -> Any:
        return json.loads(self("analyze", path, "--json", "-"))

    def levels(self, path: str) -> list[tuple[int, int, float]]:
        looks = self.comparison(path)["looks"]
        return [(x["look"], x["n_blocks"], round(x["level"], 6)) for x in looks]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    monkeypatch.chdir(tmp_path)
    return Here(capsys)


def test_adding_seeds_after_a_look_costs_level(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "3", "--quiet", "--no-report")  # no verdict is shown: no look
    assert not Path("results/x/looks.json").exists()
    here("sweep", *FAST, "--seeds", "3")
    here("sweep", *FAST, "--seeds", "3", "--no-report")
    assert here.levels("results/x") == [(1, 3, 0.05)]
    here("sweep", *FAST, "--seeds", "4", "--no-report")
    assert here.levels("results/x") == [(1, 3, 0.05), (2, 4, 0.008333)]
    warnings = here.comparison("results/x")["warnings"]
    assert "Look 2 at these results was not declared" in str(warnings)
    printed = here("sweep", *FAST, "--seeds", "3", "--no-report")  # the first look again
    assert printed.startswith("nothing to do: 6 runs are stored\n")
    assert "was not declared" not in printed
    printed = here("sweep", *FAST, "--seeds", "2", "--no-report")
    assert "These are 2 of the 3 seeds of a look that was shown before." in printed
    assert here.levels("results/x") == [(1, 3, 0.05), (2, 4, 0.008333)]
    shutil.copy("results/x/runs.parquet", "rows.parquet")
    alone = here.comparison("rows.parquet")["looks"]  # rows alone keep no ledger
    assert alone == [
        {"look": 1, "n_blocks": 4, "level": 0.05, "spent": 0.05, "at": None, "rejected": []}
    ]


@pytest.mark.parametrize(("looks", "expected"), [("2", [0.025, 0.025]), ("any", [0.025, 0.008333])])
def test_declared_looks_share_the_level(here: Here, looks: str, expected: list[float]) -> None:
    for seeds in ("2", "3"):
        said = here("sweep", *FAST, "--looks", looks, "--seeds", seeds, "--no-report")
        assert f"--looks {looks}" in said  # in the command that reproduces it
    assert [level for _, _, level in here.levels("results/x")] == expected
    assert "was not declared" not in str(here.comparison("results/x")["warnings"])
    error = here("sweep", *FAST, "--looks", "5", "--seeds", "3", code=2)
    assert f"was declared with looks={looks} before" in error


def test_only_a_verdict_that_is_shown_is_a_look(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "3", "--quiet", "--no-report")
    looks = Path("results/x/looks.json")
    here("analyze", "results/x", "--value", "acuracy", code=2)
    here("analyze", "results/x", "--json", "results/x/spec.json", code=2)
    assert not looks.exists()
    here("report", "results/x", "--rows", "rows.parquet", "--output", "x.html")
    assert [x["seeds"] for x in json.loads(looks.read_text())["looks"]] == ["0-2"]
    assert here.levels("rows.parquet") == [(1, 3, 0.05)]  # elsewhere there is no ledger


def test_the_look_that_is_shown_is_stored(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here("sweep", *FAST, "--seeds", "2", "--quiet", "--no-report")
    ticks = (NOW + timedelta(hours=tick) for tick in itertools.count())

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            assert tz is UTC
            return next(ticks)

    monkeypatch.setattr(stored, "datetime", Clock)
    (shown,) = here.comparison("results/x")["looks"]
    (written,) = json.loads(Path("results/x/looks.json").read_text())["looks"]
    assert shown["at"] == written["at"] == NOW.isoformat()


def test_a_secondary_metric_uses_the_requested_level(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "3", "--no-report")
    answer = json.loads(
        here("analyze", "results/x", "--value", "test_loss", "--alpha", "0.01", "--json", "-")
    )
    assert answer["parameters"]["alpha"] == 0.01
    assert [look["level"] for look in answer["looks"]] == [0.01]
    assert "was not declared: its level" not in str(answer["warnings"])
    assert "Judged with alpha 0.01, which is not what was declared" in str(answer["warnings"])


def test_output_must_not_overwrite_the_file_of_looks(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "2", "--no-report")
    error = here("analyze", "results/x/runs.parquet", "--json", "results/x/looks.json", code=2)
    assert "cannot write the JSON to results/x/looks.json" in error


def test_a_ledger_that_cannot_be_written_is_a_warning(call_command: CommandCall) -> None:
    ledger = three_seeds(call_command.directory) / "looks.json"
    assert call_command("analyze", ledger.parent).code == 0
    again = call_command("analyze", ledger.parent)
    assert again.code == 0
    assert again.err == ""  # the look is already stored
    if os.geteuid() == 0:
        return  # root can write to read-only directories
    ledger.unlink()
    ledger.parent.chmod(0o555)
    try:
        finished = call_command("analyze", ledger.parent)
        assert finished.code == 0
        assert "this look at the results is not recorded" in finished.err
    finally:
        ledger.parent.chmod(0o755)


def test_an_earlier_rejection_stands_in_json_and_on_the_page(here: Here) -> None:
    """Three seeds find nothing: the rejection of the first look is written into its ledger."""
    here("sweep", *FAST, "--seeds", "3", "--looks", "2", "--no-report")
    ledger = Ledger(Path("results/x/looks.json"))
    assert ledger.read()[0].rejected == ()
    ledger.record([replace(ledger.read()[0], rejected=(("adam", "sgd"),))])
    printed = here("sweep", *FAST, "--seeds", "4", "--looks", "2")
    assert "An earlier look found a difference that this look alone does not" in printed
    assert [taken.rejected for taken in ledger.read()] == [(("adam", "sgd"),), ()]
    (pair,) = here.comparison("results/x")["pairs"]
    assert (pair["a"], pair["verdict"]) == ("adam", "better")
    assert (pair["earlier_look"], pair["verdict_of_look"]) == (1, "inconclusive")
    assert "better since look 1, now inconclusive" in Path("reports/x.html").read_text()
    strict = json.loads(here("analyze", "results/x", "--alpha", "0.01", "--json", "-"))
    assert strict["pairs"][0]["verdict"] == "inconclusive"  # not the declared level
    assert [taken.rejected for taken in ledger.read()] == [(("adam", "sgd"),), ()]


def test_differences_that_were_found_are_recorded(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "6", "--no-report")
    assert Ledger(Path("results/x/looks.json")).read()[0].rejected == (("adam", "sgd"),)


def test_an_earlier_rejection_does_not_stand_with_more_optimizers(here: Here) -> None:
    here("sweep", *FAST, "--seeds", "3", "--looks", "2", "--no-report")
    ledger = Ledger(Path("results/x/looks.json"))
    ledger.record([replace(ledger.read()[0], rejected=(("adam", "sgd"),))])
    more = [word.replace("sgd,adam", "sgd,adam,rmsprop") for word in FAST]
    here("sweep", *more, "--seeds", "4", "--looks", "2", "--no-report")
    comparison = here.comparison("results/x")
    assert [look["rejected"] for look in comparison["looks"]] == [None, []]
    assert {pair["verdict"] for pair in comparison["pairs"]} == {"inconclusive"}
    assert ledger.read()[1].optimizers == ("adam", "rmsprop", "sgd")
